//! Services of engines in memory: what their tasks become, and how updates end.

use std::collections::BTreeMap;

use crate::fake::{Behaviour, FakeImage};
use crate::{
    Availability, HealthCheck, Mode, NodeSpec, Order, ProgramApi as _, ProgramCheck, Resources, RestartPolicy,
    ServiceSpec, Task, TaskApi as _, TaskState, UpdatePolicy, UpdateState, ZONE_LABEL,
};

use super::*;

const GOOD: &str = "127.0.0.1:5000/hello@sha256:01";
const NEXT: &str = "127.0.0.1:5000/hello@sha256:02";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(image: &str, release: u64) -> ServiceSpec {
    ServiceSpec { mode: Mode::Replicated(2), ..ServiceSpec::new("hello", image) }.with_release(release)
}

/// One manager and an image that is good.
async fn world() -> (FakeSwarm, FakeEngine) {
    let world = FakeSwarm::new(11);
    let engine = founded(&world, 1).await;
    world.push(GOOD, Behaviour::healthy_after(seconds(3)).with_log(["listening"]));
    (world, engine)
}

async fn tasks(engine: &FakeEngine) -> Vec<Task> {
    engine.list_tasks(Some("hello")).await.unwrap()
}

/// Tasks that run, by the releases that they are of.
async fn running(engine: &FakeEngine) -> Vec<u64> {
    let running = |task: &Task| task.state == TaskState::Running && task.is_wanted();
    tasks(engine).await.iter().filter(|task| running(task)).filter_map(Task::release).collect()
}

async fn update(engine: &FakeEngine) -> Option<(UpdateState, String)> {
    let service = engine.inspect_service("hello").await.unwrap().unwrap();
    service.update.map(|update| (update.state, update.message))
}

async fn change(engine: &FakeEngine, spec: &ServiceSpec) {
    let version = engine.inspect_service("hello").await.unwrap().unwrap().version;
    engine.update_service(version, spec).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tasks_are_pulled_for_start_and_get_healthy() {
    let (_world, engine) = world().await;
    engine.create_service(&spec(GOOD, 1)).await.unwrap();
    let states = |tasks: &[Task]| tasks.iter().map(|task| task.state).collect::<Vec<_>>();
    assert_eq!(states(&tasks(&engine).await), [TaskState::Preparing; 2]);
    later(2).await;
    let starting = tasks(&engine).await;
    assert_eq!((states(&starting), starting[0].container.is_some()), (vec![TaskState::Starting; 2], true));
    later(3).await;
    assert_eq!(running(&engine).await, [1, 1]);
    assert_eq!(update(&engine).await, None, "a new service is no update");
    let task = &tasks(&engine).await[1];
    assert_eq!((task.slot, task.node.as_deref().is_some(), task.since.as_str()), (2, true, &*task.since));
    assert!(task.since > task.created_at);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_starts_first_never_has_fewer_tasks_and_is_complete_after_the_monitor() {
    let (world, engine) = world().await;
    world.push(NEXT, Behaviour::healthy_after(seconds(5)));
    engine.create_service(&spec(GOOD, 1)).await.unwrap();
    later(10).await;
    let before = engine.inspect_service("hello").await.unwrap().unwrap();
    engine.update_service(before.version, &spec(NEXT, 2)).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..40 {
        later(1).await;
        let running = running(&engine).await;
        assert!(running.len() >= 2, "{running:?}");
        if seen.last() != Some(&running) {
            seen.push(running);
        }
        assert!(tasks(&engine).await.iter().filter(|task| !task.state.is_over()).count() <= 3 + 1);
    }
    assert_eq!(seen.first().map(Vec::as_slice), Some([1, 1].as_slice()));
    assert_eq!(seen.last().map(Vec::as_slice), Some([2, 2].as_slice()));
    assert!(seen.iter().any(|running| running.contains(&1) && running.contains(&2)), "one by one: {seen:?}");
    let after = engine.inspect_service("hello").await.unwrap().unwrap();
    let status = after.update.as_ref().unwrap();
    assert_eq!((status.state, status.message.as_str()), (UpdateState::Completed, "update completed"));
    assert!(status.completed_at > status.started_at && after.version > before.version);
    assert_eq!((after.release(), after.previous_release()), (Some(2), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_stops_first_never_has_more_tasks() {
    let (world, engine) = world().await;
    world.push(NEXT, Behaviour::healthy_after(seconds(5)));
    let policy = UpdatePolicy { order: Order::StopFirst, parallelism: 0, monitor: seconds(5) };
    engine.create_service(&ServiceSpec { update: Some(policy), ..spec(GOOD, 1) }).await.unwrap();
    later(10).await;
    change(&engine, &ServiceSpec { update: Some(policy), ..spec(NEXT, 2) }).await;
    let mut none = false;
    for _ in 0..20 {
        let all = tasks(&engine).await;
        let alive = all.iter().filter(|task| (TaskState::Starting..=TaskState::Running).contains(&task.state)).count();
        assert!(alive <= 2, "{all:?}");
        none |= running(&engine).await.is_empty();
        later(1).await;
    }
    assert!(none, "all at once: there is a gap");
    assert_eq!(running(&engine).await, [2, 2]);
    assert_eq!(update(&engine).await.unwrap().0, UpdateState::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_update_to_what_ends_never_gets_healthy_or_cannot_start_is_put_back() {
    let check = ProgramCheck {
        argv: vec!["/.futuswarm-probe".to_owned()],
        interval: seconds(2),
        timeout: seconds(1),
        retries: 3,
        start_period: seconds(4),
        start_interval: seconds(1),
    };
    let bad = [
        (FakeImage::from(Behaviour::exits(seconds(2), 3)), "task: non-zero exit (3)", Some(3)),
        (FakeImage::from(Behaviour::exits(seconds(2), 0)), "", Some(0)),
        (
            FakeImage::from(Behaviour::never_healthy()),
            "task: non-zero exit (137): dockerexec: unhealthy container",
            Some(137),
        ),
        (FakeImage::from(Behaviour::rejected("exec: \"x\": not found")), "exec: \"x\": not found", None),
        (
            FakeImage { architecture: "arm64".to_owned(), ..FakeImage::default() },
            "task: non-zero exit (255)",
            Some(255),
        ),
    ];
    for (image, error, code) in bad {
        let (world, engine) = world().await;
        world.push(NEXT, image);
        let health = HealthCheck::Program(check.clone());
        engine.create_service(&ServiceSpec { health: health.clone(), ..spec(GOOD, 1) }).await.unwrap();
        later(10).await;
        change(&engine, &ServiceSpec { health, ..spec(NEXT, 2) }).await;
        later(30).await;
        let (state, message) = update(&engine).await.unwrap();
        assert_eq!((state, message.as_str()), (UpdateState::RollbackCompleted, "rollback completed"), "{error}");
        assert_eq!(running(&engine).await, [1, 1], "{error}");
        let service = engine.inspect_service("hello").await.unwrap().unwrap();
        assert_eq!((service.release(), service.previous_release()), (Some(1), None));
        let of_next = |task: &Task| task.release() == Some(2) && task.state != TaskState::Shutdown;
        let failed: Vec<Task> = tasks(&engine).await.into_iter().filter(of_next).collect();
        assert!(failed.len() <= 2 && failed.iter().all(|task| !task.is_wanted()), "{failed:?}");
        assert_eq!((failed[0].error.as_str(), failed[0].exit_code), (error, code));
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_within_the_monitor_is_put_back_and_later_it_is_restarted() {
    for (after, state, release) in [(4, UpdateState::RollbackCompleted, 1), (30, UpdateState::Completed, 2)] {
        let (world, engine) = world().await;
        world.push(NEXT, Behaviour::exits(seconds(after), 1));
        let policy = Some(UpdatePolicy { monitor: seconds(6), ..UpdatePolicy::default() });
        let one = |image, release| ServiceSpec { mode: Mode::Replicated(1), update: policy, ..spec(image, release) };
        engine.create_service(&one(GOOD, 1)).await.unwrap();
        later(10).await;
        change(&engine, &one(NEXT, 2)).await;
        later(40).await;
        assert_eq!(update(&engine).await.unwrap().0, state, "ends after {after} s");
        assert_eq!(running(&engine).await, [release]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_hand_swaps_the_specs_and_wants_one_to_go_back_to() {
    let (world, engine) = world().await;
    world.push(NEXT, Behaviour::healthy_after(seconds(1)));
    engine.create_service(&spec(GOOD, 1)).await.unwrap();
    let version = engine.inspect_service("hello").await.unwrap().unwrap().version;
    assert!(message(engine.rollback_service("hello", version).await).contains("does not have a previous spec"));
    change(&engine, &spec(NEXT, 2)).await;
    later(40).await;
    let version = engine.inspect_service("hello").await.unwrap().unwrap().version;
    assert!(engine.rollback_service("hello", version - 1).await.unwrap_err().is_conflict());
    engine.rollback_service("hello", version).await.unwrap();
    assert_eq!(update(&engine).await.unwrap().0, UpdateState::RollbackStarted);
    later(40).await;
    assert_eq!(update(&engine).await.unwrap().0, UpdateState::RollbackCompleted);
    assert_eq!(running(&engine).await, [1, 1]);
    assert_eq!(engine.inspect_service("hello").await.unwrap().unwrap().previous_release(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_is_replaced_after_the_delay_and_few_old_ones_are_kept() {
    let (world, engine) = world().await;
    world.push(NEXT, Behaviour::runs_out_of_memory(seconds(1)));
    let restart = RestartPolicy::Always { delay: seconds(5) };
    engine.create_service(&ServiceSpec { mode: Mode::Replicated(1), restart, ..spec(NEXT, 1) }).await.unwrap();
    later(60).await;
    let all = tasks(&engine).await;
    let over: Vec<&Task> = all.iter().filter(|task| task.state.is_over()).collect();
    assert_eq!((over.len(), all.len()), (4, 5), "the one that lives counts, too");
    assert!(over.iter().all(|task| task.looks_out_of_memory() && task.state == TaskState::Failed), "{over:?}");
    let container = over[0].container.as_deref().unwrap();
    assert_eq!(engine.memory_ran_out(container).await.unwrap(), Some(true));
    assert_eq!(engine.memory_ran_out("another").await.unwrap(), None);
    let newest = all.iter().map(|task| task.id.clone()).max();
    world.keep_tasks(3);
    let all = tasks(&engine).await;
    assert_eq!(all.iter().filter(|task| task.state.is_over()).count(), 2, "the oldest go");
    assert_eq!(all.iter().map(|task| task.id.clone()).max(), newest);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_no_node_fits_waits_and_says_why() {
    let (world, engine) = world().await;
    world.set_memory("i-1", 1 << 30);
    let full = Resources { reserved_memory_bytes: 2 << 30, ..Resources::default() };
    let one = |resources, placement| ServiceSpec { mode: Mode::Replicated(1), resources, placement, ..spec(GOOD, 1) };
    engine.create_service(&one(full, BTreeMap::new())).await.unwrap();
    let waiting = tasks(&engine).await;
    assert_eq!(waiting[0].error, "no suitable node (insufficient resources on 1 node)");
    assert_eq!((waiting[0].state, waiting[0].node.as_ref()), (TaskState::Pending, None));
    world.set_memory("i-1", 3 << 30);
    later(10).await;
    assert_eq!(running(&engine).await, [1], "a node that fits is used at once");
    let ssd = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    change(&engine, &ServiceSpec { placement: ssd, ..one(Resources::default(), BTreeMap::new()).with_release(2) })
        .await;
    later(60).await;
    assert_eq!(update(&engine).await.unwrap().0, UpdateState::Updating, "nothing ends an update that waits for a node");
    let waits = tasks(&engine).await.into_iter().find(|task| task.release() == Some(2)).unwrap();
    assert_eq!(waits.error, "no suitable node (scheduling constraints not satisfied on 1 node)");
    let node = engine.list_nodes().await.unwrap().remove(0);
    let labels = std::collections::HashMap::from([("disk".to_owned(), "ssd".to_owned())]);
    assert!(engine.label_node(&node, &labels).await.unwrap());
    later(30).await;
    assert_eq!(running(&engine).await, [2]);
    let node = engine.list_nodes().await.unwrap().remove(0);
    assert!(engine.unlabel_node(&node, &["disk"]).await.unwrap());
    let node = engine.list_nodes().await.unwrap().remove(0);
    assert!(!engine.unlabel_node(&node, &["disk"]).await.unwrap() && node.spec.labels.is_empty());
}

#[tokio::test(start_paused = true)]
async fn tasks_are_spread_and_leave_nodes_that_are_drained_or_down() {
    let world = FakeSwarm::new(12);
    let engine = founded(&world, 1).await;
    world.push(GOOD, Behaviour::default());
    for (index, zone) in [(2, "a"), (3, "a"), (4, "b")] {
        joined(&world, index, Role::Worker, &engine).await;
        let nodes = engine.list_nodes().await.unwrap();
        let node = nodes.iter().find(|node| node.hostname == format!("i-{index}")).unwrap();
        let labels = std::collections::HashMap::from([
            (ZONE_LABEL.to_owned(), zone.to_owned()),
            ("futuswarm.group".to_owned(), "workers".to_owned()),
        ]);
        engine.label_node(node, &labels).await.unwrap();
    }
    let placement = BTreeMap::from([("futuswarm.group".to_owned(), "workers".to_owned())]);
    let wanted = ServiceSpec { spread_over: Some(ZONE_LABEL.to_owned()), placement, ..spec(GOOD, 1) };
    engine.create_service(&wanted).await.unwrap();
    later(5).await;
    let names: std::collections::HashMap<String, String> =
        engine.list_nodes().await.unwrap().into_iter().map(|node| (node.id, node.hostname)).collect();
    let hosts = async || {
        let all = tasks(&engine).await;
        let live = all.iter().filter(|task| task.is_wanted() && !task.state.is_over());
        let mut hosts: Vec<String> = live.map(|task| names[task.node.as_ref().unwrap()].clone()).collect();
        hosts.sort();
        hosts
    };
    let spread = hosts().await;
    assert!(spread.contains(&"i-4".to_owned()) && spread.len() == 2, "one in each zone: {spread:?}");
    let node = engine.list_nodes().await.unwrap().into_iter().find(|node| node.hostname == "i-4").unwrap();
    let drained = NodeSpec { availability: Availability::Drain, ..node.spec.clone() };
    engine.update_node(&node, &drained).await.unwrap();
    later(10).await;
    assert_eq!(hosts().await, ["i-2", "i-3"]);
    world.set_running("i-2", false);
    later(10).await;
    assert_eq!(hosts().await, ["i-2", "i-3"], "not down yet");
    later(20).await;
    assert_eq!(hosts().await, ["i-3", "i-3"]);
    let lost = tasks(&engine).await.into_iter().find(|task| !task.is_wanted() && task.state == TaskState::Running);
    assert!(lost.is_some(), "nobody knows what a node does that is down");
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_once_to_its_end_and_a_new_spec_is_another_run() {
    let (world, engine) = world().await;
    world.push(NEXT, FakeImage { job: Behaviour::exits(seconds(5), 0), ..FakeImage::default() });
    let job = ServiceSpec::new("hello", NEXT).with_release(1).into_job();
    let refused = ServiceSpec { update: Some(UpdatePolicy::default()), ..job.clone() };
    assert!(message(engine.create_service(&refused).await).contains("not supported for jobs"));
    engine.create_service(&job).await.unwrap();
    later(60).await;
    let all = tasks(&engine).await;
    assert_eq!((all.len(), all[0].state, all[0].exit_code), (1, TaskState::Complete, Some(0)));
    world.push(GOOD, FakeImage { job: Behaviour::exits(seconds(5), 4), ..FakeImage::default() });
    change(&engine, &ServiceSpec { image: GOOD.to_owned(), ..job.clone() }.with_release(2)).await;
    later(60).await;
    let failed: Vec<Task> = tasks(&engine).await.into_iter().filter(|task| task.release() == Some(2)).collect();
    assert_eq!((failed.len(), failed[0].state, failed[0].exit_code), (1, TaskState::Failed, Some(4)));
    engine.remove_service("hello").await.unwrap();
    engine.remove_service("hello").await.unwrap();
    assert_eq!(tasks(&engine).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_probe_pulls_an_image_on_every_node_whatever_is_in_it() {
    let (world, engine) = world().await;
    joined(&world, 2, Role::Worker, &engine).await;
    world.push(NEXT, FakeImage { architecture: "arm64".to_owned(), ..FakeImage::default() });
    world.fail_pulls("i-2", Some("no space left on device"));
    let command = vec![crate::PlatformMount::health_probe().target().to_owned()];
    let job = ServiceSpec { command, ..ServiceSpec::new("hello", NEXT) }.into_job();
    engine.create_service(&ServiceSpec { mode: Mode::GlobalJob, ..job }).await.unwrap();
    later(10).await;
    let mut ends: Vec<(TaskState, String)> = tasks(&engine).await.into_iter().map(|it| (it.state, it.error)).collect();
    ends.sort();
    let full = "no space left on device".to_owned();
    assert_eq!(ends, [(TaskState::Complete, String::new()), (TaskState::Rejected, full)]);
    joined(&world, 3, Role::Worker, &engine).await;
    later(60).await;
    assert_eq!(tasks(&engine).await.len(), 2, "who comes later has no part in it");
}

#[tokio::test(start_paused = true)]
async fn what_a_check_answers_is_told_on_the_node_of_the_task() {
    let (world, engine) = world().await;
    world.push(NEXT, Behaviour { answer: "GET /: 503".to_owned(), ..Behaviour::never_healthy() });
    engine.create_service(&ServiceSpec { mode: Mode::Replicated(1), ..spec(NEXT, 1) }).await.unwrap();
    later(5).await;
    let container = tasks(&engine).await[0].container.clone().unwrap();
    let check = engine.last_check(&container).await.unwrap().unwrap();
    assert_eq!((check.healthy, check.answer.as_str()), (None, "GET /: 503"));
    later(100).await;
    assert_eq!(engine.last_check(&container).await.unwrap().unwrap().healthy, Some(false));
}

#[tokio::test(start_paused = true)]
async fn fewer_replicas_end_tasks_and_what_goes_has_its_grace() {
    let (_world, engine) = world().await;
    engine.create_service(&spec(GOOD, 1)).await.unwrap();
    later(10).await;
    change(&engine, &ServiceSpec { mode: Mode::Replicated(1), ..spec(GOOD, 1) }).await;
    assert_eq!(update(&engine).await, None, "another number replaces no task");
    later(5).await;
    assert_eq!(tasks(&engine).await.len(), 1);
    engine.remove_service("hello").await.unwrap();
    assert!(engine.list_tasks(None).await.unwrap().iter().any(|task| !task.state.is_over()), "it is being stopped");
    later(5).await;
    assert_eq!(engine.list_tasks(None).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_tasks_go_on_and_nothing_is_decided() {
    let world = FakeSwarm::new(13);
    let [first, ..] = three(&world).await;
    world.push(GOOD, Behaviour::default());
    first.create_service(&spec(GOOD, 1)).await.unwrap();
    world.set_running("i-2", false);
    world.set_running("i-3", false);
    later(60).await;
    assert!(message(first.list_tasks(None).await).contains("does not have a leader"));
    world.set_running("i-2", true);
    later(60).await;
    assert_eq!(running(&first).await, [1, 1]);
}
