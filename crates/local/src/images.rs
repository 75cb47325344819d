//! Registered images: which AMI boots from which disk.

use std::path::{Path, PathBuf};

use futuswarm_aws::Error as AwsError;
use serde::{Deserialize, Serialize};

use crate::aws::Clients;
use crate::error::{Error, Result, file};
use crate::layout::read_json;

/// One registered image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The AMI id.
    pub ami: String,
    /// The AMI's name.
    pub name: String,
    /// The disk that instances start from; never written to.
    pub disk: PathBuf,
    /// For example `/dev/xvda`.
    pub root_device_name: String,
    /// The disk's size, rounded up to GiB.
    pub gib: u64,
}

/// All registered images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// In the order of registration.
    pub images: Vec<Image>,
}

impl Images {
    /// The image with this id.
    pub fn by_ami(&self, ami: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.ami == ami)
    }
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    disk_sha256: Option<String>,
    disk_bytes: Option<u64>,
}

/// The manifest of a whole image, and the disk's size. What is on the disk is checked block by block when it is read.
fn whole(dir: &Path) -> Result<(Manifest, u64)> {
    let path = dir.join("manifest.json");
    let manifest: Manifest = read_json(&path)?
        .ok_or_else(|| Error::Config(format!("{} does not exist: bake the image first", path.display())))?;
    let disk = dir.join("disk.raw");
    let size = std::fs::metadata(&disk).map_err(file("cannot read", &disk))?.len();
    match manifest.disk_bytes {
        Some(expected) if expected != size => Err(Error::Config(format!(
            "{} has {size} bytes instead of {expected}: delete {} and bake the image again",
            disk.display(),
            dir.display()
        ))),
        _ => Ok((manifest, size)),
    }
}

/// Registers the image in `dir` (`disk.raw`, `manifest.json`, `register.json`), or finds it registered already.
pub async fn register(clients: &Clients, known: &Images, dir: &Path) -> Result<Image> {
    let dir = dir.canonicalize().map_err(file("no image there", dir))?;
    let (manifest, size) = whole(&dir)?;
    let disk = dir.join("disk.raw");
    // The name is a digest of the inputs, and the bake is reproducible: another folder has the same image.
    if let Some(image) = known.images.iter().find(|image| image.name == manifest.name && image.disk.exists()) {
        return Ok(image.clone());
    }
    let body: serde_json::Value = read_json(&dir.join("register.json"))?.unwrap_or_default();
    let root = body["RootDeviceName"].as_str().unwrap_or("/dev/xvda").to_owned();
    let made = clients
        .ec2
        .register_image()
        .name(&manifest.name)
        .set_description(body["Description"].as_str().map(str::to_owned))
        .architecture(aws_sdk_ec2::types::ArchitectureValues::X8664)
        .root_device_name(&root)
        .virtualization_type("hvm")
        .send()
        .await
        .map_err(|error| AwsError::new("RegisterImage", error))?;
    let ami = made.image_id.ok_or_else(|| Error::Config("the AWS emulator registered no image".to_owned()))?;
    let mut tags = vec![("Name".to_owned(), manifest.name.clone())];
    tags.extend(manifest.disk_sha256.map(|hash| ("futuswarm:disk-sha256".to_owned(), hash)));
    for specification in body["TagSpecifications"].as_array().into_iter().flatten() {
        for tag in specification["Tags"].as_array().into_iter().flatten() {
            if let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) {
                tags.push((key.to_owned(), value.to_owned()));
            }
        }
    }
    let tags = tags.into_iter().map(|(key, value)| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build());
    clients
        .ec2
        .create_tags()
        .resources(&ami)
        .set_tags(Some(tags.collect()))
        .send()
        .await
        .map_err(|error| AwsError::new("CreateTags", error))?;
    Ok(Image { ami, name: manifest.name, disk, root_device_name: root, gib: size.div_ceil(1 << 30) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_or_missing_image_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let reason = || whole(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert!(reason().contains("does not exist: bake the image first"), "{}", reason());
        std::fs::write(dir.path().join("manifest.json"), r#"{"name":"node","disk_bytes":4096}"#).unwrap();
        assert!(reason().contains("cannot read"), "{}", reason());
        std::fs::write(dir.path().join("disk.raw"), [1; 100]).unwrap();
        assert!(reason().contains("has 100 bytes instead of 4096: delete "), "{}", reason());
        std::fs::write(dir.path().join("disk.raw"), [1; 4096]).unwrap();
        assert_eq!(whole(dir.path()).unwrap().1, 4096);
        std::fs::write(dir.path().join("manifest.json"), "{").unwrap();
        assert!(reason().contains("manifest.json"), "{}", reason());
    }
}
