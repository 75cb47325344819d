//! Provisioning as its users would hurt it: changes behind its back, and specs that change.

use std::process::Output;

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
/// What `e2e/provision/drift.py` can change; each is one plan and one apply.
const BATCHES: &[&str] = &["networks", "bucket", "identities", "balancer", "nodes", "data"];
/// A plan without changes is made many times a day; it asks no more than this.
const MOST_REQUESTS: u32 = 30;
/// With fewer, not all kinds of resources would have been looked at, or nobody would have counted.
const FEWEST_REQUESTS: u32 = 20;

/// Changes of a plan: part → field → from and to.
fn changes(plan: &Output) -> Value {
    let report: Value = serde_json::from_slice(&plan.stdout).unwrap_or_else(|_| panic!("{:?}", texts(plan)));
    let mut parts = serde_json::Map::new();
    for change in report["changes"].as_array().unwrap() {
        assert_eq!(change["action"], "update", "{change}");
        let fields = change["differences"].as_array().unwrap().iter();
        let fields = fields.map(|one| (one["field"].as_str().unwrap().to_owned(), json!([one["from"], one["to"]])));
        parts.insert(change["part"].as_str().unwrap().to_owned(), Value::Object(fields.collect()));
    }
    Value::Object(parts)
}

/// The account without the versions of templates, which only ever grow.
fn inventory(account: &Account) -> Value {
    let mut found = account.inventory();
    for template in found["launch template"].as_array_mut().into_iter().flatten() {
        *template = template.as_str().unwrap().split(' ').next().unwrap().into();
    }
    found
}

/// Runs the program with the account's spec after this replacement.
fn with_spec(account: &Account, words: &[&str], from: &str, to: &str) -> Output {
    account.provision_with(words, &[(from, to)])
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_somebody_changed_is_shown_field_by_field_and_mended() {
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    account.clear_faults();
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    let seen = account.progress().all.seen;
    assert!((FEWEST_REQUESTS..=MOST_REQUESTS).contains(&seen), "a plan without changes asked {seen} times");
    let before = inventory(&account);
    for batch in BATCHES {
        let drift = account.python("e2e/provision/drift.py", &["local-provision", batch]);
        assert!(drift.status.success(), "{batch}: {:?}", texts(&drift));
        let expected: Value = serde_json::from_slice(&drift.stdout).unwrap();
        let plan = account.provision(PLAN).output().unwrap();
        assert_eq!(plan.status.code(), Some(2), "{batch}: {:?}", texts(&plan));
        assert_eq!(changes(&plan), expected, "{batch}");
        account.must_provision(APPLY);
        let plan = account.provision(PLAN).output().unwrap();
        assert_eq!(plan.status.code(), Some(0), "after {batch}: {:?}", texts(&plan));
        assert_eq!(inventory(&account), before, "after {batch}");
    }
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_spec_that_changes_is_followed_or_refused_before_anything_is_changed() {
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    let before = account.inventory();
    for (from, to, field) in [
        ("10.50.0.0/16", "10.51.0.0/16", "CIDR: 10.50.0.0/16 → 10.51.0.0/16"),
        ("[rds]", "[load_balancer]\ninternal = true\n[rds]", "scheme: internet-facing → internal"),
    ] {
        for words in [APPLY, PLAN] {
            let refused = with_spec(&account, words, from, to);
            let (_, stderr) = texts(&refused);
            assert_eq!(refused.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(field), "{stderr}");
            assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
            assert!(!stderr.contains("not tried"), "one clear error: {stderr}");
        }
        assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0), "nothing was changed");
        assert_eq!(account.inventory(), before);
    }

    let (_, stderr) = texts(&with_spec(&account, APPLY, "[rds]", "\n"));
    assert!(stderr.contains("the database is protected: set `deletion_protection = false`"), "{stderr}");
    let lifted = with_spec(&account, APPLY, "[rds]", "[rds]\ndeletion_protection = false\n");
    assert!(lifted.status.success(), "{:?}", texts(&lifted));
    let removed = with_spec(&account, APPLY, "[rds]", "\n");
    let (_, stderr) = texts(&removed);
    assert!(removed.status.success() && stderr.contains("stays as the snapshot"), "{stderr}");
    let inventory = account.inventory();
    assert!(inventory["database"].is_null() && inventory["database subnets"].is_null(), "{inventory}");
    assert_eq!(with_spec(&account, PLAN, "[rds]", "\n").status.code(), Some(0));

    let spare = "[groups.spare]\nrole = \"worker\"\nmin = 1\nmax = 3\nspot = true\ninstance_types = [\"m6i.large\", \"m5.large\"]\n\n[rds]";
    let added = with_spec(&account, APPLY, "[rds]", spare);
    assert!(added.status.success(), "{:?}", texts(&added));
    assert_eq!(with_spec(&account, PLAN, "[rds]", spare).status.code(), Some(0));
    let groups = account.inventory()["group"].to_string();
    assert!(groups.contains("spare 1/1/3 targets 1"), "{groups}");
    account.must_provision(APPLY);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    assert_eq!(account.inventory(), before, "the group and its template are gone");
}

const ASKED: &[&str] = &["apply", "--image", "empty", "--no-wait-for-nodes"];
const QUESTION: &str = "apply these changes? [y/N]";

fn drift(account: &Account, batch: &str) {
    let drift = account.python("e2e/provision/drift.py", &["local-provision", batch]);
    assert!(drift.status.success(), "{batch}: {:?}", texts(&drift));
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_a_person_confirmed_is_what_is_done_and_what_changed_meanwhile_stops_it() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    // A whole cluster: what was not known when it was planned is no difference.
    let no = account.provision_asked(ASKED, QUESTION, || (), "no");
    assert_eq!((no.code, account.inventory() == nothing), (Some(1), true), "{}", no.text);
    let made = account.provision_asked(ASKED, QUESTION, || (), "yes");
    assert_eq!(made.code, Some(0), "{}", made.text);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    let whole = inventory(&account);

    // Somebody opens SSH to the world while a person reads a plan about the balancer.
    drift(&account, "balancer");
    let mut before = Value::Null;
    let meanwhile = || {
        drift(&account, "networks");
        before = account.inventory();
    };
    let stopped = account.provision_asked(ASKED, QUESTION, meanwhile, "yes");
    assert_eq!(stopped.code, Some(1), "{}", stopped.text);
    for expected in [
        "error: nothing was changed: the account has changed since the plan was shown",
        "~ security group futuswarm-local-provision-nodes (",
        "ingress tcp 22 from 0.0.0.0/0: allowed will be removed",
        "): it was not shown",
        "run the command again and look at the new plan",
    ] {
        assert!(stopped.text.contains(expected), "{expected}: {}", stopped.text);
    }
    let after = stopped.text.split("since the plan was shown").nth(1).unwrap();
    assert!(!after.contains("health check"), "what was shown is no difference: {after}");
    assert_eq!(account.inventory(), before, "nothing was changed");
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(2));

    // Somebody mends by hand what was shown.
    let fixed = account.provision_asked(ASKED, QUESTION, || drop(account.must_provision(APPLY)), "yes");
    assert_eq!(fixed.code, Some(1), "{}", fixed.text);
    assert!(fixed.text.contains("it was shown and is no longer to be done"), "{}", fixed.text);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));

    // Nothing but ids is known later: groups follow new versions of their templates.
    drift(&account, "nodes");
    let done = account.provision_asked(ASKED, QUESTION, || (), "y");
    assert_eq!(done.code, Some(0), "{}", done.text);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    assert_eq!(inventory(&account), whole);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_destroy_deletes_what_it_has_shown_or_nothing() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    account.must_provision(APPLY);
    let (words, question) = (&["destroy", "--delete-data"][..], "type the cluster's name");
    let no = account.provision_asked(words, question, || (), "local");
    assert!(no.code == Some(1) && no.text.contains("\"local\" is not the cluster's name"), "{}", no.text);
    let mut before = Value::Null;
    let meanwhile = || {
        let pairs = account.call(&json!([["ec2", null, "describe_key_pairs", {}]])).remove(0);
        let name = pairs["KeyPairs"][0]["KeyName"].clone();
        let deleted = account.call(&json!([["ec2", null, "delete_key_pair", { "KeyName": name }]])).remove(0);
        assert!(deleted["error"].is_null(), "{deleted}");
        before = account.inventory();
    };
    let stopped = account.provision_asked(words, question, meanwhile, "local-provision");
    assert_eq!(stopped.code, Some(1), "{}", stopped.text);
    for expected in [
        "nothing was changed: the account has changed since the plan was shown",
        "- key pair futuswarm-local-provision-ssh-",
        ": it was shown and is no longer to be done",
    ] {
        assert!(stopped.text.contains(expected), "{expected}: {}", stopped.text);
    }
    assert_eq!(account.inventory(), before, "nothing was deleted");
    let done = account.provision_asked(words, question, || (), "local-provision");
    assert_eq!(done.code, Some(0), "{}", done.text);
    assert_eq!(account.inventory(), nothing);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_key_that_is_cut_short_or_refused_takes_nothing_from_a_living_cluster() {
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL8yNFHcVkVvm0CuEe8zWqkjXJcvCYQ0Dp0h3tmbxNqN";
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    let before = account.inventory();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let with_other = |words: &[&'static str]| {
        let words: Vec<&str> = words.iter().copied().chain(["--ssh-public-key", path]).collect();
        account.provision(&words).output().unwrap()
    };
    // Five characters are missing.
    std::fs::write(path, &OTHER[..OTHER.len() - 5]).unwrap();
    let spec = format!("[ssh]\npublic_key = \"{}\"\n\n[rds]", &OTHER[..OTHER.len() - 5]);
    for cut in [
        with_other(APPLY),
        with_other(PLAN),
        account.provision_with(&["check"], &[("[rds]", &spec)]),
        account.provision_with(APPLY, &[("[rds]", &spec)]),
    ] {
        let (_, stderr) = texts(&cut);
        assert!(cut.status.code() == Some(1) && stderr.contains("cut short or damaged"), "{stderr}");
    }
    assert_eq!(account.inventory(), before);

    // A key that only EC2 has something against.
    std::fs::write(path, format!("{OTHER} somebody@example.com\n")).unwrap();
    account.faults(&json!({
        "fault": { "kind": "refused", "code": "InvalidKey.Format" },
        "agent": "under-test",
        "service": "ec2",
        "action": "ImportKeyPair",
        "count": 1_000_000,
    }));
    let refused = with_other(APPLY);
    let hits = account.progress().all.hit;
    account.clear_faults();
    let (_, stderr) = texts(&refused);
    assert!(refused.status.code() == Some(1) && stderr.contains("InvalidKey.Format") && hits == 1, "{stderr}");
    assert_eq!(account.inventory(), before, "the former key is there, and the templates name it");
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));

    let changed = with_other(APPLY);
    assert!(changed.status.success(), "{:?}", texts(&changed));
    assert_eq!(with_other(PLAN).status.code(), Some(0));
    let pairs = account.inventory()["key pair"].clone();
    assert!(pairs.as_array().unwrap().len() == 1 && pairs != before["key pair"], "{pairs}");
    let named = || {
        let latest = json!({ "Versions": ["$Default"] });
        let versions = account.call(&json!([["ec2", null, "describe_launch_template_versions", latest]])).remove(0);
        let versions = versions["LaunchTemplateVersions"].as_array().unwrap().clone();
        versions.iter().map(|one| one["LaunchTemplateData"]["KeyName"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(named(), [pairs[0].clone(), pairs[0].clone()]);

    // Somebody puts another key under the pair's name: it cannot be changed, so the cluster's has another name.
    let name = pairs[0].as_str().unwrap();
    let theirs = json!([
        ["ec2", null, "delete_key_pair", { "KeyName": name }],
        ["ec2", null, "create_key_pair", { "KeyName": name }],
    ]);
    assert!(account.call(&theirs).iter().all(|one| one["error"].is_null()));
    let fixed = with_other(APPLY);
    assert!(fixed.status.success(), "{:?}", texts(&fixed));
    assert_eq!(with_other(PLAN).status.code(), Some(0));
    assert_eq!(named(), [json!(format!("{name}-2")), json!(format!("{name}-2"))]);
    let all = account.inventory()["key pair"].to_string();
    assert!(all.contains(&format!("\"{name}\"")), "what is not ours stays: {all}");
    account.must_provision(&["destroy", "--yes", "--delete-data"]);
    let left = account.inventory()["key pair"].clone();
    assert_eq!(left, json!([name]));
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_is_replaced_stays_until_its_successor_is_accepted() {
    let account = Account::start("local-provision");
    let call = |service: &str, operation: &str, arguments: Value| {
        let mut outcomes = account.call(&json!([[service, null, operation, arguments]]));
        let outcome = outcomes.remove(0);
        assert!(outcome["error"].is_null(), "{operation}: {outcome}");
        outcome
    };
    let refuse = |service: &str, action: &str, count: u32| {
        account.faults(&json!({
            "fault": { "kind": "refused", "code": "InvalidParameterValue" },
            "agent": "under-test", "service": service, "action": action, "count": count,
        }));
    };
    let classic = [("[rds]", "[load_balancer]\nkind = \"classic\"\nhttp = \"forward\"\n[rds]")];
    let made = account.provision_with(APPLY, &classic);
    assert!(made.status.success(), "{:?}", texts(&made));

    // A route: in one call, so that a refusal leaves the former one.
    let part = json!({ "Filters": [{ "Name": "tag:futuswarm:part", "Values": ["public-routes"] }] });
    let vpc = json!({ "Filters": [{ "Name": "tag:futuswarm:part", "Values": ["vpc"] }] });
    let vpc = call("ec2", "describe_vpcs", vpc)["Vpcs"][0]["VpcId"].clone();
    let other = call("ec2", "create_vpc", json!({ "CidrBlock": "172.20.0.0/16" }))["Vpc"]["VpcId"].clone();
    let peering = call("ec2", "create_vpc_peering_connection", json!({ "VpcId": vpc, "PeerVpcId": other }));
    let peering = peering["VpcPeeringConnection"]["VpcPeeringConnectionId"].clone();
    let table = call("ec2", "describe_route_tables", part.clone())["RouteTables"][0]["RouteTableId"].clone();
    let away = json!({
        "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "VpcPeeringConnectionId": peering,
    });
    call("ec2", "replace_route", away);
    let routes = || call("ec2", "describe_route_tables", part.clone())["RouteTables"][0]["Routes"].clone();
    let before = routes();
    for action in ["ReplaceRoute", "CreateRoute"] {
        refuse("ec2", action, 1_000_000);
        let refused = account.provision_with(APPLY, &classic);
        account.clear_faults();
        if action == "ReplaceRoute" {
            assert_eq!(refused.status.code(), Some(1), "{:?}", texts(&refused));
            assert_eq!(routes(), before);
        } else {
            assert_eq!(refused.status.code(), Some(0), "no route is taken away first: {:?}", texts(&refused));
        }
    }
    assert!(routes().to_string().contains("igw-"), "{}", routes());

    // A role of an instance profile, which has room for one: the former one is put back when ours is refused.
    let profile = "futuswarm-local-provision-eu-west-1-worker";
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    call("iam", "create_role", json!({ "RoleName": "theirs", "AssumeRolePolicyDocument": trust }));
    let named = |role: &str| json!({ "InstanceProfileName": profile, "RoleName": role });
    call("iam", "remove_role_from_instance_profile", named(profile));
    call("iam", "add_role_to_instance_profile", named("theirs"));
    let roles = || {
        let found = call("iam", "get_instance_profile", json!({ "InstanceProfileName": profile }));
        let roles = found["InstanceProfile"]["Roles"].as_array().unwrap().clone();
        roles.into_iter().map(|role| role["RoleName"].clone()).collect::<Vec<_>>()
    };
    refuse("iam", "AddRoleToInstanceProfile", 1);
    let refused = account.provision_with(APPLY, &classic);
    account.clear_faults();
    let (_, stderr) = texts(&refused);
    assert!(refused.status.code() == Some(1) && stderr.contains("AddRoleToInstanceProfile"), "{stderr}");
    assert_eq!(roles(), ["theirs"], "the former one is back");
    assert!(account.provision_with(APPLY, &classic).status.success());
    assert_eq!(roles(), [profile]);

    // A classic listener: AWS can only put another one in its place.
    let name = "fsw-local-provision";
    let listeners = || {
        let described = call("elb", "describe_load_balancers", json!({ "LoadBalancerNames": [name] }));
        described["LoadBalancerDescriptions"][0]["ListenerDescriptions"].to_string()
    };
    let good = listeners();
    call("elb", "delete_load_balancer_listeners", json!({ "LoadBalancerName": name, "LoadBalancerPorts": [80] }));
    let odd = json!({ "Protocol": "TCP", "LoadBalancerPort": 80, "InstanceProtocol": "TCP", "InstancePort": 8081 });
    call("elb", "create_load_balancer_listeners", json!({ "LoadBalancerName": name, "Listeners": [odd] }));
    refuse("elasticloadbalancing", "CreateLoadBalancerListeners", 1);
    let refused = account.provision_with(APPLY, &classic);
    account.clear_faults();
    let (_, stderr) = texts(&refused);
    assert!(refused.status.code() == Some(1) && stderr.contains("CreateLoadBalancerListeners"), "{stderr}");
    assert!(listeners().contains("8081"), "the former one is back: {}", listeners());
    let fixed = account.provision_with(APPLY, &classic);
    assert!(fixed.status.success(), "{:?}", texts(&fixed));
    let sorted = |text: &str| {
        let mut all: Vec<String> =
            serde_json::from_str::<Vec<Value>>(text).unwrap().iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&listeners()), sorted(&good));
}
