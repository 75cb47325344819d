//! Founding, joining and leaving a Swarm.

use bollard::models::{
    LocalNodeState, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, SwarmSpecDispatcher, SwarmSpecOrchestration,
};
use bollard::query_parameters::LeaveSwarmOptionsBuilder;
use futuswarm_secret::Secret;

use crate::{Engine, Error};

/// Finished tasks kept per slot; the default of 5 makes `service ps` and raft grow with every restart.
const TASK_HISTORY: i64 = 3;
/// Time between heartbeats of a node to a manager, in nanoseconds. Swarm's default; three missed ones mean "down".
const DISPATCHER_HEARTBEAT_NANOS: i64 = 5_000_000_000;

/// The local engine's own view of its membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalState {
    /// Not a member.
    Inactive,
    /// Trying to join.
    Pending,
    /// A member.
    Active,
    /// Was a member, cannot take part; see [`Membership::error`].
    Error,
    /// Waits for an unlock key, which Futuswarm never sets.
    Locked,
}

/// What the engine says about its membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The state.
    pub state: LocalState,
    /// The Swarm node id, if there is one.
    pub node: Option<String>,
    /// Whether this node is a manager that can reach the others.
    pub controls: bool,
    /// Id of the Swarm; only managers know it.
    pub swarm: Option<String>,
    /// The engine's own explanation of a bad state.
    pub error: Option<String>,
}

/// How a Swarm is founded. The address pool cannot be changed afterwards.
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

impl Engine {
    /// The engine's membership.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn membership(&self) -> Result<Membership, Error> {
        let info = self.docker.info().await.map_err(|error| Error::call("info", error))?;
        let swarm = info.swarm.ok_or(Error::Incomplete { operation: "info", field: "Swarm" })?;
        let state = match swarm.local_node_state {
            Some(LocalNodeState::ACTIVE) => LocalState::Active,
            Some(LocalNodeState::PENDING) => LocalState::Pending,
            Some(LocalNodeState::ERROR) => LocalState::Error,
            Some(LocalNodeState::LOCKED) => LocalState::Locked,
            Some(LocalNodeState::INACTIVE | LocalNodeState::EMPTY) | None => LocalState::Inactive,
        };
        Ok(Membership {
            state,
            node: swarm.node_id.filter(|id| !id.is_empty()),
            controls: swarm.control_available.unwrap_or(false),
            swarm: swarm.cluster.and_then(|cluster| cluster.id).filter(|id| !id.is_empty()),
            error: swarm.error.filter(|error| !error.is_empty()),
        })
    }

    /// Founds a new Swarm with this node as its first manager.
    ///
    /// # Errors
    /// When the engine refuses, for example because it is a member already.
    pub async fn init_swarm(&self, options: &InitOptions) -> Result<(), Error> {
        let request = SwarmInitRequest {
            listen_addr: Some(format!("{}:2377", options.address)),
            advertise_addr: Some(options.address.clone()),
            // A secondary address here would make VXLAN packets arrive from an address that the peers do not expect.
            data_path_addr: Some(options.address.clone()),
            default_addr_pool: Some(vec![options.address_pool.clone()]),
            subnet_size: Some(u32::from(options.address_pool_mask)),
            force_new_cluster: Some(false),
            spec: Some(SwarmSpec {
                orchestration: Some(SwarmSpecOrchestration { task_history_retention_limit: Some(TASK_HISTORY) }),
                dispatcher: Some(SwarmSpecDispatcher { heartbeat_period: Some(DISPATCHER_HEARTBEAT_NANOS) }),
                ..SwarmSpec::default()
            }),
            ..SwarmInitRequest::default()
        };
        self.docker.init_swarm(request).await.map_err(|error| Error::call("swarm init", error))?;
        Ok(())
    }

    /// Joins the Swarm that `token` and `managers` (`address:port`) belong to. The token contains the fingerprint of that
    /// Swarm's certificate authority, so an impostor at a manager's address is refused by the engine.
    ///
    /// # Errors
    /// When no manager can be reached within the engine's own 20 s, or the token is wrong. After a time-out the engine goes
    /// on in the background: ask [`Engine::membership`].
    pub async fn join_swarm(&self, address: &str, managers: Vec<String>, token: &Secret) -> Result<(), Error> {
        let request = SwarmJoinRequest {
            listen_addr: Some(format!("{address}:2377")),
            advertise_addr: Some(address.to_owned()),
            data_path_addr: Some(address.to_owned()),
            remote_addrs: Some(managers),
            join_token: Some(token.expose().to_owned()),
        };
        self.docker.join_swarm(request).await.map_err(|error| Error::call("swarm join", error))
    }

    /// Leaves the Swarm; with `force` also from a state in which the other side cannot be told.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn leave_swarm(&self, force: bool) -> Result<(), Error> {
        let options = LeaveSwarmOptionsBuilder::default().force(force).build();
        self.docker.leave_swarm(Some(options)).await.map_err(|error| Error::call("swarm leave", error))
    }

    /// The current join tokens. Managers only.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    pub async fn join_tokens(&self) -> Result<JoinTokens, Error> {
        let swarm = self.docker.inspect_swarm().await.map_err(|error| Error::call("swarm inspect", error))?;
        let missing = |field| Error::Incomplete { operation: "swarm inspect", field };
        let tokens = swarm.join_tokens.ok_or_else(|| missing("JoinTokens"))?;
        Ok(JoinTokens {
            worker: Secret::new(tokens.worker.ok_or_else(|| missing("JoinTokens.Worker"))?),
            manager: Secret::new(tokens.manager.ok_or_else(|| missing("JoinTokens.Manager"))?),
        })
    }
}
