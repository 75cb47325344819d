//! The founding of an epoch's Swarm: exactly one manager wins a conditional write, whoever else tries at the same time.
//!
//! `deploy-cluster` opens an epoch before the first node starts. A manager claims it, founds the Swarm, and confirms the claim
//! with the Swarm's id. Only a record that names another founder says that a claim is lost: neither a refusal, which may be of a
//! second attempt after a lost answer, nor an answer that the record does not exist.

use std::time::Duration;

use futuswarm_model::{Genesis, Role, keys};
use futuswarm_store::{Bucket, Store, Swap, Versioned};
use futuswarm_swarm::SwarmApi;
use tokio::time::Instant;

use crate::identity::Node;
use crate::{Clock, Error, Instances};

/// A founder that is alive needs seconds. After this long its claim may be taken over even if EC2 still lists it.
const ABANDONED: Duration = Duration::from_secs(15 * 60);
/// Two readings that are further apart say nothing about the time between them.
const READINGS_WITHIN: Duration = Duration::from_secs(60);
/// So often a confirmation is tried at once; each refusal means that the record has changed in between.
const CONFIRMATIONS: u32 = 3;

/// For how long a claim has been observed at one version. Not by the time in the record: the founder's wall clock or ours may be
/// wrong by years, and then a living founder would be taken for a dead one, or a dead one for a living one. Nor does time count in
/// which nothing could be read: the founder could confirm nothing then.
#[derive(Debug, Default)]
pub(crate) struct Unchanged(Option<Observation>);

#[derive(Debug)]
struct Observation {
    etag: String,
    since: Instant,
    /// When the record was read last.
    read: Instant,
}

impl Unchanged {
    /// The record has just been read at this version.
    fn time(&mut self, etag: &str) -> Duration {
        let now = Instant::now();
        let last = self.0.take().filter(|last| last.etag == etag && now - last.read <= READINGS_WITHIN);
        let since = last.map_or(now, |last| last.since);
        self.0 = Some(Observation { etag: etag.to_owned(), since, read: now });
        now - since
    }

    /// Time in which nobody wanted to read the record has passed.
    fn go_on(&mut self) {
        if let Some(last) = &mut self.0 {
            last.read = Instant::now();
        }
    }
}

/// Tries to claim the founding of an open epoch. `true` for exactly one of any number of managers.
pub(crate) async fn claim<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    clock: &impl Clock,
    open: &Versioned<Genesis>,
) -> Result<bool, Error> {
    let epoch = open.value.epoch;
    let claim = claim_of(node, clock, epoch);
    let won = store.replace(keys::GENESIS, &claim, &open.etag).await?.is_some();
    tracing::info!(won, epoch, "genesis: the claim to found the Swarm");
    Ok(won)
}

/// What came of confirming a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Confirmation {
    /// The record says that this Swarm is the cluster's.
    Confirmed,
    /// The record names another founder.
    TakenOver { founder: String },
    /// Anything else: to be read again.
    Unknown { reason: String },
}

/// Puts the Swarm's id under our claim. When the claim was taken over in the meantime, the Swarm that we initialised is left
/// again: nobody has joined it, because nothing was published yet.
pub(crate) async fn confirm<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    engine: &impl SwarmApi,
    swarm_id: &str,
) -> Result<(), Error> {
    match confirmation(store, node, swarm_id).await? {
        Confirmation::Confirmed => {
            tracing::info!(swarm_id, "genesis: the Swarm is founded");
            Ok(())
        }
        Confirmation::TakenOver { founder } => {
            engine.leave_swarm(true).await?;
            Err(Error::Waiting(format!(
                "{founder} has taken the founding of the Swarm over; left the one that was founded here"
            )))
        }
        Confirmation::Unknown { reason } => {
            Err(Error::Waiting(format!("the founding of the Swarm {swarm_id} is not confirmed yet: {reason}")))
        }
    }
}

async fn confirmation<B: Bucket>(store: &Store<B>, node: &Node, swarm_id: &str) -> Result<Confirmation, Error> {
    let mut current: Option<Versioned<Genesis>> = store.get(keys::GENESIS).await?;
    for _ in 0..CONFIRMATIONS {
        let Some(record) = current else {
            let reason = format!("{} is said not to exist", keys::GENESIS);
            return Ok(Confirmation::Unknown { reason });
        };
        match (record.value.founder.as_deref(), record.value.swarm_id.as_deref()) {
            (Some(founder), _) if founder != node.instance => {
                return Ok(Confirmation::TakenOver { founder: founder.to_owned() });
            }
            (Some(_), Some(recorded)) if recorded == swarm_id => return Ok(Confirmation::Confirmed),
            (Some(_), Some(recorded)) => {
                let reason = format!("this instance has confirmed the Swarm {recorded} before");
                return Ok(Confirmation::Unknown { reason });
            }
            (None, _) => {
                let reason = format!("nobody has claimed the epoch {}", record.value.epoch);
                return Ok(Confirmation::Unknown { reason });
            }
            (Some(_), None) => {}
        }
        let confirmed = Genesis { swarm_id: Some(swarm_id.to_owned()), ..record.value };
        match store.swap(keys::GENESIS, &confirmed, Some(&record.etag)).await? {
            Swap::Applied(_) => return Ok(Confirmation::Confirmed),
            Swap::Refused(now) => current = now,
        }
    }
    Ok(Confirmation::Unknown { reason: "the record changes all the time".to_owned() })
}

/// Takes the claim over when its owner is gone, so that a founder that dies in between does not block the cluster for ever.
pub(crate) async fn take_over_if_abandoned<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    instances: &impl Instances,
    clock: &impl Clock,
    genesis: Versioned<Genesis>,
    unchanged: &mut Unchanged,
) -> Result<(), Error> {
    let claim = &genesis.value;
    let Some(founder) = claim.founder.as_deref().filter(|founder| *founder != node.instance) else { return Ok(()) };
    if node.config.role != Role::Manager || claim.swarm_id.is_some() {
        return Ok(());
    }
    let age = unchanged.time(&genesis.etag);
    // Asking EC2 at every round would be wasteful; a founder needs a while in any case.
    if age < Duration::from_secs(30) {
        return Ok(());
    }
    if age < ABANDONED {
        let alive = instances.alive(&[founder.to_owned()]).await;
        unchanged.go_on();
        if !alive?.is_empty() {
            return Ok(());
        }
    }
    take_over(store, node, clock, &genesis).await.map(|_| ())
}

async fn take_over<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    clock: &impl Clock,
    genesis: &Versioned<Genesis>,
) -> Result<bool, Error> {
    let claim = claim_of(node, clock, genesis.value.epoch);
    let won = store.replace(keys::GENESIS, &claim, &genesis.etag).await?.is_some();
    let abandoned_by = genesis.value.founder.as_deref().unwrap_or("nobody");
    tracing::info!(won, abandoned_by, "genesis: the claim of a founder that is gone");
    Ok(won)
}

fn claim_of(node: &Node, clock: &impl Clock, epoch: u64) -> Genesis {
    Genesis {
        cluster: node.config.cluster.clone(),
        epoch,
        founder: Some(node.instance.clone()),
        swarm_id: None,
        claimed_at: clock.unix_millis(),
    }
}

#[cfg(test)]
mod tests;
