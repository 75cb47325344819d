//! Docker Engines in memory that form Swarms as Docker's do, for tests of the rules above [`crate::Engine`].
//!
//! A [`FakeSwarm`] is a world of machines and of any number of Swarms among them; a [`FakeEngine`] is the engine of one machine.
//! Statuses and messages are those of moby (`daemon/cluster/errors.go`, `daemon/cluster/swarm.go`) and swarmkit
//! (`manager/controlapi/node.go`). Time is tokio's. What happens by chance (who is elected, and when) comes from a seed. Services have
//! tasks, which do what [`Behaviour`] says of their image, and are updated and put back as swarmkit does it.

mod behaviour;
mod clock;
mod containers;
mod events;
mod images;
mod logs;
mod machine;
mod membership;
mod networks;
mod nodes;
mod orchestrator;
mod programs;
mod secrets;
mod services;
mod state;
mod surroundings;
mod swarm;
mod tasks;
#[cfg(test)]
mod tests;
mod updater;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Node, Service};
pub use behaviour::{Behaviour, FakeImage, Script};
pub use containers::ContainerView;
pub use events::Event;
pub use programs::ProgramView;
use world::World;
pub use world::{Defects, MachineView};

/// Machines with engines, and the Swarms that these form. Clones share one world.
#[derive(Debug, Clone)]
pub struct FakeSwarm(Arc<Mutex<World>>);

/// The engine of one machine. Clones speak to the same engine.
#[derive(Debug, Clone)]
pub struct FakeEngine {
    world: FakeSwarm,
    hostname: String,
}

impl FakeSwarm {
    /// A world without machines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World::new(seed))))
    }

    /// Switches a new machine on. Its engine is in no Swarm.
    #[must_use]
    pub fn machine(&self, hostname: &str, address: &str) -> FakeEngine {
        self.lock().add_machine(hostname, address);
        FakeEngine { world: self.clone(), hostname: hostname.to_owned() }
    }

    /// Stops or starts a machine's engine. Its membership is on its disk and outlasts that.
    pub fn set_running(&self, hostname: &str, running: bool) {
        self.lock().set_running(hostname, running);
    }

    /// Takes a machine and its disk away for ever.
    pub fn terminate(&self, hostname: &str) {
        self.lock().terminate(hostname);
    }

    /// The disk of a machine is new: its engine has never been in a Swarm.
    pub fn wipe(&self, hostname: &str) {
        self.lock().wipe(hostname);
    }

    /// A machine's engine can take no part in its Swarm any more, and says so: what it keeps of it on its disk is damaged.
    pub fn fail(&self, hostname: &str) {
        let error = "failed to initialize certificate store: unexpected end of file".to_owned();
        self.lock().fail(hostname, machine::Local::Failed { error });
    }

    /// A machine's engine waits for an unlock key.
    pub fn lock_up(&self, hostname: &str) {
        self.lock().fail(hostname, machine::Local::Locked);
    }

    /// What is true of a machine's engine, whoever could ask it.
    #[must_use]
    pub fn view(&self, hostname: &str) -> Option<MachineView> {
        self.lock().view(hostname)
    }

    /// Tells each event as it happens; the observer must not call this world.
    pub fn observe(&self, observer: impl FnMut(Event) + Send + 'static) {
        self.lock().observer = events::Observer(Some(Box::new(observer)));
    }

    /// A Swarm's list of nodes, in the order of their ids.
    #[must_use]
    pub fn nodes(&self, swarm_id: &str) -> Vec<Node> {
        let mut world = self.lock();
        world.settle();
        world.clusters.get(swarm_id).map(swarm::FakeCluster::nodes).unwrap_or_default()
    }

    /// A Swarm's services, by their names.
    #[must_use]
    pub fn services(&self, swarm_id: &str) -> Vec<Service> {
        let mut world = self.lock();
        world.settle();
        let began = world.began;
        let told = |swarm: &swarm::FakeCluster| swarm.services.values().map(|service| service.told(began)).collect();
        world.clusters.get(swarm_id).map(told).unwrap_or_default()
    }

    /// Pushes an image to the registry of the world, under a reference by which services name it. What is not of
    /// `127.0.0.1:5000/` is in the machines' own image, and this only says what it does.
    pub fn push(&self, reference: &str, image: impl Into<FakeImage>) {
        self.lock().images.insert(reference.to_owned(), image.into());
    }

    /// Gives a machine another size of memory, in bytes.
    pub fn set_memory(&self, hostname: &str, bytes: u64) {
        let mut world = self.lock();
        world.settle();
        let members = world.clusters.values_mut().flat_map(|cluster| cluster.members.values_mut());
        members.filter(|member| member.hostname == hostname).for_each(|member| member.memory = bytes);
        world.settle();
    }

    /// Has all Swarms keep so many tasks of each slot, as those that were founded with another limit.
    pub fn keep_tasks(&self, per_slot: usize) {
        self.lock().clusters.values_mut().for_each(|cluster| cluster.history = Some(per_slot));
    }

    /// Why a machine can pull no images from now on; `None` when it can again.
    pub fn fail_pulls(&self, hostname: &str, reason: Option<&str>) {
        if let Some(machine) = self.lock().machines.get_mut(hostname) {
            machine.pulls_fail = reason.map(str::to_owned);
        }
    }

    /// Whether a machine never answers who asks for logs, although its engine is as it should be (moby#37336).
    pub fn hang_logs(&self, hostname: &str, hangs: bool) {
        if let Some(machine) = self.lock().machines.get_mut(hostname) {
            machine.logs_hang = hangs;
        }
    }

    /// The content of a secret, which no engine tells.
    #[must_use]
    pub fn secret(&self, swarm_id: &str, name: &str) -> Option<Vec<u8>> {
        let world = self.lock();
        let mut secrets = world.clusters.get(swarm_id)?.secrets.values();
        secrets.find(|secret| secret.told.name == name).map(|secret| secret.content.clone())
    }

    /// What has been asked of a program that somebody runs by hand.
    #[must_use]
    pub fn program(&self, hostname: &str, name: &str) -> Option<ProgramView> {
        self.lock().machines.get(hostname)?.programs.get(name).map(programs::FakeProgram::view)
    }

    /// Whether a Swarm has, or can have again without anybody's help, a majority of the voters of its raft.
    #[must_use]
    pub fn can_have_a_majority(&self, swarm_id: &str) -> bool {
        self.lock().can_have_a_majority(swarm_id)
    }

    /// The machine whose manager leads a Swarm.
    #[must_use]
    pub fn leader(&self, swarm_id: &str) -> Option<String> {
        self.lock().leader(swarm_id)
    }

    /// How many Swarms there ever were.
    #[must_use]
    pub fn swarms(&self) -> usize {
        self.lock().swarms()
    }

    /// Defects of the engines, to show that a test notices them.
    pub fn plant(&self, defects: Defects) {
        self.lock().defects = defects;
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeEngine {
    /// The world as it is now, for this call; fails when the engine does not run.
    fn world(&self, operation: &'static str) -> Result<MutexGuard<'_, World>, Error> {
        let mut world = self.world.lock();
        world.settle();
        if world.is_running(&self.hostname) {
            return Ok(world);
        }
        Err(Error::Unreachable { operation, reason: "connection refused".to_owned() })
    }
}

/// A refusal of the engine.
fn refused(operation: &'static str, status: u16, message: impl Into<String>) -> Error {
    Error::Refused { operation, status, message: message.into() }
}
