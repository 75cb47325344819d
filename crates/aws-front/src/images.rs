//! Registered images: which AMI boots from which disk, and what it was registered with.

use std::path::PathBuf;

/// One registered image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The AMI id.
    pub ami: String,
    /// The AMI's name.
    pub name: String,
    /// The region in which it is registered, for example `eu-west-1`.
    pub region: String,
    /// The snapshot's file, from which instances start; never written to.
    pub disk: PathBuf,
    /// Id of the snapshot of the root device.
    pub snapshot: String,
    /// For example `/dev/xvda`.
    pub root_device_name: String,
    /// The root volume's least size in GiB.
    pub gib: u64,
    /// For example `x86_64`.
    pub architecture: String,
    /// For example `hvm`.
    pub virtualization_type: String,
    /// Whether it knows EC2's network adapter.
    pub ena_support: bool,
    /// For example `simple`.
    pub sriov_net_support: Option<String>,
    /// For example `uefi`.
    pub boot_mode: Option<String>,
    /// For example `v2.0`.
    pub tpm_support: Option<String>,
    /// For example `v2.0`.
    pub imds_support: Option<String>,
    /// For example `gp3`.
    pub volume_type: String,
    /// Whether the root volume goes with its instance.
    pub delete_on_termination: bool,
}

/// All registered images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// In the order of registration.
    pub images: Vec<Image>,
}

impl Images {
    /// The image with this id.
    pub fn by_ami(&self, ami: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.ami == ami)
    }

    /// The image with this name in a region.
    pub fn named(&self, name: &str, region: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.name == name && image.region == region)
    }
}
