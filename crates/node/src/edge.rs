//! The edge beside the agent: in the same process, and supervised by it.

use futuswarm_agent::Edge;
use futuswarm_edge::Serving;
use futuswarm_edge_agent::Cluster;
use futuswarm_node_files::Files;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Engine, Error};
use futuswarm_vault::Vault;
use tokio::sync::watch;

/// HAProxy and the login as this node runs them, over the agent's own clients, for the agent to ask after and to stop.
pub struct NodeEdge<B, E, V> {
    pub engine: E,
    pub store: Store<B>,
    pub vault: V,
    pub cluster: Cluster,
    pub files: Files,
}

impl<B: Bucket + Clone + 'static, E: Engine, V: Vault + Clone + 'static> Edge for NodeEdge<B, E, V> {
    fn start(&self) -> (impl Future<Output = ()> + Send + 'static, watch::Receiver<Serving>) {
        let (sender, receiver) = watch::channel(Serving::default());
        let (engine, store, vault) = (self.engine.clone(), self.store.clone(), self.vault.clone());
        let (cluster, files) = (self.cluster.clone(), self.files.clone());
        (futuswarm_edge_agent::run(engine, store, vault, cluster, files, sender), receiver)
    }

    async fn stop(&self) -> Result<(), Error> {
        futuswarm_edge_agent::stop(&self.engine).await
    }
}
