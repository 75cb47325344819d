//! A Swarm as far as a rollout meets it: tasks that start and end, updates that go on by themselves, and go back when tasks fail.

use std::collections::BTreeMap;

use futuswarm_model::{Progress, Release};

use crate::rollout::{EDGES, Edges, HookRun, Image, Observation, Place, Pull, Service, Step, Task, TaskState, Update};

/// What a new release's image, hook and program do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    GoodWithoutCheck,
    /// Its tasks are good, and one node's edge never has its routes.
    NeverServed,
    Exits,
    /// With the code 0, which the Swarm calls no error.
    ExitsWithZero,
    OutOfMemory,
    Rejected,
    NeverHealthy,
    OtherPort,
    NoNodeFits,
    /// It asks for more than any node has.
    TooLarge,
    HookFails,
    HookHangs,
    HookFitsNowhere,
    ImageMissing,
    OtherPlatform,
    PullFails,
}

/// The Swarm's nodes, on each of which tasks may run.
const NODES: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
pub struct SimTask {
    release: u64,
    state: TaskState,
    is_wanted: bool,
    error: String,
    age: u32,
    behaviour: Behaviour,
}

#[derive(Debug, Clone)]
pub struct SimService {
    version: u64,
    release: u64,
    spec: u64,
    behaviour: Behaviour,
    previous: Option<(u64, u64, Behaviour)>,
    update: Update,
    tasks: Vec<SimTask>,
}

#[derive(Debug)]
pub struct World {
    pub now: u64,
    pub behaviour: Behaviour,
    /// Specifications of releases; by default each has its own.
    pub specs: BTreeMap<u64, u64>,
    pub service: Option<SimService>,
    /// Whether all releases have one image.
    pub same_image: bool,
    /// How many releases were noted as ended.
    pub records: usize,
    image_seen: bool,
    pulls: BTreeMap<String, u32>,
    hook: Option<(u64, u64)>,
    /// Since when tasks of a release have been healthy that edges get to know.
    healthy: Option<u64>,
    versions: u64,
}

impl World {
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            now: super::START,
            behaviour,
            specs: BTreeMap::new(),
            service: None,
            same_image: false,
            records: 0,
            image_seen: false,
            pulls: BTreeMap::new(),
            hook: None,
            healthy: None,
            versions: 0,
        }
    }

    /// The releases whose tasks run, one entry each.
    pub fn running(&self) -> Vec<u64> {
        let tasks = self.service.iter().flat_map(|service| &service.tasks);
        tasks.filter(|task| matches!(task.state, TaskState::Running { .. })).map(|task| task.release).collect()
    }

    fn spec(&mut self, release: u64) -> u64 {
        *self.specs.entry(release).or_insert(release)
    }

    pub fn observe(&mut self, release: &Release) -> Observation {
        let spec = self.spec(release.number);
        let image = match (self.image_seen, self.behaviour) {
            (false, _) => Image::Unknown,
            (_, Behaviour::ImageMissing) => Image::Missing,
            (_, Behaviour::OtherPlatform) => Image::OtherPlatform { has: "linux/arm64".to_owned() },
            _ => Image::Present { digest: "sha256:1".to_owned(), has_health_check: false },
        };
        let full = "no space left on device";
        let pull = |node: &str| match self.pulls.get(node) {
            None => Pull::Absent,
            Some(_) if self.behaviour == Behaviour::PullFails => Pull::Failed { reason: full.to_owned(), room: None },
            Some(age) if *age > 3 => Pull::Done,
            Some(_) => Pull::Running,
        };
        let hook = match (self.hook.filter(|(of, _)| *of == release.number), self.behaviour) {
            (None, _) => HookRun::Absent,
            (Some((_, since)), Behaviour::HookFitsNowhere) => {
                HookRun::Waiting { since, error: "no suitable node".to_owned() }
            }
            (Some((_, since)), Behaviour::HookHangs) => HookRun::Running { since, log: Vec::new() },
            (Some((_, since)), _) if self.now < since + 4_000 => HookRun::Running { since, log: Vec::new() },
            (Some(_), behaviour) => {
                HookRun::Ended { code: i64::from(behaviour == Behaviour::HookFails), log: Vec::new() }
            }
        };
        let service = self.service.as_ref().map(|service| Service {
            version: service.version,
            release: Some(service.release),
            is_as_wanted: service.spec == spec,
            has_image: self.same_image,
            update: service.update.clone(),
            tasks: service.tasks.iter().map(SimTask::observe).collect(),
        });
        let memory: u64 = if self.behaviour == Behaviour::TooLarge { 256 << 20 } else { 4 << 30 };
        let place = || Place { memory, free: Some(memory / 16), ..Place::default() };
        let places = NODES.map(|node| (node.to_owned(), place())).into();
        let nodes = NODES.map(|node| (node.to_owned(), pull(node))).into();
        Observation { now: self.now, image, places, away_at: 0, nodes, hook, service, edges: self.edges() }
    }

    /// The leader publishes a few seconds after the tasks are healthy, and edges follow one after the other.
    fn edges(&self) -> Edges {
        let since = self.healthy.map(|since| self.now - since);
        let behind: &[&str] = match (since, self.behaviour) {
            (Some(3_000..), Behaviour::NeverServed) => &["a"],
            (Some(6_000..), _) => &[],
            (Some(3_000..), _) => &["b"],
            (None | Some(_), _) => return Edges::Unpublished { refused: None },
        };
        Edges::Published { behind: behind.iter().map(|node| (*node).to_owned()).collect() }
    }

    pub fn act(&mut self, release: &mut Release, step: &Step) {
        match step {
            Step::Wait { .. } => {}
            Step::FindImage => self.image_seen = true,
            Step::NoteDigest { digest, has_health_check } => {
                release.digest = Some(digest.clone());
                release.has_health_check = Some(*has_health_check);
            }
            Step::Pull { nodes } => self.pulls.extend(nodes.iter().map(|node| (node.clone(), 0))),
            Step::RunHook => {
                // A second start of the same run finds the first.
                if self.hook.is_none_or(|(of, _)| of != release.number) {
                    self.hook = Some((release.number, self.now));
                }
            }
            Step::NoteUpdate { base, previous } => {
                release.progress = Progress::Updating { base: *base, previous: *previous };
            }
            Step::Apply { base } => self.apply(release.number, *base),
            Step::NoteHealthy { previous } => {
                release.progress = Progress::Announcing { previous: *previous, until: self.now + EDGES };
                self.healthy = Some(self.now);
            }
            Step::NoteBack { to, outcome, failure } => {
                let (to, outcome, failure) = (*to, *outcome, failure.clone());
                release.progress = Progress::GoingBack { to, outcome, failure, until: self.now + 120_000 };
            }
            Step::RollBack { to } => self.roll_back(*to),
            Step::End { outcome, failure } => {
                release.progress = Progress::Ended { outcome: *outcome, failure: failure.clone(), at: self.now };
                self.records += 1;
                // What belongs to one release only.
                (self.image_seen, self.hook, self.healthy) = (false, None, None);
                self.pulls.clear();
            }
        }
    }

    fn version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    fn apply(&mut self, release: u64, base: Option<u64>) {
        let (version, spec, behaviour) = (self.version(), self.spec(release), self.behaviour);
        let now = self.now;
        match (&mut self.service, base) {
            (None, None) => {
                self.service = Some(SimService {
                    version,
                    release,
                    spec,
                    behaviour,
                    previous: None,
                    update: Update::Idle,
                    tasks: (0..3).map(|_| SimTask::new(release, behaviour, now)).collect(),
                });
            }
            (Some(service), Some(base)) if service.version == base => {
                service.previous = Some((service.release, service.spec, service.behaviour));
                service.become_release(version, (release, spec, behaviour), Update::Updating);
            }
            // "update out of sequence", or a name that is taken.
            _ => {}
        }
    }

    fn roll_back(&mut self, to: Option<u64>) {
        let version = self.version();
        match (&mut self.service, to) {
            (service @ Some(_), None) => *service = None,
            (Some(service), Some(to)) => {
                if let Some(previous) = service.previous.take().filter(|(release, ..)| *release == to) {
                    service.become_release(version, previous, Update::RollingBack);
                }
            }
            (None, _) => {}
        }
    }

    /// A second passes.
    pub fn tick(&mut self) {
        self.now += 1_000;
        self.pulls.values_mut().for_each(|age| *age += 1);
        let (now, version) = (self.now, self.version());
        if let Some(service) = &mut self.service {
            service.tick(now, version);
        }
    }
}

impl SimTask {
    fn new(release: u64, behaviour: Behaviour, now: u64) -> Self {
        let state = TaskState::Pending { since: now };
        Self { release, state, is_wanted: true, error: String::new(), age: 0, behaviour }
    }

    fn observe(&self) -> Task {
        Task {
            release: Some(self.release),
            state: self.state.clone(),
            is_wanted: self.is_wanted,
            error: self.error.clone(),
            log: Vec::new(),
        }
    }

    fn is_good(&self) -> bool {
        match &self.state {
            TaskState::Running { healthy, .. } => {
                *healthy == Some(true) || (self.behaviour == Behaviour::GoodWithoutCheck && self.age > 8)
            }
            _ => false,
        }
    }

    fn tick(&mut self, now: u64) {
        self.age += 1;
        match (&mut self.state, self.behaviour) {
            (TaskState::Pending { .. }, Behaviour::NoNodeFits) => self.error = "insufficient memory".to_owned(),
            (TaskState::Pending { .. }, _) => self.state = TaskState::Starting,
            (TaskState::Starting, Behaviour::Rejected) => {
                self.error = "no such file".to_owned();
                self.state = TaskState::Rejected;
            }
            (TaskState::Starting, _) => {
                self.state = TaskState::Running { since: now, healthy: None, answer: String::new() };
            }
            (TaskState::Running { .. }, Behaviour::Exits | Behaviour::OutOfMemory) => {
                let out_of_memory = self.behaviour == Behaviour::OutOfMemory;
                self.error = "task: non-zero exit".to_owned();
                let code = Some(if out_of_memory { 137 } else { 3 });
                self.state = TaskState::Ended { code, out_of_memory, unhealthy: None };
            }
            (TaskState::Running { .. }, Behaviour::ExitsWithZero) => {
                // Another takes its place at once.
                self.is_wanted = false;
                self.state = TaskState::Ended { code: Some(0), out_of_memory: false, unhealthy: None };
            }
            (TaskState::Running { healthy, answer, .. }, behaviour) => match behaviour {
                Behaviour::NeverHealthy => (*healthy, *answer) = (Some(false), "500".to_owned()),
                Behaviour::OtherPort => *answer = "connection refused".to_owned(),
                Behaviour::GoodWithoutCheck => {}
                _ => *healthy = Some(true),
            },
            _ => {}
        }
    }
}

impl SimService {
    fn become_release(&mut self, version: u64, (release, spec, behaviour): (u64, u64, Behaviour), update: Update) {
        (self.version, self.release, self.spec, self.behaviour) = (version, release, spec, behaviour);
        self.update = update;
    }

    fn tick(&mut self, now: u64, version: u64) {
        self.tasks.iter_mut().for_each(|task| task.tick(now));
        let has_ended = |task: &SimTask| matches!(task.state, TaskState::Ended { .. } | TaskState::Rejected);
        let has_failed = |task: &SimTask| task.release == self.release && has_ended(task);
        match (&self.update, self.tasks.iter().any(has_failed)) {
            (Update::Updating, true) => {
                if let Some(previous) = self.previous.take() {
                    self.become_release(version, previous, Update::RollingBack);
                }
            }
            (Update::Updating | Update::RollingBack, _) => self.replace_one(version, now),
            // The Swarm starts what has ended again.
            (_, _) => {
                let alive = self.tasks.iter().filter(|task| !task.state.is_over()).count();
                self.tasks.extend((alive..3).map(|_| SimTask::new(self.release, self.behaviour, now)));
            }
        }
    }

    /// Start first: a new task, and once it is good an old one less.
    fn replace_one(&mut self, version: u64, now: u64) {
        let release = self.release;
        let count = |tasks: &[SimTask], is: &dyn Fn(&SimTask) -> bool| tasks.iter().filter(|task| is(task)).count();
        let new = count(&self.tasks, &|task| !task.state.is_over() && task.release == release);
        let good = count(&self.tasks, &|task| task.release == release && task.is_good());
        if new == good && new < 3 {
            self.tasks.push(SimTask::new(release, self.behaviour, now));
        }
        let old = count(&self.tasks, &|task| !task.state.is_over() && task.release != release);
        if good + old > 3 || (good == 3 && old > 0) {
            let mut alive = self.tasks.iter_mut().filter(|task| !task.state.is_over() && task.release != release);
            if let Some(task) = alive.next() {
                (task.is_wanted, task.state) = (false, TaskState::Stopped { since: now });
            }
        }
        if good == 3 && old == 0 {
            self.version = version;
            self.update = if self.update == Update::RollingBack { Update::RolledBack } else { Update::Idle };
        }
    }
}
