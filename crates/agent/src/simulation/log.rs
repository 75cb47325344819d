//! What happened in a run, in its order, and the rules that no step may break.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_model::{Genesis, LoginPassphrases, ManagerRecord, PassphraseStep};
use futuswarm_swarm::fake::Event;
use tokio::time::Instant;

/// Host names of machines that are none of the cluster's begin so.
pub(super) const STRANGER: &str = "stranger-";
/// A founder that lives keeps its claim for so long, by a clock that is right.
const ABANDONED: Duration = Duration::from_secs(15 * 60);

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// To an engine, or by it.
    Engine(Event),
    /// The record of the Swarm was written.
    Genesis {
        /// As it is now.
        genesis: Genesis,
        /// The instances that lived then; none of them is ever cut off from all of the others.
        living: BTreeSet<String>,
    },
    /// A manager has said where its Swarm can be joined.
    Manager(ManagerRecord),
    /// A leader has made a passphrase, or taken a step.
    Passphrases(LoginPassphrases),
    /// An object was written; with the digest of its content.
    Written { key: String, digest: u64 },
    /// The run did it.
    Driver(String),
    /// What holds networks of a Swarm was removed from a node.
    EdgeStopped { instance: String },
    /// A node has asked AWS for what it may not do.
    Forbidden(String),
    /// An agent's process has ended by itself, or panicked.
    Ended { instance: String, reason: String },
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Engine(event) => format!("{event:?}"),
            Self::Genesis { genesis, .. } => format!("{genesis:?}"),
            Self::Manager(record) => format!("{record:?}"),
            Self::Passphrases(record) => format!("{record:?}"),
            Self::EdgeStopped { instance } => format!("the edge of {instance} is stopped"),
            Self::Forbidden(what) => what.clone(),
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
        let (mut rules, mut violations) = (Rules::default(), Vec::new());
        for (millis, entry) in self.entries().iter() {
            let mut wrong = |what: String| violations.push(format!("after {millis} ms: {what}"));
            match entry {
                Entry::Genesis { genesis, living } => rules.genesis(*millis, genesis, living, &mut wrong),
                Entry::Engine(event) => rules.engine(event, &mut wrong),
                Entry::Manager(record) => {
                    rules.addresses.insert((record.address.clone(), record.swarm_id.clone()));
                }
                Entry::Passphrases(record) => rules.passphrases(record, &mut wrong),
                Entry::EdgeStopped { instance } => {
                    rules.edge_stopped.insert(instance.clone());
                }
                Entry::Forbidden(what) => wrong(what.clone()),
                Entry::Ended { instance, reason } => wrong(format!("the agent of {instance} ended: {reason}")),
                Entry::Written { .. } | Entry::Driver(_) => {}
            }
        }
        violations
    }
}

/// What the rules go by.
#[derive(Default)]
struct Rules {
    /// By epoch: who founded its Swarm, and which that is.
    confirmed: BTreeMap<u64, (Option<String>, String)>,
    /// The record of the Swarm, and since when it has named this founder.
    current: Option<(Genesis, u64)>,
    /// Whom the record has named as founders in this epoch.
    founders: BTreeSet<String>,
    /// Where managers have said that one can join, and which Swarm.
    addresses: BTreeSet<(String, String)>,
    /// Whose edge was stopped since its engine became a member.
    edge_stopped: BTreeSet<String>,
    /// What sessions are encrypted with.
    passphrases: Option<LoginPassphrases>,
}

impl Rules {
    fn confirmed_now(&self) -> Option<&String> {
        self.current.as_ref().and_then(|(genesis, _)| genesis.swarm_id.as_ref())
    }

    fn genesis(&mut self, millis: u64, genesis: &Genesis, living: &BTreeSet<String>, wrong: &mut impl FnMut(String)) {
        match (self.confirmed.get(&genesis.epoch), &genesis.swarm_id) {
            (Some((founder, swarm)), id) if id.as_ref() != Some(swarm) || *founder != genesis.founder => {
                wrong(format!("epoch {} had the Swarm {swarm}, and now {genesis:?}", genesis.epoch));
            }
            (None, Some(id)) => {
                self.confirmed.insert(genesis.epoch, (genesis.founder.clone(), id.clone()));
            }
            _ => {}
        }
        let mut since = millis;
        if let Some((last, named)) = self.current.as_ref().filter(|(last, _)| last.epoch == genesis.epoch) {
            if last.founder == genesis.founder {
                since = *named;
            } else if let Some(founder) = last.founder.as_ref().filter(|founder| living.contains(*founder))
                && last.swarm_id.is_none()
                && millis - named < u64::try_from(ABANDONED.as_millis()).unwrap_or(u64::MAX)
            {
                let after = (millis - named) / 1000;
                wrong(format!("{founder} lives, and its claim was replaced after {after} s by {genesis:?}"));
            }
        } else {
            self.founders.clear();
        }
        self.founders.extend(genesis.founder.clone());
        self.current = Some((genesis.clone(), since));
    }

    /// One is made when there is none, and another one begins beside it; nobody acts on what another leader has written over.
    fn passphrases(&mut self, record: &LoginPassphrases, wrong: &mut impl FnMut(String)) {
        let last = self.passphrases.replace(record.clone());
        let is_good = match &last {
            None => record.step == PassphraseStep::Done && record.previous.is_none(),
            Some(last) if last.step == PassphraseStep::Done => {
                record.step == PassphraseStep::Switched && record.previous.as_ref() == Some(&last.current)
            }
            Some(last) => last.step.next() == Some(record.step) && record.current == last.current,
        };
        if !is_good {
            wrong(format!("the passphrase was {last:?}, and now {record:?}"));
        }
    }

    fn engine(&mut self, event: &Event, wrong: &mut impl FnMut(String)) {
        let confirmed = self.confirmed_now();
        match event {
            Event::Left { hostname, swarm } => {
                if confirmed == Some(swarm) {
                    wrong(format!("{hostname} left the cluster's Swarm {swarm}"));
                }
                if !self.edge_stopped.remove(hostname) {
                    wrong(format!("{hostname} left {swarm}, and its edge was not stopped before"));
                }
            }
            Event::Asked { hostname, swarm, manager } => {
                let said = (manager.clone(), swarm.clone());
                if !self.addresses.contains(&said) {
                    wrong(format!("{hostname} asks {manager} to join {swarm}, and no manager of it has said so"));
                }
            }
            Event::Joined { hostname, swarm, .. } => {
                self.edge_stopped.remove(hostname);
                if self.confirmed_now() != Some(swarm) {
                    let confirmed = self.confirmed_now();
                    wrong(format!("{hostname} joined {swarm}, and the cluster's Swarm is {confirmed:?}"));
                }
            }
            Event::Demoted { hostname, living: true } | Event::Removed { hostname, living: true } => {
                wrong(format!("{hostname} lives, and was demoted or removed"));
            }
            Event::Initialised { hostname, swarm } if !hostname.starts_with(STRANGER) => {
                self.edge_stopped.remove(hostname);
                if let Some(confirmed) = self.confirmed_now() {
                    wrong(format!("{hostname} initialised {swarm} beside the cluster's Swarm {confirmed}"));
                }
                if !self.founders.contains(hostname) {
                    wrong(format!("{hostname} initialised {swarm}, and the record never named it as the founder"));
                }
            }
            Event::Initialised { .. }
            | Event::Elected { .. }
            | Event::Demoted { .. }
            | Event::Removed { .. }
            | Event::Failed { .. } => {}
        }
    }
}

#[test]
fn a_passphrase_that_takes_the_place_of_another_is_noticed() {
    use PassphraseStep::{Done, Switched, Twice};
    let record = |current: &str, step, previous: Option<&str>| LoginPassphrases {
        current: current.to_owned(),
        previous: previous.map(str::to_owned),
        step,
        since: 0,
        asked: None,
    };
    let good = [record("a", Done, None), record("b", Switched, Some("a")), record("b", Twice, Some("a"))];
    let is_noticed = |records: &[LoginPassphrases]| {
        let log = Log::new();
        records.iter().for_each(|record| log.add(Entry::Passphrases(record.clone())));
        !log.violations().is_empty()
    };
    assert!(!is_noticed(&[&good[..], &[record("b", Done, None), record("c", Switched, Some("b"))]].concat()));
    for wrong in [
        // Two leaders have both made the first one.
        &[record("a", Done, None), record("b", Done, None)][..],
        &[good[0].clone(), record("b", Switched, Some("x"))],
        &[good[0].clone(), record("b", Twice, Some("a"))],
        &[good[0].clone(), good[1].clone(), record("b", Done, None)],
        &[good[0].clone(), good[1].clone(), record("c", Twice, Some("a"))],
        &[good[0].clone(), good[1].clone(), record("c", Switched, Some("b"))],
        &[record("b", Switched, Some("a"))],
    ] {
        assert!(is_noticed(wrong), "{wrong:?}");
    }
}
