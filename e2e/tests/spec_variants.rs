//! Clusters that are not like most: in a network that was there before, with peerings, under a domain whose DNS is elsewhere,
//! behind the classic balancer; and what stays of one that is destroyed.

use std::process::Output;

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];

/// One call as the account's owner; refusals end the test.
fn call(account: &Account, service: &str, operation: &str, arguments: &Value) -> Value {
    let outcome = account.call(&json!([[service, null, operation, arguments]])).remove(0);
    assert!(outcome["error"].is_null(), "{operation}: {outcome}");
    outcome
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned()
}

/// The stderr of a run that ended with this code.
fn ended(output: &Output, code: i32) -> String {
    let (_, stderr) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// The changes of a plan by part: how many of each action.
fn planned(output: &Output) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}", texts(output)));
    let changes = report["changes"].as_array().unwrap().iter();
    changes.map(|change| (text(&change["part"]), text(&change["action"]))).collect()
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_network_that_was_there_becomes_part_of_the_cluster() {
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    let usual = account.inventory();
    account.must_provision(DESTROY);
    let nothing = account.inventory();

    let vpc = |cidr: &str| text(&call(&account, "ec2", "create_vpc", &json!({ "CidrBlock": cidr }))["Vpc"]["VpcId"]);
    let (ours, elsewhere) = (vpc("10.50.0.0/16"), vpc("10.60.0.0/16"));
    let place = json!({ "VpcId": ours, "CidrBlock": "10.50.0.0/20", "AvailabilityZone": "eu-west-1a" });
    let subnet = text(&call(&account, "ec2", "create_subnet", &place)["Subnet"]["SubnetId"]);
    let made = call(&account, "ec2", "create_internet_gateway", &json!({}));
    let gateway = text(&made["InternetGateway"]["InternetGatewayId"]);
    call(&account, "ec2", "attach_internet_gateway", &json!({ "InternetGatewayId": gateway, "VpcId": ours }));
    let before = account.inventory();

    for (adopt, reason) in [
        ("vpc=vpc-0123456789abcdef0", "there is none in the region eu-west-1 of the account 123456789012"),
        ("vcp=vpc-0123456789abcdef0", "there is no component vcp that can be adopted\n  components that can be: "),
        ("bucket=some-bucket", "there is no component bucket that can be adopted"),
        (&format!("vpc={subnet}"), "the id of a vpc begins with vpc-"),
        (&format!("vpc={elsewhere}"), "CIDR: 10.60.0.0/16 → 10.50.0.0/16"),
    ] {
        for words in [APPLY, PLAN] {
            let output = account.provision(&[words, &["--adopt", adopt]].concat()).output().unwrap();
            let stderr = ended(&output, 1);
            assert!(stderr.contains(reason), "{adopt}: {stderr}");
            assert_eq!(account.inventory(), before, "{adopt} changes nothing");
        }
    }
    // Without its subnet the network is not ours yet, and the refusal says how it would be.
    let (only_vpc, gateway) = (format!("vpc={ours}"), format!("internet-gateway={gateway}"));
    let some = ["--adopt", &only_vpc, "--adopt", &gateway];
    let stderr = ended(&account.provision(&[APPLY, &some].concat()).output().unwrap(), 1);
    assert!(stderr.contains("pass `--adopt COMPONENT=ID`"), "{stderr}");
    assert!(stderr.contains("CreateSubnet") && stderr.contains("InvalidSubnet.Conflict"), "{stderr}");

    let subnet = format!("public-eu-west-1a={subnet}");
    let adopt = ["--adopt", &only_vpc, "--adopt", &subnet, "--adopt", &gateway];
    let plan = planned(&account.provision(&[PLAN, &adopt].concat()).output().unwrap());
    assert!(plan.contains(&("public-eu-west-1a".to_owned(), "update".to_owned())), "{plan:?}");
    account.must_provision(&[APPLY, &adopt].concat());
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0), "adopted once is adopted");
    let second = format!("vpc={elsewhere}");
    let stderr = ended(&account.provision(&[APPLY, &["--adopt", &second]].concat()).output().unwrap(), 1);
    assert!(stderr.contains(&format!("the cluster has {ours} already")), "{stderr}");
    call(&account, "ec2", "delete_vpc", &json!({ "VpcId": elsewhere }));
    assert_eq!(account.inventory(), usual);

    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), nothing);
}

/// What is seen of a peering: its state, the destinations behind it in the tables of a VPC, and the LDAP group there.
fn peering(account: &Account, there: &str) -> Value {
    let in_vpc = json!([{ "Name": "vpc-id", "Values": [there] }]);
    let cluster = json!([{ "Name": "tag:futuswarm:cluster", "Values": ["local-provision"] }]);
    let answers = account.call(&json!([
        ["ec2", null, "describe_vpc_peering_connections", { "Filters": cluster }],
        ["ec2", null, "describe_route_tables", { "Filters": in_vpc }],
        ["ec2", null, "describe_route_tables", { "Filters": cluster }],
        ["ec2", null, "describe_security_groups", { "Filters": in_vpc }],
    ]));
    let routes = |answer: &Value| {
        let tables = answer["RouteTables"].as_array().unwrap().iter();
        let routes = tables.flat_map(|table| table["Routes"].as_array().unwrap().clone());
        let routes = routes.filter(|route| route["VpcPeeringConnectionId"].is_string());
        routes.map(|route| route["DestinationCidrBlock"].clone()).collect::<Vec<_>>()
    };
    let connections = answers[0]["VpcPeeringConnections"].as_array().unwrap().iter();
    let states = connections.map(|one| one["Status"]["Code"].clone()).filter(|state| state != "deleted");
    let groups = answers[3]["SecurityGroups"].as_array().unwrap().iter();
    let ldap = groups.filter(|group| group["GroupName"] == "allow-from-local-provision");
    let rules = ldap.map(|group| {
        json!([group["IpPermissions"][0]["FromPort"], group["IpPermissions"][0]["IpRanges"][0]["CidrIp"]])
    });
    json!({ "states": states.collect::<Vec<_>>(), "there": routes(&answers[1]), "here": routes(&answers[2]), "ldap": rules.collect::<Vec<_>>() })
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn peerings_have_routes_both_ways_and_leave_nothing_behind() {
    let account = Account::start("local-provision");
    let made = call(&account, "ec2", "create_vpc", &json!({ "CidrBlock": "172.20.0.0/16" }));
    let office = text(&made["Vpc"]["VpcId"]);
    let before = account.inventory();
    let peered = format!(
        "[ldap]\nuri = \"ldaps://ldap.example.com\"\nbase_dn = \"dc=example,dc=com\"\n\n[peering.office]\nvpc = \"{office}\"\ncidr = \"172.20.0.0/16\"\nldap = true\n\n[rds]"
    );
    let peered = [("[rds]", peered.as_str())];
    ended(&account.provision_with(APPLY, &peered), 0);
    assert_eq!(
        ended(&account.provision_with(PLAN, &peered), 0),
        "planning the cluster local-provision in eu-west-1\n0 to create, 0 to change, 0 to delete\n"
    );
    let whole = json!({
        "states": ["active"],
        "there": ["10.50.0.0/16"],
        "here": ["172.20.0.0/16", "172.20.0.0/16"],
        "ldap": [[636, "10.50.0.0/16"]],
    });
    assert_eq!(peering(&account, &office), whole);

    // Somebody there takes the route and the rule away.
    let filters = json!([{ "Name": "vpc-id", "Values": [office] }]);
    let tables = call(&account, "ec2", "describe_route_tables", &json!({ "Filters": filters }));
    let table = &tables["RouteTables"][0]["RouteTableId"];
    let route = json!({ "RouteTableId": table, "DestinationCidrBlock": "10.50.0.0/16" });
    call(&account, "ec2", "delete_route", &route);
    let stderr = ended(&account.provision_with(PLAN, &peered), 2);
    assert!(stderr.contains("routes there: missing → set"), "{stderr}");
    ended(&account.provision_with(APPLY, &peered), 0);
    assert_eq!(peering(&account, &office), whole);

    let nothing = json!({ "states": [], "there": [], "here": [], "ldap": [] });
    ended(&account.provision(APPLY).output().unwrap(), 0);
    assert_eq!(peering(&account, &office), nothing, "what the spec no longer has is gone on both sides");
    ended(&account.provision(PLAN).output().unwrap(), 0);

    ended(&account.provision_with(APPLY, &peered), 0);
    assert_eq!(peering(&account, &office), whole);
    ended(&account.provision_with(DESTROY, &peered), 0);
    assert_eq!(account.inventory(), before);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_domain_whose_dns_is_elsewhere_gets_its_certificate_later() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let elsewhere = [("domain = \"apps.localhost\"", "domain = \"apps.example.org\"")];
    let stderr = ended(&account.provision_with(APPLY, &elsewhere), 0);
    for expected in [
        "no hosted zone of this account serves apps.example.org: make this record where its DNS is",
        "HTTPS waits for its certificate; run the command again once the certificate is issued",
        "*.apps.example.org  CNAME  ",
        "apps.example.org  ALIAS or CNAME  ",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    let inventory = account.inventory();
    assert_eq!(inventory["certificate"], json!(["apps.example.org PENDING_VALIDATION"]));
    assert_eq!(inventory["load balancer"], json!(["fsw-local-provision listeners 1"]));
    assert!(!inventory["group"].as_array().unwrap().is_empty(), "everything else is there: {inventory}");
    assert!(!inventory["record"].to_string().contains("example.org"), "{inventory}");

    // Its DNS moves into the account; ACM sees the record as soon as it stands.
    let zone = json!({ "Name": "example.org", "CallerReference": "moved" });
    call(&account, "route53", "create_hosted_zone", &zone);
    let stderr = ended(&account.provision_with(APPLY, &elsewhere), 0);
    assert!(!stderr.contains("waits for its certificate"), "{stderr}");
    let inventory = account.inventory();
    assert_eq!(inventory["certificate"], json!(["apps.example.org ISSUED"]));
    assert_eq!(inventory["load balancer"], json!(["fsw-local-provision listeners 2"]));
    let records = inventory["record"].to_string();
    assert!(records.contains("\"apps.example.org. A\"") && records.contains("052.apps.example.org. A"), "{records}");
    ended(&account.provision_with(PLAN, &elsewhere), 0);
    ended(&account.provision_with(DESTROY, &elsewhere), 0);
    assert_eq!(account.inventory(), nothing, "records, too");
}

/// What the policies of the HTTPS listener refer to.
fn tls_of_classic(account: &Account) -> Value {
    let names = json!({ "LoadBalancerNames": ["fsw-local-provision"] });
    let described = call(account, "elb", "describe_load_balancers", &names);
    let listeners = described["LoadBalancerDescriptions"][0]["ListenerDescriptions"].as_array().unwrap().clone();
    let https = listeners.iter().find(|one| one["Listener"]["LoadBalancerPort"] == 443).unwrap();
    let policies =
        call(account, "elb", "describe_load_balancer_policies", &json!({ "LoadBalancerName": "fsw-local-provision" }));
    let policies = policies["PolicyDescriptions"].as_array().unwrap();
    let reference = |name: &Value| {
        let policy = policies.iter().find(|policy| policy["PolicyName"] == *name);
        let attribute = policy.map(|policy| policy["PolicyAttributeDescriptions"][0].clone());
        attribute
            .filter(|one| one["AttributeName"] == "Reference-Security-Policy")
            .map_or(name.clone(), |one| one["AttributeValue"].clone())
    };
    https["PolicyNames"].as_array().unwrap().iter().map(reference).collect()
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn the_classic_balancer_has_the_same_life() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let classic = [("[rds]", "[load_balancer]\nkind = \"classic\"\nhttp = \"forward\"\n[rds]")];
    ended(&account.provision_with(APPLY, &classic), 0);
    ended(&account.provision_with(PLAN, &classic), 0);
    let name = json!({ "LoadBalancerNames": ["fsw-local-provision"] });
    let described = call(&account, "elb", "describe_load_balancers", &name);
    let balancer = &described["LoadBalancerDescriptions"][0];
    let listeners = balancer["ListenerDescriptions"].as_array().unwrap().iter();
    let mut listeners: Vec<Value> = listeners
        .map(|one| {
            let one = &one["Listener"];
            json!([one["Protocol"], one["LoadBalancerPort"], one["InstancePort"], one["SSLCertificateId"].is_string()])
        })
        .collect();
    listeners.sort_by_key(Value::to_string);
    assert_eq!(listeners, [json!(["HTTP", 80, 80, false]), json!(["HTTPS", 443, 80, true])]);
    const TLS: &str = "ELBSecurityPolicy-TLS-1-2-2017-01";
    assert_eq!(tls_of_classic(&account), json!([TLS]));
    assert_eq!(balancer["HealthCheck"]["Target"], "HTTP:80/status");
    assert_eq!(balancer["Subnets"].as_array().unwrap().len(), 3);
    let groups = call(&account, "autoscaling", "describe_auto_scaling_groups", &json!({}));
    for group in groups["AutoScalingGroups"].as_array().unwrap() {
        assert_eq!(group["LoadBalancerNames"], json!(["fsw-local-provision"]));
        assert_eq!(group["HealthCheckType"], "EC2");
    }
    assert!(account.inventory()["target group"].is_null());

    let one = "fsw-local-provision";
    let check =
        json!({ "Target": "TCP:80", "Interval": 30, "Timeout": 3, "UnhealthyThreshold": 4, "HealthyThreshold": 4 });
    call(&account, "elb", "configure_health_check", &json!({ "LoadBalancerName": one, "HealthCheck": check }));
    call(
        &account,
        "elb",
        "delete_load_balancer_listeners",
        &json!({ "LoadBalancerName": one, "LoadBalancerPorts": [443] }),
    );
    let stderr = ended(&account.provision_with(PLAN, &classic), 2);
    assert!(
        stderr.contains("health check: TCP:80 every 30 s") && stderr.contains("listener 443: HTTPS to port 80"),
        "{stderr}"
    );
    ended(&account.provision_with(APPLY, &classic), 0);
    ended(&account.provision_with(PLAN, &classic), 0);
    assert_eq!(tls_of_classic(&account), json!([TLS]), "also of a listener that was made again");
    // Without a policy of its own it has AWS's default, which speaks TLS 1.0.
    let none = json!({ "LoadBalancerName": one, "LoadBalancerPort": 443, "PolicyNames": [] });
    call(&account, "elb", "set_load_balancer_policies_of_listener", &none);
    assert_eq!(tls_of_classic(&account), json!(["ELBSecurityPolicy-2016-08"]));
    let stderr = ended(&account.provision_with(PLAN, &classic), 2);
    assert!(stderr.contains(&format!("TLS: ELBSecurityPolicy-2016-08 → {TLS}")), "{stderr}");
    ended(&account.provision_with(APPLY, &classic), 0);
    ended(&account.provision_with(PLAN, &classic), 0);
    assert_eq!(tls_of_classic(&account), json!([TLS]));

    ended(&account.provision_with(DESTROY, &classic), 0);
    assert_eq!(account.inventory(), nothing);
    let gone = account.call(&json!([["elb", null, "describe_load_balancers", name]]));
    assert!(gone[0]["error"].is_string(), "{}", gone[0]);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn data_outlives_the_cluster_and_belongs_to_the_next_one_of_its_name() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    account.must_provision(APPLY);
    let whole = account.inventory();
    let put = json!({ "Bucket": whole["bucket"][0], "Key": "cluster/precious", "Body": "kept" });
    call(&account, "s3", "put_object", &put);
    let keys = |account: &Account| call(account, "kms", "list_aliases", &json!({}))["Aliases"].clone();
    let before = keys(&account);

    let stderr = account.must_provision(&["destroy", "--yes"]);
    assert!(
        stderr.contains("the database's last state stays as the snapshot futuswarm-local-provision-db-final-"),
        "{stderr}"
    );
    let left = account.inventory();
    let mut kinds: Vec<&str> = left.as_object().unwrap().keys().map(String::as_str).collect();
    kinds.retain(|kind| nothing[*kind] != left[*kind]);
    assert_eq!(kinds, ["alias", "bucket", "key", "object"], "{left}");
    let snapshots = call(&account, "rds", "describe_db_snapshots", &json!({}));
    assert_eq!(snapshots["DBSnapshots"].as_array().unwrap().len(), 1);
    let snapshot = text(&snapshots["DBSnapshots"][0]["DBSnapshotIdentifier"]);
    let plan = account.provision(&["destroy", "--plan"]).output().unwrap();
    ended(&plan, 0);

    account.must_provision(APPLY);
    assert_eq!(keys(&account), before, "the same keys");
    let get = json!({ "Bucket": whole["bucket"][0], "Key": "cluster/precious" });
    call(&account, "s3", "get_object", &get);
    // What the snapshot can be opened with stays as long as the snapshot does; a plan says so before anybody agrees.
    let kept = format!(
        "the KMS key alias/futuswarm/local-provision/cluster stays: without it nobody could open the database snapshot {snapshot} again"
    );
    let plan = ended(&account.provision(&["destroy", "--plan", "--delete-data"]).output().unwrap(), 2);
    assert!(plan.contains(&kept), "{plan}");
    assert!(!plan.contains("- KMS key alias/futuswarm/local-provision/cluster\n"), "{plan}");
    let stderr = account.must_provision(DESTROY);
    assert!(
        stderr.contains(&kept)
            && stderr.contains(&format!("`aws rds delete-db-snapshot --db-snapshot-identifier {snapshot}`")),
        "{stderr}"
    );
    let left = account.inventory();
    let mut kinds: Vec<&str> = left.as_object().unwrap().keys().map(String::as_str).collect();
    kinds.retain(|kind| nothing[*kind] != left[*kind]);
    assert_eq!(kinds, ["alias", "key"], "{left}");
    assert_eq!(left["alias"], json!(["alias/futuswarm/local-provision/cluster"]));
    call(&account, "rds", "delete_db_snapshot", &json!({ "DBSnapshotIdentifier": snapshot }));
    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), nothing, "--delete-data deletes it");
}

/// Which resources have the tags that every resource must have, and which have not.
fn tags(account: &Account, team: &str) -> Value {
    let output = account.python("e2e/provision/tags.py", &["local-provision", team]);
    assert!(output.status.success(), "{:?}", texts(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn every_resource_has_the_tags_of_the_spec_also_when_they_change() {
    let account = Account::start("local-provision");
    let tagged = |team: &str| format!("[tags]\nteam = \"{team}\"\n\n[rds]");
    let (one, other) = (tagged("one"), tagged("other"));
    ended(&account.provision_with(APPLY, &[("[rds]", &one)]), 0);
    let before = tags(&account, "one");
    assert_eq!(before["wrong"], json!([]), "{before}");
    assert!(before["right"].as_array().unwrap().len() >= 35, "{before}");

    let changed = [("[rds]", other.as_str())];
    let plan = account.provision_with(PLAN, &changed);
    ended(&plan, 2);
    assert!(planned(&plan).iter().all(|(_, action)| action == "update"), "{:?}", planned(&plan));
    // A run that does not get through leaves the rest for the next.
    account.faults(&json!({
        "fault": { "kind": "refused", "code": "AccessDenied" },
        "agent": "under-test",
        "service": "elasticloadbalancing",
        "action": "AddTags",
        "count": 1_000_000,
    }));
    ended(&account.provision_with(APPLY, &changed), 1);
    account.clear_faults();
    ended(&account.provision_with(APPLY, &changed), 0);
    ended(&account.provision_with(PLAN, &changed), 0);
    let after = tags(&account, "other");
    assert_eq!((&after["wrong"], &after["right"]), (&json!([]), &before["right"]));
    ended(&account.provision_with(DESTROY, &changed), 0);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_a_former_spec_asked_for_goes_and_what_others_use_stays() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    account.must_provision(APPLY);
    let usual = account.inventory();
    call(&account, "route53", "create_hosted_zone", &json!({ "Name": "example.org", "CallerReference": "org" }));
    let domain = "domain = \"apps.localhost\"";
    let open = [(domain, "domain = \"apps.localhost\"\nopen_domain = \"open.example.org\"")];
    ended(&account.provision_with(APPLY, &open), 0);
    let both = account.inventory();
    assert_eq!(both["certificate"], json!(["apps.localhost ISSUED", "open.example.org ISSUED"]));
    assert!(both["record"].to_string().contains("open.example.org. A"), "{both}");
    ended(&account.provision(APPLY).output().unwrap(), 0);
    assert_eq!(account.inventory(), usual, "the open domain is gone, with its records and certificate");

    let moved = [(domain, "domain = \"apps.example.org\"")];
    ended(&account.provision_with(APPLY, &moved), 0);
    ended(&account.provision_with(PLAN, &moved), 0);
    assert_eq!(account.inventory()["certificate"], json!(["apps.example.org ISSUED"]));
    ended(&account.provision(APPLY).output().unwrap(), 0);
    assert_eq!(without_versions(account.inventory()), without_versions(usual.clone()));

    let classic = [("[rds]", "[load_balancer]\nkind = \"classic\"\nhttp = \"forward\"\n[rds]")];
    ended(&account.provision_with(APPLY, &classic), 0);
    let inventory = account.inventory();
    assert!(inventory["load balancer"].is_null() && inventory["target group"].is_null(), "{inventory}");
    ended(&account.provision_with(PLAN, &classic), 0);
    ended(&account.provision(APPLY).output().unwrap(), 0);
    assert_eq!(without_versions(account.inventory()), without_versions(usual));
    let names = json!({ "LoadBalancerNames": ["fsw-local-provision"] });
    assert!(account.call(&json!([["elb", null, "describe_load_balancers", names]]))[0]["error"].is_string());

    // Another cluster has taken the domain over: its record, and the validation that its certificate needs, stay.
    let zones = call(&account, "route53", "list_hosted_zones", &json!({}))["HostedZones"].clone();
    let zone = zones.as_array().unwrap().iter().find(|zone| zone["Name"] == "apps.localhost.").unwrap()["Id"].clone();
    let value = json!([{ "Value": "203.0.113.7" }]);
    let elsewhere = json!({ "Name": "apps.localhost", "Type": "A", "TTL": 60, "ResourceRecords": value });
    let change = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": elsewhere }] });
    let change = json!({ "HostedZoneId": zone, "ChangeBatch": change });
    call(&account, "route53", "change_resource_record_sets", &change);
    let stderr = ended(&account.provision(DESTROY).output().unwrap(), 0);
    assert!(stderr.contains("the record apps.localhost stays: it does not lead to this cluster"), "{stderr}");
    assert!(stderr.contains("the validation records of apps.localhost stay"), "{stderr}");
    let left = account.inventory();
    let mut kinds: Vec<&str> = left.as_object().unwrap().keys().map(String::as_str).collect();
    kinds.retain(|kind| nothing[*kind] != left[*kind]);
    assert_eq!(kinds, ["record"], "{left}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn as_many_and_as_long_tags_as_a_spec_may_have_are_taken_by_both_balancers() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    // Seven beside ours are what a classic balancer takes, and letters of two bytes are one character.
    let tags: String =
        (0..7).map(|index| format!("\"{index}{}\" = \"{}\"\n", "ä".repeat(126), "ß".repeat(255))).collect();
    let application = format!("[tags]\n{tags}\n[rds]");
    let classic = format!("[load_balancer]\nkind = \"classic\"\nhttp = \"forward\"\n{application}");
    for spec in [&application, &classic] {
        let spec = [("[rds]", spec.as_str())];
        ended(&account.provision_with(APPLY, &spec), 0);
        ended(&account.provision_with(PLAN, &spec), 0);
    }
    // The rehearsal would see one that is too long.
    let long = json!([{ "Key": "k".repeat(128), "Value": "v" }]);
    let long = json!({ "LoadBalancerNames": ["fsw-local-provision"], "Tags": long });
    let refused = account.call(&json!([["elb", null, "add_tags", long]])).remove(0);
    assert_eq!(refused["error"], "ValidationError", "{refused}");
    ended(&account.provision_with(DESTROY, &[("[rds]", classic.as_str())]), 0);
    assert_eq!(account.inventory(), nothing);
}

/// An inventory without the versions of templates, which only ever grow.
fn without_versions(mut inventory: Value) -> Value {
    for template in inventory["launch template"].as_array_mut().into_iter().flatten() {
        *template = template.as_str().unwrap().split(' ').next().unwrap().into();
    }
    inventory
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn clusters_whose_names_begin_alike_leave_each_other_alone() {
    let account = Account::start("local-provision");
    let longer = [
        ("cluster = \"local-provision\"", "cluster = \"local-provision-b\""),
        ("domain = \"apps.localhost\"", "domain = \"b.example.net\""),
    ];
    ended(&account.provision_with(APPLY, &longer), 0);
    let other = account.inventory();
    account.must_provision(APPLY);
    ended(&account.provision_with(PLAN, &longer), 0);
    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), other, "the other cluster has everything that it had");
    ended(&account.provision_with(PLAN, &longer), 0);
    // Its certificate waits for records elsewhere; of what goes nobody needs to make any.
    let stderr = ended(&account.provision_with(DESTROY, &longer), 0);
    assert!(!stderr.contains("where its DNS is"), "{stderr}");
}
