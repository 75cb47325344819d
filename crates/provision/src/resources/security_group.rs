//! Security groups: the load balancer is open to the networks of the spec, nodes to the load balancer and to each other, the
//! database to the nodes.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup as Observed, UserIdGroupPair};
use futuswarm_converge::Resource;
use futuswarm_edge::LOGIN_HOST_PORT;

use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

/// Where the edge of a node listens.
pub(crate) const EDGE_PORT: i32 = 80;
/// PostgreSQL's.
pub(crate) const DATABASE_PORT: i32 = 5432;
/// What Swarm's nodes say to each other: joins and raft, gossip, and VXLAN.
const SWARM: [(&str, i32); 4] = [("tcp", 2377), ("tcp", 7946), ("udp", 7946), ("udp", 4789)];

/// Whose traffic a group is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecurityGroup {
    /// What Swarm needs between them, the edge from the balancer, and SSH.
    Nodes,
    /// The load balancer.
    Balancer,
    /// PostgreSQL from the nodes, and nothing else.
    Database,
}

/// Whose traffic a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    In,
    Out,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    way: Way,
    protocol: String,
    ports: Option<(i32, i32)>,
    /// The other side.
    other: Source,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Network(String),
    Group(String),
    /// IPv6 networks and prefix lists, which we never make.
    Other(String),
}

impl std::fmt::Display for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Source::Network(other) | Source::Group(other) | Source::Other(other)) = &self.other;
        let protocol = if self.protocol == "-1" { "everything" } else { &self.protocol };
        let (way, other) = match self.way {
            Way::In => ("ingress", format!("from {other}")),
            Way::Out => ("egress", format!("to {other}")),
        };
        match self.ports {
            Some((first, last)) if first == last => write!(formatter, "{way} {protocol} {first} {other}"),
            Some((first, last)) => write!(formatter, "{way} {protocol} {first}-{last} {other}"),
            None => write!(formatter, "{way} {protocol} {other}"),
        }
    }
}

fn rule(protocol: &str, port: i32, from: Source) -> Rule {
    Rule { way: Way::In, protocol: protocol.to_owned(), ports: Some((port, port)), other: from }
}

/// What EC2 gives every group: who is in it may call out. Nodes fetch containers from anywhere.
fn way_out() -> Rule {
    let everywhere = Source::Network("0.0.0.0/0".to_owned());
    Rule { way: Way::Out, protocol: "-1".to_owned(), ports: None, other: everywhere }
}

/// What lets the login's port of the nodes be reached. It comes and goes with the login, by itself: [`super::login_rule`].
pub(super) fn login_rule(run: &Run) -> Rule {
    rule("tcp", i32::from(LOGIN_HOST_PORT), Source::Group(run.id_or_unknown(components::SECURITY_BALANCER)))
}

/// All rules of a group, each beside what to revoke it with.
pub(super) fn there(observed: &Observed) -> Vec<(Rule, IpPermission)> {
    let ingress = observed.ip_permissions().iter().flat_map(|permission| split(Way::In, permission));
    let egress = observed.ip_permissions_egress().iter().flat_map(|permission| split(Way::Out, permission));
    ingress.chain(egress).collect()
}

impl SecurityGroup {
    pub(crate) fn component_name(self) -> &'static str {
        match self {
            Self::Nodes => components::SECURITY_NODES,
            Self::Balancer => components::SECURITY_BALANCER,
            Self::Database => components::SECURITY_DATABASE,
        }
    }

    fn rules(self, run: &Run) -> BTreeSet<Rule> {
        let group = |group: Self| Source::Group(run.id_or_unknown(group.component_name()));
        let mut rules = BTreeSet::from([way_out()]);
        match self {
            Self::Balancer => {
                for network in &run.cluster.spec.load_balancer.allowed_cidrs {
                    rules.extend([80, 443].map(|port| rule("tcp", port, Source::Network(network.to_string()))));
                }
            }
            Self::Nodes => {
                rules.insert(rule("tcp", EDGE_PORT, group(Self::Balancer)));
                rules.extend(SWARM.map(|(protocol, port)| rule(protocol, port, group(Self::Nodes))));
                let allowed = run.cluster.spec.ssh.allowed_cidrs.iter();
                rules.extend(allowed.map(|network| rule("tcp", 22, Source::Network(network.to_string()))));
            }
            Self::Database => drop(rules.insert(rule("tcp", DATABASE_PORT, group(Self::Nodes)))),
        }
        rules
    }

    /// All rules of a group but the login's, which is another component.
    fn own(self, run: &Run, observed: &Observed) -> Vec<(Rule, IpPermission)> {
        let login = (self == Self::Nodes).then(|| login_rule(run));
        there(observed).into_iter().filter(|(rule, _)| Some(rule) != login.as_ref()).collect()
    }

    /// Adds the rules that are missing and takes away those that are not desired.
    async fn set_rules(self, aws: &Aws, run: &Run, id: &str, there: &[(Rule, IpPermission)]) -> Result<(), Error> {
        // The nodes' group names itself.
        run.note_id(self.component_name().to_owned(), id.to_owned());
        let desired = self.rules(run);
        for way in [Way::In, Way::Out] {
            let missing =
                desired.iter().filter(|rule| rule.way == way && !there.iter().any(|(observed, _)| observed == *rule));
            let missing: Vec<IpPermission> = missing.map(permission).collect();
            let extra = there.iter().filter(|(rule, _)| rule.way == way && !desired.contains(rule));
            let extra: Vec<IpPermission> = extra.map(|(_, permission)| permission.clone()).collect();
            if !missing.is_empty() {
                allow(aws, way, id, missing).await?;
            }
            if !extra.is_empty() {
                revoke(aws, way, id, extra).await?;
            }
        }
        Ok(())
    }
}

/// Adds rules, some of which a run that was killed after the call may have added.
pub(super) async fn allow(aws: &Aws, way: Way, id: &str, rules: Vec<IpPermission>) -> Result<(), Error> {
    until_visible("the security groups", || async {
        match authorize(aws, way, id, rules.clone()).await {
            Err(error) if error.is(&["InvalidPermission.Duplicate"]) => Ok(()),
            outcome => outcome,
        }
    })
    .await?;
    Ok(())
}

async fn authorize(aws: &Aws, way: Way, id: &str, rules: Vec<IpPermission>) -> Result<(), futuswarm_aws::Error> {
    let rules = Some(rules);
    match way {
        Way::In => {
            let allow = aws.ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(rules);
            allow.send().await.map_err(failed("AuthorizeSecurityGroupIngress")).map(drop)
        }
        Way::Out => {
            let allow = aws.ec2.authorize_security_group_egress().group_id(id).set_ip_permissions(rules);
            allow.send().await.map_err(failed("AuthorizeSecurityGroupEgress")).map(drop)
        }
    }
}

pub(super) async fn revoke(
    aws: &Aws,
    way: Way,
    id: &str,
    rules: Vec<IpPermission>,
) -> Result<(), futuswarm_aws::Error> {
    let rules = Some(rules);
    match way {
        Way::In => {
            let revoke = aws.ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(rules);
            revoke.send().await.map_err(failed("RevokeSecurityGroupIngress")).map(drop)
        }
        Way::Out => {
            let revoke = aws.ec2.revoke_security_group_egress().group_id(id).set_ip_permissions(rules);
            revoke.send().await.map_err(failed("RevokeSecurityGroupEgress")).map(drop)
        }
    }
}

impl Resource<Run> for SecurityGroup {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "security group"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(self.component_name().trim_start_matches("security-"))
    }

    fn component(&self) -> String {
        self.component_name().to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        let others: &[&str] = match self {
            Self::Balancer => &[],
            Self::Nodes => &[Self::Balancer.component_name()],
            Self::Database => &[Self::Nodes.component_name()],
        };
        others.iter().copied().chain([components::VPC]).map(str::to_owned).collect()
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("sg-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        run.inventory.find(run.inventory.security_groups(aws).await?, "security groups", self.component_name())
    }

    fn id(&self, observed: &Observed) -> String {
        observed.group_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let mut fields = Fields::new().with(Field::Vpc, run.id_or_unknown(components::VPC));
        for rule in self.rules(run) {
            fields = fields.with(Field::Rule(rule.to_string()), "allowed");
        }
        Ok(fields.with_desired_tags(&run.cluster.tags(self.component_name())))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let mut fields = Fields::new().with(Field::Vpc, observed.vpc_id().unwrap_or_default());
        for (rule, _) in self.own(run, observed) {
            fields = fields.with(Field::Rule(rule.to_string()), "allowed");
        }
        fields.with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(self.component_name()))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Vpc] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let vpc = run.need(components::VPC)?;
        let description = match self {
            Self::Nodes => "Futuswarm nodes",
            Self::Balancer => "Futuswarm load balancer",
            Self::Database => "Futuswarm database",
        };
        let made = until_visible("the VPC", || async {
            let create = aws.ec2.create_security_group().group_name(self.name(run)).description(description);
            let create = create.vpc_id(&vpc);
            let create =
                create.tag_specifications(run.cluster.ec2_tags(ResourceType::SecurityGroup, self.component_name()));
            create.send().await.map_err(failed("CreateSecurityGroup"))
        });
        let id = made.await?.group_id.ok_or_else(incomplete("CreateSecurityGroup", "GroupId"))?;
        // A new group has its way out already.
        let way_out = way_out();
        let exact = permission(&way_out);
        self.set_rules(aws, run, &id, &[(way_out, exact)]).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any_of(|field| matches!(field, Field::Rule(_))) {
            self.set_rules(aws, run, &id, &self.own(run, observed)).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, self.component_name()).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let id = self.id(observed);
        // The network interfaces of instances and load balancers vanish with a delay.
        until_free("the security group", || async {
            aws.ec2.delete_security_group().group_id(&id).send().await.map_err(failed("DeleteSecurityGroup"))
        })
        .await?;
        Ok(())
    }
}

pub(super) fn permission(rule: &Rule) -> IpPermission {
    let permission = IpPermission::builder().ip_protocol(&rule.protocol);
    let permission = match rule.ports {
        Some((first, last)) => permission.from_port(first).to_port(last),
        None => permission,
    };
    match &rule.other {
        Source::Network(network) => permission.ip_ranges(IpRange::builder().cidr_ip(network).build()).build(),
        Source::Group(group) => {
            permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(group).build()).build()
        }
        Source::Other(_) => permission.build(),
    }
}

/// EC2 groups the sources of one range of ports; a rule here has one source. Beside each is what to revoke it with.
fn split(way: Way, observed: &IpPermission) -> Vec<(Rule, IpPermission)> {
    let protocol = observed.ip_protocol().unwrap_or_default().to_owned();
    // Everything has no ports; some answers say -1.
    let ports = observed.from_port().zip(observed.to_port()).filter(|(first, _)| protocol != "-1" && *first >= 0);
    let rule = |other: Source| Rule { way, protocol: protocol.clone(), ports, other };
    let mut all = Vec::new();
    for range in observed.ip_ranges().iter().filter_map(|range| range.cidr_ip()) {
        let rule = rule(Source::Network(range.to_owned()));
        all.push((rule.clone(), permission(&rule)));
    }
    for group in observed.user_id_group_pairs().iter().filter_map(|pair| pair.group_id()) {
        let rule = rule(Source::Group(group.to_owned()));
        all.push((rule.clone(), permission(&rule)));
    }
    for range in observed.ipv6_ranges() {
        let rule = rule(Source::Other(range.cidr_ipv6().unwrap_or_default().to_owned()));
        let mut exact = permission(&rule);
        exact.ipv6_ranges = Some(vec![range.clone()]);
        all.push((rule, exact));
    }
    for list in observed.prefix_list_ids() {
        let rule = rule(Source::Other(list.prefix_list_id().unwrap_or_default().to_owned()));
        let mut exact = permission(&rule);
        exact.prefix_list_ids = Some(vec![list.clone()]);
        all.push((rule, exact));
    }
    all
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
        let rules: Vec<Rule> = split(Way::In, &grouped).into_iter().map(|(rule, _)| rule).collect();
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["ingress tcp 22 from 10.0.0.0/8", "ingress tcp 22 from 203.0.113.7/32", "ingress tcp 22 from sg-1"]
        );
        assert!(split(Way::In, &permission(&rules[0])).iter().map(|(rule, _)| rule).eq([&rules[0]]));
    }

    #[test]
    fn a_rule_that_is_wider_than_ours_is_not_ours_and_is_revoked_as_it_is() {
        let all = IpPermission::builder()
            .ip_protocol("-1")
            .from_port(-1)
            .to_port(-1)
            .ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build())
            .ipv6_ranges(aws_sdk_ec2::types::Ipv6Range::builder().cidr_ipv6("::/0").build())
            .build();
        let observed = split(Way::In, &all);
        assert_eq!(observed[0].0.to_string(), "ingress everything from 0.0.0.0/0");
        assert_eq!((observed[0].1.ip_protocol(), observed[0].1.from_port()), (Some("-1"), None));
        assert_eq!(observed[1].0.to_string(), "ingress everything from ::/0");
        assert_eq!(observed[1].1.ipv6_ranges()[0].cidr_ipv6(), Some("::/0"));
        let out = split(Way::Out, &all);
        assert_eq!(out[0].0, way_out());
        assert_eq!(out[0].0.to_string(), "egress everything to 0.0.0.0/0");
        assert_ne!(out[0].0, observed[0].0, "what may come in may not go out by that");
    }
}
