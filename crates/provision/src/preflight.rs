//! What can be known to fail before anything is made: zones and instance types that the region does not have.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, LocationType};

use crate::Cloud;
use crate::engine::Step;
use crate::error::{Error, aws};

/// Asks only when something is going to be started from the answer: when a zone's subnets or a template do not exist yet.
///
/// # Errors
/// With everything that the region does not have; nothing was made.
pub(crate) async fn check(cloud: &Cloud) -> Result<(), Error> {
    let known: BTreeSet<String> = known_types(cloud).await?;
    let wanted: BTreeSet<String> =
        cloud.spec.groups.values().flat_map(|group| group.instance_types.iter().cloned()).collect();
    let new_types: Vec<String> = wanted.difference(&known).cloned().collect();
    // A zone with a subnet was checked when that was made.
    let subnets = cloud.world.subnets(cloud).await?;
    let known_zones: BTreeSet<&str> = subnets.iter().filter_map(|subnet| subnet.availability_zone()).collect();
    let new_zones = cloud.spec.network.zones.iter().any(|zone| !known_zones.contains(zone.as_str()));
    if !new_zones && new_types.is_empty() {
        return Ok(());
    }
    let mut problems = Vec::new();
    let zones = zones(cloud).await?;
    for zone in cloud.spec.network.zones.iter().filter(|zone| !zones.contains(*zone)) {
        problems.push(format!(
            "the zone {zone} is not one that this account can use in {}: it has {}",
            cloud.spec.region,
            zones.iter().cloned().collect::<Vec<_>>().join(", ")
        ));
    }
    if !new_types.is_empty() {
        let offered = offered(cloud, &new_types).await?;
        for kind in new_types.iter().filter(|kind| !offered.contains(*kind)) {
            problems.push(format!("the instance type {kind} does not exist in {}", cloud.spec.region));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Missing(format!(
        "the spec cannot be applied; nothing was changed\n  {}\n  mend the spec and run the command again",
        problems.join("\n  ")
    )))
}

/// Whether everything that is to be adopted can be the part that it is meant for; whether it exists is seen when it is looked at.
///
/// # Errors
/// With all that cannot; nothing was made.
pub(crate) fn check_adoption(cloud: &Cloud, steps: &[Box<dyn Step>]) -> Result<(), Error> {
    let parts: BTreeMap<String, &str> = steps.iter().filter_map(|step| Some((step.part(), step.adopts()?))).collect();
    let problem = |(part, id): (&String, &String)| match parts.get(part) {
        Some(prefix) if id.starts_with(prefix) => None,
        Some(prefix) => Some(format!("{part}={id}: the id of a {part} begins with {prefix}")),
        None => Some(format!("{part}={id}: there is no part {part} that can be adopted")),
    };
    let problems: Vec<String> = cloud.extras.adopt.iter().filter_map(problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Missing(format!(
        "nothing was changed, because something cannot be adopted\n  {}\n  parts that can be: {}",
        problems.join("\n  "),
        parts.into_keys().collect::<Vec<_>>().join(", ")
    )))
}

/// Types that a template or group has already: they were checked when it was made.
async fn known_types(cloud: &Cloud) -> Result<BTreeSet<String>, Error> {
    let templates = cloud.world.templates(cloud).await?.iter();
    let types = templates.filter_map(|version| version.launch_template_data()?.instance_type());
    let mut known: BTreeSet<String> = types.map(|kind| kind.as_str().to_owned()).collect();
    for group in cloud.world.groups(cloud).await? {
        let template = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
        let overrides = template.map(|template| template.overrides()).unwrap_or_default().iter();
        known.extend(overrides.filter_map(|one| one.instance_type().map(str::to_owned)));
    }
    Ok(known)
}

async fn zones(cloud: &Cloud) -> Result<BTreeSet<String>, Error> {
    let answer = cloud.ec2.describe_availability_zones().send().await.map_err(aws("DescribeAvailabilityZones"))?;
    Ok(answer.availability_zones().iter().filter_map(|zone| zone.zone_name().map(str::to_owned)).collect())
}

async fn offered(cloud: &Cloud, types: &[String]) -> Result<BTreeSet<String>, Error> {
    let filter = Filter::builder().name("instance-type").set_values(Some(types.to_vec())).build();
    let ask = cloud.ec2.describe_instance_type_offerings().location_type(LocationType::Region).filters(filter);
    let mut pages = ask.into_paginator().send();
    let mut offered = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws("DescribeInstanceTypeOfferings"))?;
        let types = page.instance_type_offerings().iter().filter_map(|offering| offering.instance_type());
        offered.extend(types.map(|kind| kind.as_str().to_owned()));
    }
    Ok(offered)
}
