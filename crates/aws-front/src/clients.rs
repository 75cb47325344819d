//! The account owner's clients of the emulator.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};

/// The emulator answers in milliseconds; under full emulation load a second was seen.
const ATTEMPT: Duration = Duration::from_secs(20);

/// The account owner's keys. They open an emulator on this machine and nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Access key id.
    pub id: String,
    /// Secret access key.
    pub secret: String,
}

/// The clients that the daemon uses.
#[derive(Clone)]
pub struct Clients {
    /// Certificates.
    pub acm: aws_sdk_acm::Client,
    /// Groups of instances.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// Classic load balancers.
    pub classic: aws_sdk_elasticloadbalancing::Client,
    /// Instances, images, networks.
    pub ec2: aws_sdk_ec2::Client,
    /// Load balancers.
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    /// Identity.
    pub iam: aws_sdk_iam::Client,
    /// Keys.
    pub kms: aws_sdk_kms::Client,
    /// Databases.
    pub rds: aws_sdk_rds::Client,
    /// DNS zones.
    pub route53: aws_sdk_route53::Client,
    /// Tokens.
    pub sts: aws_sdk_sts::Client,
}

/// SDK settings for the emulator at `endpoint`.
pub async fn config(endpoint: &str, region: &str, keys: &Keys) -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(&keys.id, &keys.secret, None, None, "local cloud"))
        .timeout_config(
            TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(ATTEMPT * 2).build(),
        )
        .load()
        .await;
    futuswarm_aws::direct(config)
}

impl Clients {
    /// Clients with these settings.
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            acm: aws_sdk_acm::Client::new(config),
            autoscaling: aws_sdk_autoscaling::Client::new(config),
            classic: aws_sdk_elasticloadbalancing::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            rds: aws_sdk_rds::Client::new(config),
            route53: aws_sdk_route53::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }
}
