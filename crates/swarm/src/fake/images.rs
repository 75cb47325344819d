//! `docker pull` and `docker image` of an engine in memory.

use std::collections::BTreeSet;

use super::behaviour::FakeImage;
use super::surroundings::REGISTRY;
use super::world::World;
use super::{FakeEngine, refused};
use crate::{Error, Image, ImageApi, LocalImage, PullProgress};

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
        let (id, os) = (id(reference), "linux".to_owned());
        Ok(Some(Image { id, os, architecture, has_health_check, exposed_ports, bytes: LAYER }))
    }

    async fn list_images(&self) -> Result<Vec<LocalImage>, Error> {
        let world = self.world("image ls")?;
        let image = |reference: &String| LocalImage {
            id: id(reference),
            references: vec![reference.clone()],
            created_at: 0,
            bytes: LAYER,
        };
        Ok(world.machines[&self.hostname].images.iter().map(image).collect())
    }

    async fn images_in_use(&self) -> Result<BTreeSet<String>, Error> {
        let world = self.world("container ls")?;
        Ok(used(&world, &self.hostname).iter().map(|reference| id(reference)).collect())
    }

    async fn remove_image(&self, reference: &str) -> Result<(), Error> {
        let operation = "image rm";
        let mut world = self.world(operation)?;
        if used(&world, &self.hostname).contains(reference) {
            let message = "conflict: unable to remove repository reference (must force) - container is using its image";
            return Err(refused(operation, 409, message));
        }
        if let Some(machine) = world.machines.get_mut(&self.hostname) {
            machine.images.remove(reference);
        }
        Ok(())
    }
}

fn id(reference: &str) -> String {
    format!("sha256:{reference}")
}

/// Images of a machine that containers are made of, those of tasks that are over included.
fn used(world: &World, hostname: &str) -> BTreeSet<String> {
    let machine = &world.machines[hostname];
    let containers = machine.containers.values().map(|container| container.image.clone());
    let programs = machine.programs.values().map(|program| program.image().to_owned());
    let tasks = world.member(hostname).into_iter().flat_map(|(swarm, node)| {
        let tasks = world.clusters.get(swarm).into_iter().flat_map(|cluster| cluster.tasks.values());
        tasks.filter(move |task| task.node.as_deref() == Some(node) && task.container().is_some())
    });
    containers.chain(programs).chain(tasks.map(|task| task.spec.image.clone())).collect()
}
