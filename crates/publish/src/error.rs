//! Everything that can go wrong on the way from a folder to an AMI, each with what to do about it.

use std::path::{Path, PathBuf};

use futuswarm_aws::{HttpResponse, ProvideErrorMetadata, SdkError};
use futuswarm_retry::Failure;

use crate::advice::advice;

/// What the operator is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS refused an operation or did not answer.
    #[error("{region}: {}{source}{}", about(.resource), advice(source))]
    Aws {
        /// For example `eu-west-1`.
        region: String,
        /// On what: an id or a name; empty when the operation is about nothing in particular.
        resource: String,
        /// Operation, code and request id.
        source: futuswarm_aws::Error,
    },
    /// An AWS operation was tried for as long as its policy says.
    #[error("{region}: {detail}")]
    GaveUp {
        /// For example `eu-west-1`.
        region: String,
        /// What, how often, for how long, the last reason, and what to do.
        detail: String,
    },
    /// AWS left out a field that its documentation promises.
    #[error("{region}: {operation}: the answer has no {field}")]
    Incomplete {
        /// For example `eu-west-1`.
        region: String,
        /// For example `RegisterImage`.
        operation: &'static str,
        /// For example `ImageId`.
        field: &'static str,
    },
    /// The folder of the image, or an index of blocks.
    #[error(transparent)]
    Format(#[from] futuswarm_image_format::Error),
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    File {
        /// Not one of an image's folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something that must not be done as it stands.
    #[error("{0}")]
    Refused(String),
    /// What came out is not what was asked for.
    #[error("{0}")]
    Wrong(String),
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn about(resource: &str) -> String {
    if resource.is_empty() { String::new() } else { format!("{resource}: ") }
}

/// `.map_err(file(&path))`
pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// `.map_err(aws(&clients.region, "DescribeRegions"))`
pub(crate) fn aws<E>(region: &str, operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    aws_on(region, operation, "")
}

/// `.map_err(aws_on(&clients.region, "DeleteSnapshot", id))`: the same, of an operation on something that has a name.
pub(crate) fn aws_on<E>(
    region: &str,
    operation: &'static str,
    resource: &str,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    let (region, resource) = (region.to_owned(), resource.to_owned());
    move |error| Error::Aws { region, resource, source: futuswarm_aws::Error::new(operation, error) }
}

/// `.ok_or_else(incomplete(&clients.region, "RegisterImage", "ImageId"))`
pub(crate) fn incomplete(region: &str, operation: &'static str, field: &'static str) -> impl FnOnce() -> Error {
    move || Error::Incomplete { region: region.to_owned(), operation, field }
}

/// `.map_err(gave_up(&clients.region, "repeat"))`: what failed for good is told as it is, and to the end of patience belongs what
/// to do then.
pub(crate) fn gave_up(region: &str, remedy: &str) -> impl FnOnce(futuswarm_retry::Error<Error>) -> Error {
    move |error| match error {
        futuswarm_retry::Error::Permanent(error) => error,
        // The last failure says where, too.
        exhausted => {
            let detail = exhausted.to_string().replace(&format!("{region}: "), "");
            Error::GaveUp { region: region.to_owned(), detail: format!("{detail}; {remedy}") }
        }
    }
}

/// What a failed call means for the next one: what passes by itself is worth trying again, and so is what has one of the codes
/// `also`, because the call may only have come too early.
pub(crate) fn failure(error: Error, also: &[&str]) -> Failure<Error> {
    if error.passes() || error.is(also) { Failure::Transient(error) } else { Failure::Permanent(error) }
}

impl Error {
    /// Whether the service's error code is one of `codes`.
    #[must_use]
    pub fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Aws { source, .. } if source.is(codes))
    }

    /// Whether the same call may go well in a while: no answer, throttling, or a fault of the service.
    #[must_use]
    pub fn passes(&self) -> bool {
        const THROTTLED: [&str; 3] = ["RequestThrottledException", "RequestThrottled", "TooManyRequestsException"];
        matches!(self, Self::Aws { source, .. }
            // Without credentials no answer arrives either.
            if !source.is_expired_or_missing_credentials() && (source.is_transient() || source.is(&THROTTLED)))
    }

    /// Whether a permission is missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.is(&["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// What AWS answers, in a region, about something.
    pub(crate) fn answer(operation: &'static str, resource: &str, code: Option<&str>, message: &str) -> Error {
        let failure = futuswarm_aws::Failure {
            operation,
            code: code.map(str::to_owned),
            message: message.to_owned(),
            request_id: code.map(|_| "42".to_owned()),
            status: code.map(|_| 400),
        };
        Error::Aws { region: "eu-west-1".to_owned(), resource: resource.to_owned(), source: failure.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_patience_says_the_region_once_and_what_to_do() {
        let policy = futuswarm_retry::Policy {
            first: Duration::from_millis(200),
            cap: Duration::from_secs(5),
            total: Duration::from_secs(30),
            attempt: Duration::from_secs(10),
        };
        let outcome: Result<(), _> = futuswarm_retry::retry("waiting for snap-1", policy, || async {
            Err(failure(answer("DescribeSnapshots", "snap-1", None, "connection refused"), &[]))
        })
        .await;
        let message = outcome.map_err(gave_up("eu-west-1", "repeat")).unwrap_err().to_string();
        assert!(message.starts_with("eu-west-1: waiting for snap-1: gave up after "), "{message}");
        assert!(message.ends_with("then repeat; repeat"), "{message}");
        assert_eq!(message.matches("eu-west-1").count(), 1, "{message}");
    }

    #[test]
    fn what_failed_for_good_keeps_its_code() {
        let error = answer("StartSnapshot", "node-1", Some("ValidationException"), "no");
        let error = gave_up("eu-west-1", "repeat")(futuswarm_retry::Error::Permanent(error));
        assert!(error.is(&["ValidationException"]) && !error.to_string().contains("repeat"), "{error}");
    }

    #[test]
    fn only_what_passes_or_came_too_early_is_tried_again() {
        let again = |code: Option<&str>, message: &str| {
            let error = answer("DescribeSnapshots", "snap-1", code, message);
            matches!(failure(error, &["InvalidSnapshot.NotFound"]), Failure::Transient(_))
        };
        for code in ["InvalidSnapshot.NotFound", "RequestLimitExceeded", "RequestThrottledException"] {
            assert!(again(Some(code), "no"), "{code}");
        }
        assert!(again(None, "connection refused"));
        assert!(!again(Some("UnauthorizedOperation"), "no"));
        assert!(!again(None, "no AWS credentials were found"), "there will be none later either");
    }

    #[test]
    fn a_failure_says_where_what_on_what_and_what_to_do() {
        let error = answer("StartSnapshot", "node-1", Some("AccessDeniedException"), "not you");
        assert_eq!(
            error.to_string(),
            "eu-west-1: node-1: StartSnapshot answered AccessDeniedException: not you (request 42); the credentials lack \
             this permission, docs/images.md lists all that are needed"
        );
    }
}
