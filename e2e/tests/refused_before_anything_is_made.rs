//! What can be known to fail is said before anything is made: zones, instance types, quotas, and a key that Auto Scaling may not use.

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
const FOREVER: u32 = 1_000_000;

fn refused(service: &str, action: &str, code: &str) -> Value {
    json!({
        "fault": { "kind": "refused", "code": code },
        "agent": "under-test",
        "service": service,
        "action": action,
        "count": FOREVER,
    })
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
        ("t3.small", "t2.small", "the instance type t2.small cannot boot with UEFI, as the image has to"),
        ("t3.small", "m5.metal", "the instance type m5.metal cannot boot with UEFI"),
        (
            "t3.small",
            "h1.2xlarge",
            "the zone eu-west-1b has no h1.2xlarge, of which the group managers starts its nodes",
        ),
        (
            "count = 2\ninstance_type = \"t3.small\"",
            "count = 100\ninstance_type = \"t3.xlarge\"",
            "the cluster needs 402, and 0 are there besides: ask for more with `aws service-quotas request-service-quota-increase --region eu-west-1 --service-code ec2 --quota-code L-1216C47A --desired-value 402`",
        ),
        (
            "count = 2\ninstance_type = \"t3.small\"",
            "count = 2\ninstance_type = \"g4dn.xlarge\"",
            "the account may have 0 vCPUs of running on-demand instances (G, VT) in eu-west-1; the cluster needs 8, and 0 are there besides",
        ),
    ];
    let refuses = |before: &Value| {
        for (from, to, expected) in cases {
            for words in [APPLY, PLAN] {
                let output = account.provision_with(words, &[(from, to)]);
                let (_, stderr) = texts(&output);
                assert_eq!(output.status.code(), Some(1), "{stderr}");
                assert!(stderr.contains(expected) && stderr.contains("nothing was changed"), "{stderr}");
                assert_eq!(account.inventory(), *before, "{to}");
            }
        }
    };
    refuses(&nothing);
    account.must_provision(APPLY);
    refuses(&account.inventory());
    // Wrong usage is no plan with changes.
    let usage = account.provision(&["apply", "--plan", "--bogus"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(1), "{:?}", texts(&usage));
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn quotas_are_asked_before_anything_is_made_and_who_may_not_ask_is_told() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    let many = [("count = 2\ninstance_type = \"t3.small\"", "count = 100\ninstance_type = \"t3.xlarge\"")];
    let plan = |spec: &[(&str, &str)]| {
        let output = account.provision_with(PLAN, spec);
        (output.status.code(), texts(&output).1)
    };
    // Nobody has ever changed it: AWS knows its default only.
    account.faults(&refused("servicequotas", "GetServiceQuota", "NoSuchResourceException"));
    let (code, stderr) = plan(&many);
    assert!(account.progress().all.hit > 0);
    account.clear_faults();
    assert!(
        code == Some(1) && stderr.contains("the account may have 256 vCPUs of running on-demand instances"),
        "{stderr}"
    );

    account.faults(&refused("servicequotas", "GetServiceQuota", "AccessDeniedException"));
    let (code, stderr) = plan(&many);
    account.clear_faults();
    assert_eq!(code, Some(2), "no reason to stop: {stderr}");
    assert!(
        stderr.contains("note: whether the account's quotas are large enough was not looked at (GetServiceQuota answered AccessDeniedException")
            && stderr.contains("servicequotas:GetServiceQuota"),
        "{stderr}"
    );

    let more = json!({ "ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "DesiredValue": 402.0 });
    let granted = account.call(&json!([["service-quotas", null, "request_service_quota_increase", more]])).remove(0);
    assert_eq!(granted["RequestedQuota"]["Status"], "APPROVED", "{granted}");
    let (code, stderr) = plan(&many);
    assert!(code == Some(2) && !stderr.contains("quota"), "{stderr}");

    // VPCs: the account's own takes one of five.
    let mut made = Vec::new();
    for number in 0..4 {
        let vpc = json!([["ec2", null, "create_vpc", { "CidrBlock": format!("172.2{number}.0.0/16") }]]);
        made.push(account.call(&vpc)[0]["Vpc"]["VpcId"].clone());
    }
    let (code, stderr) = plan(&[]);
    assert!(
        code == Some(1)
            && stderr
                .contains("the account may have 5 VPCs in eu-west-1; the cluster needs 1, and 5 are there besides"),
        "{stderr}"
    );
    for vpc in made {
        let deleted = account.call(&json!([["ec2", null, "delete_vpc", { "VpcId": vpc }]])).remove(0);
        assert!(deleted["error"].is_null(), "{deleted}");
    }
    assert_eq!(account.inventory(), nothing);
    account.must_provision(APPLY);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_default_key_that_auto_scaling_may_not_use_is_named_before_anything_is_made() {
    let account = Account::start("local-provision");
    let call = |service: &str, operation: &str, arguments: Value| {
        let outcome = account.call(&json!([[service, null, operation, arguments]])).remove(0);
        assert!(outcome["error"].is_null(), "{operation}: {outcome}");
        outcome
    };
    let made = call("kms", "create_key", json!({}))["KeyMetadata"].clone();
    let (key, id) = (made["Arn"].clone(), made["KeyId"].clone());
    call("ec2", "modify_ebs_default_kms_key_id", json!({ "KmsKeyId": key }));
    let before = account.inventory();
    let plan = || {
        let output = account.provision(PLAN).output().unwrap();
        (output.status.code(), texts(&output).1)
    };
    let role = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
    let arn = key.as_str().unwrap();
    let output = account.provision(APPLY).output().unwrap();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for expected in [
        "kms:CreateGrant, kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext is missing",
        &format!("`aws kms create-grant --region eu-west-1 --key-id {arn} --grantee-principal {role} --operations "),
        "nothing was changed",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert_eq!(account.inventory(), before, "nothing was made");

    account.faults(&refused("kms", "ListGrants", "AccessDeniedException"));
    let (code, stderr) = plan();
    account.clear_faults();
    assert!(code == Some(2) && stderr.contains("note: whether Auto Scaling may use the key"), "{stderr}");

    call("kms", "disable_key", json!({ "KeyId": id }));
    let (code, stderr) = plan();
    assert!(code == Some(1) && stderr.contains("is Disabled, so no volume can be made"), "{stderr}");
    call("kms", "enable_key", json!({ "KeyId": id }));
    let operations = [
        "Encrypt",
        "Decrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "DescribeKey",
        "CreateGrant",
    ];
    call("kms", "create_grant", json!({ "KeyId": key, "GranteePrincipal": role, "Operations": operations }));
    let (code, stderr) = plan();
    assert!(code == Some(2) && !stderr.contains("key that encrypts"), "{stderr}");
    account.must_provision(APPLY);
}
