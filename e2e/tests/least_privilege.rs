//! What each role may do and may not, tried with the credentials that a node of the role really gets.

use futuswarm_testkit::Account;
use serde_json::{Value, json};

const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";
/// KMS knows the key and refuses the context.
const WRONG_CONTEXT: &str = "InvalidCiphertextException";
/// The caller may read versions, and there is no such one.
const NO_SUCH_VERSION: &str = "NoSuchVersion";
/// The path leads nowhere in the local cloud.
const NOWHERE: &str = "LocalCloudFailure";
/// The caller names a key that it may use, and the text was sealed with another.
const WRONG_KEY: &str = "IncorrectKeyException";

const BUCKET: &str = "futuswarm-local-api-123456789012-eu-west-1";
const CLUSTER_KEY: &str = "alias/futuswarm/local-api/cluster";
const MANAGER_KEY: &str = "alias/futuswarm/local-api/managers";
const DATABASE: &str = "futuswarm-local-api-db";

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

fn version(operation: &str, key: &str, worker: &'static str, manager: &'static str) -> Row {
    row("s3", operation, json!({ "Bucket": BUCKET, "Key": key, "VersionId": "none" }), worker, manager)
}

fn delete(key: &str, worker: &'static str, manager: &'static str) -> Row {
    row("s3", "delete_object", json!({ "Bucket": BUCKET, "Key": key }), worker, manager)
}

/// Requests that the emulator and the local cloud's front could read in two ways: what is decided on must be what is done.
fn ambiguous_requests(open: &Value) -> Vec<Row> {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let raw = |service: &str, request: Value, outcome: &'static str| row(service, "raw", request, outcome, outcome);
    let public = "AWSCognitoIdentityService.GetId";
    let run = "Action=RunInstances&Version=2016-11-15&ImageId=ami-12345678&MinCount=1&MaxCount=1";
    let json = |target: &str| json!({ "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target });
    let ciphertext = open["CiphertextBlob"]["base64"].as_str().unwrap();
    let decrypt = json!({ "CiphertextBlob": ciphertext, "EncryptionContext": open["EncryptionContext"] }).to_string();
    let path = format!("/{BUCKET}/cluster/spec");
    vec![
        // The emulator lets everybody call some operations of Cognito, and takes the operation itself from elsewhere.
        raw("ec2", json!({ "headers": { "Content-Type": form, "X-Amz-Target": public }, "body": run }), DENIED),
        raw(
            "s3",
            json!({ "method": "GET", "path": "/somebody-elses/secret", "headers": { "X-Amz-Target": public } }),
            DENIED,
        ),
        raw("secretsmanager", json!({ "path": "/?Action=ListSecrets", "headers": json(public), "body": "{}" }), DENIED),
        // It prefers an operation in the query, and has switches of its own.
        raw("kms", json!({ "headers": json("TrentService.Decrypt"), "body": decrypt }), ALLOWED),
        raw(
            "kms",
            json!({ "path": "/?Action=ListKeys", "headers": json("TrentService.Decrypt"), "body": decrypt }),
            DENIED,
        ),
        raw("ec2", json!({ "path": "/moto-api/reset-auth", "body": "inf" }), NOWHERE),
        raw("ec2", json!({ "path": "//moto-api/reset-auth", "body": "inf" }), NOWHERE),
        raw("ec2", json!({ "path": "/%6doto-api/reset-auth", "body": "inf" }), NOWHERE),
        // It looks for the bucket in the host's name first; there is no such key in that bucket.
        raw(
            "s3",
            json!({ "method": "GET", "path": path, "headers": { "Host": "somebody-elses.example.org" } }),
            ALLOWED,
        ),
        // It reads any XML.
        raw(
            "s3",
            json!({ "path": format!("/{BUCKET}?delete="), "body": "<Delete><Object ><Key>apps/shop/config</Key></Object><Object><Key>cluster/nothing</Key></Object></Delete>" }),
            DENIED,
        ),
    ]
}

fn table(own: &str, sealed: &Value) -> Vec<Row> {
    let context =
        json!({ "futuswarm:cluster": "local-api", "futuswarm:kind": "join-token", "futuswarm:name": "worker" });
    let with = |key: &str, value: &str| {
        let mut context = context.clone();
        context[format!("futuswarm:{key}")] = value.into();
        context
    };
    let of_login =
        |name: &str| json!({ "futuswarm:cluster": "local-api", "futuswarm:kind": "login", "futuswarm:name": name });
    let open = |which: &str, context: Value| json!({ "CiphertextBlob": { "base64": sealed[which] }, "EncryptionContext": context });
    let seal = |key: &str, context: &Value| json!({ "KeyId": key, "Plaintext": "x", "EncryptionContext": context });
    let data_key =
        |key: &str, context: &Value| json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context });
    let mut mixed_up = open("managers", context.clone());
    mixed_up["KeyId"] = CLUSTER_KEY.into();
    let mut again = open("cluster", context.clone());
    again["SourceEncryptionContext"] = std::mem::take(&mut again["EncryptionContext"]);
    again.as_object_mut().unwrap().remove("EncryptionContext");
    again["DestinationKeyId"] = MANAGER_KEY.into();
    let image = json!({ "ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1 });
    let mut rows = vec![
        get("cluster/spec", ALLOWED, ALLOWED),
        get("cluster/tokens/worker", ALLOWED, ALLOWED),
        get("cluster/tokens/manager", DENIED, ALLOWED),
        get("cluster/login", ALLOWED, ALLOWED),
        get("cluster/login/provider", ALLOWED, ALLOWED),
        get("cluster/login/client-secret", ALLOWED, ALLOWED),
        get("cluster/login/passphrases", ALLOWED, ALLOWED),
        get("cluster/login/locked", ALLOWED, ALLOWED),
        get("cluster/login/other", DENIED, ALLOWED),
        put("cluster/login", DENIED, ALLOWED),
        put("cluster/login/client-secret", DENIED, ALLOWED),
        put("cluster/login/passphrases", DENIED, ALLOWED),
        put("cluster/login/locked", DENIED, ALLOWED),
        delete("cluster/login/locked", DENIED, ALLOWED),
        put("cluster/nodes/{userid}", ALLOWED, ALLOWED),
        put("cluster/nodes/AROAANOTHERROLE000000:i-0123456789abcdef0", DENIED, ALLOWED),
        put("cluster/nodes/{userid}0", DENIED, ALLOWED),
        get("cluster/nodes/AROAANOTHERROLE000000:i-0123456789abcdef0", DENIED, ALLOWED),
        delete("cluster/nodes/{userid}", DENIED, ALLOWED),
        delete("cluster/nodes/AROAANOTHERROLE000000:i-0123456789abcdef0", DENIED, ALLOWED),
        put("cluster/tokens/worker", DENIED, ALLOWED),
        put("cluster/genesis", DENIED, ALLOWED),
        put("cluster/managers/i-me", DENIED, ALLOWED),
        put("cluster/spec-of-another", DENIED, ALLOWED),
        put("apps/shop/config", DENIED, ALLOWED),
        get("apps/shop/config", DENIED, ALLOWED),
        version("get_object", "apps/shop/config", DENIED, NO_SUCH_VERSION),
        version("delete_object", "apps/shop/config", DENIED, DENIED),
        row("s3", "list_object_versions", json!({ "Bucket": BUCKET, "Prefix": "apps/shop/config" }), DENIED, ALLOWED),
        put("users/jane", DENIED, ALLOWED),
        put("tokens/e3b0c442", DENIED, ALLOWED),
        delete("tokens/e3b0c442", DENIED, ALLOWED),
        put("audit/2026-11-30/1-x", DENIED, ALLOWED),
        get("audit/2026-11-30/1-x", DENIED, ALLOWED),
        delete("audit/2026-11-30/1-x", DENIED, DENIED),
        get("registry/blob", ALLOWED, ALLOWED),
        put("registry/another", DENIED, ALLOWED),
        delete("registry/another", DENIED, ALLOWED),
        get("cli/0.1.0/program", ALLOWED, ALLOWED),
        put("cli/current", DENIED, DENIED),
        delete("cli/current", DENIED, DENIED),
        row("s3", "list_multipart_uploads", json!({ "Bucket": BUCKET }), DENIED, ALLOWED),
        delete("cluster/nothing", DENIED, ALLOWED),
        delete("apps/shop/config", DENIED, ALLOWED),
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
        row("kms", "decrypt", open("login", of_login("client-secret")), ALLOWED, ALLOWED),
        row("kms", "decrypt", open("login", of_login("passphrase")), WRONG_CONTEXT, WRONG_CONTEXT),
        row("kms", "decrypt", open("login", of_login("other")), DENIED, WRONG_CONTEXT),
        row("kms", "decrypt", open("cluster", of_login("client-secret")), WRONG_CONTEXT, WRONG_CONTEXT),
        row("kms", "encrypt", seal(CLUSTER_KEY, &of_login("client-secret")), DENIED, ALLOWED),
        row("kms", "decrypt", mixed_up, WRONG_KEY, WRONG_KEY),
        row("kms", "encrypt", seal(CLUSTER_KEY, &context), DENIED, ALLOWED),
        row("kms", "encrypt", seal(MANAGER_KEY, &context), DENIED, ALLOWED),
        row("kms", "encrypt", seal(CLUSTER_KEY, &with("cluster", "another")), DENIED, DENIED),
        row("kms", "generate_data_key", json!({ "KeyId": CLUSTER_KEY, "KeySpec": "AES_256" }), DENIED, DENIED),
        row("kms", "generate_data_key", data_key(CLUSTER_KEY, &context), DENIED, DENIED),
        row("kms", "generate_data_key", data_key(MANAGER_KEY, &context), DENIED, ALLOWED),
        row("kms", "generate_data_key", data_key(MANAGER_KEY, &with("cluster", "another")), DENIED, DENIED),
        row("kms", "re_encrypt", again, DENIED, DENIED),
        row(
            "kms",
            "create_grant",
            json!({ "KeyId": CLUSTER_KEY, "GranteePrincipal": "arn:aws:iam::123456789012:root", "Operations": ["Decrypt"] }),
            DENIED,
            DENIED,
        ),
        row("kms", "schedule_key_deletion", json!({ "KeyId": CLUSTER_KEY }), DENIED, DENIED),
        row("ec2", "describe_instances", json!({}), DENIED, ALLOWED),
        // Without parameters each, so those that a node could hurt with most are tried with some, too.
        row("ec2", "every write", json!({}), DENIED, DENIED),
        row("ec2", "run_instances", image, DENIED, DENIED),
        row("ec2", "terminate_instances", json!({ "InstanceIds": [own] }), DENIED, DENIED),
        row("secretsmanager", "get_secret_value", json!({ "SecretId": "anything" }), DENIED, DENIED),
        row("secretsmanager", "list_secrets", json!({}), DENIED, DENIED),
        row("secretsmanager", "get_secret_value", json!({ "SecretId": sealed["our_secret"] }), DENIED, ALLOWED),
        row("secretsmanager", "get_secret_value", json!({ "SecretId": sealed["their_secret"] }), DENIED, DENIED),
        row("secretsmanager", "describe_secret", json!({ "SecretId": sealed["our_secret"] }), DENIED, DENIED),
        row("rds", "describe_db_instances", json!({ "DBInstanceIdentifier": DATABASE }), DENIED, ALLOWED),
        row("rds", "describe_db_instances", json!({ "DBInstanceIdentifier": "elsewhere" }), DENIED, DENIED),
        row("rds", "describe_db_instances", json!({}), DENIED, DENIED),
        row("rds", "reboot_db_instance", json!({ "DBInstanceIdentifier": DATABASE }), DENIED, DENIED),
        put("backup/shop/1/2-x.dump", DENIED, ALLOWED),
        get("backup/shop/1/2-x.dump", DENIED, ALLOWED),
        delete("backup/shop/1/2-x.dump", DENIED, DENIED),
        row("iam", "list_roles", json!({}), DENIED, DENIED),
        row(
            "iam",
            "put_role_policy",
            json!({ "RoleName": "futuswarm-local-api-eu-west-1-worker", "PolicyName": "more", "PolicyDocument": "{}" }),
            DENIED,
            DENIED,
        ),
        row(
            "sts",
            "assume_role",
            json!({ "RoleArn": "arn:aws:iam::123456789012:role/futuswarm-local-api-eu-west-1-manager", "RoleSessionName": "me" }),
            DENIED,
            DENIED,
        ),
        row(
            "autoscaling",
            "set_desired_capacity",
            json!({ "AutoScalingGroupName": "futuswarm-local-api-eu-west-1-workers", "DesiredCapacity": 9 }),
            DENIED,
            DENIED,
        ),
    ];
    rows.extend(names(sealed["zone"].as_str().unwrap()));
    rows.extend(ambiguous_requests(&open("cluster", context)));
    rows
}

/// Managers keep the record of their own name, and no other.
fn names(zone: &str) -> Vec<Row> {
    let change = |action: &str, names: &[&str], kind: &str, value: &str| {
        let change = |name: &&str| {
            json!({
                "Action": action,
                "ResourceRecordSet": { "Name": name, "Type": kind, "TTL": 30, "ResourceRecords": [{ "Value": value }] }
            })
        };
        let changes = Value::from_iter(names.iter().map(change));
        json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": changes } })
    };
    let records = |arguments: Value, manager| row("route53", "change_resource_record_sets", arguments, DENIED, manager);
    let (own, address) = ("ssh.apps.localhost", "203.0.113.1");
    vec![
        row("route53", "list_hosted_zones", json!({}), DENIED, ALLOWED),
        row("route53", "list_resource_record_sets", json!({ "HostedZoneId": zone }), DENIED, ALLOWED),
        records(change("UPSERT", &[own], "A", address), ALLOWED),
        records(change("UPSERT", &["SSH.apps.localhost."], "A", address), ALLOWED),
        records(change("DELETE", &[own], "A", address), DENIED),
        records(change("UPSERT", &[own], "TXT", "\"x\""), DENIED),
        records(change("UPSERT", &["apps.localhost"], "A", address), DENIED),
        records(change("UPSERT", &["*.apps.localhost"], "A", address), DENIED),
        records(change("UPSERT", &[own, "other.apps.localhost"], "A", address), DENIED),
        row("route53", "get_hosted_zone", json!({ "Id": zone }), DENIED, DENIED),
        row("route53", "delete_hosted_zone", json!({ "Id": zone }), DENIED, DENIED),
    ]
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_node_may_do_what_its_role_needs_and_nothing_else() {
    let account = Account::start("local-api");
    account.must_provision(&["apply", "--image", "empty", "--yes", "--no-wait"]);
    let prepared = account.python("e2e/prepare_least_privilege.py", &[BUCKET, CLUSTER_KEY, MANAGER_KEY]);
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
