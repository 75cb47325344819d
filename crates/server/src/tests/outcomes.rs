//! What comes of releases beside the usual: superseded, unchanged and kept all the same, given up, fenced off, and why a check said no.

use std::iter;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{FailureClass, Outcome, Progress, Release, keys};
use futuswarm_rpc::message::{Answer, App, Event, Request, Wait};
use futuswarm_swarm::fake::{Behaviour, FakeImage};
use futuswarm_swarm::{
    Availability, HealthCheck, NodeApi as _, NodeSpec, ServiceApi as _, SwarmApi as _, TaskApi as _,
};

use super::world::*;

const CHECKED: &str = "[health]\npath = \"/\"\n";

fn superseding(image: &str) -> Request {
    let Request::Deploy(mut request) = deploy("hello", image, Some(CHECKED)) else { unreachable!() };
    request.wait.supersede = true;
    Request::Deploy(request)
}

async fn release_of_service(world: &World) -> Option<u64> {
    world.engine.inspect_service("hello").await.unwrap().and_then(|service| service.release())
}

#[tokio::test(start_paused = true)]
async fn a_later_release_takes_the_place_of_one_on_its_way() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    world.image("hello", "2", Behaviour::never_healthy());
    world.image("hello", "3", good());
    world.image("hello", "4", Behaviour::exits(Duration::from_secs(1), 1));
    ask(&control, "jane", &deploy("hello", "hello:1", Some(CHECKED))).await.end().unwrap();
    for (image, outcome, runs) in [("hello:3", Outcome::Deployed, 3), ("hello:4", Outcome::RolledBack, 3)] {
        let stuck = tokio::spawn({
            let control = control.clone();
            async move { ask(&control, "jane", &deploy("hello", "hello:2", Some(CHECKED))).await }
        });
        seconds(15).await;
        let later = deployment(&ask(&control, "root", &superseding(image)).await);
        assert_eq!(later.outcome, Some(outcome), "{later:?}");
        let stuck = deployment(&stuck.await.unwrap());
        assert_eq!((stuck.outcome, stuck.failure), (Some(Outcome::Superseded), None));
        seconds(60).await;
        // The one that failed went back to what ran, and not to what was superseded.
        assert_eq!(release_of_service(&world).await, Some(runs));
    }
    let Answer::Releases(releases) =
        ask(&control, "jane", &Request::Releases { app: "hello".to_owned(), limit: 9 }).await.end().unwrap()
    else {
        panic!()
    };
    let outcomes: Vec<_> = releases.iter().rev().map(|row| row.outcome.unwrap()).collect();
    let superseded = Outcome::Superseded;
    assert_eq!(outcomes, [Outcome::Deployed, superseded, Outcome::Deployed, superseded, Outcome::RolledBack]);
    let audit = world.records(Faults::none()).audits(100).await.unwrap();
    let mut told: Vec<(&str, &str)> =
        audit.iter().rev().map(|line| (line.verb.as_str(), line.outcome.as_str())).collect();
    told.sort_unstable();
    let expected = ["deployed", "superseded", "deployed", "superseded", "rolled_back"];
    let expected: Vec<(String, &str)> =
        (1..).zip(expected).map(|(number, outcome)| (format!("release {number}"), outcome)).collect();
    assert_eq!(told, expected.iter().map(|(verb, outcome)| (verb.as_str(), *outcome)).collect::<Vec<_>>());
}

async fn shown(control: &std::sync::Arc<crate::Control<Memory>>) -> App {
    match ask(control, "jane", &Request::App { app: "hello".to_owned() }).await.end().unwrap() {
        Answer::App(app) => *app,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_service_shows_is_kept_all_the_same_and_can_be_undone() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let hook = "[release]\ncommand = [\"migrate\"]\n";
    for tag in ["1", "2"] {
        let digest = world.registry.push("hello", tag, "amd64");
        // What runs once fails: so it is seen whether the hook runs.
        let job = Behaviour::exits(Duration::from_secs(1), 9);
        world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), FakeImage { job, ..FakeImage::from(good()) });
    }
    ask(&control, "jane", &deploy("hello", "hello:1", Some(""))).await.end().unwrap();
    let same = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(""))).await);
    assert_eq!((same.outcome, same.release), (Some(Outcome::Unchanged), Some(2)));
    assert_eq!(
        shown(&control).await.row.release,
        Some(1),
        "what is the same in everything is not a step to go back to"
    );
    let kept = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(hook))).await);
    assert_eq!((kept.outcome, kept.release), (Some(Outcome::Unchanged), Some(3)));
    assert_eq!(world.engine.list_tasks(Some("hello")).await.unwrap().len(), 1, "nothing was replaced");
    let app = shown(&control).await;
    let settings = app.settings.unwrap();
    assert!(settings.release_hook.is_some(), "{settings:?}");
    assert_eq!(app.row.release, Some(3));
    // A deployment without a file keeps what the app has, so its hook runs, and fails.
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    assert_eq!(failed.failure.map(|failure| failure.class), Some(FailureClass::ReleaseHook));
    assert_eq!(shown(&control).await.row.release, Some(3));
    // What undoes it is a rollback, as of any other.
    let rollback = Request::Rollback { app: "hello".to_owned(), to: None, wait: Wait::default() };
    let back = deployment(&ask(&control, "jane", &rollback).await);
    assert_eq!(back.outcome, Some(Outcome::Unchanged));
    let app = shown(&control).await;
    assert_eq!((app.row.release, app.settings.unwrap().release_hook), (Some(5), None));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_looked_at_is_given_up_and_lets_the_app_go() {
    for checked in [false, true] {
        let world = World::new().await;
        let control = world.manager("i-1");
        world.image("hello", "1", good());
        world.image("hello", "2", Behaviour::never_healthy());
        ask(&control, "jane", &deploy("hello", "hello:1", Some(CHECKED))).await.end().unwrap();
        let asked = tokio::spawn({
            let control = control.clone();
            async move { ask(&control, "jane", &deploy("hello", "hello:2", Some(CHECKED))).await }
        });
        let records = world.records(Faults::none());
        let progress = async || {
            let app = records.app("hello").await.unwrap().unwrap();
            app.deploying.map(|deploying| deploying.release.progress)
        };
        if checked {
            seconds(20).await;
            assert!(matches!(progress().await, Some(Progress::Updating { .. })));
        }
        world.swarm.set_running("i-1", false);
        // A little longer than a release of such an app may take.
        seconds(960).await;
        match checked {
            // It was never begun, so there is nothing to put back.
            false => assert!(matches!(progress().await, Some(Progress::Ended { outcome: Outcome::TimedOut, .. }))),
            true => {
                assert!(matches!(progress().await, Some(Progress::GoingBack { to: Some(1), .. })));
                seconds(400).await;
                assert!(matches!(progress().await, Some(Progress::Ended { outcome: Outcome::TimedOut, .. })));
            }
        }
        world.swarm.set_running("i-1", true);
        let ended = deployment(&asked.await.unwrap());
        let failure = ended.failure.unwrap();
        assert_eq!((ended.outcome, failure.class), (Some(Outcome::TimedOut), FailureClass::Late), "{failure:?}");
        assert!(failure.reason.contains("connection refused"), "{failure:?}");
        // The Swarm itself goes back once it is there again.
        seconds(120).await;
        let next = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(CHECKED))).await);
        assert!(next.outcome.is_some_and(Outcome::is_good), "the app is free for what mends it: {next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_has_the_time_that_the_release_before_may_take_to_start() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    world.image("hello", "2", Behaviour::never_healthy());
    let slow = "[health]\npath = \"/\"\nstart = \"25m\"\n";
    ask(&control, "jane", &deploy("hello", "hello:1", Some(slow))).await.end().unwrap();
    let asked = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:2", Some(CHECKED))).await }
    });
    seconds(20).await;
    // So that it is still on its way back when it is looked at.
    world.swarm.set_running("i-1", false);
    seconds(960).await;
    let app = world.records(Faults::none()).app("hello").await.unwrap().unwrap();
    let release = app.deploying.unwrap().release;
    let Progress::GoingBack { to: Some(1), until, .. } = release.progress else { panic!("not on its way back") };
    assert!(until >= release.deadline + (300 + 1500 + 10) * 1000, "{release:?}");
    asked.abort();
}

/// A driver one of whose calls is slow sleeps through its lease, the end of its release, and the beginning of the next one, whose epoch
/// is the same as its own. `false` when it made fewer calls.
async fn wakes_up_late(calls: usize) -> bool {
    let world = World::new().await;
    let survivor = world.manager("i-9");
    world.image("hello", "1", good());
    world.image("hello", "2", good());
    world.image("hello", "3", Behaviour::healthy_after(Duration::from_secs(60)));
    ask(&survivor, "jane", &deploy("hello", "hello:1", Some(CHECKED))).await.end().unwrap();
    let slow = Fault::Delay(Duration::from_secs(170), Duration::ZERO);
    let faults = Faults::script(iter::repeat_n(Fault::None, calls).chain([slow]));
    let sleeper = world.control("i-1", faults.clone());
    let asked = tokio::spawn(async move { ask(&sleeper, "jane", &deploy("hello", "hello:2", Some(CHECKED))).await });
    seconds(150).await;
    let records = world.records(Faults::none());
    let latest = records.app("hello").await.unwrap().unwrap().latest;
    let third = deployment(&ask(&survivor, "jane", &deploy("hello", "hello:3", Some(CHECKED))).await);
    assert_eq!(third.outcome, Some(Outcome::Deployed), "call {calls}: {third:?}");
    seconds(600).await;
    let waits = (0..=calls).any(|_| faults.draw() == slow);
    asked.abort();
    let app = records.app("hello").await.unwrap().unwrap();
    assert_eq!(app.deploying, None, "call {calls}");
    let third = records.release("hello", latest + 1).await.unwrap().unwrap();
    assert_eq!((third.image.as_str(), third.number), ("hello:3", latest + 1), "call {calls}");
    assert!(matches!(third.progress, Progress::Ended { outcome: Outcome::Deployed, .. }), "call {calls}: {third:?}");
    for number in 1..=app.latest {
        let release = records.release("hello", number).await.unwrap().unwrap();
        assert!(matches!(release.progress, Progress::Ended { .. }), "call {calls}: {release:?}");
    }
    let services: Vec<String> =
        world.engine.list_services().await.unwrap().into_iter().map(|service| service.spec.name).collect();
    assert_eq!(services, ["hello"], "call {calls}: no orphan is left");
    // Unless the slow one only then made its own release, the third is what runs.
    if app.latest == latest + 1 {
        assert_eq!(
            (app.release, release_of_service(&world).await),
            (Some(latest + 1), Some(latest + 1)),
            "call {calls}"
        );
    }
    !waits
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_wakes_up_after_its_release_touches_nothing_of_the_next() {
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(5);
    let mut calls = 1;
    while wakes_up_late(calls).await {
        calls += step;
        assert!(calls < 3000, "it never gets to its end");
    }
    assert!(calls > 20, "it makes {calls} calls only");
}

#[tokio::test(start_paused = true)]
async fn why_a_check_said_no_is_told_whichever_node_the_task_is_on() {
    let file = "replicas = 3\n[health]\npath = \"/health\"\ninterval = 1\ntimeout = 1\nretries = 2\nstart = 1\n";
    for (answer, class) in [
        ("GET http://10.0.3.7:8000/health: answered 503", FailureClass::Unhealthy),
        ("GET http://10.0.3.7:8000/health: connection refused: nothing listens there", FailureClass::Port),
    ] {
        let world = World::new().await;
        let control = world.manager("i-1");
        world.image("hello", "1", Behaviour::never_healthy().with_log(["started"]).with_answer(answer));
        let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await);
        let nodes: std::collections::BTreeSet<_> =
            world.engine.list_tasks(None).await.unwrap().into_iter().filter_map(|task| task.node).collect();
        let failure = failed.failure.unwrap();
        assert_eq!(failure.class, class, "{failure:?}");
        assert!(failure.reason.contains(answer), "{failure:?}, nodes {nodes:?}");
        assert_eq!(failure.log, ["started"], "lines of the program only");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_check_is_answered_is_told_when_the_time_is_over_before_it_gives_up() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let file = "[health]\npath = \"/health\"\ninterval = 600\nretries = 10\nstart = 1\n";
    world.image("hello", "1", Behaviour::never_healthy().with_answer("GET http://10.0.3.7:8000/health: answered 500"));
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await);
    let failure = failed.failure.unwrap();
    assert_eq!((failed.outcome, failure.class), (Some(Outcome::TimedOut), FailureClass::Unhealthy), "{failure:?}");
    assert!(failure.reason.contains("not done after 911 s") && failure.reason.contains("answered 500"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_whose_file_says_nothing_of_its_health_is_asked_at_its_port() {
    const ELSEWHERE: &str = "connect 10.0.3.7:8000: connection refused: nothing listens there; it listens at port 3000";
    let (world, control) = World::with_hello().await;
    world.image("hello", "2", Behaviour::healthy_after(Duration::from_secs(40)));
    world.image("hello", "3", Behaviour::never_healthy().with_answer(ELSEWHERE));
    let deploys = |image: &'static str| {
        let control = control.clone();
        tokio::spawn(async move { deployment(&ask(&control, "jane", &deploy("hello", image, None)).await) })
    };
    let slow = deploys("hello:2");
    seconds(30).await;
    assert_eq!(world.running().await, [Some(1)], "the new one accepts no connections yet");
    assert_eq!(slow.await.unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(world.running().await, [Some(2)]);
    // What it is answered while it starts is remembered: the log may not be had when it has ended.
    for hangs in [false, true] {
        let wrong = deploys("hello:3");
        seconds(40).await;
        for node in ["i-1", "i-2", "i-3"] {
            world.swarm.hang_logs(node, hangs);
        }
        let failed = wrong.await.unwrap();
        let failure = failed.failure.unwrap();
        assert_eq!((failed.outcome, failure.class), (Some(Outcome::RolledBack), FailureClass::Port), "{failure:?}");
        assert!(failure.reason.ends_with(ELSEWHERE) && failure.remedy.contains("`port = 3000`"), "{failure:?}");
        seconds(60).await;
        assert_eq!(world.running().await, [Some(2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_with_a_check_of_its_own_is_asked_by_that_unless_the_file_says_otherwise() {
    let (world, control) = World::with_hello().await;
    let push = |tag: &str, runs: &str| {
        let config = format!(r#"{{"os":"linux","architecture":"amd64","config":{runs}}}"#);
        let digest = world.registry.push_config("hello", tag, &config, &[]);
        world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), good());
        digest
    };
    let checked = push("2", r#"{"Healthcheck":{"Test":["CMD","/app","health"]}}"#);
    push("3", r#"{"Healthcheck":{"Test":["NONE"]}}"#);
    let is_its_own = async || {
        let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
        matches!(service.spec.health, HealthCheck::Image)
    };
    let port = Some("[health]\nport = true\n");
    for (image, file, expected) in
        [("hello:2", None, true), ("hello:3", None, false), ("hello:2", port, false), ("hello:2", Some(""), true)]
    {
        let deployed = deployment(&ask(&control, "jane", &deploy("hello", image, file)).await);
        assert_eq!((deployed.outcome, is_its_own().await), (Some(Outcome::Deployed), expected), "{image} {file:?}");
    }
    // As a release of before this was asked: only its digest is known, and its tag names another image by now.
    let records = world.records(Faults::none());
    let number = records.app("hello").await.unwrap().unwrap().release.unwrap();
    let release = records.release("hello", number).await.unwrap().unwrap();
    assert_eq!(release.has_health_check, Some(true));
    let before = Release { has_health_check: None, ..release };
    records.store().put(&keys::release("hello", number), &before).await.unwrap();
    push("2", "{}");
    let Request::Deploy(mut request) = deploy("hello", "hello:2", Some("replicas = 2\n")) else { panic!() };
    request.image = None;
    let deployed = deployment(&ask(&control, "jane", &Request::Deploy(request)).await);
    assert_eq!((deployed.outcome, is_its_own().await), (Some(Outcome::Deployed), true));
    let release = records.release("hello", number + 1).await.unwrap().unwrap();
    assert_eq!((release.digest, release.has_health_check), (Some(checked), Some(true)));
}

#[tokio::test(start_paused = true)]
async fn an_app_that_starts_slowly_has_the_time_that_its_file_gives_it() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", Behaviour::healthy_after(Duration::from_secs(1200)));
    let file = "[health]\npath = \"/\"\nstart = \"25m\"\n";
    let heard = ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await;
    let deployed = deployment(&heard);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed), "{deployed:?}");
    assert!(world.elapsed() >= Duration::from_secs(1200));
    let limit = Some((900 + 1500 + 10) * 1000);
    let is_told = |event: &Event| matches!(event, Event::Progress { limit: told, .. } if *told == limit);
    assert!(heard.events.iter().any(is_told), "who waits is told how long it may take");
}

#[tokio::test(start_paused = true)]
async fn what_no_node_can_run_fails_at_once_and_says_why() {
    let (world, control) = World::with_hello().await;
    let failed = async |file: &str, words: &str| {
        let began = world.elapsed();
        let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await);
        let failure = failed.failure.unwrap();
        assert_eq!((failed.outcome, failure.class), (Some(Outcome::Failed), FailureClass::NoNode), "{failure:?}");
        assert!(failure.reason.contains(words), "{failure:?}");
        assert!(world.elapsed() < began + Duration::from_secs(30), "{failure:?}");
    };
    let each =
        "a task reserves 204800 MiB of memory, and nodes that may run it have i-1 4096 MiB, i-2 4096 MiB, i-3 4096 MiB";
    failed("memory = \"200 GiB\"\n", each).await;
    failed("[placement]\ndisk = \"ssd\"\n", "no node has the label disk=ssd").await;
    assert_eq!(release_of_service(&world).await, Some(1), "what runs was not touched");
    for node in world.engine.list_nodes().await.unwrap() {
        let drained = NodeSpec { availability: Availability::Drain, ..node.spec.clone() };
        world.engine.update_node(&node, &drained).await.unwrap();
    }
    failed("replicas = 2\n", "take none now: i-1 is drained, i-2 is drained, i-3 is drained").await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_node_for_five_minutes_fails_and_says_what_is_free() {
    let (world, control) = World::with_hello().await;
    let began = world.elapsed();
    let file = "replicas = 4\nmemory = \"3 GiB\"\n";
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await);
    let failure = failed.failure.unwrap();
    assert_eq!((failed.outcome, failure.class), (Some(Outcome::RolledBack), FailureClass::NoNode), "{failure:?}");
    for words in ["no node can run a task: no suitable node (insufficient resources on", "4096 MiB (1024 MiB free)"] {
        assert!(failure.reason.contains(words), "{words}: {failure:?}");
    }
    assert!(world.elapsed() < began + Duration::from_secs(360), "{failure:?}");
    seconds(60).await;
    assert_eq!(world.running().await, [Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_release_hook_that_no_node_takes_says_what_it_waits_for() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("big", "1", good());
    world.image("hello", "1", good());
    let fills = deploy("big", "big:1", Some("replicas = 3\nmemory = \"3 GiB\"\n"));
    assert_eq!(deployment(&ask(&control, "joe", &fills).await).outcome, Some(Outcome::Deployed));
    let file = "memory = \"2 GiB\"\n[release]\ncommand = [\"migrate\"]\n";
    let heard = ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await;
    let failed = deployment(&heard);
    let failure = failed.failure.unwrap();
    assert_eq!((failed.outcome, failure.class), (Some(Outcome::Failed), FailureClass::NoNode), "{failure:?}");
    let words =
        "no node can run the release hook: no suitable node (insufficient resources on 3 nodes); it reserves 2048 MiB";
    assert!(failure.reason.starts_with(words) && failure.reason.contains("(1024 MiB free)"), "{failure:?}");
    let waits = |event: &Event| matches!(event, Event::Progress { text, .. } if text.contains("hook waits for a node"));
    assert!(heard.events.iter().any(waits), "{:?}", heard.events);
}

#[tokio::test(start_paused = true)]
async fn what_a_release_hook_writes_is_shown_when_it_succeeds_and_when_it_is_late() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let second = Duration::from_secs(1);
    for (tag, job) in [("1", Behaviour::exits(second, 0)), ("2", Behaviour::healthy_after(second))] {
        let digest = world.registry.push("hello", tag, "amd64");
        let job = job.with_log(["one table made"]);
        world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), FakeImage { job, ..FakeImage::from(good()) });
    }
    let file = "[release]\ncommand = [\"migrate\"]\ntimeout = 20\n";
    let heard = ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await;
    assert_eq!(deployment(&heard).outcome, Some(Outcome::Deployed));
    let note = Event::Note { text: "release hook: one table made".to_owned() };
    assert_eq!(heard.events.iter().filter(|event| **event == note).count(), 1, "{:?}", heard.events);
    let late = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", Some(file))).await);
    let failure = late.failure.unwrap();
    assert_eq!((late.outcome, failure.class), (Some(Outcome::Failed), FailureClass::ReleaseHook), "{failure:?}");
    assert!(failure.reason.contains("did not end within 20 s"), "{failure:?}");
    assert_eq!(failure.log, ["one table made"]);
}

/// As when a manager dies in the middle of a deployment, and another instance takes its place.
#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_while_the_image_is_pulled_hold_nobody_up() {
    let (world, control) = World::with_hello().await;
    let digest = world.registry.push("hello", "2", "amd64");
    let slow = FakeImage { pull: Duration::from_secs(20), ..FakeImage::from(good()) };
    world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), slow);
    let deploying =
        tokio::spawn(async move { deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await) });
    seconds(10).await;
    let tokens = world.engine.join_tokens().await.unwrap();
    let late = world.swarm.machine("i-4", "10.0.0.4");
    late.join_swarm("10.0.0.4", vec!["10.0.0.1:2377".to_owned()], &tokens.worker).await.unwrap();
    let nodes = world.engine.list_nodes().await.unwrap();
    let gone = nodes.iter().find(|node| node.hostname == "i-3").unwrap();
    world.engine.remove_node(&gone.id, true).await.unwrap();
    let deployed = deploying.await.unwrap();
    assert_eq!(deployed.outcome, Some(Outcome::Deployed), "{deployed:?}");
    assert!(world.elapsed() < Duration::from_secs(180), "{:?}", world.elapsed());
}
