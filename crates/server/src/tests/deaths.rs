//! A manager dies at every call of a deployment, before it was made or right after, and another one carries the release on.

use std::iter;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{Outcome, Progress};
use futuswarm_swarm::ServiceApi as _;
use futuswarm_swarm::fake::Behaviour;

use super::edges::Edges;
use super::world::*;

/// Longer than any test.
pub(super) const FOR_EVER: Duration = Duration::from_secs(10_000_000);
const FILE: &str = "replicas = 2\nmemory = \"64 MiB\"\n";
/// Of the second release. Edges have to be told of another port, so that it waits for them, too.
const OTHER_PORT: &str = "replicas = 2\nmemory = \"64 MiB\"\nport = 8001\n";

/// `calls` good calls, and then none is ever answered.
pub(super) fn dies_after(calls: usize, last: Fault) -> Faults {
    let rest = iter::once(last).chain(iter::repeat_n(Fault::Hang(FOR_EVER), 100_000));
    Faults::script(iter::repeat_n(Fault::None, calls).chain(rest))
}

/// Deploys with a manager that dies after so many calls, while another one lives. `false` when the release needed fewer.
async fn dies(calls: usize, last: Fault, second: Behaviour, expected: Outcome) -> bool {
    let world = World::new().await;
    let survivor = world.manager("i-9");
    let _edges = Edges::of(&world, 5, 8);
    // There are routes before there is any app: those of the mainpage.
    seconds(10).await;
    world.image("hello", "1", good());
    world.image("hello", "2", second);
    let first = deployment(&ask(&survivor, "jane", &deploy("hello", "hello:1", Some(FILE))).await);
    assert_eq!(first.outcome, Some(Outcome::Deployed));

    let mortal = world.control("i-1", dies_after(calls, last));
    let asked = tokio::spawn(async move { ask(&mortal, "jane", &deploy("hello", "hello:2", Some(OTHER_PORT))).await });
    // Longer than a lease, the pause between two searches, and the release itself.
    seconds(600).await;
    // Who is dead tells nobody how it ended.
    let died = match asked.is_finished() {
        true => asked.await.unwrap().end().is_err(),
        false => {
            asked.abort();
            true
        }
    };
    let records = world.records(Faults::none());
    let app = records.app("hello").await.unwrap().unwrap();
    assert_eq!(app.deploying, None, "after {calls} calls a release is still on its way");
    let releases = records.releases("hello", 10).await.unwrap();
    let ended: Vec<(u64, Outcome)> = releases
        .iter()
        .map(|release| match &release.progress {
            Progress::Ended { outcome, .. } => (release.number, *outcome),
            other => panic!("{other:?}"),
        })
        .collect();
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    if app.latest == 1 {
        assert_eq!(ended, [(1, Outcome::Deployed)], "it died before there was a release");
        return died;
    }
    assert_eq!(ended, [(2, expected), (1, Outcome::Deployed)], "after {calls} calls");
    let audit = records.audits(100).await.unwrap();
    let told: Vec<&str> = audit
        .iter()
        .filter(|line| line.verb == "release 2" && line.outcome != "resumed")
        .map(|line| line.outcome.as_str())
        .collect();
    assert_eq!(told, [expected.to_string()], "after {calls} calls: the audit says once what came of it");
    let runs = if expected == Outcome::Deployed { 2 } else { 1 };
    assert_eq!((app.release, service.release()), (Some(runs), Some(runs)), "after {calls} calls");
    assert_eq!(world.running().await, [Some(runs); 2], "after {calls} calls");
    let services: Vec<String> =
        world.engine.list_services().await.unwrap().into_iter().map(|service| service.spec.name).collect();
    assert_eq!(services, ["hello"], "after {calls} calls: no orphan is left");
    died
}

async fn at_every_call(second: impl Fn() -> Behaviour, expected: Outcome) {
    // All of them take a minute; `cargo xtask test --long` does, and `FUTUSWARM_KILL_STEP=1`.
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(5);
    for (first, last) in [(0, Fault::Hang(FOR_EVER)), (2, Fault::Stall(FOR_EVER))] {
        let mut calls = first;
        while dies(calls, last, second(), expected).await {
            calls += step;
            assert!(calls < 3000, "it never gets to its end");
        }
        assert!(calls > 20, "it was killed at {calls} calls only");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_manager_dies_anywhere_is_deployed_once() {
    at_every_call(good, Outcome::Deployed).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_put_back_wherever_its_manager_dies() {
    at_every_call(|| Behaviour::exits(Duration::from_secs(1), 1), Outcome::RolledBack).await;
}

#[tokio::test(start_paused = true)]
async fn lost_and_failed_answers_end_a_release_once() {
    let rates = futuswarm_faults::Rates { fail: 60, lose: 60, repeat: 30, delay_millis: 400, ..Default::default() };
    let mut refused = 0;
    for seed in 0..30 {
        let world = World::new().await;
        world.image("hello", "1", good());
        let control = world.control("i-1", Faults::seeded(seed, rates));
        tokio::spawn(crate::rollout::search(control.clone()));
        let heard = ask(&control, "jane", &deploy("hello", "hello:1", Some(FILE))).await;
        seconds(900).await;
        let records = world.records(Faults::none());
        let Some(app) = records.app("hello").await.unwrap() else {
            heard.end().unwrap_err();
            refused += 1;
            continue;
        };
        assert_eq!(app.deploying, None, "seed {seed}");
        for number in 1..=app.latest {
            let release = records.release("hello", number).await.unwrap().unwrap();
            assert!(matches!(release.progress, Progress::Ended { outcome: Outcome::Deployed, .. }), "seed {seed}");
        }
    }
    assert!(refused < 10, "of 30 requests {refused} did nothing");
}
