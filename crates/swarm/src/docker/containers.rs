//! `docker container` and `docker image` on the engine.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ImportImageOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::StreamExt as _;

use super::DockerEngine;
use crate::{Container, ContainerApi, ContainerConfig, Error};

/// Label that holds a container's definition.
const DEFINITION_LABEL: &str = "futuswarm.definition";
/// The engine answers once the first process runs: on a network that no task of the node is on yet, it asks a manager for it first, which
/// it gives 20 s a time and repeats.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Into how many files a log of a given size is cut: the oldest goes as a whole. The engine compresses all but the newest.
const LOG_FILES: u32 = 10;

impl ContainerApi for DockerEngine {
    async fn image_exists(&self, name: &str) -> Result<bool, Error> {
        match self.docker().await?.inspect_image(name).await.map_err(|error| Error::call("image inspect", error)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn load_image(&self, archive: &Path) -> Result<(), Error> {
        let bytes = tokio::fs::read(archive).await;
        let bytes =
            bytes.map_err(|error| Error::File { path: archive.display().to_string(), reason: error.to_string() })?;
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let docker = self.docker().await?;
        let mut progress = docker.import_image(options, body_full(bytes.into()), None);
        while let Some(step) = progress.next().await {
            step.map_err(|error| Error::call("image load", error))?;
        }
        Ok(())
    }

    async fn inspect_container(&self, name: &str) -> Result<Option<Container>, Error> {
        let inspected = self.docker().await?.inspect_container(name, None::<InspectContainerOptions>).await;
        match inspected.map_err(|error| Error::call("container inspect", error)) {
            Ok(current) => {
                let mut labels = current.config.and_then(|config| config.labels).unwrap_or_default();
                let networks = current.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
                Ok(Some(Container {
                    definition: labels.remove(DEFINITION_LABEL),
                    running: current.state.and_then(|state| state.running).unwrap_or(false),
                    networks: networks.into_keys().collect(),
                }))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        let options = CreateContainerOptionsBuilder::default().name(&config.name).build();
        let created = self.docker().await?.create_container(Some(options), body(config)).await;
        created.map_err(|error| Error::call("container create", error))?;
        Ok(())
    }

    async fn start_container(&self, name: &str) -> Result<(), Error> {
        let docker = self.docker().await?.with_timeout(START_TIMEOUT);
        let started = docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(|error| Error::call("container start", error))
    }

    async fn signal_container(&self, name: &str, signal: &str) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::default().signal(&format!("SIG{signal}")).build();
        let sent = self.docker().await?.kill_container(name, Some(options)).await;
        match sent.map_err(|error| Error::call("container kill", error)) {
            // It does not run.
            Err(Error::Refused { status: 409, .. }) => Ok(()),
            other => other,
        }
    }

    async fn remove_container(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let removed = self.docker().await?.remove_container(name, Some(options)).await;
        match removed.map_err(|error| Error::call("container rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

fn body(config: &ContainerConfig) -> ContainerCreateBody {
    let mount = |host: &String, inside: &String, read_only| Mount {
        target: Some(inside.clone()),
        source: Some(host.clone()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Mount::default()
    };
    let mounts = config.mounts.iter().map(|(host, inside)| mount(host, inside, true));
    let mounts = mounts.chain(config.writable.iter().map(|dir| mount(dir, dir, false)));
    let ports = config.ports.iter().map(|(host, inside)| {
        let binding = PortBinding { host_ip: None, host_port: Some(host.to_string()) };
        (format!("{inside}/tcp"), Some(vec![binding]))
    });
    ContainerCreateBody {
        image: Some(config.image.clone()),
        cmd: Some(config.command.clone()),
        env: Some(config.environment.clone()),
        user: config.user.clone(),
        labels: Some(HashMap::from([(DEFINITION_LABEL.to_owned(), config.definition())])),
        exposed_ports: Some(config.ports.iter().map(|(_, inside)| format!("{inside}/tcp")).collect()),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(config.network.clone(), EndpointSettings::default())])),
        }),
        host_config: Some(HostConfig {
            mounts: Some(mounts.collect()),
            port_bindings: Some(ports.collect()),
            memory: Some(config.memory_bytes),
            log_config: config.log_megabytes.map(log),
            network_mode: Some(config.network.clone()),
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

fn log(megabytes: u32) -> HostConfigLogConfig {
    let size = (megabytes / LOG_FILES).max(1);
    let options = [("max-file", LOG_FILES.to_string()), ("max-size", format!("{size}m"))];
    let options = options.map(|(option, value)| (option.to_owned(), value));
    HostConfigLogConfig { typ: Some("local".to_owned()), config: Some(HashMap::from(options)) }
}

#[cfg(test)]
mod tests;
