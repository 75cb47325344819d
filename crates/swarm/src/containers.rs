//! Containers that the agent runs on its own node, outside of the Swarm's scheduler.

use std::collections::HashMap;
use std::path::Path;

use bollard::body_full;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, Mount, MountType, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ImportImageOptionsBuilder, InspectContainerOptions, InspectNetworkOptions,
    ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::StreamExt as _;

use crate::{Engine, Error};

/// Label that holds the digest of a container's definition, so that a change of it is noticed.
const DEFINITION_LABEL: &str = "futuswarm.definition";

/// A container as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image, present on this node.
    pub image: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Read-only mounts, host path → container path.
    pub mounts: Vec<(String, String)>,
    /// Folders that it may write to, at the same path as on the host.
    pub writable: Vec<String>,
    /// Published ports, host port → container port. Host mode: the client's address is kept.
    pub ports: Vec<(u16, u16)>,
    /// The bridge network it starts on.
    pub network: String,
    /// Memory limit, in bytes.
    pub memory_bytes: i64,
}

/// A bridge network on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetwork(pub String);

impl Container {
    fn definition(&self) -> String {
        // Readable on purpose: `docker inspect` then shows why a container was made anew.
        format!(
            "{} {:?} {:?} {:?} {:?} {} {}",
            self.image, self.command, self.mounts, self.writable, self.ports, self.network, self.memory_bytes
        )
    }

    fn body(&self) -> ContainerCreateBody {
        let mount = |host: &String, inside: &String, read_only| Mount {
            target: Some(inside.clone()),
            source: Some(host.clone()),
            typ: Some(MountType::BIND),
            read_only: Some(read_only),
            ..Mount::default()
        };
        let mounts = self.mounts.iter().map(|(host, inside)| mount(host, inside, true));
        let mounts = mounts.chain(self.writable.iter().map(|dir| mount(dir, dir, false)));
        let ports = self.ports.iter().map(|(host, inside)| {
            let binding = PortBinding { host_ip: None, host_port: Some(host.to_string()) };
            (format!("{inside}/tcp"), Some(vec![binding]))
        });
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(self.command.clone()),
            labels: Some(HashMap::from([(DEFINITION_LABEL.to_owned(), self.definition())])),
            exposed_ports: Some(self.ports.iter().map(|(_, inside)| format!("{inside}/tcp")).collect()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(self.network.clone(), EndpointSettings::default())])),
            }),
            host_config: Some(HostConfig {
                mounts: Some(mounts.collect()),
                port_bindings: Some(ports.collect()),
                memory: Some(self.memory_bytes),
                network_mode: Some(self.network.clone()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::ALWAYS),
                    maximum_retry_count: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

impl Engine {
    /// Loads an image from a `docker save` archive unless an image of that name is there already.
    ///
    /// # Errors
    /// When the file cannot be read or the engine refuses it.
    pub async fn ensure_image(&self, name: &str, archive: &Path) -> Result<bool, Error> {
        match self.docker.inspect_image(name).await {
            Ok(_) => return Ok(false),
            Err(error) => {
                let error = Error::call("image inspect", error);
                if !error.is_not_found() {
                    return Err(error);
                }
            }
        }
        let bytes = tokio::fs::read(archive).await;
        let bytes =
            bytes.map_err(|error| Error::File { path: archive.display().to_string(), reason: error.to_string() })?;
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut progress = self.docker.import_image(options, body_full(bytes.into()), None);
        while let Some(step) = progress.next().await {
            step.map_err(|error| Error::call("image load", error))?;
        }
        Ok(true)
    }

    /// Makes the container run as defined: created, started, or made anew when its definition changed or it cannot be started.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn ensure_container(&self, wanted: &Container) -> Result<bool, Error> {
        let inspected = self.docker.inspect_container(&wanted.name, None::<InspectContainerOptions>).await;
        let mut kept = false;
        match inspected.map_err(|error| Error::call("container inspect", error)) {
            Ok(current) => {
                let labels = current.config.and_then(|config| config.labels).unwrap_or_default();
                let same = labels.get(DEFINITION_LABEL) == Some(&wanted.definition());
                let running = current.state.and_then(|state| state.running).unwrap_or(false);
                if same && running {
                    return Ok(false);
                }
                kept = same;
                if !same {
                    self.remove_container(&wanted.name).await?;
                    self.create_container(wanted).await?;
                }
            }
            Err(error) if error.is_not_found() => self.create_container(wanted).await?,
            Err(error) => return Err(error),
        }
        match self.start_container(&wanted.name).await {
            // After a restart dockerd may say for ever that the task of a container which does not run exists already.
            Err(Error::Refused { .. }) if kept => {
                self.remove_container(&wanted.name).await?;
                self.create_container(wanted).await?;
                self.start_container(&wanted.name).await?;
            }
            started => started?,
        }
        Ok(true)
    }

    async fn start_container(&self, name: &str) -> Result<(), Error> {
        let started = self.docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(|error| Error::call("container start", error))
    }

    /// Removes a container, running or not; no error when there is none.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_container(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) => match Error::call("container rm", error) {
                error if error.is_not_found() => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Names of the networks a container is on.
    ///
    /// # Errors
    /// When there is no such container.
    pub async fn container_networks(&self, name: &str) -> Result<Vec<String>, Error> {
        let inspected = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let inspected = inspected.map_err(|error| Error::call("container inspect", error))?;
        let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        Ok(networks.into_keys().collect())
    }

    /// Attaches a running container to a network, by name or id. On a worker this asks the managers for the network.
    ///
    /// # Errors
    /// When the network cannot be found or is not attachable.
    pub async fn connect(&self, container: &str, network: &str) -> Result<(), Error> {
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        self.docker.connect_network(network, request).await.map_err(|error| Error::call("network connect", error))
    }

    /// Takes a container off a network; no error when either is gone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn disconnect(&self, container: &str, network: &str) -> Result<(), Error> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        match self.docker.disconnect_network(network, request).await {
            Ok(()) => Ok(()),
            Err(error) => match Error::call("network disconnect", error) {
                error if error.is_not_found() => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Makes a bridge network on this node; nothing happens when it is there.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn ensure_bridge(&self, network: &LocalNetwork) -> Result<(), Error> {
        match self.docker.inspect_network(&network.0, None::<InspectNetworkOptions>).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let error = Error::call("network inspect", error);
                if !error.is_not_found() {
                    return Err(error);
                }
            }
        }
        let request = NetworkCreateRequest {
            name: network.0.clone(),
            driver: Some("bridge".to_owned()),
            ..NetworkCreateRequest::default()
        };
        self.docker.create_network(request).await.map_err(|error| Error::call("network create", error))?;
        Ok(())
    }

    pub(crate) async fn network_id(&self, name: &str, scope: &str) -> Result<Option<String>, Error> {
        let filters = HashMap::from([("name", vec![name]), ("scope", vec![scope])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await;
        let networks = networks.map_err(|error| Error::call("network ls", error))?;
        // The engine's filter matches parts of names.
        Ok(networks.into_iter().find(|network| network.name.as_deref() == Some(name)).and_then(|network| network.id))
    }

    async fn create_container(&self, wanted: &Container) -> Result<(), Error> {
        let options = CreateContainerOptionsBuilder::default().name(&wanted.name).build();
        let created = self.docker.create_container(Some(options), wanted.body()).await;
        created.map_err(|error| Error::call("container create", error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
