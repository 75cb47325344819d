//! A baked image in its folder: `disk.raw`, `manifest.json`, `register.json`, `blocks.idx`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::blocks::{Index, present};
use crate::error::{Error, Result, file};
use crate::{DISK_TAG, FAMILY_TAG};

/// The body of RegisterImage as the bake wrote it. A field that is not known here is an error and is not left out in silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Registration {
    /// The image's name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For example `x86_64`.
    pub architecture: String,
    /// For example `hvm`.
    pub virtualization_type: String,
    /// For example `/dev/xvda`.
    pub root_device_name: String,
    /// Elastic network adapter.
    pub ena_support: bool,
    /// For example `simple`.
    pub sriov_net_support: Option<String>,
    /// For example `uefi`.
    pub boot_mode: Option<String>,
    /// For example `v2.0`.
    pub tpm_support: Option<String>,
    /// For example `v2.0`.
    pub imds_support: Option<String>,
    /// Exactly the root device.
    pub block_device_mappings: Vec<Mapping>,
    /// Tags of the image.
    #[serde(default)]
    pub tag_specifications: Vec<TagSpecification>,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Mapping {
    /// Its name.
    pub device_name: String,
    /// The volume.
    pub ebs: Volume,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Volume {
    /// Filled in after the upload.
    pub snapshot_id: Option<String>,
    /// For example `gp3`.
    pub volume_type: String,
    /// In GiB.
    pub volume_size: u32,
    /// Whether it goes with its instance.
    pub delete_on_termination: bool,
}

/// Tags of one kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TagSpecification {
    /// The kind.
    pub resource_type: String,
    /// The tags.
    pub tags: Vec<Tag>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    name: String,
    disk_sha256: String,
    disk_bytes: u64,
    #[serde(default)]
    newer_than_lock: Vec<String>,
}

/// A whole image.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// The disk.
    pub disk: PathBuf,
    /// How EC2 is told of it.
    pub registration: Registration,
    /// SHA-256 of the disk.
    pub disk_sha256: String,
    /// All its blocks.
    pub index: Index,
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
        let manifest: Manifest = read_json(&dir.join("manifest.json"))?;
        let registration: Registration = read_json(&dir.join("register.json"))?;
        if !manifest.newer_than_lock.is_empty() && !rehearsal {
            return Err(Error::Refused(format!(
                "{} has packages that are newer than images/node/packages.lock and is for rehearsals only: \
                 `cargo xtask bake --update-lock`, commit the lock, then publish",
                manifest.name
            )));
        }
        let (disk, damaged) = (dir.join("disk.raw"), |what: String| {
            Error::Wrong(format!("{}: {what}; delete the folder and bake the image again", dir.display()))
        });
        let bytes = std::fs::metadata(&disk).map_err(file(&disk))?.len();
        if bytes != manifest.disk_bytes {
            return Err(damaged(format!("disk.raw has {bytes} bytes instead of {}", manifest.disk_bytes)));
        }
        let index = Index::of_disk(&disk)?;
        let known = dir.join("blocks.idx");
        match known.exists() {
            true if Index::load(&known)? != index => {
                return Err(damaged("disk.raw is not what was baked (blocks.idx says otherwise)".to_owned()));
            }
            false if !rehearsal && sha256(&disk)? != manifest.disk_sha256 => {
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
            "{} is for rehearsals and not promoted: {} of its packages are newer than images/node/packages.lock.              `cargo xtask bake --update-lock`, commit the lock, then publish; or leave out --promote and name the image              when you deploy",
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
        u32::try_from((self.index.len() as u64 * crate::blocks::BLOCK as u64).div_ceil(1 << 30)).unwrap_or(u32::MAX)
    }
}

impl Registration {
    /// A tag of the image.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        let tags = self.tag_specifications.iter().filter(|tags| tags.resource_type == "image");
        tags.flat_map(|tags| &tags.tags).find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }

    /// Every tag of the image.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        let tags = self.tag_specifications.iter().filter(|tags| tags.resource_type == "image");
        tags.flat_map(|tags| &tags.tags)
    }

    /// The root device.
    #[must_use]
    pub fn root(&self) -> Option<&Mapping> {
        self.block_device_mappings.iter().find(|mapping| mapping.device_name == self.root_device_name)
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

/// SHA-256 of a whole file, in hexadecimal.
fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut content = std::fs::File::open(path).map_err(file(path))?;
    std::io::copy(&mut content, &mut hash).map_err(file(path))?;
    Ok(hex::encode(hash.finalize()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Refused(format!(
                "{} does not exist: bake the image first (`cargo xtask bake`)",
                path.display()
            )));
        }
        read => read.map_err(file(path))?,
    };
    serde_json::from_slice(&text).map_err(|error| Error::Wrong(format!("{}: {error}", path.display())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The disk of the tests' image.
    fn disk() -> Vec<u8> {
        vec![7; 1 << 20]
    }

    fn digest() -> String {
        hex::encode(Sha256::digest(disk()))
    }

    pub(crate) fn registration() -> Registration {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        Registration {
            name: "futuswarm-node-1".to_owned(),
            description: "A node".to_owned(),
            architecture: "x86_64".to_owned(),
            virtualization_type: "hvm".to_owned(),
            root_device_name: "/dev/xvda".to_owned(),
            ena_support: true,
            sriov_net_support: Some("simple".to_owned()),
            boot_mode: Some("uefi".to_owned()),
            tpm_support: Some("v2.0".to_owned()),
            imds_support: Some("v2.0".to_owned()),
            block_device_mappings: vec![Mapping {
                device_name: "/dev/xvda".to_owned(),
                ebs: Volume {
                    snapshot_id: None,
                    volume_type: "gp3".to_owned(),
                    volume_size: 1,
                    delete_on_termination: true,
                },
            }],
            tag_specifications: vec![TagSpecification {
                resource_type: "image".to_owned(),
                tags: vec![tag(FAMILY_TAG, "futuswarm-node"), tag(DISK_TAG, &digest())],
            }],
        }
    }

    fn folder(manifest: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("disk.raw"), disk()).unwrap();
        std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();
        let registration = serde_json::to_string(&registration()).unwrap();
        std::fs::write(dir.path().join("register.json"), registration).unwrap();
        dir
    }

    #[test]
    fn an_image_that_is_not_whole_is_refused_with_a_remedy() {
        let digest = digest();
        let good = format!(r#"{{"name":"futuswarm-node-1","disk_sha256":"{digest}","disk_bytes":1048576}}"#);
        let dir = folder(&good);
        let reason = |dir: &Path| LocalImage::load(dir, false).unwrap_err().to_string();
        let image = LocalImage::load(dir.path(), false).unwrap();
        assert_eq!((image.family(), image.gib(), image.present.as_slice()), ("futuswarm-node", 1, [0, 1].as_slice()));

        image.index.save(&dir.path().join("blocks.idx")).unwrap();
        LocalImage::load(dir.path(), false).unwrap();
        std::fs::write(dir.path().join("disk.raw"), vec![8; 1 << 20]).unwrap();
        assert!(reason(dir.path()).contains("blocks.idx says otherwise"), "{}", reason(dir.path()));
        std::fs::remove_file(dir.path().join("blocks.idx")).unwrap();
        assert!(reason(dir.path()).contains("manifest.json says otherwise"), "{}", reason(dir.path()));
        LocalImage::load(dir.path(), true).unwrap();
        std::fs::write(dir.path().join("disk.raw"), [7; 5]).unwrap();
        assert!(reason(dir.path()).contains("has 5 bytes instead of 1048576; delete"), "{}", reason(dir.path()));
        std::fs::remove_file(dir.path().join("manifest.json")).unwrap();
        assert!(reason(dir.path()).contains("does not exist: bake the image first"), "{}", reason(dir.path()));

        let newer = folder(&good.replace('}', r#","newer_than_lock":["bash"]}"#));
        assert!(reason(newer.path()).contains("for rehearsals only"), "{}", reason(newer.path()));
        let rehearsal = LocalImage::load(newer.path(), true).unwrap();
        assert!(rehearsal.promotable(false).unwrap_err().to_string().contains("1 of its packages"));
        rehearsal.promotable(true).unwrap();
        image.promotable(false).unwrap();
        let other = folder(&good.replace("node-1", "node-2"));
        assert!(reason(other.path()).contains("the name is not that of"), "{}", reason(other.path()));
    }

    #[test]
    fn a_field_that_would_be_lost_is_an_error() {
        let mut text = serde_json::to_value(registration()).unwrap();
        text["UefiData"] = "x".into();
        let error = serde_json::from_value::<Registration>(text).unwrap_err().to_string();
        assert!(error.contains("UefiData"), "{error}");
    }
}
