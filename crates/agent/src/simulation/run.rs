//! One run: what its seed has planned, then no more faults, then the check of what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futuswarm_model::{Genesis, HEARTBEAT, Role, keys};
use futuswarm_store::Store;
use futuswarm_swarm::fake::Event;
use tokio::time::Instant;

use super::Planted;
use super::cluster::Cluster;
use super::log::{Entry, Log};
use super::plan::{Action, Moment, Plan};

/// How often the run acts while there are faults.
const STEP: Duration = Duration::from_millis(200);
/// The cluster is as it should be so long after the last fault: the longest waits of the rules on the way there are those for a join
/// that cannot succeed (a minute), and pauses of at most 15 s between attempts.
const SETTLES_WITHIN: Duration = Duration::from_secs(600);
/// A call that hangs ends after so long.
pub(super) const HANGS: Duration = Duration::from_secs(65);
/// And it stays like that, for longer than a heartbeat and a round: a loop that hangs falls silent.
const STAYS: Duration = Duration::from_secs(HEARTBEAT.as_secs() + 5);
/// So long after its majority is gone nobody has done anything rash.
const STAYS_LOST: Duration = Duration::from_secs(120);

/// What came of a run.
pub(super) struct Report {
    pub(super) log: Log,
    pub(super) plan: Arc<Plan>,
    /// What went wrong, the first first.
    pub(super) violations: Vec<String>,
    /// Whether the run has killed the majority of the Swarm.
    pub(super) lost: bool,
    pub(super) simulated: Duration,
}

/// What is to be done at some time.
#[derive(Debug, Clone, Copy)]
enum Todo {
    Plan(Action),
    Launch(Role),
    StartAgent(usize),
    StartEngine(usize),
    KillFounder,
    EndOutages,
}

struct Run {
    cluster: Cluster,
    plan: Arc<Plan>,
    start: Instant,
    todo: BTreeMap<(Duration, usize), Todo>,
    added: usize,
    founder_dies: Option<(Moment, Duration)>,
}

/// Plays the run of a seed; all of it happens on this thread, in simulated time.
pub(super) fn run(seed: u64, planted: Planted, files: PathBuf) -> Report {
    // Pauses and the order of managers come from the thread's own generator.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let report = runtime.block_on(async {
        let mut rng = Rng::with_seed(seed);
        let plan = Arc::new(Plan::of(&mut rng));
        let cluster = Cluster::new(rng, Arc::clone(&plan), planted, files);
        let founder_dies = plan.founder_dies;
        let (start, todo) = (Instant::now(), BTreeMap::new());
        Run { cluster, plan, start, todo, added: 0, founder_dies }.play().await
    });
    runtime.shutdown_background();
    report
}

impl Run {
    async fn play(mut self) -> Report {
        self.deploy().await;
        while self.start.elapsed() < self.plan.faults_end {
            self.step().await;
            tokio::time::sleep(STEP).await;
        }
        self.calm_down().await;
        // A call that hangs has begun before.
        tokio::time::sleep(HANGS).await;
        let lost = self.cluster.is_lost().await;
        let ending = self.settle().await;
        let mut violations = self.cluster.log.violations();
        violations.extend(ending.err());
        let simulated = self.start.elapsed();
        Report { log: self.cluster.log, plan: self.plan, violations, lost, simulated }
    }

    /// What `deploy-cluster` does: it opens the epoch and starts the groups.
    async fn deploy(&mut self) {
        let left_over: Vec<usize> = (0..self.plan.left_over).map(|_| self.cluster.launch(Role::Worker)).collect();
        if !left_over.is_empty() {
            self.cluster.left_over(&left_over).await;
            self.start = Instant::now();
        }
        let epoch = if left_over.is_empty() { 1 } else { 2 };
        let genesis =
            Genesis { cluster: "prod".to_owned(), epoch, founder: None, swarm_id: None, claimed_at: 1_800_000_000_000 };
        self.cluster.log.entries().clear();
        self.cluster.note_genesis(&genesis);
        let store = Store::new(self.cluster.bucket.clone());
        store.put(keys::GENESIS, &genesis).await.unwrap();
        if self.plan.login {
            let login = crate::login::tests::record("https://idp.example.com");
            store.put(keys::LOGIN, &login).await.unwrap();
        }
        let plan = Arc::clone(&self.plan);
        for index in left_over {
            self.after(Duration::ZERO, Todo::StartAgent(index));
        }
        for (index, at) in plan.starts.iter().enumerate() {
            let role = if index < plan.managers as usize { Role::Manager } else { Role::Worker };
            let is_left_over = role == Role::Worker && index - (plan.managers as usize) < plan.left_over as usize;
            if !is_left_over {
                self.after(*at, Todo::Launch(role));
            }
        }
        for (at, action) in &plan.actions {
            self.after(*at, Todo::Plan(*action));
        }
    }

    /// Adds something to be done after some time from now.
    fn after(&mut self, time: Duration, todo: Todo) {
        self.added += 1;
        self.todo.insert((self.start.elapsed() + time, self.added), todo);
    }

    async fn step(&mut self) {
        self.founder_may_die();
        while let Some(((at, _), _)) = self.todo.first_key_value()
            && *at <= self.start.elapsed()
            && let Some((_, todo)) = self.todo.pop_first()
        {
            self.act(todo).await;
        }
    }

    async fn act(&mut self, todo: Todo) {
        match todo {
            Todo::Plan(action) => self.action(action).await,
            Todo::Launch(role) => {
                let index = self.cluster.launch(role);
                self.cluster.start_agent(index);
            }
            Todo::StartAgent(index) => self.cluster.start_agent(index),
            Todo::StartEngine(index) => {
                let instance = self.cluster.machines[index].node.instance.clone();
                self.cluster.say(format!("dockerd of {instance} starts"));
                self.cluster.swarm.set_running(&instance, true);
            }
            Todo::KillFounder => {
                let founder = self.cluster.genesis().await.and_then(|genesis| genesis.founder);
                if let Some(index) = founder.and_then(|founder| self.cluster.index_of(&founder)) {
                    self.kill(index).await;
                }
            }
            Todo::EndOutages => self.cluster.set_all_rates(),
        }
    }

    async fn action(&mut self, action: Action) {
        match action {
            Action::Crash => {
                if let Some(index) = self.cluster.pick(None) {
                    self.cluster.crash(index);
                    let pause = self.cluster.between(1000, 10_000);
                    self.after(pause, Todo::StartAgent(index));
                }
            }
            Action::Kill(role) => {
                if let Some(index) = self.cluster.pick(Some(role)) {
                    self.kill(index).await;
                }
            }
            Action::KillLeader => {
                let Some(swarm) = self.cluster.confirmed().await else { return };
                let leader = self.cluster.swarm.leader(&swarm);
                if let Some(index) = leader.and_then(|leader| self.cluster.index_of(&leader)) {
                    self.kill(index).await;
                }
            }
            Action::StopEngine(time) => {
                if let Some(index) = self.cluster.pick(None) {
                    let instance = self.cluster.machines[index].node.instance.clone();
                    self.cluster.say(format!("dockerd of {instance} stops for {time:?}"));
                    self.cluster.swarm.set_running(&instance, false);
                    self.after(time, Todo::StartEngine(index));
                }
            }
            Action::Fail(role) => {
                if let Some(index) = self.cluster.pick(Some(role)) {
                    let instance = self.cluster.machines[index].node.instance.clone();
                    self.cluster.say(format!("the engine of {instance} cannot take part any more"));
                    if index.is_multiple_of(2) {
                        self.cluster.swarm.fail(&instance);
                    } else {
                        self.cluster.swarm.lock_up(&instance);
                    }
                }
            }
            Action::Wipe(role) => {
                if let Some(index) = self.cluster.pick(Some(role)) {
                    let instance = self.cluster.machines[index].node.instance.clone();
                    self.cluster.say(format!("{instance} has a new disk"));
                    self.cluster.crash(index);
                    self.cluster.swarm.wipe(&instance);
                    self.after(Duration::from_secs(30), Todo::StartAgent(index));
                }
            }
            Action::Jump(millis) => {
                if let Some(index) = self.cluster.pick(None) {
                    self.cluster.jump(index, millis);
                }
            }
            Action::Outage(service, time) => {
                self.cluster.outage(service, time);
                self.after(time, Todo::EndOutages);
            }
        }
    }

    /// An instance dies, and its group starts another one.
    async fn kill(&mut self, index: usize) {
        let role = self.cluster.machines[index].node.config.role;
        self.cluster.kill(index);
        if self.plan.strangers && role == Role::Manager {
            self.cluster.stranger().await;
        }
        let pause = self.cluster.between(5000, 90_000);
        self.after(pause, Todo::Launch(role));
    }

    /// Plans the founder's death once the founding is so far.
    fn founder_may_die(&mut self) {
        let Some((moment, delay)) = self.founder_dies else { return };
        let is_so_far = self.cluster.log.entries().iter().any(|(_, entry)| match (moment, entry) {
            (Moment::Claimed, Entry::Genesis { genesis, .. }) => genesis.founder.is_some(),
            (Moment::Initialised, Entry::Engine(Event::Initialised { hostname, .. })) => hostname.starts_with("i-"),
            (Moment::Confirmed, Entry::Genesis { genesis, .. }) => genesis.swarm_id.is_some(),
            _ => false,
        });
        if is_so_far {
            self.founder_dies = None;
            self.after(delay, Todo::KillFounder);
        }
    }

    /// Ends all faults; what comes back by itself comes back now.
    async fn calm_down(&mut self) {
        self.cluster.end_faults();
        for (_, todo) in std::mem::take(&mut self.todo) {
            if matches!(todo, Todo::Launch(_) | Todo::StartAgent(_) | Todo::StartEngine(_)) {
                self.act(todo).await;
            }
        }
    }

    /// Waits until the cluster is as it should be. One whose majority was killed is deployed again.
    async fn settle(&mut self) -> Result<(), String> {
        if let (true, Some(swarm)) = (self.cluster.is_lost().await, self.cluster.confirmed().await) {
            tokio::time::sleep(STAYS_LOST).await;
            self.cluster.wrong_although_lost(&swarm).await?;
            self.deploy_again().await;
        }
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            match self.cluster.unfinished().await {
                Ok(()) => break,
                Err(reason) if Instant::now() > deadline => {
                    return Err(format!("{SETTLES_WITHIN:?} after the last fault: {reason}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        tokio::time::sleep(STAYS).await;
        let lapsed = |reason| format!("it was finished, and {STAYS:?} later: {reason}");
        self.cluster.unfinished().await.map_err(lapsed)?;
        self.cluster.silent_for(STAYS).await
    }

    /// What `destroy-cluster` and `deploy-cluster` do about a lost Swarm over the same bucket: the managers end, a new epoch is
    /// opened when none of them runs any more, and others start. Workers are left over.
    async fn deploy_again(&mut self) {
        let managers = self.cluster.living_managers();
        for index in &managers {
            self.cluster.kill(*index);
        }
        self.cluster.open_next_epoch().await;
        for _ in managers {
            self.act(Todo::Launch(Role::Manager)).await;
        }
    }
}
