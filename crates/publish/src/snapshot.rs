//! Snapshots of ours in EC2: found by their tags, waited for, and swept when their upload died.

use std::path::Path;
use std::time::Duration;

use aws_sdk_ec2::types::{Filter, Snapshot, SnapshotState, Tag};
use futuswarm_retry::{Failure, Policy, wait_for};
use rustix::fs::FlockOperation;

use crate::debris::delete_snapshot;
use crate::error::{Error, Result, aws, file, gave_up};
use crate::place::Place;
use crate::{BLOCKS_TAG, DISK_TAG, FAMILY_TAG, UPLOAD_TAG};

/// EBS takes seconds for an image; minutes were seen when it is busy.
const COMPLETION: Policy = Policy {
    first: Duration::from_millis(200),
    cap: Duration::from_secs(5),
    total: Duration::from_secs(900),
    attempt: Duration::from_secs(60),
};
/// What somebody else's machine has begun before so long is dead.
const OLDEST_UPLOAD: Duration = Duration::from_secs(6 * 3600);

/// A tag's value.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// All snapshots of a family, newest first.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn of_family(place: &Place, family: &str) -> Result<Vec<Snapshot>> {
    let filter = Filter::builder().name(format!("tag:{FAMILY_TAG}")).values(family).build();
    let mut pages = place.ec2.describe_snapshots().owner_ids("self").filters(filter).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        found.extend(page.map_err(aws(&place.region, "DescribeSnapshots"))?.snapshots.unwrap_or_default());
    }
    found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.start_time().map(|time| time.as_nanos())));
    Ok(found)
}

/// Whether a snapshot is a whole one with this disk: what a run that was killed before the registration has left.
pub(crate) fn has_disk(snapshot: &Snapshot, disk_sha256: &str, blocks: &str) -> bool {
    snapshot.state() == Some(&SnapshotState::Completed)
        && tag(snapshot.tags(), DISK_TAG) == Some(disk_sha256)
        && tag(snapshot.tags(), BLOCKS_TAG) == Some(blocks)
}

/// Waits until a snapshot is completed.
///
/// # Errors
/// When it fails or takes too long.
pub async fn completed(place: &Place, id: &str) -> Result<()> {
    wait_for(&format!("waiting for {id}"), COMPLETION, || async {
        let found = place.ec2.describe_snapshots().snapshot_ids(id).send().await;
        let found = match found.map_err(aws(&place.region, "DescribeSnapshots")) {
            Ok(found) => found,
            // A snapshot that was just made may not be seen everywhere.
            Err(error) if error.is(&["InvalidSnapshot.NotFound"]) => return Err(Failure::Transient(error)),
            Err(error) => return Err(Failure::Permanent(error)),
        };
        let snapshot = found.snapshots().first();
        match snapshot.and_then(Snapshot::state) {
            Some(SnapshotState::Completed) => Ok(Some(())),
            Some(SnapshotState::Error) => {
                let why = snapshot.and_then(Snapshot::state_message).unwrap_or("EBS does not say why").to_owned();
                Err(Failure::Permanent(Error::Wrong(format!("{}: the snapshot {id} failed: {why}", place.region))))
            }
            _ => Ok(None),
        }
    })
    .await
    .map_err(gave_up(&place.region))
}

/// Where the leases of a machine are.
#[must_use]
pub fn leases(cache: &Path) -> std::path::PathBuf {
    cache.join("published/uploads")
}

/// Shows other runs on this machine that an upload or a smoke boot lives; it ends with the process, whichever way.
#[derive(Debug)]
pub struct Lease {
    /// What stands in the snapshot's tag.
    pub id: String,
    path: std::path::PathBuf,
    _lock: std::fs::File,
}

impl Lease {
    /// Takes a new one, with its file in `dir`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn take(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(file(dir))?;
        let id = format!("{:032x}", fastrand::u128(..));
        let path = dir.join(&id);
        let lock = std::fs::File::create(&path).map_err(file(&path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| file(&path)(error.into()))?;
        Ok(Self { id, path, _lock: lock })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _only_a_name = std::fs::remove_file(&self.path);
    }
}

/// Whether what carries this lease since `begun`, in seconds since 1970, is left over: its process was on this machine and is
/// gone, or was elsewhere and would have ended long ago.
pub(crate) fn is_left(dir: &Path, id: &str, begun: i64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let age = now.saturating_sub(Duration::from_secs(begun.try_into().unwrap_or(0)));
    is_dead(dir, id) || age > OLDEST_UPLOAD
}

/// Whether the process with this lease was on this machine and is gone.
fn is_dead(dir: &Path, id: &str) -> bool {
    // The id comes from a tag; as a path it must not lead anywhere else.
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return false;
    }
    let Ok(lock) = std::fs::File::open(dir.join(id)) else { return false };
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Deletes snapshots whose upload died; returns their ids.
///
/// # Errors
/// When EC2 cannot be asked or refuses.
pub async fn sweep(place: &Place, found: &[Snapshot], leases: &Path) -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for snapshot in found {
        let upload = tag(snapshot.tags(), UPLOAD_TAG);
        let (Some(id), Some(upload)) = (snapshot.snapshot_id(), upload) else { continue };
        let begun = snapshot.start_time().map_or(0, aws_sdk_ec2::primitives::DateTime::secs);
        let dead = match snapshot.state() {
            Some(SnapshotState::Pending) => is_left(leases, upload, begun),
            Some(SnapshotState::Error) => true,
            _ => false,
        };
        if dead {
            delete_snapshot(place, id).await?;
            let _only_a_name = std::fs::remove_file(leases.join(upload));
            swept.push(id.to_owned());
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_as_long_as_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let lease = Lease::take(dir.path()).unwrap();
        assert!(!is_dead(dir.path(), &lease.id), "it is held");
        assert!(!is_dead(dir.path(), "0123456789abcdef0123456789abcdef"), "it was never here");
        assert!(!is_dead(dir.path(), "../../etc/passwd"), "it is no lease");
        let left = dir.path().join("aaaabbbbccccddddaaaabbbbccccdddd");
        std::fs::write(&left, "").unwrap();
        assert!(is_dead(dir.path(), "aaaabbbbccccddddaaaabbbbccccdddd"), "its process was killed");
    }
}
