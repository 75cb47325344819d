//! Everything that can stop provisioning, each with what to do next.

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS operation.
    #[error(transparent)]
    Aws(#[from] futuswarm_aws::Error),
    /// More than one resource where one was expected.
    #[error(transparent)]
    Ambiguous(#[from] futuswarm_aws::Ambiguous),
    /// The bucket.
    #[error(transparent)]
    Store(#[from] futuswarm_store::Error),
    /// The user data.
    #[error(transparent)]
    UserData(#[from] futuswarm_userdata::Error),
    /// Something is missing that others make.
    #[error("{0}")]
    Missing(String),
    /// AWS left out a field that its documentation promises.
    #[error("{operation}: the answer has no {field}")]
    Incomplete {
        /// The operation.
        operation: &'static str,
        /// The field.
        field: &'static str,
    },
    /// What a deletion has left.
    #[error("{} thing(s) could not be deleted: {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Left(Vec<Error>),
    /// It took too long.
    #[error("{0}")]
    Late(String),
}

/// `.ok_or_else(incomplete("CreateVpc", "Vpc"))`
pub(crate) fn incomplete(operation: &'static str, field: &'static str) -> impl FnOnce() -> Error {
    move || Error::Incomplete { operation, field }
}

/// `.map_err(aws("CreateVpc"))`
pub(crate) fn aws<E>(
    operation: &'static str,
) -> impl FnOnce(futuswarm_aws::SdkError<E, futuswarm_aws::HttpResponse>) -> futuswarm_aws::Error
where
    E: futuswarm_aws::ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    move |error| futuswarm_aws::Error::new(operation, error)
}
