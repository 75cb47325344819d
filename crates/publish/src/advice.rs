//! What to do about a failed operation, when its code says more than its message.

const LOG_IN: &str = "; log in (`aws sso login`, or choose AWS_PROFILE) and repeat";

/// What to do, as the end of a sentence; empty when the service's own words are all there is to say.
pub(crate) fn advice(error: &futuswarm_aws::Error) -> &'static str {
    let missing = error.is_expired_or_missing_credentials();
    let Some(code) = error.code.as_deref() else {
        return if missing { LOG_IN } else { "; check the network, the region's name and the endpoint, then repeat" };
    };
    match code {
        "AuthFailure" | "UnrecognizedClientException" | "InvalidClientTokenId" | "OptInRequired" => {
            "; log in (`aws sso login`, or choose AWS_PROFILE), and see that the account has this region enabled"
        }
        _ if missing => LOG_IN,
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            "; the credentials lack this permission, docs/images.md lists all that are needed"
        }
        "RequestThrottledException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException" => "; others use up this account's rate, repeat in a minute",
        "ServiceQuotaExceededException" | "SnapshotLimitExceeded" | "AMIQuotaExceeded" => {
            "; delete old images with `cargo xtask image retire`, or ask AWS for a higher quota"
        }
        "PendingSnapshotLimitExceeded"
        | "ConcurrentSnapshotLimitExceeded"
        | "ConcurrentLimitExceededException"
        | "ResourceLimitExceeded" => {
            "; too much of this is under way in the account: wait until others are done and repeat, or ask AWS for a higher quota"
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" => {
            "; end other instances, name a smaller type with --smoke-type, or ask AWS for a higher quota"
        }
        "InsufficientInstanceCapacity" | "Unsupported" => {
            "; AWS has no such instance there now: name another type with --smoke-type, or a subnet of another zone with \
             --smoke-subnet REGION=SUBNET"
        }
        "VPCIdNotSpecified" | "DefaultVpcDoesNotExist" | "MissingInput" => {
            "; the account has no default VPC with a subnet there: name one with --smoke-subnet REGION=SUBNET"
        }
        "InvalidAMIName.Duplicate" => "; another run has taken the name meanwhile: repeat, and its image is used",
        _ if code.to_ascii_lowercase().contains("kms") => {
            "; the key that encrypts volumes by default cannot be used: see that it is enabled, and that the credentials have \
             the permissions on it that docs/images.md lists"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use crate::error::tests::answer;

    #[test]
    fn what_can_be_done_is_said() {
        for (code, message, remedy) in [
            (None, "no AWS credentials were found", "aws sso login"),
            (None, "connection refused", "check the network"),
            (Some("ExpiredToken"), "expired", "aws sso login"),
            (Some("MissingAuthenticationToken"), "none", "aws sso login"),
            (Some("AuthFailure"), "not able to validate", "this region enabled"),
            (Some("VPCIdNotSpecified"), "No default VPC", "--smoke-subnet REGION=SUBNET"),
            (Some("VcpuLimitExceeded"), "0 vCPU", "--smoke-type"),
            (Some("InsufficientInstanceCapacity"), "none", "--smoke-type"),
            (Some("PendingSnapshotLimitExceeded"), "too many", "higher quota"),
            (Some("ConcurrentLimitExceededException"), "too many", "higher quota"),
            (Some("ResourceLimitExceeded"), "too many", "higher quota"),
            (Some("KMSKeyNotAccessibleFault"), "disabled", "encrypts volumes by default"),
            (Some("InvalidKmsKey.Id"), "disabled", "encrypts volumes by default"),
        ] {
            let error = answer("RunInstances", "ami-1", code, message).to_string();
            assert!(error.contains("ami-1") && error.contains(remedy), "{error}");
        }
        assert!(answer("RunInstances", "ami-1", Some("Odd"), "odd").to_string().ends_with("Odd: odd (request 42)"));
    }
}
