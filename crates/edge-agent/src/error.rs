//! What can go wrong with a node's edge, each in one line.

/// A failed round of the edge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] futuswarm_store::Error),
    /// Docker did not do what it was asked.
    #[error(transparent)]
    Engine(#[from] futuswarm_swarm::Error),
    /// The routes cannot be rendered.
    #[error(transparent)]
    Render(#[from] futuswarm_edge::RenderError),
    /// A file or program of the node.
    #[error(transparent)]
    File(#[from] futuswarm_node_files::Error),
    /// HAProxy goes on with the configuration before the newest.
    #[error("HAProxy has not loaded its new configuration: {0}")]
    Reload(String),
}
