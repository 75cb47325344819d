//! `publish`: everything that can be wrong is looked at first, then the upload, the copies, the smoke boots and the promotion.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use futuswarm_output::{eprintln, println};
use futuswarm_publish::debris::Debris;
use futuswarm_publish::image::LocalImage;
use futuswarm_publish::lease::{Lease, leases};
use futuswarm_publish::place::Place;
use futuswarm_publish::progress::{Event, Report};
use futuswarm_publish::publish::{Options, Published, copy_to, publish};
use futuswarm_publish::{inputs, promote, smoke};
use serde_json::json;

use super::{Publish, folder, show};

/// Copies that are made at the same time.
const COPIES: usize = 4;

/// Where everything goes.
struct Plan {
    /// Where the image is uploaded.
    places: Vec<Place>,
    /// Where the first of these is copied to.
    targets: Vec<Place>,
    /// Region → subnet of its smoke boot.
    subnets: BTreeMap<String, String>,
}

impl Publish {
    pub(super) async fn run(self, debris: &Debris) -> anyhow::Result<()> {
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
        for place in &plan.places {
            images.push(publish(place, &image, &options, debris, &report).await?);
        }
        let (first, first_image) = (&plan.places[0], images[0].image_id.clone());
        let copies: Vec<Published> = stream::iter(&plan.targets)
            .map(|target| copy_to(first, target, &image, &first_image, &options, &report))
            .buffered(COPIES)
            .try_collect()
            .await?;
        images.extend(copies);
        let places: Vec<&Place> = plan.places.iter().chain(&plan.targets).collect();
        if self.smoke || (self.promote && !self.no_smoke) {
            let lease = Lease::take(&leases(&options.cache))?;
            for (place, published) in places.iter().zip(&images) {
                report(Event::Step(format!("{}: smoke boot of {}", place.region, published.image_id)));
                let boot = smoke::Boot {
                    subnet: plan.subnets.get(&place.region).cloned(),
                    instance_type: self.smoke_type.clone(),
                    deadline: Duration::from_secs(self.smoke_deadline),
                };
                smoke::boot(place, &published.image_id, image.family(), &boot, &lease, debris)
                    .await
                    .context("the image is published and was not promoted")?;
            }
            lease.end();
        }
        let mut promoted = Vec::new();
        if self.promote {
            for (place, published) in places.iter().zip(&images) {
                report(Event::Step(format!("{}: promoting {}", place.region, published.image_id)));
                let names = promote::promote(place, &image.registration, &published.image_id).await?;
                promoted.extend(names.into_iter().map(|name| json!({ "region": place.region, "parameter": name })));
            }
        }
        shown.end();
        for published in &images {
            eprintln!("{}", show::published(published));
        }
        if self.promote {
            eprintln!("promoted: {} names it", promote::latest(&image.registration.architecture));
        }
        if self.place.json {
            let seconds = started.elapsed().as_secs_f64();
            let answer = json!({ "images": images, "promoted": promoted, "seconds": seconds });
            println!("{}", serde_json::to_string_pretty(&answer)?);
        }
        Ok(())
    }

    /// Looks at all arguments before anything is sent.
    async fn plan(&self, report: Report<'_>) -> anyhow::Result<Plan> {
        inputs::accounts(&self.share_with)?;
        let places = self.place.places().await?;
        let published: Vec<String> = places.iter().map(|place| place.region.clone()).collect();
        inputs::regions(&published, &self.copy_to)?;
        let all = [published, self.copy_to.clone()].concat();
        let subnets = inputs::smoke_subnets(&self.smoke_subnets, &all)?;
        if !self.place.regions.is_empty() || !self.copy_to.is_empty() {
            // The usual region is less likely to be misspelt than one that was typed now, and a region that is not one answers nothing.
            let usual = Place::connect(None).await;
            inputs::known_regions(usual.as_ref().unwrap_or(&places[0]), &all, report).await?;
        }
        let mut targets = Vec::new();
        for region in &self.copy_to {
            targets.push(Place::connect(Some(region)).await?);
        }
        for place in places.iter().chain(&targets) {
            if let Some(subnet) = subnets.get(&place.region) {
                inputs::known_subnet(place, subnet, report).await?;
            }
        }
        Ok(Plan { places, targets, subnets })
    }
}
