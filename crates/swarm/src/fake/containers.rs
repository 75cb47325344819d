//! `docker container` and `docker image` of an engine in memory.

use std::collections::BTreeSet;
use std::path::Path;

use super::{FakeEngine, refused};
use crate::{Container, ContainerApi, ContainerConfig, Error};

#[derive(Debug)]
pub(super) struct FakeContainer {
    definition: String,
    pub(super) image: String,
    running: bool,
    pub(super) networks: BTreeSet<String>,
}

impl ContainerApi for FakeEngine {
    async fn image_exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.world("image inspect")?.machines[&self.hostname].images.contains(name))
    }

    /// The image is named as its archive is.
    async fn load_image(&self, archive: &Path) -> Result<(), Error> {
        let name = archive.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(machine) = self.world("image load")?.machines.get_mut(&self.hostname) {
            machine.images.insert(name);
        }
        Ok(())
    }

    async fn inspect_container(&self, name: &str) -> Result<Option<Container>, Error> {
        let world = self.world("container inspect")?;
        Ok(world.machines[&self.hostname].containers.get(name).map(|container| Container {
            definition: Some(container.definition.clone()),
            running: container.running,
            networks: container.networks.iter().cloned().collect(),
        }))
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        let mut world = self.world("container create")?;
        let Some(machine) = world.machines.get_mut(&self.hostname) else { return Ok(()) };
        if machine.containers.contains_key(&config.name) {
            let message = format!("Conflict. The container name \"/{}\" is already in use", config.name);
            return Err(refused("container create", 409, message));
        }
        let networks = BTreeSet::from([config.network.clone()]);
        let (definition, image) = (config.definition(), config.image.clone());
        let container = FakeContainer { definition, image, running: false, networks };
        machine.containers.insert(config.name.clone(), container);
        Ok(())
    }

    async fn start_container(&self, name: &str) -> Result<(), Error> {
        if self.start_program(name)? {
            return Ok(());
        }
        let mut world = self.world("container start")?;
        let machine = world.machines.get_mut(&self.hostname);
        match machine.and_then(|machine| machine.containers.get_mut(name)) {
            Some(container) => {
                container.running = true;
                Ok(())
            }
            None => Err(refused("container start", 404, format!("No such container: {name}"))),
        }
    }

    async fn remove_container(&self, name: &str) -> Result<(), Error> {
        if let Some(machine) = self.world("container rm")?.machines.get_mut(&self.hostname) {
            machine.containers.remove(name);
            machine.programs.remove(name);
        }
        Ok(())
    }
}
