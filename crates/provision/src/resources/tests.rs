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
    text += &lines(&target_group::TargetGroup, &run);
    text += &lines(&listener::Listener::Http, &run);
    text += &lines(&listener::Listener::Https(vec!["certificate".to_owned()]), &run);
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
    for run in [example(), Run::of(Cluster::local(), PLAN)] {
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
    check(&target_group::TargetGroup, &run, &[Field::Vpc, Field::Port]);
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
fn a_target_group_differs_in_its_check_and_port() {
    let run = Run::local();
    run.note_id("vpc", "vpc-1");
    let observed = ObservedTargets::builder().vpc_id("vpc-1").port(80).health_check_path("/status");
    let observed = observed.health_check_interval_seconds(10).health_check_timeout_seconds(5);
    let observed = observed.healthy_threshold_count(2).unhealthy_threshold_count(2);
    let observed = observed.matcher(Matcher::builder().http_code("200").build());
    let good = observed.clone().build();
    assert_eq!(differs(&target_group::TargetGroup, &run, &good), none());
    assert_eq!(
        differs(&target_group::TargetGroup, &run, &observed.health_check_path("/").port(8080).build()),
        [
            "health check: / every 10 s within 5 s answers 200, 2 up 2 down → /status every 10 s within 5 s answers 200, 2 up 2 down",
            "port: 8080 → 80"
        ]
    );
    // Its tags are not described with it: a fingerprint says whether they may be another spec's.
    let stale = Run::local().with_stale_tags(true);
    stale.note_id("vpc", "vpc-1");
    assert_eq!(differs(&target_group::TargetGroup, &stale, &good), ["spec's tags: those of another spec → set"]);
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
