//! The nodes of a run: instances that come and go, each with an engine and the process of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futuswarm_faults::{Faults, Rates};
use futuswarm_model::{Genesis, ManagerRecord, Role, keys};
use futuswarm_node_files::Files;
use futuswarm_store::{FaultyBucket, MemoryBucket, Store};
use futuswarm_swarm::fake::{FakeEngine, FakeSwarm};
use futuswarm_swarm::faults::FaultyEngine;
use futuswarm_swarm::{InitOptions, SwarmApi as _};
use futuswarm_vault::MemoryVault;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::clients::{
    FakeDns, FakeInstances, FakeMetadata, FakeProvider, IdleEdge, JumpyClock, Simulated, WatchedBucket,
};
use super::iam::{Principal, WatchedVault};
use super::log::{Entry, Log, STRANGER};
use super::plan::{Plan, Service};
use super::run::HANGS;
use super::{Planted, Surroundings};
use crate::agent::Agent;
use crate::platform::Clients;
use crate::{Clock as _, Node, Record, supervision};

/// An instance and what is on it.
pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) living: bool,
    engine: FakeEngine,
    pub(super) clock: JumpyClock,
    pub(super) files: Files,
    faults: MachineFaults,
    agent: Option<AbortHandle>,
}

struct MachineFaults {
    bucket: Faults,
    engine: Faults,
    vault: Faults,
    ec2: Faults,
    dns: Faults,
}

/// The cluster of a run.
pub(super) struct Cluster {
    pub(super) swarm: FakeSwarm,
    pub(super) bucket: MemoryBucket,
    pub(super) log: Log,
    pub(super) machines: Vec<Machine>,
    living: Arc<Mutex<BTreeSet<String>>>,
    /// Of all instances that ever were.
    addresses: Arc<Mutex<BTreeMap<String, Ipv4Addr>>>,
    /// What names lead to.
    pub(super) records: Arc<Mutex<BTreeMap<String, Record>>>,
    start: Instant,
    rng: Rng,
    plan: Arc<Plan>,
    planted: Planted,
    outages: BTreeMap<Service, Instant>,
    faults_over: bool,
    /// Addresses of instances that are gone.
    free: Vec<Ipv4Addr>,
    files: PathBuf,
}

impl Cluster {
    pub(super) fn new(mut rng: Rng, plan: Arc<Plan>, planted: Planted, files: PathBuf) -> Self {
        let (swarm, log) = (FakeSwarm::new(rng.u64(..)), Log::new());
        swarm.plant(planted.engine);
        let events = log.clone();
        swarm.observe(move |event| events.add(Entry::Engine(event)));
        Self {
            swarm,
            bucket: MemoryBucket::default(),
            log,
            machines: Vec::new(),
            living: Arc::default(),
            addresses: Arc::default(),
            records: Arc::default(),
            start: Instant::now(),
            rng,
            plan,
            planted,
            outages: BTreeMap::new(),
            faults_over: false,
            free: Vec::new(),
            files,
        }
    }

    /// Whether the cluster has a login.
    pub(super) fn has_login(&self) -> bool {
        self.plan.login
    }

    pub(super) fn say(&self, what: String) {
        self.log.add(Entry::Driver(what));
    }

    /// Switches a new instance on, with or without an agent's process.
    pub(super) fn launch(&mut self, role: Role) -> usize {
        let index = self.machines.len();
        let instance = format!("i-{index}");
        let reused = if self.plan.reuses_addresses { self.free.pop() } else { None };
        let last = u8::try_from(index % 200).unwrap_or_default();
        let address = reused.unwrap_or(Ipv4Addr::new(10, 42, 0, last + 1));
        let mut node = crate::heartbeat::tests::node(&instance, role);
        node.address = address;
        node.booted_at = 0;
        node.config.manager_key = (role == Role::Manager).then(|| "alias/futuswarm/prod/manager".to_owned());
        let mut faults = || Faults::seeded(self.rng.u64(..), Rates::default());
        let faults =
            MachineFaults { bucket: faults(), engine: faults(), vault: faults(), ec2: faults(), dns: faults() };
        let engine = self.swarm.machine(&instance, &address.to_string());
        self.living.lock().unwrap().insert(instance.clone());
        self.addresses.lock().unwrap().insert(instance.clone(), address);
        self.say(format!("launch {instance} {role} at {address}"));
        let clock = JumpyClock { start: self.start, offset: Arc::default() };
        let files = self.files_of(&instance);
        self.machines.push(Machine { node, living: true, engine, clock, files, faults, agent: None });
        if self.plan.clocks_are_wrong {
            let millis = super::plan::jump(&mut self.rng);
            self.jump(index, millis);
        }
        self.set_rates(index);
        index
    }

    /// Folders of a new instance, with nothing that one of its name has left in another run.
    fn files_of(&self, instance: &str) -> Files {
        let run = self.files.join("run").join(instance);
        let _there_was_none = std::fs::remove_dir_all(&run);
        std::fs::create_dir_all(&run).unwrap();
        let host_key = run.join("host_key.pub");
        let seed = [u8::try_from(self.machines.len() % 256).unwrap_or_default(); 32];
        std::fs::write(&host_key, futuswarm_ssh_keys::Authority::from_seed(&seed, "a host").public().unwrap()).unwrap();
        Files { download: run.join("cli"), run, containers: self.files.clone(), host_key, credentials: None }
    }

    /// Starts the process of a node's agent.
    pub(super) fn start_agent(&mut self, index: usize) {
        let starts = Duration::from_millis(self.rng.u64(500..8000));
        let machine = &mut self.machines[index];
        if !machine.living || machine.agent.as_ref().is_some_and(|agent| !agent.is_finished()) {
            return;
        }
        let (log, node, clock) = (self.log.clone(), machine.node.clone(), machine.clock.clone());
        let (principal, living) = (Principal::new(&node, &log), Arc::clone(&self.living));
        let watched = WatchedBucket::new(self.bucket.clone(), principal.clone(), Arc::clone(&living), self.planted);
        let clients = Clients::<Simulated> {
            store: Store::new(FaultyBucket::new(watched, machine.faults.bucket.clone())),
            engine: FaultyEngine::new(machine.engine.clone(), machine.faults.engine.clone()),
            vault: WatchedVault { vault: MemoryVault::new(machine.faults.vault.clone()), principal: principal.clone() },
            dns: FakeDns {
                records: Arc::clone(&self.records),
                faults: machine.faults.dns.clone(),
                forgets: self.planted.names_are_not_changed,
                principal: principal.clone(),
            },
            // As far away as Route 53.
            discovery: FakeProvider { faults: machine.faults.dns.clone() },
            instances: FakeInstances {
                living: Arc::clone(&self.living),
                addresses: Arc::clone(&self.addresses),
                faults: machine.faults.ec2.clone(),
                forgets_everybody: self.planted.ec2_forgets_everybody,
                principal: principal.clone(),
            },
            metadata: FakeMetadata,
            clock: clock.clone(),
            edge: IdleEdge {
                starts,
                is_not_stopped: self.planted.edges_are_not_stopped,
                faults: machine.faults.engine.clone(),
                principal,
            },
        };
        let (files, instance) = (machine.files.clone(), node.instance.clone());
        let calm_at = self.start + self.plan.faults_end + HANGS + Duration::from_secs(1);
        let planted = self.planted.decide.map(|decide| -> crate::agent::Planted {
            Box::new(move |observed| {
                let (now, calm) = (clock.unix_millis(), calm_at < Instant::now());
                // A decision that panics must not hold the lock.
                let living = living.lock().unwrap().clone();
                decide(observed, &Surroundings { now, living: &living, calm })
            })
        });
        let process = tokio::spawn(async move {
            let (tasks, mut ends) = supervision::supervisor();
            let mut agent = Agent::new(node, clients, tasks, files);
            agent.planted = planted;
            tokio::select! {
                biased;
                error = ends.first() => error.to_string(),
                ended = agent.forever() => format!("{ended:?}"),
            }
        });
        machine.agent = Some(process.abort_handle());
        tokio::spawn(async move {
            let reason = match process.await {
                Ok(reason) => reason,
                // The run has crashed it.
                Err(error) if error.is_cancelled() => return,
                Err(error) => supervision::panicked("the agent's loop", error).to_string(),
            };
            log.add(Entry::Ended { instance, reason });
        });
    }

    /// Kills the process of a node's agent, wherever it waits.
    pub(super) fn crash(&mut self, index: usize) {
        if let Some(agent) = self.machines[index].agent.take() {
            self.say(format!("crash the agent of {}", self.machines[index].node.instance));
            agent.abort();
        }
    }

    /// Takes an instance away.
    pub(super) fn kill(&mut self, index: usize) {
        self.crash(index);
        let machine = &mut self.machines[index];
        machine.living = false;
        let instance = machine.node.instance.clone();
        self.living.lock().unwrap().remove(&instance);
        self.free.push(machine.node.address);
        self.swarm.terminate(&instance);
        self.say(format!("kill {instance}"));
    }

    /// Another cluster in the same network: its first manager gets the address of a dead instance, if one is free.
    pub(super) async fn stranger(&mut self) {
        let Some(address) = self.free.pop() else { return };
        let hostname = format!("{STRANGER}{address}");
        self.say(format!("{hostname} has the address of a dead instance"));
        let engine = FakeSwarm::machine(&self.swarm, &hostname, &address.to_string());
        init(&engine, address).await;
    }

    /// Workers in the Swarm of an epoch whose managers are gone; the record of one of these is still there.
    pub(super) async fn left_over(&mut self, workers: &[usize]) {
        let address = Ipv4Addr::new(10, 42, 1, 1);
        let old = self.swarm.machine("i-old", &address.to_string());
        init(&old, address).await;
        for index in workers {
            let token = old.join_tokens().await.unwrap().worker;
            let manager = vec![format!("{address}:2377")];
            self.machines[*index].engine.join_swarm("", manager, &token).await.unwrap();
        }
        let swarm_id = old.membership().await.unwrap().swarm.unwrap();
        let (instance, updated_at) = ("i-old".to_owned(), 1_799_999_000_000);
        let record = ManagerRecord { instance, address: format!("{address}:2377"), swarm_id, updated_at };
        Store::new(self.bucket.clone()).put(&keys::manager("i-old"), &record).await.unwrap();
        self.swarm.terminate("i-old");
    }

    pub(super) fn jump(&mut self, index: usize, millis: i64) {
        self.say(format!("the clock of {} jumps by {millis} ms", self.machines[index].node.instance));
        self.machines[index].clock.offset.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn outage(&mut self, service: Service, time: Duration) {
        self.say(format!("{service:?} is away for {time:?}"));
        self.outages.insert(service, Instant::now() + time);
        self.set_all_rates();
    }

    /// Ends every fault.
    pub(super) fn end_faults(&mut self) {
        self.say("all faults end".to_owned());
        self.faults_over = true;
        self.set_all_rates();
    }

    pub(super) fn set_all_rates(&self) {
        (0..self.machines.len()).for_each(|index| self.set_rates(index));
    }

    fn set_rates(&self, index: usize) {
        let faults = &self.machines[index].faults;
        let is_away = |service| self.outages.get(&service).is_some_and(|until| Instant::now() < *until);
        let rates = |service, usual: Rates| match (self.faults_over, is_away(service)) {
            (true, _) => Rates::default(),
            (false, true) => Rates { fail: 1000, ..Rates::default() },
            (false, false) => usual,
        };
        faults.bucket.set(rates(Service::S3, self.plan.bucket));
        faults.vault.set(rates(Service::Kms, Rates { absent: 0, ..self.plan.services }));
        let services = Rates { absent: 0, ..self.plan.services };
        faults.ec2.set(rates(Service::Ec2, services));
        faults.dns.set(if self.faults_over { Rates::default() } else { services });
        faults.engine.set(if self.faults_over { Rates::default() } else { self.plan.engine });
    }

    pub(super) fn living_managers(&self) -> Vec<usize> {
        let is_one = |machine: &Machine| machine.living && machine.node.config.role == Role::Manager;
        (0..self.machines.len()).filter(|index| is_one(&self.machines[*index])).collect()
    }

    /// Opens the epoch after the last, as `deploy-cluster` does when no manager of that one runs any more.
    pub(super) async fn open_next_epoch(&self) {
        let store = Store::new(self.bucket.clone());
        let Some(last) = self.genesis().await else { return };
        let dead = self.machines.iter().filter(|machine| !machine.living).map(|machine| machine.node.instance.clone());
        futuswarm_store::forget_nodes(&store, &dead.collect()).await.unwrap();
        let next = Genesis { epoch: last.epoch + 1, founder: None, swarm_id: None, ..last };
        self.note_genesis(&next);
        store.put(keys::GENESIS, &next).await.unwrap();
    }

    /// The run itself has written the record of the Swarm.
    pub(super) fn note_genesis(&self, genesis: &Genesis) {
        self.log.add(Entry::Genesis { genesis: genesis.clone(), living: self.living.lock().unwrap().clone() });
    }

    /// A living node of this role, or any.
    pub(super) fn pick(&mut self, role: Option<Role>) -> Option<usize> {
        let fits = |machine: &Machine| machine.living && role.is_none_or(|role| machine.node.config.role == role);
        let fitting: Vec<usize> = (0..self.machines.len()).filter(|index| fits(&self.machines[*index])).collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(..fitting.len())])
    }

    pub(super) fn index_of(&self, instance: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.node.instance == instance && machine.living)
    }

    /// A time by chance.
    pub(super) fn between(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(self.rng.u64(shortest..=longest))
    }
}

async fn init(engine: &FakeEngine, address: Ipv4Addr) {
    let (address_pool, address_pool_mask) = ("10.128.0.0/9".to_owned(), 24);
    engine.init_swarm(&InitOptions { address: address.to_string(), address_pool, address_pool_mask }).await.unwrap();
}
