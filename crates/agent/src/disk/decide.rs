//! Which images may go from a node, and when. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use futuswarm_model::NodeUsage;
use futuswarm_swarm::LocalImage;

/// Above that part of the disk, in percent, images go.
pub(super) const HIGH_WATER: u64 = 75;
/// They go until that much of the disk is used, in percent.
pub(super) const LOW_WATER: u64 = 60;
/// An image goes that nothing has used for so long. A task that is being started has its image for a moment before it has its container.
pub(super) const UNUSED: Duration = Duration::from_secs(30 * 60);
/// Whose images go. Those of the platform itself are in no registry, and could not come back.
const REGISTRY: &str = "127.0.0.1:5000/";

/// Whether more than so many percent of the disk are used.
pub(super) fn is_fuller(usage: &NodeUsage, percent: u64) -> bool {
    let used = usage.disk_bytes.saturating_sub(usage.disk_free_bytes);
    u128::from(used) * 100 > u128::from(usage.disk_bytes) * u128::from(percent)
}

/// Images that may go, those first that nothing has used for the longest time, and of two the one that was built first. `used` are ids
/// of images that containers are made of.
pub(super) fn removable<'a>(
    images: &'a [LocalImage],
    used: &BTreeSet<String>,
    unused_for: impl Fn(&str) -> Duration,
) -> Vec<&'a LocalImage> {
    let is_ours = |image: &LocalImage| image.references.iter().all(|name| name.starts_with(REGISTRY));
    let may_go = |image: &&LocalImage| !used.contains(&image.id) && is_ours(image) && unused_for(&image.id) >= UNUSED;
    let mut removable: Vec<&LocalImage> = images.iter().filter(may_go).collect();
    removable.sort_by_key(|image| (Reverse(unused_for(&image.id)), image.created_at, image.id.clone()));
    removable
}
