//! What runs have left that were killed: listed by its tags at the start of the next run, and cleared up.
//!
//! Nobody's run fails because of what another one has left: what cannot be cleared up is told, and the next run tries again.

use std::collections::BTreeSet;
use std::path::Path;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{Filter, Instance, Snapshot, SnapshotState};
use futuswarm_image_format::FAMILY_TAG;

use crate::UPLOAD_TAG;
use crate::cleanup::{IN_USE, delete_snapshot, terminate};
use crate::error::{Result, aws};
use crate::progress::{Event, Report};
use crate::region::RegionClients;
use crate::run_lock::{is_left, prune};
use crate::snapshot::{is_whole, tag};

/// Deletes those of a family's snapshots whose upload died.
pub async fn snapshots(clients: &RegionClients, snapshots: &[Snapshot], locks: &Path, report: Report<'_>) {
    let note = |text: String| report(Event::Note(format!("{}: {text}", clients.region)));
    let (mut over, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for snapshot in snapshots {
        let (Some(id), Some(upload)) = (snapshot.snapshot_id(), tag(snapshot.tags(), UPLOAD_TAG)) else { continue };
        if !is_abandoned(snapshot, upload, locks) {
            continue;
        }
        match delete_snapshot(clients, id).await {
            Ok(()) => {
                note(format!("deleted {id}, which an earlier run has left unfinished"));
                over.insert(upload);
            }
            Err(error) if error.is(&[IN_USE]) => note(format!("an earlier run has left {id}, but an image has it")),
            Err(error) => {
                note(format!("an earlier run has left {id} unfinished, and it is still there ({error})"));
                needed.insert(upload);
            }
        }
    }
    // Only now: one run may have left more than one.
    for upload in over.difference(&needed) {
        let _only_a_name = std::fs::remove_file(locks.join(upload));
    }
    prune(locks);
}

/// Whether nobody will ever finish a snapshot.
fn is_abandoned(snapshot: &Snapshot, upload: &str, locks: &Path) -> bool {
    let begun = snapshot.start_time().map_or(0, DateTime::secs);
    match snapshot.state() {
        Some(SnapshotState::Error) => true,
        Some(SnapshotState::Pending) => is_left(locks, upload, begun),
        // It was never compared with its parent.
        Some(SnapshotState::Completed) => !is_whole(snapshot) && is_left(locks, upload, begun),
        _ => false,
    }
}

/// Terminates smoke boots of a family whose run was killed.
pub async fn instances(clients: &RegionClients, family: &str, locks: &Path, report: Report<'_>) {
    let note = |text: String| report(Event::Note(format!("{}: {text}", clients.region)));
    let instances = match smoke_boots(clients, family).await {
        Ok(instances) => instances,
        Err(error) => {
            return report(Event::Note(format!("{error}; so smoke boots of earlier runs are not looked for")));
        }
    };
    for instance in instances {
        let (Some(id), Some(upload)) = (instance.instance_id(), tag(instance.tags(), UPLOAD_TAG)) else { continue };
        if !is_left(locks, upload, instance.launch_time().map_or(0, DateTime::secs)) {
            continue;
        }
        match terminate(clients, id).await {
            Ok(()) => note(format!("terminated {id}, a smoke boot that an earlier run has left")),
            Err(error) => note(format!("an earlier run has left the smoke boot {id}, and it is still there ({error})")),
        }
    }
}

async fn smoke_boots(clients: &RegionClients, family: &str) -> Result<Vec<Instance>> {
    let filter = |name: String, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Filter::builder().name(name).set_values(Some(values)).build()
    };
    let ask = clients
        .ec2
        .describe_instances()
        .filters(filter(format!("tag:{FAMILY_TAG}"), &[family]))
        .filters(filter("instance-state-name".to_owned(), &["pending", "running", "stopping", "stopped"]));
    let (mut pages, mut instances) = (ask.into_paginator().send(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws(&clients.region, "DescribeInstances"))?;
        instances.extend(
            page.reservations.unwrap_or_default().into_iter().flat_map(|one| one.instances.unwrap_or_default()),
        );
    }
    Ok(instances)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Tag;

    use super::*;
    use crate::run_lock::RunLock;
    use crate::{PARENT_TAG, VERIFIED_TAG};

    #[test]
    fn only_what_nobody_will_finish_is_debris() {
        let dir = tempfile::tempdir().unwrap();
        let (alive, dead) = (RunLock::take(dir.path()).unwrap(), "a".repeat(32));
        std::fs::write(dir.path().join(&dead), "").unwrap();
        let now = std::time::SystemTime::now();
        let is = |state: SnapshotState, keys: &[&str], upload: &str, begun: DateTime| {
            let tags = keys.iter().map(|key| Tag::builder().key(*key).value("x").build()).collect();
            let snapshot = Snapshot::builder().state(state).start_time(begun).set_tags(Some(tags)).build();
            is_abandoned(&snapshot, upload, dir.path())
        };
        let (pending, done) = (SnapshotState::Pending, SnapshotState::Completed);
        assert!(is(pending.clone(), &[], &dead, now.into()));
        assert!(!is(pending.clone(), &[], &alive.id, now.into()));
        assert!(!is(pending.clone(), &[], &"b".repeat(32), now.into()), "another machine's");
        assert!(is(pending, &[], &"b".repeat(32), DateTime::from_secs(0)), "nobody's, after so long");
        assert!(is(done.clone(), &[PARENT_TAG], &dead, now.into()), "never compared");
        assert!(!is(done.clone(), &[PARENT_TAG], &alive.id, now.into()));
        assert!(!is(done.clone(), &[PARENT_TAG, VERIFIED_TAG], &dead, now.into()));
        assert!(!is(done, &[], &dead, now.into()), "the next run takes it over");
        assert!(is(SnapshotState::Error, &[], &alive.id, now.into()));
    }
}
