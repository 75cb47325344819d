//! Everything that can stop a round, each in one line.

/// A failed round.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metadata service.
    #[error(transparent)]
    Imds(#[from] futuswarm_imds::Error),
    /// User data that is no specification of a node.
    #[error(transparent)]
    UserData(#[from] futuswarm_userdata::Error),
    /// S3 failed or refused, or a document of the bucket cannot be read.
    #[error(transparent)]
    Store(#[from] futuswarm_store::Error),
    /// KMS.
    #[error(transparent)]
    Vault(#[from] futuswarm_vault::Error),
    /// EC2.
    #[error(transparent)]
    Aws(#[from] futuswarm_aws::Error),
    /// Docker did not do what it was asked.
    #[error(transparent)]
    Engine(#[from] futuswarm_swarm::Error),
    /// The node's firewall.
    #[error("{0}")]
    Firewall(String),
    /// The specification that the firewall goes by.
    #[error(transparent)]
    Specification(#[from] futuswarm_firewall::Error),
    /// The cluster's SSH authority, or a certificate of it.
    #[error(transparent)]
    Ssh(#[from] futuswarm_ssh_keys::AuthorityError),
    /// The provider of the cluster's login.
    #[error("{0}")]
    Login(String),
    /// Something that must not be done, whatever else is true.
    #[error("{0}")]
    Refused(String),
    /// Something that others must do first.
    #[error("{0}")]
    Waiting(String),
    /// A task that runs as long as the process does.
    #[error("{name} has ended: {reason}")]
    TaskEnded {
        /// What it does.
        name: &'static str,
        /// How it ended.
        reason: String,
    },
    /// A file on this node.
    #[error(transparent)]
    File(#[from] futuswarm_node_files::Error),
}
