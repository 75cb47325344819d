//! Comparing an image, field by field, with what it should have been registered with.

use aws_sdk_ec2::types::Image;
use futuswarm_image_format::Registration;
use serde::Serialize;

use crate::snapshot::tag;

/// The comparison of one field. Its JSON form is an interface: it keeps its first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The API's name of it; tags are `tag KEY`.
    pub field: String,
    /// What was baked.
    #[serde(rename = "wanted")]
    pub desired: String,
    /// What EC2 answers; empty when EC2 does not say.
    #[serde(rename = "found")]
    pub observed: String,
    /// Whether the two are the same.
    pub good: bool,
}

/// Compares an image with its registration.
#[must_use]
pub fn compare(image: &Image, desired: &Registration) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |field: &str, desired: &str, observed: Option<&str>| {
        let (desired, observed) = (desired.to_owned(), observed.unwrap_or_default().to_owned());
        checks.push(Check { field: field.to_owned(), good: desired == observed, desired, observed });
    };
    check("State", "available", image.state().map(|state| state.as_str()));
    check("Name", &desired.name, image.name());
    check("Description", &desired.description, image.description());
    check("Architecture", &desired.architecture, image.architecture().map(|value| value.as_str()));
    check("VirtualizationType", &desired.virtualization_type, image.virtualization_type().map(|value| value.as_str()));
    check("RootDeviceName", &desired.root_device_name, image.root_device_name());
    check("RootDeviceType", "ebs", image.root_device_type().map(|value| value.as_str()));
    check(
        "EnaSupport",
        &desired.ena_support.to_string(),
        image.ena_support().map(|yes| if yes { "true" } else { "false" }),
    );
    check("SriovNetSupport", desired.sriov_net_support.as_deref().unwrap_or_default(), image.sriov_net_support());
    check("BootMode", desired.boot_mode.as_deref().unwrap_or_default(), image.boot_mode().map(|value| value.as_str()));
    check(
        "TpmSupport",
        desired.tpm_support.as_deref().unwrap_or_default(),
        image.tpm_support().map(|value| value.as_str()),
    );
    check(
        "ImdsSupport",
        desired.imds_support.as_deref().unwrap_or_default(),
        image.imds_support().map(|value| value.as_str()),
    );
    for mapping in &desired.block_device_mappings {
        let mut mappings = image.block_device_mappings().iter();
        let registered = mappings.find(|registered| registered.device_name() == Some(mapping.device_name.as_str()));
        let volume = registered.and_then(|registered| registered.ebs());
        let field = |name: &str| format!("{}.{name}", mapping.device_name);
        let snapshot = volume.and_then(|volume| volume.snapshot_id()).filter(|id| id.starts_with("snap-"));
        check(&field("SnapshotId"), mapping.ebs.snapshot_id.as_deref().or(snapshot).unwrap_or("a snapshot"), snapshot);
        let size = volume.and_then(|volume| volume.volume_size()).map(|size| size.to_string());
        check(&field("VolumeSize"), &mapping.ebs.volume_size.to_string(), size.as_deref());
        check(
            &field("VolumeType"),
            &mapping.ebs.volume_type,
            volume.and_then(|volume| volume.volume_type()).map(|kind| kind.as_str()),
        );
        let goes = volume.and_then(|volume| volume.delete_on_termination()).map(|yes| yes.to_string());
        check(&field("DeleteOnTermination"), &mapping.ebs.delete_on_termination.to_string(), goes.as_deref());
    }
    check(
        "BlockDeviceMappings",
        &desired.block_device_mappings.len().to_string(),
        Some(&image.block_device_mappings().len().to_string()),
    );
    // An image that anybody may start can be read by anybody.
    check("Public", "false", Some(if image.public() == Some(true) { "true" } else { "false" }));
    for known in desired.tags() {
        check(&format!("tag {}", known.key), &known.value, tag(image.tags(), &known.key));
    }
    checks
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{BlockDeviceMapping, BootModeValues, EbsBlockDevice, ImageState};

    use super::*;
    use crate::image::tests::manifest;

    #[test]
    fn every_field_that_differs_is_named() {
        let volume = EbsBlockDevice::builder().snapshot_id("snap-1").volume_size(8).delete_on_termination(true).build();
        let image = Image::builder()
            .name("futuswarm-node-1")
            .state(ImageState::Available)
            .boot_mode(BootModeValues::LegacyBios)
            .public(true)
            .block_device_mappings(BlockDeviceMapping::builder().device_name("/dev/xvda").ebs(volume).build())
            .build();
        let desired = Registration { tpm_support: Some("v2.0".to_owned()), ..manifest().registration() };
        let checks = compare(&image, &desired);
        let good = |field: &str| checks.iter().find(|check| check.field == field).unwrap().good;
        for field in ["Name", "State", "/dev/xvda.SnapshotId", "/dev/xvda.DeleteOnTermination", "BlockDeviceMappings"] {
            assert!(good(field), "{field}");
        }
        for field in [
            "BootMode",
            "ImdsSupport",
            "TpmSupport",
            "EnaSupport",
            "/dev/xvda.VolumeSize",
            "Public",
            "tag futuswarm:image",
        ] {
            assert!(!good(field), "{field}");
        }
        let boot = checks.iter().find(|check| check.field == "BootMode").unwrap();
        assert_eq!((boot.desired.as_str(), boot.observed.as_str()), ("uefi", "legacy-bios"));
    }
}
