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
        /// On which path.
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
        /// The port.
        port: u16,
        /// " by NAME (pid N)" or nothing.
        owner: String,
        /// The key of the spec that chooses the port.
        key: &'static str,
    },
    /// A setting that cannot work.
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
        /// The cluster.
        cluster: String,
    },
    /// The daemon ended while it was starting.
    #[error("the local cloud did not start: {reason}; the whole story is in {}", log.display())]
    NotStarted {
        /// The last line of its log.
        reason: String,
        /// Its log.
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
