//! What the types of single keys cannot say: parts of a spec that must fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

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
/// A classic load balancer takes ten, and three of them are ours
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/add-remove-tags.html>).
const MOST_TAGS_OF_CLASSIC: usize = 7;
/// In characters. EC2 takes 128 and 256; load balancers one less
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-tags.html>).
const LONGEST_TAG: (usize, usize) = (127, 255);
/// The largest networks that anybody owns are /8.
const SHORTEST_SSH_PREFIX: u8 = 8;
/// A quarter of all IPv4 addresses.
const MOST_SSH_ADDRESSES: u64 = 1 << 30;
/// What cannot be a network of hosts: "this" network, loopback, link-local, and multicast with all that is reserved behind it. EC2
/// refuses them for a VPC (<https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html>).
const UNUSABLE: [(Ipv4Net, &str); 5] = [
    (Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8), "is reserved for \"this\" network"),
    (Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), "is the loopback network"),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
        "is for link-local addresses, AWS's metadata service among them",
    ),
    (Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4), "is for multicast"),
    (Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4), "is reserved"),
];

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
        && is_most_of_the_internet(&ssh.allowed_cidrs)
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
    login(root, draft);
    tags(root, draft.tags.as_ref(), draft.load_balancer.as_ref().map(|balancer| balancer.kind));
    ports(root, draft);
}

fn subnets(root: &mut Table, network: &Network) {
    let vpc = network.cidr;
    if !(SHORTEST_VPC_PREFIX..=LONGEST_SUBNET_PREFIX).contains(&vpc.prefix_len()) {
        let message = format!("a VPC is between /{SHORTEST_VPC_PREFIX} and /{LONGEST_SUBNET_PREFIX}, and {vpc} is not");
        root.wrong_below("network.cidr", message);
        return;
    }
    let mut earlier: Vec<(&str, Ipv4Net)> = Vec::new();
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
            if let Some((other_key, other)) = earlier.iter().find(|(_, other)| overlap(*other, *subnet)) {
                root.wrong_below(&dotted, format!("{subnet} overlaps with {other} of {other_key}"));
            }
            earlier.push((key, *subnet));
        }
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn zones(root: &mut Table, network: &Network, region: Option<&str>) {
    let mut earlier = BTreeSet::new();
    for zone in &network.zones {
        if let Some(problem) = region.and_then(|region| zone_problem(zone, region)) {
            root.wrong_below("network.zones", problem);
        }
        if !earlier.insert(zone) {
            root.wrong_below("network.zones", format!("the zone {zone:?} is there twice"));
        }
    }
}

/// Why a name is not that of an availability zone of the region.
fn zone_problem(zone: &str, region: &str) -> Option<String> {
    let letter = |rest: &str| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_lowercase());
    let lower = zone.to_lowercase();
    match (zone.strip_prefix(region), lower.strip_prefix(region)) {
        (Some(rest), _) if letter(rest) => None,
        (_, Some(rest)) if letter(rest) => Some(format!("there is no zone {zone:?}; did you mean {lower:?}?")),
        // us-west-2-lax-1a, us-east-1-wl1-bos-wlz-1: https://docs.aws.amazon.com/local-zones/latest/ug/available-local-zones.html
        (_, Some(rest)) if rest.starts_with('-') => Some(format!(
            "{zone:?} is a local or wavelength zone, which has no application load balancer for us and no RDS; use zones such as \"{region}a\""
        )),
        _ => Some(format!(
            "the zone {zone:?} is not in the region {region:?}; its zones are \"{region}a\", \"{region}b\" and so on"
        )),
    }
}

/// Whether networks cover so much together that the list no longer says who may log in. Two halves are the whole: the union counts.
fn is_most_of_the_internet(networks: &[Ipv4Net]) -> bool {
    let union = Ipv4Net::aggregate(&networks.to_vec());
    let addresses: u64 = union.iter().map(|network| 1_u64 << (32 - network.prefix_len())).sum();
    union.iter().any(|network| network.prefix_len() < SHORTEST_SSH_PREFIX) || addresses >= MOST_SSH_ADDRESSES
}

/// Networks that nodes must be able to tell apart: every pair of them.
fn overlaps(root: &mut Table, draft: &Draft, vpc: Ipv4Net) {
    let mut earlier: Vec<(String, Ipv4Net)> = vec![("network.cidr".to_owned(), vpc)];
    if let Some(swarm) = &draft.swarm {
        earlier.push(("swarm.address_pool".to_owned(), swarm.address_pool));
        earlier.push(("swarm.bridge_pool".to_owned(), swarm.bridge_pool));
    }
    for (name, peering) in draft.peering.iter().flatten() {
        earlier.push((format!("peering.{name}.cidr"), peering.cidr));
    }
    for (index, (key, cidr)) in earlier.iter().enumerate() {
        unusable(root, key, *cidr);
        if let Some((other, taken)) = earlier[..index].iter().find(|(_, taken)| overlap(*taken, *cidr)) {
            let message = format!(
                "{cidr} overlaps with {taken} of {other}; nodes and containers could not tell their addresses apart"
            );
            root.wrong_below(key, message);
        }
    }
    // The bridges' pool is on every node: whoever logs in from an address in it gets no answer, since it goes to a bridge.
    if let (Some(swarm), Some(ssh)) = (&draft.swarm, &draft.ssh) {
        for (key, pool) in [("swarm.address_pool", swarm.address_pool), ("swarm.bridge_pool", swarm.bridge_pool)] {
            if let Some(cidr) = ssh.allowed_cidrs.iter().find(|cidr| overlap(**cidr, pool) && cidr.prefix_len() >= 8) {
                let message =
                    format!("{cidr} overlaps with {pool} of {key}; answers of the nodes would never reach it");
                root.wrong_below("ssh.allowed_cidrs", message);
            }
        }
    }
    for (name, peering) in draft.peering.iter().flatten() {
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

fn unusable(root: &mut Table, key: &str, cidr: Ipv4Net) {
    if let Some((reserved, why)) = UNUSABLE.iter().find(|(reserved, _)| overlap(*reserved, cidr)) {
        root.wrong_below(key, format!("{cidr} cannot be used: {reserved} {why}"));
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

/// What the login needs of the load balancer.
fn login(root: &mut Table, draft: &Draft) {
    let (Some(Some(_)), Some(balancer), Some(cluster)) = (&draft.login, &draft.load_balancer, &draft.cluster) else {
        return;
    };
    if balancer.kind == BalancerKind::Classic {
        let message = "a classic load balancer does not fit with [login]: it can neither send plain HTTP to HTTPS, over which alone browsers send the login's cookies, nor lead open apps past the login by their host; set `kind = \"application\"`";
        root.wrong_below("load_balancer.kind", message);
    } else if balancer.http == PlainHttp::Forward && !crate::is_local(cluster) {
        let message = "browsers send the login's cookies over HTTPS alone, so that over plain HTTP nobody would be signed in: set `http = \"redirect\"`, or take [login] out";
        root.wrong_below("load_balancer.http", message);
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
                "managers keep the Swarm's state and never run on spot capacity",
            );
        }
    }
}

fn check_group(root: &mut Table, name: &str, group: &Group, network: Option<&Network>) {
    let key = |key: &str| format!("groups.{name}.{key}");
    if group.min > group.max {
        root.wrong_below(&key("min"), format!("{} is more than `max`, which is {}", group.min, group.max));
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

fn tags(root: &mut Table, tags: Option<&BTreeMap<String, String>>, balancer: Option<BalancerKind>) {
    let Some(tags) = tags else { return };
    if balancer == Some(BalancerKind::Classic) && tags.len() > MOST_TAGS_OF_CLASSIC {
        let message = format!(
            "{} tags are too many; a classic load balancer takes {MOST_TAGS_OF_CLASSIC} besides ours",
            tags.len()
        );
        root.wrong_below("tags", message);
    } else if tags.len() > MOST_TAGS {
        root.wrong_below("tags", format!("{} tags are too many; AWS takes {MOST_TAGS} besides ours", tags.len()));
    }
    for (key, value) in tags {
        if let Some(message) = tag_problem(key, value, tags) {
            root.wrong_below(&format!("tags.{key}"), message);
        }
    }
}

fn tag_problem(key: &str, value: &str, tags: &BTreeMap<String, String>) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    // RDS has a prefix of its own beside AWS's (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.html).
    if lower == "name" || ["futuswarm:", "aws:", "rds:"].iter().any(|prefix| lower.starts_with(prefix)) {
        return Some("such tags are made by us or by AWS; choose another name".to_owned());
    }
    if value.to_ascii_lowercase().starts_with("aws:") {
        return Some("a value that begins with `aws:` is AWS's own; choose another".to_owned());
    }
    if let Some(bad) = key.chars().chain(value.chars()).find(|character| !is_tag_character(*character)) {
        return Some(format!(
            "{bad:?} cannot be used; some services of AWS take only letters, digits, spaces and _ . : / = + - @"
        ));
    }
    if key.is_empty() {
        return Some("a tag has a name".to_owned());
    }
    if [key, value].into_iter().any(|text| text.trim() != text) {
        return Some("a tag neither begins nor ends with a space; load balancers refuse such tags".to_owned());
    }
    if tags.keys().any(|other| other.as_str() < key && other.eq_ignore_ascii_case(key)) {
        return Some("another tag has this name in other capitals, which IAM takes for the same".to_owned());
    }
    let (has, may) = ((key.chars().count(), value.chars().count()), LONGEST_TAG);
    (has.0 > may.0 || has.1 > may.1).then(|| {
        format!(
            "a tag has at most {} characters of name and {} of value; this one has {} and {}",
            may.0, may.1, has.0, has.1
        )
    })
}

fn ports(root: &mut Table, draft: &Draft) {
    let Some(local) = &draft.local else { return };
    let ports = [
        ("api_port", local.api_port),
        ("http_port", local.http_port),
        ("https_port", local.https_port),
        ("ssh_port", local.ssh_port),
    ];
    for (index, (key, port)) in ports.iter().enumerate() {
        if let Some((other, _)) = ports[..index].iter().find(|(_, other)| other == port) {
            root.wrong_below(&format!("local.{key}"), format!("it is the same as local.{other}; choose two ports"));
        }
    }
}
