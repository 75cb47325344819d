//! One-off containers on the engine.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerState, ContainerSummaryStateEnum, EndpointSettings, HealthStatusEnum, HostConfig,
    HostConfigLogConfig, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ResizeContainerTTYOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::DockerEngine;
use super::raw::{self, Request};
use super::services::body::{mount, signed};
use crate::programs::PROGRAM_LABEL;
use crate::{Attached, CheckResult, Error, Output, PlatformMount, Program, ProgramApi, ProgramSpec};

/// What is read of a terminal's output at once, in bytes.
const PIECE: usize = 16 << 10;
/// Standard error in a multiplexed stream.
const STDERR: u8 = 2;

impl ProgramApi for DockerEngine {
    async fn create_program(&self, spec: &ProgramSpec) -> Result<(), Error> {
        let options = CreateContainerOptionsBuilder::default().name(&spec.name).build();
        let created = self.docker().await?.create_container(Some(options), body(spec)).await;
        created.map_err(|error| Error::call("container create", error))?;
        Ok(())
    }

    async fn attach_program(&self, name: &str, terminal: bool) -> Result<Attached, Error> {
        let operation = "container attach";
        let path = format!("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", raw::encode(name));
        let request = Request { operation, method: "POST", path: &path, body: &[], upgrade: true };
        let stream = self.send(request).await?.body;
        let (output, input) = tokio::io::split(stream);
        let next = move |mut output| async move {
            let piece = if terminal { plain(&mut output).await } else { multiplexed(&mut output).await };
            let piece = piece.map_err(|error| raw::lost(operation, &error))?;
            Ok(piece.map(|piece| (piece, output)))
        };
        Ok(Attached { input: Box::new(input), output: try_unfold(output, next).boxed() })
    }

    async fn resize_program(&self, name: &str, rows: u16, columns: u16) -> Result<(), Error> {
        let options = ResizeContainerTTYOptionsBuilder::default().h(rows.into()).w(columns.into()).build();
        let resized = self.docker().await?.resize_container_tty(name, options).await;
        resized.map_err(|error| Error::call("container resize", error))
    }

    async fn signal_program(&self, name: &str, signal: &str) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::default().signal(&format!("SIG{signal}")).build();
        let sent = self.docker().await?.kill_container(name, Some(options)).await;
        match sent.map_err(|error| Error::call("container kill", error)) {
            // It has ended meanwhile.
            Err(Error::Refused { status: 409, .. }) => Ok(()),
            other => other,
        }
    }

    async fn wait_program(&self, name: &str) -> Result<i64, Error> {
        let operation = "container wait";
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let docker = self.docker().await?;
        let mut ends = docker.wait_container(name, Some(options));
        match ends.next().await {
            Some(Ok(end)) => Ok(end.status_code),
            // bollard takes every other code for an error; only one with a message is.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { error, code })) if error.is_empty() => Ok(code),
            Some(Err(error)) => Err(Error::call(operation, error)),
            None => Err(Error::Unreachable { operation, reason: "the connection was closed".to_owned() }),
        }
    }

    async fn memory_ran_out(&self, container: &str) -> Result<Option<bool>, Error> {
        Ok(self.state(container).await?.map(|state| state.oom_killed.unwrap_or(false)))
    }

    async fn last_check(&self, container: &str) -> Result<Option<CheckResult>, Error> {
        let Some(state) = self.state(container).await? else { return Ok(None) };
        let health = state.health.unwrap_or_default();
        let healthy = match health.status {
            Some(HealthStatusEnum::HEALTHY) => Some(true),
            Some(HealthStatusEnum::UNHEALTHY) => Some(false),
            // While a task starts, what counts is told by what was answered.
            _ => None,
        };
        // The engine keeps the last few, the newest at the end.
        let last = health.log.unwrap_or_default().pop();
        let answer = last.and_then(|result| result.output).unwrap_or_default();
        Ok(Some(CheckResult { healthy, answer: answer.trim().to_owned() }))
    }

    async fn list_programs(&self) -> Result<Vec<Program>, Error> {
        let filters = HashMap::from([("label", vec![PROGRAM_LABEL])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker().await?.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| Error::call("container ls", error))?;
        let program = |told: bollard::models::ContainerSummary| {
            let name = told.names?.into_iter().next()?;
            Some(Program {
                name: name.trim_start_matches('/').to_owned(),
                labels: told.labels.unwrap_or_default(),
                running: told.state == Some(ContainerSummaryStateEnum::RUNNING),
                created_at: told.created.unwrap_or_default(),
            })
        };
        Ok(listed.into_iter().filter_map(program).collect())
    }
}

impl DockerEngine {
    async fn state(&self, container: &str) -> Result<Option<ContainerState>, Error> {
        let inspected = self.docker().await?.inspect_container(container, None::<InspectContainerOptions>).await;
        match inspected.map_err(|error| Error::call("container inspect", error)) {
            Ok(told) => Ok(Some(told.state.unwrap_or_default())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn plain(output: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Output>> {
    let mut piece = vec![0; PIECE];
    let read = output.read(&mut piece).await?;
    piece.truncate(read);
    Ok((read > 0).then_some(Output::Stdout(piece)))
}

async fn multiplexed(output: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Output>> {
    let frame = raw::frame(output).await?;
    Ok(frame.map(|(kind, piece)| if kind == STDERR { Output::Stderr(piece) } else { Output::Stdout(piece) }))
}

fn body(spec: &ProgramSpec) -> ContainerCreateBody {
    let mut labels = spec.labels.clone();
    labels.insert(PROGRAM_LABEL.to_owned(), spec.name.clone());
    let endpoint = |aliases: &[String]| EndpointSettings {
        aliases: (!aliases.is_empty()).then(|| aliases.to_vec()),
        ..EndpointSettings::default()
    };
    let endpoints = spec.networks.iter().map(|one| (one.network.clone(), endpoint(&one.aliases)));
    let limit = |amount: u64| (amount > 0).then(|| signed(amount));
    // Without one of its own it gets none: the default bridge would reach the node.
    let network = spec.networks.first().map_or_else(|| "none".to_owned(), |one| one.network.clone());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        // In the place of both of the image's, so that what was asked for is what runs.
        entrypoint: spec.argv.first().map(|program| vec![program.clone()]),
        cmd: Some(spec.argv.iter().skip(1).cloned().collect()),
        env: Some(spec.environment.0.clone()),
        labels: Some(labels),
        tty: Some(spec.terminal),
        open_stdin: Some(true),
        // Whoever is attached is all the input that there will be.
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        // It is nobody's server.
        healthcheck: Some(bollard::models::HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        networking_config: (!spec.networks.is_empty())
            .then(|| NetworkingConfig { endpoints_config: Some(endpoints.collect()) }),
        host_config: Some(HostConfig {
            mounts: Some(spec.mounts.iter().map(mount).collect()),
            memory: limit(spec.resources.memory_bytes),
            nano_cpus: limit(spec.resources.nano_cpus),
            pids_limit: limit(spec.resources.pids),
            network_mode: Some(network),
            readonly_rootfs: Some(spec.read_only),
            init: Some(has_init(spec)),
            auto_remove: Some(false),
            cap_drop: Some(spec.capabilities.dropped()),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            // Who is attached gets all of it, and nothing of it comes onto the node's disk: it may be a whole database, or a secret.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Whether Docker's own init runs the program. Docker puts it at `/sbin/docker-init`; where the node's `/usr` is mounted, `/sbin` is a link
/// into that, and the mount hides it.
fn has_init(spec: &ProgramSpec) -> bool {
    !spec.mounts.contains(&PlatformMount::node_programs())
}

#[cfg(test)]
mod tests;
