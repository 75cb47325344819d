//! The faults in force, which calls they hit, and how far they have come. What faults there are is in `futuswarm_local_api::faults`.

mod activities;
pub mod answer;
pub mod operation;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_local_api::faults::{ApiFault, ApiFaultRule, Caller, Counts, OneProgress, Progress};
use http::HeaderMap;

/// How long a lost answer keeps its connection; every client has given up by then.
pub const LOST: Duration = Duration::from_secs(600);

/// Whether the call is answered here instead of being made.
pub fn replaces_the_call(fault: &ApiFault) -> bool {
    !matches!(fault, ApiFault::Late { .. } | ApiFault::Lost | ApiFault::Cut)
}

/// The service and operations that a fault is about when nothing is said of either.
fn usual(fault: &ApiFault) -> Option<(&'static str, &'static [&'static str])> {
    match fault {
        ApiFault::Absent => Some(("s3", &["GetObject", "HeadObject"])),
        ApiFault::Activities { .. } => Some(("autoscaling", &["DescribeScalingActivities"])),
        _ => None,
    }
}

/// A call, as far as faults ask about it.
#[derive(Debug, Clone, Copy)]
pub struct FaultSubject<'a> {
    /// The signing name of its service.
    pub service: &'a str,
    /// The region that it is signed for.
    pub region: &'a str,
    /// The operation, where it is known.
    pub action: Option<&'a str>,
    /// The path of its URI.
    pub path: &'a str,
    /// Who makes it.
    pub caller: Caller,
    /// Headers, for the User-Agent.
    pub headers: &'a HeaderMap,
}

impl FaultSubject<'_> {
    fn is_meant_by(&self, rule: &ApiFaultRule) -> bool {
        let usual = usual(&rule.fault);
        let service = rule.service.as_deref().or(usual.map(|(service, _)| service));
        let action = match (&rule.action, usual) {
            (Some(action), _) => self.action == Some(action),
            (None, Some((_, usual))) => self.action.is_some_and(|action| usual.contains(&action)),
            (None, None) => true,
        };
        let headers = ["user-agent", "x-amz-user-agent"].into_iter();
        let mut agents = headers.filter_map(|name| self.headers.get(name)?.to_str().ok());
        action
            && service.is_none_or(|service| service == self.service)
            && rule.region.as_ref().is_none_or(|region| region == self.region)
            && rule.path.as_ref().is_none_or(|part| self.path.contains(part))
            && rule.caller.is_none_or(|caller| caller == self.caller)
            && rule.agent.as_ref().is_none_or(|mark| agents.any(|agent| agent.contains(mark)))
    }
}

/// A fault in force.
struct InForce {
    rule: ApiFaultRule,
    counts: Counts,
    /// Calls that were chosen; of a lost answer before it counts as hit.
    struck: u32,
}

/// What is to happen to a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Before anything else.
    pub late: Duration,
    /// Then.
    pub fault: Option<ApiFault>,
    /// Which faults are about it, by their numbers, and whether it was each that struck with a lost answer.
    about: Vec<(u64, bool)>,
}

/// The faults in force, each with a number that no other ever has.
#[derive(Default)]
pub struct Injected(Mutex<(u64, Vec<(u64, InForce)>)>);

impl Injected {
    fn in_force(&self) -> MutexGuard<'_, (u64, Vec<(u64, InForce)>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what was in force.
    pub fn set(&self, faults: Vec<ApiFaultRule>) {
        let mut in_force = self.in_force();
        let first = in_force.0;
        in_force.0 += faults.len() as u64;
        let new = |rule| InForce { rule, counts: Counts::default(), struck: 0 };
        in_force.1 = (first..).zip(faults.into_iter().map(new)).collect();
    }

    /// How far the newest faults have come.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for (_, fault) in &self.in_force().1 {
            progress.all.seen += fault.counts.seen;
            progress.all.hit += fault.counts.hit;
            progress.all.done += fault.counts.done;
            let id = fault.rule.id.clone().unwrap_or_default();
            progress.faults.push(OneProgress { id, counts: fault.counts });
        }
        progress
    }

    /// What happens to a call. All late answers add up; of everything else the first that strikes is what happens.
    pub fn next(&self, subject: &FaultSubject<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for (number, fault) in &mut self.in_force().1 {
            if !subject.is_meant_by(&fault.rule) {
                continue;
            }
            fault.counts.seen += 1;
            let late = match fault.rule.fault {
                ApiFault::Late { milliseconds } => Some(Duration::from_millis(milliseconds)),
                _ => None,
            };
            let turn = fault.counts.seen > fault.rule.after
                && (fault.counts.seen - fault.rule.after - 1).is_multiple_of(fault.rule.every);
            let strikes = turn
                && fault.rule.count.is_none_or(|count| fault.struck < count)
                && (late.is_some() || verdict.fault.is_none());
            // A lost answer counts when the call has been made: whoever waits for that acts on it.
            let lost = strikes && matches!(fault.rule.fault, ApiFault::Lost | ApiFault::Cut);
            verdict.about.push((*number, lost));
            if !strikes {
                continue;
            }
            fault.struck += 1;
            fault.counts.hit += u32::from(!lost);
            match late {
                Some(late) => verdict.late += late,
                None => verdict.fault = Some(fault.rule.fault.clone()),
            }
        }
        verdict
    }

    /// Notes that a call is done. Rules that were replaced meanwhile are no longer there to count it.
    pub fn done(&self, verdict: &Verdict) {
        for (number, fault) in &mut self.in_force().1 {
            if let Some((_, lost)) = verdict.about.iter().find(|(about, _)| about == number) {
                fault.counts.hit += u32::from(*lost);
                fault.counts.done += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
