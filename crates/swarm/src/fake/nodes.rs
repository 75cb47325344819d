//! `docker node` of an engine in memory.

use std::collections::BTreeSet;

use futuswarm_model::Role;

use super::events::Event;
use super::swarm::FakeCluster;
use super::{FakeEngine, refused};
use crate::{Error, Node, NodeApi, NodeSpec};

impl NodeApi for FakeEngine {
    async fn list_nodes(&self) -> Result<Vec<Node>, Error> {
        Ok(self.world("node ls")?.controlled(&self.hostname, "node ls")?.nodes())
    }

    async fn update_node(&self, node: &Node, spec: &NodeSpec) -> Result<(), Error> {
        let operation = "node update";
        let mut world = self.world(operation)?;
        let swarm = world.member(&self.hostname).map(|(swarm, _)| swarm.to_owned()).unwrap_or_default();
        let cluster = world.controlled(&self.hostname, operation)?;
        let known: Vec<String> = cluster.members.keys().cloned().collect();
        let alive: BTreeSet<String> = known.into_iter().filter(|id| world.is_alive(&swarm, id)).collect();
        let cluster = world.controlled(&self.hostname, operation)?;
        let managers = cluster.members.values().filter(|member| member.votes).count();
        let can_lose = cluster.can_lose(&node.id, &alive);
        let version = cluster.next_version();
        let Some(member) = cluster.members.get_mut(&node.id) else {
            let message = format!("rpc error: code = NotFound desc = node {} not found", node.id);
            return Err(refused(operation, 404, message));
        };
        if member.version != node.version {
            return Err(refused(operation, 500, "rpc error: code = Unknown desc = update out of sequence"));
        }
        if member.votes && spec.role == Role::Worker {
            let refusal = match (managers, can_lose) {
                (1, _) => Some("attempting to demote the last manager of the swarm"),
                (_, false) => Some("can't remove member from the raft: this would result in a loss of quorum"),
                _ => None,
            };
            if let Some(reason) = refusal {
                return Err(refused(operation, 400, format!("rpc error: code = FailedPrecondition desc = {reason}")));
            }
        }
        let demoted = (member.votes && spec.role == Role::Worker).then(|| member.hostname.clone());
        member.votes = spec.role == Role::Manager;
        member.spec = spec.clone();
        member.version = version;
        if let Some(hostname) = demoted {
            let living = world.is_living(&swarm, &node.id);
            world.observer.tell(Event::Demoted { hostname, living });
        }
        world.settle();
        Ok(())
    }

    async fn remove_node(&self, id: &str, force: bool) -> Result<(), Error> {
        let mut world = self.world("node rm")?;
        let swarm = world.member(&self.hostname).map(|(swarm, _)| swarm.to_owned()).unwrap_or_default();
        let living = world.is_living(&swarm, id);
        let cluster = world.controlled(&self.hostname, "node rm")?;
        let Some(member) = cluster.members.get(id) else { return Ok(()) };
        let refusal = if member.votes {
            format!(
                "node {id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"
            )
        } else if !force && !FakeCluster::is_down(member) {
            format!("node {id} is not down and can't be removed")
        } else {
            let hostname = member.hostname.clone();
            cluster.members.remove(id);
            world.observer.tell(Event::Removed { hostname, living });
            world.settle();
            return Ok(());
        };
        Err(refused("node rm", 400, format!("rpc error: code = FailedPrecondition desc = {refusal}")))
    }
}
