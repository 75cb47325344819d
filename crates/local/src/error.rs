//! Everything that can go wrong in the local cloud, each with what to do about it.

use std::path::PathBuf;

/// A failure of the local cloud.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, folder or socket.
    #[error("{}: {what}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder that it was about.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program could not be run or failed.
    #[error("`{command}` failed: {detail}")]
    Command {
        /// The argument list, joined for people.
        command: String,
        /// Exit status and last words.
        detail: String,
    },
    /// A loopback port is taken by somebody else.
    #[error(
        "port {port} of 127.0.0.1 is in use{owner}; stop that program or set `{key}` under [local] in the cluster spec"
    )]
    PortInUse {
        /// The port number.
        port: u16,
        /// " by NAME (pid N)" or nothing.
        owner: String,
        /// The key of the spec that chooses the port.
        key: &'static str,
    },
    /// The system refuses something that needs no path.
    #[error("{0}")]
    System(std::io::Error),
    /// Work beside the daemon's thread has panicked.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    /// A task that is to run as long as the daemon has ended.
    #[error("{name} has ended ({how}); the local cloud cannot go on without it")]
    TaskEnded {
        /// What the task is.
        name: &'static str,
        /// "returned", or the panic.
        how: String,
    },
    /// Data without a JSON form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Faults of the API that are none.
    #[error(transparent)]
    Faults(#[from] futuswarm_local_api::faults::ParseError),
    /// No TLS for the AWS API of nodes.
    #[error("no TLS for the AWS API of nodes: {0}")]
    Tls(#[from] futuswarm_aws_front::listener::TlsError),
    /// The emulator leaves something out of an answer.
    #[error("{0}")]
    Incomplete(String),
    /// No node is called like this.
    #[error("there is no node {name}; there are: {list}")]
    NoSuchNode {
        /// What was asked for.
        name: String,
        /// The nodes that there are.
        list: String,
    },
    /// Several nodes may be meant.
    #[error("{name} could be {count} nodes; say more of its id: {list}")]
    AmbiguousNode {
        /// What was asked for.
        name: String,
        /// How many match.
        count: usize,
        /// The nodes that there are.
        list: String,
    },
    /// A setting that cannot work, or a state in which it cannot.
    #[error("{0}")]
    Config(String),
    /// An AWS operation on the emulator failed.
    #[error("the AWS emulator: {0}")]
    Aws(#[from] futuswarm_aws::Error),
    /// An HTTP exchange failed.
    #[error("{what}: {detail}")]
    Http {
        /// What was asked.
        what: String,
        /// What happened.
        detail: String,
    },
    /// The tools tree.
    #[error(transparent)]
    Tools(#[from] futuswarm_tools::Error),
    /// No cache or state folder.
    #[error(transparent)]
    Paths(#[from] futuswarm_paths::Error),
    /// The daemon refused, or did not answer.
    #[error(transparent)]
    Control(futuswarm_local_api::Error),
    /// The daemon is not there.
    #[error("the local cloud {cluster} is not running; start it with `cargo xtask deploy-cluster --local`")]
    NotRunning {
        /// The cluster's name in its spec.
        cluster: String,
    },
    /// The daemon ended while it was starting.
    #[error("the local cloud did not start: {reason}; the whole story is in {}", log.display())]
    NotStarted {
        /// The last line of its log.
        reason: String,
        /// The daemon's log file.
        log: PathBuf,
    },
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Attaches a path to an I/O error: `.map_err(file("cannot read", &path))`.
pub(crate) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}
