//! `docker network` of an engine in memory.

use std::collections::{BTreeSet, HashMap};

use super::containers::FakeContainer;
use super::tasks::FakeTask;
use super::{FakeEngine, refused};
use crate::{Error, Network, NetworkApi, NetworkDriver, NetworkScope, ServiceSpec, TaskState};

impl NetworkApi for FakeEngine {
    async fn list_networks(&self, scope: NetworkScope, name: Option<&str>) -> Result<Vec<Network>, Error> {
        let mut world = self.world("network ls")?;
        let is_listed = |network: &Network| name.is_none_or(|name| network.name.contains(name));
        if scope == NetworkScope::Local {
            let bridge = |name: &String| Network {
                id: name.clone(),
                name: name.clone(),
                attachable: false,
                labels: HashMap::new(),
                subnets: Vec::new(),
            };
            return Ok(world.machines[&self.hostname].bridges.iter().map(bridge).filter(is_listed).collect());
        }
        // Docker leaves out what the managers do not tell, without an error.
        let cluster = world.controlled(&self.hostname, "network ls");
        let networks = cluster.map(|cluster| cluster.networks.values().filter(|one| is_listed(one)).cloned().collect());
        Ok(networks.unwrap_or_default())
    }

    async fn network_peers(&self, id: &str) -> Result<Option<Vec<String>>, Error> {
        let operation = "network inspect";
        let mut world = self.world(operation)?;
        let here = world.member(&self.hostname).map(|(_, node)| node.to_owned());
        let cluster = world.controlled(&self.hostname, operation)?;
        if !cluster.networks.contains_key(id) {
            return Err(refused(operation, 404, format!("network {id} not found")));
        }
        let is_on = |spec: &ServiceSpec| spec.networks.iter().any(|one| one.network == id);
        let runs = |task: &&FakeTask| task.state == TaskState::Running && is_on(&task.spec);
        let nodes: BTreeSet<&String> =
            cluster.tasks.values().filter(runs).filter_map(|task| task.node.as_ref()).collect();
        let peers = nodes.iter().filter_map(|node| Some(cluster.members.get(*node)?.address.clone())).collect();
        Ok(here.is_some_and(|here| nodes.contains(&here)).then_some(peers))
    }

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        let mut world = self.world("network inspect")?;
        if world.machines[&self.hostname].bridges.contains(name) {
            return Ok(true);
        }
        let cluster = world.controlled(&self.hostname, "network inspect");
        Ok(cluster.is_ok_and(|cluster| cluster.networks.values().any(|network| network.name == name)))
    }

    async fn create_network(&self, name: &str, driver: NetworkDriver) -> Result<String, Error> {
        if driver == NetworkDriver::Overlay {
            return self.create_overlay(name, &HashMap::new()).await;
        }
        let mut world = self.world("network create")?;
        let machine = world.machines.get_mut(&self.hostname).ok_or_else(|| exists(name))?;
        if machine.bridges.insert(name.to_owned()) { Ok(name.to_owned()) } else { Err(exists(name)) }
    }

    async fn create_overlay(&self, name: &str, labels: &HashMap<String, String>) -> Result<String, Error> {
        let mut world = self.world("network create")?;
        let id = world.new_id("network-");
        let cluster = world.controlled(&self.hostname, "network create")?;
        if cluster.networks.values().any(|network| network.name == name) {
            return Err(exists(name));
        }
        // As of the pool and the size that tests found their Swarms with.
        let subnets = vec![format!("10.128.{}.0/24", cluster.networks.len())];
        let (name, labels) = (name.to_owned(), labels.clone());
        let network = Network { id: id.clone(), name, attachable: true, labels, subnets };
        cluster.networks.insert(id.clone(), network);
        Ok(id)
    }

    async fn remove_network(&self, id: &str) -> Result<(), Error> {
        let operation = "network rm";
        let mut world = self.world(operation)?;
        let swarm = world.member(&self.hostname).map(|(swarm, _)| swarm.to_owned()).unwrap_or_default();
        let cluster = world.controlled(&self.hostname, operation)?;
        let Some(name) = cluster.networks.get(id).map(|network| network.name.clone()) else { return Ok(()) };
        let is_on = |spec: &ServiceSpec| spec.networks.iter().any(|one| one.network == id);
        let in_use = |by: &str| {
            let message = format!("rpc error: code = FailedPrecondition desc = network {id} is in use by {by}");
            Err(refused(operation, 400, message))
        };
        if let Some(service) = cluster.services.values().find(|service| is_on(&service.spec)) {
            return in_use(&format!("service {}", service.id));
        }
        if let Some(task) = cluster.tasks.values().find(|task| !task.state.is_over() && is_on(&task.spec)) {
            return in_use(&format!("task {}", task.id));
        }
        let attached = |container: &FakeContainer| container.networks.contains(&name);
        let members = world.machines.iter().filter(|(host, _)| world.member(host).is_some_and(|(its, _)| its == swarm));
        if members.flat_map(|(_, machine)| machine.containers.values()).any(attached) {
            return in_use("task of a container");
        }
        world.controlled(&self.hostname, operation)?.networks.remove(id);
        Ok(())
    }

    async fn connect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        let mut world = self.world("network connect")?;
        let swarm = world.member(&self.hostname).map(|(swarm, _)| swarm.to_owned()).unwrap_or_default();
        let known = world
            .clusters
            .get(&swarm)
            .and_then(|cluster| cluster.networks.values().find(|one| one.name == network || one.id == network));
        let Some(name) = known.filter(|one| one.attachable).map(|one| one.name.clone()) else {
            return Err(refused("network connect", 404, format!("network {network} not found")));
        };
        let machine = world.machines.get_mut(&self.hostname);
        let Some(container) = machine.and_then(|machine| machine.containers.get_mut(container)) else {
            return Err(refused("network connect", 404, format!("No such container: {container}")));
        };
        container.networks.insert(name);
        Ok(())
    }

    async fn disconnect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        let mut world = self.world("network disconnect")?;
        let machine = world.machines.get_mut(&self.hostname);
        if let Some(container) = machine.and_then(|machine| machine.containers.get_mut(container)) {
            container.networks.remove(network);
        }
        Ok(())
    }
}

fn exists(name: &str) -> Error {
    refused("network create", 409, format!("network with name {name} already exists"))
}
