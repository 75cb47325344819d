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

mod apt;
pub mod archive;
mod assertions;
pub mod base;
mod containers;
pub mod debs;
mod disk;
mod glibc;
mod initramfs;
pub mod inputs;
pub mod lock;
pub mod pipeline;
mod repository;
mod run;
pub mod stages;
mod tree;

use std::path::PathBuf;

/// Each message says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{path}: {source}")]
    File {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file of the repository cannot be understood.
    #[error("{path}: {reason}")]
    Malformed {
        /// File or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program ended without success.
    #[error("{program} failed ({status}); its last words: {tail}")]
    Program {
        /// As in the error: for example `mkfs.erofs`.
        program: String,
        /// Exit status or signal, in words.
        status: String,
        /// The end of what it printed.
        tail: String,
    },
    /// A program did not come to its end.
    #[error("{program} was {failure}")]
    Unfinished {
        /// As in the error: for example `mkfs.erofs`.
        program: String,
        /// Why it has no result.
        failure: futuswarm_tools::child::Failure,
    },
    /// An address that cannot be used.
    #[error("{0}")]
    Address(String),
    /// The keys that sign Debian's archive are not there.
    #[error("{path}: {source}; install Debian's keys with `apt-get install debian-archive-keyring`")]
    Keyring {
        /// File or folder.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// The image's folder cannot be read or written.
    #[error(transparent)]
    Format(#[from] futuswarm_image_format::Error),
    /// Packages that the list names and the mirrors do not have under any version.
    #[error("Debian has no package {0} any more; take another into images/node/packages.toml")]
    Withdrawn(String),
    /// A mirror that was just asked for its indexes does not serve what they name.
    #[error("{0}; the mirror is being changed just now or is damaged: try again in some minutes, or another --mirror")]
    Mirror(String),
    /// The tools tree is not there or not whole.
    #[error(transparent)]
    Tools(#[from] futuswarm_tools::Error),
    /// The packages of the lock cannot be had, or are not what it says.
    #[error(
        "images/node/packages.lock cannot be met: {0}\n`cargo xtask bake --update-lock` takes today's packages; read the difference and commit it"
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
