//! `register.json`: the body of RegisterImage. A field that is not known here is an error and is not left out in silence.

use serde::{Deserialize, Serialize};

use crate::{DISK_TAG, FAMILY, FAMILY_TAG, Manifest, ROOT_HASH_TAG};

/// What volumes of the image are made as.
const ROOT_DEVICE: &str = "/dev/xvda";

/// The whole body of a RegisterImage call; only the snapshot's id is filled in after the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Registration {
    /// Unique within an account and region.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<String>,
    /// For example `uefi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<String>,
    /// For example `v2.0`. With it EC2 starts the image on no instance without a NitroTPM, such as every bare one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_support: Option<String>,
    /// For example `v2.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imds_support: Option<String>,
    /// Exactly the root device.
    pub block_device_mappings: Vec<Mapping>,
    /// In practice one, for the image.
    #[serde(default)]
    pub tag_specifications: Vec<TagSpecification>,
}

/// A block device of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Mapping {
    /// For example `/dev/xvda`.
    pub device_name: String,
    /// What is attached there.
    pub ebs: Volume,
}

/// How the volume of a block device is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Volume {
    /// Filled in after the upload; `null` in the file.
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
    /// For example `image`.
    pub resource_type: String,
    /// Each key once.
    pub tags: Vec<Tag>,
}

/// A key and a value, within EC2's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Tag {
    /// At most 128 characters.
    pub key: String,
    /// At most 256 characters.
    pub value: String,
}

impl Manifest {
    /// How EC2 is told of this image. Nothing in it uses a TPM.
    #[must_use]
    pub fn registration(&self) -> Registration {
        let tags = [
            ("Name", &self.name),
            (FAMILY_TAG, &FAMILY.to_owned()),
            (DISK_TAG, &self.disk_sha256),
            (ROOT_HASH_TAG, &self.root_hash),
        ];
        let tags = tags.map(|(key, value)| Tag { key: key.to_owned(), value: value.clone() });
        let ebs = Volume {
            snapshot_id: None,
            volume_type: "gp3".to_owned(),
            volume_size: u32::try_from(self.disk_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX),
            delete_on_termination: true,
        };
        Registration {
            name: self.name.clone(),
            description: format!("Futuswarm node, Debian 13, Linux {}", self.kernel),
            architecture: "x86_64".to_owned(),
            virtualization_type: "hvm".to_owned(),
            root_device_name: ROOT_DEVICE.to_owned(),
            ena_support: true,
            sriov_net_support: Some("simple".to_owned()),
            boot_mode: Some("uefi".to_owned()),
            tpm_support: None,
            imds_support: Some("v2.0".to_owned()),
            block_device_mappings: vec![Mapping { device_name: ROOT_DEVICE.to_owned(), ebs }],
            tag_specifications: vec![TagSpecification { resource_type: "image".to_owned(), tags: tags.to_vec() }],
        }
    }
}

impl Registration {
    /// A tag of the image.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
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
