//! The account's images of a family: which there are, which are in use, and which may go.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Image, Snapshot, SnapshotState};
use serde::Serialize;

use crate::debris::delete_snapshot;
use crate::error::{Result, aws};
use crate::place::Place;
use crate::promote;
use crate::snapshot::{self, tag};
use crate::{DISK_TAG, FAMILY_TAG};

/// Seconds after which a snapshot without an image is nobody's any more.
const YOUNG: u64 = 3600;

/// An image as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Where.
    pub region: String,
    /// Its id.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// For example `available`.
    pub state: String,
    /// For example `x86_64`.
    pub architecture: String,
    /// When it was registered, RFC 3339.
    pub created: String,
    /// SHA-256 of its disk.
    pub disk_sha256: String,
    /// Its snapshots.
    pub snapshots: Vec<String>,
    /// Why it must stay: promoted, or the instances and launch templates that use it.
    pub in_use: Vec<String>,
}

/// Images of a family, newest first, with what uses them.
///
/// # Errors
/// When AWS cannot be asked.
pub async fn list(place: &Place, family: &str) -> Result<Vec<Listed>> {
    let filter = Filter::builder().name(format!("tag:{FAMILY_TAG}")).values(family).build();
    let mut pages = place.ec2.describe_images().owners("self").filters(filter).into_paginator().send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        images.extend(page.map_err(aws(&place.region, "DescribeImages"))?.images.unwrap_or_default());
    }
    let mut users = users(place).await?;
    let architectures: BTreeSet<String> = images.iter().map(architecture).collect();
    for architecture in architectures {
        if let Some(id) = promote::value(place, &promote::latest(&architecture)).await? {
            users.entry(id).or_default().insert("promoted".to_owned());
        }
    }
    let mut listed: Vec<Listed> = images.iter().map(|image| describe(place, image, &users)).collect();
    listed.sort_by(|a, b| (&b.created, &b.image_id).cmp(&(&a.created, &a.image_id)));
    Ok(listed)
}

fn architecture(image: &Image) -> String {
    image.architecture().map(|value| value.as_str().to_owned()).unwrap_or_default()
}

fn describe(place: &Place, image: &Image, users: &BTreeMap<String, BTreeSet<String>>) -> Listed {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let volumes = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    Listed {
        region: place.region.clone(),
        image_id: text(image.image_id()),
        name: text(image.name()),
        state: text(image.state().map(|state| state.as_str())),
        architecture: architecture(image),
        created: text(image.creation_date()),
        disk_sha256: text(tag(image.tags(), DISK_TAG)),
        snapshots: volumes.filter_map(|volume| volume.snapshot_id().map(str::to_owned)).collect(),
        in_use: users.get(image.image_id().unwrap_or_default()).into_iter().flatten().cloned().collect(),
    }
}

/// Image id → who uses it: instances that are not terminated, and every version of every launch template, because a group
/// may start from any of them.
async fn users(place: &Place) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let states = ["pending", "running", "shutting-down", "stopping", "stopped"].map(str::to_owned).to_vec();
    let filter = Filter::builder().name("instance-state-name").set_values(Some(states)).build();
    let mut pages = place.ec2.describe_instances().filters(filter).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws(&place.region, "DescribeInstances"))?;
        for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
            if let (Some(image), Some(id)) = (instance.image_id(), instance.instance_id()) {
                users.entry(image.to_owned()).or_default().insert(id.to_owned());
            }
        }
    }
    let mut templates = Vec::new();
    let mut pages = place.ec2.describe_launch_templates().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws(&place.region, "DescribeLaunchTemplates"))?;
        templates.extend(
            page.launch_templates().iter().filter_map(|template| template.launch_template_id().map(str::to_owned)),
        );
    }
    for template in templates {
        let mut pages =
            place.ec2.describe_launch_template_versions().launch_template_id(&template).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws(&place.region, "DescribeLaunchTemplateVersions"))?;
            for version in page.launch_template_versions() {
                let image = version.launch_template_data().and_then(|data| data.image_id());
                if let (Some(image), Some(number)) = (image, version.version_number()) {
                    let name = version.launch_template_name().unwrap_or(&template);
                    users
                        .entry(image.to_owned())
                        .or_default()
                        .insert(format!("launch template {name} version {number}"));
                }
            }
        }
    }
    Ok(users)
}

/// What may go, of images that are newest first: all beyond the newest `keep` of each architecture that nothing uses.
#[must_use]
pub fn choose(images: &[Listed], keep: usize) -> Vec<&Listed> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let beyond = images.iter().filter(|image| {
        let count = seen.entry(&image.architecture).or_default();
        *count += 1;
        *count > keep
    });
    beyond.filter(|image| image.in_use.is_empty()).collect()
}

/// Completed snapshots of a family that no image uses: what a run has left that was killed before the registration, or after
/// the deregistration. Young ones may be about to be registered.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn orphans(place: &Place, family: &str, images: &[Listed]) -> Result<Vec<String>> {
    let used: BTreeSet<&String> = images.iter().flat_map(|image| &image.snapshots).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let old = |snapshot: &Snapshot| {
        let begun = snapshot.start_time().and_then(|time| u64::try_from(time.secs()).ok()).unwrap_or(now);
        now.saturating_sub(begun) > YOUNG
    };
    let found = snapshot::of_family(place, family).await?;
    let whole = found.iter().filter(|found| found.state() == Some(&SnapshotState::Completed) && old(found));
    Ok(whole.filter_map(|found| found.snapshot_id().map(str::to_owned)).filter(|id| !used.contains(id)).collect())
}

/// Deregisters an image, then deletes its snapshots and its parameter.
///
/// # Errors
/// When AWS refuses; a snapshot that is left is found by the next `retire`, because its tags name it.
pub async fn retire(place: &Place, image: &Listed) -> Result<()> {
    let gone = place.ec2.deregister_image().image_id(&image.image_id).send().await;
    match gone.map_err(aws(&place.region, "DeregisterImage")) {
        Err(error) if !error.is(&["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]) => return Err(error),
        _ => {}
    }
    for snapshot in &image.snapshots {
        delete_snapshot(place, snapshot).await?;
    }
    promote::forget(place, &promote::of_image(&image.architecture, &image.name)).await
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
}
