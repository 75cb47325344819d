//! One image in one region, from its folder to an AMI that was seen and compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::debris::{Debris, Thing};
use crate::error::{Error, Result};
use crate::image::LocalImage;
use crate::lease::{Lease, leases};
use crate::place::Place;
use crate::progress::{Event, Report};
use crate::validate::{self, Check};
use crate::{blocks, copy, parent, register, snapshot, sweep, upload};

/// How to publish.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the indices of published images are kept.
    pub cache: PathBuf,
    /// Send every block, whatever there is to begin with.
    pub full: bool,
    /// For one upload.
    pub deadline: Duration,
    /// Accounts that may use the image.
    pub share_with: Vec<String>,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// Where.
    pub region: String,
    /// The AMI.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// Its snapshot.
    pub snapshot_id: String,
    /// Whether it was there already.
    pub reused: bool,
    /// The snapshot that the upload began as.
    pub parent_snapshot_id: Option<String>,
    /// The region that it was copied from.
    pub copied_from: Option<String>,
    /// Blocks that a snapshot of the disk has.
    pub blocks: usize,
    /// Blocks that were sent.
    pub blocks_sent: usize,
    /// From the first call to the completed snapshot.
    pub upload_seconds: f64,
    /// How it compares with `register.json`.
    pub checks: Vec<Check>,
}

/// Publishes an image in a region, or finds that it is there.
///
/// # Errors
/// When anything fails; what is then not good is debris.
pub async fn publish(
    place: &Place,
    image: &LocalImage,
    options: &Options,
    debris: &Debris,
    report: Report<'_>,
) -> Result<Published> {
    let step = |text: &str| report(Event::Step(format!("{}: {text}", place.region)));
    let name = &image.registration.name;
    step(&format!("looking for {name}"));
    let snapshots = snapshot::of_family(place, image.family()).await?;
    let leases = leases(&options.cache);
    sweep::snapshots(place, &snapshots, &leases, report).await;
    sweep::instances(place, image.family(), &leases, report).await;
    if let Some(found) = register::find(place, name).await? {
        let id = copy::same(place, image, &found)?;
        remember(image, &options.cache, report);
        return finish(place, image, options, id, report).await.map(|done| Published { reused: true, ..done });
    }
    let started = std::time::Instant::now();
    let digest = image.index.digest();
    let whole = snapshots.iter().find(|snapshot| snapshot::has_disk(snapshot, &image.disk_sha256, &digest));
    let (snapshot, sent, parent, lease) = match whole.and_then(|snapshot| snapshot.snapshot_id()) {
        Some(id) => {
            report(Event::Note(format!("{}: {id} is complete already, an earlier run has sent it", place.region)));
            (id.to_owned(), 0, None, None)
        }
        None => {
            step("comparing with the newest snapshot");
            let parent = match options.full {
                true => None,
                false => parent::find(place, image, &snapshots, &options.cache).await.unwrap_or_else(|error| {
                    report(Event::Note(format!("{error}; so everything is sent")));
                    None
                }),
            };
            let lease = Lease::take(&leases)?;
            let upload =
                async |parent| upload::upload(place, image, parent, &lease, debris, report, options.deadline).await;
            let (done, parent) = match upload(parent.as_ref()).await {
                // For example one that was archived or deleted a moment ago.
                Err(error) if parent.is_some() && upload::refuses_parent(&error) => {
                    report(Event::Note(format!("{error}; so everything is sent")));
                    (upload(None).await?, None)
                }
                outcome => (outcome?, parent),
            };
            if let Some(parent) = &parent {
                step("comparing the snapshot with its parent");
                parent::verify(place, parent, &done.snapshot).await?;
                snapshot::mark_verified(place, &done.snapshot).await?;
            }
            (done.snapshot, done.sent, parent.map(|parent| parent.id), Some(lease))
        }
    };
    let upload_seconds = started.elapsed().as_secs_f64();
    remember(image, &options.cache, report);
    step("registering");
    let id = register::register(place, &image.registration, &snapshot).await?;
    debris.keep(&Thing::Snapshot(snapshot));
    if let Some(lease) = lease {
        lease.end();
    }
    let done = finish(place, image, options, id, report).await?;
    Ok(Published { parent_snapshot_id: parent, blocks_sent: sent, upload_seconds, ..done })
}

/// Copies an image into another region, or finds that it is there.
///
/// # Errors
/// When anything fails.
pub async fn copy_to(
    from: &Place,
    to: &Place,
    image: &LocalImage,
    id: &str,
    options: &Options,
    report: Report<'_>,
) -> Result<Published> {
    report(Event::Step(format!("{}: copying from {}", to.region, from.region)));
    // Smoke boots of copies run here, and here nothing else would find one that was left.
    sweep::instances(to, image.family(), &leases(&options.cache), report).await;
    let (copy, reused) = copy::copy(from, to, image, id).await?;
    let done = finish(to, image, options, copy, report).await?;
    Ok(Published { reused, copied_from: Some(from.region.clone()), ..done })
}

/// Waits for an image, shares it and compares it.
async fn finish(
    place: &Place,
    image: &LocalImage,
    options: &Options,
    id: String,
    report: Report<'_>,
) -> Result<Published> {
    report(Event::Step(format!("{}: waiting until {id} is seen everywhere", place.region)));
    let found = register::visible(place, &id).await?;
    let volume = found.block_device_mappings().iter().find_map(|mapping| mapping.ebs()?.snapshot_id());
    let snapshot_id = volume.unwrap_or_default().to_owned();
    copy::share(place, &id, &snapshot_id, &options.share_with).await?;
    let checks = validate::compare(&found, &image.registration);
    let wrong: Vec<String> = checks
        .iter()
        .filter(|check| !check.good)
        .map(|check| format!("{} is {:?} instead of {:?}", check.field, check.found, check.wanted))
        .collect();
    if !wrong.is_empty() {
        return Err(Error::Wrong(format!(
            "{}: {id} is not what register.json says: {}; deregister it and publish again",
            place.region,
            wrong.join("; ")
        )));
    }
    Ok(Published {
        region: place.region.clone(),
        image_id: id,
        name: image.registration.name.clone(),
        snapshot_id,
        reused: false,
        parent_snapshot_id: None,
        copied_from: None,
        blocks: image.present.len(),
        blocks_sent: 0,
        upload_seconds: 0.0,
        checks,
    })
}

/// Keeps the index, so that the next image needs to send only what differs.
fn remember(image: &LocalImage, cache: &Path, report: Report<'_>) {
    let path = parent::index_path(cache, &image.index.digest());
    if !path.exists()
        && let Err(error) = blocks::save(&image.index, &path)
    {
        report(Event::Note(format!(
            "the index of this image is not kept ({error}); the next upload will be a full one"
        )));
    }
}
