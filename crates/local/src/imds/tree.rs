//! The metadata tree: leaves are listed once, folders follow from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::dnsmasq::host_name;
use crate::observed_instances::Machine;

/// The tag that an Auto Scaling group leaves.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// What the tree is made from.
pub struct Facts<'a> {
    pub machine: &'a Machine,
    pub region: &'a str,
    /// The account id.
    pub account: &'a str,
    /// The instance's role.
    pub role: Option<&'a str>,
    /// Whether its group is about to terminate it.
    pub terminating: bool,
}

/// The path without `/latest/` or a dated version; `None` for anything else.
pub fn unversioned(path: &str) -> Option<&str> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    let dated = version.len() == 10 && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (version == "latest" || dated).then_some(rest)
}

/// A leaf's content, or a folder's listing, or nothing.
pub fn lookup(facts: &Facts<'_>, path: &str) -> Option<String> {
    let leaves = leaves(facts);
    if let Some(content) = leaves.get(path) {
        return Some(content.clone());
    }
    let folder = if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let mut entries = BTreeSet::new();
    for leaf in leaves.keys().filter_map(|leaf| leaf.strip_prefix(&folder)) {
        entries.insert(match leaf.split_once('/') {
            Some((name, _)) => format!("{name}/"),
            None => leaf.to_owned(),
        });
    }
    (!entries.is_empty()).then(|| entries.into_iter().collect::<Vec<_>>().join("\n"))
}

fn leaves(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let machine = facts.machine;
    let address = machine.address.to_string();
    let dns = format!("{}.{}.compute.internal", host_name(machine.address), facts.region);
    let mac = &machine.mac;
    let document = serde_json::json!({
        "accountId": facts.account,
        "architecture": "x86_64",
        "availabilityZone": machine.zone,
        "imageId": machine.ami,
        "instanceId": machine.id,
        "instanceType": machine.instance_type,
        "pendingTime": machine.launched,
        "privateIp": address,
        "region": facts.region,
        "version": "2017-09-30",
    });
    let names: Vec<&str> = machine.groups.iter().map(|(_, name)| name.as_str()).collect();
    let ids: Vec<&str> = machine.groups.iter().map(|(id, _)| id.as_str()).collect();
    let mut leaves: BTreeMap<String, String> = [
        ("ami-id", machine.ami.clone()),
        ("ami-launch-index", "0".to_owned()),
        ("ami-manifest-path", "(unknown)".to_owned()),
        ("block-device-mapping/ami", "/dev/xvda".to_owned()),
        ("block-device-mapping/root", "/dev/xvda".to_owned()),
        ("hostname", dns.clone()),
        ("instance-action", "none".to_owned()),
        ("instance-id", machine.id.clone()),
        ("instance-life-cycle", "on-demand".to_owned()),
        ("instance-type", machine.instance_type.clone()),
        ("local-hostname", dns.clone()),
        ("local-ipv4", address.clone()),
        ("mac", mac.clone()),
        ("placement/availability-zone", machine.zone.clone()),
        ("placement/region", facts.region.to_owned()),
        ("profile", "default-hvm".to_owned()),
        ("reservation-id", machine.reservation.clone()),
        ("security-groups", names.join("\n")),
        ("services/domain", "amazonaws.com".to_owned()),
        ("services/partition", "aws".to_owned()),
    ]
    .into_iter()
    .map(|(path, content)| (format!("meta-data/{path}"), content))
    .collect();
    for (name, content) in [
        ("device-number", "0".to_owned()),
        ("interface-id", machine.interface.clone()),
        ("local-hostname", dns),
        ("local-ipv4s", address),
        ("mac", mac.clone()),
        ("owner-id", facts.account.to_owned()),
        ("security-group-ids", ids.join("\n")),
        ("security-groups", names.join("\n")),
        ("subnet-id", machine.subnet.clone()),
        ("subnet-ipv4-cidr-block", machine.subnet_cidr.to_string()),
        ("vpc-id", machine.vpc.clone()),
    ] {
        leaves.insert(format!("meta-data/network/interfaces/macs/{mac}/{name}"), content);
    }
    for (key, value) in &machine.tags {
        // A tag whose key has a slash cannot be a leaf; EC2 leaves such tags out, too.
        if !key.contains('/') {
            leaves.insert(format!("meta-data/tags/instance/{key}"), value.clone());
        }
    }
    if let (Some(profile), Some(role)) = (&machine.profile, facts.role) {
        let info = serde_json::json!({
            "Code": "Success",
            "LastUpdated": machine.launched,
            "InstanceProfileArn": profile,
            "InstanceProfileId": "AIPALOCALCLOUD",
        });
        leaves.insert("meta-data/iam/info".to_owned(), format!("{info:#}"));
        // The content is issued on demand; the name is what a listing needs.
        leaves.insert(format!("meta-data/iam/security-credentials/{role}"), String::new());
    }
    if facts.terminating || machine.tags.contains_key(GROUP_TAG) {
        let target = if facts.terminating { "Terminated" } else { "InService" };
        leaves.insert("meta-data/autoscaling/target-lifecycle-state".to_owned(), target.to_owned());
    }
    if let Some(key) = &machine.public_key {
        leaves.insert("meta-data/public-keys/0/openssh-key".to_owned(), key.clone());
    }
    leaves.insert("dynamic/instance-identity/document".to_owned(), format!("{document:#}"));
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            id: "i-0123456789abcdef0".to_owned(),
            ami: "ami-1".to_owned(),
            instance_type: "t3.small".to_owned(),
            address: "10.42.0.9".parse().unwrap(),
            mac: "0a:f5:0a:2a:00:09".to_owned(),
            zone: "eu-west-1a".to_owned(),
            subnet: "subnet-1".to_owned(),
            subnet_cidr: "10.42.0.0/20".parse().unwrap(),
            vpc: "vpc-1".to_owned(),
            interface: "eni-1".to_owned(),
            groups: vec![("sg-1".to_owned(), "nodes".to_owned())],
            profile: Some("arn:aws:iam::1:instance-profile/p".to_owned()),
            tags: [("Name".to_owned(), "worker".to_owned()), ("a/b".to_owned(), "hidden".to_owned())].into(),
            public_key: Some("ssh-ed25519 AAAA".to_owned()),
            user_data: Vec::new(),
            volume: "vol-1".to_owned(),
            root_gib: 8,
            terminates_on_shutdown: true,
            launched: "2026-01-01T00:00:00Z".to_owned(),
            reservation: "r-1".to_owned(),
        }
    }

    #[test]
    fn leaves_and_listings() {
        let machine = machine();
        let facts =
            Facts { machine: &machine, region: "eu-west-1", account: "1", role: Some("node"), terminating: true };
        let get = |path| lookup(&facts, path);
        assert_eq!(get("meta-data/instance-id").unwrap(), machine.id);
        assert_eq!(get("meta-data/placement/").unwrap(), "availability-zone\nregion");
        assert_eq!(get("meta-data/placement").unwrap(), "availability-zone\nregion");
        assert_eq!(get("meta-data/network/interfaces/macs/").unwrap(), "0a:f5:0a:2a:00:09/");
        assert_eq!(get("meta-data/iam/security-credentials/").unwrap(), "node");
        assert_eq!(get("meta-data/tags/instance/").unwrap(), "Name");
        assert_eq!(get(""), Some("dynamic/\nmeta-data/".to_owned()));
        assert_eq!(get("meta-data/autoscaling/target-lifecycle-state").unwrap(), "Terminated");
        assert_eq!(get("meta-data/spot/termination-time"), None);
        assert_eq!(get("meta-data/instance"), None, "a prefix of a name is not a folder");
    }

    #[test]
    fn versions_are_stripped() {
        assert_eq!(unversioned("/latest/meta-data/mac"), Some("meta-data/mac"));
        assert_eq!(unversioned("/2021-03-23/user-data"), Some("user-data"));
        assert_eq!(unversioned("/moto-api/reset"), None);
    }
}
