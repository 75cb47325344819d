//! One place where AWS clients get their region, endpoint, deadlines and retries, and where their errors become text.
//!
//! Everything goes through the standard environment (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL`, SSO, instance role),
//! so the local cloud is nothing but another endpoint.

pub mod json;
mod loopback;
mod not_twice;
mod profile;
mod trust;

use std::fmt::{Debug, Display};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
pub use aws_config::{BehaviorVersion, Region, SdkConfig};
pub use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
pub use aws_smithy_runtime_api::client::result::SdkError;
pub use aws_smithy_types::error::metadata::ProvideErrorMetadata;
pub use loopback::direct;
pub use not_twice::NotTwice;
pub use trust::{NoAuthority, trusting};

/// Time for a TCP and TLS handshake; a healthy endpoint answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for one attempt of one operation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for an operation with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of one operation, the first included. The SDK adds exponential backoff with jitter between them.
const MAX_ATTEMPTS: u32 = 5;

/// Loads the shared configuration of all clients.
pub async fn config(region: Option<&str>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    direct(loader.load().await)
}

/// The same clients' configuration for another region.
#[must_use]
pub fn in_region(config: &SdkConfig, region: &str) -> SdkConfig {
    config.clone().into_builder().region(Region::new(region.to_owned())).build()
}

/// A failed AWS operation in one line: operation, service code, message and request id. Never the request itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Failure>);

/// What is known of a failed operation; behind a pointer, because every result would otherwise be as large.
#[derive(Debug)]
pub struct Failure {
    /// The operation as the AWS documentation names it, for example `PutObject`.
    pub operation: &'static str,
    /// The service's error code, for example `AccessDenied`; `None` when no answer arrived.
    pub code: Option<String>,
    /// The service's message, or why no answer arrived.
    pub message: String,
    /// The id to give to AWS support.
    pub request_id: Option<String>,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.operation)?;
        if let Some(code) = &self.code {
            write!(formatter, " answered {code}")?;
        }
        write!(formatter, ": {}", self.message)?;
        match &self.request_id {
            Some(id) => write!(formatter, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl std::ops::Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl Error {
    /// Turns an SDK error into one line. Pass as `.map_err(|error| Error::new("PutObject", error))`.
    pub fn new<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Debug + std::error::Error + 'static,
    {
        let raw = error.raw_response();
        let status = raw.map(|response| response.status().as_u16());
        let request_id = raw
            .and_then(|response| {
                let headers = response.headers();
                headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"))
            })
            .map(str::to_owned);
        let failure = match error.as_service_error() {
            Some(service) => Failure {
                operation,
                code: service.code().map(str::to_owned).or_else(|| status.map(|status| format!("HTTP {status}"))),
                message: service.message().unwrap_or("no further explanation").to_owned(),
                request_id,
                status,
            },
            None => {
                Failure { operation, code: None, message: brief(chain(&error), profile::problem), request_id, status }
            }
        };
        failure.into()
    }

    /// Whether the service's error code is one of `codes`.
    #[must_use]
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the thing asked for does not exist. Services name this in many ways.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
            || self.code.as_deref().is_some_and(|code| {
                code.ends_with("NotFound")
                    || code.ends_with("NotFoundException")
                    || code.ends_with("NotFoundFault")
                    || code.starts_with("NoSuch")
                    || code.ends_with(".NotFound")
            })
    }

    /// Whether AWS says that it has such a thing already. Services name this in many ways.
    #[must_use]
    pub fn is_already_there(&self) -> bool {
        const ENDS: [&str; 6] = [
            "AlreadyExists",
            "AlreadyExistsException",
            "AlreadyExistsFault",
            "AlreadyAssociated",
            ".Duplicate",
            ".Conflict",
        ];
        // Names of buckets are unique in all of AWS, so that it is somebody else's.
        let code = self.code.as_deref().filter(|code| *code != "BucketAlreadyExists");
        code.is_some_and(|code| {
            // Of load balancers: DuplicateLoadBalancerName, DuplicateTargetGroupName, DuplicateListener.
            code.starts_with("Duplicate") || ENDS.iter().any(|end| code.ends_with(end))
        })
    }

    /// Whether nobody knows if the call was made: no answer came, or the service failed. A call that was throttled was not made.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self.code.as_deref() {
            None => !self.is_expired_or_missing_credentials(),
            Some(code) => {
                self.status.is_some_and(|status| status >= 500)
                    && !["SlowDown", "RequestLimitExceeded"].contains(&code)
                    && !code.contains("Throttl")
            }
        }
    }

    /// Whether there are no credentials, or they are no longer good.
    #[must_use]
    pub fn is_expired_or_missing_credentials(&self) -> bool {
        match self.code.as_deref() {
            Some(code) => [
                "ExpiredToken",
                "ExpiredTokenException",
                "RequestExpired",
                "InvalidClientTokenId",
                "UnrecognizedClientException",
                "AuthFailure",
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "MissingAuthenticationToken",
            ]
            .contains(&code),
            None => self.message.contains("credential"),
        }
    }

    /// Whether trying again later may help: no answer, throttling, or a fault of the service.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match (&self.code, self.status) {
            (None, _) => true,
            (Some(code), status) => {
                status.is_some_and(|status| status >= 500 || status == 429)
                    || ["SlowDown", "RequestTimeout", "RequestLimitExceeded"].contains(&code.as_str())
                    || code.starts_with("Throttl")
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // The SDK lists the credential providers it has tried, one per line.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The SDK lists every place where it has looked for credentials; that there are none is what counts, and why.
fn brief(message: String, profile: impl FnOnce() -> Option<String>) -> String {
    const NONE: &str = "no credentials found in chain";
    let none = message.contains(NONE);
    // The SDK has several texts for a profile that is not there.
    let why = if none || message.contains("profile") { profile() } else { None };
    match (none, why) {
        (_, Some(why)) => format!("no AWS credentials were found: {why}"),
        (true, None) => "no AWS credentials were found".to_owned(),
        (false, None) => message,
    }
}

/// More than one thing carries the tags or the name that only one may carry.
#[derive(Debug, thiserror::Error)]
#[error("found {} {what} where one was expected: {}; delete or untag all but one", .ids.len(), .ids.join(", "))]
pub struct Ambiguous {
    /// For example "VPCs tagged futuswarm:cluster=prod".
    pub what: String,
    /// The ids of all that match.
    pub ids: Vec<String>,
}

/// Nothing, one, or an error that lists them all: the only three outcomes of looking a resource up.
pub fn at_most_one<T>(what: impl Display, listed: Vec<T>, id: impl Fn(&T) -> String) -> Result<Option<T>, Ambiguous> {
    if listed.len() > 1 {
        return Err(Ambiguous { what: what.to_string(), ids: listed.iter().map(id).collect() });
    }
    Ok(listed.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Option<&str>, status: Option<u16>) -> Error {
        let failure = Failure {
            operation: "GetObject",
            code: code.map(str::to_owned),
            message: "said so".to_owned(),
            request_id: Some("4442587FB7D0A2F9".to_owned()),
            status,
        };
        failure.into()
    }

    #[test]
    fn one_line_has_operation_code_message_and_request_id() {
        assert_eq!(
            error(Some("AccessDenied"), Some(403)).to_string(),
            "GetObject answered AccessDenied: said so (request 4442587FB7D0A2F9)"
        );
    }

    #[test]
    fn errors_are_told_apart() {
        for (code, status, not_found, transient) in [
            (Some("NoSuchKey"), Some(404), true, false),
            (Some("InvalidVpcID.NotFound"), Some(400), true, false),
            (Some("NotFoundException"), Some(400), true, false),
            (Some("AccessDenied"), Some(403), false, false),
            (Some("PreconditionFailed"), Some(412), false, false),
            (Some("SlowDown"), Some(503), false, true),
            (Some("ThrottlingException"), Some(400), false, true),
            (None, None, false, true),
        ] {
            let error = error(code, status);
            assert_eq!((error.is_not_found(), error.is_transient()), (not_found, transient), "{code:?}");
        }
    }

    #[test]
    fn what_may_have_been_made_is_told_from_what_was_not() {
        for (code, status, already, doubt) in [
            (Some("InvalidSubnet.Conflict"), Some(400), true, false),
            (Some("InvalidGroup.Duplicate"), Some(400), true, false),
            (Some("InvalidLaunchTemplateName.AlreadyExistsException"), Some(400), true, false),
            (Some("Resource.AlreadyAssociated"), Some(400), true, false),
            (Some("RouteAlreadyExists"), Some(400), true, false),
            (Some("EntityAlreadyExists"), Some(409), true, false),
            (Some("AlreadyExistsException"), Some(400), true, false),
            (Some("AlreadyExists"), Some(400), true, false),
            (Some("DBInstanceAlreadyExists"), Some(400), true, false),
            (Some("DuplicateLoadBalancerName"), Some(400), true, false),
            (None, None, false, true),
            (Some("InternalError"), Some(500), false, true),
            (Some("RequestLimitExceeded"), Some(503), false, false),
            (Some("ThrottlingException"), Some(503), false, false),
            (Some("VpcLimitExceeded"), Some(400), false, false),
            (Some("BucketAlreadyExists"), Some(409), false, false),
        ] {
            let error = error(code, status);
            assert_eq!((error.is_already_there(), error.is_in_doubt()), (already, doubt), "{code:?}");
        }
    }

    #[test]
    fn missing_credentials_are_said_in_a_few_words() {
        let long = "dispatch failure: other: no credentials found in chain. Attempted: Environment: …".to_owned();
        assert_eq!(brief(long.clone(), || None), "no AWS credentials were found");
        let why = || Some("AWS_PROFILE names nothing".to_owned());
        assert_eq!(brief(long, why), "no AWS credentials were found: AWS_PROFILE names nothing");
        assert_eq!(brief("profile `x` was not defined".to_owned(), why), brief("a profile".to_owned(), why));
        assert_eq!(brief("connection refused".to_owned(), why), "connection refused");
    }

    #[test]
    fn two_of_a_kind_are_an_error_that_names_both() {
        let listed = vec!["vpc-1", "vpc-2"];
        let message =
            at_most_one("VPCs tagged futuswarm:cluster=prod", listed, |id| (*id).to_owned()).unwrap_err().to_string();
        assert_eq!(
            message,
            "found 2 VPCs tagged futuswarm:cluster=prod where one was expected: vpc-1, vpc-2; delete or untag all but one"
        );
        assert_eq!(at_most_one("x", vec!["one"], |id| (*id).to_owned()).unwrap(), Some("one"));
        assert_eq!(at_most_one("x", Vec::<&str>::new(), |id| (*id).to_owned()).unwrap(), None);
    }
}
