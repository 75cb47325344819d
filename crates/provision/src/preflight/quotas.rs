//! Quotas: what the account may have, has already, and would have with this cluster.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType};
use futuswarm_spec::{BalancerKind, Group};

use super::types::Kind;
use crate::Cloud;
use crate::error::{Error, aws};
use crate::names::CLUSTER_TAG;

/// A quota of an account in a region. Codes are AWS's (`aws service-quotas list-aws-default-service-quotas`).
#[derive(Debug, Clone, Copy)]
struct Quota {
    service: &'static str,
    code: &'static str,
    /// What is counted.
    what: &'static str,
}

const ON_DEMAND: Quota = Quota {
    service: "ec2",
    code: "L-1216C47A",
    what: "vCPUs of running on-demand instances (A, C, D, H, I, M, R, T, Z)",
};
const SPOT: Quota =
    Quota { service: "ec2", code: "L-34B43A08", what: "vCPUs of spot instances (A, C, D, H, I, M, R, T, Z)" };
const VPCS: Quota = Quota { service: "vpc", code: "L-F678F1CE", what: "VPCs" };
const APPLICATION: Quota =
    Quota { service: "elasticloadbalancing", code: "L-53DA6B97", what: "application load balancers" };
const CLASSIC: Quota = Quota { service: "elasticloadbalancing", code: "L-E9E9831D", what: "classic load balancers" };

/// Whether a type counts for the quotas of the standard families; each other family has a quota of its own, which is not looked at.
fn is_standard(kind: &str) -> bool {
    let family: String = kind.chars().take_while(char::is_ascii_alphabetic).collect();
    // `im` and `is` are families of I.
    ["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"].contains(&family.as_str())
}

/// vCPUs that the groups start with at least, of one of the two markets.
fn demand<'a>(groups: impl Iterator<Item = &'a Group>, spot: bool, types: &BTreeMap<String, Kind>) -> u32 {
    let least = |group: &Group| {
        let counted = group.instance_types.iter().filter(|kind| is_standard(kind));
        counted.filter_map(|kind| types.get(kind)).map(|kind| kind.vcpus).min()
    };
    groups.filter(|group| group.spot == spot).filter_map(|group| Some(group.min * least(group)?)).sum()
}

/// vCPUs that instances of others have, of one of the two markets.
fn used(instances: &[Instance], cluster: &str, spot: bool) -> u32 {
    let theirs = |instance: &&Instance| {
        crate::world::tag(instance.tags(), CLUSTER_TAG) != Some(cluster)
            && (instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot)) == spot
            && instance.instance_type().is_some_and(|kind| is_standard(kind.as_str()))
    };
    let vcpus = |instance: &Instance| {
        let options = instance.cpu_options();
        let number = options.and_then(|options| Some(options.core_count()? * options.threads_per_core()?));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(1)
    };
    instances.iter().filter(theirs).map(vcpus).sum()
}

/// Why the account's quotas do not let the cluster be. That they cannot be asked for is a note: not every operator may.
pub(super) async fn problems(cloud: &Cloud, types: &BTreeMap<String, Kind>) -> Vec<String> {
    match look(cloud, types).await {
        Ok(problems) => problems,
        Err(error) => {
            cloud.note(format!(
                "whether the account's quotas are large enough was not looked at ({error}); \
                 servicequotas:GetServiceQuota and servicequotas:GetAWSDefaultServiceQuota are the permissions for it"
            ));
            Vec::new()
        }
    }
}

async fn look(cloud: &Cloud, types: &BTreeMap<String, Kind>) -> Result<Vec<String>, Error> {
    let mut needs = Vec::new();
    let wanted = [(ON_DEMAND, false), (SPOT, true)]
        .map(|(quota, spot)| (quota, spot, demand(cloud.spec.groups.values(), spot, types)));
    if wanted.iter().any(|(_, _, vcpus)| *vcpus > 0) {
        let instances = instances(cloud).await?;
        let wanted = wanted.into_iter().filter(|(_, _, vcpus)| *vcpus > 0);
        needs.extend(wanted.map(|(quota, spot, vcpus)| (quota, vcpus, used(&instances, &cloud.spec.cluster, spot))));
    }
    // What there is was counted when it was made.
    if cloud.world.vpcs(cloud).await?.is_empty() {
        needs.push((VPCS, 1, vpcs(cloud).await?));
        needs.push(match cloud.spec.load_balancer.kind {
            BalancerKind::Application => (APPLICATION, 1, application_balancers(cloud).await?),
            BalancerKind::Classic => (CLASSIC, 1, classic_balancers(cloud).await?),
        });
    }
    let mut problems = Vec::new();
    for (quota, wanted, used) in needs {
        if let Some(most) = value(cloud, quota).await? {
            problems.extend(problem(&cloud.spec.region, quota, wanted, used, most));
        }
    }
    Ok(problems)
}

fn problem(region: &str, quota: Quota, wanted: u32, used: u32, most: f64) -> Option<String> {
    let total = wanted.saturating_add(used);
    if f64::from(total) <= most {
        return None;
    }
    let Quota { service, code, what } = quota;
    Some(format!(
        "the account may have {most} {what} in {region}; the cluster needs {wanted}, and {used} are there besides: ask for more with `aws service-quotas request-service-quota-increase --region {region} --service-code {service} --quota-code {code} --desired-value {total}` and wait until that is granted"
    ))
}

/// What the account may have; nothing when AWS does not know the quota in this region.
async fn value(cloud: &Cloud, quota: Quota) -> Result<Option<f64>, Error> {
    let ask = cloud.quotas.get_service_quota().service_code(quota.service).quota_code(quota.code);
    let missing = |error: &futuswarm_aws::Error| error.is(&["NoSuchResourceException"]);
    match ask.send().await.map_err(aws("GetServiceQuota")) {
        Ok(answer) => return Ok(answer.quota.and_then(|quota| quota.value)),
        // Nobody has ever changed it.
        Err(error) if missing(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let ask = cloud.quotas.get_aws_default_service_quota().service_code(quota.service).quota_code(quota.code);
    match ask.send().await.map_err(aws("GetAWSDefaultServiceQuota")) {
        Ok(answer) => Ok(answer.quota.and_then(|quota| quota.value)),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn instances(cloud: &Cloud) -> Result<Vec<Instance>, Error> {
    let running = Filter::builder().name("instance-state-name").values("pending").values("running").build();
    let mut pages = cloud.ec2.describe_instances().filters(running).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let reservations = page.map_err(aws("DescribeInstances"))?.reservations.unwrap_or_default();
        all.extend(reservations.into_iter().flat_map(|one| one.instances.unwrap_or_default()));
    }
    Ok(all)
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

async fn vpcs(cloud: &Cloud) -> Result<u32, Error> {
    let mut pages = cloud.ec2.describe_vpcs().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        all += page.map_err(aws("DescribeVpcs"))?.vpcs().len();
    }
    Ok(number(all))
}

async fn application_balancers(cloud: &Cloud) -> Result<u32, Error> {
    use aws_sdk_elasticloadbalancingv2::types::LoadBalancerTypeEnum::Application;
    let mut pages = cloud.balancing.describe_load_balancers().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws("DescribeLoadBalancers"))?;
        all += page.load_balancers().iter().filter(|one| one.r#type() == Some(&Application)).count();
    }
    Ok(number(all))
}

async fn classic_balancers(cloud: &Cloud) -> Result<u32, Error> {
    let mut pages = cloud.classic.describe_load_balancers().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        all += page.map_err(aws("DescribeLoadBalancers"))?.load_balancer_descriptions().len();
    }
    Ok(number(all))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{CpuOptions, InstanceType, Tag};

    use super::*;

    #[test]
    fn families_are_told_as_ec2_tells_them() {
        for standard in [
            "a1.large",
            "c7gn.large",
            "d3en.xlarge",
            "im4gn.large",
            "is4gen.large",
            "m5.large",
            "t3.small",
            "z1d.large",
        ] {
            assert!(is_standard(standard), "{standard}");
        }
        for other in [
            "g5.xlarge",
            "p5.48xlarge",
            "inf2.xlarge",
            "trn1.2xlarge",
            "x2gd.medium",
            "u-6tb1.metal",
            "hpc7a.96xlarge",
            "mac2.metal",
            "vt1.3xlarge",
            "f1.2xlarge",
            "dl1.24xlarge",
        ] {
            assert!(!is_standard(other), "{other}");
        }
    }

    #[test]
    fn a_group_starts_with_its_fewest_nodes_of_its_smallest_type() {
        let spec = futuswarm_spec::Spec::parse("local", include_str!("../../../../clusters/local.toml")).unwrap();
        let group = |min: u32, types: &[&str], spot: bool| {
            let types = types.iter().map(|kind| (*kind).to_owned()).collect();
            Group { min, instance_types: types, spot, ..spec.groups["workers"].clone() }
        };
        let kinds = [("t3.small", 2), ("m5.2xlarge", 8), ("g5.xlarge", 4)];
        let types = kinds.map(|(name, vcpus)| (name.to_owned(), Kind { vcpus, ..Kind::default() })).into();
        let groups = [
            group(3, &["t3.small"], false),
            group(2, &["m5.2xlarge", "t3.small"], false),
            group(5, &["m5.2xlarge"], true),
            group(9, &["g5.xlarge"], false),
        ];
        assert_eq!(demand(groups.iter(), false, &types), 3 * 2 + 2 * 2);
        assert_eq!(demand(groups.iter(), true, &types), 5 * 8);
    }

    #[test]
    fn what_others_run_is_counted_and_ours_is_not() {
        let instance = |kind: &str, cluster: Option<&str>| {
            let options = CpuOptions::builder().core_count(2).threads_per_core(2).build();
            let tags = cluster.map(|cluster| vec![Tag::builder().key(CLUSTER_TAG).value(cluster).build()]);
            Instance::builder().instance_type(InstanceType::from(kind)).cpu_options(options).set_tags(tags)
        };
        let all = [
            instance("m5.xlarge", None).build(),
            instance("m5.xlarge", Some("other")).build(),
            instance("m5.xlarge", Some("ours")).build(),
            instance("g5.xlarge", None).build(),
            instance("m5.xlarge", None).instance_lifecycle(InstanceLifecycleType::Spot).build(),
        ];
        assert_eq!((used(&all, "ours", false), used(&all, "ours", true)), (8, 4));
    }

    #[test]
    fn a_quota_that_is_too_small_names_the_command_that_asks_for_more() {
        assert_eq!(problem("eu-west-1", ON_DEMAND, 3, 2, 5.0), None);
        let text = problem("eu-west-1", ON_DEMAND, 4, 2, 5.0).unwrap();
        assert!(text.starts_with("the account may have 5 vCPUs of running on-demand instances"), "{text}");
        assert!(text.contains("the cluster needs 4, and 2 are there besides"), "{text}");
        assert!(text.contains("--service-code ec2 --quota-code L-1216C47A --desired-value 6`"), "{text}");
    }
}
