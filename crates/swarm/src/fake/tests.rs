//! The engines in memory against what Docker's documentation and sources say of real ones.

use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::Role;

use super::*;
use crate::faults::FaultyEngine;
use crate::{InitOptions, LocalState, Mode, NodeApi as _, NodeState, ServiceApi as _, ServiceSpec, SwarmApi};

mod objects;
mod services;

fn options(address: &str) -> InitOptions {
    InitOptions { address: address.to_owned(), address_pool: "10.128.0.0/9".to_owned(), address_pool_mask: 24 }
}

async fn founded(world: &FakeSwarm, index: u8) -> FakeEngine {
    let engine = world.machine(&format!("i-{index}"), &format!("10.0.0.{index}"));
    engine.init_swarm(&options("10.0.0.1")).await.unwrap();
    engine
}

async fn joined(world: &FakeSwarm, index: u8, role: Role, through: &FakeEngine) -> FakeEngine {
    let engine = world.machine(&format!("i-{index}"), &format!("10.0.0.{index}"));
    join(&engine, role, through, "10.0.0.1:2377").await.unwrap();
    engine
}

async fn join(engine: &FakeEngine, role: Role, through: &FakeEngine, address: &str) -> Result<(), Error> {
    let tokens = through.join_tokens().await.unwrap();
    let token = if role == Role::Manager { tokens.manager } else { tokens.worker };
    engine.join_swarm("10.0.0.9", vec![address.to_owned()], &token).await
}

/// Three managers; the first has founded the Swarm.
async fn three(world: &FakeSwarm) -> [FakeEngine; 3] {
    let first = founded(world, 1).await;
    let second = joined(world, 2, Role::Manager, &first).await;
    let third = joined(world, 3, Role::Manager, &first).await;
    [first, second, third]
}

fn message<T>(outcome: Result<T, Error>) -> String {
    outcome.err().unwrap().to_string()
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_neither_founds_nor_joins_and_a_manager_leaves_only_by_force() {
    let world = FakeSwarm::new(1);
    let first = founded(&world, 1).await;
    let again = message(first.init_swarm(&options("10.0.0.1")).await);
    assert!(again.contains("This node is already part of a swarm") && again.ends_with("(status 503)"), "{again}");
    assert!(message(join(&first, Role::Worker, &first, "10.0.0.1:2377").await).contains("already part of a swarm"));
    assert!(message(first.leave_swarm(false).await).contains("participating as a manager"));
    first.leave_swarm(true).await.unwrap();
    assert_eq!(first.membership().await.unwrap().state, LocalState::Inactive);
    assert!(message(first.leave_swarm(true).await).contains("not part of a swarm"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_knows_its_swarm_and_controls_nothing() {
    let world = FakeSwarm::new(2);
    let first = founded(&world, 1).await;
    let worker = joined(&world, 2, Role::Worker, &first).await;
    let membership = worker.membership().await.unwrap();
    assert_eq!((membership.state, membership.controls), (LocalState::Active, false));
    assert_eq!(membership.swarm, first.membership().await.unwrap().swarm);
    assert!(message(worker.list_nodes().await).contains("Worker nodes can't be used to view or modify"));
    assert_eq!(first.list_nodes().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_lets_nobody_into_another_swarm() {
    let world = FakeSwarm::new(3);
    let (first, other) = (founded(&world, 1).await, founded(&world, 2).await);
    let worker = world.machine("i-3", "10.0.0.3");
    let refused = message(join(&worker, Role::Worker, &first, "10.0.0.2:2377").await);
    assert!(refused.contains("does not match fingerprint"), "{refused}");
    assert_eq!(worker.membership().await.unwrap().state, LocalState::Inactive);
    world.plant(Defects { joins_without_checking_the_token: true });
    join(&worker, Role::Worker, &first, "10.0.0.2:2377").await.unwrap();
    assert_eq!(worker.membership().await.unwrap().swarm, other.membership().await.unwrap().swarm);
}

#[tokio::test(start_paused = true)]
async fn a_join_through_a_dead_manager_goes_on_in_the_background_and_ends_in_an_error() {
    let world = FakeSwarm::new(4);
    let [first, ..] = three(&world).await;
    let worker = world.machine("i-4", "10.0.0.4");
    world.set_running("i-2", false);
    let late = message(join(&worker, Role::Worker, &first, "10.0.0.2:2377").await);
    assert!(late.contains("will continue in the background"), "{late}");
    assert_eq!(worker.membership().await.unwrap().state, LocalState::Pending);
    later(60).await;
    assert_eq!(worker.membership().await.unwrap().state, LocalState::Error);
    worker.leave_swarm(true).await.unwrap();
    join(&worker, Role::Worker, &first, "10.0.0.1:2377").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_locked_or_damaged_leaves_and_joins_again() {
    let world = FakeSwarm::new(9);
    let first = founded(&world, 1).await;
    let worker = joined(&world, 2, Role::Worker, &first).await;
    world.lock_up("i-2");
    assert_eq!(worker.membership().await.unwrap().state, LocalState::Locked);
    assert!(message(worker.leave_swarm(false).await).contains("encrypted and locked"));
    worker.leave_swarm(true).await.unwrap();
    join(&worker, Role::Worker, &first, "10.0.0.1:2377").await.unwrap();
    world.fail("i-2");
    let membership = worker.membership().await.unwrap();
    assert_eq!(membership.state, LocalState::Error);
    assert!(membership.error.unwrap().contains("certificate"));
    worker.leave_swarm(true).await.unwrap();
    assert_eq!(
        first.list_nodes().await.unwrap().len(),
        3,
        "its earlier lives are on the list until somebody removes them"
    );
}

#[tokio::test(start_paused = true)]
async fn another_manager_is_elected_and_without_a_majority_nobody_answers() {
    let world = FakeSwarm::new(5);
    let [first, second, third] = three(&world).await;
    let swarm = first.membership().await.unwrap().swarm.unwrap();
    assert_eq!(world.leader(&swarm).as_deref(), Some("i-1"));
    world.set_running("i-1", false);
    assert!(message(second.list_nodes().await).contains("The swarm does not have a leader"));
    later(9).await;
    assert!(["i-2", "i-3"].contains(&world.leader(&swarm).unwrap().as_str()));
    world.set_running("i-2", false);
    later(60).await;
    let membership = third.membership().await.unwrap();
    assert_eq!((membership.state, membership.controls, &membership.swarm), (LocalState::Active, true, &None));
    assert!(membership.error.unwrap().contains("does not have a leader"));
    assert!(world.can_have_a_majority(&swarm), "they may come back");
    world.terminate("i-1");
    assert!(world.can_have_a_majority(&swarm), "two of three");
    world.terminate("i-2");
    assert!(!world.can_have_a_majority(&swarm));
}

#[tokio::test(start_paused = true)]
async fn a_dead_manager_is_demoted_before_it_is_removed() {
    let world = FakeSwarm::new(6);
    let [first, ..] = three(&world).await;
    world.terminate("i-3");
    let dead = || async { first.list_nodes().await.unwrap().into_iter().find(|node| node.hostname == "i-3").unwrap() };
    assert_eq!(dead().await.state, NodeState::Ready, "three heartbeats are not missed yet");
    assert!(!dead().await.is_reachable());
    later(20).await;
    let node = dead().await;
    assert_eq!(node.state, NodeState::Down);
    assert!(message(first.remove_node(&node.id, true).await).contains("must be demoted to worker before removal"));
    first.demote_node(&node).await.unwrap();
    let outdated = first.demote_node(&node).await.unwrap_err();
    assert!(outdated.is_conflict(), "{outdated}");
    first.remove_node(&node.id, false).await.unwrap();
    first.remove_node(&node.id, false).await.unwrap();
    let living = first.list_nodes().await.unwrap();
    let refused = message(first.remove_node(&living[1].id, false).await);
    assert!(refused.contains("raft cluster"), "{refused}");
    // Of two, none can be lost.
    let second = living.iter().find(|node| node.hostname == "i-2").unwrap();
    world.set_running("i-2", false);
    assert!(message(first.demote_node(second).await).contains("does not have a leader"));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_created_once_and_updated_at_its_version() {
    let world = FakeSwarm::new(7);
    let first = founded(&world, 1).await;
    let mut spec = ServiceSpec { mode: Mode::Replicated(2), ..ServiceSpec::new("mainpage", "mainpage:1") };
    assert!(first.ensure_service(&spec).await.unwrap());
    assert!(!first.ensure_service(&spec).await.unwrap());
    let before = first.inspect_service("mainpage").await.unwrap().unwrap();
    spec.mode = Mode::Replicated(3);
    assert!(first.ensure_service(&spec).await.unwrap());
    assert!(first.update_service(before.version, &spec).await.unwrap_err().is_conflict());
    assert!(first.create_service(&spec).await.unwrap_err().is_conflict());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_is_lost_was_made() {
    let world = FakeSwarm::new(8);
    let engine = FaultyEngine::new(world.machine("i-1", "10.0.0.1"), Faults::script([Fault::Fail, Fault::Lose]));
    assert!(message(engine.init_swarm(&options("10.0.0.1")).await).contains("connection refused"));
    assert_eq!(world.swarms(), 0);
    assert!(message(engine.init_swarm(&options("10.0.0.1")).await).contains("before the answer"));
    assert_eq!((world.swarms(), engine.membership().await.unwrap().state), (1, LocalState::Active));
}
