//! RegisterImage: the emulator takes a name and a description and forgets the rest.

use super::request::Refusal;
use crate::ebs::snapshots::{Snapshots, State};
use crate::form::Form;
use crate::images::{Image, Images};

/// What a registration asks for, or why EC2 would refuse it.
pub fn read(form: &Form, region: &str, snapshots: &Snapshots, images: &Images) -> Result<Image, Refusal> {
    let name = form.get("Name").unwrap_or_default();
    if let Some(image) = images.named(name, region) {
        let message = format!("AMI name {name} is already in use by AMI {}", image.ami);
        return Err(Refusal::new("InvalidAMIName.Duplicate", message));
    }
    let root = form.get("RootDeviceName").unwrap_or("/dev/sda1");
    let mut mappings = form.structures("BlockDeviceMapping").into_iter();
    let mapping = mappings.find(|mapping| mapping.get("DeviceName") == Some(root)).unwrap_or_default();
    let ebs = |key: &str| mapping.get(&format!("Ebs.{key}"));
    let Some(id) = ebs("SnapshotId") else {
        let message = format!("The root device {root} has no snapshot in the block device mapping");
        return Err(Refusal::new("InvalidBlockDeviceMapping", message));
    };
    let snapshot = snapshots
        .get(id)
        .map_err(|_| Refusal::new("InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist.")))?;
    if snapshot.state != State::Completed {
        let message = format!("Snapshot {id} is in invalid state: pending");
        return Err(Refusal::new("InvalidParameterValue", message));
    }
    let gib = ebs("VolumeSize").map_or(Some(snapshot.spec.gib), |size| size.parse().ok());
    let Some(gib) = gib.filter(|gib| *gib >= snapshot.spec.gib) else {
        let message = format!("Volume size must be at least the snapshot's {} GiB", snapshot.spec.gib);
        return Err(Refusal::new("InvalidBlockDeviceMapping", message));
    };
    let text = |key: &str| form.get(key).map(str::to_owned);
    Ok(Image {
        ami: String::new(),
        name: name.to_owned(),
        region: region.to_owned(),
        disk: snapshot.file.clone(),
        snapshot: id.to_owned(),
        root_device_name: root.to_owned(),
        gib,
        architecture: text("Architecture").unwrap_or_else(|| "i386".to_owned()),
        virtualization_type: text("VirtualizationType").unwrap_or_else(|| "paravirtual".to_owned()),
        ena_support: form.get("EnaSupport") == Some("true"),
        sriov_net_support: text("SriovNetSupport"),
        boot_mode: text("BootMode"),
        tpm_support: text("TpmSupport"),
        imds_support: text("ImdsSupport"),
        volume_type: ebs("VolumeType").unwrap_or("gp2").to_owned(),
        delete_on_termination: ebs("DeleteOnTermination") != Some("false"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ebs::snapshots::{SnapshotSpec, make_file};

    #[test]
    fn only_a_completed_snapshot_becomes_an_image_and_only_once_by_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = Snapshots::new(dir.path().to_owned());
        let file = make_file(&snapshots.file_of("snap-1"), 2, None).unwrap();
        snapshots.begin("snap-1", SnapshotSpec { gib: 2, parent: None, token: String::new() }, file);
        let body = |snapshot: &str, size: &str| {
            Form::parse(&format!(
                "Name=node&RootDeviceName=%2Fdev%2Fxvda&BootMode=uefi&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda\
                 &BlockDeviceMapping.1.Ebs.SnapshotId={snapshot}&BlockDeviceMapping.1.Ebs.VolumeSize={size}"
            ))
        };
        let mut images = Images::default();
        let refused = |form: &Form, snapshots: &Snapshots, images: &Images| {
            read(form, "eu-west-1", snapshots, images).unwrap_err().code
        };
        assert_eq!(refused(&body("snap-1", "2"), &snapshots, &images), "InvalidParameterValue");
        snapshots.complete("snap-1", 0, None).unwrap();
        snapshots.poll("snap-1");
        assert_eq!(refused(&body("snap-2", "2"), &snapshots, &images), "InvalidSnapshot.NotFound");
        assert_eq!(refused(&body("snap-1", "1"), &snapshots, &images), "InvalidBlockDeviceMapping");
        assert_eq!(refused(&Form::parse("Name=node"), &snapshots, &images), "InvalidBlockDeviceMapping");
        let image = read(&body("snap-1", "3"), "eu-west-1", &snapshots, &images).unwrap();
        assert_eq!((image.gib, image.boot_mode.as_deref()), (3, Some("uefi")));
        images.images.push(image);
        assert_eq!(refused(&body("snap-1", "2"), &snapshots, &images), "InvalidAMIName.Duplicate");
        assert!(read(&body("snap-1", "2"), "eu-north-1", &snapshots, &images).is_ok(), "names are per region");
    }
}
