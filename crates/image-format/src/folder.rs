//! Reading and writing an image's folder.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{BLOCKS, BlockIndex, DISK, Error, MANIFEST, Manifest, REGISTRATION, Registration, file};

/// Files of one baked image, wherever the folder lies.
#[derive(Debug, Clone)]
pub struct ImageFolder(PathBuf);

impl ImageFolder {
    /// The folder at `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Where the folder is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Where the disk is; whoever makes an image writes it.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.0.join(DISK)
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// When it is missing or not what it should be.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        read_json(&self.0.join(MANIFEST))
    }

    /// Reads `register.json`.
    ///
    /// # Errors
    /// When it is missing or not what it should be.
    pub fn registration(&self) -> Result<Registration, Error> {
        read_json(&self.0.join(REGISTRATION))
    }

    /// Reads `blocks.idx`, or `None` when there is none.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn blocks(&self) -> Result<Option<BlockIndex>, Error> {
        let path = self.0.join(BLOCKS);
        path.exists().then(|| BlockIndex::load(&path)).transpose()
    }

    /// Writes everything but the disk; the registration follows from the manifest.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, manifest: &Manifest, blocks: Option<&BlockIndex>) -> Result<(), Error> {
        if let Some(blocks) = blocks {
            let path = self.0.join(BLOCKS);
            std::fs::write(&path, blocks.as_bytes()).map_err(file(&path))?;
        }
        write_json(&self.0.join(MANIFEST), manifest)?;
        write_json(&self.0.join(REGISTRATION), &manifest.registration())
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::Missing(path.to_owned())),
        read => read.map_err(file(path))?,
    };
    serde_json::from_slice(&text).map_err(|reason| Error::Json { path: path.to_owned(), reason })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|reason| Error::Json { path: path.to_owned(), reason })?;
    std::fs::write(path, text + "\n").map_err(file(path))
}
