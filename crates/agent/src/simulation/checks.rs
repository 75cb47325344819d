//! What must hold in the end: one Swarm with everybody in it, or, when its majority was killed, nobody in another one.

use std::collections::BTreeSet;

use futuswarm_model::{Genesis, ManagerRecord, NodeRecord, NodeState, Role, keys};
use futuswarm_store::Store;

use super::cluster::{Cluster, Machine};

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
            if machine.node.config.role == Role::Manager {
                let store = Store::new(self.bucket.clone());
                let manager = store.get::<ManagerRecord>(&keys::manager(instance)).await.unwrap();
                if manager.is_none_or(|manager| manager.value.swarm_id != swarm) {
                    return Err(format!("{instance} does not say where to join {swarm}"));
                }
            }
        }
        let nodes = self.swarm.nodes(&swarm);
        let listed: Vec<&String> = nodes.iter().map(|node| &node.hostname).collect();
        let living: BTreeSet<&String> = self.living().map(|machine| &machine.node.instance).collect();
        if listed.len() != living.len() || listed.iter().copied().collect::<BTreeSet<_>>() != living {
            return Err(format!("the Swarm lists {listed:?}, and there are {living:?}"));
        }
        if let Some(node) = nodes.iter().find(|node| !node.spec.labels.contains_key("futuswarm.instance")) {
            return Err(format!("{} has no labels", node.hostname));
        }
        match self.swarm.services(&swarm).as_slice() {
            [service] if service.name == "mainpage" => Ok(()),
            other => Err(format!("the core services are {other:?}")),
        }
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

    async fn record(&self, machine: &Machine) -> Option<NodeRecord> {
        let key = keys::node(&machine.node.config.role_id, &machine.node.instance);
        Store::new(self.bucket.clone()).get(&key).await.unwrap().map(|record| record.value)
    }
}
