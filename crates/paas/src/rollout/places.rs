//! Where tasks of a release may run: whether any node is a place for them, and what nodes have when none takes one.

use std::collections::BTreeMap;

use futuswarm_model::{Failure, FailureClass as Class, Release, UpdateOrder};

use super::{Observation, Place, Service, Task, TaskState};

/// So many milliseconds a task may wait for a node while none is away. One that is made in the place of a dead one may be what it waits
/// for, and is there after up to 162 s (docs/benchmarks.md).
pub const UNPLACED: u64 = 300_000;
/// So many nodes are told by their names.
const MOST: usize = 10;

/// Why no node takes a task of a release now, and whether that may pass by itself; `None` when one does.
pub(super) fn obstacle(release: &Release, places: &BTreeMap<String, Place>) -> Option<(Failure, bool)> {
    let wanted = release.settings.memory;
    let labelled = || places.iter().filter(|(_, place)| place.lacks.is_empty());
    if labelled().next().is_none() {
        return Some((no_label(release, places), false));
    }
    // Nothing is to run, or nobody knows. A node has the memory that it has also while it is away.
    let is_large = |place: &Place| release.settings.replicas == 0 || place.memory == 0 || place.memory >= wanted;
    let able: Vec<(&String, &Place)> = labelled().filter(|(_, place)| is_large(place)).collect();
    if able.is_empty() {
        let reason = format!(
            "no node is large enough: a task reserves {} MiB of memory, and nodes that may run it have {}",
            wanted >> 20,
            memory(labelled())
        );
        let remedy = "let it ask for less with `memory` in app.toml, or have larger nodes added";
        return Some((Failure::new(Class::NoNode, reason, remedy), false));
    }
    if able.iter().any(|(_, place)| place.fits()) {
        return None;
    }
    let large = if able.len() < labelled().count() { " and are large enough" } else { "" };
    let away: Vec<String> =
        able.iter().filter_map(|(name, place)| Some(format!("{name} is {}", place.away?))).collect();
    let reason = format!("all nodes that may run tasks of the app{large} take none now: {}", some(&away));
    let remedy = "deploy again when one of them takes tasks (`futuswarm swarm:nodes` shows it), or loosen `placement` in app.toml";
    Some((Failure::new(Class::NoNode, reason, remedy), able.iter().any(|(_, place)| place.may_return())))
}

/// Whether what waits for a node since then has waited for too long. Nothing has while a node is away that may be what it waits for.
pub(super) fn is_late(observed: &Observation, since: u64) -> bool {
    let is_away = observed.places.values().any(Place::may_return);
    !is_away && observed.now.saturating_sub(since.max(observed.away_at)) >= UNPLACED
}

fn no_label(release: &Release, places: &BTreeMap<String, Place>) -> Failure {
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
    Failure::new(Class::NoNode, reason, remedy)
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
            is_late(observed, freed.max(*since)).then(|| unplaced("a task", release, &task.error, &observed.places))
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
        let fitting = places.iter().filter(|(_, place)| place.fits());
        reason = format!("{reason}; it reserves {wanted} MiB of memory, and nodes have {}", memory(fitting));
    }
    Failure::new(Class::NoNode, reason, "let it ask for less with `memory` or `placement` in app.toml, or add nodes")
}

/// What nodes have, as in `i-1 4096 MiB, i-2 4096 MiB (512 MiB free)`.
fn memory<'a>(places: impl Iterator<Item = (&'a String, &'a Place)>) -> String {
    let each: Vec<String> = places
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
