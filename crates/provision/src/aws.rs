//! The clients of one account and region.

use futuswarm_aws::json::{self, Json};
use futuswarm_aws::{NotTwice, SdkConfig};
use futuswarm_spec::Spec;
use futuswarm_store::{S3Bucket, Store};

use crate::{Cluster, Error, identity};

/// A client for each service.
pub struct Aws {
    pub(crate) acm: aws_sdk_acm::Client,
    pub(crate) scaling: aws_sdk_autoscaling::Client,
    /// Application load balancers.
    pub(crate) balancing: aws_sdk_elasticloadbalancingv2::Client,
    /// Classic load balancers.
    pub(crate) classic: aws_sdk_elasticloadbalancing::Client,
    pub(crate) dns: aws_sdk_route53::Client,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) quotas: aws_sdk_servicequotas::Client,
    pub(crate) rds: aws_sdk_rds::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    /// Parameters of Systems Manager.
    pub(crate) ssm: Json,
    /// Roles of other accounts.
    pub(crate) sts: aws_sdk_sts::Client,
    /// The documents of the state bucket.
    pub(crate) store: Store<S3Bucket>,
    /// The settings behind the clients.
    pub(crate) sdk: SdkConfig,
}

impl Aws {
    /// Connects with the standard credentials, learns the account and checks that it is the spec's.
    ///
    /// # Errors
    /// When there are no credentials, they are another account's, or AWS does not answer.
    pub async fn connect(spec: Spec) -> Result<(Self, Cluster), Error> {
        let sdk: SdkConfig = futuswarm_aws::config(Some(&spec.region)).await;
        let sts = aws_sdk_sts::Client::new(&sdk);
        let caller = identity::caller(&sdk, &sts, &spec.region).await?;
        let account = caller.account;
        if let Some(expected) = spec.account.as_ref().filter(|expected| **expected != account) {
            return Err(Error::OtherAccount {
                cluster: spec.cluster,
                expected: expected.clone(),
                account,
                caller: caller.arn,
            });
        }
        // The local cloud is on loopback.
        let over_tls = !sdk.endpoint_url().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let cluster = Cluster::new(spec, account, over_tls);
        Ok((Self::new(sdk, sts, &cluster), cluster))
    }

    /// The same clients with connections of their own.
    pub(crate) fn afresh(&self, cluster: &Cluster) -> Self {
        Self::new(self.sdk.clone(), self.sts.clone(), cluster)
    }

    /// The same without asking anybody who the account is.
    fn new(sdk: SdkConfig, sts: aws_sdk_sts::Client, cluster: &Cluster) -> Self {
        let is_emulated = sdk.endpoint_url().is_some();
        let s3 = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(is_emulated).build();
        Self {
            acm: aws_sdk_acm::Client::new(&sdk),
            scaling: aws_sdk_autoscaling::Client::new(&sdk),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&sdk),
            classic: aws_sdk_elasticloadbalancing::Client::new(&sdk),
            dns: aws_sdk_route53::Client::new(&sdk),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            kms: aws_sdk_kms::Client::new(&sdk),
            quotas: aws_sdk_servicequotas::Client::new(&sdk),
            rds: aws_sdk_rds::Client::new(&sdk),
            s3: aws_sdk_s3::Client::from_conf(s3),
            ssm: Json::new(&json::SSM, &sdk),
            sts,
            store: Store::new(S3Bucket::new(&sdk, &cluster.names.bucket())),
            sdk,
        }
    }

    /// The endpoint, when it is not AWS's own.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.sdk.endpoint_url()
    }
}

/// For calls to EC2 that it would make twice: see [`NotTwice`].
pub(crate) fn ec2_not_twice() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_classifier(NotTwice)
}

#[cfg(test)]
impl Aws {
    /// Clients that lead to a server of the test's own.
    pub(crate) fn at(endpoint: &str, cluster: &Cluster) -> Self {
        let credentials = aws_credential_types::Credentials::new("KEY", "secret", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(futuswarm_aws::BehaviorVersion::latest())
            .region(futuswarm_aws::Region::new(cluster.names.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build();
        let sts = aws_sdk_sts::Client::new(&sdk);
        Self::new(sdk, sts, cluster)
    }
}
