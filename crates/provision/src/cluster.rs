//! One cluster as its spec describes it: names, tags and filters. Asks nobody.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use futuswarm_spec::Spec;

use crate::names::{CLUSTER_TAG, Names, PART_TAG};

/// A spec in its account.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What is desired.
    pub spec: Spec,
    pub(crate) names: Names,
    /// Whether the account is reached over TLS.
    pub(crate) over_tls: bool,
}

impl Cluster {
    /// The cluster of a spec in an account, which is reached over TLS unless it is emulated.
    #[must_use]
    pub fn new(spec: Spec, account: String, over_tls: bool) -> Self {
        let names = Names { cluster: spec.cluster.clone(), account, region: spec.region.clone() };
        Self { spec, names, over_tls }
    }

    /// Tags of one component: the spec's own, and those by which it is found again.
    #[must_use]
    pub fn tags(&self, component: &str) -> Vec<(String, String)> {
        let mut tags: Vec<(String, String)> = self.spec.tags.clone().into_iter().collect();
        tags.push(("Name".to_owned(), self.names.of(component)));
        tags.push((CLUSTER_TAG.to_owned(), self.spec.cluster.clone()));
        tags.push((PART_TAG.to_owned(), component.to_owned()));
        tags
    }

    /// The same as EC2 takes them.
    pub(crate) fn ec2_tag_list(&self, component: &str) -> Vec<Tag> {
        let tags = self.tags(component).into_iter();
        tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
    }

    /// The same for EC2's create calls.
    pub(crate) fn ec2_tags(&self, kind: ResourceType, component: &str) -> TagSpecification {
        let tags = self.ec2_tag_list(component);
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
    }

    /// Everything of EC2 that carries the cluster's tag.
    pub(crate) fn filter(&self) -> Filter {
        Filter::builder().name(format!("tag:{CLUSTER_TAG}")).values(&self.spec.cluster).build()
    }
}

#[cfg(test)]
impl Cluster {
    /// That of the shipped local spec.
    pub(crate) fn local() -> Self {
        Self::of(|_| {})
    }

    /// The same with some changes.
    pub(crate) fn of(change: impl FnOnce(&mut Spec)) -> Self {
        let mut spec = Spec::parse("local", include_str!("../../../clusters/local.toml")).unwrap();
        change(&mut spec);
        Self::new(spec, "123456789012".to_owned(), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_component_are_the_specs_and_those_by_which_it_is_found_again() {
        let cluster = Cluster::of(|spec| drop(spec.tags.insert("team".to_owned(), "a".to_owned())));
        let tags = cluster.tags("vpc");
        let pairs: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [("team", "a"), ("Name", "futuswarm-local-vpc"), ("futuswarm:cluster", "local"), ("futuswarm:part", "vpc")]
        );
        let specification = cluster.ec2_tags(ResourceType::Vpc, "vpc");
        assert_eq!((specification.resource_type(), specification.tags().len()), (Some(&ResourceType::Vpc), 4));
        assert_eq!(cluster.filter().name(), Some("tag:futuswarm:cluster"));
        assert_eq!(cluster.filter().values(), ["local"]);
    }
}
