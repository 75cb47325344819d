//! `docker pull` and `docker image inspect` of an engine in memory.

use super::behaviour::FakeImage;
use super::orchestrator::REGISTRY;
use super::{FakeEngine, refused};
use crate::{Error, Image, ImageApi, PullProgress};

/// Of every layer, in bytes.
const LAYER: u64 = 1 << 20;

impl ImageApi for FakeEngine {
    async fn pull_image(&self, reference: &str, progress: &mut (dyn FnMut(PullProgress) + Send)) -> Result<(), Error> {
        let operation = "image pull";
        let step =
            |status: &str, bytes| PullProgress { layer: "a1b2c3d4".to_owned(), status: status.to_owned(), bytes };
        let time = {
            let world = self.world(operation)?;
            let machine = &world.machines[&self.hostname];
            if machine.images.contains(reference) {
                return Ok(());
            }
            if let Some(reason) = &machine.pulls_fail {
                return Err(refused(operation, 500, reason.clone()));
            }
            match world.images.get(reference) {
                Some(image) if image.architecture != "amd64" => {
                    let message = "no matching manifest for linux/amd64 in the manifest list entries: not found";
                    return Err(refused(operation, 404, message));
                }
                Some(image) => image.pull,
                None => return Err(refused(operation, 404, "manifest unknown: manifest unknown")),
            }
        };
        progress(step("Downloading", Some((0, LAYER))));
        tokio::time::sleep(time).await;
        let mut world = self.world(operation)?;
        if let Some(machine) = world.machines.get_mut(&self.hostname) {
            machine.images.insert(reference.to_owned());
        }
        progress(step("Pull complete", None));
        Ok(())
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<Image>, Error> {
        let world = self.world("image inspect")?;
        if !world.machines[&self.hostname].images.contains(reference) {
            return Ok(None);
        }
        let image = world.images.get(reference).cloned();
        if image.is_none() && reference.starts_with(REGISTRY) {
            return Ok(None);
        }
        let FakeImage { architecture, has_health_check, exposed_ports, .. } = image.unwrap_or_default();
        let (id, os) = (format!("sha256:{reference}"), "linux".to_owned());
        Ok(Some(Image { id, os, architecture, has_health_check, exposed_ports, bytes: LAYER }))
    }
}
