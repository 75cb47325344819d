//! IAM policies of the nodes: default deny, and each role's own prefixes and keys.
//!
//! Trust domains are separated by resource (S3 prefixes, one KMS key per role), never by conditions alone.

use futuswarm_model::keys;
use futuswarm_spec::Role;
use serde_json::{Value, json};

use crate::names::Names;

/// Who may assume the nodes' roles: EC2, nobody else.
pub(crate) fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }]
    })
}

/// What a node of a role may do. Keys are named by ARN: an alias is not a resource that KMS checks.
///
/// Trust domains are separated by resource first; the encryption context is a second fence, so that one cluster's or one
/// kind's ciphertext opens nothing elsewhere.
pub(crate) fn node(names: &Names, role: Role, cluster_key_arn: &str, manager_key_arn: &str) -> Value {
    let bucket = format!("arn:{}:s3:::{}", names.partition(), names.bucket());
    let object = |key: &str| format!("{bucket}/{key}");
    let under = |prefix: &str| object(&format!("{prefix}*"));
    // Without it S3 answers that a missing object is forbidden, and a node could not tell "not yet" from "never".
    let list = json!({ "Sid": "TellMissingObjects", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket });
    // S3 seals objects in the caller's name, under a context of its own.
    let through_s3 = json!({
        "Sid": "SealedObjects",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": cluster_key_arn,
        "Condition": {
            "StringEquals": { "kms:ViaService": format!("s3.{}.amazonaws.com", names.region) },
            "StringLike": { "kms:EncryptionContext:aws:s3:arn": format!("{bucket}*") }
        }
    });
    let context = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| (format!("kms:EncryptionContext:futuswarm:{key}"), json!(value)));
        json!({ "StringEquals": Value::Object(pairs.collect()) })
    };
    // What docker-registry's driver needs of S3
    // (<https://distribution.github.io/distribution/storage-drivers/s3/>); nodes pull from their own one.
    let images = |actions: &[&str]| json!({ "Sid": "Images", "Effect": "Allow", "Action": actions, "Resource": under(keys::REGISTRY) });
    let statements = match role {
        Role::Manager => json!([
            {
                "Sid": "ClusterState",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": under("cluster/")
            },
            {
                "Sid": "AppsUsersAndTokens",
                "Effect": "Allow",
                // Without DeleteObjectVersion: what a manager deletes or overwrites can be brought back.
                "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"],
                "Resource": [under(keys::APPS), under(keys::USERS), under(keys::TOKENS)]
            },
            {
                "Sid": "Audit",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": under(keys::AUDIT)
            },
            images(&[
                "s3:GetObject",
                "s3:PutObject",
                // The driver names an ACL with each object, which takes this, although the bucket takes none but its owner's.
                "s3:PutObjectAcl",
                "s3:DeleteObject",
                "s3:ListMultipartUploadParts",
                "s3:AbortMultipartUpload"
            ]),
            {
                "Sid": "SeeObjectsVersionsAndUploads",
                "Effect": "Allow",
                "Action": [
                    "s3:ListBucket",
                    "s3:ListBucketVersions",
                    "s3:GetBucketLocation",
                    "s3:ListBucketMultipartUploads"
                ],
                "Resource": bucket
            },
            {
                "Sid": "Secrets",
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:Encrypt"],
                "Resource": [cluster_key_arn, manager_key_arn],
                "Condition": context(&[("cluster", &names.cluster)])
            },
            // Documents of apps are opened with Decrypt, above.
            {
                "Sid": "SealedDocuments",
                "Effect": "Allow",
                "Action": "kms:GenerateDataKey",
                "Resource": manager_key_arn,
                "Condition": context(&[("cluster", &names.cluster)])
            },
            through_s3,
            { "Sid": "SeeInstances", "Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*" }
        ]),
        Role::Worker => json!([
            {
                "Sid": "ReadClusterState",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": [
                    object(keys::SPEC),
                    object(keys::GENESIS),
                    object(&keys::token(Role::Worker)),
                    under(keys::MANAGERS),
                    object(keys::ROUTES)
                ]
            },
            {
                "Sid": "OwnHeartbeat",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": object(&format!("{}${{aws:userid}}", keys::NODES))
            },
            images(&["s3:GetObject"]),
            list,
            {
                "Sid": "OwnToken",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": cluster_key_arn,
                "Condition": context(&[("cluster", &names.cluster), ("kind", "join-token"), ("name", "worker")])
            },
            through_s3
        ]),
    };
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The bucket's own policy: nothing over plain HTTP.
pub(crate) fn bucket(names: &Names) -> Value {
    let bucket = format!("arn:{}:s3:::{}", names.partition(), names.bucket());
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "OnlyEncryptedTransport",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, format!("{bucket}/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } }
        }]
    })
}

#[cfg(test)]
mod decisions;

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { cluster: "prod".to_owned(), account: "123456789012".to_owned(), region: "eu-west-1".to_owned() }
    }

    #[test]
    fn the_policies() {
        let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        insta::assert_snapshot!("trust", text(&trust()));
        insta::assert_snapshot!("bucket", text(&bucket(&names())));
        for role in [Role::Manager, Role::Worker] {
            let policy = node(
                &names(),
                role,
                "arn:aws:kms:eu-west-1:123456789012:key/cluster",
                "arn:aws:kms:eu-west-1:123456789012:key/managers",
            );
            insta::assert_snapshot!(role.to_string(), text(&policy));
        }
    }
}
