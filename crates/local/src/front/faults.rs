//! Faults of the AWS API, for rehearsals: throttling, failures, late answers, answers that never arrive although the call was
//! made, objects that are not visible yet, and activities of Auto Scaling that the emulator does not have.

mod activities;
pub mod answer;
pub mod operation;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Caller;
pub use activities::Activity;

/// How long a lost answer keeps its connection; every client has given up by then.
pub const LOST: Duration = Duration::from_secs(600);

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum ApiFault {
    /// It is refused because there were too many, in the words of its service.
    Throttle,
    /// The service fails.
    Internal,
    /// It is answered late.
    Late {
        /// By how many milliseconds.
        milliseconds: u64,
    },
    /// It is made, but its answer never arrives.
    Lost,
    /// It is made, and the connection ends before its answer: as lost, but whoever asked knows it at once.
    Cut,
    /// It is refused with this error code, as for a quota, missing permissions, or something that is not visible yet.
    Refused {
        /// For example `VpcLimitExceeded`.
        code: String,
        /// What the service says beside the code; many services have one code for everything, and only their words differ.
        #[serde(default)]
        message: Option<String>,
        /// HTTP status of the answer; 400 when nothing is said.
        #[serde(default)]
        status: Option<u16>,
    },
    /// S3 answers 404 as if the object did not exist, although it may. Without an `action` only GetObject and HeadObject are
    /// meant.
    ///
    /// "It may take up to 15 minutes for the change to fully propagate across the S3 system. During this time, GET requests for
    /// objects created or updated after enabling versioning may result in HTTP 404 NoSuchKey errors" (Amazon S3 User Guide,
    /// "Enabling versioning on buckets").
    Absent,
    /// DescribeScalingActivities answers these, in this order.
    Activities {
        /// As AWS sorts them: those in progress first, then the newest.
        activities: Vec<Activity>,
    },
}

impl ApiFault {
    /// Whether the call is answered here instead of being made.
    pub fn replaces_the_call(&self) -> bool {
        !matches!(self, Self::Late { .. } | Self::Lost | Self::Cut)
    }

    /// The service and operations that this is about when nothing is said of either.
    fn usual(&self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Absent => Some(("s3", &["GetObject", "HeadObject"])),
            Self::Activities { .. } => Some(("autoscaling", &["DescribeScalingActivities"])),
            _ => None,
        }
    }
}

/// A fault and the calls that it hits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiFaults {
    /// What it is called in the progress; its number in the list when nothing is said.
    #[serde(default)]
    pub id: Option<String>,
    /// What happens.
    pub fault: ApiFault,
    /// Only calls of this service, by its signing name (`s3`, `ec2`, `ebs`, `kms`, `iam`, `autoscaling`, `elasticloadbalancing`).
    #[serde(default)]
    pub service: Option<String>,
    /// Only calls of this operation, as the AWS documentation names it: `CreateVpc`, `GetObject`, `PutSnapshotBlock`.
    #[serde(default)]
    pub action: Option<String>,
    /// Only calls that are signed for this region; those of services with one endpoint for all, such as IAM, for `us-east-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// Only calls whose path has this in it; that of an object is `/BUCKET/KEY`.
    #[serde(default)]
    pub path: Option<String>,
    /// Only calls of nodes, or only those from this machine.
    #[serde(default)]
    pub caller: Option<Caller>,
    /// Only calls with this in their User-Agent, which carries `AWS_SDK_UA_APP_ID`.
    #[serde(default)]
    pub agent: Option<String>,
    /// How many of them are spared first.
    #[serde(default)]
    pub after: u32,
    /// Of those that follow, the first of every so many is hit: all of them when nothing is said.
    #[serde(default = "one")]
    pub every: u32,
    /// How many are hit then.
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// A call, as far as faults ask about it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The signing name of its service.
    pub service: &'a str,
    /// The region that it is signed for.
    pub region: &'a str,
    /// Its operation.
    pub action: Option<&'a str>,
    /// The path of its URI.
    pub path: &'a str,
    /// Who makes it.
    pub caller: Caller,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl ApiFaults {
    fn is_about(&self, asked: &Asked<'_>) -> bool {
        let usual = self.fault.usual();
        let service = self.service.as_deref().or(usual.map(|(service, _)| service));
        let action = match (&self.action, usual) {
            (Some(action), _) => asked.action == Some(action),
            (None, Some((_, usual))) => asked.action.is_some_and(|action| usual.contains(&action)),
            (None, None) => true,
        };
        let headers = ["user-agent", "x-amz-user-agent"].into_iter();
        let mut agents = headers.filter_map(|name| asked.headers.get(name)?.to_str().ok());
        action
            && service.is_none_or(|service| service == asked.service)
            && self.region.as_ref().is_none_or(|region| region == asked.region)
            && self.path.as_ref().is_none_or(|part| asked.path.contains(part))
            && self.caller.is_none_or(|caller| caller == asked.caller)
            && self.agent.as_ref().is_none_or(|mark| agents.any(|agent| agent.contains(mark)))
    }
}

/// Reads the JSON form of one fault or of a list.
///
/// # Errors
/// With the fault that is not one, two of one name, or a field that must not be zero.
pub fn parse(json: &[u8]) -> Result<Vec<ApiFaults>, String> {
    let values = match serde_json::from_slice(json).map_err(|error| error.to_string())? {
        serde_json::Value::Array(values) => values,
        one => vec![one],
    };
    let mut names = BTreeSet::new();
    let mut parsed = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let mut fault: ApiFaults =
            serde_json::from_value(value).map_err(|error| format!("fault {}: {error}", index + 1))?;
        let name = fault.id.get_or_insert_with(|| (index + 1).to_string());
        if !names.insert(name.clone()) {
            return Err(format!("fault {}: another one has the id {name}, too", index + 1));
        }
        if fault.every == 0 {
            return Err(format!("fault {}: every is 1 or more", index + 1));
        }
        parsed.push(fault);
    }
    Ok(parsed)
}

/// How far one fault, or all of them together, have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that the fault is about, spared ones included.
    pub seen: u32,
    /// Calls that were hit; for an answer that is lost or cut off, when the call had been made.
    pub hit: u32,
    /// Calls that the fault is about and that are done, in whatever way.
    pub done: u32,
}

/// How far the newest faults have come: all together, and each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The sums.
    #[serde(flatten)]
    pub all: Counts,
    /// Each.
    pub faults: Vec<OneProgress>,
}

/// How far one fault has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneProgress {
    /// Its name.
    pub id: String,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A fault in force.
struct Rule {
    faults: ApiFaults,
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
    /// Which rules are about it, by their numbers, and whether it was each that struck with a lost answer.
    about: Vec<(u64, bool)>,
}

/// The faults in force, each with a number that no other ever has.
#[derive(Default)]
pub struct Injected(Mutex<(u64, Vec<(u64, Rule)>)>);

impl Injected {
    fn rules(&self) -> MutexGuard<'_, (u64, Vec<(u64, Rule)>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what was in force.
    pub fn set(&self, faults: Vec<ApiFaults>) {
        let mut rules = self.rules();
        let first = rules.0;
        rules.0 += faults.len() as u64;
        let new = |faults| Rule { faults, counts: Counts::default(), struck: 0 };
        rules.1 = (first..).zip(faults.into_iter().map(new)).collect();
    }

    /// How far the newest faults have come.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for (_, rule) in &self.rules().1 {
            progress.all.seen += rule.counts.seen;
            progress.all.hit += rule.counts.hit;
            progress.all.done += rule.counts.done;
            let id = rule.faults.id.clone().unwrap_or_default();
            progress.faults.push(OneProgress { id, counts: rule.counts });
        }
        progress
    }

    /// What happens to a call. All late answers add up; of everything else the first that strikes is what happens.
    pub fn next(&self, asked: &Asked<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for (number, rule) in &mut self.rules().1 {
            if !rule.faults.is_about(asked) {
                continue;
            }
            rule.counts.seen += 1;
            let late = match rule.faults.fault {
                ApiFault::Late { milliseconds } => Some(Duration::from_millis(milliseconds)),
                _ => None,
            };
            let turn = rule.counts.seen > rule.faults.after
                && (rule.counts.seen - rule.faults.after - 1).is_multiple_of(rule.faults.every);
            let strikes = turn && rule.struck < rule.faults.count && (late.is_some() || verdict.fault.is_none());
            // A lost answer counts when the call has been made: whoever waits for that acts on it.
            let lost = strikes && matches!(rule.faults.fault, ApiFault::Lost | ApiFault::Cut);
            verdict.about.push((*number, lost));
            if !strikes {
                continue;
            }
            rule.struck += 1;
            rule.counts.hit += u32::from(!lost);
            match late {
                Some(late) => verdict.late += late,
                None => verdict.fault = Some(rule.faults.fault.clone()),
            }
        }
        verdict
    }

    /// Notes that a call is done. Rules that were replaced meanwhile are no longer there to count it.
    pub fn done(&self, verdict: &Verdict) {
        for (number, rule) in &mut self.rules().1 {
            if let Some((_, lost)) = verdict.about.iter().find(|(about, _)| about == number) {
                rule.counts.hit += u32::from(*lost);
                rule.counts.done += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
