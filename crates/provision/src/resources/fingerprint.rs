//! The fingerprint of the spec, in tags of the VPC, which every run asks for anyway: its tags, its kind of balancer, its domains.
//!
//! Some resources are not described together with their tags, and asking would be a request for each of a dozen; and what a
//! previous spec asked for is found only by its name. When the spec differs from a fingerprint, everything gets its tags, what is no
//! longer asked for goes, and the fingerprint follows last.

use aws_sdk_ec2::types::{Tag, Vpc};
use futuswarm_converge::Resource;
use futuswarm_spec::BalancerKind;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components, ec2_tags, inventory};

const TAGS: &str = "futuswarm:tags";
const BALANCER: &str = "futuswarm:balancer";
const DOMAINS: &str = "futuswarm:domains";
const CLASSIC: &str = "classic";
const APPLICATION: &str = "application";

/// What the fingerprint should say, by tag.
fn of_spec(cluster: &Cluster) -> [(&'static str, String); 3] {
    let mut digest = Sha256::new();
    for (key, value) in &cluster.spec.tags {
        digest.update(format!("{}:{key}={value}\n", key.len()));
    }
    let balancer = match cluster.spec.load_balancer.kind {
        BalancerKind::Application => APPLICATION,
        BalancerKind::Classic => CLASSIC,
    };
    [
        (TAGS, hex::encode(&digest.finalize()[..8])),
        (BALANCER, balancer.to_owned()),
        (DOMAINS, cluster.spec.domains().join(" ")),
    ]
}

/// The fingerprint on a new VPC.
pub(super) fn new(cluster: &Cluster) -> impl Iterator<Item = Tag> {
    of_spec(cluster).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build())
}

/// The cluster's VPC, with its tags.
pub(super) async fn vpc(aws: &Aws, run: &Run) -> Result<Option<Vpc>, Error> {
    run.inventory.find(run.inventory.vpcs(aws).await?, "VPCs", components::VPC)
}

fn observed(vpc: &Vpc) -> Fields {
    [TAGS, BALANCER, DOMAINS]
        .into_iter()
        .fold(Fields::new(), |fields, key| fields.with_some(Field::Fingerprint(key), inventory::tag(vpc.tags(), key)))
}

/// What is there and what a previous spec asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Previous {
    /// Whether what there is may have the tags of another spec.
    pub(crate) stale_tags: bool,
    /// Whether any of its tags must follow.
    pub(crate) differs: bool,
    /// The kind of balancer that goes.
    pub(crate) balancer: Option<BalancerKind>,
    /// The domains that go.
    pub(crate) domains: Vec<String>,
}

/// Compares the spec with the fingerprint; without a VPC nothing is there.
pub(crate) async fn previous(aws: &Aws, run: &Run) -> Result<Previous, Error> {
    Ok(vpc(aws, run).await?.map(|vpc| compare(&run.cluster, &vpc)).unwrap_or_default())
}

fn compare(cluster: &Cluster, vpc: &Vpc) -> Previous {
    let fingerprint = |key: &str| inventory::tag(vpc.tags(), key);
    let [(_, tags), (_, balancer), _] = of_spec(cluster);
    let desired = cluster.spec.domains();
    let domains = fingerprint(DOMAINS).unwrap_or_default().split_whitespace();
    Previous {
        stale_tags: fingerprint(TAGS) != Some(&tags),
        differs: of_spec(cluster).iter().any(|(key, desired)| fingerprint(key) != Some(desired)),
        balancer: match fingerprint(BALANCER).filter(|kind| *kind != balancer) {
            Some(CLASSIC) => Some(BalancerKind::Classic),
            Some(APPLICATION) => Some(BalancerKind::Application),
            _ => None,
        },
        domains: domains.filter(|domain| !desired.contains(domain)).map(str::to_owned).collect(),
    }
}

/// With the tags that are desired of a resource that is described without them.
pub(super) fn desired(fields: Fields) -> Fields {
    fields.with(Field::SpecTags, "set")
}

/// With what is known of the tags of such a resource.
pub(super) fn current(run: &Run, fields: Fields) -> Fields {
    fields.with(Field::SpecTags, if run.has_stale_tags() { "those of another spec" } else { "set" })
}

/// Whether such a resource needs its tags.
pub(super) fn differs(changed: &Changed) -> bool {
    changed.any(&[Field::SpecTags])
}

/// The fingerprint on a VPC that was there.
pub(crate) struct Fingerprint;

impl Resource<Run> for Fingerprint {
    type Observed = Fields;

    fn kind(&self) -> &'static str {
        "fingerprint of the spec"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(components::VPC)
    }

    fn component(&self) -> String {
        components::FINGERPRINT.to_owned()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Fields>, Error> {
        Ok(vpc(aws, run).await?.map(|vpc| observed(&vpc)))
    }

    fn id(&self, _: &Fields) -> String {
        components::FINGERPRINT.to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(of_spec(&run.cluster)
            .into_iter()
            .fold(Fields::new(), |fields, (key, value)| fields.with(Field::Fingerprint(key), value)))
    }

    fn current(&self, _: &Run, observed: &Fields) -> Fields {
        observed.clone()
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        ec2_tags::put(&aws.ec2, &run.need(components::VPC)?, new(&run.cluster).collect()).await?;
        Ok(components::FINGERPRINT.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Fields, _: &Changed) -> Result<(), Error> {
        self.create(aws, run).await.map(|_| ())
    }

    /// They go with the VPC.
    async fn delete(&self, _: &Aws, _: &Run, _: &Fields) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc_of(cluster: &Cluster) -> Vpc {
        Vpc::builder().set_tags(Some(new(cluster).collect())).build()
    }

    #[test]
    fn what_a_previous_spec_asked_for_is_known_by_its_fingerprint() {
        let now = Cluster::local();
        assert_eq!(compare(&now, &vpc_of(&now)), Previous::default());
        let with_tag = Cluster::of(|spec| drop(spec.tags.insert("team".to_owned(), "a".to_owned())));
        let stale = Previous { stale_tags: true, differs: true, ..Previous::default() };
        assert_eq!(compare(&now, &vpc_of(&with_tag)), stale);
        let classic = Cluster::of(|spec| spec.load_balancer.kind = BalancerKind::Classic);
        let balancer = Previous { differs: true, balancer: Some(BalancerKind::Classic), ..Previous::default() };
        assert_eq!(compare(&now, &vpc_of(&classic)), balancer);
        let renamed = Cluster::of(|spec| spec.domain = "old.localhost".to_owned());
        let domains = Previous { differs: true, domains: vec!["old.localhost".to_owned()], ..Previous::default() };
        assert_eq!(compare(&now, &vpc_of(&renamed)), domains);
        // One that was made by hand has none: nothing is known of it, and nothing goes.
        assert_eq!(compare(&now, &Vpc::builder().build()), stale);
    }
}
