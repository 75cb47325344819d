//! One region of the account: its clients, and who we are there.

use std::time::Duration;

use aws_sdk_ebs::config::retry::RetryConfig;
use aws_sdk_ebs::config::timeout::TimeoutConfig;
use futuswarm_aws::SdkConfig;
use futuswarm_aws::json::{self, Json};

use crate::{Error, Result};

/// One attempt to send one block. Half a mebibyte from 64 senders at once must fit through a line of 10 Mbit/s.
pub(crate) const BLOCK_ATTEMPT: Duration = Duration::from_secs(30);

/// What one region is asked with.
#[derive(Debug, Clone)]
pub struct RegionClients {
    /// For example `eu-west-1`.
    pub region: String,
    /// With the SDK's retries.
    pub ec2: aws_sdk_ec2::Client,
    /// The EBS direct APIs, with the SDK's retries.
    pub ebs: aws_sdk_ebs::Client,
    /// The same for blocks: nothing in it tries again, because `upload` does.
    pub(crate) blocks: aws_sdk_ebs::Client,
    /// Systems Manager, whose parameters name the image to use.
    pub ssm: Json,
    sdk: SdkConfig,
}

impl RegionClients {
    /// Connects with the standard credentials; without a region, to the one of the environment or profile.
    ///
    /// # Errors
    /// When no region is known.
    pub async fn connect(region: Option<&str>) -> Result<Self> {
        let sdk = futuswarm_aws::config(region).await;
        let region = sdk
            .region()
            .map(ToString::to_string)
            .ok_or_else(|| Error::Refused("no region is known: set AWS_REGION, or pass --region REGION".to_owned()))?;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(BLOCK_ATTEMPT);
        let blocks = aws_sdk_ebs::config::Builder::from(&sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.operation_timeout(BLOCK_ATTEMPT).build())
            .build();
        Ok(Self {
            region,
            ec2: aws_sdk_ec2::Client::new(&sdk),
            ebs: aws_sdk_ebs::Client::new(&sdk),
            blocks: aws_sdk_ebs::Client::from_conf(blocks),
            ssm: Json::new(&json::SSM, &sdk),
            sdk,
        })
    }

    /// A client of EC2 that shares no connection with others, so that another endpoint may answer.
    #[must_use]
    pub fn fresh_ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.sdk)
    }
}
