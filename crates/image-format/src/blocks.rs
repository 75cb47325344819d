//! `blocks.idx`: the digests of a disk's blocks.

use std::path::Path;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::{Error, file};

/// The size in bytes of a block of the EBS direct APIs.
pub const BLOCK_SIZE: usize = 512 * 1024;

/// SHA-256 of a block.
pub type Checksum = [u8; 32];

/// The digest of a block of zeros, which most of a sparse disk consists of.
pub static ZERO_BLOCK: LazyLock<Checksum> = LazyLock::new(|| Sha256::digest(vec![0; BLOCK_SIZE]).into());

/// The digests of all blocks of a disk, in order; the end of the last block counts as zeros. As a file it is nothing but them, 32
/// bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIndex(Vec<Checksum>);

impl From<Vec<Checksum>> for BlockIndex {
    fn from(digests: Vec<Checksum>) -> Self {
        Self(digests)
    }
}

impl BlockIndex {
    /// Reads an index file.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(file(path))?;
        let (digests, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(Error::Index { path: path.to_owned(), bytes: bytes.len() });
        }
        Ok(Self(digests.to_vec()))
    }

    /// The file's content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    /// SHA-256 of the index, in hexadecimal: its name.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:x}", Sha256::digest(self.as_bytes()))
    }

    /// One digest for each block, in order.
    #[must_use]
    pub fn checksums(&self) -> &[Checksum] {
        &self.0
    }

    /// The digest of a block; beyond the disk's end there are zeros.
    #[must_use]
    pub fn checksum(&self, index: u32) -> &Checksum {
        self.0.get(index as usize).unwrap_or(&ZERO_BLOCK)
    }
}
