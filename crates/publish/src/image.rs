//! A baked image in its folder: `disk.raw`, `manifest.json`, `register.json`, `blocks.idx`.

use std::path::{Path, PathBuf};

use futuswarm_image_format::{
    BLOCK_SIZE, BlockIndex, DISK_TAG, FAMILY_TAG, ImageFolder, Manifest, Registration, file_sha256,
};

use crate::blocks::{index_of_disk, present};
use crate::error::{Error, Result, file};

/// A baked image whose files were checked against each other.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// Path of `disk.raw`.
    pub disk: PathBuf,
    /// The body of RegisterImage.
    pub registration: Registration,
    /// SHA-256 of the disk in hexadecimal.
    pub disk_sha256: String,
    /// Made from the disk, not read from `blocks.idx`.
    pub index: BlockIndex,
    /// Those that a snapshot must have.
    pub present: Vec<u32>,
    /// Packages that are newer than the lock; with any, the image is for rehearsals.
    pub newer_than_lock: Vec<String>,
}

impl LocalImage {
    /// Reads a folder. Every block is read, so that what is sent is what was baked. Without an index of its blocks the disk must
    /// have the digest that the manifest says; in a rehearsal nobody relies on that.
    ///
    /// # Errors
    /// When something is missing, damaged, or not meant for publishing.
    pub fn load(dir: &Path, rehearsal: bool) -> Result<Self> {
        let folder = ImageFolder::new(dir);
        let (manifest, registration) = (folder.manifest()?, folder.registration()?);
        if !manifest.newer_than_lock.is_empty() && !rehearsal {
            return Err(Error::Refused(format!(
                "{} has packages that are newer than images/node/packages.lock and is for rehearsals only: \
                 `cargo xtask bake --update-lock`, commit the lock, then publish",
                manifest.name
            )));
        }
        let (disk, damaged) = (folder.disk(), |what: String| {
            Error::Wrong(format!("{}: {what}; delete the folder and bake the image again", dir.display()))
        });
        let bytes = std::fs::metadata(&disk).map_err(file(&disk))?.len();
        if bytes != manifest.disk_bytes {
            return Err(damaged(format!("disk.raw has {bytes} bytes instead of {}", manifest.disk_bytes)));
        }
        let index = index_of_disk(&disk)?;
        match folder.blocks()? {
            Some(baked) if baked != index => {
                return Err(damaged("disk.raw is not what was baked (blocks.idx says otherwise)".to_owned()));
            }
            None if !rehearsal && file_sha256(&disk)? != manifest.disk_sha256 => {
                return Err(damaged("disk.raw is not what was baked (manifest.json says otherwise)".to_owned()));
            }
            _ => {}
        }
        check(&registration, &manifest)?;
        let present = present(&disk, &index)?;
        let Manifest { disk_sha256, newer_than_lock, .. } = manifest;
        Ok(Self { disk, registration, disk_sha256, index, present, newer_than_lock })
    }

    /// Makes sure that the image may be what clusters start from. A rehearsal may not: nothing says again what is in it.
    ///
    /// # Errors
    /// When it is for rehearsals and this is not the local cloud.
    pub fn promotable(&self, local: bool) -> Result<()> {
        if local || self.newer_than_lock.is_empty() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{} is for rehearsals and not promoted: {} of its packages are newer than images/node/packages.lock. \
             `cargo xtask bake --update-lock`, commit the lock, then publish; or leave out --promote and name the image \
             when you deploy",
            self.registration.name,
            self.newer_than_lock.len()
        )))
    }

    /// The family: what successive images of one kind have in common.
    #[must_use]
    pub fn family(&self) -> &str {
        self.registration.tag(FAMILY_TAG).unwrap_or_default()
    }

    /// The snapshot's size in GiB.
    #[must_use]
    pub fn gib(&self) -> u32 {
        u32::try_from((self.index.checksums().len() as u64 * BLOCK_SIZE as u64).div_ceil(1 << 30)).unwrap_or(u32::MAX)
    }
}

fn check(registration: &Registration, manifest: &Manifest) -> Result<()> {
    let name = &manifest.name;
    let refuse = |what: &str| Err(Error::Refused(format!("register.json of {name}: {what}; bake the image again")));
    if registration.name != *name {
        return refuse("the name is not that of manifest.json");
    }
    if registration.block_device_mappings.len() != 1 || registration.root().is_none() {
        return refuse("the block device mapping must be the root device and nothing else");
    }
    if registration.tag(FAMILY_TAG).is_none() || registration.tag(DISK_TAG) != Some(&manifest.disk_sha256) {
        return refuse("the tag futuswarm:image is missing, or futuswarm:disk-sha256 is not that of manifest.json");
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use futuswarm_image_format::{BLOCKS, DISK, MANIFEST};
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// The disk of the tests' image.
    fn disk() -> Vec<u8> {
        vec![7; 1 << 20]
    }

    pub(crate) fn manifest() -> Manifest {
        let disk_sha256 = hex::encode(Sha256::digest(disk()));
        Manifest { name: "futuswarm-node-1".to_owned(), disk_sha256, disk_bytes: 1 << 20, ..Manifest::default() }
    }

    fn folder(manifest: &Manifest) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DISK), disk()).unwrap();
        ImageFolder::new(dir.path()).write(manifest, None).unwrap();
        dir
    }

    #[test]
    fn an_image_that_is_not_whole_is_refused_with_a_remedy() {
        let dir = folder(&manifest());
        let reason = |dir: &Path| LocalImage::load(dir, false).unwrap_err().to_string();
        let image = LocalImage::load(dir.path(), false).unwrap();
        assert_eq!((image.family(), image.gib(), image.present.as_slice()), ("futuswarm-node", 1, [0, 1].as_slice()));

        std::fs::write(dir.path().join(BLOCKS), image.index.as_bytes()).unwrap();
        LocalImage::load(dir.path(), false).unwrap();
        std::fs::write(dir.path().join(DISK), vec![8; 1 << 20]).unwrap();
        assert!(reason(dir.path()).contains("blocks.idx says otherwise"), "{}", reason(dir.path()));
        std::fs::remove_file(dir.path().join(BLOCKS)).unwrap();
        assert!(reason(dir.path()).contains("manifest.json says otherwise"), "{}", reason(dir.path()));
        LocalImage::load(dir.path(), true).unwrap();
        std::fs::write(dir.path().join(DISK), [7; 5]).unwrap();
        assert!(reason(dir.path()).contains("has 5 bytes instead of 1048576; delete"), "{}", reason(dir.path()));
        std::fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        assert!(reason(dir.path()).contains("does not exist: bake the image first"), "{}", reason(dir.path()));

        let newer = folder(&Manifest { newer_than_lock: vec!["bash".to_owned()], ..manifest() });
        assert!(reason(newer.path()).contains("for rehearsals only"), "{}", reason(newer.path()));
        let rehearsal = LocalImage::load(newer.path(), true).unwrap();
        assert!(rehearsal.promotable(false).unwrap_err().to_string().contains("1 of its packages"));
        rehearsal.promotable(true).unwrap();
        image.promotable(false).unwrap();
        let other = folder(&manifest());
        let renamed = Manifest { name: "futuswarm-node-2".to_owned(), ..manifest() };
        std::fs::write(other.path().join(MANIFEST), serde_json::to_vec(&renamed).unwrap()).unwrap();
        assert!(reason(other.path()).contains("the name is not that of"), "{}", reason(other.path()));
    }
}
