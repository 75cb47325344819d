//! The node's heartbeats in the bucket: its record, and for managers the address at which they accept joins.

use std::sync::Arc;

use futuswarm_model::{FRESH, HEARTBEAT, ManagerRecord, NodeRecord, NodeState, NodeUsage, ServedRoutes, keys};
use futuswarm_retry::without_request_id;
use futuswarm_store::{Bucket, Store};
use tokio::time::Instant;

use crate::identity::Node;
use crate::{Clock, Error};

/// The Swarm's port for joins and raft.
const SWARM_PORT: u16 = 2377;

/// What the node says about itself, and when it said so last.
pub(crate) struct Heartbeat {
    node: Arc<Node>,
    state: NodeState,
    ready_at: Option<u64>,
    /// Swarm node id.
    pub(crate) swarm_node: Option<String>,
    /// Why the last round failed, or which duties do.
    pub(crate) reason: Option<String>,
    /// Whether its edge has every route that it can have.
    pub(crate) serves: bool,
    /// What its edge has of the routes.
    pub(crate) routes: Option<ServedRoutes>,
    /// What of the machine is used. It changes all the time, and is no reason to write.
    pub(crate) usage: Option<NodeUsage>,
    /// When, and what of it may change.
    written: Option<(Instant, Content)>,
    /// When, and for which Swarm.
    manager_written: Option<(Instant, String)>,
}

/// What may change in a node's record: state, Swarm node id, reason, whether its edge serves, and which routes.
type Content = (NodeState, Option<String>, Option<String>, bool, Option<ServedRoutes>);

impl Heartbeat {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
            state: NodeState::Identity,
            ready_at: None,
            swarm_node: None,
            reason: None,
            serves: false,
            routes: None,
            usage: None,
            written: None,
            manager_written: None,
        }
    }

    /// Notes a state; a new one is logged once, with the seconds since the kernel started.
    pub(crate) fn enter(&mut self, clock: &impl Clock, state: NodeState, what: &str) {
        if self.state == state {
            return;
        }
        let now = clock.unix_millis();
        let uptime = now.saturating_sub(self.node.booted_at) / 1000;
        tracing::info!(from = %self.state, to = %state, uptime_seconds = uptime, "{what}");
        self.state = state;
        if state == NodeState::Ready {
            self.ready_at.get_or_insert(now);
        }
    }

    /// One line for `systemctl status`.
    pub(crate) fn summary(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.state),
            None => self.state.to_string(),
        }
    }

    fn content(&self) -> Content {
        let reason = self.reason.as_deref().map(without_request_id);
        (self.state, self.swarm_node.clone(), reason, self.serves, self.routes.clone())
    }

    /// Writes the node's record when something in it changed or the heartbeat is due.
    pub(crate) async fn write_if_due<B: Bucket>(&mut self, store: &Store<B>, clock: &impl Clock) -> Result<(), Error> {
        let content = self.content();
        if self.written.as_ref().is_some_and(|(at, written)| *written == content && at.elapsed() < HEARTBEAT) {
            return Ok(());
        }
        let node = &*self.node;
        let record = NodeRecord {
            instance: node.instance.clone(),
            node: self.swarm_node.clone(),
            role: node.config.role,
            state: self.state,
            reason: self.reason.clone(),
            serves: self.serves,
            routes: self.routes.clone(),
            address: node.address.to_string(),
            zone: node.zone.clone(),
            image: node.image.clone(),
            instance_type: node.instance_type.clone(),
            group: node.config.group.clone(),
            labels: node.config.labels.clone(),
            usage: self.usage,
            booted_at: node.booted_at,
            ready_at: self.ready_at,
            updated_at: clock.unix_millis(),
        };
        store.put(&keys::node(&node.config.role_id, &node.instance), &record).await?;
        self.written = Some((Instant::now(), content));
        Ok(())
    }

    /// Writes the manager's record now.
    pub(crate) async fn write_manager<B: Bucket>(
        &mut self,
        store: &Store<B>,
        clock: &impl Clock,
        swarm_id: &str,
    ) -> Result<(), Error> {
        let record = ManagerRecord {
            instance: self.node.instance.clone(),
            address: format!("{}:{SWARM_PORT}", self.node.address),
            swarm_id: swarm_id.to_owned(),
            updated_at: clock.unix_millis(),
        };
        store.put(&keys::manager(&self.node.instance), &record).await?;
        self.manager_written = Some((Instant::now(), swarm_id.to_owned()));
        Ok(())
    }

    /// Writes the manager's record when it is for another Swarm or its heartbeat is due.
    pub(crate) async fn write_manager_if_due<B: Bucket>(
        &mut self,
        store: &Store<B>,
        clock: &impl Clock,
        swarm_id: &str,
    ) -> Result<(), Error> {
        let written = self.manager_written.as_ref();
        if written.is_some_and(|(at, swarm)| swarm == swarm_id && at.elapsed() < HEARTBEAT) {
            return Ok(());
        }
        self.write_manager(store, clock, swarm_id).await
    }
}

/// Managers of a Swarm, those with a fresh heartbeat first. Clocks may be wrong, so old ones are asked last, not never.
pub(crate) fn managers_to_ask(records: Vec<ManagerRecord>, swarm_id: &str, now: u64) -> Vec<String> {
    let mut records: Vec<_> = records.into_iter().filter(|record| record.swarm_id == swarm_id).collect();
    fastrand::shuffle(&mut records);
    records.sort_by_key(|record| now.saturating_sub(record.updated_at) > FRESH.as_millis() as u64);
    records.into_iter().map(|record| record.address).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use futuswarm_model::{Role, unix_millis};
    use futuswarm_store::MemoryBucket;
    use futuswarm_userdata::NodeConfig;

    use crate::SystemClock;

    pub(crate) fn node(instance: &str, role: Role) -> Node {
        Node {
            instance: instance.to_owned(),
            instance_type: "t3.small".to_owned(),
            zone: "eu-west-1a".to_owned(),
            address: [10, 42, 0, 4].into(),
            image: "ami-1".to_owned(),
            booted_at: unix_millis(),
            config: NodeConfig {
                version: NodeConfig::VERSION,
                cluster: "prod".to_owned(),
                region: "eu-west-1".to_owned(),
                role,
                role_id: "AROA1".to_owned(),
                group: "group".to_owned(),
                bucket: "bucket".to_owned(),
                cluster_key: "alias/futuswarm/prod/cluster".to_owned(),
                manager_key: None,
                address_pool: "10.128.0.0/9".to_owned(),
                address_pool_mask: 24,
                bridge_pool: None,
                vpc_cidr: None,
                node_subnets: Vec::new(),
                domain: "example.com".to_owned(),
                expected_managers: 1,
                labels: Default::default(),
            },
        }
    }

    #[test]
    fn managers_of_other_swarms_are_never_asked_and_stale_ones_last() {
        let record = |instance: &str, swarm: &str, updated_at| ManagerRecord {
            instance: instance.to_owned(),
            address: format!("{instance}:2377"),
            swarm_id: swarm.to_owned(),
            updated_at,
        };
        let now = 10_000_000;
        let records = vec![
            record("stale", "ours", 1),
            record("other", "theirs", now),
            record("a", "ours", now),
            record("b", "ours", now - 1),
        ];
        for _ in 0..50 {
            let addresses = managers_to_ask(records.clone(), "ours", now);
            assert_eq!(addresses.len(), 3);
            assert_eq!(addresses[2], "stale:2377");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_written_when_something_changed_and_every_minute() {
        let bucket = MemoryBucket::default();
        let store = Store::new(bucket.clone());
        let mut heartbeat = Heartbeat::new(&Arc::new(node("i-1", Role::Worker)));
        let read = || async { store.get::<NodeRecord>("cluster/nodes/AROA1:i-1").await.unwrap().unwrap().value };
        heartbeat.enter(&SystemClock, NodeState::Joining, "joins");
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        assert_eq!(bucket.writes(), 1, "nothing new, nothing written");
        heartbeat.enter(&SystemClock, NodeState::Ready, "ready");
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        let ready = read().await;
        assert_eq!((bucket.writes(), ready.state), (2, NodeState::Ready));
        assert!(ready.ready_at.is_some());
        heartbeat.swarm_node = Some("n1".to_owned());
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        assert_eq!((bucket.writes(), read().await.node.as_deref()), (3, Some("n1")));

        // Whoever waits until edges have new routes is told at once.
        let served = ServedRoutes { etag: "\"2\"".to_owned(), without: Default::default() };
        heartbeat.routes = Some(served.clone());
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
        assert_eq!((bucket.writes(), read().await.routes), (4, Some(served)));

        // A duty that fails is reported once, not at every attempt, whose requests all have other ids.
        for attempt in 0..9 {
            heartbeat.reason = Some(format!("tokens: Decrypt answered Throttling: busy (request {attempt})"));
            heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
            tokio::time::advance(std::time::Duration::from_secs(5)).await;
        }
        assert_eq!(bucket.writes(), 5);
        assert!(read().await.reason.unwrap().contains("busy"));

        // An hour of rounds.
        for _ in 0..1200 {
            heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
            tokio::time::advance(std::time::Duration::from_secs(3)).await;
        }
        let written = bucket.writes() - 5;
        assert!((59..=61).contains(&written), "{written} in an hour in which nothing changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_managers_address_is_written_for_its_swarm_at_once_and_then_every_minute() {
        let bucket = MemoryBucket::default();
        let (store, node) = (Store::new(bucket.clone()), Arc::new(node("i-1", Role::Manager)));
        let mut heartbeat = Heartbeat::new(&node);
        for swarm in ["first", "first", "second", "second"] {
            heartbeat.write_manager_if_due(&store, &SystemClock, swarm).await.unwrap();
        }
        assert_eq!(bucket.writes(), 2);
        tokio::time::advance(HEARTBEAT).await;
        heartbeat.write_manager_if_due(&store, &SystemClock, "second").await.unwrap();
        assert_eq!(bucket.writes(), 3);
        let record: ManagerRecord = store.get("cluster/managers/i-1").await.unwrap().unwrap().value;
        assert_eq!(record.swarm_id, "second");
    }
}
