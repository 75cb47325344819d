//! The golden user data in `cloud-init/golden`, and what is refused.

use super::*;

fn config(role: Role) -> NodeConfig {
    let manager = role == Role::Manager;
    NodeConfig {
        version: VERSION,
        cluster: "prod".to_owned(),
        region: "eu-west-1".to_owned(),
        role,
        role_id: "AROA1234567890EXAMPLE".to_owned(),
        group: if manager { "managers" } else { "workers" }.to_owned(),
        bucket: "futuswarm-prod-123456789012-eu-west-1".to_owned(),
        cluster_key: "alias/futuswarm/prod/cluster".to_owned(),
        manager_key: manager.then(|| "alias/futuswarm/prod/managers".to_owned()),
        address_pool: "10.128.0.0/9".to_owned(),
        address_pool_mask: 24,
        bridge_pool: None,
        vpc_cidr: Some("10.42.0.0/16".parse().unwrap()),
        node_subnets: ["10.42.0.0/20", "10.42.16.0/20"].map(|subnet| subnet.parse().unwrap()).to_vec(),
        domain: "apps.example.com".to_owned(),
        expected_managers: 3,
        labels: if manager {
            BTreeMap::new()
        } else {
            BTreeMap::from([("disk".to_owned(), "fast: \"yes\"".to_owned())])
        },
    }
}

fn golden(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../../cloud-init/golden",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn the_golden_user_data() {
    golden("manager", &render(&config(Role::Manager)).unwrap());
    golden("worker", &render(&config(Role::Worker)).unwrap());
    let bridges = NodeConfig { bridge_pool: Some("10.99.0.0/16".to_owned()), ..config(Role::Worker) };
    golden("worker-with-bridge-pool", &render(&bridges).unwrap());
}

#[test]
fn what_is_rendered_is_what_is_read() {
    for role in [Role::Manager, Role::Worker] {
        let config = config(role);
        assert_eq!(NodeConfig::from_user_data(&render(&config).unwrap()).unwrap(), config);
    }
}

#[test]
fn cloud_init_accepts_it() {
    let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let dir = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let path = dir.path().join("user-data");
        std::fs::write(&path, text).unwrap();
        let output = tools.python("cloud-init").unwrap().args(["schema", "--config-file"]).arg(&path).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for role in [Role::Manager, Role::Worker] {
        let (accepted, output) = check(&render(&config(role)).unwrap());
        assert!(accepted, "{output}");
    }
    let (accepted, output) = check("#cloud-config\nwrite_files: 7\n");
    assert!(!accepted, "the checker must be able to refuse: {output}");
}

#[test]
fn what_is_not_ours_is_refused_with_a_reason() {
    let good = render(&config(Role::Worker)).unwrap();
    for (text, reason) in [
        ("", "does not begin with"),
        ("#!/bin/sh\nreboot\n", "does not begin with"),
        ("\u{0}\u{ffff}garbage", "does not begin with"),
        ("#cloud-config\nruncmd: [ls]\n", "cannot be read"),
        ("#cloud-config\nwrite_files: []\n", "has no file /run/futuswarm/node.yaml"),
        (&good.replace("version: 2", "version: 3"), "has version 3"),
        (&good.replace("role: worker", "role: king"), "cannot be read"),
        (&good.replace("cluster: prod", "cluster: ''"), "cluster is \"\""),
        (&good.replace("role: worker", "role: manager"), "manager_key"),
        (&good.replace("domain:", "domian:"), "unknown field `domian`"),
    ] {
        let message = NodeConfig::from_user_data(text).unwrap_err().to_string();
        assert!(message.contains(reason), "{text:?}: {message}");
    }
}

#[test]
fn user_data_that_ec2_would_refuse_is_refused_first() {
    let labels = (0..400).map(|index| (format!("label-{index}"), "x".repeat(40))).collect();
    let error = render(&NodeConfig { labels, ..config(Role::Worker) }).unwrap_err();
    assert!(matches!(error, Error::TooLong(bytes) if bytes > MAX_BYTES));
}
