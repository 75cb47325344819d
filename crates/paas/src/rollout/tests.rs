//! Releases over a Swarm that is played: every way to fail, a controller that is killed at every step, and random histories.

use std::collections::BTreeMap;

use futuswarm_model::{FailureClass, Health, Hook, Outcome, Progress, Release, Timing};

use super::*;
use crate::settings::defaults;

mod announcing;
mod diagnosis;
mod world;

use world::{Behaviour, World};

const START: u64 = 1_000_000;

fn release(number: u64, behaviour: Behaviour) -> Release {
    let mut settings = defaults();
    settings.replicas = 3;
    settings.health =
        Health::Http { path: "/".to_owned(), timing: Timing { interval: 5, timeout: 3, retries: 3, start: 30 } };
    settings.release_hook = Some(Hook { command: vec!["migrate".to_owned()], timeout: 20 });
    if behaviour == Behaviour::GoodWithoutCheck {
        settings.health = Health::Runs { seconds: 5 };
    }
    Release {
        app: "hello".to_owned(),
        number,
        image: "hello:1".to_owned(),
        digest: None,
        has_health_check: None,
        settings,
        config: None,
        secrets: None,
        of: None,
        by: "jane".to_owned(),
        created_at: START,
        deadline: START + 300_000,
        restart: false,
        cancelled: false,
        superseded: false,
        progress: Progress::Preparing,
    }
}

/// The milliseconds that a release has: so many more where it ends by waiting for a node.
fn time(behaviour: Behaviour) -> u64 {
    let waits = matches!(behaviour, Behaviour::NoNodeFits | Behaviour::HookFitsNowhere);
    if waits { 300_000 + UNPLACED } else { 300_000 }
}

/// How a controller ends before its release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Before it does the step.
    Before,
    /// After it has done the step, and before it has seen what came of it.
    After,
}

/// Carries a release on until it has ended; a controller dies at step number `at`. Returns the steps that were done.
fn carry_on(world: &mut World, release: &mut Release, death: Option<(usize, Death)>) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..5_000 {
        if matches!(release.progress, Progress::Ended { .. }) {
            return steps;
        }
        let step = next(release, &world.observe(release));
        if matches!(step, Step::Wait { .. }) {
            world.tick();
            continue;
        }
        let dies = death.filter(|(at, _)| *at == steps.len()).map(|(_, death)| death);
        steps.push(step.clone());
        if dies != Some(Death::Before) {
            world.act(release, &step);
        }
        if dies.is_some() {
            // Somebody else takes the lease once it has run out.
            (0..10).for_each(|_| world.tick());
        }
    }
    panic!("it never ends: {steps:?} {:?} {world:?}", release.progress);
}

fn outcome(release: &Release) -> (Outcome, String) {
    match &release.progress {
        Progress::Ended { outcome, failure, .. } => {
            let words = |failure: &Failure| format!("{:?}: {}", failure.class, failure.reason);
            (*outcome, failure.as_ref().map(words).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

/// A world in which release 1 runs; or an empty one.
fn world(first: bool, behaviour: Behaviour) -> World {
    let mut world = World::new(Behaviour::Good);
    if !first {
        let mut one = release(1, Behaviour::Good);
        carry_on(&mut world, &mut one, None);
        assert_eq!(outcome(&one), (Outcome::Deployed, String::new()));
    }
    world.behaviour = behaviour;
    world
}

const CASES: [(Behaviour, Outcome, Outcome, &str); 17] = [
    (Behaviour::Good, Outcome::Deployed, Outcome::Deployed, ""),
    (Behaviour::GoodWithoutCheck, Outcome::Deployed, Outcome::Deployed, ""),
    (
        Behaviour::NeverServed,
        Outcome::Deployed,
        Outcome::Deployed,
        "Late: its tasks are healthy, but the edges of a do not serve it yet (60 s were waited)",
    ),
    (Behaviour::Exits, Outcome::RolledBack, Outcome::Failed, "Exits: the program ended with the code 3"),
    (
        Behaviour::ExitsWithZero,
        Outcome::RolledBack,
        Outcome::Failed,
        "Exits: the program ended with the code 0, and an app has to go on",
    ),
    (
        Behaviour::OutOfMemory,
        Outcome::RolledBack,
        Outcome::Failed,
        "OutOfMemory: the program used more than the 512 MiB that it may",
    ),
    (
        Behaviour::Rejected,
        Outcome::RolledBack,
        Outcome::Failed,
        "Rejected: the engine refuses to start a task: no such file",
    ),
    (
        Behaviour::NeverHealthy,
        Outcome::TimedOut,
        Outcome::TimedOut,
        "Unhealthy: it was not done after 300 s: the program runs, and its health check says: 500",
    ),
    (
        Behaviour::OtherPort,
        Outcome::TimedOut,
        Outcome::TimedOut,
        "Port: it was not done after 300 s: nothing listens on the port 8000: connection refused",
    ),
    (
        Behaviour::NoNodeFits,
        Outcome::RolledBack,
        Outcome::Failed,
        "NoNode: no node can run a task: insufficient memory; it reserves 512 MiB of memory, and nodes have a 4096 MiB (256 MiB free), b 4096 MiB (256 MiB free)",
    ),
    (
        Behaviour::TooLarge,
        Outcome::Failed,
        Outcome::Failed,
        "NoNode: no node is large enough: a task reserves 512 MiB of memory, and nodes that may run it have a 256 MiB (16 MiB free), b 256 MiB (16 MiB free)",
    ),
    (Behaviour::HookFails, Outcome::Failed, Outcome::Failed, "ReleaseHook: the release hook ended with the code 1"),
    (Behaviour::HookHangs, Outcome::Failed, Outcome::Failed, "ReleaseHook: the release hook did not end within 20 s"),
    (
        Behaviour::HookFitsNowhere,
        Outcome::Failed,
        Outcome::Failed,
        "NoNode: no node can run the release hook: no suitable node; it reserves 512 MiB of memory, and nodes have a 4096 MiB (256 MiB free), b 4096 MiB (256 MiB free)",
    ),
    (Behaviour::ImageMissing, Outcome::Failed, Outcome::Failed, "ImageMissing: there is no image hello:1"),
    (
        Behaviour::OtherPlatform,
        Outcome::Failed,
        Outcome::Failed,
        "ImagePlatform: the image hello:1 is for linux/arm64, and the nodes are linux/amd64",
    ),
    (
        Behaviour::PullFails,
        Outcome::Failed,
        Outcome::Failed,
        "DiskFull: the node a cannot pull the image, because its disk is full: no space left on device",
    ),
];

/// What must hold when a release has ended, whatever it was.
fn assert_ended(world: &World, release: &Release, first: bool, behaviour: Behaviour) {
    let (outcome, reason) = outcome(release);
    let runs = world.running();
    let story = format!("{behaviour:?}, first: {first}: {outcome} {reason}, runs {runs:?}");
    match outcome.is_good() {
        true => assert!(runs == [release.number; 3], "{story}"),
        false if first => assert!(runs.is_empty() && world.service.is_none(), "no orphan: {story}"),
        false => assert!(runs == [1; 3], "{story}"),
    }
    assert_eq!(world.records, if first { 1 } else { 2 }, "each release ends once: {story}");
}

#[test]
fn every_way_to_fail_has_its_outcome_and_its_reason() {
    for (behaviour, later, first, expected) in CASES {
        for is_first in [false, true] {
            let mut world = world(is_first, behaviour);
            let mut release = release(2, behaviour);
            release.created_at = world.now;
            release.deadline = world.now + time(behaviour);
            carry_on(&mut world, &mut release, None);
            let wanted = if is_first { first } else { later };
            assert_eq!(outcome(&release), (wanted, expected.to_owned()), "{behaviour:?}, first: {is_first}");
            assert_ended(&world, &release, is_first, behaviour);
        }
    }
}

#[test]
fn a_controller_that_dies_at_any_step_changes_nothing_of_what_comes_of_it() {
    for (behaviour, later, first, _) in CASES {
        for is_first in [false, true] {
            let mut at = 0;
            loop {
                let mut deaths = 0;
                for death in [Death::Before, Death::After] {
                    let mut world = world(is_first, behaviour);
                    let mut release = release(2, behaviour);
                    release.created_at = world.now;
                    release.deadline = world.now + time(behaviour);
                    let steps = carry_on(&mut world, &mut release, Some((at, death)));
                    deaths += usize::from(steps.len() > at);
                    let wanted = if is_first { first } else { later };
                    assert_eq!(
                        outcome(&release).0,
                        wanted,
                        "{behaviour:?}, first: {is_first}, {death:?} step {at}: {steps:?}"
                    );
                    assert_ended(&world, &release, is_first, behaviour);
                }
                if deaths == 0 {
                    break;
                }
                at += 1;
            }
            assert!(at >= 2, "{behaviour:?}: only {at} steps");
        }
    }
}

#[test]
fn what_is_already_so_is_unchanged_and_a_cancelled_or_superseded_release_ends() {
    let mut world = world(false, Behaviour::Good);
    world.specs.insert(2, world.specs[&1]);
    let mut same = release(2, Behaviour::Good);
    same.deadline = world.now + 300_000;
    let steps = carry_on(&mut world, &mut same, None);
    assert_eq!(outcome(&same).0, Outcome::Unchanged, "{steps:?}");
    assert_eq!(world.running(), [1; 3]);
    assert!(!steps.contains(&Step::RunHook), "a hook of nothing: {steps:?}");
    for after in 0..12 {
        for cancelled in [true, false] {
            let mut world = super::tests::world(false, Behaviour::Good);
            let mut release = release(2, Behaviour::Good);
            release.deadline = world.now + 300_000;
            let mut steps = 0;
            while !matches!(release.progress, Progress::Ended { .. }) {
                if steps == after {
                    release.cancelled = cancelled;
                    release.superseded = !cancelled;
                }
                steps += 1;
                match next(&release, &world.observe(&release)) {
                    Step::Wait { .. } => world.tick(),
                    step => world.act(&mut release, &step),
                }
            }
            match (outcome(&release).0, cancelled) {
                // Also before a later release: it must not go back to one that was never healthy.
                (Outcome::Cancelled, true) | (Outcome::Superseded, false) => {
                    assert_eq!(world.running(), [1; 3], "after {after}");
                }
                (other, _) => assert!(after > 5 && other == Outcome::Deployed, "after {after}: {other}"),
            }
        }
    }
}

#[test]
fn random_histories_of_releases_end_with_what_they_say() {
    let behaviours: Vec<Behaviour> = CASES.iter().map(|(behaviour, ..)| *behaviour).collect();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(Behaviour::Good);
        let (mut good, mut story) = (None, Vec::new());
        for number in 1..=random.u64(2..8) {
            world.behaviour = behaviours[random.usize(..behaviours.len())];
            let mut release = release(number, world.behaviour);
            release.created_at = world.now;
            release.deadline = world.now + time(world.behaviour);
            let death =
                random.bool().then(|| (random.usize(..8), *random.choice(&[Death::Before, Death::After]).unwrap()));
            let steps = carry_on(&mut world, &mut release, death);
            let (outcome, reason) = outcome(&release);
            story.push(format!("{number} {:?} {death:?}: {outcome} {reason} {steps:?}", world.behaviour));
            if outcome.is_good() {
                good = Some(number);
            }
            let wanted: Vec<u64> = good.map(|number| vec![number; 3]).unwrap_or_default();
            assert_eq!(world.running(), wanted, "seed {seed}:\n{}", story.join("\n"));
        }
        assert_eq!(world.records, story.len(), "seed {seed}");
    }
}

#[test]
fn tasks_of_the_release_before_are_not_those_of_this_one() {
    let mut world = world(false, Behaviour::NeverHealthy);
    let mut release = release(2, Behaviour::NeverHealthy);
    release.deadline = world.now + 300_000;
    let before: BTreeMap<u64, usize> = [(1, 3)].into();
    for _ in 0..40 {
        match next(&release, &world.observe(&release)) {
            Step::Wait { .. } => world.tick(),
            Step::End { outcome, .. } => panic!("{outcome} while the tasks of release 1 are healthy: {before:?}"),
            step => world.act(&mut release, &step),
        }
    }
    assert!(matches!(release.progress, Progress::Updating { .. }));
}

#[test]
fn a_release_is_deployed_only_when_every_task_is_its_own_and_healthy_and_the_swarm_is_done() {
    let release = release(2, Behaviour::Good);
    let running = |of: u64, healthy, is_wanted| Task {
        release: Some(of),
        state: TaskState::Running { since: START, healthy, answer: String::new() },
        is_wanted,
        error: String::new(),
        log: Vec::new(),
    };
    let good = || running(2, Some(true), true);
    let service =
        |update, tasks| Service { version: 1, release: Some(2), is_as_wanted: true, has_image: false, update, tasks };
    let settled = |service: &Service| is_settled(&release, service, Some(2), START);
    assert!(settled(&service(Update::Idle, vec![good(), good(), good()])));
    let not = [
        service(Update::Updating, vec![good(), good(), good()]),
        service(Update::Idle, vec![good(), good()]),
        service(Update::Idle, vec![good(), good(), running(2, None, true)]),
        service(Update::Idle, vec![good(), good(), running(2, Some(false), true)]),
        service(Update::Idle, vec![good(), good(), running(1, Some(true), true)]),
        service(Update::Idle, vec![good(), good(), running(2, Some(true), false)]),
        // An old task that drains is still there.
        service(Update::Idle, vec![good(), good(), good(), running(1, Some(true), false)]),
        // More than there should be.
        service(Update::Idle, vec![good(), good(), good(), good()]),
    ];
    for service in not {
        assert!(!settled(&service), "{service:?}");
    }
}

#[test]
fn a_disk_without_room_is_told_from_an_image_that_is_not_there() {
    let said = "No such image: 127.0.0.1:5000/hello@sha256:1";
    let class = |reason: &str, room| failure::pull("a", reason, room).class;
    let room = |free: u64, image: u64| Some(Room { free: free << 20, image: image << 20 });
    assert_eq!(class(said, None), FailureClass::Pull);
    assert_eq!(class(said, room(5000, 100)), FailureClass::Pull);
    assert_eq!(class(said, room(0, 0)), FailureClass::Pull, "an image of unknown size");
    assert_eq!(class(said, room(199, 100)), FailureClass::DiskFull);
    assert_eq!(class("write /var/lib/docker/tmp/x: no space left on device", None), FailureClass::DiskFull);
    let full = failure::pull("a", said, room(150, 100));
    assert!(
        full.reason.contains("150 MiB are free, and it takes 100 MiB packed") && full.reason.contains(said),
        "{full:?}"
    );
    let task = failure::rejected("mkdir /var/lib/docker/overlay2/x: no space left on device", "a task");
    assert_eq!(task.class, FailureClass::DiskFull);
    assert_eq!(failure::rejected("exec: \"x\": not found", "a task").class, FailureClass::Rejected);
}

#[test]
fn an_image_that_was_deleted_since_its_digest_was_noted_fails_before_anything_is_pulled() {
    let mut world = world(false, Behaviour::Good);
    let mut release = release(2, Behaviour::Good);
    release.digest = Some("sha256:1".to_owned());
    let observed = Observation { image: Image::Missing, ..world.observe(&release) };
    let Step::End { outcome: Outcome::Failed, failure: Some(failure) } = next(&release, &observed) else { panic!() };
    assert!(failure.class == FailureClass::ImageMissing && failure.reason.contains("any more"), "{failure:?}");
}

#[test]
fn an_image_that_tasks_run_with_is_looked_for_and_not_pulled_again() {
    let redeployed = |same_image| {
        let mut world = world(false, Behaviour::Good);
        world.same_image = same_image;
        // As one whose config has changed: which image it is was noted with the release before.
        let mut release = Release { digest: Some("sha256:1".to_owned()), ..release(2, Behaviour::Good) };
        release.deadline = world.now + 300_000;
        let steps = carry_on(&mut world, &mut release, None);
        assert_eq!((outcome(&release).0, world.running()), (Outcome::Deployed, vec![2; 3]));
        let is_pull = |step: &Step| matches!(step, Step::Pull { .. });
        (steps.contains(&Step::FindImage), steps.iter().any(is_pull))
    };
    assert_eq!(redeployed(true), (true, false));
    assert_eq!(redeployed(false), (false, true), "another image");
    // One that was deleted since is on some nodes only.
    let mut world = world(false, Behaviour::ImageMissing);
    world.same_image = true;
    let mut gone = Release { digest: Some("sha256:1".to_owned()), ..release(2, Behaviour::ImageMissing) };
    gone.deadline = world.now + 300_000;
    carry_on(&mut world, &mut gone, None);
    assert_eq!((outcome(&gone).0, world.running()), (Outcome::Failed, vec![1; 3]));
    // Nothing runs with it: the image may be nowhere any more.
    let stopped = Service {
        has_image: true,
        version: 1,
        release: Some(1),
        is_as_wanted: false,
        update: Update::Idle,
        tasks: Vec::new(),
    };
    assert!(!runs_image(&stopped));
}

#[test]
fn a_task_that_was_ended_by_its_check_tells_what_the_check_was_answered() {
    let release = release(2, Behaviour::Good);
    let ended = |unhealthy: Option<&str>| Task {
        release: Some(2),
        state: TaskState::Ended { code: Some(143), out_of_memory: false, unhealthy: unhealthy.map(str::to_owned) },
        is_wanted: false,
        error: "task: non-zero exit (143): dockerexec: unhealthy container".to_owned(),
        log: vec!["started".to_owned()],
    };
    for (unhealthy, class, reason) in [
        (Some("answered 503"), "Unhealthy", "the program runs, and its health check says: answered 503"),
        (Some("connection refused: x"), "Port", "nothing listens on the port 8000: connection refused: x"),
        (Some(""), "Unhealthy", "the program runs, and its health check says no"),
        (None, "Exits", "the program ended with the code 143"),
    ] {
        let tasks = vec![ended(unhealthy)];
        let service =
            Service { version: 1, release: Some(2), is_as_wanted: true, has_image: false, update: Update::Idle, tasks };
        let failure = failure::of_tasks(&release, &service, &BTreeMap::new()).unwrap();
        assert_eq!((format!("{:?}", failure.class).as_str(), failure.reason.as_str()), (class, reason));
        assert_eq!(failure.log, ["started"]);
    }
}

#[test]
fn the_way_back_is_tried_as_long_as_it_is_given_and_no_longer() {
    let until = START + 60_000;
    let (to, outcome) = (Some(1), Outcome::TimedOut);
    let release =
        Release { progress: Progress::GoingBack { to, outcome, failure: None, until }, ..release(2, Behaviour::Good) };
    let step = |now, service: Option<(u64, Update)>| {
        let service = service.map(|(of, update)| Service {
            version: 7,
            release: Some(of),
            is_as_wanted: false,
            has_image: false,
            update,
            tasks: Vec::new(),
        });
        let (places, nodes, image, hook) = (BTreeMap::new(), BTreeMap::new(), Image::Unknown, HookRun::Absent);
        let edges = Edges::NotAsked;
        next(&release, &Observation { now, image, places, away_at: 0, nodes, hook, service, edges })
    };
    let (early, ended) = (until - 1, Step::End { outcome, failure: None });
    // Ours is put back, or is what is left when there is no time any more.
    assert_eq!(step(early, Some((2, Update::Paused))), Step::RollBack { to });
    assert_eq!(step(until, Some((2, Update::Paused))), ended);
    // The one before is waited for while its tasks are being replaced, and not for ever.
    for update in [Update::RollingBack, Update::Updating] {
        assert!(matches!(step(early, Some((1, update.clone()))), Step::Wait { .. }), "{update:?}");
        assert_eq!(step(until, Some((1, update))), ended);
    }
    assert_eq!(step(early, Some((1, Update::Idle))), ended);
    // What is somebody else's, or gone, is not ours to touch.
    assert_eq!(step(early, Some((3, Update::Updating))), ended);
    assert_eq!(step(early, None), ended);
}
