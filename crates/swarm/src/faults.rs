//! Any engine with failures around its calls.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futuswarm_faults::Faults;
use futuswarm_secret::Secret;

use crate::{
    Attached, Attachment, CheckResult, Container, ContainerApi, ContainerConfig, Error, Image, ImageApi, InitOptions,
    JoinTokens, LocalImage, LogApi, LogOptions, LogSource, LogStream, Membership, Network, NetworkApi, NetworkDriver,
    NetworkScope, Node, NodeApi, NodeSpec, Program, ProgramApi, ProgramSpec, PullProgress, SecretApi, Service,
    ServiceApi, ServiceSpec, SwarmApi, SwarmSecret, Task, TaskApi,
};

/// An engine whose calls fail as its [`Faults`] say.
#[derive(Debug, Clone)]
pub struct FaultyEngine<E> {
    engine: E,
    faults: Faults,
}

impl<E: Sync> FaultyEngine<E> {
    /// `engine` with these faults around its calls.
    pub fn new(engine: E, faults: Faults) -> Self {
        Self { engine, faults }
    }

    async fn call<'a, T, Fut>(&'a self, operation: &'static str, call: impl Fn(&'a E) -> Fut) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let failed = |reason: &str| Error::Unreachable { operation, reason: reason.to_owned() };
        self.faults.around(self.faults.draw(), || call(&self.engine), failed).await
    }
}

impl<E: SwarmApi> SwarmApi for FaultyEngine<E> {
    async fn membership(&self) -> Result<Membership, Error> {
        self.call("info", |engine| engine.membership()).await
    }

    async fn init_swarm(&self, options: &InitOptions) -> Result<(), Error> {
        self.call("swarm init", |engine| engine.init_swarm(options)).await
    }

    async fn join_swarm(&self, address: &str, managers: Vec<String>, token: &Secret) -> Result<(), Error> {
        self.call("swarm join", |engine| engine.join_swarm(address, managers.clone(), token)).await
    }

    async fn leave_swarm(&self, force: bool) -> Result<(), Error> {
        self.call("swarm leave", |engine| engine.leave_swarm(force)).await
    }

    async fn join_tokens(&self) -> Result<JoinTokens, Error> {
        self.call("swarm inspect", |engine| engine.join_tokens()).await
    }
}

impl<E: NodeApi> NodeApi for FaultyEngine<E> {
    async fn list_nodes(&self) -> Result<Vec<Node>, Error> {
        self.call("node ls", |engine| engine.list_nodes()).await
    }

    async fn update_node(&self, node: &Node, spec: &NodeSpec) -> Result<(), Error> {
        self.call("node update", |engine| engine.update_node(node, spec)).await
    }

    async fn remove_node(&self, id: &str, force: bool) -> Result<(), Error> {
        self.call("node rm", |engine| engine.remove_node(id, force)).await
    }
}

impl<E: NetworkApi> NetworkApi for FaultyEngine<E> {
    async fn list_networks(&self, scope: NetworkScope, name: Option<&str>) -> Result<Vec<Network>, Error> {
        self.call("network ls", |engine| engine.list_networks(scope, name)).await
    }

    async fn network_peers(&self, id: &str) -> Result<Option<Vec<String>>, Error> {
        self.call("network inspect", |engine| engine.network_peers(id)).await
    }

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        self.call("network inspect", |engine| engine.network_exists(name)).await
    }

    async fn create_network(&self, name: &str, driver: NetworkDriver) -> Result<String, Error> {
        self.call("network create", |engine| engine.create_network(name, driver)).await
    }

    async fn create_overlay(&self, name: &str, labels: &HashMap<String, String>) -> Result<String, Error> {
        self.call("network create", |engine| engine.create_overlay(name, labels)).await
    }

    async fn remove_network(&self, id: &str) -> Result<(), Error> {
        self.call("network rm", |engine| engine.remove_network(id)).await
    }

    async fn connect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        self.call("network connect", |engine| engine.connect_network(network, container)).await
    }

    async fn disconnect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        self.call("network disconnect", |engine| engine.disconnect_network(network, container)).await
    }
}

impl<E: ServiceApi> ServiceApi for FaultyEngine<E> {
    async fn list_services(&self) -> Result<Vec<Service>, Error> {
        self.call("service ls", |engine| engine.list_services()).await
    }

    async fn inspect_service(&self, name: &str) -> Result<Option<Service>, Error> {
        self.call("service inspect", |engine| engine.inspect_service(name)).await
    }

    async fn create_service(&self, spec: &ServiceSpec) -> Result<String, Error> {
        self.call("service create", |engine| engine.create_service(spec)).await
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec) -> Result<(), Error> {
        self.call("service update", |engine| engine.update_service(version, spec)).await
    }

    async fn rollback_service(&self, name: &str, version: u64) -> Result<(), Error> {
        self.call("service rollback", |engine| engine.rollback_service(name, version)).await
    }

    async fn remove_service(&self, name: &str) -> Result<(), Error> {
        self.call("service rm", |engine| engine.remove_service(name)).await
    }
}

impl<E: TaskApi> TaskApi for FaultyEngine<E> {
    async fn list_tasks(&self, service: Option<&str>) -> Result<Vec<Task>, Error> {
        self.call("service ps", |engine| engine.list_tasks(service)).await
    }

    async fn list_attachments(&self) -> Result<Vec<Attachment>, Error> {
        self.call("service ps", |engine| engine.list_attachments()).await
    }
}

impl<E: SecretApi> SecretApi for FaultyEngine<E> {
    async fn list_secrets(&self, label: &str, value: &str) -> Result<Vec<SwarmSecret>, Error> {
        self.call("secret ls", |engine| engine.list_secrets(label, value)).await
    }

    async fn create_secret(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        content: &[u8],
    ) -> Result<String, Error> {
        self.call("secret create", |engine| engine.create_secret(name, labels, content)).await
    }

    async fn remove_secret(&self, id: &str) -> Result<(), Error> {
        self.call("secret rm", |engine| engine.remove_secret(id)).await
    }
}

/// Faults are those of the request; a stream that has begun goes on.
impl<E: LogApi> LogApi for FaultyEngine<E> {
    async fn logs(&self, source: LogSource<'_>, options: LogOptions) -> Result<LogStream, Error> {
        self.call("service logs", |engine| engine.logs(source, options)).await
    }
}

impl<E: ImageApi> ImageApi for FaultyEngine<E> {
    async fn pull_image(&self, reference: &str, progress: &mut (dyn FnMut(PullProgress) + Send)) -> Result<(), Error> {
        let progress = Mutex::new(progress);
        let pull = |engine| pull(engine, reference, &progress);
        self.call("image pull", pull).await
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<Image>, Error> {
        self.call("image inspect", |engine| engine.inspect_image(reference)).await
    }

    async fn list_images(&self) -> Result<Vec<LocalImage>, Error> {
        self.call("image ls", |engine| engine.list_images()).await
    }

    async fn images_in_use(&self) -> Result<BTreeSet<String>, Error> {
        self.call("container ls", |engine| engine.images_in_use()).await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), Error> {
        self.call("image rm", |engine| engine.remove_image(reference)).await
    }
}

/// A pull that may be made twice, with progress for whoever waits.
async fn pull(
    engine: &impl ImageApi,
    reference: &str,
    progress: &Mutex<&mut (dyn FnMut(PullProgress) + Send)>,
) -> Result<(), Error> {
    let mut tell = |step| progress.lock().unwrap_or_else(PoisonError::into_inner)(step);
    engine.pull_image(reference, &mut tell).await
}

impl<E: ProgramApi> ProgramApi for FaultyEngine<E> {
    async fn create_program(&self, spec: &ProgramSpec) -> Result<(), Error> {
        self.call("container create", |engine| engine.create_program(spec)).await
    }

    async fn attach_program(&self, name: &str, terminal: bool) -> Result<Attached, Error> {
        self.call("container attach", |engine| engine.attach_program(name, terminal)).await
    }

    async fn resize_program(&self, name: &str, rows: u16, columns: u16) -> Result<(), Error> {
        self.call("container resize", |engine| engine.resize_program(name, rows, columns)).await
    }

    async fn signal_program(&self, name: &str, signal: &str) -> Result<(), Error> {
        self.call("container kill", |engine| engine.signal_program(name, signal)).await
    }

    async fn wait_program(&self, name: &str) -> Result<i64, Error> {
        self.call("container wait", |engine| engine.wait_program(name)).await
    }

    async fn memory_ran_out(&self, container: &str) -> Result<Option<bool>, Error> {
        self.call("container inspect", |engine| engine.memory_ran_out(container)).await
    }

    async fn last_check(&self, container: &str) -> Result<Option<CheckResult>, Error> {
        self.call("container inspect", |engine| engine.last_check(container)).await
    }

    async fn list_programs(&self) -> Result<Vec<Program>, Error> {
        self.call("container ls", |engine| engine.list_programs()).await
    }
}

impl<E: ContainerApi> ContainerApi for FaultyEngine<E> {
    async fn image_exists(&self, name: &str) -> Result<bool, Error> {
        self.call("image inspect", |engine| engine.image_exists(name)).await
    }

    async fn load_image(&self, archive: &Path) -> Result<(), Error> {
        self.call("image load", |engine| engine.load_image(archive)).await
    }

    async fn inspect_container(&self, name: &str) -> Result<Option<Container>, Error> {
        self.call("container inspect", |engine| engine.inspect_container(name)).await
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        self.call("container create", |engine| engine.create_container(config)).await
    }

    async fn start_container(&self, name: &str) -> Result<(), Error> {
        self.call("container start", |engine| engine.start_container(name)).await
    }

    async fn signal_container(&self, name: &str, signal: &str) -> Result<(), Error> {
        self.call("container kill", |engine| engine.signal_container(name, signal)).await
    }

    async fn remove_container(&self, name: &str) -> Result<(), Error> {
        self.call("container rm", |engine| engine.remove_container(name)).await
    }
}
