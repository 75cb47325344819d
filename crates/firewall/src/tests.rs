//! The elements as they are, and whether nftables takes them together with the image's rules.

use futuswarm_tools::ToolsTree;

use super::*;

fn networks(list: &[&str]) -> Vec<Ipv4Net> {
    list.iter().map(|network| network.parse().unwrap()).collect()
}

fn example() -> Networks {
    Networks {
        vpc: networks(&["10.42.0.0/16"]),
        nodes: networks(&["10.42.0.0/20", "10.42.16.0/20", "10.42.48.0/20"]),
        private: networks(&["10.42.128.0/20", "10.42.144.0/20"]),
        ssh: networks(&["203.0.113.7/32", "10.0.0.0/8", "10.1.0.0/16"]),
        internal_balancer: false,
    }
}

fn rules() -> String {
    let path =
        futuswarm_paths::workspace_root().unwrap().join("images/node/rootfs").join(RULES.trim_start_matches('/'));
    std::fs::read_to_string(path).unwrap()
}

/// What `nft --check` says of the image's rules with these elements.
fn check(rules: &str, elements: &str) -> Result<(), String> {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let dir = tempfile::tempdir().unwrap();
    let included = format!("/run/futuswarm/{}", ELEMENTS.replace(".nft", "*.nft"));
    assert!(rules.contains(&format!("include \"{included}\"")), "the rules include what the agent writes");
    std::fs::write(dir.path().join(ELEMENTS), elements).unwrap();
    let here = rules.replace("/run/futuswarm", &dir.path().display().to_string());
    std::fs::write(dir.path().join("rules"), here).unwrap();
    // In a network namespace of its own: this machine's own rules are nobody's business.
    let nft = tools.command("nft").unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--net", "--"]).arg(nft.get_program()).args(nft.get_args());
    let output = command.args(["--check", "--file"]).arg(dir.path().join("rules")).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn the_elements_of_a_cluster() {
    insta::assert_snapshot!("cluster", example().elements());
    insta::assert_snapshot!("internal_balancer", Networks { internal_balancer: true, ..example() }.elements());
    // What the user data says, before the specification was read.
    let first = Networks { ssh: Vec::new(), private: Vec::new(), ..example() };
    insta::assert_snapshot!("without_ssh", first.elements());
}

#[test]
fn a_node_that_knows_nothing_stays_closed() {
    let text = Networks::default().elements();
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 0, "{text}");
}

#[test]
fn nftables_takes_the_rules_with_all_elements() {
    let everything = Networks { internal_balancer: true, ..example() };
    for networks in [Networks::default(), example(), everything] {
        check(&rules(), &networks.elements()).unwrap_or_else(|said| panic!("{networks:?}: {said}"));
    }
    let refused = check(&rules(), "add element inet futuswarm ssh_networks { office }\n");
    assert!(refused.is_err_and(|said| said.contains("office")), "the check must be able to fail");
    let overlapping = "add element inet futuswarm ssh_networks { 10.0.0.0/8, 10.1.0.0/16 }\n";
    assert!(check(&rules(), overlapping).is_err(), "overlapping networks must be joined first");
}

#[test]
fn edge_and_login_are_reached_from_the_vpc() {
    assert!(rules().contains("ip saddr @vpc_networks tcp dport { 80, 81, 2377, 7946 } accept"));
}

#[test]
fn a_specification_is_read_whole_or_not_at_all() {
    let document = serde_json::json!({
        "cluster": "prod",
        "network": { "cidr": "10.42.0.0/16", "public_subnets": ["10.42.0.0/20"], "private_subnets": ["10.42.128.0/20"] },
        "ssh": { "allowed_cidrs": ["203.0.113.7/32"], "public_key": null },
        "load_balancer": { "internal": true, "kind": "application" },
    });
    let expected = Networks {
        vpc: networks(&["10.42.0.0/16"]),
        nodes: networks(&["10.42.0.0/20"]),
        private: networks(&["10.42.128.0/20"]),
        ssh: networks(&["203.0.113.7/32"]),
        internal_balancer: true,
    };
    assert_eq!(Networks::of_specification(document.clone()).unwrap(), expected);
    for (table, key) in [
        ("network", "cidr"),
        ("network", "public_subnets"),
        ("network", "private_subnets"),
        ("ssh", "allowed_cidrs"),
        ("load_balancer", "internal"),
    ] {
        let mut broken = document.clone();
        broken[table].as_object_mut().unwrap().remove(key);
        let said = Networks::of_specification(broken).unwrap_err().to_string();
        assert!(said.contains(key), "{said}");
    }
}
