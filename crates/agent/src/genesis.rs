//! The founding of the Swarm: exactly one manager wins a conditional write, whoever else tries at the same time.

use std::time::Duration;

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use futuswarm_aws::SdkConfig;
use futuswarm_store::{Bucket, Genesis, Role, Store, Versioned, keys, unix_millis};
use futuswarm_swarm::Engine;

use crate::Error;
use crate::identity::Node;

/// A founder that is alive needs seconds. After this long its claim may be taken over even if EC2 still lists it.
const ABANDONED: Duration = Duration::from_secs(15 * 60);

/// Tries to claim the founding. `true` for exactly one of any number of managers.
pub(crate) async fn claim<B: Bucket>(store: &Store<B>, node: &Node) -> Result<bool, Error> {
    let won = store.create(keys::GENESIS, &claim_of(node, 1)).await?.is_some();
    tracing::info!(won, "genesis: the claim to found the Swarm");
    Ok(won)
}

/// Puts the Swarm's id under our claim. When the claim was taken over in the meantime, the Swarm that we founded is left
/// again: nobody has joined it, because nothing was published yet.
pub(crate) async fn confirm<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    engine: &Engine,
    swarm_id: &str,
) -> Result<(), Error> {
    if confirmed(store, node, swarm_id).await? {
        tracing::info!(swarm_id, "genesis: the Swarm is founded");
        return Ok(());
    }
    engine.leave_swarm(true).await?;
    Err(Error::Waiting(
        "another manager has taken the founding of the Swarm over; left the one founded here".to_owned(),
    ))
}

async fn confirmed<B: Bucket>(store: &Store<B>, node: &Node, swarm_id: &str) -> Result<bool, Error> {
    let Some(current) = store.get::<Genesis>(keys::GENESIS).await? else { return Ok(false) };
    if current.value.founder != node.instance {
        return Ok(false);
    }
    let value = Genesis { swarm_id: Some(swarm_id.to_owned()), ..current.value };
    Ok(store.replace(keys::GENESIS, &value, &current.etag).await?.is_some())
}

/// Takes the claim over when its owner is gone, so that a founder that dies in between does not block the cluster for ever.
pub(crate) async fn take_over_if_abandoned<B: Bucket>(
    store: &Store<B>,
    node: &Node,
    sdk: &SdkConfig,
    genesis: Versioned<Genesis>,
) -> Result<(), Error> {
    let claim = &genesis.value;
    if node.config.role != Role::Manager || claim.swarm_id.is_some() || claim.founder == node.instance {
        return Ok(());
    }
    let age = Duration::from_millis(unix_millis().saturating_sub(claim.claimed_at));
    // Asking EC2 at every round would be wasteful; a founder needs a while in any case.
    if age < Duration::from_secs(30) {
        return Ok(());
    }
    if age < ABANDONED && !is_gone(sdk, &claim.founder).await? {
        return Ok(());
    }
    take_over(store, node, &genesis).await.map(|_| ())
}

async fn take_over<B: Bucket>(store: &Store<B>, node: &Node, genesis: &Versioned<Genesis>) -> Result<bool, Error> {
    let won = store.replace(keys::GENESIS, &claim_of(node, genesis.value.epoch), &genesis.etag).await?.is_some();
    tracing::info!(won, abandoned_by = genesis.value.founder, "genesis: the claim of a founder that is gone");
    Ok(won)
}

/// Whether EC2 says that an instance no longer runs, or does not know it at all.
pub(crate) async fn is_gone(sdk: &SdkConfig, instance: &str) -> Result<bool, Error> {
    let answer = aws_sdk_ec2::Client::new(sdk)
        .describe_instances()
        .filters(Filter::builder().name("instance-id").values(instance).build())
        .send()
        .await
        .map_err(|error| futuswarm_aws::Error::new("DescribeInstances", error))?;
    let mut states = answer
        .reservations()
        .iter()
        .flat_map(|reservation| reservation.instances())
        .filter_map(|instance| instance.state().and_then(|state| state.name()));
    Ok(states.all(|state| matches!(state, InstanceStateName::Terminated | InstanceStateName::ShuttingDown)))
}

fn claim_of(node: &Node, epoch: u64) -> Genesis {
    Genesis {
        cluster: node.config.cluster.clone(),
        epoch,
        founder: node.instance.clone(),
        swarm_id: None,
        claimed_at: unix_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::node;
    use futuswarm_store::MemoryBucket;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_managers_that_race_exactly_one_founds() {
        for race in 0..500 {
            let bucket = MemoryBucket::default();
            let racers = (0..3).map(|index| {
                let (store, node) = (Store::new(bucket.clone()), node(&format!("i-{index}"), Role::Manager));
                tokio::spawn(async move {
                    if fastrand::bool() {
                        tokio::task::yield_now().await;
                    }
                    let won = claim(&store, &node).await.unwrap();
                    (won, confirmed(&store, &node, "swarm-of-winner").await.unwrap())
                })
            });
            let mut outcomes = Vec::new();
            for racer in racers.collect::<Vec<_>>() {
                outcomes.push(racer.await.unwrap());
            }
            assert_eq!(outcomes.iter().filter(|(won, _)| *won).count(), 1, "race {race}");
            assert!(outcomes.iter().all(|(won, confirmed)| won == confirmed), "race {race}: {outcomes:?}");
        }
    }

    #[tokio::test]
    async fn a_founder_whose_claim_was_taken_over_cannot_confirm() {
        let store = Store::new(MemoryBucket::default());
        let (slow, fast) = (node("i-slow", Role::Manager), node("i-fast", Role::Manager));
        assert!(claim(&store, &slow).await.unwrap());
        let abandoned = store.get(keys::GENESIS).await.unwrap().unwrap();
        assert!(take_over(&store, &fast, &abandoned).await.unwrap());
        assert!(
            !take_over(&store, &node("i-third", Role::Manager), &abandoned).await.unwrap(),
            "the version has moved on"
        );
        assert!(!confirmed(&store, &slow, "swarm-of-slow").await.unwrap());
        assert!(confirmed(&store, &fast, "swarm-of-fast").await.unwrap());
        let genesis: Genesis = store.get(keys::GENESIS).await.unwrap().unwrap().value;
        assert_eq!(genesis.swarm_id.as_deref(), Some("swarm-of-fast"));
    }

    #[tokio::test]
    async fn a_throttled_bucket_is_an_error_and_not_a_lost_race() {
        let bucket = MemoryBucket::default();
        bucket.fail_next(vec![MemoryBucket::slow_down("PutObject")]);
        let store = Store::new(bucket);
        let error = claim(&store, &node("i-1", Role::Manager)).await.unwrap_err();
        assert!(error.to_string().contains("SlowDown"), "{error}");
        assert!(claim(&store, &node("i-1", Role::Manager)).await.unwrap(), "the next round wins");
    }
}
