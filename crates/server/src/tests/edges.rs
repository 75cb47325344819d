//! A release ends when visitors reach its tasks: the leader has published its routes, and the nodes' edges say that they have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use futuswarm_edge::{Network, Reserved, Routes, Service, decide};
use futuswarm_faults::Faults;
use futuswarm_model::{FailureClass, NodeRecord, NodeState, Outcome, Role, ServedRoutes, keys};
use futuswarm_rpc::message::{Answer, Deployment, Request, Why};
use futuswarm_store::{FaultyBucket, MemoryBucket, Store};
use futuswarm_swarm::ServiceApi as _;
use futuswarm_swarm::fake::FakeEngine;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::world::*;
use crate::{Control, desired};

type Bucket = FaultyBucket<MemoryBucket>;

/// Publishes the routes of all services that are there, as the leader's agent does.
async fn publish(engine: &FakeEngine, store: &Store<Bucket>) {
    let services = engine.list_services().await.unwrap();
    let facts = |service: futuswarm_swarm::Service| Service {
        tasks: service.replicas().and_then(|tasks| u32::try_from(tasks).ok()).unwrap_or(1),
        networks: vec![Network { name: desired::network_name(&service.spec.name), attachable: true }],
        name: service.spec.name,
        created_at: service.created_at,
        labels: service.spec.labels,
    };
    let services: Vec<Service> = services.into_iter().map(facts).collect();
    let last = store.peek::<Routes>(keys::ROUTES).await.unwrap().map(|last| last.value);
    let reserved = Reserved { hosts: Vec::new(), owner: "mainpage".to_owned() };
    let routes = decide(&services, &reserved, &last.clone().unwrap_or_default());
    if last.as_ref() != Some(&routes) {
        store.put(keys::ROUTES, &routes).await.unwrap();
    }
}

/// The ETag of what is published.
async fn published(store: &Store<Bucket>) -> Option<String> {
    store.peek::<Routes>(keys::ROUTES).await.unwrap().map(|document| document.etag)
}

fn served(etag: &str, without: &[&str]) -> Option<ServedRoutes> {
    let without: BTreeSet<String> = without.iter().map(|service| (*service).to_owned()).collect();
    Some(ServedRoutes { etag: etag.to_owned(), without })
}

async fn heartbeat(store: &Store<Bucket>, instance: &str, routes: Option<ServedRoutes>, updated_at: u64) {
    let record = NodeRecord {
        instance: instance.to_owned(),
        node: None,
        role: Role::Worker,
        state: NodeState::Ready,
        reason: None,
        serves: true,
        routes,
        address: "10.0.0.1".to_owned(),
        zone: "eu-west-1a".to_owned(),
        image: "ami-1".to_owned(),
        instance_type: "t3.small".to_owned(),
        group: "workers".to_owned(),
        labels: Default::default(),
        usage: None,
        booted_at: START,
        ready_at: None,
        updated_at,
    };
    store.put(&keys::node("AROA1", instance), &record).await.unwrap();
}

/// A leader that publishes, and edges of all nodes that follow, until this goes.
pub(super) struct Edges(Vec<AbortHandle>);

impl Edges {
    /// The leader looks every so many seconds, and so do edges.
    pub(super) fn of(world: &World, leader: u64, edge: u64) -> Self {
        let (engine, records) = (world.engine.clone(), world.records(Faults::none()));
        let publishes = tokio::spawn(async move {
            loop {
                seconds(leader).await;
                publish(&engine, records.store()).await;
            }
        });
        let (records, since, at) = (world.records(Faults::none()), Instant::now(), world.now());
        let follow = tokio::spawn(async move {
            loop {
                seconds(edge).await;
                let Some(etag) = published(records.store()).await else { continue };
                let now = at + u64::try_from(since.elapsed().as_millis()).unwrap();
                for instance in ["i-1", "i-2", "i-3"] {
                    heartbeat(records.store(), instance, served(&etag, &[]), now).await;
                }
            }
        });
        Self(vec![publishes.abort_handle(), follow.abort_handle()])
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

async fn deployed(control: &Arc<Control<Memory>>, image: &str, file: Option<&str>) -> (Deployment, u64) {
    let began = Instant::now();
    let deployment = deployment(&ask(control, "jane", &deploy("hello", image, file)).await);
    assert_eq!(deployment.outcome, Some(Outcome::Deployed), "{deployment:?}");
    (deployment, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_deployment_ends_when_all_edges_have_its_routes_and_waits_for_none_when_they_have_them() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    let store = records.store();
    // Slower than any node is, so that tasks are healthy long before.
    let edges = Edges::of(&world, 40, 15);
    seconds(41).await;
    for tag in ["1", "2", "3"] {
        world.image("hello", tag, good());
    }
    for (image, file) in [("hello:1", None), ("hello:2", Some("port = 8001\n"))] {
        let (done, _) = deployed(&control, image, file).await;
        assert_eq!(done.failure, None, "{image}");
        let document = store.peek::<Routes>(keys::ROUTES).await.unwrap().unwrap();
        let [route] = document.value.routes.as_slice() else { panic!("{document:?}") };
        assert_eq!(route.port, if image == "hello:1" { 8000 } else { 8001 });
        for record in futuswarm_store::node_records(store).await.unwrap() {
            assert_eq!(record.routes, served(&document.etag, &[]), "{image}");
        }
    }
    // Nothing of the routes changes: that nobody publishes any more is not noticed.
    drop(edges);
    let (done, seconds) = deployed(&control, "hello:3", None).await;
    assert_eq!(done.failure, None);
    assert!(seconds < 30, "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn routes_that_nobody_publishes_are_told_with_a_release_that_is_deployed() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    records.store().put(keys::ROUTES, &Routes::default()).await.unwrap();
    world.image("hello", "1", good());
    let (done, seconds) = deployed(&control, "hello:1", None).await;
    let failure = done.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Late);
    assert!(failure.reason.contains("the edges do not know its routes yet"), "{failure:?}");
    assert!((60..90).contains(&seconds), "{seconds} s");
    // Nothing has failed, and its number is what the app runs with.
    let why = Request::Why { app: "hello".to_owned(), release: None };
    let Answer::Why(Why { release: None, failure: None, .. }) = ask(&control, "jane", &why).await.end().unwrap() else {
        panic!()
    };
    assert_eq!(records.app("hello").await.unwrap().unwrap().release, Some(1));
}

#[tokio::test(start_paused = true)]
async fn only_edges_that_get_visitors_and_say_what_they_have_are_waited_for() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    let store = records.store();
    world.image("hello", "1", good());
    // Nobody has ever published: there is no edge that could be told.
    let (first, seconds) = deployed(&control, "hello:1", None).await;
    assert!(first.failure.is_none() && seconds < 30, "{first:?} {seconds} s");
    publish(&world.engine, store).await;
    let etag = published(store).await.unwrap();
    let restart = Request::Restart { app: "hello".to_owned(), wait: Default::default() };
    let now = || world.now();
    // An agent of before, and one that has not been heard of for long.
    heartbeat(store, "i-1", None, now()).await;
    heartbeat(store, "i-3", served("older", &[]), now() - 200_000).await;
    for (routes, lacks) in
        [(served("older", &[]), true), (served(&etag, &["hello"]), true), (served(&etag, &["shop"]), false)]
    {
        heartbeat(store, "i-2", routes.clone(), now()).await;
        let done = deployment(&ask(&control, "jane", &restart).await);
        assert_eq!(done.outcome, Some(Outcome::Deployed));
        let reason = done.failure.map(|failure| failure.reason).unwrap_or_default();
        assert_eq!(reason.contains("the edges of i-2 do not serve it yet"), lacks, "{routes:?}: {reason}");
    }
}
