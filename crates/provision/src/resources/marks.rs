//! Marks on the VPC, which every run asks for anyway: which tags the spec had, which kind of balancer and which domains.
//!
//! Some resources are not described together with their tags, and asking would be a request for each of a dozen; and what a
//! former spec asked for is found only by its name. When the spec differs from a mark, everything gets its tags, what is no
//! longer asked for goes, and the mark follows last.

use aws_sdk_ec2::types::{Tag, Vpc};
use futuswarm_spec::BalancerKind;
use sha2::{Digest as _, Sha256};

use super::vpc;
use crate::error::Error;
use crate::{Cloud, ec2_tags, world};
use futuswarm_converge::{Changed, Fields, Resource};

const PART: &str = "marks";
const TAGS: &str = "futuswarm:tags";
const BALANCER: &str = "futuswarm:balancer";
const DOMAINS: &str = "futuswarm:domains";
/// The field of a resource whose tags are not seen.
const FIELD: &str = "spec's tags";
const CLASSIC: &str = "classic";
const APPLICATION: &str = "application";

/// What the marks should say, by key.
fn of_spec(cloud: &Cloud) -> [(&'static str, String); 3] {
    let mut digest = Sha256::new();
    for (key, value) in &cloud.spec.tags {
        digest.update(format!("{}:{key}={value}\n", key.len()));
    }
    let balancer = match cloud.spec.load_balancer.kind {
        BalancerKind::Application => APPLICATION,
        BalancerKind::Classic => CLASSIC,
    };
    [
        (TAGS, hex::encode(&digest.finalize()[..8])),
        (BALANCER, balancer.to_owned()),
        (DOMAINS, cloud.spec.domains().join(" ")),
    ]
}

/// The marks of a new VPC.
pub(super) fn new(cloud: &Cloud) -> impl Iterator<Item = Tag> {
    of_spec(cloud).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build())
}

async fn vpc(cloud: &Cloud) -> Result<Option<Vpc>, Error> {
    world::part(cloud, cloud.world.vpcs(cloud).await?, "VPCs", vpc::PART)
}

fn found(vpc: &Vpc) -> Fields {
    [TAGS, BALANCER, DOMAINS]
        .into_iter()
        .fold(Fields::new(), |fields, key| fields.with_some(key, world::tag(vpc.tags(), key)))
}

/// What is there and what a former spec asked for.
pub(crate) struct Former {
    /// Whether what there is may have the tags of another spec.
    pub(crate) stale_tags: bool,
    /// Whether any mark must follow.
    pub(crate) differs: bool,
    /// The kind of balancer that goes.
    pub(crate) balancer: Option<BalancerKind>,
    /// The domains that go.
    pub(crate) domains: Vec<String>,
}

/// Compares the spec with the marks.
pub(crate) async fn former(cloud: &Cloud) -> Result<Former, Error> {
    let mut former = Former { stale_tags: false, differs: false, balancer: None, domains: Vec::new() };
    let Some(vpc) = vpc(cloud).await? else { return Ok(former) };
    let mark = |key: &str| world::tag(vpc.tags(), key);
    let [(_, tags), (_, balancer), _] = of_spec(cloud);
    former.differs = of_spec(cloud).iter().any(|(key, wanted)| mark(key) != Some(wanted));
    former.stale_tags = mark(TAGS) != Some(&tags);
    former.balancer = match mark(BALANCER).filter(|kind| *kind != balancer) {
        Some(CLASSIC) => Some(BalancerKind::Classic),
        Some(APPLICATION) => Some(BalancerKind::Application),
        _ => None,
    };
    let wanted = cloud.spec.domains();
    let domains = mark(DOMAINS).unwrap_or_default().split_whitespace();
    former.domains = domains.filter(|domain| !wanted.contains(domain)).map(str::to_owned).collect();
    Ok(former)
}

/// With the tags that are wanted of a resource whose tags are not seen.
pub(super) fn wanted(fields: Fields) -> Fields {
    fields.with(FIELD, "set")
}

/// With what is known of the tags of such a resource.
pub(super) fn current(cloud: &Cloud, fields: Fields) -> Fields {
    fields.with(FIELD, if cloud.has_stale_tags() { "those of another spec" } else { "set" })
}

/// Whether such a resource needs its tags.
pub(super) fn differs(changed: Changed<'_>) -> bool {
    changed.any(&[FIELD])
}

/// The marks of a VPC that was there.
pub(crate) struct Marks;

impl Resource<Cloud> for Marks {
    type Observed = Fields;

    fn kind(&self) -> &'static str {
        "marks of the spec"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(vpc::PART)
    }

    fn component(&self) -> String {
        PART.to_owned()
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Fields>, Error> {
        Ok(vpc(cloud).await?.map(|vpc| found(&vpc)))
    }

    fn id(&self, _: &Fields) -> String {
        PART.to_owned()
    }

    fn desired(&self, cloud: &Cloud) -> Result<Fields, Error> {
        Ok(of_spec(cloud).into_iter().fold(Fields::new(), |fields, (key, value)| fields.with(key, value)))
    }

    fn current(&self, _: &Cloud, found: &Fields) -> Fields {
        found.clone()
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        ec2_tags::put(&cloud.ec2, &cloud.need(vpc::PART)?, new(cloud).collect()).await?;
        Ok(PART.to_owned())
    }

    async fn update(&self, cloud: &Cloud, _: &Fields, _: Changed<'_>) -> Result<(), Error> {
        self.create(cloud).await.map(|_| ())
    }

    /// They go with the VPC.
    async fn delete(&self, _: &Cloud, _: &Fields) -> Result<(), Error> {
        Ok(())
    }
}
