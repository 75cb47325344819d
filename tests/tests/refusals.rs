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
        account.calm();
        let (_, talk) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{talk}");
        for expected in [
            resource,
            " in eu-west-1: ",
            action,
            code,
            "local-cloud-fault",
            advice,
            "what was made so far stays; mend this and run the command again, it carries on",
        ] {
            assert!(talk.contains(expected), "{action} {code}: {expected}: {talk}");
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
    let (_, talk) = texts(&account.provision(APPLY).output().unwrap());
    assert!(talk.contains("GetCallerIdentity") && talk.contains("get new credentials (`aws sso login`"), "{talk}");
    assert!(talk.contains("nothing was changed") || !talk.contains("what was made"), "{talk}");
    account.calm();
    let other = account.provision_with(APPLY, &[("region =", "account = \"210987654321\"\nregion =")]);
    let (_, talk) = texts(&other);
    assert_eq!(other.status.code(), Some(1));
    assert!(talk.contains("belongs to the account 210987654321, and these credentials are of 123456789012"), "{talk}");
    let mut without = account.provision(APPLY);
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        without.env_remove(variable);
    }
    let without = without.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
    let (_, talk) = texts(&without);
    assert_eq!(without.status.code(), Some(1));
    assert!(talk.contains("no AWS credentials were found") && talk.contains("set AWS_PROFILE"), "{talk}");
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
    let hits = account.progress()["hit"].as_u64().unwrap();
    account.calm();
    let (_, talk) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    for expected in [
        "database subnet group futuswarm-local-provision-db in eu-west-1: CreateDBSubnetGroup answered InternalError",
        "local-cloud-fault",
        "AWS did not answer well: run the command again",
        "not tried because of that: rds",
    ] {
        assert!(talk.contains(expected), "{expected}: {talk}");
    }
    assert!((2..40).contains(&hits), "tried again, but not forever: {hits}");
    let inventory = account.inventory();
    assert!(inventory["load balancer"].is_array(), "what does not need the database is there: {inventory}");

    // A destroy that meets the same says what is left, and the next one finishes.
    account.must_provision(APPLY);
    account.faults(&refused("elasticloadbalancing", "DeleteLoadBalancer", "OperationNotPermitted", FOREVER));
    let output = account.provision(DESTROY).output().unwrap();
    account.calm();
    let (_, talk) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    for expected in
        ["load balancer fsw-local-provision in eu-west-1: DeleteLoadBalancer", "not tried because of that: ", "vpc"]
    {
        assert!(talk.contains(expected), "{expected}: {talk}");
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
    for (service, action, code) in [
        ("ec2", "CreateSubnet", "InvalidVpcID.NotFound"),
        ("ec2", "AttachInternetGateway", "InvalidInternetGatewayID.NotFound"),
        ("autoscaling", "CreateAutoScalingGroup", "Throttling"),
        ("iam", "AddRoleToInstanceProfile", "NoSuchEntity"),
        ("kms", "EnableKeyRotation", "NotFoundException"),
        ("elasticloadbalancing", "CreateListener", "LoadBalancerNotFound"),
        ("rds", "CreateDBInstance", "DBSubnetGroupNotFoundFault"),
        ("acm", "DescribeCertificate", "ResourceNotFoundException"),
    ] {
        account.faults(&refused(service, action, code, 3));
        account.must_provision(APPLY);
        assert_eq!(account.progress()["hit"], 3, "{action} was refused three times");
        account.calm();
        assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0), "{action}");
        account.must_provision(DESTROY);
        assert_eq!(account.inventory(), nothing, "{action}");
    }
    for (service, action, code) in [
        ("ec2", "DeleteSecurityGroup", "DependencyViolation"),
        ("autoscaling", "DeleteAutoScalingGroup", "ScalingActivityInProgress"),
        ("acm", "DeleteCertificate", "ResourceInUseException"),
    ] {
        account.must_provision(APPLY);
        account.faults(&refused(service, action, code, 3));
        account.must_provision(DESTROY);
        assert_eq!(account.progress()["hit"], 3, "{action} was refused three times");
        account.calm();
        assert_eq!(account.inventory(), nothing, "{action}");
    }
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_the_region_does_not_have_is_said_before_anything_is_made() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let cases = [
        ("t3.small", "t9.small", "the instance type t9.small does not exist in eu-west-1"),
        (
            "\"eu-west-1c\"",
            "\"eu-west-1f\"",
            "the zone eu-west-1f is not one that this account can use in eu-west-1: it has",
        ),
    ];
    let refused = |before: &Value| {
        for (from, to, expected) in cases {
            for words in [APPLY, PLAN] {
                let output = account.provision_with(words, &[(from, to)]);
                let (_, talk) = texts(&output);
                assert_eq!(output.status.code(), Some(1), "{talk}");
                assert!(talk.contains(expected) && talk.contains("nothing was changed"), "{talk}");
                assert_eq!(account.inventory(), *before, "{to}");
            }
        }
    };
    refused(&nothing);
    account.must_provision(APPLY);
    refused(&account.inventory());
    // Wrong usage is no plan with changes.
    let usage = account.provision(&["apply", "--plan", "--bogus"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(1), "{:?}", texts(&usage));
}
