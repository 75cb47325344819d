//! Which labels nodes get.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futuswarm_model::Role;
use futuswarm_store::MemoryBucket;
use futuswarm_swarm::{Availability, NodeSpec, NodeState};

use super::*;
use crate::SystemClock;
use crate::heartbeat::{self, Heartbeat};

/// Has what nodes were given.
#[derive(Default)]
struct Swarm(Mutex<Vec<NodeSpec>>);

impl NodeApi for Swarm {
    async fn list_nodes(&self) -> Result<Vec<SwarmNode>, futuswarm_swarm::Error> {
        Ok(Vec::new())
    }

    async fn update_node(&self, _node: &SwarmNode, spec: &NodeSpec) -> Result<(), futuswarm_swarm::Error> {
        self.0.lock().unwrap().push(spec.clone());
        Ok(())
    }

    async fn remove_node(&self, _id: &str, _force: bool) -> Result<(), futuswarm_swarm::Error> {
        Ok(())
    }
}

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_the_labels_of_its_group_and_those_that_say_where_it_is() {
    let store = Store::new(MemoryBucket::default());
    let mut node = heartbeat::tests::node("i-1", Role::Worker);
    node.config.labels = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
    let mut heartbeat = Heartbeat::new(&Arc::new(node));
    heartbeat.swarm_node = Some("n1".to_owned());
    heartbeat.write_if_due(&store, &SystemClock).await.unwrap();
    let in_swarm = |id: &str, own: &[(&str, &str)]| SwarmNode {
        id: id.to_owned(),
        version: 0,
        spec: NodeSpec { name: None, labels: labels(own), role: Role::Worker, availability: Availability::Active },
        hostname: "i-1".to_owned(),
        state: NodeState::Ready,
        address: String::new(),
        manager_status: None,
        engine: String::new(),
        memory_bytes: 0,
        nano_cpus: 0,
    };
    let swarm = Swarm::default();
    label(&swarm, &store, &[in_swarm("n1", &[("somebody", "set")])]).await.unwrap();
    let expected = labels(&[
        ("somebody", "set"),
        ("disk", "fast"),
        ("futuswarm.instance", "i-1"),
        ("futuswarm.zone", "eu-west-1a"),
        ("futuswarm.type", "t3.small"),
        ("futuswarm.group", "group"),
    ]);
    let given: Vec<_> = swarm.0.lock().unwrap().iter().map(|spec| spec.labels.clone()).collect();
    assert_eq!(given, [expected]);
    // Neither one that has them, nor one of an earlier life of the instance.
    label(&swarm, &store, &[in_swarm("n1", &[("futuswarm.instance", "i-1")]), in_swarm("n0", &[])]).await.unwrap();
    assert_eq!(swarm.0.lock().unwrap().len(), 1);
}
