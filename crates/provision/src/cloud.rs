//! One cluster's place in AWS: clients, names, and what a run has found out so far.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futuswarm_aws::json::{self, Json};
use futuswarm_aws::{NotTwice, SdkConfig};
use futuswarm_converge::{Confirmed, Context, Ledger, Listener, Mode};
use futuswarm_spec::Spec;
use futuswarm_store::{S3Bucket, Store};

use crate::names::{CLUSTER_TAG, Names, PART_TAG};
use crate::world::World;
use crate::{Error, identity};

/// What the command line adds to the spec.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Name of the image that nodes start from; the promoted one when there is none.
    pub image: Option<String>,
    /// SSH public key for the nodes' `admin`, in OpenSSH's format; the spec's own when there is none.
    pub ssh_public_key: Option<String>,
    /// Existing EC2 resources that become parts of the cluster: part → id.
    pub adopt: BTreeMap<String, String>,
    /// Whether certificates that nobody has validated yet are waited for.
    pub wait_for_certificates: bool,
}

/// One cluster's place in AWS.
pub struct Cloud {
    /// What is wanted.
    pub spec: Spec,
    /// Names.
    pub names: Names,
    /// Additions of the command line.
    pub extras: Extras,
    /// Certificates.
    pub acm: aws_sdk_acm::Client,
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
    /// Application load balancers.
    pub balancing: aws_sdk_elasticloadbalancingv2::Client,
    /// Classic load balancers.
    pub classic: aws_sdk_elasticloadbalancing::Client,
    /// Databases.
    pub rds: aws_sdk_rds::Client,
    /// DNS.
    pub dns: aws_sdk_route53::Client,
    /// Quotas.
    pub quotas: aws_sdk_servicequotas::Client,
    /// Parameters.
    pub ssm: Json,
    /// Roles of other accounts.
    pub sts: aws_sdk_sts::Client,
    /// The state bucket.
    pub store: Store<S3Bucket>,
    /// The endpoint, when it is not AWS's own.
    pub endpoint: Option<String>,
    /// The settings behind the clients.
    pub sdk: SdkConfig,
    /// What was seen.
    pub(crate) world: World,
    pub(crate) ledger: Ledger,
    stale_tags: AtomicBool,
}

impl Cloud {
    /// Connects with the standard credentials, learns the account and checks that it is the right one.
    ///
    /// # Errors
    /// When there are no credentials, they are another account's, or AWS does not answer.
    pub async fn connect(spec: Spec, extras: Extras, mode: Mode, listener: Listener) -> Result<Self, Error> {
        let sdk: SdkConfig = futuswarm_aws::config(Some(&spec.region)).await;
        let sts = aws_sdk_sts::Client::new(&sdk);
        let caller = identity::caller(&sdk, &sts, &spec.region).await?;
        let account = caller.account;
        if let Some(wanted) = spec.account.as_ref().filter(|wanted| **wanted != account) {
            return Err(Error::Missing(format!(
                "the cluster {} belongs to the account {wanted}, and these credentials are of {account} ({}): choose others with AWS_PROFILE; nothing was changed",
                spec.cluster, caller.arn
            )));
        }
        Ok(Self::new(sdk, sts, account, spec, extras, Ledger::new(mode, listener)))
    }

    /// The same without asking anybody who the account is.
    fn new(
        sdk: SdkConfig,
        sts: aws_sdk_sts::Client,
        account: String,
        spec: Spec,
        extras: Extras,
        ledger: Ledger,
    ) -> Self {
        let names = Names { cluster: spec.cluster.clone(), account, region: spec.region.clone() };
        let endpoint = sdk.endpoint_url().map(str::to_owned);
        let s3 = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(endpoint.is_some()).build();
        Self {
            store: Store::new(S3Bucket::new(&sdk, &names.bucket())),
            acm: aws_sdk_acm::Client::new(&sdk),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            s3: aws_sdk_s3::Client::from_conf(s3),
            kms: aws_sdk_kms::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            scaling: aws_sdk_autoscaling::Client::new(&sdk),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&sdk),
            classic: aws_sdk_elasticloadbalancing::Client::new(&sdk),
            rds: aws_sdk_rds::Client::new(&sdk),
            dns: aws_sdk_route53::Client::new(&sdk),
            quotas: aws_sdk_servicequotas::Client::new(&sdk),
            ssm: Json::new(&json::SSM, &sdk),
            sts,
            spec,
            names,
            extras,
            endpoint,
            sdk,
            world: World::default(),
            ledger,
            stale_tags: AtomicBool::new(false),
        }
    }

    /// Holds the run to changes that somebody has confirmed: any other one stops it.
    #[must_use]
    pub fn holding_to(mut self, confirmed: Confirmed) -> Self {
        self.ledger = self.ledger.holding_to(confirmed);
        self
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

    /// A filter for everything of this cluster.
    #[must_use]
    pub fn ours(&self) -> aws_sdk_ec2::types::Filter {
        aws_sdk_ec2::types::Filter::builder().name(format!("tag:{CLUSTER_TAG}")).values(&self.spec.cluster).build()
    }

    /// A tag specification for EC2's create calls.
    #[must_use]
    pub fn ec2_tags(&self, kind: aws_sdk_ec2::types::ResourceType, part: &str) -> aws_sdk_ec2::types::TagSpecification {
        let tags = self.ec2_tag_list(part);
        aws_sdk_ec2::types::TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
    }

    fn ec2_tag_list(&self, part: &str) -> Vec<aws_sdk_ec2::types::Tag> {
        let tags = self.tags(part).into_iter();
        tags.map(|(key, value)| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build()).collect()
    }

    /// Puts the tags of an EC2 resource right.
    ///
    /// # Errors
    /// When AWS refuses.
    pub(crate) async fn tag_ec2(&self, id: &str, part: &str) -> Result<(), Error> {
        crate::ec2_tags::put(&self.ec2, id, self.ec2_tag_list(part)).await
    }

    /// Whether the account is asked without TLS, as the local cloud is on loopback.
    #[must_use]
    pub fn is_without_tls(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// The id of a part that was found or made in this run.
    pub(crate) fn id(&self, part: &str) -> Option<String> {
        self.ledger.id(part)
    }

    /// The id of a part for a comparison; in a plan it may not exist yet.
    pub(crate) fn id_or_unknown(&self, part: &str) -> String {
        self.ledger.id_or_unknown(part)
    }

    /// The id of a part that must exist.
    pub(crate) fn need(&self, part: &str) -> Result<String, Error> {
        self.id(part).ok_or_else(|| Error::Missing(format!("the part {part} of the cluster was not made")))
    }

    pub(crate) fn note_id(&self, part: String, id: String) {
        self.ledger.note_id(part, id);
    }

    /// What this run does.
    pub(crate) fn mode(&self) -> Mode {
        self.ledger.mode()
    }

    /// Whether this run brings a domain about; of one that goes nobody has to do anything.
    pub(crate) fn wants_domain(&self, domain: &str) -> bool {
        matches!(self.mode(), Mode::Apply { .. }) && self.spec.domains().contains(&domain)
    }

    /// Whether what there is may have the tags of another spec.
    pub(crate) fn has_stale_tags(&self) -> bool {
        self.stale_tags.load(Ordering::Relaxed)
    }

    pub(crate) fn note_stale_tags(&self, stale: bool) {
        self.stale_tags.store(stale, Ordering::Relaxed);
    }

    /// Something that somebody has to know or do.
    pub(crate) fn note(&self, text: String) {
        self.ledger.note(text);
    }
}

impl Context for Cloud {
    /// AWS throttles per account and per operation; more at a time would not be faster.
    const CONCURRENCY: usize = 16;
    type Error = Error;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn place(&self) -> &str {
        &self.names.region
    }

    fn afresh(&self) -> Self {
        let (spec, extras, account) = (self.spec.clone(), self.extras.clone(), self.names.account.clone());
        Self {
            stale_tags: AtomicBool::new(self.has_stale_tags()),
            ..Self::new(self.sdk.clone(), self.sts.clone(), account, spec, extras, self.ledger.clone())
        }
    }

    fn is_adopted(&self, component: &str) -> bool {
        self.extras.adopt.contains_key(component)
    }
}

/// For calls to EC2 that it would make twice: see [`NotTwice`].
pub(crate) fn ec2_not_twice() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_classifier(NotTwice)
}

#[cfg(test)]
impl Cloud {
    /// The place of the shipped local spec, for tests that ask nobody: its clients lead nowhere.
    pub(crate) fn nowhere(extras: Extras, listener: Listener) -> Self {
        Self::at("http://127.0.0.1:9", extras, listener)
    }

    /// The same with clients that lead to a server of the test's own.
    pub(crate) fn at(endpoint: &str, extras: Extras, listener: Listener) -> Self {
        let credentials = aws_credential_types::Credentials::new("KEY", "secret", None, None, "test");
        let spec = Spec::parse("local", include_str!("../../../clusters/local.toml")).unwrap();
        let sdk = SdkConfig::builder()
            .behavior_version(futuswarm_aws::BehaviorVersion::latest())
            .region(futuswarm_aws::Region::new(spec.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build();
        let sts = aws_sdk_sts::Client::new(&sdk);
        Self::new(
            sdk,
            sts,
            "123456789012".to_owned(),
            spec,
            extras,
            Ledger::new(Mode::Apply { plan: false }, Box::new(listener)),
        )
    }
}
