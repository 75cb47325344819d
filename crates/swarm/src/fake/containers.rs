//! `docker container` and `docker image` of an engine in memory.

use std::collections::BTreeSet;
use std::path::Path;

use super::{FakeEngine, refused};
use crate::{Container, ContainerApi, ContainerConfig, Error};

/// A container, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// What it was made from.
    pub config: ContainerConfig,
    /// Whether its process runs.
    pub running: bool,
    /// Signals that it got.
    pub signals: Vec<String>,
}

#[derive(Debug)]
pub(super) struct FakeContainer {
    config: ContainerConfig,
    pub(super) image: String,
    running: bool,
    pub(super) networks: BTreeSet<String>,
    signals: Vec<String>,
}

impl FakeEngine {
    /// A container of this machine that is no program, whatever its engine would say.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<ContainerView> {
        let world = self.world.lock();
        let container = world.machines.get(&self.hostname)?.containers.get(name)?;
        let FakeContainer { config, running, signals, .. } = container;
        Some(ContainerView { config: config.clone(), running: *running, signals: signals.clone() })
    }
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
            definition: Some(container.config.definition()),
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
        let (config, image) = (config.clone(), config.image.clone());
        let name = config.name.clone();
        let container = FakeContainer { config, image, running: false, networks, signals: Vec::new() };
        machine.containers.insert(name, container);
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

    async fn signal_container(&self, name: &str, signal: &str) -> Result<(), Error> {
        let mut world = self.world("container kill")?;
        let machine = world.machines.get_mut(&self.hostname);
        match machine.and_then(|machine| machine.containers.get_mut(name)) {
            Some(container) => {
                if container.running {
                    container.signals.push(signal.to_owned());
                }
                Ok(())
            }
            None => Err(refused("container kill", 404, format!("No such container: {name}"))),
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
