//! The shipped specs are good, and everything else is refused with file, line, key and a way out.

use super::*;

const LOCAL: &str = include_str!("../../../clusters/local.toml");

fn problems(text: &str) -> String {
    Spec::parse("cluster.toml", text).unwrap_err().to_string()
}

#[test]
fn the_shipped_specs_are_good() {
    let local = Spec::parse("clusters/local.toml", LOCAL).unwrap();
    insta::assert_debug_snapshot!(local);
    assert_eq!((local.count_of(Role::Manager), local.count_of(Role::Worker)), (1, 2));
    let example = Spec::parse("clusters/example.toml", include_str!("../../../clusters/example.toml")).unwrap();
    assert_eq!(example.count_of(Role::Manager), 3);
    let three = Spec::parse("clusters/local-three.toml", include_str!("../../../clusters/local-three.toml")).unwrap();
    assert_eq!((three.count_of(Role::Manager), three.cluster.as_str()), (3, "local-three"));
}

#[test]
fn subnets_follow_the_zones() {
    let local = Spec::parse("clusters/local.toml", LOCAL).unwrap();
    let subnets: Vec<String> = local.subnets().into_iter().map(|(zone, net)| format!("{zone} {net}")).collect();
    assert_eq!(subnets, ["eu-west-1a 10.42.0.0/20", "eu-west-1b 10.42.16.0/20", "eu-west-1c 10.42.32.0/20"]);
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_line() {
    insta::assert_snapshot!(problems(
        r#"clutser = "prod"
region = "eu-west-1"
domain = 7

[network]
cidr = "10.42.0.1/16"
zone = ["eu-west-1a"]

[groups.managers]
role = "manger"
count = "3"
instance_type = "t3.small"
labels = { disk = 1 }

[groups.workers]
role = "worker"
conut = 2
instance_type = "t3.small"

[local]
api_port = 99999
"#
    ));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let with = |from: &str, to: &str| {
        assert!(LOCAL.contains(from), "{from}");
        problems(&LOCAL.replacen(from, to, 1))
    };
    for (from, to, expected) in [
        ("count = 1 ", "count = 2 ", "a Swarm needs 1, 3, 5 or 7"),
        ("10.42.0.0/16", "10.42.0.0/20", "has no room for 3 subnets"),
        ("10.42.0.0/16", "10.200.0.0/16", "overlap"),
        ("\"eu-west-1c\"", "\"us-east-1c\"", "is not in the region"),
        ("# api_port = 4566", "api_port = 8080", "choose two ports"),
        ("# [swarm]", "[swarm]\naddress_pool_mask = 9\n#", "cannot be taken from"),
        ("\"local\" ", "\"Local!\" ", "lower-case letters"),
    ] {
        let message = with(from, to);
        assert!(message.contains(expected), "{message}");
        assert!(message.starts_with("cluster.toml:"), "{message}");
    }
}

#[test]
fn what_is_no_toml_says_where() {
    let message = problems("cluster = \"x\"\nregion = = 1\n");
    assert!(message.starts_with("cluster.toml:2: this is not TOML: "), "{message}");
    assert!(problems("").starts_with("cluster.toml:1: cluster: this key is missing"));
}
