//! DescribeSnapshots and DeleteSnapshot: the emulator knows neither pending snapshots nor images that are made of one.

use crate::ebs::snapshots::{Snapshots, State};
use crate::images::Images;
use crate::xml;

/// What the emulator calls the snapshot that it makes for itself with every image.
const AUTOMATIC: &str = "Auto-created snapshot for AMI ";

/// Puts the states in, and leaves out the emulator's own snapshots.
pub fn complete(answer: &str, snapshots: &mut Snapshots) -> String {
    xml::map_items(answer, "snapshotSet", |item| {
        if xml::content(item, "description").is_some_and(|text| text.starts_with(AUTOMATIC)) {
            return None;
        }
        let state = xml::content(item, "snapshotId").and_then(|id| snapshots.look(id));
        let (status, progress) = match state {
            None => return Some(item.to_owned()),
            Some(State::Pending) => ("pending", "0%"),
            Some(State::Completing) => ("pending", "99%"),
            Some(State::Completed) => ("completed", "100%"),
        };
        // Snapshots that come from the EBS direct APIs have no volume.
        let item = xml::set(item, "volumeId", "vol-ffffffff");
        Some(xml::set(&xml::set(&item, "status", status), "progress", progress))
    })
}

/// Why a snapshot must not be deleted, in EC2's form.
pub fn in_use(id: &str, images: &Images) -> Option<String> {
    let image = images.images.iter().find(|image| image.snapshot == id)?;
    let message = format!("The snapshot {id} is currently in use by {}", image.ami);
    Some(xml::ec2_error("InvalidSnapshot.InUse", &message))
}
