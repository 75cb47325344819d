//! What happened in a run, in its order, and the rules that no step may break.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futuswarm_model::Genesis;
use futuswarm_swarm::fake::Event;
use tokio::time::Instant;

/// Host names of machines that are none of the cluster's begin so.
pub(super) const STRANGER: &str = "stranger-";

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// To an engine, or by it.
    Engine(Event),
    /// The record of the Swarm was written.
    Genesis(Genesis),
    /// An object was written; with the digest of its content.
    Written { key: String, digest: u64 },
    /// The run did it.
    Driver(String),
    /// An agent's process has ended by itself.
    Ended { instance: String, reason: String },
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Engine(event) => format!("{event:?}"),
            Self::Genesis(genesis) => format!("{genesis:?}"),
            Self::Written { key, digest } => format!("writes {key} ({digest:x})"),
            Self::Driver(what) => format!("-- {what}"),
            Self::Ended { instance, reason } => format!("the agent of {instance} ends: {reason}"),
        }
    }
}

/// The events of one run, with the milliseconds since its start.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<Vec<(u64, Entry)>>>, Instant);

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::default(), Instant::now())
    }

    pub(super) fn add(&self, entry: Entry) {
        let millis = u64::try_from(self.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.entries().push((millis, entry));
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<(u64, Entry)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(millis, entry): &(u64, Entry)| format!("{:>9.3} {}", *millis as f64 / 1000.0, entry.line());
        self.entries().iter().map(line).collect()
    }

    /// Equal for two runs in which the same happened at the same time.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lines().hash(&mut hasher);
        hasher.finish()
    }

    /// What happened and must not.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut confirmed: BTreeMap<u64, (Option<String>, String)> = BTreeMap::new();
        let mut current: Option<Genesis> = None;
        let mut violations = Vec::new();
        for (millis, entry) in self.entries().iter() {
            let mut wrong = |what: String| violations.push(format!("after {millis} ms: {what}"));
            let confirmed_now = current.as_ref().and_then(|genesis| genesis.swarm_id.clone());
            match entry {
                Entry::Genesis(genesis) => {
                    match (confirmed.get(&genesis.epoch), &genesis.swarm_id) {
                        (Some((founder, swarm)), id) if id.as_ref() != Some(swarm) || *founder != genesis.founder => {
                            wrong(format!("epoch {} had the Swarm {swarm}, and now {genesis:?}", genesis.epoch));
                        }
                        (None, Some(id)) => {
                            confirmed.insert(genesis.epoch, (genesis.founder.clone(), id.clone()));
                        }
                        _ => {}
                    }
                    current = Some(genesis.clone());
                }
                Entry::Engine(Event::Left { hostname, swarm }) if confirmed_now.as_ref() == Some(swarm) => {
                    wrong(format!("{hostname} left the cluster's Swarm {swarm}"));
                }
                Entry::Engine(Event::Joined { hostname, swarm, .. }) if confirmed_now.as_ref() != Some(swarm) => {
                    wrong(format!("{hostname} joined {swarm}, and the cluster's Swarm is {confirmed_now:?}"));
                }
                Entry::Engine(
                    Event::Demoted { hostname, living: true } | Event::Removed { hostname, living: true },
                ) => {
                    wrong(format!("{hostname} lives, and was demoted or removed"));
                }
                Entry::Engine(Event::Initialised { hostname, swarm })
                    if confirmed_now.is_some() && !hostname.starts_with(STRANGER) =>
                {
                    wrong(format!("{hostname} initialised {swarm} beside the cluster's Swarm {confirmed_now:?}"));
                }
                Entry::Ended { instance, reason } => wrong(format!("the agent of {instance} ended: {reason}")),
                _ => {}
            }
        }
        violations
    }
}
