//! Where a service is reached.

use aws_config::{Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;

use super::Service;

/// What the names of AWS's endpoints end with, by what the names of regions begin with (`partitions.json` of botocore): for IPv4 alone,
/// and for both.
const SUFFIXES: [(&str, &str, &str); 7] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("", "amazonaws.com", "api.aws"),
];

/// The endpoint that the environment or the profile names for this service or for all, or AWS's own.
pub(super) fn of(service: &Service, sdk: &SdkConfig, region: &Region) -> String {
    let named = || {
        let key = ServiceConfigKey::builder().service_id(service.id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        sdk.service_config()?.load_config(key.build().ok()?)
    };
    let all = sdk.endpoint_url().map(str::to_owned);
    let configured = match sdk.get_origin("endpoint_url").is_client_config() {
        true => all,
        false => named().or(all),
    };
    configured.unwrap_or_else(|| {
        own(service.name, region.as_ref(), sdk.use_fips() == Some(true), sdk.use_dual_stack() == Some(true))
    })
}

fn own(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let (_, single, both) = SUFFIXES.iter().find(|(start, ..)| region.starts_with(start)).unwrap_or(&SUFFIXES[6]);
    // The endpoints of GovCloud are all of that kind and have their usual names.
    let fips = if fips && !region.starts_with("us-gov-") { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{}", if dual_stack { both } else { single })
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn each_partition_has_names_of_its_own() {
        assert_eq!(own("ssm", "eu-west-1", false, false), "https://ssm.eu-west-1.amazonaws.com");
        assert_eq!(own("ssm", "us-gov-west-1", true, false), "https://ssm.us-gov-west-1.amazonaws.com");
        assert_eq!(own("ssm", "us-east-1", true, false), "https://ssm-fips.us-east-1.amazonaws.com");
        assert_eq!(own("ssm", "eu-west-1", false, true), "https://ssm.eu-west-1.api.aws");
        assert_eq!(own("ssm", "cn-north-1", false, false), "https://ssm.cn-north-1.amazonaws.com.cn");
        assert_eq!(own("ssm", "eusc-de-east-1", false, false), "https://ssm.eusc-de-east-1.amazonaws.eu");
    }
}
