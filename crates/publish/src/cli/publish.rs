//! `publish`: everything that can be wrong is checked first, then the upload, the copies, the smoke boots and the promotion.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use futuswarm_output::{eprintln, println};
use futuswarm_publish::cleanup::CleanupList;
use futuswarm_publish::image::LocalImage;
use futuswarm_publish::progress::{Event, Report};
use futuswarm_publish::publish::{Options, Published, copy_to, publish};
use futuswarm_publish::region::RegionClients;
use futuswarm_publish::run_lock::{RunLock, run_locks};
use futuswarm_publish::{inputs, promote, smoke};
use serde_json::json;

use super::{Publish, folder, show};

/// Copies that are made at the same time.
const COPIES: usize = 4;

/// Where the image goes.
struct Plan {
    /// Where the image is uploaded.
    regions: Vec<RegionClients>,
    /// Where the first of these is copied to.
    targets: Vec<RegionClients>,
    /// Region → subnet of its smoke boot.
    subnets: BTreeMap<String, String>,
}

impl Publish {
    pub(super) async fn run(self, cleanup: &CleanupList) -> anyhow::Result<()> {
        let started = std::time::Instant::now();
        let shown = show::Progress::new();
        let report = |event: Event| shown.tell(event);
        let plan = self.plan(&report).await?;
        let (dir, rehearsal) = (folder(self.image.clone())?, self.rehearsal);
        report(Event::Step(format!("reading {}", dir.display())));
        let image = tokio::task::spawn_blocking(move || LocalImage::load(&dir, rehearsal)).await??;
        if self.promote {
            image.promotable(self.local_cloud.is_some())?;
        }
        let options = Options {
            cache: futuswarm_paths::cache_dir()?,
            full: self.full,
            deadline: Duration::from_secs(self.deadline),
            share_with: self.share_with.clone(),
        };
        let mut images = Vec::new();
        for clients in &plan.regions {
            images.push(publish(clients, &image, &options, cleanup, &report).await?);
        }
        let (first, first_image) = (&plan.regions[0], images[0].image_id.clone());
        let copies: Vec<Published> = stream::iter(&plan.targets)
            .map(|target| copy_to(first, target, &image, &first_image, &options, &report))
            .buffered(COPIES)
            .try_collect()
            .await?;
        images.extend(copies);
        let regions: Vec<&RegionClients> = plan.regions.iter().chain(&plan.targets).collect();
        if self.smoke || (self.promote && !self.no_smoke) {
            let lock = RunLock::take(&run_locks(&options.cache))?;
            for (clients, published) in regions.iter().zip(&images) {
                report(Event::Step(format!("{}: smoke boot of {}", clients.region, published.image_id)));
                let boot = smoke::Boot {
                    subnet: plan.subnets.get(&clients.region).cloned(),
                    instance_type: self.smoke_type.clone(),
                    deadline: Duration::from_secs(self.smoke_deadline),
                };
                smoke::boot(clients, &published.image_id, image.family(), &boot, &lock, cleanup)
                    .await
                    .context("the image is published and was not promoted")?;
            }
            lock.end();
        }
        let mut promoted = Vec::new();
        if self.promote {
            for (clients, published) in regions.iter().zip(&images) {
                report(Event::Step(format!("{}: promoting {}", clients.region, published.image_id)));
                let names = promote::promote(clients, &image.registration, &published.image_id).await?;
                promoted.extend(names.into_iter().map(|name| json!({ "region": clients.region, "parameter": name })));
            }
        }
        shown.end();
        for published in &images {
            eprintln!("{}", show::published(published));
        }
        if self.promote {
            eprintln!("promoted: {} names it", promote::latest(&image.registration.architecture));
        }
        if self.target.json {
            let seconds = started.elapsed().as_secs_f64();
            let answer = json!({ "images": images, "promoted": promoted, "seconds": seconds });
            println!("{}", serde_json::to_string_pretty(&answer)?);
        }
        Ok(())
    }

    /// Checks all arguments before anything is sent.
    async fn plan(&self, report: Report<'_>) -> anyhow::Result<Plan> {
        inputs::accounts(&self.share_with)?;
        let regions = self.target.connect().await?;
        let published: Vec<String> = regions.iter().map(|clients| clients.region.clone()).collect();
        inputs::regions(&published, &self.copy_to)?;
        let all = [published, self.copy_to.clone()].concat();
        let subnets = inputs::smoke_subnets(&self.smoke_subnets, &all)?;
        if !self.target.regions.is_empty() || !self.copy_to.is_empty() {
            // The usual region is less likely to be misspelt than one that was typed now, and a region that is not one answers nothing.
            let usual = RegionClients::connect(None).await;
            inputs::known_regions(usual.as_ref().unwrap_or(&regions[0]), &all, report).await?;
        }
        let mut targets = Vec::new();
        for region in &self.copy_to {
            targets.push(RegionClients::connect(Some(region)).await?);
        }
        for clients in regions.iter().chain(&targets) {
            if let Some(subnet) = subnets.get(&clients.region) {
                inputs::known_subnet(clients, subnet, report).await?;
            }
        }
        Ok(Plan { regions, targets, subnets })
    }
}
