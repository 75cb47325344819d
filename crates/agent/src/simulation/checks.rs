//! What must hold in the end: one Swarm with everybody in it, or, when its majority was killed, nobody in another one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use futuswarm_edge::Routes;
use futuswarm_model::{
    Genesis, LoginPassphrases, LoginProvider, ManagerRecord, NodeRecord, NodeState, Role, SshAuthority, keys,
};
use futuswarm_ssh_keys::HostCertificate;
use futuswarm_store::Store;

use super::cluster::{Cluster, Machine};
use crate::Clock as _;

impl Cluster {
    pub(super) async fn genesis(&self) -> Option<Genesis> {
        Store::new(self.bucket.clone()).get(keys::GENESIS).await.unwrap().map(|genesis| genesis.value)
    }

    /// The Swarm that the record names, once there is one.
    pub(super) async fn confirmed(&self) -> Option<String> {
        self.genesis().await?.swarm_id
    }

    /// Whether the cluster's Swarm has lost its majority for good.
    pub(super) async fn is_lost(&self) -> bool {
        self.confirmed().await.is_some_and(|swarm| !self.swarm.can_have_a_majority(&swarm))
    }

    fn living(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.living)
    }

    /// Why the cluster is not yet as it should be.
    pub(super) async fn unfinished(&self) -> Result<(), String> {
        let Some(swarm) = self.confirmed().await else { return Err("no Swarm is confirmed".to_owned()) };
        for machine in self.living() {
            let instance = &machine.node.instance;
            let view = self.swarm.view(instance).ok_or("no such machine")?;
            if view.swarm.as_ref() != Some(&swarm) || view.role != Some(machine.node.config.role) {
                return Err(format!("{instance} is not in {swarm} as a {}: {view:?}", machine.node.config.role));
            }
            let record = self.record(machine).await.ok_or(format!("{instance} has no record"))?;
            if (record.state, &record.node, &record.reason) != (NodeState::Ready, &view.node, &None) {
                return Err(format!("{instance} says {record:?}, and its engine {view:?}"));
            }
            let is_manager = machine.node.config.role == Role::Manager;
            if is_manager && self.manager_record(machine).await.is_none_or(|record| record.swarm_id != swarm) {
                return Err(format!("{instance} does not say where to join {swarm}"));
            }
            if is_manager {
                self.way_into(machine).await?;
            }
        }
        let nodes = self.swarm.nodes(&swarm);
        let listed: Vec<&String> = nodes.iter().map(|node| &node.hostname).collect();
        let living: BTreeSet<&String> = self.living().map(|machine| &machine.node.instance).collect();
        if listed.len() != living.len() || listed.iter().copied().collect::<BTreeSet<_>>() != living {
            return Err(format!("the Swarm lists {listed:?}, and there are {living:?}"));
        }
        if let Some(node) = nodes.iter().find(|node| node.spec.labels.get("futuswarm.instance") != Some(&node.hostname))
        {
            return Err(format!("{} has the labels {:?}", node.hostname, node.spec.labels));
        }
        match self.swarm.services(&swarm).as_slice() {
            [service] if service.spec.name == "mainpage" => {}
            other => return Err(format!("the core services are {other:?}")),
        }
        self.name_of_managers()?;
        self.login().await?;
        let routes = Store::new(self.bucket.clone()).get::<Routes>(keys::ROUTES).await.unwrap();
        match routes.as_ref().map(|routes| routes.value.routes.as_slice()) {
            Some([route]) if route.service == "mainpage" => Ok(()),
            other => Err(format!("the routes are {other:?}")),
        }
    }

    /// Nodes that have fallen silent, or have not started what waits for the node to be Ready, although nothing has been wrong
    /// for so long.
    pub(super) async fn silent_for(&self, time: Duration) -> Result<(), String> {
        for machine in self.living() {
            let (instance, now) = (&machine.node.instance, machine.clock.unix_millis());
            let is_fresh = |at: u64| now.checked_sub(at).is_some_and(|age| u128::from(age) <= time.as_millis());
            let record = self.record(machine).await.map(|record| record.updated_at);
            if !record.is_some_and(is_fresh) {
                return Err(format!("{instance} has fallen silent: its record is of {record:?}, and now it is {now}"));
            }
            let manager = self.manager_record(machine).await.map(|record| record.updated_at);
            if machine.node.config.role == Role::Manager && !manager.is_some_and(is_fresh) {
                return Err(format!("{instance} has fallen silent as a manager: of {manager:?}, and now it is {now}"));
            }
            if !machine.files.run.join("ready").exists() {
                return Err(format!("{instance} is Ready, and has not started what waits for that"));
            }
        }
        Ok(())
    }

    /// What is wrong with a cluster whose Swarm has lost its majority: members stay, and nobody founds another one.
    pub(super) async fn wrong_although_lost(&self, swarm: &str) -> Result<(), String> {
        if self.confirmed().await.as_deref() != Some(swarm) {
            return Err(format!("{swarm} was the cluster's Swarm, and now {:?}", self.genesis().await));
        }
        for machine in self.living() {
            let instance = &machine.node.instance;
            let view = self.swarm.view(instance).ok_or("no such machine")?;
            if view.swarm.as_deref().is_some_and(|other| other != swarm) {
                return Err(format!("{instance} is in another Swarm: {view:?}"));
            }
            let record = self.record(machine).await;
            if view.swarm.is_none() && record.as_ref().is_some_and(|record| record.state == NodeState::Ready) {
                return Err(format!("{instance} is in no Swarm and says {record:?}"));
            }
            if view.swarm.is_some() && record.as_ref().is_none_or(|record| record.state != NodeState::Ready) {
                return Err(format!("{instance} goes on in {swarm} and says {record:?}"));
            }
        }
        Ok(())
    }

    /// Whether clients of the cluster know a manager by its host's certificate, whoever made the authority and however often.
    async fn way_into(&self, machine: &Machine) -> Result<(), String> {
        let instance = &machine.node.instance;
        let authority = Store::new(self.bucket.clone()).get::<SshAuthority>(keys::SSH_AUTHORITY).await.unwrap();
        let authority = authority.ok_or("the cluster has no SSH authority")?.value.public;
        let host = std::fs::read_to_string(&machine.files.host_key).unwrap();
        let certificate = std::fs::read_to_string(machine.files.host_certificate()).unwrap_or_default();
        let now = machine.clock.unix_millis() / 1000;
        let is_current = |certificate: HostCertificate| certificate.is_current(&authority, &host, now);
        match (HostCertificate::parse(&certificate).is_some_and(is_current), machine.files.manager_mark().exists()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("{instance} has no certificate of {authority}: {certificate:?}")),
            (_, false) => Err(format!("{instance} does not say that it is a manager")),
        }
    }

    /// Whether the name for SSH leads to the managers that live, and to nobody else.
    fn name_of_managers(&self) -> Result<(), String> {
        let name = futuswarm_model::ssh_host("example.com");
        let managers = self.living().filter(|machine| machine.node.config.role == Role::Manager);
        let wanted: BTreeSet<Ipv4Addr> = managers.map(|machine| machine.node.address).collect();
        match self.records.lock().unwrap().get(&name) {
            Some(record) if record.addresses == wanted => Ok(()),
            other => Err(format!("{name} leads to {other:?}, and the managers are {wanted:?}")),
        }
    }

    /// Whether a cluster with a login has what the leader makes for it, and one without has nothing of it.
    async fn login(&self) -> Result<(), String> {
        let store = Store::new(self.bucket.clone());
        let provider = store.get::<LoginProvider>(keys::LOGIN_PROVIDER).await.unwrap().map(|provider| provider.value);
        let passphrases = store.get::<LoginPassphrases>(keys::LOGIN_PASSPHRASES).await.unwrap().is_some();
        match (self.has_login(), provider.is_some(), passphrases) {
            (true, true, true) | (false, false, false) => Ok(()),
            other => Err(format!("a login, its provider and its passphrase: {other:?}")),
        }
    }

    async fn manager_record(&self, machine: &Machine) -> Option<ManagerRecord> {
        let key = keys::manager(&machine.node.instance);
        Store::new(self.bucket.clone()).get(&key).await.unwrap().map(|record| record.value)
    }

    async fn record(&self, machine: &Machine) -> Option<NodeRecord> {
        let key = keys::node(&machine.node.config.role_id, &machine.node.instance);
        Store::new(self.bucket.clone()).get(&key).await.unwrap().map(|record| record.value)
    }
}
