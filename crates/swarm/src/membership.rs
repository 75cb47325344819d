//! A node's membership of a Swarm: initialising, joining and leaving one.

use futuswarm_secret::Secret;

use crate::Error;

/// The local engine's own view of its membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalState {
    /// Not a member.
    Inactive,
    /// Trying to join.
    Pending,
    /// A member, also while it cannot reach a manager.
    Active,
    /// Was a member, cannot take part; see [`Membership::error`].
    Error,
    /// Waits for an unlock key, which Futuswarm never sets.
    Locked,
}

/// What the engine says about its membership (`Swarm` of `docker info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// `LocalNodeState`.
    pub state: LocalState,
    /// The Swarm node id, if there is one.
    pub node: Option<String>,
    /// Whether this node is a manager (`ControlAvailable`). It is one also while there is no leader.
    pub controls: bool,
    /// Id of the Swarm. A manager without a leader does not say it; a worker's is in its certificate.
    pub swarm: Option<String>,
    /// The engine's own explanation of a bad state.
    pub error: Option<String>,
}

/// How a Swarm is initialised. The address pool cannot be changed afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    /// The primary address of the network interface, used for control and data alike.
    pub address: String,
    /// Pool of the overlay networks, in CIDR notation.
    pub address_pool: String,
    /// Prefix length of each overlay network.
    pub address_pool_mask: u8,
}

/// The two join tokens. No `Debug`: they are secrets.
pub struct JoinTokens {
    /// Lets a node in as a worker.
    pub worker: Secret,
    /// Lets a node in as a manager.
    pub manager: Secret,
}

/// `docker info` and `docker swarm`.
pub trait SwarmApi: Send + Sync {
    /// The engine's membership.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn membership(&self) -> impl Future<Output = Result<Membership, Error>> + Send;

    /// Initialises a new Swarm with this node as its first manager.
    ///
    /// # Errors
    /// When the engine refuses, for example because it is a member already.
    fn init_swarm(&self, options: &InitOptions) -> impl Future<Output = Result<(), Error>> + Send;

    /// Joins the Swarm that `token` and `managers` (`address:port`) belong to. The token contains the fingerprint of that
    /// Swarm's certificate authority, so an impostor at a manager's address is refused by the engine.
    ///
    /// # Errors
    /// When no manager can be reached within the engine's own 20 s, or the token is wrong. After a time-out the engine goes
    /// on in the background: ask [`SwarmApi::membership`].
    fn join_swarm(
        &self,
        address: &str,
        managers: Vec<String>,
        token: &Secret,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Leaves the Swarm; with `force` also as a manager, and from a state in which the other side cannot be told.
    ///
    /// # Errors
    /// When the engine refuses.
    fn leave_swarm(&self, force: bool) -> impl Future<Output = Result<(), Error>> + Send;

    /// The current join tokens. Managers only.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn join_tokens(&self) -> impl Future<Output = Result<JoinTokens, Error>> + Send;
}
