//! Everything that decides what an image is, and the digest over it.

use std::path::{Path, PathBuf};

use futuswarm_image_format::file_sha256;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::lock::PackageList;

/// Raised by hand when the pipeline itself changes what it makes of the same inputs.
const PIPELINE_VERSION: u32 = 4;

/// The files that a bake is a function of.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// `images/node` of the clone.
    pub images: PathBuf,
    /// `futuswarm-node`, dynamically linked against the image's glibc.
    pub node_binary: PathBuf,
    /// `futuswarm-init`: the first process, static.
    pub init_binary: PathBuf,
    /// `futuswarm-probe`: static; mounted into tasks.
    pub probe_binary: PathBuf,
    /// `futuswarm-mainpage`: static.
    pub mainpage_binary: PathBuf,
}

/// The package list of the image in `images`.
#[must_use]
pub fn package_list_path(images: &Path) -> PathBuf {
    images.join("packages.toml")
}

/// The lock of the image in `images`.
#[must_use]
pub fn lock_path(images: &Path) -> PathBuf {
    images.join("packages.lock")
}

impl Inputs {
    /// The overlay: a directory that mirrors the target tree.
    #[must_use]
    pub fn overlay(&self) -> PathBuf {
        self.images.join("rootfs")
    }

    /// Reads `packages.toml`.
    ///
    /// # Errors
    /// When it is missing or not what it should be.
    pub fn package_list(&self) -> Result<PackageList, Error> {
        PackageList::load(&package_list_path(&self.images))
    }

    /// A digest over all inputs, in hexadecimal: the image is a function of it.
    ///
    /// # Errors
    /// When an input cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut hash = Sha256::new();
        hash.update(PIPELINE_VERSION.to_le_bytes());
        for file in [&self.node_binary, &self.init_binary, &self.mainpage_binary, &self.probe_binary] {
            hash.update(file_sha256(file)?);
        }
        let mut files = Vec::new();
        collect(&self.images, &mut files)?;
        files.sort();
        for path in files {
            let name = path.strip_prefix(&self.images).unwrap_or(&path);
            hash.update(name.as_os_str().as_encoded_bytes());
            let metadata = path.symlink_metadata().map_err(Error::file(&path))?;
            if metadata.is_symlink() {
                let target = std::fs::read_link(&path).map_err(Error::file(&path))?;
                hash.update(target.as_os_str().as_encoded_bytes());
            } else {
                hash.update(file_sha256(&path)?);
            }
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// All files and links below `dir`.
pub(crate) fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(Error::file(dir))? {
        let path = entry.map_err(Error::file(dir))?.path();
        let kind = path.symlink_metadata().map_err(Error::file(&path))?;
        if kind.is_dir() {
            collect(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_changes_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("node");
        std::fs::create_dir_all(images.join("rootfs/etc")).unwrap();
        std::fs::write(images.join("rootfs/etc/a"), "1").unwrap();
        for name in ["n", "i", "m", "p"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let inputs = Inputs {
            images: images.clone(),
            node_binary: dir.path().join("n"),
            init_binary: dir.path().join("i"),
            mainpage_binary: dir.path().join("m"),
            probe_binary: dir.path().join("p"),
        };
        let mut digests = vec![inputs.digest().unwrap()];
        assert_eq!(inputs.digest().unwrap(), digests[0]);
        let changes = [("node/rootfs/etc/a", "2"), ("n", "2"), ("i", "2"), ("m", "2"), ("p", "2"), ("node/new", "")];
        for (file, content) in changes {
            std::fs::write(dir.path().join(file), content).unwrap();
            let digest = inputs.digest().unwrap();
            assert!(!digests.contains(&digest), "{file}");
            digests.push(digest);
        }
    }
}
