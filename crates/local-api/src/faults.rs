//! Faults of the AWS API, for rehearsals: throttling, failures, late answers, answers that never arrive although the call was
//! made, objects that are not visible yet, and activities of Auto Scaling that the emulator does not have.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The states of an activity (Amazon EC2 Auto Scaling API Reference, "Activity").
const STATUSES: [&str; 16] = [
    "PendingSpotBidPlacement",
    "WaitingForSpotInstanceRequestId",
    "WaitingForSpotInstanceId",
    "WaitingForInstanceId",
    "PreInService",
    "InProgress",
    "WaitingForELBConnectionDraining",
    "MidLifecycleAction",
    "WaitingForInstanceWarmup",
    "Successful",
    "Failed",
    "Cancelled",
    "WaitingForConnectionDraining",
    "WaitingForInPlaceUpdateToStart",
    "WaitingForInPlaceUpdateToFinalize",
    "InPlaceUpdateInProgress",
];
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

/// What DescribeScalingActivities says of one launch or end of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// For example `Failed`.
    pub status: ActivityStatus,
    /// Why, in the words of AWS.
    #[serde(default)]
    pub message: Option<String>,
    /// Only asked for this group, by its name in AWS; of whichever group is asked for when nothing is said.
    #[serde(default)]
    pub group: Option<String>,
    /// What was done; the launch of an instance when nothing is said.
    #[serde(default)]
    pub description: Option<String>,
    /// Seconds since it began.
    #[serde(default)]
    pub started_seconds_ago: i64,
}

/// A state that AWS knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActivityStatus(String);

impl TryFrom<String> for ActivityStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match STATUSES.contains(&text.as_str()) {
            true => Ok(Self(text)),
            false => Err(format!("{text} is no status of an activity; they are {}", STATUSES.join(", "))),
        }
    }
}

impl From<ActivityStatus> for String {
    fn from(status: ActivityStatus) -> Self {
        status.0
    }
}

/// Who makes a call of the AWS API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A program of the operator, on the host's loopback.
    Owner,
    /// A node, inside the network namespace.
    Node,
    /// The local cloud itself, completing an answer: its calls go straight on.
    Daemon,
}

/// A fault and the calls that it hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiFaultRule {
    /// What it is called in the progress; its number in the list when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happens.
    pub fault: ApiFault,
    /// Only calls of this service, by its signing name (`s3`, `ec2`, `ebs`, `kms`, `iam`, `autoscaling`, `elasticloadbalancing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Only calls of this operation, as the AWS documentation names it: `CreateVpc`, `GetObject`, `PutSnapshotBlock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only calls that are signed for this region; those of services with one endpoint for all, such as IAM, for `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only calls whose path has this in it; that of an object is `/BUCKET/KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only calls of nodes, or only those from this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// Only calls with this in their User-Agent, which carries `AWS_SDK_UA_APP_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How many of them are spared first.
    #[serde(default)]
    pub after: u32,
    /// Of those that follow, the first of every so many is hit: all of them when nothing is said.
    #[serde(default = "one")]
    pub every: u32,
    /// How many are hit then; all until the faults are replaced when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

fn one() -> u32 {
    1
}

/// Why a list of faults is none.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not JSON.
    #[error(transparent)]
    Json(serde_json::Error),
    /// An element is no fault.
    #[error("fault {number}: {source}")]
    Rule {
        /// Its number in the list, from 1.
        number: usize,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// Two have one name.
    #[error("fault {number}: another one has the id {id}, too")]
    SameId {
        /// The second's number in the list, from 1.
        number: usize,
        /// The id that both have.
        id: String,
    },
    /// None in so many would be hit.
    #[error("fault {number}: every is 1 or more")]
    EveryZero {
        /// Its number in the list, from 1.
        number: usize,
    },
}

/// Reads the JSON form of one fault or of a list, and gives those a name that have none.
///
/// # Errors
/// With the fault that is not one, two of one name, or a field that must not be zero.
pub fn parse(json: &[u8]) -> Result<Vec<ApiFaultRule>, ParseError> {
    let values = match serde_json::from_slice(json).map_err(ParseError::Json)? {
        serde_json::Value::Array(values) => values,
        one => vec![one],
    };
    let mut names = BTreeSet::new();
    let mut parsed = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let number = index + 1;
        let mut fault: ApiFaultRule =
            serde_json::from_value(value).map_err(|source| ParseError::Rule { number, source })?;
        let name = fault.id.get_or_insert_with(|| number.to_string());
        if !names.insert(name.clone()) {
            return Err(ParseError::SameId { number, id: name.clone() });
        }
        if fault.every == 0 {
            return Err(ParseError::EveryZero { number });
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
    /// Sums over all faults.
    #[serde(flatten)]
    pub all: Counts,
    /// Each.
    pub faults: Vec<OneProgress>,
}

/// How far one fault has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneProgress {
    /// The id that the fault was given, or its number in the list.
    pub id: String,
    /// Counts since it was set.
    #[serde(flatten)]
    pub counts: Counts,
}

impl ActivityStatus {
    /// The word of AWS.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the activity has ended, in whatever way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.as_str(), "Successful" | "Failed" | "Cancelled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_sent_and_parsed_again() {
        let text = br#"[{"fault":{"kind":"refused","code":"X"},"service":"ec2","caller":"node","after":1},{"fault":{"kind":"absent"},"count":2}]"#;
        let rules = parse(text).unwrap();
        assert_eq!((rules[0].count, rules[1].count, rules[1].id.as_deref()), (None, Some(2), Some("2")));
        let sent = serde_json::to_vec(&rules).unwrap();
        assert_eq!(parse(&sent).unwrap(), rules);
    }

    #[test]
    fn a_misspelt_fault_is_refused_by_its_number() {
        for (text, expected) in [
            (r#"{"fault":{"kind":"lost"},"servcie":"s3","count":1}"#, "fault 1: unknown field `servcie`"),
            (
                r#"[{"fault":{"kind":"lost"},"count":1},{"fault":{"kind":"gone"},"count":1}]"#,
                "fault 2: unknown variant `gone`",
            ),
            (r#"{"fault":{"kind":"refused","code":"A","massage":"B"},"count":1}"#, "fault 1: unknown field `massage`"),
            (r#"{"fault":{"kind":"lost"},"every":0,"count":1}"#, "fault 1: every is 1 or more"),
            (
                r#"[{"id":"2","fault":{"kind":"lost"},"count":1},{"fault":{"kind":"lost"},"count":1}]"#,
                "fault 2: another one has the id 2, too",
            ),
            (
                r#"{"fault":{"kind":"activities","activities":[{"status":"Dead"}]},"count":1}"#,
                "fault 1: Dead is no status",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
