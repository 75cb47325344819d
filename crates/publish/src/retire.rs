//! The account's images of a family: which there are, which are in use, and which may go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{Filter, Image, Snapshot, SnapshotState};
use futuswarm_image_format::{DISK_TAG, FAMILY_TAG};
use futuswarm_retry::{Policy, retry};
use serde::Serialize;

use crate::cleanup::{IN_USE, delete_snapshot};
use crate::error::{Result, aws, aws_on, failure, gave_up};
use crate::promote;
use crate::references::{self, References};
use crate::region::RegionClients;
use crate::run_lock::{OLDEST_UPLOAD, age};
use crate::snapshot::{self, tag};

/// For a while after the deregistration EC2 takes a snapshot for one that an image has.
const RELEASE: Policy = Policy {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(10),
    total: Duration::from_secs(120),
    attempt: Duration::from_secs(70),
};

/// A registered image, as `--json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// For example `eu-west-1`.
    pub region: String,
    /// For example `ami-0123456789abcdef0`.
    pub image_id: String,
    /// Unique within the region.
    pub name: String,
    /// For example `available`.
    pub state: String,
    /// For example `x86_64`.
    pub architecture: String,
    /// When it was registered, RFC 3339.
    pub created: String,
    /// SHA-256 of its disk in hexadecimal, from its tag; empty without one.
    pub disk_sha256: String,
    /// Ids of the snapshots of all its volumes.
    pub snapshots: Vec<String>,
    /// Why it must stay: promoted, the instances and launch templates that use it, or whom it is shared with.
    pub in_use: Vec<String>,
}

/// Images of a family, newest first, with what uses them.
///
/// # Errors
/// When AWS cannot be asked.
pub async fn list(clients: &RegionClients, family: &str) -> Result<Vec<Listed>> {
    let filter = Filter::builder().name(format!("tag:{FAMILY_TAG}")).values(family).build();
    // One that is disabled has its snapshots nevertheless.
    let ask = clients.ec2.describe_images().owners("self").include_disabled(true).filters(filter);
    let mut pages = ask.into_paginator().send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        images.extend(page.map_err(aws(&clients.region, "DescribeImages"))?.images.unwrap_or_default());
    }
    let mut references = references::of_images(clients).await?;
    let architectures: BTreeSet<String> = images.iter().map(architecture).collect();
    for architecture in architectures {
        if let Some(id) = promote::value(clients, &promote::latest(&architecture)).await? {
            references.entry(id).or_default().insert("promoted".to_owned());
        }
    }
    let mut listed: Vec<Listed> = images.iter().map(|image| describe(clients, image, &references)).collect();
    listed.sort_by(|a, b| (&b.created, &b.image_id).cmp(&(&a.created, &a.image_id)));
    Ok(listed)
}

fn architecture(image: &Image) -> String {
    image.architecture().map(|value| value.as_str().to_owned()).unwrap_or_default()
}

fn describe(clients: &RegionClients, image: &Image, references: &References) -> Listed {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let volumes = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    Listed {
        region: clients.region.clone(),
        image_id: text(image.image_id()),
        name: text(image.name()),
        state: text(image.state().map(|state| state.as_str())),
        architecture: architecture(image),
        created: text(image.creation_date()),
        disk_sha256: text(tag(image.tags(), DISK_TAG)),
        snapshots: volumes.filter_map(|volume| volume.snapshot_id().map(str::to_owned)).collect(),
        in_use: references.get(image.image_id().unwrap_or_default()).into_iter().flatten().cloned().collect(),
    }
}

/// What may go, of images that are newest first: all beyond the newest `keep` of each architecture that nothing uses.
#[must_use]
pub fn choose(images: &[Listed], keep: usize) -> Vec<&Listed> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let beyond = images.iter().filter(|image| {
        let count = counts.entry(&image.architecture).or_default();
        *count += 1;
        *count > keep
    });
    beyond.filter(|image| image.in_use.is_empty()).collect()
}

/// Notes whom those images are shared with that would go otherwise: whether somebody uses them there cannot be known.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn note_shares(clients: &RegionClients, images: &mut [Listed], keep: usize) -> Result<()> {
    let going: BTreeSet<String> = choose(images, keep).into_iter().map(|image| image.image_id.clone()).collect();
    for image in images.iter_mut().filter(|image| going.contains(&image.image_id)) {
        let whom = references::shared(clients, &image.image_id).await?;
        image.in_use.extend(whom.into_iter().map(|whom| format!("shared with {whom}")));
    }
    Ok(())
}

/// Completed snapshots of a family that no image uses: what a run has left that was killed before the registration, or after
/// the deregistration. Young ones may be about to be registered.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn orphans(clients: &RegionClients, family: &str, images: &[Listed]) -> Result<Vec<String>> {
    let used: BTreeSet<&String> = images.iter().flat_map(|image| &image.snapshots).collect();
    let old =
        |snapshot: &Snapshot| snapshot.start_time().map(DateTime::secs).is_some_and(|begun| age(begun) > OLDEST_UPLOAD);
    let snapshots = snapshot::of_family(clients, family).await?;
    let whole = snapshots.iter().filter(|one| one.state() == Some(&SnapshotState::Completed) && old(one));
    Ok(whole.filter_map(|one| one.snapshot_id().map(str::to_owned)).filter(|id| !used.contains(id)).collect())
}

/// What a retirement has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Ids of images that are gone.
    pub retired: BTreeSet<String>,
    /// What has stayed for a good reason.
    pub kept: Vec<String>,
    /// What was to go and has not.
    pub failures: Vec<String>,
}

/// Deregisters the images `going` of all `images` of a family in a region, then deletes the snapshots that no other one has, and
/// the `orphans`. What cannot be done is noted and stops nothing: its tags name it, and the next run finds it.
pub async fn retire(clients: &RegionClients, images: &[Listed], going: &[&Listed], orphans: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    for image in going {
        match deregister(clients, image).await {
            Ok(()) => drop(outcome.retired.insert(image.image_id.clone())),
            Err(error) => outcome.failures.push(error.to_string()),
        }
    }
    let (free, held) = snapshots_of(images, &outcome.retired);
    outcome
        .kept
        .extend(held.into_iter().map(|(id, image)| format!("{}: {id}, which {image} has, too", clients.region)));
    for id in free {
        if let Err(error) = delete_released(clients, id).await {
            outcome.failures.push(error.to_string());
        }
    }
    for id in orphans {
        match delete_snapshot(clients, id).await {
            Ok(()) => {}
            // It is not of the family, or was registered a moment ago.
            Err(error) if error.is(&[IN_USE]) => outcome.kept.push(error.to_string()),
            Err(error) => outcome.failures.push(error.to_string()),
        }
    }
    outcome
}

/// Deregisters an image. Its parameter goes first, so that none is left that names an image that is gone.
async fn deregister(clients: &RegionClients, image: &Listed) -> Result<()> {
    promote::forget(clients, &promote::of_image(&image.architecture, &image.name)).await?;
    let gone = clients.ec2.deregister_image().image_id(&image.image_id).send().await;
    match gone.map_err(aws_on(&clients.region, "DeregisterImage", &image.image_id)) {
        Err(error) if !error.is(&["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]) => Err(error),
        _ => Ok(()),
    }
}

/// The snapshots of the images that are `gone`: those that no other image has, and those that one has, with it.
fn snapshots_of<'a>(
    images: &'a [Listed],
    gone: &BTreeSet<String>,
) -> (BTreeSet<&'a String>, BTreeMap<&'a String, &'a str>) {
    let (left, rest): (Vec<&Listed>, Vec<&Listed>) = images.iter().partition(|image| gone.contains(&image.image_id));
    let users = rest.iter().flat_map(|image| image.snapshots.iter().map(|id| (id, image.image_id.as_str())));
    let mut held: BTreeMap<&String, &str> = users.collect();
    let all: BTreeSet<&String> = left.iter().flat_map(|image| &image.snapshots).collect();
    held.retain(|id, _| all.contains(id));
    (all.into_iter().filter(|id| !held.contains_key(id)).collect(), held)
}

/// Deletes a snapshot whose image was deregistered a moment ago.
async fn delete_released(clients: &RegionClients, id: &str) -> Result<()> {
    retry(&format!("deleting {id}"), RELEASE, || async {
        delete_snapshot(clients, id).await.map_err(|error| failure(error, &[IN_USE]))
    })
    .await
    .map_err(gave_up(&clients.region, "its image is gone: a later `cargo xtask image retire` deletes it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, architecture: &str, in_use: &[&str]) -> Listed {
        Listed {
            region: "eu-west-1".to_owned(),
            image_id: format!("ami-{name}"),
            name: name.to_owned(),
            state: "available".to_owned(),
            architecture: architecture.to_owned(),
            created: String::new(),
            disk_sha256: String::new(),
            snapshots: Vec::new(),
            in_use: in_use.iter().map(|user| (*user).to_owned()).collect(),
        }
    }

    #[test]
    fn the_newest_and_what_is_used_stay() {
        let images = [
            image("7", "x86_64", &[]),
            image("6", "arm64", &[]),
            image("5", "x86_64", &["promoted"]),
            image("4", "x86_64", &[]),
            image("3", "x86_64", &["i-1"]),
            image("2", "x86_64", &[]),
            image("1", "arm64", &[]),
        ];
        let names = |keep| choose(&images, keep).iter().map(|image| image.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(2), ["4", "2"]);
        assert_eq!(names(1), ["4", "2", "1"]);
        assert_eq!(names(0), ["7", "6", "4", "2", "1"]);
        assert!(names(9).is_empty());
    }

    #[test]
    fn a_snapshot_that_another_image_has_stays() {
        let with = |name: &str, snapshots: &[&str]| {
            let snapshots = snapshots.iter().map(|id| (*id).to_owned()).collect();
            Listed { snapshots, ..image(name, "x86_64", &[]) }
        };
        let images = [with("3", &["snap-a"]), with("2", &["snap-b"]), with("1", &["snap-a", "snap-b", "snap-c"])];
        let fate = |gone: &[&str]| {
            let gone = gone.iter().map(|name| format!("ami-{name}")).collect();
            let (free, held) = snapshots_of(&images, &gone);
            let free: Vec<&str> = free.into_iter().map(String::as_str).collect();
            (free, held.into_iter().map(|(id, image)| format!("{id} {image}")).collect::<Vec<_>>())
        };
        assert_eq!(fate(&["1"]), (vec!["snap-c"], vec!["snap-a ami-3".to_owned(), "snap-b ami-2".to_owned()]));
        assert_eq!(fate(&["1", "2"]), (vec!["snap-b", "snap-c"], vec!["snap-a ami-3".to_owned()]));
        assert_eq!(fate(&["1", "2", "3"]), (vec!["snap-a", "snap-b", "snap-c"], vec![]));
        assert_eq!(fate(&[]), (vec![], vec![]));
    }
}
