//! Tasks of an engine in memory: what time makes of each, and `docker service ps`.

use std::time::Duration;

use tokio::time::Instant;

use super::behaviour::{Behaviour, FakeImage};
use super::{FakeEngine, clock};
use crate::{Attachment, Error, HealthCheck, ServiceSpec, Task, TaskApi, TaskState};

/// What the health check of an image is taken for: three times thirty seconds.
const IMAGE_CHECK: Duration = Duration::from_secs(90);

#[derive(Debug, Clone)]
pub(super) struct FakeTask {
    pub(super) id: String,
    pub(super) service: String,
    pub(super) slot: u64,
    pub(super) node: Option<String>,
    pub(super) state: TaskState,
    pub(super) desired: TaskState,
    /// The spec that it was made from.
    pub(super) spec: ServiceSpec,
    pub(super) image: FakeImage,
    pub(super) created: Instant,
    pub(super) since: Instant,
    /// When it got running.
    pub(super) ran: Option<Instant>,
    /// When its state changes by itself.
    pub(super) due: Option<Instant>,
    /// When one that is to be started after a delay is.
    pub(super) promoted: Option<Instant>,
    /// When it has stopped.
    stopped: Option<Instant>,
    /// When it began to run its program.
    pub(super) started: Option<Instant>,
    pub(super) message: String,
    pub(super) error: String,
    pub(super) exit_code: Option<i64>,
}

impl FakeTask {
    pub(super) fn new(id: String, service: &str, slot: u64, spec: &ServiceSpec, at: Instant) -> Self {
        Self {
            id,
            service: service.to_owned(),
            slot,
            node: None,
            state: TaskState::Pending,
            desired: TaskState::Running,
            spec: spec.clone(),
            image: FakeImage::default(),
            created: at,
            since: at,
            ran: None,
            due: None,
            promoted: None,
            stopped: None,
            started: None,
            message: "pending task scheduling".to_owned(),
            error: String::new(),
            exit_code: None,
        }
    }

    /// Whether the Swarm counts on it.
    pub(super) fn is_live(&self) -> bool {
        self.desired <= TaskState::Complete && !self.state.is_over()
    }

    /// Whether it is what a service's tasks should be.
    pub(super) fn is_of(&self, spec: &ServiceSpec) -> bool {
        if self.spec == *spec {
            return true;
        }
        // The rest of a spec is no part of a task's.
        let template = |of: &ServiceSpec| ServiceSpec {
            name: String::new(),
            labels: spec.labels.clone(),
            mode: spec.mode,
            update: None,
            rollback: None,
            ..of.clone()
        };
        template(&self.spec) == template(spec)
    }

    /// Gets a node, which has the image already or pulls it.
    pub(super) fn assign(&mut self, node: &str, image: FakeImage, is_there: bool, at: Instant) {
        self.node = Some(node.to_owned());
        self.due = Some(at + if is_there { Duration::ZERO } else { image.pull });
        self.image = image;
        self.error.clear();
        self.enter(TaskState::Preparing, "preparing", at);
    }

    /// One step of what happens by itself at a time; `false` when nothing does.
    pub(super) fn advance(&mut self, at: Instant) -> bool {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= at);
        if self.state.is_over() {
            return false;
        }
        if self.desired > TaskState::Complete {
            if self.state < TaskState::Starting || is_due(self.stopped) {
                self.exit_code = (self.state >= TaskState::Starting).then_some(0);
                self.enter(TaskState::Shutdown, "shutdown", at);
                return true;
            }
            if self.stopped.is_none() {
                self.stopped = Some(at + self.image.behaviour.stops.min(self.spec.stop_grace));
                return true;
            }
        }
        match self.state {
            TaskState::Preparing if is_due(self.due) => match self.image.behaviour.rejected.clone() {
                Some(reason) => {
                    self.error = reason;
                    self.enter(TaskState::Rejected, "preparing", at);
                }
                None => {
                    self.due = None;
                    self.enter(TaskState::Ready, "ready", at);
                }
            },
            TaskState::Ready if self.promoted.map_or(self.desired != TaskState::Ready, |promoted| promoted <= at) => {
                self.desired = self.desired.max(TaskState::Running);
                self.start(at);
            }
            TaskState::Starting | TaskState::Running if is_due(self.due) => self.turn(at),
            _ => return false,
        }
        true
    }

    fn start(&mut self, at: Instant) {
        self.started = Some(at);
        self.enter(TaskState::Starting, "starting", at);
        self.due = self.next_turn(at);
    }

    /// When its program has something new to say: healthy, not healthy, or over.
    fn next_turn(&self, started: Instant) -> Option<Instant> {
        let end = self.image.behaviour.ends.map(|(after, _)| started + after);
        if self.state == TaskState::Running {
            return end;
        }
        let change = started + self.healthy_after().unwrap_or_else(|| self.patience());
        Some(end.map_or(change, |end| end.min(change)))
    }

    fn healthy_after(&self) -> Option<Duration> {
        match self.spec.health {
            HealthCheck::Disabled => Some(Duration::ZERO),
            _ => self.image.behaviour.healthy,
        }
    }

    fn patience(&self) -> Duration {
        match &self.spec.health {
            HealthCheck::Program(check) => check.start_period + check.interval * check.retries,
            _ => IMAGE_CHECK,
        }
    }

    fn turn(&mut self, at: Instant) {
        let started = self.started.unwrap_or(at);
        let Behaviour { ends, .. } = &self.image.behaviour;
        let is_healthy = self.healthy_after().is_some_and(|after| started + after <= at);
        if self.state == TaskState::Starting && is_healthy {
            self.ran = Some(at);
            self.enter(TaskState::Running, "started", at);
            self.due = self.next_turn(started);
            return;
        }
        let code = match *ends {
            Some((after, code)) if started + after <= at => code,
            _ => {
                self.exit_code = Some(137);
                self.error = "task: non-zero exit (137): dockerexec: unhealthy container".to_owned();
                return self.enter(TaskState::Failed, "starting", at);
            }
        };
        self.exit_code = Some(code);
        if code == 0 {
            return self.enter(TaskState::Complete, "finished", at);
        }
        self.error = format!("task: non-zero exit ({code})");
        self.enter(TaskState::Failed, "started", at);
    }

    fn enter(&mut self, state: TaskState, message: &str, at: Instant) {
        self.state = state;
        self.since = at;
        message.clone_into(&mut self.message);
        if state.is_over() {
            self.due = None;
        }
    }

    /// The next time at which something may happen by itself.
    pub(super) fn dues(&self) -> impl Iterator<Item = Instant> {
        let dues = if self.state.is_over() { [None; 3] } else { [self.due, self.promoted, self.stopped] };
        dues.into_iter().flatten()
    }

    pub(super) fn container(&self) -> Option<String> {
        self.started.map(|_| format!("container-{}", self.id))
    }

    fn told(&self, began: Instant) -> Task {
        Task {
            id: self.id.clone(),
            service: self.service.clone(),
            slot: self.slot,
            node: self.node.clone(),
            state: self.state,
            desired: self.desired,
            created_at: clock::text(began, self.created),
            since: clock::text(began, self.since),
            message: self.message.clone(),
            error: self.error.clone(),
            container: self.container(),
            exit_code: self.exit_code,
            image: self.spec.image.clone(),
            container_labels: self.spec.container_labels.clone(),
            resources: self.spec.resources,
        }
    }
}

impl TaskApi for FakeEngine {
    async fn list_tasks(&self, service: Option<&str>) -> Result<Vec<Task>, Error> {
        let mut world = self.world("service ps")?;
        let began = world.began;
        let cluster = world.controlled(&self.hostname, "service ps")?;
        let of = |task: &&FakeTask| {
            service.is_none_or(|name| {
                task.service == name || cluster.services.get(name).is_some_and(|service| service.id == task.service)
            })
        };
        Ok(cluster.tasks.values().filter(of).map(|task| task.told(began)).collect())
    }

    async fn list_attachments(&self) -> Result<Vec<Attachment>, Error> {
        let mut world = self.world("service ps")?;
        let cluster = world.controlled(&self.hostname, "service ps")?;
        let mut attachments = Vec::new();
        for (number, task) in cluster.tasks.values().enumerate() {
            for network in task.spec.networks.iter().filter_map(|one| cluster.networks.get(&one.network)) {
                // The second address of a subnet is the first that is not its gateway's.
                let address = |subnet: &String| subnet.replace(".0/", &format!(".{}/", 2 + number % 250));
                attachments.push(Attachment {
                    task: task.id.clone(),
                    service: Some(task.service.clone()),
                    node: task.node.clone(),
                    state: task.state,
                    network: network.id.clone(),
                    addresses: network.subnets.iter().map(address).collect(),
                });
            }
        }
        Ok(attachments)
    }
}
