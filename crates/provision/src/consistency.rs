//! Patience with an AWS that is eventually consistent: what was just made is not visible everywhere at once, and what is being deleted still holds what it used.

use std::time::Duration;

use futuswarm_converge::{poll, retry_while};
use futuswarm_retry::Policy;

use crate::error::Error;

/// A new resource is visible to every endpoint within seconds, IAM's within half a minute.
const VISIBLE: Policy = Policy {
    first: Duration::from_millis(250),
    cap: Duration::from_secs(5),
    total: Duration::from_secs(90),
    attempt: Duration::from_secs(60),
};
/// What IAM has just let go of is free within half a minute; whatever else somebody has attached stays, and should be named soon.
const DETACHED: Policy = VISIBLE;
/// Network interfaces of instances and load balancers vanish minutes after their owners.
const FREE: Policy = Policy {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(10),
    total: Duration::from_secs(600),
    attempt: Duration::from_secs(60),
};

/// What services say in words of what they do not see yet.
const NOT_YET: [&str; 7] = [
    "does not exist",
    // "Provided Load Balancers may not be valid. Please ensure they exist and try again.", and the same of target groups
    // (terraform-aws-modules/terraform-aws-autoscaling issue 16).
    "may not be valid",
    "not found",
    "could not be found",
    "nvalid security group",
    "service linked role",
    "service-linked role",
];

/// Tries again while AWS says that something which we have just made does not exist.
pub(crate) async fn until_visible<T, F, Fut>(what: &'static str, operation: F) -> Result<T, futuswarm_aws::Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, futuswarm_aws::Error>>,
{
    retry_while(what, VISIBLE, operation, |error: &futuswarm_aws::Error| {
        error.is_not_found()
            // EC2 Auto Scaling and EC2 say so of an instance profile that IAM has just made.
            || (error.is(&["ValidationError", "InvalidParameterValue"]) && error.message.contains("nvalid IAM Instance Profile"))
            // A principal in a policy.
            || error.is(&["MalformedPolicyDocument", "MalformedPolicy"])
            // S3, of a bucket that is being made, deleted or changed.
            || error.is(&["OperationAborted"])
            // ELB and RDS, of a VPC's gateway, subnets, groups and keys that they do not see yet.
            || error.is(&["InvalidSubnet", "InvalidSecurityGroup", "KMSKeyNotAccessibleFault"])
            || is_busy_with_another_change(error)
            // Auto Scaling, in an account whose first group makes its service-linked role: "The service-linked role is not yet
            // ready for use" (Amazon EC2 Auto Scaling API Reference, CreateAutoScalingGroup, with status 500).
            || error.is(&["ServiceLinkedRoleFailure"])
            // Auto Scaling, of a template or its newest version; RDS, in an account that has never had a database.
            || (error.is(&["ValidationError", "InvalidParameterValue"])
                && NOT_YET.iter().any(|words| error.message.contains(words)))
    })
    .await
}

/// Auto Scaling, of a group that it is still busy with: "You already have a pending update to an Amazon EC2 Auto Scaling resource"
/// (API Reference, ResourceContentionFault, with status 500). The SDK's own few attempts end after some seconds.
fn is_busy_with_another_change(error: &futuswarm_aws::Error) -> bool {
    error.is(&["ResourceContention", "ResourceContentionFault"])
}

/// Tries again while IAM says that a role or profile still holds what was just taken off it: "Cannot delete entity, must delete
/// policies first", "… must remove roles from instance profile first" (hashicorp/terraform pull request 14707).
pub(crate) async fn until_detached<T, F, Fut>(what: &'static str, operation: F) -> Result<T, futuswarm_aws::Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, futuswarm_aws::Error>>,
{
    // ConcurrentModification: somebody else's change of the same role is under way.
    retry_while(what, DETACHED, operation, |error: &futuswarm_aws::Error| {
        error.is(&["DeleteConflict", "ConcurrentModification"])
    })
    .await
}

/// Tries again while AWS says that something is still in use.
pub(crate) async fn until_free<T, F, Fut>(what: &'static str, operation: F) -> Result<T, futuswarm_aws::Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, futuswarm_aws::Error>>,
{
    retry_while(what, FREE, operation, |error: &futuswarm_aws::Error| {
        error.is(&[
            "DependencyViolation",
            "ResourceInUse",
            "ResourceInUseException",
            "ResourceInUseFault",
            "InvalidGroup.InUse",
            "ScalingActivityInProgress",
            "InvalidDBSubnetGroupStateFault",
            "DeleteConflict",
            "InvalidDBInstanceState",
            "InvalidDBInstanceStateFault",
        ])
        || is_busy_with_another_change(error)
        // A database's protection that was just lifted.
        || (error.is(&["InvalidParameterCombination"]) && error.message.contains("protect"))
    })
    .await
}

/// Polls until `probe` answers, with the pauses of [`until_free`] and a deadline of the caller's.
///
/// # Errors
/// When the deadline has passed; the message says what was waited for.
pub(crate) async fn wait<T, F, Fut>(what: &str, deadline: Duration, probe: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>, Error>>,
{
    poll(what, FREE, deadline, probe).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn failure(code: &str) -> futuswarm_aws::Error {
        said(code, "said so")
    }

    fn said(code: &str, message: &str) -> futuswarm_aws::Error {
        futuswarm_aws::Failure {
            operation: "CreateSubnet",
            code: Some(code.to_owned()),
            message: message.to_owned(),
            request_id: None,
            status: Some(400),
        }
        .into()
    }

    /// The words of real answers; each is tried again by exactly these.
    #[tokio::test(start_paused = true)]
    async fn each_waiting_takes_its_own_answers_for_an_early_one() {
        const VISIBLE: &str = "visible";
        const FREE: &str = "free";
        const DETACHED: &str = "detached";
        let contention = "You already have a pending update to an Auto Scaling resource (for example, a group, instance, or load balancer).";
        for (code, message, retried) in [
            (
                "ValidationError",
                "Provided Load Balancers may not be valid. Please ensure they exist and try again.",
                &[VISIBLE][..],
            ),
            (
                "ValidationError",
                "Provided Target Groups may not be valid. Please ensure they exist and try again.",
                &[VISIBLE],
            ),
            ("ValidationError", "Launch template name is not a valid one.", &[]),
            ("ServiceLinkedRoleFailure", "The service-linked role is not yet ready for use.", &[VISIBLE]),
            ("ResourceContention", contention, &[VISIBLE, FREE]),
            ("ScalingActivityInProgress", "The group has scaling activities in progress.", &[FREE]),
            ("InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist", &[VISIBLE]),
            ("DeleteConflict", "Cannot delete entity, must delete policies first.", &[FREE, DETACHED]),
            ("NoSuchEntity", "The role policy with name node cannot be found.", &[VISIBLE]),
            ("AccessDenied", "is not authorized to perform: iam:CreateServiceLinkedRole", &[]),
        ] {
            for waiting in [VISIBLE, FREE, DETACHED] {
                let calls = Cell::new(0);
                let operation = || {
                    calls.set(calls.get() + 1);
                    let answer = if calls.get() < 8 { Err(said(code, message)) } else { Ok(()) };
                    async move { answer }
                };
                let outcome = match waiting {
                    VISIBLE => until_visible("it", operation).await,
                    FREE => until_free("it", operation).await,
                    _ => until_detached("it", operation).await,
                };
                assert_eq!(outcome.is_ok(), retried.contains(&waiting), "{waiting}: {code}: {message}");
                assert_eq!(calls.get(), if outcome.is_ok() { 8 } else { 1 }, "{waiting}: {code}: {message}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_visible_yet_is_tried_again_and_everything_else_is_not() {
        let calls = Cell::new(0);
        let outcome = until_visible("a subnet", || {
            calls.set(calls.get() + 1);
            let answer = if calls.get() < 5 { Err(failure("InvalidVpcID.NotFound")) } else { Ok("subnet") };
            async move { answer }
        });
        assert_eq!(outcome.await.unwrap(), "subnet");
        assert_eq!(calls.get(), 5);
        calls.set(0);
        let outcome = until_visible("a subnet", || {
            calls.set(calls.get() + 1);
            async { Err::<(), _>(failure("InvalidSubnet.Conflict")) }
        });
        assert!(outcome.await.is_err());
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let started = tokio::time::Instant::now();
        let outcome = until_visible("a subnet", || async { Err::<(), _>(failure("InvalidVpcID.NotFound")) });
        assert!(outcome.await.unwrap_err().is(&["InvalidVpcID.NotFound"]));
        assert!(started.elapsed() <= VISIBLE.total);
        let late = wait("the certificate", Duration::from_secs(30), || async { Ok(None::<()>) }).await.unwrap_err();
        assert!(late.to_string().starts_with("waited 30 s for the certificate; "), "{late}");
    }
}
