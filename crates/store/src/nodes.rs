//! The heartbeats of all nodes. A node can write only under its own key, so a record that names another instance is a lie.

use std::collections::BTreeSet;

use futuswarm_model::{NodeRecord, keys};

use crate::Store;
use crate::bucket::{Bucket, Error};

/// All heartbeats. One that cannot be read, or that claims to be another instance's, is left out with a warning.
///
/// # Errors
/// When the bucket does not answer.
pub async fn node_records<B: Bucket>(store: &Store<B>) -> Result<Vec<NodeRecord>, Error> {
    let mut records = Vec::new();
    for key in store.list(keys::NODES).await? {
        match store.peek::<NodeRecord>(&key).await {
            Ok(Some(record)) if keys::instance_of(&key) == Some(&record.value.instance) => records.push(record.value),
            Ok(Some(record)) => {
                tracing::warn!(
                    key,
                    claims = record.value.instance,
                    "skipped a heartbeat that claims to be another node's"
                );
            }
            // Deleted between the listing and now.
            Ok(None) => {}
            Err(error @ Error::Malformed { .. }) => tracing::warn!(%error, "skipped a record"),
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

/// The instances that have left records, by their keys.
///
/// # Errors
/// When the bucket does not answer.
pub async fn recorded_instances<B: Bucket>(store: &Store<B>) -> Result<BTreeSet<String>, Error> {
    let keys = records(store).await?;
    Ok(keys.iter().filter_map(|key| instance_of(key)).map(str::to_owned).collect())
}

/// Deletes what these instances have left, their heartbeats and their records as managers, with one request for all.
/// Returns how many records went.
///
/// # Errors
/// When the bucket does not answer.
pub async fn forget_nodes<B: Bucket>(store: &Store<B>, instances: &BTreeSet<String>) -> Result<usize, Error> {
    let mut keys = records(store).await?;
    keys.retain(|key| instance_of(key).is_some_and(|instance| instances.contains(instance)));
    store.delete_all(&keys).await?;
    Ok(keys.len())
}

/// Keys of all heartbeats and managers' records.
async fn records<B: Bucket>(store: &Store<B>) -> Result<Vec<String>, Error> {
    let mut keys = store.list(keys::NODES).await?;
    keys.extend(store.list(keys::MANAGERS).await?);
    Ok(keys)
}

/// The instance that a record is of.
fn instance_of(key: &str) -> Option<&str> {
    keys::instance_of(key).or_else(|| key.strip_prefix(keys::MANAGERS))
}

#[cfg(test)]
mod tests {
    use futuswarm_model::{NodeState, Role, unix_millis};

    use super::*;
    use crate::MemoryBucket;

    fn record(instance: &str) -> NodeRecord {
        NodeRecord {
            serves: true,
            routes: None,
            instance: instance.to_owned(),
            node: None,
            role: Role::Worker,
            state: NodeState::Ready,
            reason: None,
            address: "10.42.0.4".to_owned(),
            zone: "eu-west-1a".to_owned(),
            image: "ami-1".to_owned(),
            instance_type: "t3.small".to_owned(),
            group: "workers".to_owned(),
            labels: Default::default(),
            usage: None,
            booted_at: unix_millis(),
            ready_at: None,
            updated_at: unix_millis(),
        }
    }

    #[tokio::test]
    async fn a_node_speaks_for_itself_only_and_can_be_forgotten() {
        let store = Store::new(MemoryBucket::default());
        store.put(&keys::node("AROA1", "i-1"), &record("i-1")).await.unwrap();
        store.put(&keys::node("AROA1", "i-2"), &record("i-1")).await.unwrap();
        store.put(&keys::node("AROA1", "i-11"), &record("i-11")).await.unwrap();
        let instances = || async {
            let records = node_records(&store).await.unwrap();
            records.into_iter().map(|record| record.instance).collect::<Vec<_>>()
        };
        assert_eq!(instances().await, ["i-1", "i-11"]);
        store.put(&keys::manager("i-1"), &0).await.unwrap();
        store.put(&keys::manager("i-11"), &0).await.unwrap();
        let all: Vec<String> = recorded_instances(&store).await.unwrap().into_iter().collect();
        assert_eq!(all, ["i-1", "i-11", "i-2"]);
        let gone = BTreeSet::from(["i-1".to_owned(), "i-never".to_owned()]);
        assert_eq!(forget_nodes(&store, &gone).await.unwrap(), 2);
        assert_eq!(instances().await, ["i-11"], "a longer id is another instance");
        assert_eq!(store.list(keys::MANAGERS).await.unwrap(), [keys::manager("i-11")]);
    }
}
