//! What is observed of a release: the Swarm's answers in the words of `paas::rollout`.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use futuswarm_model::{Health, Release};
use futuswarm_paas::rollout::{HookRun, Image, Observation, Pull, Service, Task, TaskState, Update};
use futuswarm_swarm::{
    Availability, Engine, LogItem, LogOptions, LogSource, Node, NodeState, Task as SwarmTask, TaskState as SwarmState,
    UpdateState, UpdateStatus,
};

use crate::desired::{self, Content};
use crate::{Error, clock};

/// So many lines of a task that failed.
const LAST_LINES: u32 = 20;
/// And so many bytes of each.
const LONGEST_LINE: usize = 500;

/// What a run remembers between two observations: what cannot change any more, or costs too much to ask for each time.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) image: Image,
    /// Last lines by task, once it is over.
    logs: HashMap<String, Vec<String>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { image: Image::Unknown, logs: HashMap::new() }
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
    let pulls = match engine.inspect_service(&desired::pull_name(&release.app, release.number)).await? {
        None => fitting(&nodes, release).into_iter().map(|node| (node.hostname.clone(), Pull::Absent)).collect(),
        Some(job) => pulls(&nodes, release, &engine.list_tasks(Some(&job.id)).await?),
    };
    let hook = match engine.inspect_service(&desired::hook_name(&release.app, release.number)).await? {
        None => HookRun::Absent,
        Some(job) => hook(engine, &engine.list_tasks(Some(&job.id)).await?, memory).await?,
    };
    let service = match engine.inspect_service(&release.app).await? {
        None => None,
        Some(service) => {
            let tasks = engine.list_tasks(Some(&service.id)).await?;
            let is_as_wanted =
                desired::service(release, content).is_some_and(|desired| !differs_but_for_release(desired, &service));
            Some(Service {
                version: service.version,
                release: service.release(),
                is_as_wanted,
                update: update(service.update.as_ref(), service.release(), release.number),
                tasks: tasks_of(engine, release, tasks, memory).await?,
            })
        }
    };
    Ok(Observation { now, superseded: false, image: memory.image.clone(), nodes: pulls, hook, service })
}

/// Nodes on which tasks of the release may run now.
fn fitting<'a>(nodes: &'a [Node], release: &Release) -> Vec<&'a Node> {
    let fits = |node: &&Node| {
        let labels = &node.spec.labels;
        let placed = release.settings.placement.iter().all(|(name, value)| labels.get(name) == Some(value));
        node.state == NodeState::Ready && node.spec.availability == Availability::Active && placed
    };
    nodes.iter().filter(fits).collect()
}

/// How far the image is on each node that is there; one that has gone meanwhile does not count.
fn pulls(nodes: &[Node], release: &Release, tasks: &[SwarmTask]) -> BTreeMap<String, Pull> {
    let pull = |node: &&Node| {
        let task =
            tasks.iter().filter(|task| task.node.as_deref() == Some(&node.id)).max_by_key(|task| &task.created_at);
        let pull = match task.map(|task| (task.state, task)) {
            // The Swarm gives a node that has just come a task of its own.
            None => Pull::Running,
            Some((SwarmState::Complete, _)) => Pull::Done,
            Some((state, task)) if state.is_over() => Pull::Failed { reason: reason(task) },
            Some(_) => Pull::Running,
        };
        (node.hostname.clone(), pull)
    };
    fitting(nodes, release).iter().map(pull).collect()
}

fn reason(task: &SwarmTask) -> String {
    if task.error.is_empty() { task.message.clone() } else { task.error.clone() }
}

async fn hook<E: Engine>(engine: &E, tasks: &[SwarmTask], memory: &mut Memory) -> Result<HookRun, Error> {
    let Some(task) = tasks.iter().max_by_key(|task| &task.created_at) else {
        // It was made, and the Swarm has not got to it yet.
        return Ok(HookRun::Running { since: u64::MAX });
    };
    Ok(match task.state {
        SwarmState::Complete => HookRun::Ended { code: 0, log: last_lines(engine, task, memory).await },
        SwarmState::Failed => {
            HookRun::Ended { code: task.exit_code.unwrap_or(-1), log: last_lines(engine, task, memory).await }
        }
        state if state.is_over() => HookRun::Rejected { reason: reason(task) },
        _ => HookRun::Running { since: clock::milliseconds(&task.created_at) },
    })
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
) -> Result<Vec<Task>, Error> {
    let mut observed = Vec::new();
    for task in tasks {
        let is_ours = task.release() == Some(release.number);
        let failed = matches!(task.state, SwarmState::Failed | SwarmState::Rejected | SwarmState::Complete);
        let log = if is_ours && failed { last_lines(engine, &task, memory).await } else { Vec::new() };
        observed.push(Task {
            release: task.release(),
            state: state(release, &task),
            is_wanted: task.is_wanted(),
            error: task.error.clone(),
            log,
        });
    }
    Ok(observed)
}

fn state(release: &Release, task: &SwarmTask) -> TaskState {
    match task.state {
        SwarmState::New | SwarmState::Pending => TaskState::Pending,
        SwarmState::Assigned
        | SwarmState::Accepted
        | SwarmState::Preparing
        | SwarmState::Ready
        | SwarmState::Starting => TaskState::Starting,
        SwarmState::Running => {
            // Swarm calls a task with a check running only once it is healthy.
            let healthy = match release.settings.health {
                Health::Http { .. } | Health::Image => Some(true),
                Health::Runs { .. } => None,
            };
            TaskState::Running { since: clock::milliseconds(&task.since), healthy, answer: String::new() }
        }
        SwarmState::Rejected => TaskState::Rejected,
        SwarmState::Complete
        | SwarmState::Shutdown
        | SwarmState::Failed
        | SwarmState::Remove
        | SwarmState::Orphaned => TaskState::Ended { code: task.exit_code, out_of_memory: task.looks_out_of_memory() },
    }
}

/// The last lines of a task that is over. That they cannot be had is no reason to fail anything.
async fn last_lines<E: Engine>(engine: &E, task: &SwarmTask, memory: &mut Memory) -> Vec<String> {
    if let Some(lines) = memory.logs.get(&task.id) {
        return lines.clone();
    }
    let options = LogOptions { tail: Some(LAST_LINES), ..LogOptions::default() };
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
            tracing::info!(%error, task = task.id, "no log of a task that failed");
            return Vec::new();
        }
    }
    // Stable: lines of the same moment stay in the order in which they came.
    lines.sort_by(|one: &(String, String), other| one.0.cmp(&other.0));
    let first = lines.len().saturating_sub(LAST_LINES as usize);
    let lines: Vec<String> = lines.drain(first..).map(|(_, line)| line).collect();
    // What is empty may only be late: the node sends lines after it has told of the end.
    if !lines.is_empty() {
        memory.logs.insert(task.id.clone(), lines.clone());
    }
    lines
}
