//! One Swarm: its members, its raft, and what its managers keep.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fastrand::Rng;
use futuswarm_model::Role;
use tokio::time::Instant;

use super::secrets::FakeSecret;
use super::state::FakeService;
use super::tasks::FakeTask;
use crate::{Availability, ManagerStatus, Network, Node, NodeSpec, NodeState};

/// Three missed heartbeats of five seconds.
pub(super) const DOWN_AFTER: Duration = Duration::from_secs(15);
/// How long an election takes, in milliseconds.
const ELECTION: (u64, u64) = (500, 8000);
/// Memory of a node that nobody has given another size, in bytes.
const MEMORY: u64 = 4 << 30;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) hostname: String,
    pub(super) address: String,
    pub(super) spec: NodeSpec,
    pub(super) version: u64,
    /// Whether it counts in raft.
    pub(super) votes: bool,
    /// All that it has for tasks, in bytes.
    pub(super) memory: u64,
    /// Since when no heartbeat has arrived.
    pub(super) silent_since: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct FakeCluster {
    pub(super) members: BTreeMap<String, Member>,
    /// Node id of the leader.
    pub(super) leader: Option<String>,
    pub(super) services: BTreeMap<String, FakeService>,
    pub(super) tasks: BTreeMap<String, FakeTask>,
    pub(super) secrets: BTreeMap<String, FakeSecret>,
    pub(super) networks: BTreeMap<String, Network>,
    /// Up to when tasks and services are what time has made of them.
    pub(super) ran_until: Option<Instant>,
    /// Counts tasks.
    pub(super) ids: u64,
    /// Tasks that are kept per slot; `None` for what a Swarm is founded with now.
    pub(super) history: Option<usize>,
    elects_at: Option<Instant>,
    version: u64,
}

impl FakeCluster {
    pub(super) fn add(&mut self, node: &str, hostname: &str, address: &str, role: Role) {
        let spec = NodeSpec { name: None, labels: HashMap::new(), role, availability: Availability::Active };
        let (version, votes) = (self.next_version(), role == Role::Manager);
        let (hostname, address) = (hostname.to_owned(), address.to_owned());
        let member = Member { hostname, address, spec, version, votes, memory: MEMORY, silent_since: None };
        self.members.insert(node.to_owned(), member);
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Heartbeats and elections up to now; `is_alive` says whether the engine of a node on a machine runs. Returns the machine that
    /// was elected.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        is_alive: impl Fn(&str, &str) -> bool,
        rng: &mut Rng,
    ) -> Option<String> {
        let (mut voters, mut living) = (0, 0);
        for (node, member) in &mut self.members {
            let alive = is_alive(node, &member.hostname);
            if alive {
                member.silent_since = None;
            } else {
                member.silent_since.get_or_insert(now);
            }
            voters += usize::from(member.votes);
            living += usize::from(member.votes && alive);
        }
        if living <= voters / 2 {
            (self.leader, self.elects_at) = (None, None);
            return None;
        }
        let is_candidate = |member: &Member| member.votes && member.silent_since.is_none();
        if self.leader.as_ref().and_then(|leader| self.members.get(leader)).is_some_and(is_candidate) {
            return None;
        }
        self.leader = None;
        let at = *self.elects_at.get_or_insert_with(|| now + Duration::from_millis(rng.u64(ELECTION.0..ELECTION.1)));
        if now < at {
            return None;
        }
        self.elects_at = None;
        let mut candidates = self.members.iter().filter(|(_, member)| is_candidate(member));
        let (node, member) = candidates.nth(rng.usize(..living))?;
        self.leader = Some(node.clone());
        Some(member.hostname.clone())
    }

    /// Whether those that answer would be a majority without this voter.
    pub(super) fn can_lose(&self, node: &str, alive: &BTreeSet<String>) -> bool {
        let others = self.members.iter().filter(|(other, member)| member.votes && *other != node);
        let (answering, all) = others
            .fold((0, 0), |(answering, all), (other, _)| (answering + usize::from(alive.contains(other)), all + 1));
        answering > all / 2
    }

    pub(super) fn is_down(member: &Member) -> bool {
        member.silent_since.is_some_and(|since| since.elapsed() >= DOWN_AFTER)
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        let node = |(id, member): (&String, &Member)| Node {
            id: id.clone(),
            version: member.version,
            spec: member.spec.clone(),
            hostname: member.hostname.clone(),
            state: if Self::is_down(member) { NodeState::Down } else { NodeState::Ready },
            address: member.address.clone(),
            manager_status: member.votes.then(|| ManagerStatus {
                leader: self.leader.as_ref() == Some(id),
                reachable: member.silent_since.is_none(),
            }),
            engine: "26.1.5".to_owned(),
            memory_bytes: member.memory,
            nano_cpus: 2_000_000_000,
        };
        self.members.iter().map(node).collect()
    }
}
