//! The edge beside the agent: in the same process, and supervised by it.

use futuswarm_agent::Edge;
use futuswarm_edge::Serving;
use futuswarm_node_files::Files;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Engine, Error};
use tokio::sync::watch;

/// HAProxy as this node runs it, for the agent to ask after and to stop.
pub struct NodeEdge<B, E> {
    engine: E,
    store: Store<B>,
    files: Files,
}

impl<B, E> NodeEdge<B, E> {
    /// An edge over the agent's own clients.
    pub fn new(engine: E, store: Store<B>, files: Files) -> Self {
        Self { engine, store, files }
    }
}

impl<B: Bucket + Clone + 'static, E: Engine> Edge for NodeEdge<B, E> {
    fn start(&self) -> (impl Future<Output = ()> + Send + 'static, watch::Receiver<Serving>) {
        let (sender, receiver) = watch::channel(Serving::default());
        (futuswarm_edge_agent::run(self.engine.clone(), self.store.clone(), self.files.clone(), sender), receiver)
    }

    async fn stop(&self) -> Result<(), Error> {
        futuswarm_edge_agent::stop(&self.engine).await
    }
}
