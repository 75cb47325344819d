//! Everything that can stop provisioning, each with what to do next.

use futuswarm_converge::{Answer, CallError};

/// What ends a command, in words for whoever runs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS operation.
    #[error("{_0}{advice}", advice = advice(.0))]
    Aws(futuswarm_aws::Error),
    /// More than one resource where one was expected.
    #[error(transparent)]
    Ambiguous(#[from] futuswarm_aws::Ambiguous),
    /// S3 failed or refused, or a document of the bucket cannot be read.
    #[error(transparent)]
    Store(#[from] futuswarm_store::Error),
    /// Sealing with KMS.
    #[error(transparent)]
    Vault(#[from] futuswarm_vault::Error),
    /// A node's user data would be too long, or cannot be written.
    #[error(transparent)]
    UserData(#[from] futuswarm_userdata::Error),
    /// The credentials are of another account than the spec's.
    #[error(
        "the cluster {cluster} belongs to the account {expected}, and these credentials are of {account} ({caller}): choose others with AWS_PROFILE; nothing was changed"
    )]
    OtherAccount {
        /// The cluster's name.
        cluster: String,
        /// The spec's account.
        expected: String,
        /// The credentials' account.
        account: String,
        /// The ARN of whoever has these credentials.
        caller: String,
    },
    /// The account has not enabled the region.
    #[error(
        "the region {region} is not enabled for the account {account}: these credentials ({caller}) are good in {elsewhere} and refused there ({refused}); nothing was changed; enable it with `aws account enable-region --region-name {region}`, which takes some minutes, or choose another region; if it is enabled, get credentials of a regional STS endpoint (AWS_STS_REGIONAL_ENDPOINTS=regional)"
    )]
    RegionDisabled {
        /// The cluster's region.
        region: String,
        /// A region where the same credentials are good.
        elsewhere: &'static str,
        /// The credentials' account.
        account: String,
        /// The ARN of whoever has these credentials.
        caller: String,
        /// What the region answered.
        refused: futuswarm_aws::Error,
    },
    /// What the region does not have or the account may not do.
    #[error(
        "the spec cannot be applied; nothing was changed\n  {}\n  fix this and run the command again",
        .0.join("\n  ")
    )]
    Preflight(Vec<String>),
    /// What is to be adopted cannot be any component, or not the one that it is meant for.
    #[error(
        "nothing was changed, because something cannot be adopted\n  {}\n  components that can be: {}",
        .problems.join("\n  "),
        .adoptable.join(", ")
    )]
    Adoption {
        /// A line for each.
        problems: Vec<String>,
        /// Components that can be adopted.
        adoptable: Vec<String>,
    },
    /// What is to be adopted does not exist, or is a component already.
    #[error("{id} cannot become the component {component}: {reason}; look at `--adopt` again")]
    NotAdoptable {
        /// The resource's id.
        id: String,
        /// What it should become.
        component: String,
        /// Why not.
        reason: String,
    },
    /// A component that another one refers to was not made in this run.
    #[error("the component {0} of the cluster was not made")]
    NotMade(String),
    /// AWS took a call and refused one of its items.
    #[error("{operation}: {item}: {reason}")]
    Item {
        /// In AWS's words, as in `DeleteObjects`.
        operation: &'static str,
        /// The item, or the code of its refusal.
        item: String,
        /// What AWS says.
        reason: String,
    },
    /// An object of the bucket changed while it was decided on.
    #[error("{0} has changed in the meantime; run the command again")]
    Changed(&'static str),
    /// Something is missing that only a person can bring about; the text says what to do.
    #[error("{0}")]
    Missing(String),
    /// AWS left out a field that its documentation promises.
    #[error("{operation}: the answer has no {field}")]
    Incomplete {
        /// In AWS's words, as in `CreateVpc`.
        operation: &'static str,
        /// What is not there, as in `VpcId`.
        field: &'static str,
    },
    /// What stopped a run over resources.
    #[error("{_0}")]
    Run(Box<futuswarm_converge::Error<Error>>),
    /// It took too long.
    #[error("{_0}")]
    Late(futuswarm_converge::Late),
    /// The cluster was not ready in time.
    #[error("{0}")]
    NotReady(String),
}

// Not by `#[from]`: the text has the cause already, and whoever prints a chain of causes would print it twice.
impl From<futuswarm_aws::Error> for Error {
    fn from(error: futuswarm_aws::Error) -> Self {
        Self::Aws(error)
    }
}

impl Error {
    /// Whether AWS says that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Aws(error) if error.is_not_found())
    }
}

impl From<futuswarm_converge::Error<Error>> for Error {
    fn from(error: futuswarm_converge::Error<Error>) -> Self {
        match error {
            futuswarm_converge::Error::Call(error) => error,
            error => Self::Run(Box::new(error)),
        }
    }
}

impl From<futuswarm_converge::Late> for Error {
    fn from(late: futuswarm_converge::Late) -> Self {
        Self::Late(late)
    }
}

impl CallError for Error {
    fn answer(&self) -> Option<Answer> {
        match self {
            Self::Aws(error) => Some(Answer {
                exists: error.is_already_there(),
                is_gone: error.is_not_found(),
                is_in_doubt: error.is_in_doubt(),
            }),
            _ => None,
        }
    }
}

/// What to do about a refusal, in one sentence.
fn advice(error: &futuswarm_aws::Error) -> &'static str {
    let code = error.code.as_deref().unwrap_or_default();
    if error.is_expired_or_missing_credentials() {
        return "; get new credentials (`aws sso login`, or set AWS_PROFILE), and run the command again";
    }
    match code {
        // "This AWS account currently does not support creating load balancers": a new account's.
        "OperationNotPermitted" if error.operation == "CreateLoadBalancer" => {
            "; AWS has not released load balancers for this account yet, as for many new ones: run the command again in some hours, or open a case with AWS Support under \"Account and billing\""
        }
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            "; the credentials lack this permission: use an administrator's, or have it granted"
        }
        "VpcLimitExceeded"
        | "LimitExceeded"
        | "LimitExceededException"
        | "InstanceLimitExceeded"
        | "VcpuLimitExceeded"
        | "AddressLimitExceeded"
        | "InternetGatewayLimitExceeded"
        | "TooManyLoadBalancers"
        | "InstanceQuotaExceeded"
        | "StorageQuotaExceeded"
        | "ResourceLimitExceeded"
        | "ServiceQuotaExceededException"
        | "DBInstanceQuotaExceeded"
        | "SecurityGroupLimitExceeded"
        | "RulesPerSecurityGroupLimitExceeded"
        | "SubnetLimitExceeded"
        | "RouteTableLimitExceeded"
        | "VpcEndpointLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "TooManyBuckets"
        | "TooManyTargetGroups"
        | "TooManyListeners"
        | "LimitExceededFault"
        | "DBSubnetGroupQuotaExceeded" => {
            "; the account's quota is used up: delete what is not needed, or ask for more in the Service Quotas console, and run the command again"
        }
        "Resource.AlreadyAssociated" | "InvalidSubnet.Conflict" | "RouteAlreadyExists" => {
            "; if what is there should become a component of the cluster, pass `--adopt COMPONENT=ID`"
        }
        // "You are not subscribed to this service": also while a new account waits for its activation.
        "OptInRequired" | "PendingVerification" | "SubscriptionRequiredException" => {
            "; the account cannot use this service or region yet: enable the region in the account's settings, or wait until AWS has activated the account, and run the command again"
        }
        "BucketAlreadyExists" => "; bucket names are unique in all of AWS: choose another name for the cluster",
        "Unsupported" | "InsufficientInstanceCapacity" => {
            "; the zone has none of this instance type now: name other zones or types for the group"
        }
        _ if error.is_transient() => "; AWS did not answer well: run the command again, it carries on",
        _ => "",
    }
}

/// `.ok_or_else(incomplete("CreateVpc", "Vpc"))`
pub(crate) fn incomplete(operation: &'static str, field: &'static str) -> impl FnOnce() -> Error {
    move || Error::Incomplete { operation, field }
}

/// `.map_err(failed("CreateVpc"))`
pub(crate) fn failed<E>(
    operation: &'static str,
) -> impl FnOnce(futuswarm_aws::SdkError<E, futuswarm_aws::HttpResponse>) -> futuswarm_aws::Error
where
    E: futuswarm_aws::ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    move |error| futuswarm_aws::Error::new(operation, error)
}

/// That a policy, a route or another thing of a resource is gone already must not pass for the whole resource's being gone: what
/// deletes a resource takes NotFound of the resource itself for success.
pub(crate) fn ignore_not_found<T>(outcome: Result<T, futuswarm_aws::Error>) -> Result<(), futuswarm_aws::Error> {
    match outcome {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_not_found_is_gone() {
        let error = |code: &str| -> futuswarm_aws::Error {
            futuswarm_aws::Failure {
                operation: "DeleteRolePolicy",
                code: Some(code.to_owned()),
                message: String::new(),
                request_id: None,
                status: Some(400),
            }
            .into()
        };
        assert!(ignore_not_found(Ok(())).is_ok() && ignore_not_found::<()>(Err(error("NoSuchEntity"))).is_ok());
        assert!(ignore_not_found::<()>(Err(error("AccessDenied"))).is_err());
    }
}
