//! Where tasks of a release may run: whether any node is a place for them, and what nodes have when none takes one.

use std::collections::BTreeMap;

use futuswarm_model::{Failure, FailureClass as Class, Release, UpdateOrder};

use super::failure::new;
use super::{Observation, Place, Service, Task, TaskState};

/// So many milliseconds a task may wait for a node. One that comes back or is made in the place of another may be what it waits for.
pub const UNPLACED: u64 = 60_000;
/// So many nodes are told by their names.
const MOST: usize = 10;

/// Why no node will ever run a task of a release, as nodes are now; `None` when one may.
pub(super) fn impossible(release: &Release, places: &BTreeMap<String, Place>) -> Option<Failure> {
    if !places.values().any(Place::fits) {
        return Some(no_node(release, places));
    }
    let wanted = release.settings.memory;
    // Nothing is to run, or nobody knows.
    let is_large = |place: &Place| place.memory == 0 || place.memory >= wanted;
    if release.settings.replicas == 0 || places.values().any(|place| place.fits() && is_large(place)) {
        return None;
    }
    let reason = format!(
        "no node is large enough: a task reserves {} MiB of memory, and nodes that may run it have {}",
        wanted >> 20,
        memory(places)
    );
    Some(new(Class::NoNode, reason, "let it ask for less with `memory` in app.toml, or have larger nodes added"))
}

fn no_node(release: &Release, places: &BTreeMap<String, Place>) -> Failure {
    let labelled = places.iter().filter(|(_, place)| place.lacks.is_empty());
    let away: Vec<String> = labelled.filter_map(|(name, place)| Some(format!("{name} is {}", place.away?))).collect();
    if !away.is_empty() {
        let reason = format!("all nodes that may run tasks of the app take none now: {}", some(&away));
        let remedy = "deploy again when one of them takes tasks (`futuswarm swarm:nodes` shows it), or loosen `placement` in app.toml";
        return new(Class::NoNode, reason, remedy);
    }
    let wanted: Vec<String> =
        release.settings.placement.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let lacks = |label: &String| places.values().all(|place| place.lacks.contains(label));
    let nowhere: Vec<String> = wanted.iter().filter(|label| lacks(label)).cloned().collect();
    let reason = match (places.is_empty(), nowhere.is_empty()) {
        (true, _) => "the Swarm has no node".to_owned(),
        (_, false) => format!("no node has the label {} that the app asks for", nowhere.join(" or ")),
        (_, true) => format!("no node has all of the labels that the app asks for: {}", wanted.join(", ")),
    };
    let remedy = "loosen `placement` in app.toml, or label a node with `futuswarm swarm:node:label:add`";
    new(Class::NoNode, reason, remedy)
}

/// A task that has waited for a node for too long. Tasks that stop keep their memory until then, and what has just stopped may be what
/// it has waited for.
pub(super) fn waits(release: &Release, observed: &Observation, service: &Service) -> Option<Failure> {
    let freed = service.tasks.iter().filter_map(|task| match &task.state {
        TaskState::Stopped { since } => Some(*since),
        state => (!task.is_wanted && !state.is_over()).then_some(observed.now),
    });
    let freed = freed.max().unwrap_or_default();
    let failure = service.tasks.iter().find_map(|task| match &task.state {
        TaskState::Pending { since } if task.release == Some(release.number) && !task.error.is_empty() => {
            let is_late = observed.now.saturating_sub(freed.max(*since)) >= UNPLACED;
            is_late.then(|| unplaced("a task", release, &task.error, &observed.places))
        }
        _ => None,
    })?;
    let is_old = |task: &Task| task.release != Some(release.number) && !task.state.is_over();
    if release.settings.update_order == UpdateOrder::StartFirst && service.tasks.iter().any(is_old) {
        let remedy = format!("{}; `update_order = \"stop-first\"` needs no room for one task more", failure.remedy);
        return Some(Failure { remedy, ..failure });
    }
    Some(failure)
}

/// No node takes something of a release, in the Swarm's words and with what nodes have.
pub(super) fn unplaced(what: &str, release: &Release, error: &str, places: &BTreeMap<String, Place>) -> Failure {
    let mut reason = format!("no node can run {what}: {error}");
    if places.values().any(Place::fits) {
        let wanted = release.settings.memory >> 20;
        reason = format!("{reason}; it reserves {wanted} MiB of memory, and nodes have {}", memory(places));
    }
    new(Class::NoNode, reason, "let it ask for less with `memory` or `placement` in app.toml, or add nodes")
}

/// What nodes have that may run tasks, as in `i-1 4096 MiB, i-2 4096 MiB (512 MiB free)`.
fn memory(places: &BTreeMap<String, Place>) -> String {
    let fitting = places.iter().filter(|(_, place)| place.fits());
    let each: Vec<String> = fitting
        .map(|(name, place)| match (place.memory, place.free) {
            (0, _) => format!("{name} an unknown amount"),
            (memory, Some(free)) => format!("{name} {} MiB ({} MiB free)", memory >> 20, free >> 20),
            (memory, None) => format!("{name} {} MiB", memory >> 20),
        })
        .collect();
    some(&each)
}

/// The first few of a list, and how many there are beside them.
fn some(each: &[String]) -> String {
    let told = each.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match each.len().saturating_sub(MOST) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
