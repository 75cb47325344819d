//! Whose credentials these are; and where they are refused, whether it is they or the region.

use futuswarm_aws::{Region, SdkConfig};

use crate::error::{Error, failed, incomplete};

/// Who the credentials belong to.
pub(crate) struct Caller {
    pub(crate) account: String,
    /// The user or the role's session.
    pub(crate) arn: String,
}

/// A region of the same part of AWS that no account has to enable.
fn always_enabled(region: &str) -> &'static str {
    match region.split_once('-') {
        Some(("cn", _)) => "cn-north-1",
        Some(("us", rest)) if rest.starts_with("gov-") => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// Whether AWS may have refused good credentials, because the account has not enabled the region: an endpoint of such a region
/// knows nothing of the account, and says what it says of credentials that do not exist (aws/aws-sdk-ruby issue 2850,
/// turbot/steampipe-plugin-aws issue 75).
fn may_be_the_region(error: &futuswarm_aws::Error) -> bool {
    error.is(&[
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "AuthFailure",
        "OptInRequired",
        "RegionDisabledException",
    ])
}

/// Asks AWS who we are, in the cluster's region.
///
/// # Errors
/// When there are no credentials, they are refused, or AWS does not answer. Where the same credentials are good elsewhere, the
/// message says that it is the region.
pub(crate) async fn caller(sdk: &SdkConfig, sts: &aws_sdk_sts::Client, region: &str) -> Result<Caller, Error> {
    let refused = match ask(sts).await {
        Err(Error::Aws(error)) if may_be_the_region(&error) => error,
        outcome => return outcome,
    };
    let elsewhere = always_enabled(region);
    if elsewhere == region {
        return Err(refused.into());
    }
    let other = aws_sdk_sts::config::Builder::from(sdk).region(Region::new(elsewhere)).build();
    match ask(&aws_sdk_sts::Client::from_conf(other)).await {
        Ok(caller) => Err(not_enabled(&caller, region, elsewhere, refused)),
        // They are no better there: it is the credentials.
        Err(_) => Err(refused.into()),
    }
}

async fn ask(sts: &aws_sdk_sts::Client) -> Result<Caller, Error> {
    let identity = sts.get_caller_identity().send().await.map_err(failed("GetCallerIdentity"))?;
    let account = identity.account.ok_or_else(incomplete("GetCallerIdentity", "Account"))?;
    Ok(Caller { account, arn: identity.arn.unwrap_or_default() })
}

/// Temporary credentials of STS's global endpoint are good only in regions that nobody has to enable, so they may be the reason,
/// too (IAM User Guide, "Manage AWS STS in an AWS Region").
fn not_enabled(caller: &Caller, region: &str, elsewhere: &'static str, refused: futuswarm_aws::Error) -> Error {
    Error::RegionDisabled {
        region: region.to_owned(),
        elsewhere,
        account: caller.account.clone(),
        caller: caller.arn.clone(),
        refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str) -> futuswarm_aws::Error {
        futuswarm_aws::Failure {
            operation: "GetCallerIdentity",
            code: Some(code.to_owned()),
            message: "The security token included in the request is invalid.".to_owned(),
            request_id: None,
            status: Some(403),
        }
        .into()
    }

    #[test]
    fn each_part_of_aws_has_a_region_that_is_always_there() {
        for (region, expected) in [
            ("eu-south-2", "us-east-1"),
            ("us-east-1", "us-east-1"),
            ("us-west-2", "us-east-1"),
            ("us-gov-east-1", "us-gov-west-1"),
            ("cn-northwest-1", "cn-north-1"),
            ("mars", "us-east-1"),
        ] {
            assert_eq!(always_enabled(region), expected, "{region}");
        }
    }

    #[test]
    fn only_answers_about_an_unknown_account_may_be_the_region() {
        for (code, may_be) in
            [("InvalidClientTokenId", true), ("AuthFailure", true), ("ExpiredToken", false), ("AccessDenied", false)]
        {
            assert_eq!(may_be_the_region(&refusal(code)), may_be, "{code}");
        }
    }

    #[test]
    fn a_region_that_is_not_enabled_is_named_with_the_command_that_enables_it() {
        let caller = Caller { account: "123456789012".to_owned(), arn: "arn:aws:iam::123456789012:user/a".to_owned() };
        let text = not_enabled(&caller, "eu-south-2", "us-east-1", refusal("InvalidClientTokenId")).to_string();
        for expected in [
            "the region eu-south-2 is not enabled for the account 123456789012",
            "`aws account enable-region --region-name eu-south-2`",
            "GetCallerIdentity answered InvalidClientTokenId",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("aws sso login"), "new credentials would not help: {text}");
    }
}
