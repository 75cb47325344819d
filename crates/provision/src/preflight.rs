//! What can be known to fail before anything is made: zones and instance types that the region does not have or that the image
//! cannot start on, quotas, and a key for volumes that Auto Scaling may not use.

mod ebs_key;
mod quotas;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_converge::Step;
use futuswarm_spec::Group;

use crate::error::{Error, failed};
use crate::{Aws, Run};

/// Asks only when something is going to be started from the answer: when a zone's subnets, a template or a group do not exist
/// yet, or a group grows.
///
/// # Errors
/// With everything that the region does not have or the account may not do; nothing was made.
pub(crate) async fn check(aws: &Aws, run: &Run) -> Result<(), Error> {
    let known_types: BTreeSet<String> = known_types(aws, run).await?;
    // A zone with a subnet was checked when that was made.
    let subnets = run.inventory.subnets(aws).await?;
    let known_zones: BTreeSet<&str> = subnets.iter().filter_map(|subnet| subnet.availability_zone()).collect();
    let new_zones: Vec<&String> =
        run.cluster.spec.network.zones.iter().filter(|zone| !known_zones.contains(zone.as_str())).collect();
    let is_new = |group: &Group| {
        group.instance_types.iter().any(|kind| !known_types.contains(kind))
            || group.zones.iter().any(|zone| !known_zones.contains(zone.as_str()))
    };
    let new: BTreeMap<&str, &Group> = run
        .cluster
        .spec
        .groups
        .iter()
        .filter(|(_, group)| is_new(group))
        .map(|(name, group)| (name.as_str(), group))
        .collect();
    let grows = grows(aws, run).await?;
    let mut problems = Vec::new();
    if !new_zones.is_empty() {
        let zones = zones(aws).await?;
        problems.extend(new_zones.into_iter().filter(|zone| !zones.contains(*zone)).map(|zone| {
            format!(
                "the zone {zone} is not one that this account can use in {}: it has {}",
                run.cluster.spec.region,
                zones.iter().cloned().collect::<Vec<_>>().join(", ")
            )
        }));
    }
    if problems.is_empty() && (!new.is_empty() || grows) {
        let offered = types::offered(aws, &run.cluster.spec.groups).await?;
        let described = types::described(aws, &run.cluster.spec.groups, &offered).await?;
        problems.extend(types::problems(&run.cluster.spec.region, &new, &offered, &described));
        if problems.is_empty() {
            problems.extend(quotas::problems(aws, run, &described).await);
            problems.extend(ebs_key::problem(aws, run).await);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight(problems))
}

/// Whether a group starts more nodes than it has by now.
async fn grows(aws: &Aws, run: &Run) -> Result<bool, Error> {
    let groups = run.inventory.groups(aws).await?;
    Ok(run.cluster.spec.groups.iter().any(|(name, group)| {
        let name = run.cluster.names.of(name);
        let there = groups.iter().find(|one| one.auto_scaling_group_name() == Some(&name));
        let min = there.and_then(|there| there.min_size()).and_then(|size| u32::try_from(size).ok());
        min.is_none_or(|min| min < group.min)
    }))
}

/// Whether everything that is to be adopted can be the component that it is meant for; whether it exists is known when it is observed.
///
/// # Errors
/// With all that cannot; nothing was made.
pub(crate) fn check_adoption(run: &Run, steps: &[Box<dyn Step<Run>>]) -> Result<(), Error> {
    let adoptable: BTreeMap<String, &str> = steps
        .iter()
        .filter(|step| step.is_desired())
        .filter_map(|step| Some((step.component(), step.adoptable_prefix()?)))
        .collect();
    let problem = |(component, id): (&String, &String)| match adoptable.get(component) {
        Some(prefix) if id.starts_with(prefix) => None,
        Some(prefix) => Some(format!("{component}={id}: the id of a {component} begins with {prefix}")),
        None => Some(format!("{component}={id}: there is no component {component} that can be adopted")),
    };
    let problems: Vec<String> = run.overrides.adopt.iter().filter_map(problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Adoption { problems, adoptable: adoptable.into_keys().collect() })
}

/// Types that a template or group has already: they were checked when it was made.
async fn known_types(aws: &Aws, run: &Run) -> Result<BTreeSet<String>, Error> {
    let templates = run.inventory.templates(aws).await?.iter();
    let types = templates.filter_map(|version| version.launch_template_data()?.instance_type());
    let mut known: BTreeSet<String> = types.map(|kind| kind.as_str().to_owned()).collect();
    for group in run.inventory.groups(aws).await? {
        let template = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
        let overrides = template.map(|template| template.overrides()).unwrap_or_default().iter();
        known.extend(overrides.filter_map(|one| one.instance_type().map(str::to_owned)));
    }
    Ok(known)
}

async fn zones(aws: &Aws) -> Result<BTreeSet<String>, Error> {
    let answer = aws.ec2.describe_availability_zones().send().await.map_err(failed("DescribeAvailabilityZones"))?;
    Ok(answer.availability_zones().iter().filter_map(|zone| zone.zone_name().map(str::to_owned)).collect())
}
