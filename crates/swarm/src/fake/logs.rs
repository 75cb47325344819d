//! `docker service logs` of an engine in memory. Each task writes its lines when its program starts.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;

use super::behaviour::FakeImage;
use super::tasks::FakeTask;
use super::{FakeEngine, clock, refused};
use crate::{Error, HealthCheck, LogApi, LogItem, LogLine, LogOptions, LogSource, LogStream, SILENCE};

const OPERATION: &str = "service logs";
/// How often one that follows looks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

struct Reading {
    engine: FakeEngine,
    wanted: Wanted,
    options: LogOptions,
    /// Tasks whose lines were read.
    read: BTreeSet<String>,
    ready: VecDeque<LogItem>,
    looked: bool,
    /// Whether a node that hangs has not sent what it has.
    hangs: bool,
}

#[derive(Clone)]
enum Wanted {
    Service(String),
    Task(String),
}

impl LogApi for FakeEngine {
    async fn logs(&self, source: LogSource<'_>, options: LogOptions) -> Result<LogStream, Error> {
        let wanted = {
            let mut world = self.world(OPERATION)?;
            let cluster = world.controlled(&self.hostname, OPERATION)?;
            let (wanted, name) = match source {
                LogSource::Service(name) => {
                    let mut services = cluster.services.iter();
                    let found = services.find(|(known, service)| *known == name || service.id == name);
                    (found.map(|(_, service)| Wanted::Service(service.id.clone())), name)
                }
                LogSource::Task(id) => (cluster.tasks.get(id).map(|task| Wanted::Task(task.id.clone())), id),
            };
            wanted.ok_or_else(|| refused(OPERATION, 404, format!("{name} not found")))?
        };
        let (engine, read, ready) = (self.clone(), BTreeSet::new(), VecDeque::new());
        let reading = Reading { engine, wanted, options, read, ready, looked: false, hangs: false };
        Ok(try_unfold(reading, next).boxed())
    }
}

async fn next(mut reading: Reading) -> Result<Option<(LogItem, Reading)>, Error> {
    loop {
        if let Some(item) = reading.ready.pop_front() {
            return Ok(Some((item, reading)));
        }
        if reading.looked && !reading.options.follow {
            if !std::mem::take(&mut reading.hangs) {
                return Ok(None);
            }
            tokio::time::sleep(SILENCE).await;
            return Ok(Some((LogItem::Silence, reading)));
        }
        if reading.looked {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        reading.look()?;
        reading.looked = true;
    }
}

impl Reading {
    fn look(&mut self) -> Result<(), Error> {
        let mut world = self.engine.world(OPERATION)?;
        let began = world.began;
        let swarm = world.member(&self.engine.hostname).map(|(swarm, _)| swarm.to_owned()).unwrap_or_default();
        world.controlled(&self.engine.hostname, OPERATION)?;
        let Some(cluster) = world.clusters.get(&swarm) else { return Ok(()) };
        let is_wanted = |id: &str, service: &str| match &self.wanted {
            Wanted::Service(wanted) => wanted == service,
            Wanted::Task(wanted) => wanted == id,
        };
        let mut silent = BTreeSet::new();
        for task in cluster.tasks.values().filter(|task| is_wanted(&task.id, &task.service)) {
            let (Some(node), Some(started)) = (&task.node, task.started) else { continue };
            if self.read.contains(&task.id) {
                continue;
            }
            if !world.is_alive(&swarm, node) {
                silent.insert(node.clone());
                continue;
            }
            if world.logs_hang(&swarm, node) {
                self.hangs = true;
                continue;
            }
            self.read.insert(task.id.clone());
            let at = clock::unix(began, started) * 1000;
            if self.options.since.is_some_and(|since| at < since) {
                continue;
            }
            let lines = said(task);
            let skipped = self.options.tail.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
            self.ready.extend(lines.iter().skip(skipped).map(|line| {
                LogItem::Line(LogLine {
                    at: clock::text(began, started),
                    task: task.id.clone(),
                    node: node.clone(),
                    service: task.service.clone(),
                    stderr: false,
                    line: line.clone().into_bytes(),
                })
            }));
        }
        if !silent.is_empty() && !self.looked {
            let nodes: Vec<String> = silent.into_iter().collect();
            let each: Vec<String> = nodes.iter().map(|node| format!("node {node} is not available")).collect();
            let reason = format!(
                "warning: incomplete log stream. some logs could not be retrieved for the following reasons: {}",
                each.join(", ")
            );
            self.ready.push_back(LogItem::Gap { reason, nodes });
        }
        Ok(())
    }
}

/// What a task writes: its program, and then the platform's probe for a check that never says yes.
fn said(task: &FakeTask) -> Vec<String> {
    let FakeImage { behaviour, .. } = &task.image;
    let is_probed = matches!(task.spec.health, HealthCheck::Program(_)) && behaviour.healthy.is_none();
    let probe = (is_probed && !behaviour.answer.is_empty()).then(|| format!("futuswarm-probe: {}", behaviour.answer));
    behaviour.log.iter().cloned().chain(probe).collect()
}
