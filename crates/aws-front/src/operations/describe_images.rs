//! DescribeImages: the emulator forgets most of what an image was registered with.

use crate::images::{Image, Images};
use crate::xml::{self, Element, leaf, node};

/// Puts what was registered into the emulator's answer, image by image.
pub fn complete(answer: &mut Element, images: &Images) {
    for item in xml::entries_mut(answer, "imagesSet") {
        if let Some(image) = xml::text(item, "imageId").and_then(|id| images.by_ami(&id)) {
            describe(item, image);
        }
    }
}

fn describe(item: &mut Element, image: &Image) {
    let flag = |flag: bool| if flag { "true" } else { "false" };
    let ebs = [
        leaf("deleteOnTermination", flag(image.delete_on_termination)),
        leaf("snapshotId", &image.snapshot),
        leaf("volumeSize", image.gib.to_string()),
        leaf("volumeType", &image.volume_type),
        leaf("encrypted", "false"),
    ];
    let mapping = node("item", [leaf("deviceName", &image.root_device_name), node("ebs", ebs)]);
    xml::set(item, node("blockDeviceMapping", [mapping]));
    for (element, value) in [
        ("rootDeviceName", Some(image.root_device_name.as_str())),
        ("rootDeviceType", Some("ebs")),
        ("virtualizationType", Some(image.virtualization_type.as_str())),
        ("architecture", Some(image.architecture.as_str())),
        ("enaSupport", Some(flag(image.ena_support))),
        ("sriovNetSupport", image.sriov_net_support.as_deref()),
        ("bootMode", image.boot_mode.as_deref()),
        ("tpmSupport", image.tpm_support.as_deref()),
        ("imdsSupport", image.imds_support.as_deref()),
        ("hypervisor", Some("xen")),
    ] {
        if let Some(value) = value {
            xml::set(item, leaf(element, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_images_are_completed_and_their_tags_stay() {
        let images = Images {
            images: vec![Image {
                ami: "ami-1".to_owned(),
                name: "node".to_owned(),
                region: "eu-west-1".to_owned(),
                disk: "/x/disk.raw".into(),
                snapshot: "snap-1".to_owned(),
                root_device_name: "/dev/xvda".to_owned(),
                gib: 3,
                architecture: "x86_64".to_owned(),
                virtualization_type: "hvm".to_owned(),
                ena_support: true,
                sriov_net_support: None,
                boot_mode: Some("uefi".to_owned()),
                tpm_support: Some("v2.0".to_owned()),
                imds_support: Some("v2.0".to_owned()),
                volume_type: "gp3".to_owned(),
                delete_on_termination: true,
            }],
        };
        let answer = "<R><imagesSet><item><blockDeviceMapping><item><ebs><volumeSize>15</volumeSize></ebs></item></blockDeviceMapping>\
                      <tagSet><item><key>a</key><value>b</value></item></tagSet><imageId>ami-1</imageId></item>\
                      <item><rootDeviceName>/dev/sda1</rootDeviceName><imageId>ami-2</imageId></item></imagesSet></R>";
        let mut answer = xml::parse(answer.as_bytes()).unwrap();
        complete(&mut answer, &images);
        let out = xml::write(&answer);
        for expected in [
            "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><deleteOnTermination>true</deleteOnTermination><snapshotId>snap-1</snapshotId><volumeSize>3</volumeSize><volumeType>gp3</volumeType>",
            "<tagSet><item><key>a</key><value>b</value></item></tagSet>",
            "<bootMode>uefi</bootMode><tpmSupport>v2.0</tpmSupport><imdsSupport>v2.0</imdsSupport>",
            "<item><rootDeviceName>/dev/sda1</rootDeviceName><imageId>ami-2</imageId></item></imagesSet>",
        ] {
            assert!(out.contains(expected), "{expected} in {out}");
        }
        assert!(!out.contains("<volumeSize>15</volumeSize>"), "{out}");
    }
}
