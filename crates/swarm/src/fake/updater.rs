//! How a service's tasks are replaced, as swarmkit's updater does it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::clock;
use super::state::{Place, Update};
use super::surroundings::Surroundings;
use super::swarm::FakeCluster;
use super::tasks::FakeTask;
use crate::{Order, TaskState, UpdateState, UpdateStatus};

enum Next {
    Nothing,
    Fail(String),
    Finish(Place),
    Promote(String),
    Begin(Place),
    Watch,
    Complete,
}

impl FakeCluster {
    /// One step of a service's update.
    pub(super) fn update(&mut self, name: &str, around: &Surroundings<'_>, at: Instant) -> bool {
        let began = around.began;
        let Some(service) = self.services.get(name) else { return false };
        if service.spec.mode.is_job() {
            return false;
        }
        let state = service.status.as_ref().map(|status| status.state);
        let Some(update) = &service.update else {
            let rolls_back = state == Some(UpdateState::RollbackStarted);
            let is_new = state.is_none() && self.dirty(name).next().is_some();
            if !is_new && !rolls_back {
                return false;
            }
            let policy = if rolls_back { service.spec.rollback } else { service.spec.update };
            let policy = policy.unwrap_or_default();
            let update = Update { policy, rolls_back, going: BTreeMap::new(), made: BTreeSet::new(), lasted: None };
            let version = self.next_version();
            let Some(service) = self.services.get_mut(name) else { return false };
            service.update = Some(update);
            // Each change of the status is one of the service.
            service.version = version;
            if is_new {
                service.status = Some(UpdateStatus {
                    state: UpdateState::Updating,
                    message: "update in progress".to_owned(),
                    started_at: clock::text(began, at),
                    completed_at: String::new(),
                });
            }
            return true;
        };
        let next = self.next_of(name, update, at);
        self.apply(name, next, began, at)
    }

    /// Places with a task that is not what the service's should be.
    fn dirty<'a>(&'a self, name: &str) -> impl Iterator<Item = Place> + 'a {
        let service = self.services.get(name);
        let tasks = self.tasks.values();
        tasks
            .filter(move |task| service.is_some_and(|it| task.service == it.id && !task.is_of(&it.spec)))
            .filter(|task| task.is_live())
            .map(Place::of)
    }

    fn next_of(&self, name: &str, update: &Update, at: Instant) -> Next {
        let Some(service) = self.services.get(name) else { return Next::Nothing };
        let failed = update.made.iter().filter_map(|id| self.tasks.get(id)).find(|task| {
            let ended = matches!(task.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected);
            ended && task.ran.is_none_or(|ran| task.since.duration_since(ran) <= update.policy.monitor)
        });
        // Putting back goes on whatever fails.
        if let Some(failed) = failed.filter(|_| !update.rolls_back) {
            return Next::Fail(failed.id.clone());
        }
        for (place, id) in &update.going {
            let new = self.tasks.get(id);
            if new.is_none_or(|new| new.state >= TaskState::Running) {
                return Next::Finish(place.clone());
            }
            let outdated = |task: &&FakeTask| {
                task.service == service.id && Place::of(task) == *place && task.id != *id && !task.state.is_over()
            };
            let waits = new.is_some_and(|new| new.desired == TaskState::Ready && new.promoted.is_none());
            if waits && !self.tasks.values().any(|task| outdated(&task)) {
                return Next::Promote(id.clone());
            }
        }
        let mut dirty = self.dirty(name).filter(|place| !update.going.contains_key(place)).peekable();
        let is_busy = update.policy.parallelism > 0 && update.going.len() as u64 >= update.policy.parallelism;
        match (dirty.peek(), update.lasted) {
            (Some(_), _) if is_busy => Next::Nothing,
            (Some(place), _) => Next::Begin(place.clone()),
            (None, _) if !update.going.is_empty() => Next::Nothing,
            (None, None) => Next::Watch,
            (None, Some(lasted)) if lasted <= at => Next::Complete,
            (None, Some(_)) => Next::Nothing,
        }
    }

    fn apply(&mut self, name: &str, next: Next, began: Instant, at: Instant) -> bool {
        let Some(service) = self.services.get_mut(name) else { return false };
        let Some(update) = &mut service.update else { return false };
        let (id, policy) = (service.id.clone(), update.policy);
        match next {
            Next::Nothing => return false,
            Next::Fail(task) => {
                let message = format!("update rolled back due to failure or early termination of task {task}");
                if let Some(status) = &mut service.status {
                    status.state = UpdateState::RollbackStarted;
                    status.message = message;
                }
                if let Some(previous) = service.previous.take() {
                    service.spec = previous;
                }
                service.update = None;
                let version = self.next_version();
                if let Some(service) = self.services.get_mut(name) {
                    service.version = version;
                }
            }
            Next::Finish(place) => {
                let new = update.going.remove(&place);
                self.stop_others(&id, &place, new.as_deref());
            }
            Next::Promote(task) => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.desired = TaskState::Running;
                }
            }
            Next::Begin(place) => {
                let spec = service.spec.clone();
                let is_clean = |task: &&FakeTask| Place::of(task) == place && task.is_live() && task.is_of(&spec);
                let clean = self.tasks_of(&id).find(is_clean).map(|task| task.id.clone());
                let new = match clean {
                    Some(clean) => clean,
                    None => {
                        let new = self.add_task(&id, &place, &spec, at);
                        if policy.order == Order::StopFirst {
                            new.desired = TaskState::Ready;
                        }
                        new.id.clone()
                    }
                };
                if policy.order == Order::StopFirst {
                    self.stop_others(&id, &place, Some(&new));
                }
                if let Some(update) = self.services.get_mut(name).and_then(|service| service.update.as_mut()) {
                    update.made.insert(new.clone());
                    update.going.insert(place, new);
                    update.lasted = None;
                }
            }
            Next::Watch => update.lasted = Some(at + policy.monitor),
            Next::Complete => {
                let (state, message) = match update.rolls_back {
                    true => (UpdateState::RollbackCompleted, "rollback completed"),
                    false => (UpdateState::Completed, "update completed"),
                };
                service.update = None;
                if let Some(status) = &mut service.status {
                    status.state = state;
                    message.clone_into(&mut status.message);
                    status.completed_at = clock::text(began, at);
                }
                let version = self.next_version();
                if let Some(service) = self.services.get_mut(name) {
                    service.version = version;
                }
            }
        }
        true
    }

    fn stop_others(&mut self, service: &str, place: &Place, new: Option<&str>) {
        for task in self.tasks.values_mut().filter(|task| task.service == service && Place::of(task) == *place) {
            if Some(task.id.as_str()) != new && task.is_live() {
                task.desired = TaskState::Shutdown;
            }
        }
    }
}
