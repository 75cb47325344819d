//! The machines of a world, and what time makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use futuswarm_model::Role;
use tokio::time::Instant;

use super::behaviour::FakeImage;
use super::events::{Event, Observer};
use super::machine::{Local, Machine};
use super::refused;
use super::surroundings::Surroundings;
use super::swarm::FakeCluster;
use crate::Error;

/// Defects that an engine may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Defects {
    /// It joins the Swarm of whatever manager answers, and does not compare the fingerprint in the token.
    pub joins_without_checking_the_token: bool,
}

/// What is true of a machine's engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineView {
    /// Whether the engine runs.
    pub running: bool,
    /// The Swarm that it is an active member of.
    pub swarm: Option<String>,
    /// By the spec that the Swarm's managers have of it.
    pub role: Option<Role>,
    /// Its node id there.
    pub node: Option<String>,
    /// Whether it has been waiting for an answer of the Swarm that it joins.
    pub joining: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) machines: BTreeMap<String, Machine>,
    pub(super) clusters: BTreeMap<String, FakeCluster>,
    pub(super) defects: Defects,
    pub(super) observer: Observer,
    /// What was pushed, by its reference.
    pub(super) images: BTreeMap<String, FakeImage>,
    pub(super) began: Instant,
    ids: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            machines: BTreeMap::new(),
            clusters: BTreeMap::new(),
            defects: Defects::default(),
            observer: Observer::default(),
            images: BTreeMap::new(),
            began: Instant::now(),
            ids: 0,
        }
    }

    pub(super) fn add_machine(&mut self, hostname: &str, address: &str) {
        let machine = Machine {
            address: address.to_owned(),
            running: true,
            terminated: false,
            local: Local::Inactive,
            images: BTreeSet::new(),
            containers: BTreeMap::new(),
            bridges: BTreeSet::new(),
            programs: BTreeMap::new(),
            pulls_fail: None,
            logs_hang: false,
        };
        self.machines.insert(hostname.to_owned(), machine);
    }

    pub(super) fn is_running(&self, hostname: &str) -> bool {
        self.machines.get(hostname).is_some_and(|machine| machine.running)
    }

    pub(super) fn set_running(&mut self, hostname: &str, running: bool) {
        self.settle();
        if let Some(machine) = self.machines.get_mut(hostname) {
            machine.running = running && !machine.terminated;
        }
        self.settle();
    }

    pub(super) fn terminate(&mut self, hostname: &str) {
        self.set_running(hostname, false);
        if let Some(machine) = self.machines.get_mut(hostname) {
            machine.terminated = true;
        }
        self.wipe(hostname);
    }

    pub(super) fn wipe(&mut self, hostname: &str) {
        if let Some(machine) = self.machines.get_mut(hostname) {
            machine.local = Local::Inactive;
            machine.images.clear();
            machine.containers.clear();
            machine.bridges.clear();
            machine.programs.clear();
        }
        self.settle();
    }

    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    /// Ends a membership without a word to the others.
    pub(super) fn fail(&mut self, hostname: &str, local: Local) {
        if let Some(machine) = self.machines.get_mut(hostname).filter(|machine| !machine.terminated) {
            machine.local = local;
            self.observer.tell(Event::Failed { hostname: hostname.to_owned() });
        }
        self.settle();
    }

    /// A time by chance.
    pub(super) fn between(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(self.rng.u64(shortest..=longest))
    }

    /// The machine at an address that runs now; addresses are given out again.
    pub(super) fn at_address(&self, address: &str) -> Option<&str> {
        let machine = self.machines.iter().find(|(_, machine)| machine.address == address && machine.running);
        machine.map(|(hostname, _)| hostname.as_str())
    }

    pub(super) fn member(&self, hostname: &str) -> Option<(&str, &str)> {
        match &self.machines.get(hostname)?.local {
            Local::Member { swarm, node } => Some((swarm, node)),
            _ => None,
        }
    }

    /// The role that a machine has in the Swarm that it is in.
    pub(super) fn role(&self, hostname: &str) -> Option<Role> {
        let (swarm, node) = self.member(hostname)?;
        self.clusters.get(swarm)?.members.get(node).map(|member| member.spec.role)
    }

    /// Whether a Swarm's node never sends a log.
    pub(super) fn logs_hang(&self, swarm: &str, node: &str) -> bool {
        let member = self.clusters.get(swarm).and_then(|cluster| cluster.members.get(node));
        member.and_then(|member| self.machines.get(&member.hostname)).is_some_and(|machine| machine.logs_hang)
    }

    /// Whether a Swarm's node is the engine of a machine that runs.
    pub(super) fn is_alive(&self, swarm: &str, node: &str) -> bool {
        let Some(member) = self.clusters.get(swarm).and_then(|cluster| cluster.members.get(node)) else { return false };
        self.is_running(&member.hostname) && self.member(&member.hostname) == Some((swarm, node))
    }

    /// Brings the world to the present: heartbeats, elections, services, joins, and nodes that were removed.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        let Self { machines, clusters, rng, observer, images, began, .. } = self;
        for (swarm, cluster) in clusters.iter_mut() {
            let is_alive = |node: &str, hostname: &str| {
                let is_node =
                    |local: &Local| matches!(local, Local::Member { swarm: s, node: n } if s == swarm && n == node);
                machines.get(hostname).is_some_and(|machine| machine.running && is_node(&machine.local))
            };
            if let Some(hostname) = cluster.settle(now, is_alive, rng) {
                observer.tell(Event::Elected { hostname, swarm: swarm.clone() });
            }
            let pulled =
                cluster.run(&Surroundings { swarm, machines: &*machines, images: &*images, began: *began }, now);
            for (hostname, image) in pulled {
                machines.get_mut(&hostname).map(|machine| machine.images.insert(image));
            }
        }
        let may_change = |machine: &Machine| match &machine.local {
            Local::Joining(_) => true,
            Local::Member { swarm, node } => !clusters.get(swarm).is_some_and(|one| one.members.contains_key(node)),
            Local::Inactive | Local::Failed { .. } | Local::Locked => false,
        };
        let changing = machines.iter().filter(|(_, machine)| machine.running && may_change(machine));
        let changing: Vec<String> = changing.map(|(hostname, _)| hostname.clone()).collect();
        for hostname in changing {
            self.settle_machine(&hostname, now);
        }
    }

    fn settle_machine(&mut self, hostname: &str, now: Instant) {
        let Some(machine) = self.machines.get(hostname).filter(|machine| machine.running) else { return };
        let address = machine.address.clone();
        let local = match &machine.local {
            Local::Joining(join) => {
                let answers = |manager: &String| {
                    self.is_running(manager)
                        && self.member(manager).is_some_and(|(swarm, _)| swarm == join.swarm)
                        && self.role(manager) == Some(Role::Manager)
                };
                let leads = self.clusters.get(&join.swarm).is_some_and(|cluster| cluster.leader.is_some());
                if now >= join.at && leads && join.manager.as_ref().is_some_and(answers) {
                    let (swarm, role) = (join.swarm.clone(), join.role);
                    let node = self.new_id("node-");
                    if let Some(cluster) = self.clusters.get_mut(&swarm) {
                        cluster.add(&node, hostname, &address, role);
                    }
                    self.observer.tell(Event::joined(hostname, &swarm, role));
                    Local::Member { swarm, node }
                } else if now >= join.fails_at {
                    Local::Failed {
                        error: "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned(),
                    }
                } else {
                    return;
                }
            }
            Local::Member { swarm, node } => {
                let cluster = self.clusters.get(swarm);
                let removed = cluster.is_some_and(|one| one.leader.is_some() && !one.members.contains_key(node));
                if !removed {
                    return;
                }
                Local::Failed {
                    error: "rpc error: code = PermissionDenied desc = node is removed from swarm".to_owned(),
                }
            }
            Local::Inactive | Local::Failed { .. } | Local::Locked => return,
        };
        if matches!(local, Local::Failed { .. }) {
            self.observer.tell(Event::Failed { hostname: hostname.to_owned() });
        }
        if let Some(machine) = self.machines.get_mut(hostname) {
            machine.local = local;
        }
    }

    /// Whether a node of a Swarm is what a machine's engine takes itself for, whether or not it runs at the moment.
    pub(super) fn is_living(&self, swarm: &str, node: &str) -> bool {
        let hostname = self.clusters.get(swarm).and_then(|cluster| cluster.members.get(node)).map(|one| &one.hostname);
        hostname.is_some_and(|hostname| self.member(hostname) == Some((swarm, node)))
    }

    /// The Swarm that an engine controls, for a call of its control API.
    pub(super) fn controlled(&mut self, hostname: &str, operation: &'static str) -> Result<&mut FakeCluster, Error> {
        let Some((swarm, _)) = self.member(hostname) else {
            let message = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
            return Err(refused(operation, 503, message));
        };
        if self.role(hostname) != Some(Role::Manager) {
            let message = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
            return Err(refused(operation, 503, message));
        }
        let swarm = swarm.to_owned();
        match self.clusters.get_mut(&swarm) {
            Some(cluster) if cluster.leader.is_some() => Ok(cluster),
            _ => {
                let message = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.";
                Err(refused(operation, 500, message))
            }
        }
    }

    pub(super) fn view(&mut self, hostname: &str) -> Option<MachineView> {
        self.settle();
        let machine = self.machines.get(hostname)?;
        let member = self.member(hostname);
        Some(MachineView {
            running: machine.running,
            swarm: member.map(|(swarm, _)| swarm.to_owned()),
            node: member.map(|(_, node)| node.to_owned()),
            role: self.role(hostname),
            joining: matches!(machine.local, Local::Joining(_)),
        })
    }

    pub(super) fn can_have_a_majority(&self, swarm: &str) -> bool {
        let Some(cluster) = self.clusters.get(swarm) else { return false };
        let voters: Vec<_> = cluster.members.iter().filter(|(_, member)| member.votes).collect();
        // One that does not run now comes back with its disk.
        let living = voters.iter().filter(|(node, member)| self.member(&member.hostname) == Some((swarm, node)));
        living.count() > voters.len() / 2
    }

    pub(super) fn leader(&mut self, swarm: &str) -> Option<String> {
        self.settle();
        let cluster = self.clusters.get(swarm)?;
        cluster.members.get(cluster.leader.as_ref()?).map(|member| member.hostname.clone())
    }

    pub(super) fn swarms(&self) -> usize {
        self.clusters.len()
    }
}
