//! What can go wrong with a node's edge, each in one line.

/// A failed round of the edge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// S3 failed or refused, or a document of the bucket cannot be read.
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
    /// A secret of the login cannot be opened.
    #[error("the login's secrets: {0}")]
    Vault(#[from] futuswarm_vault::Error),
    /// What the records say of the login is nothing that Apache could be given.
    #[error("the login: {0}")]
    Login(#[from] futuswarm_sso::Error),
    /// The same, of what is no name, address or step to begin with.
    #[error("the login: {0}")]
    Described(String),
    /// Apache goes on with the configuration before the newest.
    #[error("Apache refuses the login's new configuration: {0}")]
    Refused(String),
    /// The login's record is not there, and was a moment ago.
    #[error(
        "cluster/login is said not to exist, although this node has a login: asks again for a minute before it believes that"
    )]
    Vanished,
    /// HAProxy goes on with the configuration before the newest.
    #[error("HAProxy has not loaded its new configuration: {0}")]
    Reload(String),
}
