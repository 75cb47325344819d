//! Snapshots of ours in EC2: listed by their tags, waited for, and marked when they were compared.

use std::time::Duration;

use aws_sdk_ec2::types::{Filter, Snapshot, SnapshotState, Tag};
use futuswarm_image_format::{DISK_TAG, FAMILY_TAG};
use futuswarm_retry::{Failure, Policy, retry};

use crate::cleanup::NO_SNAPSHOT;
use crate::error::{Error, Result, aws, aws_on, failure, gave_up};
use crate::region::RegionClients;
use crate::{BLOCKS_TAG, PARENT_TAG, VERIFIED_TAG};

/// EBS takes seconds for an image; minutes were observed when it is busy.
const COMPLETION: Policy = Policy {
    first: Duration::from_millis(200),
    cap: Duration::from_secs(5),
    total: Duration::from_secs(900),
    attempt: Duration::from_secs(60),
};
/// A tag is there at once, or EC2 does not know the snapshot everywhere yet.
const TAGGING: Policy = Policy { total: Duration::from_secs(60), ..COMPLETION };

pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// All snapshots of a family, newest first.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn of_family(clients: &RegionClients, family: &str) -> Result<Vec<Snapshot>> {
    let filter = Filter::builder().name(format!("tag:{FAMILY_TAG}")).values(family).build();
    let mut pages = clients.ec2.describe_snapshots().owner_ids("self").filters(filter).into_paginator().send();
    let mut snapshots = Vec::new();
    while let Some(page) = pages.next().await {
        snapshots.extend(page.map_err(aws(&clients.region, "DescribeSnapshots"))?.snapshots.unwrap_or_default());
    }
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.start_time().map(|time| time.as_nanos())));
    Ok(snapshots)
}

/// Whether a snapshot is complete and known to be what its tags say: its upload was checksummed as a whole, or it began as another
/// and was compared with that afterwards.
pub(crate) fn is_whole(snapshot: &Snapshot) -> bool {
    snapshot.state() == Some(&SnapshotState::Completed)
        && (tag(snapshot.tags(), PARENT_TAG).is_none() || tag(snapshot.tags(), VERIFIED_TAG).is_some())
}

/// Whether a snapshot is a whole one with this disk: what a run that was killed before the registration has left.
pub(crate) fn has_disk(snapshot: &Snapshot, disk_sha256: &str, blocks: &str) -> bool {
    is_whole(snapshot)
        && tag(snapshot.tags(), DISK_TAG) == Some(disk_sha256)
        && tag(snapshot.tags(), BLOCKS_TAG) == Some(blocks)
}

/// Notes that a snapshot was compared with its parent.
///
/// # Errors
/// When EC2 refuses.
pub async fn mark_verified(clients: &RegionClients, id: &str) -> Result<()> {
    let verified = Tag::builder().key(VERIFIED_TAG).value("true").build();
    retry(&format!("tagging {id}"), TAGGING, || async {
        let tagged = clients.ec2.create_tags().resources(id).tags(verified.clone()).send().await;
        tagged.map_err(aws_on(&clients.region, "CreateTags", id)).map_err(|error| failure(error, &[NO_SNAPSHOT]))
    })
    .await
    .map(|_| ())
    .map_err(gave_up(&clients.region, "repeat"))
}

/// Waits until a snapshot is completed.
///
/// # Errors
/// When it fails or takes too long.
pub async fn completed(clients: &RegionClients, id: &str) -> Result<()> {
    retry(&format!("waiting until {id} is completed"), COMPLETION, || async {
        let answer = clients.ec2.describe_snapshots().snapshot_ids(id).send().await;
        let answer = answer.map_err(aws_on(&clients.region, "DescribeSnapshots", id));
        // A snapshot that was just made may not be visible everywhere.
        let answer = answer.map_err(|error| failure(error, &[NO_SNAPSHOT]))?;
        let snapshot = answer.snapshots().first();
        match snapshot.and_then(Snapshot::state) {
            Some(SnapshotState::Completed) => Ok(()),
            Some(SnapshotState::Error) => {
                let why = snapshot.and_then(Snapshot::state_message).unwrap_or("EBS does not say why").to_owned();
                let message = format!("{}: the snapshot {id} failed: {why}; repeat, a new one is made", clients.region);
                Err(Failure::Permanent(Error::Wrong(message)))
            }
            _ => Err(Failure::Transient(Error::Wrong("it is pending".to_owned()))),
        }
    })
    .await
    .map_err(gave_up(&clients.region, "EBS is slow there now: repeat later, a new snapshot is made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_only_when_it_was_compared() {
        let snapshot = |state: SnapshotState, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
            Snapshot::builder().state(state).set_tags(Some(tags)).build()
        };
        let (disk, blocks) = ((DISK_TAG, "11"), (BLOCKS_TAG, "22"));
        let (parent, verified) = ((PARENT_TAG, "snap-1"), (VERIFIED_TAG, "true"));
        let done = SnapshotState::Completed;
        for (tags, good) in [
            (vec![disk, blocks], true),
            (vec![disk, blocks, parent], false),
            (vec![disk, blocks, parent, verified], true),
            (vec![disk, (BLOCKS_TAG, "33")], false),
        ] {
            assert_eq!(has_disk(&snapshot(done.clone(), &tags), "11", "22"), good, "{tags:?}");
        }
        assert!(!has_disk(&snapshot(SnapshotState::Pending, &[disk, blocks]), "11", "22"));
    }
}
