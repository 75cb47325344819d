//! What the managers of a Swarm make of its services, as swarmkit's orchestrators and scheduler do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::state::Place;
use super::surroundings::Surroundings;
use super::swarm::{DOWN_AFTER, FakeCluster, Member};
use super::tasks::FakeTask;
use crate::{Availability, Mode, RestartPolicy, ServiceSpec, TaskState};

/// Tasks that are kept per slot, the one that lives included; what `swarm init` asks for.
const HISTORY: usize = 5;
/// Before the next task in the place of one that has ended.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

impl FakeCluster {
    /// Brings tasks and services to a time. Returns the images that machines have by then because of it.
    pub(super) fn run(&mut self, around: &Surroundings<'_>, now: Instant) -> Vec<(String, String)> {
        let mut at = self.ran_until.unwrap_or(now).min(now);
        loop {
            // What happens at once ends: a task only ever goes forward, and a slot has at most one that lives.
            while self.step(around, at) {}
            match self.dues().filter(|due| *due > at && *due <= now).min() {
                Some(due) => at = due,
                None if at < now => at = now,
                None => break,
            }
        }
        self.ran_until = Some(now);
        let started = self.tasks.values().filter(|task| task.started.is_some());
        let pulled = started.filter_map(|task| {
            let hostname = &self.members.get(task.node.as_ref()?)?.hostname;
            Some((hostname.clone(), task.spec.image.clone()))
        });
        pulled.collect()
    }

    fn dues(&self) -> impl Iterator<Item = Instant> {
        let tasks = self.tasks.values().flat_map(FakeTask::dues);
        let updates = self.services.values().filter_map(|service| service.update.as_ref()?.lasted);
        let nodes = self.members.values().filter_map(|member| Some(member.silent_since? + DOWN_AFTER));
        tasks.chain(updates).chain(nodes)
    }

    fn step(&mut self, around: &Surroundings<'_>, at: Instant) -> bool {
        let mut changed = self.leave_nodes(at);
        let alive: BTreeSet<String> =
            self.members.iter().filter(|(id, it)| around.is_alive(id, it)).map(|(id, _)| id.clone()).collect();
        for task in self.tasks.values_mut() {
            if task.node.as_ref().is_none_or(|node| alive.contains(node)) {
                changed |= task.advance(at);
            }
        }
        if self.leader.is_none() {
            return changed;
        }
        for name in self.services.keys().cloned().collect::<Vec<_>>() {
            changed |= self.update(&name, around, at);
            changed |= self.orchestrate(&name, at);
        }
        self.reap();
        changed | self.schedule(around, &alive, at)
    }

    /// Tasks on nodes that are down or are to be empty are not counted on any more; those of removed nodes are gone.
    fn leave_nodes(&mut self, at: Instant) -> bool {
        let Self { members, tasks, .. } = self;
        let before = tasks.len();
        tasks.retain(|_, task| task.node.as_ref().is_none_or(|node| members.contains_key(node)));
        let mut changed = tasks.len() != before;
        for task in tasks.values_mut().filter(|task| task.is_live()) {
            let Some(member) = task.node.as_ref().and_then(|node| members.get(node)) else { continue };
            let down = member.silent_since.is_some_and(|since| at >= since + DOWN_AFTER);
            if down || member.spec.availability == Availability::Drain {
                task.desired = TaskState::Shutdown;
                changed = true;
            }
        }
        changed
    }

    pub(super) fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a FakeTask> + 'a {
        self.tasks.values().filter(move |task| task.service == service)
    }

    /// Makes the tasks that are missing, and ends those that are too many.
    fn orchestrate(&mut self, name: &str, at: Instant) -> bool {
        let Some((id, spec)) = self.services.get(name).map(|it| (it.id.clone(), it.spec.clone())) else { return false };
        let mut places = self.places(&spec, at);
        // Seen with Docker 26.1: a node that comes when a global job has begun gets no task of it, whatever becomes of the job.
        let of_job = |place: &Place| self.tasks_of(&id).any(|task| task.is_of(&spec) && Place::of(task) == *place);
        if spec.mode == Mode::GlobalJob && self.tasks_of(&id).any(|task| task.is_of(&spec)) {
            places.retain(of_job);
        }
        let mut changed = false;
        for task in self.tasks.values_mut().filter(|task| task.service == id && task.desired < TaskState::Remove) {
            let outdated = spec.mode.is_job() && !task.is_of(&spec);
            if !places.contains(&Place::of(task)) && task.is_live() || outdated {
                task.desired = TaskState::Remove;
                changed = true;
            }
        }
        // What has ended by itself is not wanted any more, whether or not another takes its place.
        let is_over = |task: &&mut FakeTask| task.service == id && task.state.is_over() && !spec.mode.is_job();
        for task in self.tasks.values_mut().filter(is_over) {
            task.desired = task.desired.max(TaskState::Shutdown);
        }
        for place in places {
            let here =
                || self.tasks_of(&id).filter(|task| Place::of(task) == place && task.desired < TaskState::Remove);
            if here().any(FakeTask::is_live) {
                continue;
            }
            let last = here().filter(|task| task.is_of(&spec)).max_by_key(|task| task.created);
            let done = last.is_some_and(|last| {
                let ended = matches!(last.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected);
                let is_through = spec.mode.is_job() && last.state == TaskState::Complete;
                ended && (spec.restart == RestartPolicy::Never || is_through)
            });
            let running = self.tasks_of(&id).filter(|task| task.is_live()).count() as u64;
            let waits = matches!(spec.mode, Mode::ReplicatedJob { concurrent, .. } if running >= concurrent);
            if done || waits {
                continue;
            }
            let delay = match (last, spec.restart) {
                (Some(_), RestartPolicy::Always { delay }) => Some(delay),
                _ => None,
            };
            let task = self.add_task(&id, &place, &spec, at);
            // Not at once, whatever the spec says: time would stand still for one that always fails.
            task.promoted = delay.map(|delay| at + delay.max(SHORTEST_DELAY));
            if spec.mode.is_job() {
                task.desired = TaskState::Complete;
            } else if task.promoted.is_some() {
                task.desired = TaskState::Ready;
            }
            changed = true;
        }
        changed
    }

    pub(super) fn add_task(&mut self, service: &str, place: &Place, spec: &ServiceSpec, at: Instant) -> &mut FakeTask {
        self.ids += 1;
        let id = format!("task-{:05}", self.ids);
        let mut task = FakeTask::new(id.clone(), service, place.slot, spec, at);
        // One of a global service has its node from the beginning.
        task.node.clone_from(&place.node);
        self.tasks.entry(id).or_insert(task)
    }

    fn places(&self, spec: &ServiceSpec, at: Instant) -> Vec<Place> {
        let slots = |tasks: u64| (1..=tasks).map(|slot| Place { slot, node: None }).collect();
        let fits = |member: &&Member| {
            let up = member.silent_since.is_none_or(|since| at < since + DOWN_AFTER);
            up && member.spec.availability == Availability::Active && has_labels(member, spec)
        };
        match spec.mode {
            Mode::Replicated(tasks) | Mode::ReplicatedJob { completions: tasks, .. } => slots(tasks),
            Mode::Global | Mode::GlobalJob => {
                let nodes = self.members.iter().filter(|(_, member)| fits(member));
                nodes.map(|(id, _)| Place { slot: 0, node: Some(id.clone()) }).collect()
            }
        }
    }

    /// Old tasks are forgotten as by swarmkit's reaper, which counts the one that lives, too: of five that are kept four are over.
    fn reap(&mut self) {
        let kept = self.history.unwrap_or(HISTORY);
        let mut counts: BTreeMap<(String, Place), usize> = BTreeMap::new();
        for task in self.tasks.values() {
            *counts.entry((task.service.clone(), Place::of(task))).or_default() += 1;
        }
        let mut forgotten = BTreeSet::new();
        // Ids count up: the oldest goes first.
        for task in self.tasks.values().filter(|task| task.state.is_over()) {
            let count = counts.entry((task.service.clone(), Place::of(task))).or_default();
            if *count > kept || task.desired == TaskState::Remove {
                *count = count.saturating_sub(1);
                forgotten.insert(task.id.clone());
            }
        }
        self.tasks.retain(|id, _| !forgotten.contains(id));
    }

    /// Gives nodes to tasks that have none.
    fn schedule(&mut self, around: &Surroundings<'_>, alive: &BTreeSet<String>, at: Instant) -> bool {
        let is_waiting = |task: &&FakeTask| task.state == TaskState::Pending && task.is_live();
        let waiting: Vec<String> = self.tasks.values().filter(is_waiting).map(|task| task.id.clone()).collect();
        let mut changed = false;
        for id in waiting {
            let Some(task) = self.tasks.get(&id) else { continue };
            let found = self.find_node(task, alive);
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            match found {
                Ok(node) => {
                    let hostname = self.members.get(&node).map(|member| member.hostname.as_str()).unwrap_or_default();
                    let (image, is_there) = around.image(&task.spec, around.machines.get(hostname));
                    task.assign(&node, image, is_there, at);
                    changed = true;
                }
                Err(reason) => task.error = reason,
            }
        }
        changed
    }

    fn find_node(&self, task: &FakeTask, alive: &BTreeSet<String>) -> Result<String, String> {
        let (mut unavailable, mut unlike, mut full) = (0, 0, 0);
        let mut best: Option<((usize, usize, usize), &String)> = None;
        let wanted = |(id, _): &(&String, &Member)| task.node.as_ref().is_none_or(|node| node == *id);
        let on = |node: &str, of: &FakeTask| {
            of.node.as_deref() == Some(node) && of.is_live() && of.state > TaskState::Pending
        };
        for (id, member) in self.members.iter().filter(wanted) {
            let reserved: u64 =
                self.tasks.values().filter(|it| on(id, it)).map(|it| it.spec.resources.reserved_memory_bytes).sum();
            if member.spec.availability != Availability::Active || !alive.contains(id) {
                unavailable += 1;
            } else if !has_labels(member, &task.spec) {
                unlike += 1;
            } else if reserved + task.spec.resources.reserved_memory_bytes > member.memory {
                full += 1;
            } else {
                let zone = |member: &Member| {
                    task.spec.spread_over.as_ref().and_then(|label| member.spec.labels.get(label).cloned())
                };
                let in_zone = |it: &&FakeTask| {
                    let theirs = it.node.as_ref().and_then(|node| self.members.get(node));
                    it.service == task.service && it.is_live() && theirs.is_some_and(|it| zone(it) == zone(member))
                };
                let same = self.tasks.values().filter(|it| on(id, it) && it.service == task.service).count();
                let all = self.tasks.values().filter(|it| on(id, it)).count();
                let zoned = if task.spec.spread_over.is_some() {
                    self.tasks.values().filter(|it| it.id != task.id).filter(in_zone).count()
                } else {
                    0
                };
                let rank = ((zoned, same, all), id);
                best = Some(best.map_or(rank, |best| best.min(rank)));
            }
        }
        let nodes = |count: usize| if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
        best.map(|(_, id)| id.clone()).ok_or_else(|| {
            let reasons = [
                (unavailable, format!("{} not available for new tasks", nodes(unavailable))),
                (full, format!("insufficient resources on {}", nodes(full))),
                (unlike, format!("scheduling constraints not satisfied on {}", nodes(unlike))),
            ];
            let reasons = reasons.into_iter().filter(|(count, _)| *count > 0).map(|(_, reason)| reason);
            format!("no suitable node ({})", reasons.collect::<Vec<_>>().join("; "))
        })
    }
}

fn has_labels(member: &Member, spec: &ServiceSpec) -> bool {
    spec.placement.iter().all(|(label, value)| member.spec.labels.get(label) == Some(value))
}
