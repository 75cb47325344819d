//! The folder of a baked image, which bakes write and publishing reads: names of files, their types, digests.
//!
//! | file | content |
//! |---|---|
//! | [`DISK`] | the disk, sparse |
//! | [`MANIFEST`] | [`Manifest`]: name, digests, packages |
//! | [`REGISTRATION`] | [`Registration`]: the whole body of RegisterImage, less the snapshot's id |
//! | [`BLOCKS`] | [`BlockIndex`]: SHA-256 of every block |
//!
//! The files of `golden/` are the format: what changes them changes what programs of other versions read.

mod blocks;
mod folder;
mod manifest;
mod registration;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use blocks::{BLOCK_SIZE, BlockIndex, Checksum, ZERO_BLOCK};
pub use folder::ImageFolder;
pub use manifest::{Manifest, Package, Stage};
pub use registration::{Mapping, Registration, Tag, TagSpecification, Volume};

/// The whole disk as a raw, sparse file: GPT, ESP, root and hash tree.
pub const DISK: &str = "disk.raw";
/// The file of a [`Manifest`].
pub const MANIFEST: &str = "manifest.json";
/// The file of a [`Registration`].
pub const REGISTRATION: &str = "register.json";
/// The file of a [`BlockIndex`].
pub const BLOCKS: &str = "blocks.idx";

/// The family of the node images: by this tag an image finds the one before it, of which it then sends only the difference.
pub const FAMILY: &str = "futuswarm-node";
/// Tag on images and snapshots: the family. Only what carries it is ever deleted.
pub const FAMILY_TAG: &str = "futuswarm:image";
/// Tag on images and snapshots: SHA-256 of the disk.
pub const DISK_TAG: &str = "futuswarm:disk-sha256";
/// Tag on images: the dm-verity root hash.
pub const ROOT_HASH_TAG: &str = "futuswarm:root-hash";

/// Failures of reading and writing an image's folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that every image has is not there.
    #[error("{} does not exist: bake the image first (`cargo xtask bake`)", .0.display())]
    Missing(PathBuf),
    /// A file operation failed.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why; a part of the message, so not its source.
        reason: std::io::Error,
    },
    /// A file is not JSON of this format.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why; a part of the message, so not its source.
        reason: serde_json::Error,
    },
    /// A file is not a whole number of digests.
    #[error("{} is no index of blocks: it has {bytes} bytes", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
}

/// For `map_err` after a file operation on `path`.
fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |reason| Error::File { path: path.to_owned(), reason }
}

/// SHA-256 of a whole file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut content = std::fs::File::open(path).map_err(file(path))?;
    std::io::copy(&mut content, &mut hash).map_err(file(path))?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests;
