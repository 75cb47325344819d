//! What resources say of themselves without asking anybody: names, dependencies, desired fields, and what differs.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, SecurityGroup as ObservedGroup, Subnet as ObservedSubnet, Tag, Vpc};
use aws_sdk_elasticloadbalancingv2::types::{Matcher, TargetGroup as ObservedTargets};
use aws_sdk_iam::types::{PolicyDetail, RoleDetail};
use aws_sdk_rds::types::{DbInstance, VpcSecurityGroupMembership};
use futuswarm_converge::{Mode, Resource};

use super::security_group::SecurityGroup;
use super::tags;
use super::*;
use crate::Cluster;
use crate::components::Tier;
use crate::field::{Field, Fields};

const PLAN: Mode = Mode::Apply { plan: true };

fn example() -> Run {
    let text = include_str!("../../../../clusters/example.toml");
    let spec = Spec::parse("example", text).unwrap();
    Run::of(Cluster::new(spec, "123456789012".to_owned(), true), PLAN)
}

/// `component: field = value`, a line for each desired field.
fn lines<R: Resource<Run>>(resource: &R, run: &Run) -> String {
    let desired = resource.desired(run).unwrap().differences(&Fields::new()).for_people();
    let line = |to: &futuswarm_converge::Difference| {
        format!("{}: {} = {}\n", resource.component(), to.field, to.to.as_deref().unwrap_or_default())
    };
    let head = format!("# {} {}\n", resource.kind(), resource.name(run));
    [head].into_iter().chain(desired.iter().map(line)).collect()
}

#[test]
fn every_component_of_a_spec_has_a_name_and_fields() {
    let run = Run::of(Cluster::local(), PLAN);
    let spec = &run.cluster.spec;
    let mut text = String::new();
    text += &lines(&kms_key::KmsKey::Cluster, &run);
    text += &lines(&bucket::Bucket, &run);
    text += &lines(&genesis::Epoch, &run);
    text += &lines(&vpc::Vpc, &run);
    text += &lines(&internet_gateway::InternetGateway, &run);
    text += &lines(&s3_endpoint::S3Endpoint, &run);
    for group in [SecurityGroup::Balancer, SecurityGroup::Nodes, SecurityGroup::Database] {
        text += &lines(&group, &run);
    }
    text += &lines(&route_table::Table::of(Tier::Public, spec), &run);
    text += &lines(&subnet::Subnet::all(spec)[0], &run);
    text += &lines(&role::Role(Role::Worker), &run);
    text += &lines(&instance_profile::InstanceProfile(Role::Worker), &run);
    text += &lines(&load_balancer::LoadBalancer(Tier::Public.subnets(spec)), &run);
    text += &lines(&target_group::TargetGroup::Edge, &run);
    text += &lines(&listener::Listener::http(false), &run);
    text += &lines(&listener::Listener::https(vec!["certificate".to_owned()], false), &run);
    let subnets = Tier::Public.subnets(spec);
    text += &lines(&classic::ClassicBalancer { subnets, certificate: "certificate" }, &run);
    for group in group::Group::all(spec) {
        text += &lines(&group, &run);
    }
    for names in dns::all(spec) {
        text += &lines(&names, &run);
    }
    insta::assert_snapshot!("desired", text);
}

#[test]
fn steps_depend_only_on_each_other_and_no_component_is_made_twice() {
    for run in [example(), Run::of(Cluster::local(), PLAN), with_login()] {
        let mut steps = common(&run);
        let groups = run.cluster.spec.groups.iter();
        steps.extend(groups.map(|(name, group)| step(template::Template::desired(&run, name, group))));
        let components: Vec<String> = steps.iter().map(|step| step.component()).collect();
        let unique: BTreeSet<&String> = components.iter().collect();
        assert_eq!(unique.len(), components.len(), "{components:?}");
        for step in &steps {
            for dependency in step.depends_on() {
                assert!(components.contains(&dependency), "{} depends on {dependency}", step.component());
            }
        }
    }
}

/// That of the local spec, with an open domain and a login.
fn with_login() -> Run {
    let cluster = Cluster::of(|spec| {
        spec.open_domain = Some("open.localhost".to_owned());
        spec.login = Some(some_login());
    });
    Run::of(cluster, PLAN)
}

pub(super) fn some_login() -> futuswarm_spec::Login {
    futuswarm_spec::Login {
        issuer: "https://login.example.com".to_owned(),
        client_id: "futuswarm".to_owned(),
        scopes: vec!["email".to_owned()],
        user_claim: "email".to_owned(),
        groups_claim: Some("groups".to_owned()),
        inactivity_minutes: 60,
        longest_minutes: 480,
        contact: "it@example.com".to_owned(),
    }
}

#[test]
fn what_a_login_adds_and_changes() {
    let run = with_login();
    let spec = &run.cluster.spec;
    run.note_id(components::SECURITY_BALANCER, "sg-balancer");
    run.note_id(components::TARGET_GROUP, "arn:edge");
    run.note_id(components::LOGIN_TARGET_GROUP, "arn:login");
    let mut text = String::new();
    text += &lines(&login_object::LoginObject::of(spec), &run);
    text += &lines(&login_rule::LoginRule { desired: true }, &run);
    text += &lines(&SecurityGroup::Nodes, &run);
    text += &lines(&target_group::TargetGroup::Login { desired: true }, &run);
    text += &lines(&listener::Listener::http(true), &run);
    text += &lines(&listener::Listener::https(vec!["certificate".to_owned()], true), &run);
    for group in group::Group::all(spec) {
        text += &lines(&group, &run);
    }
    insta::assert_snapshot!("with_login", text);
}

#[test]
fn listeners_lead_to_the_login_and_open_apps_past_it() {
    let action = |run: &Run, listener: &listener::Listener| {
        run.note_id(components::TARGET_GROUP, "arn:edge");
        run.note_id(components::LOGIN_TARGET_GROUP, "arn:login");
        let fields = listener.desired(run).unwrap();
        let get = |field| fields.get(&field).map(str::to_owned);
        (get(Field::Action).unwrap(), get(Field::OpenRule))
    };
    let https = |login| listener::Listener::https(vec!["certificate".to_owned()], login);
    let rule = "*.open.localhost open.localhost forward to arn:edge".to_owned();
    let to = |target: &str| format!("forward to {target}");
    let run = with_login();
    assert_eq!(action(&run, &https(true)), (to("arn:login"), Some(rule.clone())));
    assert_eq!(action(&run, &listener::Listener::http(true)), (to("arn:login"), Some(rule)));
    let redirected = Cluster::of(|spec| {
        spec.open_domain = Some("open.localhost".to_owned());
        spec.load_balancer.http = futuswarm_spec::PlainHttp::Redirect;
    });
    let redirected = Run::of(redirected, PLAN);
    let redirect = ("redirect to HTTPS on port 443".to_owned(), None);
    assert_eq!(action(&redirected, &listener::Listener::http(true)), redirect);
    // Without an open domain nothing has to be led past it, and without a login nothing is led to it.
    let without = Run::of(Cluster::of(|spec| spec.login = Some(some_login())), PLAN);
    assert_eq!(action(&without, &https(true)), (to("arn:login"), None));
    assert_eq!(action(&redirected, &https(false)), (to("arn:edge"), None));
}

/// What is made for a login is there before anything leads to it, and what was made for one goes in the opposite order.
#[test]
fn a_login_comes_and_goes_in_an_order_that_leads_nobody_to_nothing() {
    let depends = |run: &Run, component: &str| {
        let steps = common(run);
        let step = steps.iter().find(|step| step.component() == component).unwrap();
        (step.is_desired(), step.depends_on())
    };
    let run = with_login();
    for (component, before) in [
        ("https", "login-target-group"),
        ("http", "login-target-group"),
        ("node-workers", "login-target-group"),
        ("login-target-group", "login"),
        ("login-target-group", "security-login"),
        ("login", "bucket"),
        ("security-login", "security-nodes"),
    ] {
        let (desired, depends_on) = depends(&run, component);
        assert!(desired && depends_on.contains(&before.to_owned()), "{component}: {depends_on:?}");
    }
    let without = Run::of(Cluster::local(), PLAN);
    for component in ["login-target-group", "login", "security-login"] {
        assert!(!depends(&without, component).0, "{component}");
    }
    for component in ["https", "http", "node-workers"] {
        let (_, depends_on) = depends(&without, component);
        assert!(!depends_on.iter().any(|one| one.contains("login")), "{component}: {depends_on:?}");
    }
}

/// What cannot be changed is compared, too: a field that is not would never be refused.
#[test]
fn immutable_fields_are_among_the_desired_ones() {
    fn check<R: Resource<Run>>(resource: &R, run: &Run, expected: &[Field]) {
        assert_eq!(resource.immutable(), expected, "{}", resource.kind());
        let desired = resource.desired(run).unwrap();
        for field in expected {
            assert!(desired.get(field).is_some(), "{}: {field:?}", resource.kind());
        }
    }
    let run = example();
    let spec = &run.cluster.spec;
    check(&vpc::Vpc, &run, &[Field::Cidr]);
    for subnet in subnet::Subnet::all(spec) {
        check(&subnet, &run, &[Field::Cidr, Field::Zone, Field::Vpc]);
    }
    check(&SecurityGroup::Nodes, &run, &[Field::Vpc]);
    for group in [target_group::TargetGroup::Edge, target_group::TargetGroup::Login { desired: true }] {
        check(&group, &run, &[Field::Vpc, Field::Port]);
    }
    check(&load_balancer::LoadBalancer(Vec::new()), &run, &[Field::Scheme]);
    check(&classic::ClassicBalancer { subnets: Vec::new(), certificate: "certificate" }, &run, &[Field::Scheme]);
    let run = Run::of(Cluster::of(|spec| spec.rds = Some(some_database())), PLAN);
    check(&rds::Rds(run.cluster.spec.rds.clone()), &run, &[Field::Encrypted]);
}

fn some_database() -> futuswarm_spec::Rds {
    futuswarm_spec::Rds {
        instance_class: "db.t4g.micro".to_owned(),
        storage_gib: 20,
        engine_version: "17".to_owned(),
        multi_az: false,
        backup_days: 7,
        deletion_protection: true,
    }
}

/// What differs between what is desired and what is there, as a plan says it.
fn differs<R: Resource<Run>>(resource: &R, run: &Run, observed: &R::Observed) -> Vec<String> {
    let differences = resource.desired(run).unwrap().differences(&resource.current(run, observed));
    differences.for_people().iter().map(ToString::to_string).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_vpc_and_a_subnet_as_they_should_be_differ_in_nothing() {
    let run = Run::local();
    let tags = |component: &str| run.cluster.ec2_tag_list(component);
    let on = Tag::builder().key("futuswarm:dns-hostnames").value("on").build();
    let network = run.cluster.spec.network.cidr.to_string();
    let vpc = Vpc::builder().vpc_id("vpc-1").cidr_block(&network).set_tags(Some([tags("vpc"), vec![on]].concat()));
    assert_eq!(differs(&vpc::Vpc, &run, &vpc.clone().build()), none());
    let theirs = Tag::builder().key("theirs").value("stays").build();
    assert_eq!(
        differs(&vpc::Vpc, &run, &vpc.set_tags(Some(vec![theirs])).build()),
        [
            "futuswarm:dns-hostnames: on is missing",
            "tag Name: futuswarm-local-vpc is missing",
            "tag futuswarm:cluster: local is missing",
            "tag futuswarm:part: vpc is missing"
        ]
    );

    run.note_id("vpc", "vpc-1");
    let all = subnet::Subnet::all(&run.cluster.spec);
    let (zone, cidr) = run.cluster.spec.public_subnets().remove(0);
    let observed = ObservedSubnet::builder().subnet_id("subnet-1").vpc_id("vpc-1").availability_zone(&zone);
    let observed = observed.cidr_block(cidr.to_string()).set_tags(Some(tags(&format!("public-{zone}"))));
    assert_eq!(differs(&all[0], &run, &observed.clone().map_public_ip_on_launch(true).build()), none());
    assert_eq!(differs(&all[0], &run, &observed.build()), ["public addresses: false → true"]);
}

#[test]
fn a_security_group_is_compared_rule_by_rule() {
    let run = Run::local();
    for (component, id) in [("vpc", "vpc-1"), ("security-nodes", "sg-1"), ("security-rds", "sg-2")] {
        run.note_id(component, id);
    }
    let from_nodes = aws_sdk_ec2::types::UserIdGroupPair::builder().group_id("sg-1").build();
    let database = IpPermission::builder().ip_protocol("tcp").from_port(5432).to_port(5432);
    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let out = IpPermission::builder().ip_protocol("-1").ip_ranges(everywhere.clone()).build();
    let tags = run.cluster.ec2_tag_list("security-rds");
    let group =
        ObservedGroup::builder().group_id("sg-2").vpc_id("vpc-1").set_tags(Some(tags)).ip_permissions_egress(out);
    let good = group.clone().ip_permissions(database.clone().user_id_group_pairs(from_nodes).build()).build();
    assert_eq!(differs(&SecurityGroup::Database, &run, &good), none());
    let open = group.ip_permissions(database.ip_ranges(everywhere).build()).build();
    let open = differs(&SecurityGroup::Database, &run, &open);
    assert_eq!(open.len(), 2);
    assert_eq!(open[0], "ingress tcp 5432 from sg-1: allowed is missing");
    assert!(open[1].starts_with("ingress tcp 5432 from 0.0.0.0/0: allowed "), "{open:?}");
}

#[test]
fn the_logins_rule_is_none_of_the_nodes_groups_business_and_a_wider_one_is() {
    let run = Run::local();
    for (component, id) in [("vpc", "vpc-1"), ("security-nodes", "sg-1"), ("security-load-balancer", "sg-2")] {
        run.note_id(component, id);
    }
    let port = IpPermission::builder().ip_protocol("tcp").from_port(81).to_port(81);
    let balancer = aws_sdk_ec2::types::UserIdGroupPair::builder().group_id("sg-2").build();
    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let group = ObservedGroup::builder().group_id("sg-1").vpc_id("vpc-1");
    let of = |permission: IpPermission| {
        let differs = differs(&SecurityGroup::Nodes, &run, &group.clone().ip_permissions(permission).build());
        differs.into_iter().filter(|line| line.contains("tcp 81")).collect::<Vec<_>>()
    };
    assert_eq!(of(port.clone().user_id_group_pairs(balancer).build()), none());
    assert_eq!(of(port.ip_ranges(everywhere).build()), ["ingress tcp 81 from 0.0.0.0/0: allowed will be removed"]);
}

#[test]
fn a_target_group_differs_in_its_check_and_port() {
    let run = Run::local();
    run.note_id("vpc", "vpc-1");
    let observed = ObservedTargets::builder().vpc_id("vpc-1").port(80).health_check_path("/status");
    let observed = observed.health_check_interval_seconds(10).health_check_timeout_seconds(5);
    let observed = observed.healthy_threshold_count(2).unhealthy_threshold_count(2);
    let observed = observed.matcher(Matcher::builder().http_code("200").build());
    let good = observed.clone().build();
    assert_eq!(differs(&target_group::TargetGroup::Edge, &run, &good), none());
    assert_eq!(
        differs(&target_group::TargetGroup::Edge, &run, &observed.health_check_path("/").port(8080).build()),
        [
            "health check: / every 10 s within 5 s answers 200, 2 up 2 down → /status every 10 s within 5 s answers 200, 2 up 2 down",
            "port: 8080 → 80"
        ]
    );
    // Its tags are not described with it: a fingerprint says whether they may be another spec's.
    let stale = Run::local().with_stale_tags(true);
    stale.note_id("vpc", "vpc-1");
    assert_eq!(differs(&target_group::TargetGroup::Edge, &stale, &good), ["spec's tags: those of another spec → set"]);
}

#[test]
fn a_role_has_its_one_policy_and_no_other() {
    let run = Run::local();
    run.note_id("cluster-key", "arn:aws:kms:eu-west-1:1:key/cluster");
    run.note_id("manager-key", "arn:aws:kms:eu-west-1:1:key/managers");
    let worker = role::Role(Role::Worker);
    let desired = worker.desired(&run).unwrap();
    let document = |field: Field| desired.get(&field).unwrap().replace('%', "%25");
    let policy = |name: &str| {
        PolicyDetail::builder().policy_name(name).policy_document(document(Field::Policy("node".to_owned()))).build()
    };
    let tags = tags::iam(&run.cluster, "worker-role").unwrap();
    let observed = RoleDetail::builder().assume_role_policy_document(document(Field::Trust)).set_tags(Some(tags));
    let observed = observed.role_policy_list(policy("node"));
    assert_eq!(differs(&worker, &run, &observed.clone().build()), none());
    let two = differs(&worker, &run, &observed.role_policy_list(policy("extra")).build());
    assert_eq!(two.len(), 1);
    assert!(two[0].starts_with("policy extra: {"), "{two:?}");
}

#[test]
fn a_database_may_be_larger_than_desired_and_not_smaller() {
    let run = Run::of(Cluster::of(|spec| spec.rds = Some(some_database())), PLAN);
    run.note_id("security-rds", "sg-2");
    let database = rds::Rds(run.cluster.spec.rds.clone());
    let group = VpcSecurityGroupMembership::builder().vpc_security_group_id("sg-2").build();
    let tags = tags::rds(&run.cluster, "rds");
    let observed = DbInstance::builder().db_instance_status("backing-up").db_instance_class("db.t4g.micro");
    let observed = observed.storage_type("gp3").engine("postgres").engine_version("17.4").multi_az(false);
    let observed = observed.backup_retention_period(7).deletion_protection(true).storage_encrypted(true);
    let observed = observed.publicly_accessible(false).vpc_security_groups(group).set_tag_list(Some(tags));
    assert_eq!(differs(&database, &run, &observed.clone().allocated_storage(20).build()), none());
    assert_eq!(differs(&database, &run, &observed.clone().allocated_storage(100).build()), none());
    let small = observed.allocated_storage(10).engine_version("16.1").build();
    assert_eq!(
        differs(&database, &run, &small),
        ["engine: postgres 16 → postgres 17", "storage: 10 GiB gp3 → at least 20 GiB gp3"]
    );
}
