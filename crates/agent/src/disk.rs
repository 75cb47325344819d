//! The node's disk: heartbeats tell how full it is, and images that nothing uses go when it fills up.
//!
//! An engine does not say when an image was used last. So it is looked from here, again and again, which images containers are made of;
//! after a start every image counts as just used. Containers of tasks that are over are the Swarm's to remove, and keep their images.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futuswarm_model::NodeUsage;
use futuswarm_node_files as files;
use futuswarm_retry::Backoff;
use futuswarm_swarm::{ImageApi, LocalImage};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Error;
use decide::{HIGH_WATER, LOW_WATER, is_fuller, removable};

/// Where the engine keeps images and containers.
const DOCKER: &str = "/var/lib/docker";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// So many images go in one round at most: removing a large one takes a slow disk long.
const MOST_AT_ONCE: usize = 50;

/// What is known of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// `None` before it was measured.
    pub(crate) usage: Option<NodeUsage>,
    /// Why it stays full.
    pub(crate) reason: Option<String>,
}

/// What is measured of a machine.
pub(crate) trait Machine: Send + Sync {
    /// What is used of it now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn measure(&self) -> impl Future<Output = Result<NodeUsage, Error>> + Send;
}

/// The machine that this runs on.
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    async fn measure(&self) -> Result<NodeUsage, Error> {
        let docker = Path::new(DOCKER);
        let disk = rustix::fs::statvfs(docker).map_err(|error| files::Error::of(docker)(error.into()))?;
        let (memory_bytes, memory_available_bytes) = read("/proc/meminfo", memory)?;
        Ok(NodeUsage {
            // As df(1) has it: what is kept for root is nobody's to fill.
            disk_bytes: disk.f_blocks.saturating_sub(disk.f_bfree).saturating_add(disk.f_bavail) * disk.f_frsize,
            disk_free_bytes: disk.f_bavail * disk.f_frsize,
            memory_bytes,
            memory_available_bytes,
            load_millis: read("/proc/loadavg", load)?,
        })
    }
}

fn read<T>(path: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let path = Path::new(path);
    let text = std::fs::read_to_string(path).map_err(files::Error::of(path))?;
    Ok(parse(&text).ok_or_else(|| files::Error::new(path, "it is not what the kernel's documentation says"))?)
}

/// All memory and what is available of it, in bytes, from proc_meminfo(5).
fn memory(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes << 10)
    };
    Some((field("MemTotal")?, field("MemAvailable")?))
}

/// The load over a minute in thousandths, from proc_loadavg(5): a number with two decimals.
fn load(text: &str) -> Option<u64> {
    let (whole, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = (hundredths.len() == 2).then_some(hundredths)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()? * 1000 + hundredths * 10)
}

/// Measures the machine and keeps its disk from filling up, for as long as the agent lives.
pub(crate) async fn keep(engine: impl ImageApi, machine: impl Machine, state: watch::Sender<State>) {
    let mut disk = Disk::new(engine, machine);
    let mut backoff = Backoff::default();
    loop {
        let (new, pause) = match disk.round().await {
            Ok(new) => {
                backoff.reset();
                (new, EVERY)
            }
            Err(error) => {
                let pause = backoff.failed("the disk is not looked after", &error.to_string());
                // That an engine does not answer is told by whoever needs it more.
                let is_away = matches!(error, Error::Engine(futuswarm_swarm::Error::Unreachable { .. }));
                (State { usage: disk.usage, reason: (!is_away).then(|| format!("the disk: {error}")) }, pause)
            }
        };
        state.send_replace(new);
        tokio::time::sleep(pause).await;
    }
}

struct Disk<E, M> {
    engine: E,
    machine: M,
    /// As it was measured last.
    usage: Option<NodeUsage>,
    /// When a container was made of an image for the last time, or it was seen first, by the image's id.
    used_at: BTreeMap<String, Instant>,
}

impl<E: ImageApi, M: Machine> Disk<E, M> {
    fn new(engine: E, machine: M) -> Self {
        Self { engine, machine, usage: None, used_at: BTreeMap::new() }
    }

    async fn round(&mut self) -> Result<State, Error> {
        self.usage = None;
        let mut usage = self.machine.measure().await?;
        self.usage = Some(usage);
        // In this order: an image that is used between both is in the list of what is used, or was not listed.
        let images = self.engine.list_images().await?;
        let used = self.engine.images_in_use().await?;
        let now = Instant::now();
        self.used_at.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in &images {
            let at = self.used_at.entry(image.id.clone()).or_insert(now);
            *at = if used.contains(&image.id) { now } else { *at };
        }
        if !is_fuller(&usage, HIGH_WATER) {
            return Ok(State { usage: Some(usage), reason: None });
        }
        let unused_for = |id: &str| self.used_at.get(id).map_or(Duration::ZERO, |at| now - *at);
        let mut removed = 0;
        for image in removable(&images, &used, unused_for).into_iter().take(MOST_AT_ONCE) {
            if !is_fuller(&usage, LOW_WATER) {
                break;
            }
            removed += u32::from(self.remove(image).await?);
            usage = self.machine.measure().await?;
        }
        let free = usage.disk_free_bytes >> 20;
        if removed > 0 {
            tracing::info!(removed, free_mib = free, "removed images that nothing uses");
        }
        let is_stuck = removed == 0 && is_fuller(&usage, HIGH_WATER);
        let reason = || {
            format!(
                "the disk is more than {HIGH_WATER} % full, and no image is left that nothing uses: raise disk_gib in the specification, or see what fills {DOCKER}"
            )
        };
        Ok(State { usage: Some(usage), reason: is_stuck.then(reason) })
    }

    /// Removes an image by all of its names; `false` when a container has been made of it meanwhile.
    async fn remove(&self, image: &LocalImage) -> Result<bool, Error> {
        let names = if image.references.is_empty() { std::slice::from_ref(&image.id) } else { &image.references };
        for name in names {
            match self.engine.remove_image(name).await {
                Err(error) if error.is_conflict() => return Ok(false),
                removed => removed?,
            }
        }
        Ok(true)
    }
}
