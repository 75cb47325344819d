//! DescribeSnapshots and DeleteSnapshot: the emulator knows neither pending snapshots nor images that are made of one.

use super::request::Refusal;
use crate::ebs::snapshots::{Snapshots, State};
use crate::images::Images;
use crate::xml::{self, Element, leaf};

/// What the emulator calls the snapshot that it makes for itself with every image.
const AUTOMATIC: &str = "Auto-created snapshot for AMI ";

/// Puts the states in, and leaves out the emulator's own snapshots.
pub fn complete(answer: &mut Element, snapshots: &mut Snapshots) {
    let Some(set) = xml::find_mut(answer, "snapshotSet") else { return };
    xml::retain(set, |item| !xml::text(item, "description").is_some_and(|text| text.starts_with(AUTOMATIC)));
    for item in xml::children_mut(set) {
        let state = xml::text(item, "snapshotId").and_then(|id| snapshots.poll(&id));
        let (status, progress) = match state {
            None => continue,
            Some(State::Pending) => ("pending", "0%"),
            Some(State::Completing) => ("pending", "99%"),
            Some(State::Completed) => ("completed", "100%"),
        };
        // Snapshots that come from the EBS direct APIs have no volume.
        xml::set(item, leaf("volumeId", "vol-ffffffff"));
        xml::set(item, leaf("status", status));
        xml::set(item, leaf("progress", progress));
    }
}

/// Why a snapshot must not be deleted.
pub fn in_use(id: &str, images: &Images) -> Option<Refusal> {
    let image = images.images.iter().find(|image| image.snapshot == id)?;
    Some(Refusal::new("InvalidSnapshot.InUse", format!("The snapshot {id} is currently in use by {}", image.ami)))
}
