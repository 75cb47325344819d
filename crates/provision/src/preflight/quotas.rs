//! Quotas: what the account may have, has already, and would have with this cluster.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType};
use futuswarm_spec::{BalancerKind, Group};

use super::types::Kind;
use crate::error::{Error, failed};
use crate::names::CLUSTER_TAG;
use crate::{Aws, Run};

/// A quota of an account in a region. Codes are AWS's (`aws service-quotas list-aws-default-service-quotas`).
#[derive(Debug, Clone, Copy)]
struct Quota {
    service: &'static str,
    code: &'static str,
    /// What is counted.
    what: &'static str,
}

/// A quota of vCPUs.
const fn vcpus(code: &'static str, what: &'static str) -> Quota {
    Quota { service: "ec2", code, what }
}

/// Families of instance types that share the quotas of their vCPUs.
struct Family {
    /// What the names of its types begin with, before the first digit.
    letters: &'static [&'static str],
    on_demand: Quota,
    /// Absent where AWS has none.
    spot: Option<Quota>,
}

/// As the Amazon EC2 User Guide names them ("On-Demand Instance quotas", "Spot Instance quotas"). Mac instances run on dedicated
/// hosts and have no quota of vCPUs.
static FAMILIES: [Family; 10] = [
    Family {
        // `im` and `is` are families of I.
        letters: &["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"],
        on_demand: vcpus("L-1216C47A", "vCPUs of running on-demand instances (A, C, D, H, I, M, R, T, Z)"),
        spot: Some(vcpus("L-34B43A08", "vCPUs of spot instances (A, C, D, H, I, M, R, T, Z)")),
    },
    Family {
        letters: &["f"],
        on_demand: vcpus("L-74FC7D96", "vCPUs of running on-demand instances (F)"),
        spot: Some(vcpus("L-88CF9481", "vCPUs of spot instances (F)")),
    },
    Family {
        letters: &["g", "gr", "vt"],
        on_demand: vcpus("L-DB2E81BA", "vCPUs of running on-demand instances (G, VT)"),
        spot: Some(vcpus("L-3819A6DF", "vCPUs of spot instances (G, VT)")),
    },
    Family {
        letters: &["p"],
        on_demand: vcpus("L-417A185B", "vCPUs of running on-demand instances (P)"),
        // One for P2, P3 and P4 and others for what came after them: which of them P6 counts for was not to be found.
        spot: None,
    },
    Family {
        letters: &["inf"],
        on_demand: vcpus("L-1945791B", "vCPUs of running on-demand instances (Inf)"),
        spot: Some(vcpus("L-B5D1601B", "vCPUs of spot instances (Inf)")),
    },
    Family {
        letters: &["trn"],
        on_demand: vcpus("L-2C3B7624", "vCPUs of running on-demand instances (Trn)"),
        spot: Some(vcpus("L-6B0D517C", "vCPUs of spot instances (Trn)")),
    },
    Family {
        letters: &["x"],
        on_demand: vcpus("L-7295265B", "vCPUs of running on-demand instances (X)"),
        spot: Some(vcpus("L-E3A00192", "vCPUs of spot instances (X)")),
    },
    Family {
        letters: &["dl"],
        on_demand: vcpus("L-6E869C2A", "vCPUs of running on-demand instances (DL)"),
        spot: Some(vcpus("L-85EED4F7", "vCPUs of spot instances (DL)")),
    },
    Family {
        letters: &["hpc"],
        on_demand: vcpus("L-F7808C92", "vCPUs of running on-demand instances (HPC)"),
        spot: None,
    },
    Family {
        letters: &["u"],
        on_demand: vcpus("L-43DA4232", "vCPUs of running on-demand instances (high memory)"),
        spot: None,
    },
];

impl Family {
    fn has(&self, kind: &str) -> bool {
        let letters: String = kind.chars().take_while(char::is_ascii_alphabetic).collect();
        self.letters.contains(&letters.as_str())
    }

    /// The quota of one of the two markets.
    fn quota(&self, spot: bool) -> Option<Quota> {
        if spot { self.spot } else { Some(self.on_demand) }
    }
}

const VPCS: Quota = Quota { service: "vpc", code: "L-F678F1CE", what: "VPCs" };
const APPLICATION: Quota =
    Quota { service: "elasticloadbalancing", code: "L-53DA6B97", what: "application load balancers" };
const CLASSIC: Quota = Quota { service: "elasticloadbalancing", code: "L-E9E9831D", what: "classic load balancers" };

/// vCPUs of a family that the groups start with at least, of one of the two markets. A group that may start types of another family
/// instead needs none of this one.
fn demand<'a>(
    family: &Family,
    groups: impl Iterator<Item = &'a Group>,
    spot: bool,
    types: &BTreeMap<String, Kind>,
) -> u32 {
    let least = |group: &Group| {
        let all = group.instance_types.iter().all(|kind| family.has(kind));
        let kinds = group.instance_types.iter().filter(|_| all).filter_map(|kind| types.get(kind));
        kinds.map(|kind| kind.vcpus).min()
    };
    groups.filter(|group| group.spot == spot).filter_map(|group| Some(group.min * least(group)?)).sum()
}

/// vCPUs of a family that instances of others have, of one of the two markets.
fn used(family: &Family, instances: &[Instance], cluster: &str, spot: bool) -> u32 {
    let theirs = |instance: &&Instance| {
        crate::inventory::tag(instance.tags(), CLUSTER_TAG) != Some(cluster)
            && (instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot)) == spot
            && instance.instance_type().is_some_and(|kind| family.has(kind.as_str()))
    };
    let vcpus = |instance: &Instance| {
        let options = instance.cpu_options();
        let number = options.and_then(|options| Some(options.core_count()? * options.threads_per_core()?));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(1)
    };
    instances.iter().filter(theirs).map(vcpus).sum()
}

/// Why the account's quotas do not let the cluster be. That they cannot be asked for is a note: not every operator may.
pub(super) async fn problems(aws: &Aws, run: &Run, types: &BTreeMap<String, Kind>) -> Vec<String> {
    match check(aws, run, types).await {
        Ok(problems) => problems,
        Err(error) => {
            run.note(format!(
                "whether the account's quotas are large enough was not looked at ({error}); \
                 servicequotas:GetServiceQuota and servicequotas:GetAWSDefaultServiceQuota are the permissions for it"
            ));
            Vec::new()
        }
    }
}

async fn check(aws: &Aws, run: &Run, types: &BTreeMap<String, Kind>) -> Result<Vec<String>, Error> {
    let mut needs = Vec::new();
    let markets = FAMILIES.iter().flat_map(|family| [(family, false), (family, true)]);
    let desired = markets.filter_map(|(family, spot)| {
        let vcpus = demand(family, run.cluster.spec.groups.values(), spot, types);
        Some((family, spot, family.quota(spot)?, vcpus)).filter(|_| vcpus > 0)
    });
    let desired: Vec<_> = desired.collect();
    if !desired.is_empty() {
        let (instances, cluster) = (instances(aws).await?, &run.cluster.spec.cluster);
        needs.extend(
            desired
                .into_iter()
                .map(|(family, spot, quota, vcpus)| (quota, vcpus, used(family, &instances, cluster, spot))),
        );
    }
    // What there is was counted when it was made.
    if run.inventory.vpcs(aws).await?.is_empty() {
        needs.push((VPCS, 1, vpcs(aws).await?));
        needs.push(match run.cluster.spec.load_balancer.kind {
            BalancerKind::Application => (APPLICATION, 1, application_balancers(aws).await?),
            BalancerKind::Classic => (CLASSIC, 1, classic_balancers(aws).await?),
        });
    }
    let mut problems = Vec::new();
    for (quota, desired, used) in needs {
        if let Some(max) = value(aws, quota).await? {
            problems.extend(problem(&run.cluster.spec.region, quota, desired, used, max));
        }
    }
    Ok(problems)
}

fn problem(region: &str, quota: Quota, desired: u32, used: u32, max: f64) -> Option<String> {
    let total = desired.saturating_add(used);
    if f64::from(total) <= max {
        return None;
    }
    let Quota { service, code, what } = quota;
    Some(format!(
        "the account may have {max} {what} in {region}; the cluster needs {desired}, and {used} are there besides: ask for more with `aws service-quotas request-service-quota-increase --region {region} --service-code {service} --quota-code {code} --desired-value {total}` and wait until that is granted"
    ))
}

/// What the account may have; nothing when AWS does not know the quota in this region.
async fn value(aws: &Aws, quota: Quota) -> Result<Option<f64>, Error> {
    let ask = aws.quotas.get_service_quota().service_code(quota.service).quota_code(quota.code);
    let missing = |error: &futuswarm_aws::Error| error.is(&["NoSuchResourceException"]);
    match ask.send().await.map_err(failed("GetServiceQuota")) {
        Ok(answer) => return Ok(answer.quota.and_then(|quota| quota.value)),
        // Nobody has ever changed it.
        Err(error) if missing(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let ask = aws.quotas.get_aws_default_service_quota().service_code(quota.service).quota_code(quota.code);
    match ask.send().await.map_err(failed("GetAWSDefaultServiceQuota")) {
        Ok(answer) => Ok(answer.quota.and_then(|quota| quota.value)),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn instances(aws: &Aws) -> Result<Vec<Instance>, Error> {
    let running = Filter::builder().name("instance-state-name").values("pending").values("running").build();
    let mut pages = aws.ec2.describe_instances().filters(running).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let reservations = page.map_err(failed("DescribeInstances"))?.reservations.unwrap_or_default();
        all.extend(reservations.into_iter().flat_map(|one| one.instances.unwrap_or_default()));
    }
    Ok(all)
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

async fn vpcs(aws: &Aws) -> Result<u32, Error> {
    let mut pages = aws.ec2.describe_vpcs().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        all += page.map_err(failed("DescribeVpcs"))?.vpcs().len();
    }
    Ok(number(all))
}

async fn application_balancers(aws: &Aws) -> Result<u32, Error> {
    use aws_sdk_elasticloadbalancingv2::types::LoadBalancerTypeEnum::Application;
    let mut pages = aws.balancing.describe_load_balancers().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("DescribeLoadBalancers"))?;
        all += page.load_balancers().iter().filter(|one| one.r#type() == Some(&Application)).count();
    }
    Ok(number(all))
}

async fn classic_balancers(aws: &Aws) -> Result<u32, Error> {
    let mut pages = aws.classic.describe_load_balancers().into_paginator().send();
    let mut all = 0;
    while let Some(page) = pages.next().await {
        all += page.map_err(failed("DescribeLoadBalancers"))?.load_balancer_descriptions().len();
    }
    Ok(number(all))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{CpuOptions, InstanceType, Tag};

    use super::*;

    fn family(of: &str) -> Option<&'static Family> {
        let mut all = FAMILIES.iter().filter(|family| family.has(of));
        let first = all.next();
        assert!(all.next().is_none(), "{of} counts once");
        first
    }

    #[test]
    fn families_are_told_as_ec2_tells_them() {
        for (kinds, on_demand, spot) in [
            (
                &[
                    "a1.large",
                    "c7gn.large",
                    "d3en.xlarge",
                    "im4gn.large",
                    "is4gen.large",
                    "m5.large",
                    "t3.small",
                    "z1d.large",
                ][..],
                "L-1216C47A",
                Some("L-34B43A08"),
            ),
            (&["g5.xlarge", "g4dn.xlarge", "gr6.4xlarge", "vt1.3xlarge"], "L-DB2E81BA", Some("L-3819A6DF")),
            (&["p3dn.24xlarge", "p5.48xlarge"], "L-417A185B", None),
            (&["inf2.xlarge"], "L-1945791B", Some("L-B5D1601B")),
            (&["trn1.2xlarge", "trn1n.32xlarge"], "L-2C3B7624", Some("L-6B0D517C")),
            (&["x2gd.medium", "x8g.medium"], "L-7295265B", Some("L-E3A00192")),
            (&["u-6tb1.112xlarge", "u7i-12tb.224xlarge", "u7in-16tb.224xlarge"], "L-43DA4232", None),
            (&["hpc7a.96xlarge"], "L-F7808C92", None),
            (&["f1.2xlarge", "f2.6xlarge"], "L-74FC7D96", Some("L-88CF9481")),
            (&["dl1.24xlarge", "dl2q.24xlarge"], "L-6E869C2A", Some("L-85EED4F7")),
        ] {
            for kind in kinds {
                let family = family(kind).unwrap_or_else(|| panic!("{kind} is of a family"));
                assert_eq!(family.quota(false).map(|quota| quota.code), Some(on_demand), "{kind}");
                assert_eq!(family.quota(true).map(|quota| quota.code), spot, "{kind}");
            }
        }
        assert!(family("mac2.metal").is_none());
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
            // Either will do.
            group(7, &["g5.xlarge", "m5.2xlarge"], false),
        ];
        let (standard, graphics) = (family("m5.large").unwrap(), family("g5.xlarge").unwrap());
        assert_eq!(demand(standard, groups.iter(), false, &types), 3 * 2 + 2 * 2);
        assert_eq!(demand(standard, groups.iter(), true, &types), 5 * 8);
        assert_eq!(demand(graphics, groups.iter(), false, &types), 9 * 4);
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
        let used = |kind: &str, spot: bool| used(family(kind).unwrap(), &all, "ours", spot);
        assert_eq!((used("m5.large", false), used("m5.large", true), used("g5.large", false)), (8, 4, 4));
    }

    #[test]
    fn a_quota_that_is_too_small_names_the_command_that_asks_for_more() {
        let quota = family("m5.large").unwrap().on_demand;
        assert_eq!(problem("eu-west-1", quota, 3, 2, 5.0), None);
        let text = problem("eu-west-1", quota, 4, 2, 5.0).unwrap();
        assert!(text.starts_with("the account may have 5 vCPUs of running on-demand instances"), "{text}");
        assert!(text.contains("the cluster needs 4, and 2 are there besides"), "{text}");
        assert!(text.contains("--service-code ec2 --quota-code L-1216C47A --desired-value 6`"), "{text}");
    }
}
