//! What is observed of a release: the Swarm's answers in the words of `paas::rollout`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::StreamExt as _;
use futuswarm_model::{Health, Release};
use futuswarm_paas::rollout::{
    Edges, HookRun, Image, Observation, Place, Pull, Room, Service, Task, TaskState, Update,
};
use futuswarm_swarm::{
    Engine, LogItem, LogOptions, LogSource, Node, Task as SwarmTask, TaskState as SwarmState, UpdateState, UpdateStatus,
};

use crate::desired::{self, Content};
use crate::{Control, Error, Platform, clock, images, records};

mod places;

/// So many lines of a task that failed.
const LAST_LINES: u32 = 20;
/// And so many bytes of each.
const LONGEST_LINE: usize = 500;
/// So many lines are looked through for what the check of a task was answered, which it says only when that changes.
const LINES_OF_CHECK: u32 = 500;
/// Between two looks for what the check of a task that starts is answered, in milliseconds.
const LOOK_FOR_ANSWER: u64 = 10_000;
/// Between two looks for what tasks reserve on nodes, in milliseconds.
const LOOK_FOR_ROOM: u64 = 10_000;
/// With this the platform's probe begins the line in a task's log that says what it was answered (`crates/probe/src/tell.rs`).
const PROBE: &str = "futuswarm-probe: ";

/// What a run remembers between two observations: what cannot change any more, or costs too much to ask for each time.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) image: Image,
    /// What a task has said, once it is over.
    said: HashMap<String, Said>,
    /// What the check of a task that starts was answered, and when that was looked for, in milliseconds since 1970.
    answers: HashMap<String, (u64, Option<String>)>,
    /// Tasks of the release that have ended or could not start, as they were seen last, by their ids. The Swarm keeps few of each slot, and
    /// one that was founded long ago fewer than it takes to say that a program does not run.
    ended: BTreeMap<String, Task>,
    /// The room on nodes that could not pull the image, by their host names; empty before anybody has looked.
    rooms: HashMap<String, Option<Room>>,
    /// When a node was last seen away that may return, in milliseconds since 1970; zero for never.
    away_at: u64,
    /// What tasks reserve of the memory of nodes, in bytes by their ids, and when that was looked for, in milliseconds since 1970.
    reserved: (u64, HashMap<String, u64>),
    /// What edges had when that was looked for last, and when, in milliseconds since 1970.
    pub(super) edges: Option<(u64, Edges)>,
    /// ETags of the documents of routes that said what the release asks for.
    pub(super) documents: BTreeSet<String>,
}

/// What is in the log of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// The last lines of its program.
    log: Vec<String>,
    /// What its check was answered last, as far as that was not good.
    answer: Option<String>,
}

impl Said {
    /// Tells lines of the program from those of the platform's probe.
    fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let (mut log, mut answer) = (Vec::new(), None);
        for line in lines {
            match line.strip_prefix(PROBE) {
                Some(said) => answer = Some(said.to_owned()),
                None => log.push(line),
            }
        }
        let first = log.len().saturating_sub(LAST_LINES as usize);
        Self { log: log.split_off(first), answer }
    }
}

impl Default for Memory {
    fn default() -> Self {
        let (said, answers, rooms) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (reserved, edges, documents) = ((0, HashMap::new()), None, BTreeSet::new());
        let (image, ended) = (Image::Unknown, BTreeMap::new());
        Self { image, said, answers, ended, rooms, away_at: 0, reserved, edges, documents }
    }
}

/// Observes what there is of a release.
pub(super) async fn observe<E: Engine>(
    engine: &E,
    release: &Release,
    content: &Content,
    memory: &mut Memory,
    now: u64,
) -> Result<Observation, Error> {
    let nodes = engine.list_nodes().await?;
    let mut places = places::of(&nodes, release);
    if places.values().any(|(_, place)| place.may_return()) {
        memory.away_at = now;
    }
    let pulls = match engine.inspect_service(&desired::pull_name(&release.app, release.number)).await? {
        None => {
            places::fitting(&nodes, release).into_iter().map(|node| (node.hostname.clone(), Pull::Absent)).collect()
        }
        Some(job) => pulls(&nodes, release, &engine.list_tasks(Some(&job.id)).await?),
    };
    let hook = match engine.inspect_service(&desired::hook_name(&release.app, release.number)).await? {
        None => HookRun::Absent,
        Some(job) => hook(engine, release, &engine.list_tasks(Some(&job.id)).await?, memory, now).await,
    };
    let service = match engine.inspect_service(&release.app).await? {
        None => None,
        Some(service) => {
            let tasks = engine.list_tasks(Some(&service.id)).await?;
            let wanted = desired::service(release, content);
            let has_image = wanted.as_ref().is_some_and(|wanted| {
                let current = &service.spec;
                (&wanted.image, &wanted.placement) == (&current.image, &current.placement)
            });
            let is_as_wanted = wanted.is_some_and(|wanted| !differs_but_for_release(wanted, &service));
            Some(Service {
                version: service.version,
                release: service.release(),
                is_as_wanted,
                has_image,
                update: update(service.update.as_ref(), service.release(), release.number),
                tasks: tasks_of(engine, release, tasks, memory, now).await,
            })
        }
    };
    // All tasks of the Swarm are many: they are asked for only when it will be told what room nodes have, and not each time.
    if places::is_unplaced(release, &hook, service.as_ref(), memory.away_at, now) {
        if now.saturating_sub(memory.reserved.0) >= LOOK_FOR_ROOM {
            memory.reserved = (now, places::reserved(&engine.list_tasks(None).await?));
        }
        for (node, place) in places.values_mut() {
            let reserved = memory.reserved.1.get(&node.id).copied().unwrap_or_default();
            place.free = Some(node.memory_bytes.saturating_sub(reserved));
        }
    }
    let places: BTreeMap<String, Place> = places.into_iter().map(|(name, (_, place))| (name, place)).collect();
    let (image, away_at) = (memory.image.clone(), memory.away_at);
    Ok(Observation { now, image, places, away_at, nodes: pulls, hook, service, edges: Edges::NotAsked })
}

/// Finds out what room nodes have that could not pull the image: the Swarm only says that it is not there. That it cannot be found out is
/// no reason to fail anything.
pub(super) async fn measure<P: Platform>(
    control: &Control<P>,
    release: &Release,
    observed: &mut Observation,
    memory: &mut Memory,
) {
    let failed = observed.nodes.iter().filter(|(_, pull)| matches!(pull, Pull::Failed { .. })).map(|(node, _)| node);
    let new: Vec<String> = failed.filter(|node| !memory.rooms.contains_key(*node)).cloned().collect();
    if !new.is_empty() {
        let rooms = rooms(control, release).await.unwrap_or_else(|error| {
            tracing::info!(%error, app = release.app, "not known whether the disks of nodes are full");
            HashMap::new()
        });
        memory.rooms.extend(new.into_iter().map(|node| (node.clone(), rooms.get(&node).copied())));
    }
    for (node, pull) in &mut observed.nodes {
        if let Pull::Failed { room, .. } = pull {
            *room = memory.rooms.get(node).copied().flatten();
        }
    }
}

async fn rooms<P: Platform>(control: &Control<P>, release: &Release) -> Result<HashMap<String, Room>, Error> {
    let Some(digest) = &release.digest else { return Ok(HashMap::new()) };
    let image = images::packed_size(&control.registry, &release.app, digest).await?;
    let records = futuswarm_store::node_records(control.records.store()).await.map_err(records::Error::from)?;
    let room = |record: futuswarm_model::NodeRecord| {
        let free = record.usage?.disk_free_bytes;
        Some((record.instance, Room { free, image }))
    };
    Ok(records.into_iter().filter_map(room).collect())
}

/// How far the image is on each node that is there; one that has gone meanwhile does not count, and neither does one that has come since
/// the job began: the Swarm gives that no task of it (seen with Docker 26.1), and has it pull when it gets a task of the app.
fn pulls(nodes: &[Node], release: &Release, tasks: &[SwarmTask]) -> BTreeMap<String, Pull> {
    let pull = |node: &&Node| {
        let task =
            tasks.iter().filter(|task| task.node.as_deref() == Some(&node.id)).max_by_key(|task| &task.created_at);
        let pull = match task.map(|task| (task.state, task)) {
            // The Swarm has not got to the job yet.
            None if tasks.is_empty() => Pull::Running,
            None => return None,
            Some((SwarmState::Complete, _)) => Pull::Done,
            Some((state, task)) if state.is_over() => Pull::Failed { reason: reason(task), room: None },
            Some(_) => Pull::Running,
        };
        Some((node.hostname.clone(), pull))
    };
    places::fitting(nodes, release).iter().filter_map(pull).collect()
}

fn reason(task: &SwarmTask) -> String {
    if task.error.is_empty() { task.message.clone() } else { task.error.clone() }
}

async fn hook<E: Engine>(engine: &E, release: &Release, tasks: &[SwarmTask], memory: &mut Memory, now: u64) -> HookRun {
    let Some(task) = tasks.iter().max_by_key(|task| &task.created_at) else {
        // It was made, and the Swarm has not got to it yet.
        return HookRun::Running { since: u64::MAX, log: Vec::new() };
    };
    let since = clock::milliseconds(&task.created_at);
    match task.state {
        SwarmState::Complete => HookRun::Ended { code: 0, log: said(engine, task, memory).await.log },
        SwarmState::Failed => {
            HookRun::Ended { code: task.exit_code.unwrap_or(-1), log: said(engine, task, memory).await.log }
        }
        SwarmState::Pending if !task.error.is_empty() => HookRun::Waiting { since, error: task.error.clone() },
        state if state.is_over() => HookRun::Rejected { reason: reason(task) },
        _ => {
            let limit = release.settings.release_hook.as_ref().map_or(0, |hook| u64::from(hook.timeout) * 1000);
            let log = match now.saturating_sub(since) >= limit {
                true => Said::of(lines(engine, task, LAST_LINES).await.unwrap_or_default()).log,
                false => Vec::new(),
            };
            HookRun::Running { since, log }
        }
    }
}

/// What the last update does. The status of an update before ours says nothing, except where there is none of ours yet.
fn update(status: Option<&UpdateStatus>, of: Option<u64>, release: u64) -> Update {
    match status.map(|status| status.state) {
        None | Some(UpdateState::Completed) => Update::Idle,
        Some(UpdateState::Updating) => Update::Updating,
        Some(UpdateState::Paused | UpdateState::RollbackPaused) => Update::Paused,
        Some(UpdateState::RollbackStarted) => Update::RollingBack,
        // Our own spec counts: the way back was that of an update before it.
        Some(UpdateState::RollbackCompleted) if of == Some(release) => Update::Idle,
        Some(UpdateState::RollbackCompleted) => Update::RolledBack,
    }
}

/// Whether the service would be changed by more than the number of the release in its labels.
fn differs_but_for_release(desired: futuswarm_swarm::ServiceSpec, current: &futuswarm_swarm::Service) -> bool {
    match current.release() {
        Some(release) => desired.with_release(release).differs_from(current),
        None => true,
    }
}

async fn tasks_of<E: Engine>(
    engine: &E,
    release: &Release,
    tasks: Vec<SwarmTask>,
    memory: &mut Memory,
    now: u64,
) -> Vec<Task> {
    let (mut observed, mut listed) = (Vec::new(), HashSet::new());
    for task in tasks {
        let said = match task.release() == Some(release.number) {
            true if matches!(task.state, SwarmState::Failed | SwarmState::Rejected | SwarmState::Complete) => {
                let mut said = said(engine, &task, memory).await;
                // The log of a task that has just ended may be late.
                let earlier = || memory.answers.get(&task.id).and_then(|(_, answer)| answer.clone());
                said.answer = said.answer.or_else(earlier);
                said
            }
            true if task.state == SwarmState::Starting && is_probed(release) => {
                let answer = answer_so_far(engine, &task, memory, now).await;
                Said { answer, ..Said::default() }
            }
            _ => Said::default(),
        };
        let seen = Task {
            release: task.release(),
            state: state(release, &task, said.answer),
            is_wanted: task.is_wanted(),
            error: task.error,
            log: said.log,
        };
        if seen.release == Some(release.number) && matches!(seen.state, TaskState::Ended { .. } | TaskState::Rejected) {
            memory.ended.insert(task.id.clone(), seen.clone());
        }
        listed.insert(task.id);
        observed.push(seen);
    }
    let forgotten = memory.ended.iter().filter(|(id, _)| !listed.contains(*id));
    observed.extend(forgotten.map(|(_, task)| task.clone()));
    observed
}

/// What a task does. `answer` is what its check was answered last, as far as that was not good.
fn state(release: &Release, task: &SwarmTask, answer: Option<String>) -> TaskState {
    let since = clock::milliseconds(&task.since);
    match task.state {
        // The time of its state is that of the Swarm's last look for a node.
        SwarmState::New | SwarmState::Pending => TaskState::Pending { since: clock::milliseconds(&task.created_at) },
        // Its program runs, and its check has not said yes yet.
        SwarmState::Starting if answer.is_some() => {
            TaskState::Running { since, healthy: Some(false), answer: answer.unwrap_or_default() }
        }
        SwarmState::Assigned
        | SwarmState::Accepted
        | SwarmState::Preparing
        | SwarmState::Ready
        | SwarmState::Starting => TaskState::Starting,
        SwarmState::Running => {
            // Swarm calls a task with a check running only once it is healthy.
            let healthy = match release.health() {
                Health::Http { .. } | Health::Port { .. } | Health::Image => Some(true),
                Health::Runs { .. } => None,
            };
            TaskState::Running { since, healthy, answer: String::new() }
        }
        SwarmState::Rejected => TaskState::Rejected,
        SwarmState::Shutdown | SwarmState::Remove | SwarmState::Orphaned => TaskState::Stopped { since },
        SwarmState::Complete | SwarmState::Failed => TaskState::Ended {
            code: task.exit_code.or((task.state == SwarmState::Complete).then_some(0)),
            out_of_memory: task.looks_out_of_memory(),
            unhealthy: is_unhealthy(task).then(|| answer.unwrap_or_default()),
        },
    }
}

/// Whether it is the platform's probe that asks tasks how they are.
fn is_probed(release: &Release) -> bool {
    match release.health() {
        Health::Http { .. } | Health::Port { .. } => true,
        Health::Image | Health::Runs { .. } => false,
    }
}

/// Whether the engine has ended a task because its check said no too often.
fn is_unhealthy(task: &SwarmTask) -> bool {
    task.state == SwarmState::Failed && task.error.contains("unhealthy")
}

/// What the check of a task that starts is answered. The log is asked for it from time to time only.
async fn answer_so_far<E: Engine>(engine: &E, task: &SwarmTask, memory: &mut Memory, now: u64) -> Option<String> {
    let (looked, known) =
        memory.answers.entry(task.id.clone()).or_insert_with(|| (clock::milliseconds(&task.since), None));
    if now.saturating_sub(*looked) < LOOK_FOR_ANSWER {
        return known.clone();
    }
    let known = known.clone();
    let lines = lines(engine, task, LINES_OF_CHECK).await.unwrap_or_default();
    let answer = Said::of(lines).answer.or(known);
    memory.answers.insert(task.id.clone(), (now, answer.clone()));
    answer
}

/// What a task that is over has said. That it cannot be had is no reason to fail anything.
async fn said<E: Engine>(engine: &E, task: &SwarmTask, memory: &mut Memory) -> Said {
    if let Some(said) = memory.said.get(&task.id) {
        return said.clone();
    }
    let tail = if is_unhealthy(task) { LINES_OF_CHECK } else { LAST_LINES };
    let Some(lines) = lines(engine, task, tail).await else { return Said::default() };
    let said = Said::of(lines);
    // What is empty may only be late: the node sends lines after it has told of the end.
    if said != Said::default() {
        memory.said.insert(task.id.clone(), said.clone());
    }
    said
}

/// The last lines of a task's log in the order of their times; `None` when they cannot be had.
async fn lines<E: Engine>(engine: &E, task: &SwarmTask, tail: u32) -> Option<Vec<String>> {
    let options = LogOptions { tail: Some(tail), ..LogOptions::default() };
    let mut lines = Vec::new();
    match engine.logs(LogSource::Task(&task.id), options).await {
        Ok(mut stream) => {
            while let Some(Ok(item)) = stream.next().await {
                if let LogItem::Line(line) = item {
                    let cut = line.line.get(..LONGEST_LINE).unwrap_or(&line.line);
                    lines.push((line.at, String::from_utf8_lossy(cut).into_owned()));
                }
            }
        }
        Err(error) => {
            tracing::info!(%error, task = task.id, "no log of a task that is not as it should be");
            return None;
        }
    }
    // Stable: lines of the same moment stay in the order in which they came.
    lines.sort_by(|one: &(String, String), other| one.0.cmp(&other.0));
    Some(lines.into_iter().map(|(_, line)| line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_lines_are_told_from_those_of_the_program() {
        let line = |number: u32| format!("line {number}");
        let lines = [
            "futuswarm-probe: connection refused".to_owned(),
            "futuswarm-probe: answered 503".to_owned(),
            "said futuswarm-probe: nothing".to_owned(),
        ];
        let said = Said::of(lines.into_iter().chain((0..30).map(line)));
        assert_eq!(said.answer.as_deref(), Some("answered 503"));
        assert_eq!((said.log.len(), said.log[0].as_str(), said.log[19].as_str()), (20, "line 10", "line 29"));
        let probe = include_str!("../../../probe/src/tell.rs");
        assert!(
            probe.contains(&format!("pub const PREFIX: &str = {PROBE:?};")),
            "the probe begins with something else"
        );
    }
}
