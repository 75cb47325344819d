//! Instance types: where they are offered, and whether the image can start on them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    ArchitectureType, BootModeType, Filter, InstanceType, InstanceTypeInfo, LocationType, UsageClassType,
};
use futuswarm_spec::{Architecture, Group};

use crate::Aws;
use crate::error::{Error, failed};

/// What is asked of an instance type.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    /// Whether it can boot with UEFI; the image knows no other way.
    pub(super) uefi: bool,
    /// Architectures of its processors.
    pub(super) architectures: Vec<String>,
    /// Whether there is spot capacity of it.
    pub(super) spot: bool,
    /// Processors, as quotas count them.
    pub(super) vcpus: u32,
}

impl From<&InstanceTypeInfo> for Kind {
    fn from(info: &InstanceTypeInfo) -> Self {
        let vcpus = info.v_cpu_info().and_then(|cpus| cpus.default_v_cpus()).and_then(|cpus| u32::try_from(cpus).ok());
        let architectures = info.processor_info().map(|processor| processor.supported_architectures());
        Self {
            uefi: info.supported_boot_modes().contains(&BootModeType::Uefi),
            architectures: architectures
                .unwrap_or_default()
                .iter()
                .map(|one: &ArchitectureType| one.as_str().to_owned())
                .collect(),
            spot: info.supported_usage_classes().contains(&UsageClassType::Spot),
            vcpus: vcpus.unwrap_or(0),
        }
    }
}

/// Type → zones that have it.
pub(super) type Offered = BTreeMap<String, BTreeSet<String>>;

fn names<'a>(groups: impl IntoIterator<Item = &'a Group>) -> BTreeSet<String> {
    groups.into_iter().flat_map(|group| group.instance_types.iter().cloned()).collect()
}

/// Where the types of all groups are offered.
pub(super) async fn offered(aws: &Aws, groups: &BTreeMap<String, Group>) -> Result<Offered, Error> {
    let filter = Filter::builder().name("instance-type").set_values(Some(names(groups.values()).into_iter().collect()));
    let ask = aws.ec2.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone);
    let mut pages = ask.filters(filter.build()).into_paginator().send();
    let mut offered = Offered::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("DescribeInstanceTypeOfferings"))?;
        for offering in page.instance_type_offerings() {
            if let (Some(kind), Some(zone)) = (offering.instance_type(), offering.location()) {
                offered.entry(kind.as_str().to_owned()).or_default().insert(zone.to_owned());
            }
        }
    }
    Ok(offered)
}

/// What the types are; of one that the region does not have EC2 knows nothing.
pub(super) async fn described(
    aws: &Aws,
    groups: &BTreeMap<String, Group>,
    offered: &Offered,
) -> Result<BTreeMap<String, Kind>, Error> {
    let there: Vec<InstanceType> = names(groups.values())
        .into_iter()
        .filter(|kind| offered.contains_key(kind))
        .map(|kind| InstanceType::from(kind.as_str()))
        .collect();
    let mut described = BTreeMap::new();
    // At most a hundred at a time.
    for some in there.chunks(100) {
        let ask = aws.ec2.describe_instance_types().set_instance_types(Some(some.to_vec()));
        let answer = ask.send().await.map_err(failed("DescribeInstanceTypes"))?;
        for info in answer.instance_types() {
            if let Some(kind) = info.instance_type() {
                described.insert(kind.as_str().to_owned(), Kind::from(info));
            }
        }
    }
    Ok(described)
}

/// Why the groups could not start nodes.
pub(super) fn problems(
    region: &str,
    groups: &BTreeMap<&str, &Group>,
    offered: &Offered,
    described: &BTreeMap<String, Kind>,
) -> Vec<String> {
    let mut problems = BTreeSet::new();
    for (name, group) in groups {
        let there = group.instance_types.iter().filter_map(|kind| Some((kind, offered.get(kind)?)));
        let there: BTreeMap<&String, &BTreeSet<String>> = there.collect();
        for kind in group.instance_types.iter().filter(|kind| !there.contains_key(kind)) {
            problems.insert(format!("the instance type {kind} does not exist in {region}"));
        }
        // A zone needs one of the types; Auto Scaling tries them all.
        if !there.is_empty() {
            for zone in group.zones.iter().filter(|zone| !there.values().any(|zones| zones.contains(*zone))) {
                let kinds: Vec<&str> = there.keys().map(|kind| kind.as_str()).collect();
                let zones: BTreeSet<&String> = there.values().copied().flatten().collect();
                let zones: Vec<&str> = zones.into_iter().map(String::as_str).collect();
                problems.insert(format!(
                    "the zone {zone} has no {}, of which the group {name} starts its nodes: add another type to the group, or name its zones (`zones`) among {}",
                    kinds.join(" and no "),
                    zones.join(", ")
                ));
            }
        }
        for kind in there.into_keys() {
            let Some(known) = described.get(kind) else { continue };
            if !known.uefi {
                problems.insert(format!(
                    "the instance type {kind} cannot boot with UEFI, as the image has to: name one of the Nitro System that can, such as t3.small (`aws ec2 describe-instance-types --filters Name=supported-boot-mode,Values=uefi` lists them)"
                ));
            }
            let desired = Architecture::of(kind).to_string();
            if !known.architectures.contains(&desired) {
                problems.insert(format!(
                    "the instance type {kind} has processors of {}, and the image is for {desired}",
                    known.architectures.join(", ")
                ));
            }
            if group.spot && !known.spot {
                problems.insert(format!(
                    "there is no spot capacity of the instance type {kind}, which the group {name} asks for (`spot`)"
                ));
            }
        }
    }
    problems.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(types: &[&str], zones: &[&str]) -> Group {
        let spec = futuswarm_spec::Spec::parse("local", include_str!("../../../../clusters/local.toml")).unwrap();
        let mut group = spec.groups["workers"].clone();
        group.instance_types = types.iter().map(|kind| (*kind).to_owned()).collect();
        group.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        group
    }

    fn offered(all: &[(&str, &[&str])]) -> Offered {
        let zones = |zones: &[&str]| zones.iter().map(|zone| (*zone).to_owned()).collect();
        all.iter().map(|(kind, there)| ((*kind).to_owned(), zones(there))).collect()
    }

    fn good() -> Kind {
        Kind { uefi: true, architectures: vec!["x86_64".to_owned()], spot: true, vcpus: 2 }
    }

    fn observed(group: &Group, offered: &Offered, described: &[(&str, Kind)]) -> String {
        let described = described.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
        problems("eu-west-1", &BTreeMap::from([("workers", group)]), offered, &described).join("\n")
    }

    #[test]
    fn a_zone_needs_one_of_the_types() {
        let there = offered(&[("c8a.large", &["a", "b"]), ("m5.large", &["c"])]);
        let kinds = [("c8a.large", good()), ("m5.large", good())];
        assert_eq!(observed(&group(&["c8a.large"], &["a", "b"]), &there, &kinds), "");
        assert_eq!(observed(&group(&["c8a.large", "m5.large"], &["a", "c"]), &there, &kinds), "");
        assert_eq!(
            observed(&group(&["c8a.large"], &["a", "c"]), &there, &kinds),
            "the zone c has no c8a.large, of which the group workers starts its nodes: add another type to the group, or name its zones (`zones`) among a, b"
        );
        let gone = observed(&group(&["t9.small"], &["a"]), &there, &kinds);
        assert_eq!(gone, "the instance type t9.small does not exist in eu-west-1");
    }

    #[test]
    fn the_image_needs_uefi_its_architecture_and_spot_capacity_where_it_is_asked_for() {
        let there = offered(&[("t2.small", &["a"])]);
        let with = |kind: Kind, spot: bool| {
            let mut group = group(&["t2.small"], &["a"]);
            group.spot = spot;
            observed(&group, &there, &[("t2.small", kind)])
        };
        assert_eq!(with(good(), true), "");
        assert!(with(Kind { uefi: false, ..good() }, false).contains("t2.small cannot boot with UEFI"));
        let mac = with(Kind { architectures: vec!["x86_64_mac".to_owned()], ..good() }, false);
        assert!(mac.contains("processors of x86_64_mac, and the image is for x86_64"), "{mac}");
        let no_spot = Kind { spot: false, ..good() };
        assert_eq!(with(no_spot.clone(), false), "");
        assert!(with(no_spot, true).contains("no spot capacity of the instance type t2.small"));
    }
}
