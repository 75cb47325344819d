//! Faults of the AWS API, for rehearsals: throttling, failures, late answers, and answers that never arrive although the
//! call was made.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Body, Caller, wording};

/// How long a lost answer keeps its connection; every client has given up by then.
pub const LOST: Duration = Duration::from_secs(600);
/// As in an answer of AWS; an error without one cannot be followed up.
const REQUEST_ID: &str = "local-cloud-fault";

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
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
    /// It is refused with this error code, as for a quota, missing permissions, or something that is not visible yet.
    Refused {
        /// For example `VpcLimitExceeded`.
        code: String,
    },
}

/// A fault and the calls that it hits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiFaults {
    /// What happens.
    pub fault: ApiFault,
    /// Only calls of this service, by its signing name (`s3`, `ec2`, `ebs`, `kms`, `iam`, `autoscaling`, `elasticloadbalancing`).
    #[serde(default)]
    pub service: Option<String>,
    /// Only calls of this operation, for example `CreateVpc`; those of S3 and of the EBS direct APIs have no names here.
    #[serde(default)]
    pub action: Option<String>,
    /// Only calls of nodes, or only those from this machine.
    #[serde(default)]
    pub caller: Option<Caller>,
    /// Only calls with this in their User-Agent, which carries `AWS_SDK_UA_APP_ID`.
    #[serde(default)]
    pub agent: Option<String>,
    /// How many of them are spared first.
    #[serde(default)]
    pub after: u32,
    /// How many are hit then.
    pub count: u32,
}

/// How far a fault has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Calls that the fault is about, spared ones included.
    pub seen: u32,
    /// Calls that were hit; for a lost answer, when the call had been made.
    pub hit: u32,
    /// Calls that the fault is about and that are done, in whatever way.
    pub done: u32,
}

/// The faults in force.
#[derive(Default)]
pub struct Injected(Mutex<Option<(ApiFaults, Progress)>>);

impl Injected {
    /// Replaces what was in force.
    pub fn set(&self, faults: ApiFaults) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((faults, Progress::default()));
    }

    /// How far the newest fault has come.
    pub fn progress(&self) -> Progress {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|(_, progress)| *progress)
            .unwrap_or_default()
    }

    /// Whether a fault is about this call, and if so, the fault if it hits.
    pub fn next(
        &self,
        service: &str,
        action: Option<&str>,
        caller: Caller,
        headers: &HeaderMap,
    ) -> Option<Option<ApiFault>> {
        let mut injected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, progress) = injected.as_mut()?;
        let agents = ["user-agent", "x-amz-user-agent"].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
        let meant = faults.service.as_ref().is_none_or(|wanted| wanted == service)
            && faults.action.as_ref().is_none_or(|wanted| action == Some(wanted))
            && faults.caller.is_none_or(|wanted| wanted == caller)
            && faults.agent.as_ref().is_none_or(|wanted| agents.into_iter().any(|agent| agent.contains(wanted)));
        if !meant {
            return None;
        }
        progress.seen += 1;
        let hit = progress.seen > faults.after && progress.seen - faults.after <= faults.count;
        // A lost answer counts when the call has been made: whoever waits for that acts on it.
        if hit && faults.fault != ApiFault::Lost {
            progress.hit += 1;
        }
        Some(hit.then(|| faults.fault.clone()))
    }

    /// Notes that a call that the fault is about is done, and whether its answer is lost.
    pub fn done(&self, lost: bool) {
        if let Some((_, progress)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            progress.hit += u32::from(lost);
            progress.done += 1;
        }
    }
}

/// The answer of a service that refuses or fails, in its own protocol.
pub fn answer(fault: &ApiFault, service: &str) -> Response<Body> {
    let (status, code, message) = match (fault, service) {
        (ApiFault::Refused { code }, _) => (StatusCode::BAD_REQUEST, code.as_str(), "The request is refused."),
        (ApiFault::Throttle, _) => {
            let (status, code) = match service {
                "s3" => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
                "ec2" => (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded"),
                "kms" | "acm" | "ssm" => (StatusCode::BAD_REQUEST, "ThrottlingException"),
                "ebs" => (StatusCode::BAD_REQUEST, "RequestThrottledException"),
                _ => (StatusCode::BAD_REQUEST, "Throttling"),
            };
            (status, code, "Please reduce your request rate.")
        }
        (_, service) => {
            let code = match service {
                "kms" => "KMSInternalException",
                "ebs" => "InternalServerException",
                "acm" | "ssm" => "InternalServerError",
                _ => "InternalError",
            };
            (StatusCode::INTERNAL_SERVER_ERROR, code, "We encountered an internal error.")
        }
    };
    wording::error(service, status, code, message, REQUEST_ID)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn faults(text: &str) -> Injected {
        let injected = Injected::default();
        injected.set(serde_json::from_str(text).unwrap());
        injected
    }

    fn agent(name: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(name));
        headers
    }

    #[test]
    fn only_the_calls_that_are_meant_are_hit_and_only_so_many() {
        let injected = faults(
            r#"{"fault":{"kind":"throttle"},"service":"s3","caller":"node","agent":"app/agent","after":1,"count":2}"#,
        );
        let ours = agent("aws-sdk-rust/1.3 app/agent");
        assert_eq!(injected.next("kms", None, Caller::Node, &ours), None);
        assert_eq!(injected.next("s3", None, Caller::Owner, &ours), None);
        assert_eq!(injected.next("s3", None, Caller::Node, &agent("curl")), None);
        let hits: Vec<bool> =
            (0..5).map(|_| injected.next("s3", None, Caller::Node, &ours).flatten().is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!(injected.progress(), Progress { seen: 5, hit: 2, done: 0 });
    }

    #[test]
    fn a_lost_answer_counts_when_its_call_has_been_made() {
        let injected = faults(r#"{"fault":{"kind":"lost"},"count":1}"#);
        assert_eq!(injected.next("ec2", None, Caller::Owner, &HeaderMap::new()), Some(Some(ApiFault::Lost)));
        assert_eq!(injected.progress().hit, 0);
        injected.done(true);
        assert_eq!(injected.progress(), Progress { seen: 1, hit: 1, done: 1 });
    }

    #[test]
    fn an_operation_is_refused_with_the_code_that_was_asked_for() {
        let injected =
            faults(r#"{"fault":{"kind":"refused","code":"VpcLimitExceeded"},"action":"CreateVpc","count":9}"#);
        let next = |action| injected.next("ec2", action, Caller::Owner, &HeaderMap::new());
        assert_eq!((next(Some("CreateSubnet")), next(None)), (None, None));
        let fault = next(Some("CreateVpc")).flatten().unwrap();
        assert_eq!(fault, ApiFault::Refused { code: "VpcLimitExceeded".to_owned() });
        assert_eq!(answer(&fault, "ec2").status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer(&fault, "ebs").headers()["x-amzn-errortype"], "VpcLimitExceeded");
    }

    #[test]
    fn a_misspelt_fault_is_refused() {
        let error = serde_json::from_str::<ApiFaults>(r#"{"fault":{"kind":"lost"},"servcie":"s3","count":1}"#);
        assert!(error.unwrap_err().to_string().contains("servcie"));
    }
}
