//! The table of machines that are switched on. Whoever asks for a machine's end does not wait for a poll of the emulator.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futuswarm_local_api::VmStatus;
use tokio::process::Child;

use super::power::{Ending, Step};
use crate::observed_instances::Machine;
use futuswarm_aws_front::images::Images;

/// The tag that an Auto Scaling group leaves.
pub const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// A process that was killed is gone at once; its memory takes a moment.
const KILLED: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A machine that is switched on.
struct Vm {
    machine: Machine,
    process: Child,
    powered_on: SystemTime,
    /// Since its guest was asked to shut down, because its instance is to end or to start again.
    ending: Option<Ending>,
}

/// A machine whose process has ended.
pub struct Ended {
    /// What it was.
    pub machine: Machine,
    /// How QEMU ended.
    pub status: ExitStatus,
    /// Whether it was asked to.
    pub asked: bool,
}

/// The machines that are switched on, by instance.
#[derive(Clone, Default)]
pub struct Powered(Arc<Mutex<BTreeMap<String, Vm>>>);

impl Powered {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a machine that was just switched on.
    pub fn add(&self, machine: Machine, process: Child) {
        let vm = Vm { machine, process, powered_on: SystemTime::now(), ending: None };
        self.all().insert(vm.machine.id.clone(), vm);
    }

    /// Instance → address.
    pub fn addresses(&self) -> BTreeMap<String, Ipv4Addr> {
        self.all().iter().map(|(id, vm)| (id.clone(), vm.machine.address)).collect()
    }

    /// The machines whose instances are not among these.
    pub fn beyond(&self, running: &BTreeMap<String, Machine>) -> BTreeMap<String, Machine> {
        let all = self.all();
        let beyond = all.iter().filter(|(id, _)| !running.contains_key(*id));
        beyond.map(|(id, vm)| (id.clone(), vm.machine.clone())).collect()
    }

    /// Lets a machine end unless it is ending. Says whether that is new.
    pub fn begin_end(&self, instance: &str, now: Instant) -> bool {
        match self.all().get_mut(instance) {
            Some(vm) if vm.ending.is_none() => {
                vm.ending = Some(Ending::new(now));
                true
            }
            _ => false,
        }
    }

    /// What is to be done now to the machines that are ending.
    pub fn steps(&self, now: Instant) -> Vec<(String, Step)> {
        let mut all = self.all();
        let ending = all.iter_mut().filter_map(|(id, vm)| Some((id.clone(), vm.ending.as_mut()?.step(now))));
        ending.filter(|(_, step)| *step != Step::Wait).collect()
    }

    /// Machines whose processes have ended. They stay in the table until [`Self::remove`].
    pub fn ended(&self) -> Vec<Ended> {
        let mut all = self.all();
        let ended = all.values_mut().filter_map(|vm| {
            let status = vm.process.try_wait().ok().flatten()?;
            Some(Ended { machine: vm.machine.clone(), status, asked: vm.ending.is_some() })
        });
        ended.collect()
    }

    /// Forgets a machine.
    pub fn remove(&self, instance: &str) {
        self.all().remove(instance);
    }

    /// Cuts the power of a machine. The next poll observes its end. Says whether there is such a machine.
    pub fn cut(&self, instance: &str) -> bool {
        self.all().get_mut(instance).is_some_and(|vm| vm.process.start_kill().is_ok())
    }

    /// Cuts the power of all machines and waits until their processes are gone.
    pub async fn cut_all(&self) {
        for (id, vm) in self.all().iter_mut() {
            if let Err(error) = vm.process.start_kill() {
                tracing::debug!(instance = id, %error, "the machine had ended");
            }
        }
        let started = Instant::now();
        let gone = || self.all().values_mut().all(|vm| !matches!(vm.process.try_wait(), Ok(None)));
        while !gone() && started.elapsed() < KILLED {
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn status(&self, images: &RwLock<Images>) -> Vec<VmStatus> {
        let images = images.read().unwrap_or_else(PoisonError::into_inner);
        let status = |vm: &Vm| VmStatus {
            instance: vm.machine.id.clone(),
            address: vm.machine.address.to_string(),
            zone: vm.machine.zone.clone(),
            image: vm.machine.ami.clone(),
            image_name: images.by_ami(&vm.machine.ami).map(|image| image.name.clone()).unwrap_or_default(),
            group: vm.machine.tags.get(GROUP_TAG).cloned().unwrap_or_default(),
            state: if vm.ending.is_some() { "ending" } else { "running" }.to_owned(),
            powered_on: vm.powered_on.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            pid: vm.process.id().unwrap_or(0),
        };
        self.all().values().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    use super::*;
    use crate::observed_instances::tests::machine;
    use crate::vms::power::SOFT;

    fn process(argv: &[&str]) -> Child {
        let mut command = tokio::process::Command::new(argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }

    async fn ended(powered: &Powered) -> Vec<Ended> {
        let started = Instant::now();
        loop {
            let ended = powered.ended();
            if !ended.is_empty() || started.elapsed() > Duration::from_secs(10) {
                return ended;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    #[tokio::test]
    async fn a_power_cut_is_hard_and_no_end_that_was_asked_for() {
        let powered = Powered::default();
        powered.add(machine("i-1", "10.0.0.4"), process(&["sleep", "600"]));
        powered.add(machine("i-2", "10.0.0.5"), process(&["sleep", "600"]));
        assert!(!powered.cut("i-3"));
        assert!(powered.cut("i-1"));
        let gone = ended(&powered).await;
        assert_eq!(gone.iter().map(|one| (one.machine.id.as_str(), one.asked)).collect::<Vec<_>>(), [("i-1", false)]);
        assert_eq!(gone[0].status.signal(), Some(9));
        powered.remove("i-1");
        assert_eq!(powered.addresses().into_keys().collect::<Vec<_>>(), ["i-2"]);
        powered.cut_all().await;
        assert_eq!(powered.ended().len(), 1);
    }

    #[tokio::test]
    async fn an_end_is_begun_once_and_shown() {
        let powered = Powered::default();
        powered.add(machine("i-1", "10.0.0.4"), process(&["true"]));
        let now = Instant::now();
        assert!(powered.steps(now).is_empty());
        assert!(powered.begin_end("i-1", now));
        assert!(!powered.begin_end("i-1", now + SOFT), "the bound counts from the first time");
        assert!(!powered.begin_end("i-2", now));
        let images = RwLock::new(Images::default());
        assert_eq!(powered.status(&images)[0].state, "ending");
        assert_eq!(powered.beyond(&BTreeMap::new()).len(), 1);
        assert_eq!(powered.steps(now), [("i-1".to_owned(), Step::Press)]);
        assert_eq!(powered.steps(now + SOFT), [("i-1".to_owned(), Step::Cut)]);
        assert!(ended(&powered).await[0].asked);
    }
}
