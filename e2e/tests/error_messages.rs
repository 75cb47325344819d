//! An AWS that refuses, fails or lags: every message says what was asked, for which resource, where, under which request id, and
//! what to do; and what was made is carried on with.

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];
const FOREVER: u32 = 1_000_000;

fn refused(service: &str, action: &str, code: &str, count: u32) -> Value {
    json!({
        "fault": { "kind": "refused", "code": code },
        "agent": "under-test",
        "service": service,
        "action": action,
        "count": count,
    })
}

/// A refusal in AWS's own words, of the program under test only.
fn refused_saying(id: &str, service: &str, action: &str, code: &str, message: &str, status: u16, count: u32) -> Value {
    json!({
        "id": id,
        "fault": { "kind": "refused", "code": code, "message": message, "status": status },
        "agent": "under-test",
        "service": service,
        "action": action,
        "count": count,
    })
}

/// That each of several faults has hit as often as it should.
fn assert_all_hit(account: &Account, faults: &[Value]) {
    let progress = account.progress();
    let hits = progress.faults.iter().map(|one| (one.id.as_str(), one.counts.hit.into()));
    let expected = faults.iter().map(|one| (one["id"].as_str().unwrap(), one["count"].as_u64().unwrap()));
    assert_eq!(hits.collect::<Vec<(&str, u64)>>(), expected.collect::<Vec<_>>(), "{progress:?}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_refusal_says_what_where_and_what_to_do_and_the_next_run_carries_on() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    for (service, action, code, resource, advice) in [
        // First: keys that wait for their end are taken back, not made.
        (
            "kms",
            "CreateKey",
            "LimitExceededException",
            "KMS key alias/futuswarm/local-provision/cluster",
            "the account's quota is used up",
        ),
        ("ec2", "CreateVpc", "VpcLimitExceeded", "VPC futuswarm-local-provision-vpc", "the account's quota is used up"),
        (
            "elasticloadbalancing",
            "CreateLoadBalancer",
            "TooManyLoadBalancers",
            "load balancer fsw-local-provision",
            "the account's quota is used up",
        ),
        (
            "elasticloadbalancing",
            "CreateLoadBalancer",
            "OperationNotPermitted",
            "load balancer fsw-local-provision",
            "AWS has not released load balancers for this account yet",
        ),
        (
            "iam",
            "CreateRole",
            "AccessDenied",
            "IAM role futuswarm-local-provision-eu-west-1-manager",
            "the credentials lack this permission",
        ),
        (
            "rds",
            "CreateDBInstance",
            "InstanceQuotaExceeded",
            "database futuswarm-local-provision-db",
            "the account's quota is used up",
        ),
    ] {
        account.faults(&refused(service, action, code, FOREVER));
        let output = account.provision(APPLY).output().unwrap();
        account.clear_faults();
        let (_, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for expected in [
            resource,
            " in eu-west-1: ",
            action,
            code,
            "local-cloud-fault",
            advice,
            "what was made so far stays; fix this and run the command again, it carries on",
        ] {
            assert!(stderr.contains(expected), "{action} {code}: {expected}: {stderr}");
        }
        account.must_provision(DESTROY);
        assert_eq!(account.inventory(), nothing, "after {action} {code}");
    }
    account.must_provision(APPLY);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    let whole = account.inventory();
    assert_eq!(whole["vpc"].as_array().unwrap().len(), 1, "nothing twice: {whole}");
    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), nothing);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn credentials_that_are_bad_end_a_run_before_anything_is_asked() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    account.faults(&refused("sts", "GetCallerIdentity", "ExpiredToken", FOREVER));
    let (_, stderr) = texts(&account.provision(APPLY).output().unwrap());
    assert_eq!(
        stderr,
        "applying the cluster local-provision in eu-west-1\nerror: GetCallerIdentity answered ExpiredToken: The request is refused. (request local-cloud-fault); get new credentials (`aws sso login`, or set AWS_PROFILE), and run the command again\n"
    );
    account.clear_faults();
    let other = account.provision_with(APPLY, &[("region =", "account = \"210987654321\"\nregion =")]);
    let (_, stderr) = texts(&other);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr.contains("belongs to the account 210987654321, and these credentials are of 123456789012"),
        "{stderr}"
    );
    let mut without = account.provision(APPLY);
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        without.env_remove(variable);
    }
    let without = without.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
    let (_, stderr) = texts(&without);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr.contains("no AWS credentials were found") && stderr.contains("set AWS_PROFILE"), "{stderr}");
    assert_eq!(account.inventory(), nothing);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_service_that_fails_for_good_stops_only_what_hangs_on_it() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let internal = json!({
        "fault": { "kind": "internal" },
        "agent": "under-test",
        "action": "CreateDBSubnetGroup",
        "count": FOREVER,
    });
    account.faults(&internal);
    let output = account.provision(APPLY).output().unwrap();
    let hits = account.progress().all.hit;
    account.clear_faults();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for expected in [
        "database subnet group futuswarm-local-provision-db in eu-west-1: CreateDBSubnetGroup answered InternalError",
        "local-cloud-fault",
        "AWS did not answer well: run the command again",
        "not tried because of that: rds",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!((2..40).contains(&hits), "tried again, but not forever: {hits}");
    let inventory = account.inventory();
    assert!(inventory["load balancer"].is_array(), "what does not need the database is there: {inventory}");

    // A destroy that meets the same says what is left, and the next one finishes.
    account.must_provision(APPLY);
    account.faults(&refused("elasticloadbalancing", "DeleteLoadBalancer", "OperationNotPermitted", FOREVER));
    let output = account.provision(DESTROY).output().unwrap();
    account.clear_faults();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for expected in
        ["load balancer fsw-local-provision in eu-west-1: DeleteLoadBalancer", "not tried because of that: ", "vpc"]
    {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(account.inventory()["group"].is_null(), "what does not hang on it is gone");
    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), nothing);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_is_not_visible_yet_and_what_is_throttled_is_waited_for() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let refusal = |action: &str, code: &str, service: &str, message: &str, status: u16, count: u32| {
        refused_saying(&format!("{action} {code}"), service, action, code, message, status, count)
    };
    let vpc = "The vpc ID 'vpc-0a1b2c3d4e5f60718' does not exist";
    let contention = "You already have a pending update to an Auto Scaling resource (for example, a group, instance, or load balancer).";
    // Of answers with status 500 more than the SDK's own five attempts.
    let early = [
        refusal("CreateSubnet", "InvalidVpcID.NotFound", "ec2", vpc, 400, 3),
        refusal("CreateTags", "InvalidVpcID.NotFound", "ec2", vpc, 400, 3),
        refusal(
            "AttachInternetGateway",
            "InvalidInternetGatewayID.NotFound",
            "ec2",
            "The internetGateway ID 'igw-0a1b2c3d4e5f60718' does not exist",
            400,
            3,
        ),
        refusal("CreateAutoScalingGroup", "Throttling", "autoscaling", "Rate exceeded", 400, 3),
        refusal(
            "CreateAutoScalingGroup",
            "ValidationError",
            "autoscaling",
            "Provided Target Groups may not be valid. Please ensure they exist and try again.",
            400,
            3,
        ),
        refusal(
            "CreateAutoScalingGroup",
            "ServiceLinkedRoleFailure",
            "autoscaling",
            "The service-linked role is not yet ready for use.",
            500,
            12,
        ),
        refusal("PutLifecycleHook", "ResourceContention", "autoscaling", contention, 500, 12),
        refusal("SuspendProcesses", "ResourceContention", "autoscaling", contention, 500, 7),
        refusal(
            "AddRoleToInstanceProfile",
            "NoSuchEntity",
            "iam",
            "The role with name futuswarm-local-provision-eu-west-1-manager cannot be found.",
            404,
            3,
        ),
        refusal("EnableKeyRotation", "NotFoundException", "kms", "Key 'arn:aws:kms:…' does not exist", 400, 3),
        refusal(
            "CreateListener",
            "LoadBalancerNotFound",
            "elasticloadbalancing",
            "One or more load balancers not found",
            400,
            3,
        ),
        refusal(
            "CreateListener",
            "CertificateNotFound",
            "elasticloadbalancing",
            "Certificate 'arn:aws:acm:eu-west-1:123456789012:certificate/1' not found",
            400,
            3,
        ),
        refusal("CreateDBInstance", "DBSubnetGroupNotFoundFault", "rds", "DBSubnetGroup not found", 404, 3),
        refusal("DescribeCertificate", "ResourceNotFoundException", "acm", "Could not find certificate", 400, 3),
    ];
    account.faults(&Value::from(early.to_vec()));
    account.must_provision(APPLY);
    assert_all_hit(&account, &early);
    account.clear_faults();
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    let held = [
        refusal("DeleteSecurityGroup", "DependencyViolation", "ec2", "resource sg-1 has a dependent object", 400, 3),
        refusal(
            "DeleteAutoScalingGroup",
            "ScalingActivityInProgress",
            "autoscaling",
            "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            400,
            3,
        ),
        refusal("SetInstanceProtection", "ResourceContention", "autoscaling", contention, 500, 7),
        refusal("DeleteCertificate", "ResourceInUseException", "acm", "Certificate is in use.", 400, 3),
        refusal("DeleteRole", "DeleteConflict", "iam", "Cannot delete entity, must delete policies first.", 409, 3),
        refusal(
            "DeleteInstanceProfile",
            "DeleteConflict",
            "iam",
            "Cannot delete entity, must remove roles from instance profile first.",
            409,
            3,
        ),
    ];
    account.faults(&Value::from(held.to_vec()));
    account.must_provision(DESTROY);
    assert_all_hit(&account, &held);
    account.clear_faults();
    assert_eq!(account.inventory(), nothing);

    // The policy is deleted, the answer is lost, and the SDK's next attempt hears that there is no such policy: the role is not
    // gone by that.
    account.must_provision(APPLY);
    account.faults(&json!({
        "fault": { "kind": "lost" }, "agent": "under-test", "service": "iam", "action": "DeleteRolePolicy", "count": 1,
    }));
    account.must_provision(DESTROY);
    assert_eq!(account.progress().all.hit, 1);
    account.clear_faults();
    assert_eq!(account.inventory(), nothing, "the roles, too");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn why_auto_scaling_starts_no_instances_is_said_within_seconds() {
    const DEAD: &str = "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InternalError: Client error on launch";
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    // Without their tags the instances are nobody's: to the program it is as if none had ever been started.
    let described = account.call(&json!([["ec2", null, "describe_instances", {}]])).remove(0);
    let reservations = described["Reservations"].as_array().unwrap().iter();
    let instances = reservations.flat_map(|one| one["Instances"].as_array().unwrap());
    let instances: Vec<&Value> = instances.map(|one| &one["InstanceId"]).collect();
    assert_eq!(instances.len(), 3);
    let untag = json!({ "Resources": instances, "Tags": [{ "Key": "futuswarm:cluster" }] });
    let untagged = account.call(&json!([["ec2", null, "delete_tags", untag]])).remove(0);
    assert!(untagged["error"].is_null(), "{untagged}");

    let wait = ["apply", "--image", "empty", "--yes", "--deadline", "14"];
    let silent = account.provision(&wait).output().unwrap();
    let (_, stderr) = texts(&silent);
    assert!(stderr.contains("0 of 3 nodes are ready, and no others were started"), "{stderr}");
    // What is in progress comes first, and the end of the dead instance goes well.
    account.faults(&json!({
        "fault": { "kind": "activities", "activities": [
            { "status": "PreInService" },
            { "status": "Successful", "description": "Terminating EC2 instance: i-0123456789abcdef0", "started_seconds_ago": 5 },
            { "status": "Cancelled", "message": DEAD, "started_seconds_ago": 9, "group": "futuswarm-local-provision-managers" },
            { "status": "Failed", "message": "an older one", "started_seconds_ago": 90 },
        ]},
        "agent": "under-test",
        "count": FOREVER,
    }));
    let output = account.provision(&wait).output().unwrap();
    let asked = account.progress().all.hit;
    account.clear_faults();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let reason = format!("Auto Scaling started no instance for the group managers: {DEAD} (Cancelled, ");
    let first = stderr.lines().find(|line| line.contains(&reason)).unwrap_or_else(|| panic!("{stderr}"));
    let seconds: u64 = first.trim_start().split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{stderr}"));
    assert!(seconds <= 6, "the reason comes within seconds: {stderr}");
    let error = stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("is not ready after 14 s: 0 of 3 nodes are ready; ") && error.contains(&reason), "{stderr}");
    assert!((2..=8).contains(&asked), "asked every few seconds: {asked}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_region_that_is_not_enabled_is_told_from_credentials_that_are_bad() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let message = "The security token included in the request is invalid.";
    let mut fault = refused_saying("sts", "sts", "GetCallerIdentity", "InvalidClientTokenId", message, 403, FOREVER);
    fault["region"] = json!("eu-west-1");
    account.faults(&fault);
    let output = account.provision(APPLY).output().unwrap();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for expected in [
        "the region eu-west-1 is not enabled for the account 123456789012",
        "GetCallerIdentity answered InvalidClientTokenId: The security token included in the request is invalid.",
        "`aws account enable-region --region-name eu-west-1`",
        "nothing was changed",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(!stderr.contains("aws sso login"), "{stderr}");
    fault["region"] = Value::Null;
    account.faults(&fault);
    let output = account.provision(APPLY).output().unwrap();
    account.clear_faults();
    let (_, stderr) = texts(&output);
    assert!(stderr.contains("get new credentials (`aws sso login`") && !stderr.contains("is not enabled"), "{stderr}");
    assert_eq!(account.inventory(), nothing);
}
