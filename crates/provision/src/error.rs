//! Everything that can stop provisioning, each with what to do next.

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS operation.
    #[error("{_0}{advice}", advice = advice(.0))]
    Aws(futuswarm_aws::Error),
    /// More than one resource where one was expected.
    #[error(transparent)]
    Ambiguous(#[from] futuswarm_aws::Ambiguous),
    /// The bucket.
    #[error(transparent)]
    Store(#[from] futuswarm_store::Error),
    /// The user data.
    #[error(transparent)]
    UserData(#[from] futuswarm_userdata::Error),
    /// Something is missing that others make, or somebody has to do.
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
    /// A difference that AWS cannot mend.
    #[error(
        "the {kind} {name} cannot be changed ({difference}): set the spec back, or make a new cluster and move the services over"
    )]
    Fixed {
        /// Kind of resource.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What differs.
        difference: String,
    },
    /// What happened to one resource.
    #[error("{kind} {name} in {region}: {cause}")]
    Resource {
        /// Kind of resource.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The region.
        region: String,
        /// What happened.
        cause: Box<Error>,
    },
    /// What failed in a run that went on.
    #[error("{}", several(.errors, .stuck))]
    Several {
        /// The failures.
        errors: Vec<Error>,
        /// Parts that were not tried because of them.
        stuck: Vec<String>,
    },
    /// A change that whoever confirmed the plan has not seen.
    #[error(
        "the account has changed since the plan was shown\n  {}\n  nothing of this was done; run the command again and look at the new plan",
        .0.join("\n  ")
    )]
    Unconfirmed(Vec<String>),
    /// It took too long.
    #[error("{0}")]
    Late(String),
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

impl Error {
    /// Whether the run met a change that nobody has confirmed.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        match self {
            Self::Unconfirmed(_) => true,
            Self::Resource { cause, .. } => cause.is_unconfirmed(),
            _ => false,
        }
    }
}

fn several(errors: &[Error], stuck: &[String]) -> String {
    if errors.is_empty() {
        return format!("steps were never run, which is a defect of Futuswarm: {}", stuck.join(", "));
    }
    let mut text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    if errors.len() > 1 {
        text = format!("{} things failed:\n  {text}", errors.len());
    }
    if !stuck.is_empty() {
        text.push_str(&format!("\n  not tried because of that: {}", stuck.join(", ")));
    }
    text
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
            "; if what is there should become a part of the cluster, say so with `--adopt PART=ID`"
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

/// `.map_err(aws("CreateVpc"))`
pub(crate) fn aws<E>(
    operation: &'static str,
) -> impl FnOnce(futuswarm_aws::SdkError<E, futuswarm_aws::HttpResponse>) -> futuswarm_aws::Error
where
    E: futuswarm_aws::ProvideErrorMetadata + std::fmt::Debug + std::error::Error + 'static,
{
    move |error| futuswarm_aws::Error::new(operation, error)
}
