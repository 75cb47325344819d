//! One image in one region, from its folder to an AMI that was observed and compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::cleanup::{CleanupList, Resource};
use crate::error::{Error, Result};
use crate::image::LocalImage;
use crate::progress::{Event, Report};
use crate::region::RegionClients;
use crate::run_lock::{RunLock, run_locks};
use crate::validate::{self, Check};
use crate::{blocks, copy, parent, register, snapshot, sweep, upload};

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the indices of published images are kept.
    pub cache: PathBuf,
    /// Send every block, whatever there is to begin with.
    pub full: bool,
    /// Longest time for one upload.
    pub deadline: Duration,
    /// Accounts that may use the image.
    pub share_with: Vec<String>,
}

/// A published image, as `--json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// For example `eu-west-1`.
    pub region: String,
    /// For example `ami-0123456789abcdef0`.
    pub image_id: String,
    /// That of the registration.
    pub name: String,
    /// That of the root device.
    pub snapshot_id: String,
    /// Whether it was there already.
    pub reused: bool,
    /// The snapshot that the upload began as.
    pub parent_snapshot_id: Option<String>,
    /// The region that it was copied from.
    pub copied_from: Option<String>,
    /// Blocks that a snapshot of the disk has.
    pub blocks: usize,
    /// Blocks that were sent: none for a copy or a snapshot that was complete.
    pub blocks_sent: usize,
    /// From the first call to the completed snapshot.
    pub upload_seconds: f64,
    /// How it compares with `register.json`.
    pub checks: Vec<Check>,
}

/// Publishes an image in a region, or finds that it is there.
///
/// # Errors
/// When anything fails; what is then not good is on the cleanup list.
pub async fn publish(
    clients: &RegionClients,
    image: &LocalImage,
    options: &Options,
    cleanup: &CleanupList,
    report: Report<'_>,
) -> Result<Published> {
    let step = |text: &str| report(Event::Step(format!("{}: {text}", clients.region)));
    let name = &image.registration.name;
    step(&format!("looking for {name}"));
    let snapshots = snapshot::of_family(clients, image.family()).await?;
    let run_locks = run_locks(&options.cache);
    sweep::snapshots(clients, &snapshots, &run_locks, report).await;
    sweep::instances(clients, image.family(), &run_locks, report).await;
    if let Some(registered) = register::find(clients, name).await? {
        let id = copy::same(clients, image, &registered)?;
        remember(image, &options.cache, report);
        return finish(clients, image, options, id, report).await.map(|done| Published { reused: true, ..done });
    }
    let started = std::time::Instant::now();
    let digest = image.index.digest();
    let whole = snapshots.iter().find(|snapshot| snapshot::has_disk(snapshot, &image.disk_sha256, &digest));
    let (snapshot, sent, parent, lock) = match whole.and_then(|snapshot| snapshot.snapshot_id()) {
        Some(id) => {
            report(Event::Note(format!("{}: {id} is complete already, an earlier run has sent it", clients.region)));
            (id.to_owned(), 0, None, None)
        }
        None => {
            step("comparing with the newest snapshot");
            let parent = match options.full {
                true => None,
                false => parent::find(clients, image, &snapshots, &options.cache).await.unwrap_or_else(|error| {
                    report(Event::Note(format!("{error}; so everything is sent")));
                    None
                }),
            };
            let lock = RunLock::take(&run_locks)?;
            let upload =
                async |parent| upload::upload(clients, image, parent, &lock, cleanup, report, options.deadline).await;
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
                parent::verify(clients, parent, &done.snapshot).await?;
                snapshot::mark_verified(clients, &done.snapshot).await?;
            }
            (done.snapshot, done.sent, parent.map(|parent| parent.id), Some(lock))
        }
    };
    let upload_seconds = started.elapsed().as_secs_f64();
    remember(image, &options.cache, report);
    step("registering");
    let id = register::register(clients, &image.registration, &snapshot).await?;
    cleanup.keep(&Resource::Snapshot(snapshot));
    if let Some(lock) = lock {
        lock.end();
    }
    let done = finish(clients, image, options, id, report).await?;
    Ok(Published { parent_snapshot_id: parent, blocks_sent: sent, upload_seconds, ..done })
}

/// Copies an image into another region, or finds that it is there.
///
/// # Errors
/// When anything fails.
pub async fn copy_to(
    from: &RegionClients,
    to: &RegionClients,
    image: &LocalImage,
    id: &str,
    options: &Options,
    report: Report<'_>,
) -> Result<Published> {
    report(Event::Step(format!("{}: copying from {}", to.region, from.region)));
    // Smoke boots of copies run here, and here nothing else would find one that was left.
    sweep::instances(to, image.family(), &run_locks(&options.cache), report).await;
    let (copy, reused) = copy::copy(from, to, image, id).await?;
    let done = finish(to, image, options, copy, report).await?;
    Ok(Published { reused, copied_from: Some(from.region.clone()), ..done })
}

/// Waits for an image, shares it and compares it.
async fn finish(
    clients: &RegionClients,
    image: &LocalImage,
    options: &Options,
    id: String,
    report: Report<'_>,
) -> Result<Published> {
    report(Event::Step(format!("{}: waiting until {id} is visible everywhere", clients.region)));
    let registered = register::visible(clients, &id).await?;
    let volume = registered.block_device_mappings().iter().find_map(|mapping| mapping.ebs()?.snapshot_id());
    let snapshot_id = volume.unwrap_or_default().to_owned();
    copy::share(clients, &id, &snapshot_id, &options.share_with).await?;
    let checks = validate::compare(&registered, &image.registration);
    let wrong: Vec<String> = checks
        .iter()
        .filter(|check| !check.good)
        .map(|check| format!("{} is {:?} instead of {:?}", check.field, check.observed, check.desired))
        .collect();
    if !wrong.is_empty() {
        return Err(Error::Wrong(format!(
            "{}: {id} is not what register.json says: {}; deregister it and publish again",
            clients.region,
            wrong.join("; ")
        )));
    }
    Ok(Published {
        region: clients.region.clone(),
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
