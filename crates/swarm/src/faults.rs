//! Any engine with failures around its calls.

use std::path::Path;

use futuswarm_faults::Faults;
use futuswarm_secret::Secret;

use crate::{
    Container, ContainerApi, ContainerConfig, Error, InitOptions, JoinTokens, Membership, Network, NetworkApi,
    NetworkDriver, NetworkScope, Node, NodeApi, NodeSpec, Service, ServiceApi, ServiceSpec, SwarmApi,
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

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        self.call("network inspect", |engine| engine.network_exists(name)).await
    }

    async fn create_network(&self, name: &str, driver: NetworkDriver) -> Result<String, Error> {
        self.call("network create", |engine| engine.create_network(name, driver)).await
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

    async fn create_service(&self, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        self.call("service create", |engine| engine.create_service(spec, network_id)).await
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        self.call("service update", |engine| engine.update_service(version, spec, network_id)).await
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

    async fn remove_container(&self, name: &str) -> Result<(), Error> {
        self.call("container rm", |engine| engine.remove_container(name)).await
    }
}
