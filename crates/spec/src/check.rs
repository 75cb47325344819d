//! What the types of single keys cannot say: parts of a spec that must fit together.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use crate::read::{Draft, LONGEST_SUBNET_PREFIX};
use crate::reader::Table;
use crate::{BalancerKind, Group, Network, PlainHttp, Role};

/// EC2's largest VPC and largest subnet.
const SHORTEST_VPC_PREFIX: u8 = 16;
/// AWS's smallest subnet for a load balancer, with eight free addresses.
const LONGEST_BALANCER_PREFIX: u8 = 27;
/// AWS takes fifty; we add a few of our own.
const MOST_TAGS: usize = 40;

pub(crate) fn check(root: &mut Table, draft: &Draft) {
    if let Some(network) = &draft.network {
        subnets(root, network);
        zones(root, network, draft.region.as_deref());
        overlaps(root, draft, network.cidr);
        balancer(root, draft, network);
        database(root, draft, network);
    }
    if let Some(swarm) = &draft.swarm {
        let (pool, mask) = (swarm.address_pool, swarm.address_pool_mask);
        if mask <= pool.prefix_len() || mask > 29 {
            let message = format!(
                "a network of /{mask} cannot be taken from {pool}; choose a number between {} and 29",
                pool.prefix_len() + 1
            );
            root.wrong_below("swarm.address_pool_mask", message);
        }
    }
    if let Some(groups) = &draft.groups {
        managers(root, groups);
        for (name, group) in groups {
            check_group(root, name, group, draft.network.as_ref());
        }
    }
    if let Some(ssh) = &draft.ssh
        && ssh.allowed_cidrs.iter().any(|network| network.prefix_len() == 0)
    {
        let message = "SSH is never open to the whole internet; name the networks that you log in from";
        root.wrong_below("ssh.allowed_cidrs", message);
    }
    if let (Some(domain), Some(Some(open))) = (&draft.domain, &draft.open_domain)
        && (domain == open || domain.ends_with(&format!(".{open}")) || open.ends_with(&format!(".{domain}")))
    {
        let message = format!(
            "{open} and the domain {domain} overlap; services behind the sign-on and open ones need domains of their own"
        );
        root.wrong_below("open_domain", message);
    }
    tags(root, draft.tags.as_ref());
    ports(root, draft);
}

fn subnets(root: &mut Table, network: &Network) {
    let vpc = network.cidr;
    if !(SHORTEST_VPC_PREFIX..=LONGEST_SUBNET_PREFIX).contains(&vpc.prefix_len()) {
        let message = format!("a VPC is between /{SHORTEST_VPC_PREFIX} and /{LONGEST_SUBNET_PREFIX}, and {vpc} is not");
        root.wrong_below("network.cidr", message);
        return;
    }
    let mut seen: Vec<(&str, Ipv4Net)> = Vec::new();
    for (key, list) in [("public_subnets", &network.public_subnets), ("private_subnets", &network.private_subnets)] {
        let dotted = format!("network.{key}");
        if list.len() != network.zones.len() {
            let message = format!(
                "there are {} zones and {} {}; each zone needs one, and {vpc} must have room for them",
                network.zones.len(),
                list.len(),
                key.replace('_', " ")
            );
            root.wrong_below(&dotted, message);
        }
        for subnet in list {
            if !vpc.contains(subnet) {
                root.wrong_below(&dotted, format!("{subnet} is outside of the VPC {vpc}"));
            } else if subnet.prefix_len() > LONGEST_SUBNET_PREFIX {
                root.wrong_below(
                    &dotted,
                    format!("{subnet} is smaller than EC2's smallest subnet, a /{LONGEST_SUBNET_PREFIX}"),
                );
            }
            if let Some((other_key, other)) = seen.iter().find(|(_, other)| overlap(*other, *subnet)) {
                root.wrong_below(&dotted, format!("{subnet} overlaps with {other} of {other_key}"));
            }
            seen.push((key, *subnet));
        }
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn zones(root: &mut Table, network: &Network, region: Option<&str>) {
    let mut seen = BTreeSet::new();
    for zone in &network.zones {
        if let Some(region) = region
            && !zone.starts_with(region)
        {
            root.wrong_below("network.zones", format!("the zone {zone:?} is not in the region {region:?}"));
        }
        if !seen.insert(zone) {
            root.wrong_below("network.zones", format!("the zone {zone:?} is there twice"));
        }
    }
}

/// Networks that nodes must be able to tell apart.
fn overlaps(root: &mut Table, draft: &Draft, vpc: Ipv4Net) {
    let pool = draft.swarm.as_ref().map(|swarm| swarm.address_pool);
    if let Some(pool) = pool
        && overlap(pool, vpc)
    {
        let message = format!(
            "the overlay networks' pool {pool} and the VPC {vpc} overlap; containers could not reach the nodes"
        );
        root.wrong_below("swarm.address_pool", message);
    }
    let mut seen: Vec<(&str, Ipv4Net)> = Vec::new();
    for (name, peering) in draft.peering.iter().flatten() {
        let dotted = format!("peering.{name}.cidr");
        if overlap(peering.cidr, vpc) {
            root.wrong_below(&dotted, format!("{} overlaps with our VPC {vpc}; AWS does not peer them", peering.cidr));
        }
        if let Some(pool) = pool.filter(|pool| overlap(*pool, peering.cidr)) {
            let message = format!(
                "{} overlaps with the overlay networks' pool {pool}; containers could not reach it",
                peering.cidr
            );
            root.wrong_below(&dotted, message);
        }
        if let Some((other, _)) = seen.iter().find(|(_, cidr)| overlap(*cidr, peering.cidr)) {
            root.wrong_below(&dotted, format!("{} overlaps with that of peering.{other}", peering.cidr));
        }
        seen.push((name, peering.cidr));
        if peering.role_arn.is_none() && peering.account.is_some() && peering.ldap {
            let message = "a rule in another account's VPC needs a role there: give `role_arn`, or `ldap = false` and make the rule by hand";
            root.wrong_below(&format!("peering.{name}.ldap"), message);
        }
        if peering.ldap && draft.ldap.as_ref().is_some_and(Option::is_none) {
            root.wrong_below(
                &format!("peering.{name}.ldap"),
                "there is no [ldap] table that says which server is meant",
            );
        }
    }
}

fn balancer(root: &mut Table, draft: &Draft, network: &Network) {
    let redirects = draft
        .load_balancer
        .as_ref()
        .is_some_and(|balancer| balancer.kind == BalancerKind::Classic && balancer.http == PlainHttp::Redirect);
    if redirects {
        root.wrong_below("load_balancer.http", "a classic load balancer cannot redirect: set `http = \"forward\"`");
    }
    let application = draft.load_balancer.as_ref().is_some_and(|balancer| balancer.kind == BalancerKind::Application);
    if let Some(small) = network.public_subnets.iter().find(|subnet| subnet.prefix_len() > LONGEST_BALANCER_PREFIX) {
        let message = format!("{small} is too small: a load balancer needs a /{LONGEST_BALANCER_PREFIX} or larger");
        root.wrong_below("network.public_subnets", message);
    }
    if application && network.zones.len() < 2 {
        root.wrong_below("network.zones", "an application load balancer needs at least two zones");
    }
}

fn database(root: &mut Table, draft: &Draft, network: &Network) {
    if draft.rds.as_ref().is_some_and(Option::is_some) && network.zones.len() < 2 {
        root.wrong_below("network.zones", "RDS needs subnets in at least two zones, also for a single database");
    }
}

fn managers(root: &mut Table, groups: &BTreeMap<String, Group>) {
    let of_managers = || groups.iter().filter(|(_, group)| group.role == Role::Manager);
    let count: u32 = of_managers().map(|(_, group)| group.min).sum();
    if ![1, 3, 5, 7].contains(&count) {
        let message = format!(
            "the groups with role \"manager\" have {count} nodes together; a Swarm needs 1, 3, 5 or 7, because a majority of them must be alive"
        );
        root.wrong_below("groups", message);
    }
    for (name, group) in of_managers() {
        if group.min != group.max {
            root.wrong_below(&format!("groups.{name}.min"), "the number of managers is fixed: give `count`");
        }
        if group.spot {
            root.wrong_below(
                &format!("groups.{name}.spot"),
                "managers keep the Swarm's state and never run on spare capacity",
            );
        }
    }
}

fn check_group(root: &mut Table, name: &str, group: &Group, network: Option<&Network>) {
    let key = |key: &str| format!("groups.{name}.{key}");
    if group.min > group.max {
        root.wrong_below(&key("min"), format!("{} is more than `max`, which is {}", group.min, group.max));
    }
    let other = group.instance_types.iter().find(|kind| crate::Architecture::of(kind) != group.architecture());
    if let Some(other) = other {
        let message = format!(
            "{} is {}, and {other} is not; an image, and so a group, is of one architecture",
            group.instance_types[0],
            group.architecture()
        );
        root.wrong_below(&key("instance_types"), message);
    }
    for (name, list) in [("zones", &group.zones), ("instance_types", &group.instance_types)] {
        if let Some((_, twice)) = list.iter().enumerate().find(|(index, one)| list[..*index].contains(one)) {
            root.wrong_below(&key(name), format!("{twice:?} is there twice"));
        }
    }
    if let Some(zone) = network.and_then(|network| group.zones.iter().find(|zone| !network.zones.contains(zone))) {
        root.wrong_below(&key("zones"), format!("the zone {zone:?} is not one of network.zones"));
    }
}

/// What IAM, S3, RDS and load balancers take; EC2 takes more.
fn is_tag_character(character: char) -> bool {
    character.is_alphanumeric() || " _.:/=+-@".contains(character)
}

fn tags(root: &mut Table, tags: Option<&BTreeMap<String, String>>) {
    let Some(tags) = tags else { return };
    if tags.len() > MOST_TAGS {
        root.wrong_below("tags", format!("{} tags are too many; AWS takes {MOST_TAGS} besides ours", tags.len()));
    }
    for (key, value) in tags {
        let ours = key.eq_ignore_ascii_case("name")
            || key.starts_with("futuswarm:")
            || key.to_ascii_lowercase().starts_with("aws:");
        let message = match () {
            () if ours => "such tags are made by us or by AWS; choose another name",
            () if key.is_empty() || !key.chars().chain(value.chars()).all(is_tag_character) => {
                "a tag is made of letters, digits, spaces and _ . : / = + - @, and its name is not empty; some services of AWS take no others"
            }
            () if tags.keys().any(|other| other < key && other.eq_ignore_ascii_case(key)) => {
                "another tag has this name in other capitals, which IAM takes for the same"
            }
            () if key.len() > 128 || value.len() > 256 => "a tag has at most 128 bytes of name and 256 bytes of value",
            () => continue,
        };
        root.wrong_below(&format!("tags.{key}"), message);
    }
}

fn ports(root: &mut Table, draft: &Draft) {
    let Some(local) = &draft.local else { return };
    let ports = [("api_port", local.api_port), ("http_port", local.http_port), ("https_port", local.https_port)];
    for (index, (key, port)) in ports.iter().enumerate() {
        if let Some((other, _)) = ports[..index].iter().find(|(_, other)| other == port) {
            root.wrong_below(&format!("local.{key}"), format!("it is the same as local.{other}; choose two ports"));
        }
    }
}
