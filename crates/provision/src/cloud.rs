//! The clients and the facts that every resource needs.

use futuswarm_aws::SdkConfig;
use futuswarm_spec::Spec;
use futuswarm_store::{S3Bucket, Store};

use crate::error::{aws, incomplete};
use crate::names::{CLUSTER_TAG, Names, PART_TAG};
use crate::{Error, Plan};

/// What the command line adds to the spec.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Name of the image that nodes start from.
    pub image: String,
    /// The endpoint that nodes use instead of AWS's own; only the local cloud has one.
    pub node_endpoint: Option<String>,
    /// SSH public key for the nodes' `admin`, in OpenSSH's format.
    pub ssh_public_key: Option<String>,
}

/// One cluster's place in AWS.
pub struct Cloud {
    /// What is wanted.
    pub spec: Spec,
    /// Names.
    pub names: Names,
    /// Additions of the command line.
    pub extras: Extras,
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// KMS.
    pub kms: aws_sdk_kms::Client,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// Auto Scaling.
    pub scaling: aws_sdk_autoscaling::Client,
    /// Load balancing.
    pub balancing: aws_sdk_elasticloadbalancingv2::Client,
    /// The state bucket.
    pub store: Store<S3Bucket>,
    /// The endpoint, when it is not AWS's own.
    pub endpoint: Option<String>,
    /// What was found to do, and whether to do it.
    pub plan: Plan,
}

impl Cloud {
    /// Connects with the standard credentials and learns the account.
    ///
    /// # Errors
    /// When there are no credentials or AWS does not answer.
    pub async fn connect(spec: Spec, extras: Extras, plan: Plan) -> Result<Self, Error> {
        let sdk: SdkConfig = futuswarm_aws::config(Some(&spec.region), None).await;
        let identity =
            aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.map_err(aws("GetCallerIdentity"))?;
        let account = identity.account.ok_or_else(incomplete("GetCallerIdentity", "Account"))?;
        let names = Names { cluster: spec.cluster.clone(), account, region: spec.region.clone() };
        let endpoint = sdk.endpoint_url().map(str::to_owned);
        let s3 = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(endpoint.is_some()).build();
        Ok(Self {
            store: Store::new(S3Bucket::new(&sdk, &names.bucket())),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            s3: aws_sdk_s3::Client::from_conf(s3),
            kms: aws_sdk_kms::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            scaling: aws_sdk_autoscaling::Client::new(&sdk),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&sdk),
            spec,
            names,
            extras,
            endpoint,
            plan,
        })
    }

    /// Tags of one part: the spec's own, and those by which we find it again.
    #[must_use]
    pub fn tags(&self, part: &str) -> Vec<(String, String)> {
        let mut tags: Vec<(String, String)> = self.spec.tags.clone().into_iter().collect();
        tags.push(("Name".to_owned(), self.names.of(part)));
        tags.push((CLUSTER_TAG.to_owned(), self.spec.cluster.clone()));
        tags.push((PART_TAG.to_owned(), part.to_owned()));
        tags
    }

    /// Filters that find one part again.
    #[must_use]
    pub fn ec2_filters(&self, part: &str) -> Vec<aws_sdk_ec2::types::Filter> {
        [(CLUSTER_TAG, self.spec.cluster.as_str()), (PART_TAG, part)]
            .into_iter()
            .map(|(tag, value)| aws_sdk_ec2::types::Filter::builder().name(format!("tag:{tag}")).values(value).build())
            .collect()
    }

    /// A tag specification for EC2's create calls.
    #[must_use]
    pub fn ec2_tags(&self, kind: aws_sdk_ec2::types::ResourceType, part: &str) -> aws_sdk_ec2::types::TagSpecification {
        let tags = self.tags(part).into_iter();
        let tags = tags.map(|(key, value)| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build());
        aws_sdk_ec2::types::TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
    }
}
