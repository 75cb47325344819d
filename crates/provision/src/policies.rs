//! IAM policies of the nodes: default deny, and each role's own prefixes and keys.
//!
//! Trust domains are separated by resource (S3 prefixes, one KMS key per role), never by conditions alone.

use futuswarm_model::{LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LOGIN_PASSPHRASE_NAME, keys, ssh_host};
use futuswarm_spec::{ImportSource, Role};
use serde_json::{Value, json};

use crate::names::Names;

/// Who may assume the nodes' roles: EC2, nobody else.
pub(crate) fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }]
    })
}

/// What of the spec decides on rights, beside names and keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grants<'a> {
    /// Services live below it, and the managers have a name there.
    pub(crate) domain: &'a str,
    /// What of the old tool managers may read.
    pub(crate) import: Option<&'a ImportSource>,
}

/// What a node of a role may do. Keys are named by ARN: an alias is not a resource that KMS checks.
///
/// Trust domains are separated by resource first; the encryption context is a second fence, so that one cluster's or one
/// kind's ciphertext opens nothing elsewhere.
pub(crate) fn node(
    names: &Names,
    role: Role,
    cluster_key_arn: &str,
    manager_key_arn: &str,
    grants: Grants<'_>,
) -> Value {
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
    let context = |pairs: &[(&str, Value)]| {
        let pairs = pairs.iter().map(|(key, value)| (format!("kms:EncryptionContext:futuswarm:{key}"), value.clone()));
        json!({ "StringEquals": Value::Object(pairs.collect()) })
    };
    let cluster = || ("cluster", json!(names.cluster));
    // What docker-registry's driver needs of S3
    // (<https://distribution.github.io/distribution/storage-drivers/s3/>); nodes pull from their own one.
    let images = |actions: &[&str]| json!({ "Sid": "Images", "Effect": "Allow", "Action": actions, "Resource": under(keys::REGISTRY) });
    // Nobody on a node writes it: a manager that is taken over must not hand its own program to people.
    let command_line =
        json!({ "Sid": "CommandLine", "Effect": "Allow", "Action": "s3:GetObject", "Resource": under(keys::CLI) });
    let database = names.arn("rds", &format!("db:{}", names.database()));
    let mut statements = match role {
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
                "Sid": "BackupsOfDatabases",
                "Effect": "Allow",
                // Without DeleteObject: they go by their age.
                "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                "Resource": under(keys::BACKUPS)
            },
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
                "Condition": context(&[cluster()])
            },
            // Documents of apps are opened with Decrypt, above.
            {
                "Sid": "SealedDocuments",
                "Effect": "Allow",
                "Action": "kms:GenerateDataKey",
                "Resource": manager_key_arn,
                "Condition": context(&[cluster()])
            },
            command_line,
            through_s3,
            { "Sid": "SeeInstances", "Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*" },
            { "Sid": "SeeTheDatabase", "Effect": "Allow", "Action": "rds:DescribeDBInstances", "Resource": database },
            // RDS names the secret of a master user by chance, and tags it with what it is of. It is sealed with the key of Secrets Manager
            // itself, which needs no right of its own.
            {
                "Sid": "MasterUserOfTheDatabase",
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": names.arn("secretsmanager", "secret:rds!db-*"),
                "Condition": { "StringEquals": { "aws:ResourceTag/aws:rds:primaryDBInstanceArn": database } }
            }
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
                    object(keys::ROUTES),
                    object(keys::ADMISSIONS),
                    // Also of a cluster without a login: S3 would deny what is not there, and an edge could not tell that there is none.
                    object(keys::LOGIN),
                    object(keys::LOGIN_PROVIDER),
                    object(keys::LOGIN_CLIENT_SECRET),
                    object(keys::LOGIN_PASSPHRASES),
                    object(keys::LOGIN_LOCKED)
                ]
            },
            {
                "Sid": "OwnHeartbeat",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": object(&format!("{}${{aws:userid}}", keys::NODES))
            },
            images(&["s3:GetObject"]),
            command_line,
            list,
            {
                "Sid": "OwnToken",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": cluster_key_arn,
                "Condition": context(&[cluster(), ("kind", json!("join-token")), ("name", json!("worker"))])
            },
            // Every node's edge has a login in front of it, which opens what another one has sealed.
            {
                "Sid": "Login",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": cluster_key_arn,
                "Condition": context(&[
                    cluster(),
                    ("kind", json!(LOGIN_KIND)),
                    ("name", json!([LOGIN_CLIENT_SECRET_NAME, LOGIN_PASSPHRASE_NAME]))
                ])
            },
            through_s3
        ]),
    };
    if let (Role::Manager, Some(all)) = (role, statements.as_array_mut()) {
        all.extend(ssh_name(names, grants.domain));
        all.extend(grants.import.into_iter().flat_map(|source| old_tool(names, source)));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// What keeping the managers' own name takes: no other name can be changed, and this one not removed. Which zone serves it is not asked
/// here, since none but one that serves the domain can have a record of the name.
fn ssh_name(names: &Names, domain: &str) -> [Value; 3] {
    const KEY: &str = "route53:ChangeResourceRecordSets";
    let zones = format!("arn:{}:route53:::hostedzone/*", names.partition());
    let (name, kind, action) =
        (format!("{KEY}NormalizedRecordNames"), format!("{KEY}RecordTypes"), format!("{KEY}Actions"));
    [
        json!({ "Sid": "SeeZones", "Effect": "Allow", "Action": "route53:ListHostedZones", "Resource": "*" }),
        json!({ "Sid": "SeeNames", "Effect": "Allow", "Action": "route53:ListResourceRecordSets", "Resource": zones }),
        json!({
            "Sid": "OwnName",
            "Effect": "Allow",
            "Action": "route53:ChangeResourceRecordSets",
            "Resource": zones,
            "Condition": {
                "ForAllValues:StringEquals": {
                    (&name): [ssh_host(domain)],
                    (kind): ["A"],
                    (action): ["UPSERT"]
                },
                // For all values of none would hold.
                "Null": { (&name): "false" }
            }
        }),
    ]
}

/// What reading the old tool's objects takes: one bucket and one key, and nothing that was sealed under an encryption context, as
/// everything of ours is.
fn old_tool(names: &Names, source: &ImportSource) -> [Value; 3] {
    let bucket = format!("arn:{}:s3:::{}", names.partition(), source.bucket);
    [
        json!({ "Sid": "SeeOldObjects", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket }),
        json!({ "Sid": "OldObjects", "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("{bucket}/*") }),
        json!({
            "Sid": "OldDataKeys",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": source.key,
            "Condition": { "Null": { "kms:EncryptionContextKeys": "true" } }
        }),
    ]
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
            let import = ImportSource {
                bucket: "com.futuswarm.app.secrets".to_owned(),
                key: "arn:aws:kms:eu-west-1:123456789012:key/old".to_owned(),
            };
            let policy = node(
                &names(),
                role,
                "arn:aws:kms:eu-west-1:123456789012:key/cluster",
                "arn:aws:kms:eu-west-1:123456789012:key/managers",
                Grants { domain: "apps.example.com", import: Some(&import) },
            );
            insta::assert_snapshot!(role.to_string(), text(&policy));
        }
    }
}
