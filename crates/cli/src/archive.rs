//! Images in tar archives: what `docker save` writes, and OCI image layouts. The archive is read where it is, through `Read + Seek`; no
//! layer is ever held in memory, and every length has a limit that is checked before anything is kept for it.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

mod layer;
mod manifest;
mod tar;
#[cfg(test)]
pub(crate) mod tests;

pub use layer::{Hashed, digest, gunzip_to, gzip_to, hash};
pub use manifest::{Compression, Descriptor, GZIP_LAYER, Image, Layer, MANIFEST};

/// The most files in an archive. An image has a few for each of its layers, of which there are at most 127.
const MOST_FILES: usize = 100_000;
/// The longest JSON document in bytes: registries take manifests of 4 MiB.
const LONGEST_DOCUMENT: u64 = 4 << 20;
/// The most layers of an image.
const MOST_LAYERS: usize = 1000;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read, or has less in it than it says.
    #[error("the archive cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no tar archive, or a part of one.
    #[error("{0}")]
    Tar(String),
    /// It is no image, or not the one that is wanted.
    #[error("{0}")]
    Image(String),
    /// Something in it is not what its digest says.
    #[error("{what} is damaged: its digest is {found}, and the archive says {wanted}")]
    Digest {
        /// In words.
        what: String,
        /// As its bytes are.
        found: String,
        /// As another part of the archive says.
        wanted: String,
    },
}

/// Where the bytes of a file in the archive are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the beginning of the archive, in bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(Place),
    /// To another name in the archive; `docker save` once wrote a layer that is there twice like this.
    Link(String),
}

/// An archive whose table of contents was read.
#[derive(Debug)]
pub struct Archive<R> {
    reader: R,
    entries: BTreeMap<String, Entry>,
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the table of contents.
    ///
    /// # Errors
    /// When it is no tar archive, or ends too early.
    pub fn open(mut reader: R) -> Result<Self, ArchiveError> {
        let entries = tar::entries(&mut reader)?;
        Ok(Self { reader, entries })
    }

    /// The image in it for a platform, such as `linux/amd64`; `wanted` is its name where there are several.
    ///
    /// # Errors
    /// When there is none, or it is for other platforms, or something is missing or longer than it may be.
    pub fn image(&mut self, wanted: Option<&str>, platform: &str) -> Result<Image, ArchiveError> {
        manifest::image(self, wanted, platform)
    }

    /// Whether a file of this name is in it.
    fn has(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Where a file is; links are followed.
    fn place(&self, name: &str) -> Result<Place, ArchiveError> {
        let mut name = name;
        for _ in 0..8 {
            match self.entries.get(name) {
                Some(Entry::File(place)) => return Ok(*place),
                Some(Entry::Link(to)) => name = to,
                None => break,
            }
        }
        Err(ArchiveError::Image(format!("{name:?} is not in the archive: it is cut, or no image")))
    }

    /// A file's bytes, to be read to their end.
    ///
    /// # Errors
    /// When the archive cannot be read there.
    pub fn read(&mut self, place: Place) -> Result<impl Read + '_, ArchiveError> {
        self.reader.seek(SeekFrom::Start(place.offset))?;
        Ok((&mut self.reader).take(place.length))
    }

    /// A file as a whole, if it is not longer than a document may be.
    fn document(&mut self, place: Place, name: &str) -> Result<Vec<u8>, ArchiveError> {
        if place.length > LONGEST_DOCUMENT {
            return Err(ArchiveError::Image(format!(
                "{name} is {} bytes long, which no such document is",
                place.length
            )));
        }
        let mut bytes = Vec::new();
        self.read(place)?.read_to_end(&mut bytes)?;
        match bytes.len() as u64 == place.length {
            true => Ok(bytes),
            false => Err(ArchiveError::Tar(format!("{name} is cut: the archive ends within it"))),
        }
    }
}
