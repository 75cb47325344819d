//! What the agent asks of everything outside of its process: a type for each, on AWS or in a simulation.

use futuswarm_edge::Serving;
use futuswarm_imds::Metadata;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::Engine;
use futuswarm_vault::Vault;
use tokio::sync::watch;

use crate::{Clock, Discovery, Dns, InstanceAddresses, Instances};

/// The types of an agent's clients.
pub trait Platform: 'static {
    /// The cluster's bucket.
    type Bucket: Bucket + Clone + 'static;
    /// The node's Docker Engine.
    type Engine: Engine;
    /// Where join tokens are sealed and opened.
    type Vault: Vault + Clone + 'static;
    /// Which instances live.
    type Instances: Instances + InstanceAddresses + Clone + 'static;
    /// The account's names.
    type Dns: Dns + Clone + 'static;
    /// The provider of the cluster's login.
    type Discovery: Discovery + Clone + 'static;
    /// The instance metadata service.
    type Metadata: Metadata;
    /// The wall clock.
    type Clock: Clock;
    /// What serves the routes on this node.
    type Edge: Edge;
}

/// An agent's clients.
pub(crate) struct Clients<P: Platform> {
    pub(crate) store: Store<P::Bucket>,
    pub(crate) engine: P::Engine,
    pub(crate) vault: P::Vault,
    pub(crate) instances: P::Instances,
    pub(crate) dns: P::Dns,
    pub(crate) discovery: P::Discovery,
    pub(crate) metadata: P::Metadata,
    pub(crate) clock: P::Clock,
    pub(crate) edge: P::Edge,
}

/// What serves the routes on this node, beside the agent's own loop.
pub trait Edge: Send + Sync + 'static {
    /// The edge's own loop, to be run for as long as the process lives, and what it says that it serves.
    fn start(&self) -> (impl Future<Output = ()> + Send + 'static, watch::Receiver<Serving>);

    /// Removes what holds networks of a Swarm that the engine is about to leave; the loop makes it again.
    ///
    /// # Errors
    /// When the engine refuses.
    fn stop(&self) -> impl Future<Output = Result<(), futuswarm_swarm::Error>> + Send;
}
