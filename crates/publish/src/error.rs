//! Everything that can go wrong on the way from a folder to an AMI, each with what to do about it.

use std::path::{Path, PathBuf};

use futuswarm_aws::{HttpResponse, ProvideErrorMetadata, SdkError};

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS operation.
    #[error("{region}: {source}{}", advice(source))]
    Aws {
        /// Where.
        region: String,
        /// What.
        source: futuswarm_aws::Error,
    },
    /// An AWS operation that was tried often enough.
    #[error("{region}: {detail}")]
    GaveUp {
        /// Where.
        region: String,
        /// What, how often, for how long and the last reason.
        detail: String,
    },
    /// AWS left out a field that its documentation promises.
    #[error("{region}: {operation}: the answer has no {field}")]
    Incomplete {
        /// Where.
        region: String,
        /// The operation.
        operation: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
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

/// What to do about a failed operation, when its code says more than its message.
fn advice(error: &futuswarm_aws::Error) -> &'static str {
    match error.code.as_deref().unwrap_or_default() {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            "; the credentials lack this permission, docs/images.md lists all that are needed"
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => "; log in again (`aws sso login`) and repeat",
        "AuthFailure" | "UnrecognizedClientException" | "InvalidClientTokenId" | "OptInRequired" => {
            "; check the credentials, and that the account has this region enabled"
        }
        "ServiceQuotaExceededException" | "SnapshotLimitExceeded" | "ConcurrentSnapshotLimitExceeded" => {
            "; delete old images with `cargo xtask image retire`, or ask AWS for a higher quota"
        }
        "RequestThrottledException" | "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            "; others use up this account's rate, repeat in a minute"
        }
        _ if error.code.is_none() => "; check the network and the endpoint, then repeat",
        _ => "",
    }
}

/// `.map_err(file(&path))`
pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// `.map_err(aws(&place.region, "RegisterImage"))`
pub(crate) fn aws<E>(region: &str, operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    move |error| Error::Aws { region: region.to_owned(), source: futuswarm_aws::Error::new(operation, error) }
}

/// `.ok_or_else(incomplete(&place.region, "RegisterImage", "ImageId"))`
pub(crate) fn incomplete(region: &str, operation: &'static str, field: &'static str) -> impl FnOnce() -> Error {
    move || Error::Incomplete { region: region.to_owned(), operation, field }
}

/// `.map_err(gave_up(&place.region))`
pub(crate) fn gave_up<E: std::fmt::Display>(region: &str) -> impl FnOnce(futuswarm_retry::Error<E>) -> Error {
    move |error| {
        // The last failure says where, too.
        let detail = error.to_string().replace(&format!("{region}: "), "");
        Error::GaveUp { region: region.to_owned(), detail }
    }
}

impl Error {
    /// Whether the service's error code is one of `codes`.
    #[must_use]
    pub fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Aws { source, .. } if source.is(codes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_said_once() {
        let last = Error::Wrong("eu-west-1: PutSnapshotBlock answered InternalServerException".to_owned());
        let error = gave_up("eu-west-1")(futuswarm_retry::Error::Permanent(last));
        assert_eq!(error.to_string(), "eu-west-1: PutSnapshotBlock answered InternalServerException");
    }

    #[test]
    fn a_failure_says_where_what_and_what_to_do() {
        let failure = futuswarm_aws::Failure {
            operation: "StartSnapshot",
            code: Some("AccessDeniedException".to_owned()),
            message: "not you".to_owned(),
            request_id: Some("42".to_owned()),
            status: Some(403),
        };
        let error = Error::Aws { region: "eu-west-1".to_owned(), source: failure.into() };
        assert_eq!(
            error.to_string(),
            "eu-west-1: StartSnapshot answered AccessDeniedException: not you (request 42); the credentials lack this \
             permission, docs/images.md lists all that are needed"
        );
    }
}
