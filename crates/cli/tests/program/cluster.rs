//! What the cluster has: images that nothing needs, nodes and networks.

use std::collections::BTreeSet;

use futuswarm_rpc::message::*;

use crate::answers::cluster;
use crate::fake::Fake;

pub fn collected(plan: bool) -> Collected {
    Collected {
        plan,
        keep: 10,
        repositories: vec![CollectedRepository {
            repository: "hello".to_owned(),
            tags: BTreeSet::from(["0.9".to_owned()]),
            images: BTreeSet::from(["sha256:aa".to_owned()]),
            layers: 2,
            uploads: 1,
        }],
        blobs: 3,
        bytes: 2_000_000,
        kept_blobs: 4,
        kept_bytes: 9,
        broken: vec!["hello@sha256:bb".to_owned()],
    }
}

pub fn stats() -> NodeStats {
    NodeStats {
        name: "i-1".to_owned(),
        role: "worker".to_owned(),
        state: "ready".to_owned(),
        availability: "drain".to_owned(),
        tasks: 3,
        cpu_millis: 2000,
        cpu_limit_millis: 1250,
        memory: 4_000_000_000,
        memory_reserved: 500_000_000,
        memory_limit: 600_000_000,
        unlimited: 1,
        measured: Some(Measured {
            at: 0,
            load_millis: 520,
            memory_available: 3_000_000_000,
            disk: 20_000_000_000,
            disk_free: 7_000_000_000,
        }),
    }
}

pub fn network(problems: &[&str]) -> NetworkRow {
    NetworkRow {
        network: "app-hello".to_owned(),
        app: Some("hello".to_owned()),
        subnet: "10.128.3.0/24".to_owned(),
        tasks: 2,
        containers: 1,
        addresses: 5,
        free: 248,
        nodes: BTreeSet::from(["i-1".to_owned()]),
        peers: None,
        problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
    }
}

#[test]
fn a_network_with_a_problem_ends_with_one_and_one_that_is_not_there_with_four() {
    let fake = Fake::answering(|_| Ok(Answer::Networks(vec![network(&["3 addresses are left", "and more"])])));
    let said = fake.run(&["swarm:network:health"]).ended(1);
    assert!(said.text().contains("3 addresses are left; and more"), "{said:?}");
    let document = fake.run(&["swarm:network:health", "--json"]).ended(1).json();
    assert_eq!(document[0]["problems"][1], "and more");
    fake.run(&["swarm:network:health", "-a", "shop"]).ended(4).says("no network of shop");
    fake.run(&["swarm:network:health", "-a", "A b"]).ended(2);
}

#[test]
fn images_are_collected_of_all_apps_unless_one_is_named() {
    let fake = cluster();
    let folder = fake.work();
    // What the folder is about is no reason to mean one app.
    std::fs::write(folder.join("app.toml"), "app = \"shop\"\n").unwrap();
    fake.run(&["image:gc", "--plan"]).ended(0).says("warning: hello@sha256:bb cannot be pulled");
    fake.run(&["image:gc", "-a", "hello", "--keep", "3", "--wait", "60"]).ended(0);
    fake.run(&["image:gc", "-a", "Hello"]).ended(2);
    fake.run(&["image:gc", "--keep", "many"]).ended(2);
    let expected = [
        Request::CollectImages { app: None, keep: None, plan: true, wait: None },
        Request::CollectImages { app: Some("hello".to_owned()), keep: Some(3), plan: false, wait: Some(60) },
    ];
    assert_eq!(fake.requests(), expected);
}
