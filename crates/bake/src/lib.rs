//! From a list of Debian packages to a bootable, verified disk image. Knows nothing of AWS.
//!
//! Every step is a function of hashed inputs: the package lock, the overlay in `images/node/rootfs`, the three binaries of
//! this repository. No loop device, no mount of the image, no program of the target is started.
//!
//! ```text
//! packages.lock ─ mmdebstrap ─► base.tar ─┐
//! images/node/rootfs, node binary ────────┼─► root.tar ─► EROFS ─► dm-verity ─► UKI ─► GPT disk.raw
//! container archives ─────────────────────┘                 └ assertions        futuswarm-init
//! ```

pub mod assertions;
pub mod base;
pub mod containers;
pub mod disk;
pub mod glibc;
pub mod initramfs;
pub mod inputs;
pub mod lock;
pub mod manifest;
pub mod pipeline;
pub mod run;
pub mod stages;
pub mod tree;

use std::path::PathBuf;

/// Failures of a bake. Each says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the repository cannot be understood.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program failed.
    #[error("{program} failed ({status}); its last words: {tail}")]
    Program {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        tail: String,
    },
    /// The tools tree is not there or not whole.
    #[error(transparent)]
    Tools(#[from] futuswarm_tools::Error),
    /// The packages that Debian serves are not those of the lock.
    #[error(
        "the package lock cannot be met: {0}\nDebian has moved on; run `cargo xtask bake --update-lock`, read the difference and commit it"
    )]
    Lock(String),
    /// The image would not be a good one.
    #[error("the image breaks {} of its rules:\n  {}", .0.len(), .0.join("\n  "))]
    Assertions(Vec<String>),
}

impl Error {
    /// For `map_err` after a file operation on `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
