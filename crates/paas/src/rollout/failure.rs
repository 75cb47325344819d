//! Why a release failed: a class, what was observed, and one thing to do about it.

use std::collections::BTreeMap;

use futuswarm_model::{Failure, FailureClass as Class, Release};

use super::{HookRun, Observation, Place, Pull, Room, Service, Task, TaskState, places};

/// How the platform's probe says at which ports a program listens in the place of the app's, and that only the task itself reaches it
/// (`crates/probe/src/listen.rs`).
pub(super) const ELSEWHERE: &str = "it listens at port ";
pub(super) const ALONE: &str = "only, where nobody else reaches it";

fn with_log(failure: Failure, log: &[String]) -> Failure {
    Failure { log: log.to_vec(), ..failure }
}

pub(super) fn image_missing(image: &str) -> Failure {
    Failure::new(Class::ImageMissing, format!("there is no image {image}"), "push it with `futuswarm image:push`")
}

pub(super) fn image_gone(image: &str) -> Failure {
    let remedy = "push it again with `futuswarm image:push` and deploy it; `futuswarm image:gc` keeps the images of the latest releases only";
    Failure::new(
        Class::ImageMissing,
        format!("the image {image} of this release is not in the registry any more"),
        remedy,
    )
}

pub(super) fn image_platform(image: &str, has: &str) -> Failure {
    let remedy = "build it for linux/amd64, for example with `docker build --platform linux/amd64`";
    Failure::new(Class::ImagePlatform, format!("the image {image} is for {has}, and the nodes are linux/amd64"), remedy)
}

pub(super) fn pull(node: &str, reason: &str, room: Option<Room>) -> Failure {
    if let Some(full) = disk_full(&format!("the node {node} cannot pull the image"), reason, room) {
        return full;
    }
    let remedy = "push the image again; `futuswarm swarm:stats` shows how much room the node's disk has";
    Failure::new(Class::Pull, format!("the node {node} cannot pull the image: {reason}"), remedy)
}

/// Of a disk that has no room, if that is what it is. An image needs room for itself as it comes and as it is unpacked, which is more.
fn disk_full(what: &str, reason: &str, room: Option<Room>) -> Option<Failure> {
    let is_said = ["no space left on device", "disk quota exceeded"].iter().any(|words| reason.contains(words));
    let is_small = room.filter(|room| room.image > 0 && room.free < room.image.saturating_mul(2));
    let reason = match (is_said, is_small) {
        (false, None) => return None,
        (true, None) => format!("{what}, because its disk is full: {reason}"),
        (_, Some(Room { free, image })) => format!(
            "{what}, because its disk has no room for it: {} MiB are free, and it takes {} MiB packed and more unpacked ({reason})",
            free >> 20,
            image >> 20
        ),
    };
    let remedy = "deploy again when there is room (`futuswarm swarm:stats`): nodes remove images that nothing uses by themselves; otherwise make the image smaller, or have `disk_gib` raised in the cluster's specification";
    Some(Failure::new(Class::DiskFull, reason, remedy))
}

pub(super) fn hook_failed(code: i64, log: &[String]) -> Failure {
    let remedy = "fix what the release hook runs; nothing that ran before was changed";
    with_log(Failure::new(Class::ReleaseHook, format!("the release hook ended with the code {code}"), remedy), log)
}

pub(super) fn hook_late(seconds: u32, log: &[String]) -> Failure {
    let remedy = "give it more time with `timeout` under `[release]`; nothing that ran before was changed";
    with_log(Failure::new(Class::ReleaseHook, format!("the release hook did not end within {seconds} s"), remedy), log)
}

pub(super) fn rejected(reason: &str, what: &str) -> Failure {
    if let Some(full) = disk_full(&format!("the engine cannot start {what}"), reason, None) {
        return full;
    }
    let remedy = "the command may be missing in the image: see `command` in app.toml";
    Failure::new(Class::Rejected, format!("the engine refuses to start {what}: {reason}"), remedy)
}

pub(super) fn removed() -> Failure {
    Failure::new(Class::Interfered, "the app's service was removed meanwhile", "deploy again")
}

pub(super) fn taken() -> Failure {
    Failure::new(Class::Interfered, "the app's service was changed by somebody else meanwhile", "deploy again")
}

/// The Swarm has ended its part, and what it saw is gone or says nothing.
pub(super) fn unsaid(release: &Release, what: &str) -> Failure {
    let app = &release.app;
    let remedy = format!(
        "see what they wrote with `futuswarm logs {app} --previous`, or deploy again and follow them with `futuswarm logs {app} --follow`"
    );
    Failure::new(Class::Exits, format!("{what}, and no task says why"), remedy)
}

/// What the tasks of a release say of its failure; `None` when they say nothing.
pub(super) fn of_tasks(release: &Release, service: &Service, places: &BTreeMap<String, Place>) -> Option<Failure> {
    let ours: Vec<&Task> = service.tasks.iter().filter(|task| task.release == Some(release.number)).collect();
    let alive = || ours.iter().find_map(|task| of_life(release, task, places));
    ours.iter().find_map(|task| of_end(release, task)).or_else(alive)
}

/// Of a task that has ended or could not begin.
fn of_end(release: &Release, task: &Task) -> Option<Failure> {
    let (reason, remedy) = match &task.state {
        TaskState::Ended { out_of_memory: true, .. } => {
            let reason = format!("the program used more than the {} MiB that it may", release.settings.memory >> 20);
            let remedy = "give it more with `memory` in app.toml, or let it use less";
            return Some(with_log(Failure::new(Class::OutOfMemory, reason, remedy), &task.log));
        }
        TaskState::Ended { unhealthy: Some(answer), .. } => {
            return Some(with_log(unhealthy(release, answer), &task.log));
        }
        // Swarm has another take its place, so that it is not wanted any more, and calls that no error.
        TaskState::Ended { code: Some(0), .. } if task.error.is_empty() => (
            "the program ended with the code 0, and an app has to go on".to_owned(),
            "see its last lines; what runs once is for `futuswarm run`",
        ),
        TaskState::Ended { code: Some(code), .. } => {
            (format!("the program ended with the code {code}"), "see its last lines")
        }
        TaskState::Rejected => return Some(with_log(rejected(&task.error, "a task"), &task.log)),
        _ => return None,
    };
    Some(with_log(Failure::new(Class::Exits, reason, remedy), &task.log))
}

/// Of a task that is there and not healthy.
fn of_life(release: &Release, task: &Task, places: &BTreeMap<String, Place>) -> Option<Failure> {
    match &task.state {
        TaskState::Pending { .. } if !task.error.is_empty() => {
            Some(places::unplaced("a task", release, &task.error, places))
        }
        TaskState::Running { healthy: Some(false) | None, answer, .. } if answer.contains("refused") => {
            Some(with_log(unhealthy(release, answer), &task.log))
        }
        TaskState::Running { healthy: Some(false), answer, .. } => {
            Some(with_log(unhealthy(release, answer), &task.log))
        }
        _ => None,
    }
}

/// The program runs, and its health check says no.
fn unhealthy(release: &Release, answer: &str) -> Failure {
    if answer.contains("refused") {
        let reason = format!("nothing listens on the port {}: {answer}", release.settings.port);
        return Failure::new(Class::Port, reason, of_port(release, answer));
    }
    let reason = match answer {
        "" => "the program runs, and its health check says no".to_owned(),
        answer => format!("the program runs, and its health check says: {answer}"),
    };
    Failure::new(Class::Unhealthy, reason, "see its last lines")
}

/// What to do about a program to which no connection is accepted.
fn of_port(release: &Release, answer: &str) -> String {
    let port = release.settings.port;
    if answer.contains(ALONE) {
        return format!("let the program listen on all addresses (0.0.0.0 or ::), at the port {port}");
    }
    let first = |ports: &str| ports.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok();
    match answer.split_once(ELSEWHERE).and_then(|(_, ports)| first(ports)) {
        Some(other) => format!(
            "say `port = {other}` in app.toml, or let the program listen at {port}, which $PORT says unless the app sets that itself"
        ),
        None => format!(
            "let the program listen on all addresses at $PORT ({port}), within the time that `start` under `[health]` in app.toml says; for one that is not meant to listen say `[health]` and `runs = \"5s\"` there"
        ),
    }
}

/// It took too long: with the reason, if anything tells it.
pub(super) fn late(release: &Release, observed: &Observation) -> Failure {
    let told = observed.service.as_ref().and_then(|service| of_tasks(release, service, &observed.places));
    let seconds = release.deadline.saturating_sub(release.created_at) / 1000;
    let away = || places::obstacle(release, &observed.places).filter(|(_, may_pass)| *may_pass);
    let told = told.or_else(|| away().map(|(failure, _)| failure));
    let failure = told.unwrap_or_else(|| unexplained(release, observed));
    Failure { reason: format!("it was not done after {seconds} s: {}", failure.reason), ..failure }
}

/// How far a release was that no task says anything of.
fn unexplained(release: &Release, observed: &Observation) -> Failure {
    let app = &release.app;
    let (why, remedy) = match (&observed.hook, observed.nodes.values().any(|pull| *pull == Pull::Running)) {
        (_, true) => ("the image was still being pulled", "deploy it again, or make the image smaller".to_owned()),
        (HookRun::Running { .. } | HookRun::Waiting { .. }, _) => {
            ("the release hook had not ended", "deploy it again, or let the release hook do less".to_owned())
        }
        _ => (
            "nothing says what it waited for",
            format!(
                "see `futuswarm logs {app} --previous` and `futuswarm ps {app}`; a task has so much more time as `start` or `runs` under `[health]` in app.toml says"
            ),
        ),
    };
    Failure::new(Class::Late, why, remedy)
}
