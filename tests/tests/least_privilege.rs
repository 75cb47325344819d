//! What each role may do and may not, tried with the credentials that a node of the role really gets.

use futuswarm_testkit::Account;
use serde_json::{Value, json};

const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";
/// KMS knows the key and refuses the context.
const WRONG_CONTEXT: &str = "InvalidCiphertextException";
/// The caller names a key that it may use, and the text was sealed with another.
const WRONG_KEY: &str = "IncorrectKeyException";

const BUCKET: &str = "futuswarm-local-api-123456789012-eu-west-1";
const CLUSTER_KEY: &str = "alias/futuswarm-local-api";
const MANAGER_KEY: &str = "alias/futuswarm-local-api-managers";

/// One call and its outcome for a worker and for a manager.
struct Row {
    call: Value,
    worker: &'static str,
    manager: &'static str,
}

fn row(service: &str, operation: &str, arguments: Value, worker: &'static str, manager: &'static str) -> Row {
    Row { call: json!([service, operation, arguments]), worker, manager }
}

fn get(key: &str, worker: &'static str, manager: &'static str) -> Row {
    row("s3", "get_object", json!({ "Bucket": BUCKET, "Key": key }), worker, manager)
}

fn put(key: &str, worker: &'static str, manager: &'static str) -> Row {
    row("s3", "put_object", json!({ "Bucket": BUCKET, "Key": key, "Body": "{}" }), worker, manager)
}

fn table(own: &str, sealed: &Value) -> Vec<Row> {
    let context =
        json!({ "futuswarm:cluster": "local-api", "futuswarm:kind": "join-token", "futuswarm:name": "worker" });
    let with = |key: &str, value: &str| {
        let mut context = context.clone();
        context[format!("futuswarm:{key}")] = value.into();
        context
    };
    let open = |which: &str, context: Value| json!({ "CiphertextBlob": { "base64": sealed[which] }, "EncryptionContext": context });
    let seal = |key: &str, context: &Value| json!({ "KeyId": key, "Plaintext": "x", "EncryptionContext": context });
    let mut mixed_up = open("managers", context.clone());
    mixed_up["KeyId"] = CLUSTER_KEY.into();
    let image = json!({ "ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1 });
    vec![
        get("cluster/spec", ALLOWED, ALLOWED),
        get("cluster/tokens/worker", ALLOWED, ALLOWED),
        get("cluster/tokens/manager", DENIED, ALLOWED),
        put("cluster/nodes/{userid}", ALLOWED, ALLOWED),
        put("cluster/nodes/AROAANOTHERROLE000000:i-0123456789abcdef0", DENIED, ALLOWED),
        put("cluster/nodes/{userid}0", DENIED, ALLOWED),
        get("cluster/nodes/AROAANOTHERROLE000000:i-0123456789abcdef0", DENIED, ALLOWED),
        put("cluster/tokens/worker", DENIED, ALLOWED),
        put("cluster/genesis", DENIED, ALLOWED),
        put("cluster/managers/i-me", DENIED, ALLOWED),
        put("cluster/spec-of-another", DENIED, ALLOWED),
        put("apps/shop/config", DENIED, DENIED),
        get("apps/shop/config", DENIED, DENIED),
        row("s3", "delete_object", json!({ "Bucket": BUCKET, "Key": "cluster/nothing" }), DENIED, ALLOWED),
        row("s3", "list_objects_v2", json!({ "Bucket": BUCKET }), ALLOWED, ALLOWED),
        row("s3", "list_objects_v2", json!({ "Bucket": "somebody-elses" }), DENIED, DENIED),
        row("s3", "get_object", json!({ "Bucket": "somebody-elses", "Key": "secret" }), DENIED, DENIED),
        row(
            "s3",
            "put_bucket_versioning",
            json!({ "Bucket": BUCKET, "VersioningConfiguration": { "Status": "Suspended" } }),
            DENIED,
            DENIED,
        ),
        row("s3", "delete_bucket", json!({ "Bucket": BUCKET }), DENIED, DENIED),
        row("kms", "decrypt", open("cluster", context.clone()), ALLOWED, ALLOWED),
        row("kms", "decrypt", open("managers", context.clone()), DENIED, ALLOWED),
        // IAM refuses another cluster's context before KMS compares it with the ciphertext's.
        row("kms", "decrypt", open("cluster", with("cluster", "another")), DENIED, DENIED),
        row("kms", "decrypt", open("cluster", json!({})), DENIED, DENIED),
        row("kms", "decrypt", open("cluster", with("kind", "config")), DENIED, WRONG_CONTEXT),
        row("kms", "decrypt", open("cluster", with("name", "manager")), DENIED, WRONG_CONTEXT),
        row("kms", "decrypt", mixed_up, WRONG_KEY, WRONG_KEY),
        row("kms", "encrypt", seal(CLUSTER_KEY, &context), DENIED, ALLOWED),
        row("kms", "encrypt", seal(MANAGER_KEY, &context), DENIED, ALLOWED),
        row("kms", "encrypt", seal(CLUSTER_KEY, &with("cluster", "another")), DENIED, DENIED),
        row("kms", "generate_data_key", json!({ "KeyId": CLUSTER_KEY, "KeySpec": "AES_256" }), DENIED, DENIED),
        row("kms", "schedule_key_deletion", json!({ "KeyId": CLUSTER_KEY }), DENIED, DENIED),
        row("ec2", "describe_instances", json!({}), DENIED, ALLOWED),
        row("ec2", "run_instances", image, DENIED, DENIED),
        row("ec2", "terminate_instances", json!({ "InstanceIds": [own] }), DENIED, DENIED),
        row(
            "ec2",
            "create_tags",
            json!({ "Resources": [own], "Tags": [{ "Key": "a", "Value": "b" }] }),
            DENIED,
            DENIED,
        ),
        row("ec2", "modify_instance_attribute", json!({ "InstanceId": own, "Groups": ["sg-1"] }), DENIED, DENIED),
        row("ec2", "authorize_security_group_ingress", json!({ "GroupId": "sg-1" }), DENIED, DENIED),
        row(
            "ec2",
            "attach_volume",
            json!({ "Device": "/dev/sdf", "InstanceId": own, "VolumeId": "vol-1" }),
            DENIED,
            DENIED,
        ),
        row("ec2", "delete_volume", json!({ "VolumeId": "vol-1" }), DENIED, DENIED),
        row("iam", "list_roles", json!({}), DENIED, DENIED),
        row(
            "iam",
            "put_role_policy",
            json!({ "RoleName": "futuswarm-local-api-worker", "PolicyName": "more", "PolicyDocument": "{}" }),
            DENIED,
            DENIED,
        ),
        row(
            "sts",
            "assume_role",
            json!({ "RoleArn": "arn:aws:iam::123456789012:role/futuswarm-local-api-manager", "RoleSessionName": "me" }),
            DENIED,
            DENIED,
        ),
        row(
            "autoscaling",
            "set_desired_capacity",
            json!({ "AutoScalingGroupName": "futuswarm-local-api-workers", "DesiredCapacity": 9 }),
            DENIED,
            DENIED,
        ),
    ]
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_node_may_do_what_its_role_needs_and_nothing_else() {
    let account = Account::start("local-api");
    account.must_provision(&["apply", "--image", "empty", "--yes", "--no-wait"]);
    let prepared = account.python("tests/prepare_least_privilege.py", &[BUCKET, CLUSTER_KEY, MANAGER_KEY]);
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    let sealed: Value = serde_json::from_slice(&prepared.stdout).unwrap();

    let status = account.status();
    for role in ["worker", "manager"] {
        let nodes = status["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["role"] == role).unwrap();
        let rows = table(node["instance"].as_str().unwrap(), &sealed);
        let calls = Value::from_iter(rows.iter().map(|row| row.call.clone()));
        let outcomes = account.as_node(node["address"].as_str().unwrap(), &calls);
        let wrong: Vec<String> = rows
            .iter()
            .zip(outcomes.as_array().unwrap())
            .map(|(row, found)| (row, if role == "worker" { row.worker } else { row.manager }, found))
            .filter(|(_, wanted, found)| wanted != found)
            .map(|(row, wanted, found)| format!("{}: {found} instead of {wanted}", row.call))
            .collect();
        assert!(wrong.is_empty(), "a {role}:\n{}", wrong.join("\n"));
    }
}
