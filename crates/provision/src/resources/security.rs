//! Security groups: the load balancer is open to the world, nodes to the load balancer and to each other.

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup, UserIdGroupPair};
use futuswarm_aws::at_most_one;

use super::{Made, gone};
use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud};

const NODES: &str = "nodes";
const BALANCER: &str = "load-balancer";
/// Where the edge of a node listens.
pub(super) const EDGE_PORT: i32 = 80;
/// What Swarm's nodes say to each other: joins and raft, gossip, and VXLAN.
const SWARM: [(&str, i32); 4] = [("tcp", 2377), ("tcp", 7946), ("udp", 7946), ("udp", 4789)];

/// One rule for incoming traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    protocol: &'static str,
    port: i32,
    from: Source,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Network(String),
    Group(String),
}

/// Makes both groups and their rules.
pub(super) async fn ensure(cloud: &mut Cloud, made: &mut Made) -> Result<(), Error> {
    let balancer = ensure_group(cloud, made, BALANCER, "Futuswarm load balancer").await?;
    let nodes = ensure_group(cloud, made, NODES, "Futuswarm nodes").await?;
    if let (Some(balancer), Some(nodes)) = (balancer, nodes) {
        let world = || Source::Network("0.0.0.0/0".to_owned());
        let rules = [80, 443].map(|port| Rule { protocol: "tcp", port, from: world() });
        ensure_rules(cloud, &balancer, BALANCER, &rules).await?;
        let mut rules = vec![Rule { protocol: "tcp", port: EDGE_PORT, from: Source::Group(id(&balancer)) }];
        rules.extend(SWARM.map(|(protocol, port)| Rule { protocol, port, from: Source::Group(id(&nodes)) }));
        let allowed = cloud.spec.ssh_allowed_cidrs.iter();
        rules.extend(allowed.map(|network| Rule {
            protocol: "tcp",
            port: 22,
            from: Source::Network(network.to_string()),
        }));
        ensure_rules(cloud, &nodes, NODES, &rules).await?;
        made.balancer_group = Some(id(&balancer));
        made.nodes_group = Some(id(&nodes));
    }
    Ok(())
}

fn id(group: &SecurityGroup) -> String {
    group.group_id().unwrap_or_default().to_owned()
}

async fn find(cloud: &Cloud, part: &str) -> Result<Option<SecurityGroup>, Error> {
    let found = cloud.ec2.describe_security_groups().set_filters(Some(cloud.ec2_filters(part))).send().await;
    let found = found.map_err(aws("DescribeSecurityGroups"))?;
    Ok(at_most_one(format!("security groups {part} of the cluster"), found.security_groups().to_vec(), id)?)
}

async fn ensure_group(
    cloud: &mut Cloud,
    made: &Made,
    part: &str,
    description: &str,
) -> Result<Option<SecurityGroup>, Error> {
    if let Some(group) = find(cloud, part).await? {
        return Ok(Some(group));
    }
    let name = cloud.names.of(part);
    if !cloud.plan.begin(Action::Create, "security group", &name) {
        return Ok(None);
    }
    let vpc = made.vpc.as_deref().ok_or_else(incomplete("CreateVpc", "VpcId"))?;
    let tags = cloud.ec2_tags(ResourceType::SecurityGroup, part);
    let create = cloud
        .ec2
        .create_security_group()
        .group_name(&name)
        .description(description)
        .vpc_id(vpc)
        .tag_specifications(tags);
    create.send().await.map_err(aws("CreateSecurityGroup"))?;
    find(cloud, part).await?.ok_or_else(incomplete("DescribeSecurityGroups", "the group just made")).map(Some)
}

/// Adds the rules that are missing and takes away those that are not wanted.
async fn ensure_rules(cloud: &mut Cloud, group: &SecurityGroup, part: &str, wanted: &[Rule]) -> Result<(), Error> {
    let current: Vec<(Rule, IpPermission)> = group.ip_permissions().iter().flat_map(split).collect();
    let missing: Vec<IpPermission> =
        wanted.iter().filter(|rule| !current.iter().any(|(found, _)| found == *rule)).map(permission).collect();
    let unwanted: Vec<IpPermission> =
        current.into_iter().filter(|(found, _)| !wanted.contains(found)).map(|(_, permission)| permission).collect();
    let name = cloud.names.of(part);
    if !missing.is_empty()
        && cloud.plan.begin(Action::Update, "security group", &format!("{name}: {} rules to add", missing.len()))
    {
        let authorize =
            cloud.ec2.authorize_security_group_ingress().group_id(id(group)).set_ip_permissions(Some(missing));
        authorize.send().await.map_err(aws("AuthorizeSecurityGroupIngress"))?;
    }
    if !unwanted.is_empty()
        && cloud.plan.begin(Action::Update, "security group", &format!("{name}: {} rules to remove", unwanted.len()))
    {
        let revoke = cloud.ec2.revoke_security_group_ingress().group_id(id(group)).set_ip_permissions(Some(unwanted));
        revoke.send().await.map_err(aws("RevokeSecurityGroupIngress"))?;
    }
    Ok(())
}

fn permission(rule: &Rule) -> IpPermission {
    let permission = IpPermission::builder().ip_protocol(rule.protocol).from_port(rule.port).to_port(rule.port);
    match &rule.from {
        Source::Network(network) => permission.ip_ranges(IpRange::builder().cidr_ip(network).build()).build(),
        Source::Group(group) => {
            permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(group).build()).build()
        }
    }
}

/// EC2 groups sources of one port; a rule here has one source.
fn split(found: &IpPermission) -> Vec<(Rule, IpPermission)> {
    let protocol = match found.ip_protocol() {
        Some("tcp") => "tcp",
        Some("udp") => "udp",
        _ => "other",
    };
    let port = found.from_port().filter(|port| found.to_port() == Some(*port)).unwrap_or(-1);
    let networks =
        found.ip_ranges().iter().filter_map(|range| range.cidr_ip()).map(|network| Source::Network(network.to_owned()));
    let groups = found
        .user_id_group_pairs()
        .iter()
        .filter_map(|pair| pair.group_id())
        .map(|group| Source::Group(group.to_owned()));
    networks
        .chain(groups)
        .map(|from| {
            let rule = Rule { protocol, port, from };
            let mut single = permission(&rule);
            single.ip_protocol = found.ip_protocol.clone();
            (single.from_port, single.to_port) = (found.from_port, found.to_port);
            (rule, single)
        })
        .collect()
}

/// Deletes both groups. The nodes' group names the balancer's, so it goes first.
pub(super) async fn delete(cloud: &mut Cloud) -> Result<(), Error> {
    for part in [NODES, BALANCER] {
        let Some(group) = find(cloud, part).await? else { continue };
        let (ec2, group) = (cloud.ec2.clone(), id(&group));
        // The network interfaces of terminated instances vanish with a delay.
        let delete = async {
            super::groups::patiently("DeleteSecurityGroup", || async {
                ec2.delete_security_group().group_id(&group).send().await.map_err(aws("DeleteSecurityGroup"))
            })
            .await
        };
        gone(cloud, "security group", part, delete).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ec2_groups_is_compared_rule_by_rule() {
        let grouped = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(22)
            .to_port(22)
            .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/8").build())
            .ip_ranges(IpRange::builder().cidr_ip("203.0.113.7/32").build())
            .user_id_group_pairs(UserIdGroupPair::builder().group_id("sg-1").build())
            .build();
        let rules: Vec<Rule> = split(&grouped).into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[2], Rule { protocol: "tcp", port: 22, from: Source::Group("sg-1".to_owned()) });
        assert!(split(&permission(&rules[0])).iter().map(|(rule, _)| rule).eq([&rules[0]]));
    }

    #[test]
    fn a_rule_that_is_wider_than_ours_is_not_ours() {
        let all = IpPermission::builder()
            .ip_protocol("-1")
            .ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build())
            .build();
        let (rule, permission) = split(&all).remove(0);
        assert_eq!((rule.protocol, rule.port), ("other", -1));
        assert_eq!(permission.ip_protocol(), Some("-1"), "it must be revoked as it is");
    }
}
