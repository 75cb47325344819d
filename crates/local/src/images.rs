//! Registered images: which AMI boots from which disk.

use std::path::PathBuf;

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
}

/// Registers the image in `dir` (`disk.raw`, `manifest.json`, `register.json`), or finds it registered already.
pub async fn register(clients: &Clients, known: &Images, dir: &std::path::Path) -> Result<Image> {
    let dir = dir.canonicalize().map_err(file("no image there", dir))?;
    let manifest_path = dir.join("manifest.json");
    let manifest: Manifest = read_json(&manifest_path)?
        .ok_or_else(|| Error::Config(format!("{} does not exist: bake the image first", manifest_path.display())))?;
    let disk = dir.join("disk.raw");
    let size = std::fs::metadata(&disk).map_err(file("cannot read", &disk))?.len();
    if size < 1 << 20 {
        return Err(Error::Config(format!("{} has only {size} bytes: bake the image again", disk.display())));
    }
    // The disk's content may have changed under the same name: an AMI never changes, so that is a new one.
    if let Some(image) = known.images.iter().find(|image| image.name == manifest.name && image.disk == disk) {
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
