//! When a machine is switched on, pressed on its power button, or cut off: decisions without input or output.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::observed_instances::{Machine, View};

/// How long a guest may take to shut down after its button was pressed. EC2 gives it some minutes; one under software emulation
/// needs about half of this.
pub const SOFT: Duration = Duration::from_secs(50);
/// A guest that is still booting may not hear the button, so it is pressed again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is to become of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its instance runs.
    Run,
    /// Its instance is stopping or stopped: the machine ends, its disk stays.
    Stop,
    /// Its instance is gone: machine and disk go.
    Terminate,
}

/// What the emulator says of an instance.
pub fn fate(view: &View, instance: &str) -> Fate {
    if view.running.contains_key(instance) {
        Fate::Run
    } else if view.stopped.contains(instance) {
        Fate::Stop
    } else {
        Fate::Terminate
    }
}

/// The end of a machine that was asked to shut down.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    since: Instant,
    presses: u32,
    cut: bool,
}

/// What is to be done to a machine that is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its guest is shutting down.
    Wait,
    /// Its power button.
    Press,
    Cut,
}

impl Ending {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        Self { since: now, presses: 0, cut: false }
    }

    /// The next step; it counts as taken.
    pub fn step(&mut self, now: Instant) -> Step {
        let elapsed = now.saturating_duration_since(self.since);
        if self.cut {
            Step::Wait
        } else if elapsed >= SOFT {
            self.cut = true;
            Step::Cut
        } else if elapsed >= AGAIN * self.presses {
            self.presses += 1;
            Step::Press
        } else {
            Step::Wait
        }
    }
}

/// Why an instance that runs has no machine yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    pub instance: String,
    /// Who has its address.
    pub holder: String,
}

/// Which instances get a machine now. One whose address another machine still has must wait for the end of that one, and two
/// VPCs with the same addresses are one network too many here: the instance with the smaller id has the address.
pub fn startable<'a>(view: &'a View, powered: &BTreeMap<String, Ipv4Addr>) -> (Vec<&'a Machine>, Vec<Conflict>) {
    let mut holders: BTreeMap<Ipv4Addr, &str> = powered.iter().map(|(id, address)| (*address, id.as_str())).collect();
    let (mut now, mut conflicts) = (Vec::new(), Vec::new());
    for machine in view.running.values().filter(|machine| !powered.contains_key(&machine.id)) {
        match holders.get(&machine.address) {
            Some(holder) => {
                conflicts.push(Conflict { instance: machine.id.clone(), holder: (*holder).to_owned() });
            }
            None => {
                holders.insert(machine.address, &machine.id);
                now.push(machine);
            }
        }
    }
    (now, conflicts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed_instances::tests::machine;

    fn view(running: &[(&str, &str)], stopped: &[&str]) -> View {
        let running = running.iter().map(|(id, address)| ((*id).to_owned(), machine(id, address)));
        View {
            running: running.collect(),
            stopped: stopped.iter().map(|id| (*id).to_owned()).collect(),
            ..View::default()
        }
    }

    #[test]
    fn an_instance_runs_stops_or_is_gone() {
        let view = view(&[("i-1", "10.0.0.4")], &["i-2"]);
        assert_eq!(fate(&view, "i-1"), Fate::Run);
        assert_eq!(fate(&view, "i-2"), Fate::Stop);
        assert_eq!(fate(&view, "i-3"), Fate::Terminate);
    }

    #[test]
    fn the_button_is_pressed_until_the_bound_and_the_power_cut_once() {
        let begin = Instant::now();
        let mut ending = Ending::new(begin);
        // A poll every two seconds, as the daemon's, for two minutes.
        let steps: Vec<(u64, Step)> = (0..60)
            .map(|poll| poll * 2)
            .map(|second| (second, ending.step(begin + Duration::from_secs(second))))
            .filter(|(_, step)| *step != Step::Wait)
            .collect();
        let pressed: Vec<u64> =
            steps.iter().filter(|(_, step)| *step == Step::Press).map(|(second, _)| *second).collect();
        assert_eq!(pressed, [0, 10, 20, 30, 40]);
        assert_eq!(steps.last(), Some(&(50, Step::Cut)));
        assert_eq!(steps.len(), 6, "cut once: {steps:?}");
        assert!(SOFT + Duration::from_secs(10) <= Duration::from_secs(60), "gone within a minute");
    }

    #[test]
    fn a_look_that_comes_late_cuts_without_pressing() {
        let begin = Instant::now();
        let mut ending = Ending::new(begin);
        assert_eq!(ending.step(begin + SOFT), Step::Cut);
        assert_eq!(ending.step(begin + SOFT * 2), Step::Wait);
    }

    #[test]
    fn an_address_has_one_machine_at_a_time() {
        let view = view(&[("i-1", "10.0.0.4"), ("i-2", "10.0.0.5"), ("i-3", "10.0.0.5"), ("i-4", "10.0.0.6")], &[]);
        // i-0 is shutting down, and the emulator has given its address to i-4.
        let powered = [("i-0", "10.0.0.6"), ("i-1", "10.0.0.4")];
        let powered = powered.map(|(id, address)| (id.to_owned(), address.parse().unwrap())).into();
        let (now, conflicts) = startable(&view, &powered);
        assert_eq!(now.iter().map(|machine| machine.id.as_str()).collect::<Vec<_>>(), ["i-2"]);
        let conflict =
            |instance: &str, holder: &str| Conflict { instance: instance.to_owned(), holder: holder.to_owned() };
        assert_eq!(conflicts, [conflict("i-3", "i-2"), conflict("i-4", "i-0")]);
        let (now, conflicts) = startable(&view, &BTreeMap::new());
        assert_eq!((now.len(), conflicts.len()), (3, 1));
    }
}
