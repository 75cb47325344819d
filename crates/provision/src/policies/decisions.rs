//! What the policies allow, as the evaluator of the local cloud understands them.

use futuswarm_iam::{Context, Decision, Request, decide};
use futuswarm_model::keys;
use futuswarm_spec::Role;

use crate::names::Names;
use crate::policies;

const CLUSTER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/cluster";
const MANAGER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/managers";
const ME: &str = "AROAEXAMPLE:i-0123456789abcdef0";

fn names() -> Names {
    Names { cluster: "prod".to_owned(), account: "123456789012".to_owned(), region: "eu-west-1".to_owned() }
}

fn object(key: &str) -> String {
    format!("arn:aws:s3:::{}/{key}", names().bucket())
}

fn ask(role: Role, action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
    let mut known = Context::default();
    known.set("aws:userid", ME);
    for (key, value) in context {
        known.set(key, *value);
    }
    let request = Request { action: action.to_owned(), resource: resource.to_owned(), context: known };
    decide(&[policies::node(&names(), role, CLUSTER_KEY, MANAGER_KEY)], &request)
}

/// Under the context that the agent seals with.
fn unseal(role: Role, key: &str, kind: &str, name: &str) -> Decision {
    let context = |key: &str| format!("kms:EncryptionContext:futuswarm:{key}");
    let (cluster, kind_key, name_key) = (context("cluster"), context("kind"), context("name"));
    ask(role, "kms:Decrypt", key, &[(&cluster, "prod"), (&kind_key, kind), (&name_key, name)])
}

#[test]
fn a_worker_reads_what_it_needs_to_join_and_writes_its_own_heartbeat() {
    let worker_token = keys::token(Role::Worker);
    let manager = format!("{}i-1", keys::MANAGERS);
    for key in [keys::SPEC, keys::GENESIS, &worker_token, &manager, keys::ROUTES] {
        assert_eq!(ask(Role::Worker, "s3:GetObject", &object(key), &[]), Decision::Allowed, "{key}");
        assert_eq!(ask(Role::Worker, "s3:PutObject", &object(key), &[]), Decision::NotAllowed, "{key}");
    }
    let own = object(&format!("{}{ME}", keys::NODES));
    assert_eq!(ask(Role::Worker, "s3:PutObject", &own, &[]), Decision::Allowed);
    assert_eq!(unseal(Role::Worker, CLUSTER_KEY, "join-token", "worker"), Decision::Allowed);
}

#[test]
fn a_worker_reaches_nothing_of_the_managers_and_nothing_of_other_nodes() {
    let manager_token = keys::token(Role::Manager);
    let other = format!("{}AROAEXAMPLE:i-0fedcba9876543210", keys::NODES);
    for key in [&manager_token, &other, &format!("{}{ME}/x", keys::NODES), "backup/db", "cluster/"] {
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            assert_eq!(ask(Role::Worker, action, &object(key), &[]), Decision::NotAllowed, "{action} {key}");
        }
    }
    assert_eq!(
        ask(Role::Worker, "s3:DeleteObject", &object(&format!("{}{ME}", keys::NODES)), &[]),
        Decision::NotAllowed
    );
    for (key, kind, name) in [
        (MANAGER_KEY, "join-token", "worker"),
        (MANAGER_KEY, "join-token", "manager"),
        (CLUSTER_KEY, "join-token", "manager"),
        (CLUSTER_KEY, "secret", "worker"),
    ] {
        assert_eq!(unseal(Role::Worker, key, kind, name), Decision::NotAllowed, "{key} {kind} {name}");
    }
    // With another cluster's context, with none, and by sealing instead of opening.
    let context = "kms:EncryptionContext:futuswarm:cluster";
    assert_eq!(ask(Role::Worker, "kms:Decrypt", CLUSTER_KEY, &[(context, "staging")]), Decision::NotAllowed);
    assert_eq!(ask(Role::Worker, "kms:Decrypt", CLUSTER_KEY, &[]), Decision::NotAllowed);
    assert_eq!(ask(Role::Worker, "kms:Encrypt", CLUSTER_KEY, &[(context, "prod")]), Decision::NotAllowed);
    for action in ["iam:PassRole", "ec2:RunInstances", "ec2:DescribeInstances", "sts:AssumeRole", "kms:CreateGrant"] {
        assert_eq!(ask(Role::Worker, action, "*", &[]), Decision::NotAllowed, "{action}");
    }
}

#[test]
fn a_manager_has_the_clusters_state_and_both_keys_under_the_clusters_context_only() {
    for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
        let token = keys::token(Role::Manager);
        assert_eq!(ask(Role::Manager, action, &object(&token), &[]), Decision::Allowed, "{action}");
        assert_eq!(ask(Role::Manager, action, &object("backup/db"), &[]), Decision::NotAllowed, "{action}");
        let other = "arn:aws:s3:::futuswarm-staging-123456789012-eu-west-1/cluster/spec";
        assert_eq!(ask(Role::Manager, action, other, &[]), Decision::NotAllowed, "{action}");
    }
    let context = "kms:EncryptionContext:futuswarm:cluster";
    for key in [CLUSTER_KEY, MANAGER_KEY] {
        assert_eq!(ask(Role::Manager, "kms:Decrypt", key, &[(context, "prod")]), Decision::Allowed, "{key}");
        assert_eq!(ask(Role::Manager, "kms:Decrypt", key, &[(context, "staging")]), Decision::NotAllowed, "{key}");
        assert_eq!(ask(Role::Manager, "kms:ScheduleKeyDeletion", key, &[(context, "prod")]), Decision::NotAllowed);
    }
}

#[test]
fn managers_alone_have_apps_users_and_tokens_and_nobody_ends_their_past() {
    for key in ["apps/hello/app", "apps/hello/secrets/staging", "users/jane", "tokens/e3b0c442"] {
        for action in ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"] {
            assert_eq!(ask(Role::Manager, action, &object(key), &[]), Decision::Allowed, "{action} {key}");
            assert_eq!(ask(Role::Worker, action, &object(key), &[]), Decision::NotAllowed, "{action} {key}");
        }
        for role in [Role::Manager, Role::Worker] {
            assert_eq!(ask(role, "s3:DeleteObjectVersion", &object(key), &[]), Decision::NotAllowed, "{role} {key}");
        }
    }
    let line = object("audit/2026-11-30/1796000000000-x");
    for (action, decision) in [
        ("s3:GetObject", Decision::Allowed),
        ("s3:PutObject", Decision::Allowed),
        ("s3:DeleteObject", Decision::NotAllowed),
        ("s3:DeleteObjectVersion", Decision::NotAllowed),
    ] {
        assert_eq!(ask(Role::Manager, action, &line, &[]), decision, "{action}");
        assert_eq!(ask(Role::Worker, action, &line, &[]), Decision::NotAllowed, "{action}");
    }
}

#[test]
fn sealed_documents_are_for_managers_under_their_clusters_context() {
    let of = |cluster: &'static str| {
        [
            ("kms:EncryptionContext:futuswarm:cluster", cluster),
            ("kms:EncryptionContext:futuswarm:app", "hello"),
            ("kms:EncryptionContext:futuswarm:environment", "default"),
            ("kms:EncryptionContext:futuswarm:kind", "secrets"),
        ]
    };
    for action in ["kms:GenerateDataKey", "kms:Decrypt"] {
        assert_eq!(ask(Role::Manager, action, MANAGER_KEY, &of("prod")), Decision::Allowed, "{action}");
        assert_eq!(ask(Role::Manager, action, MANAGER_KEY, &of("staging")), Decision::NotAllowed, "{action}");
        assert_eq!(ask(Role::Manager, action, MANAGER_KEY, &[]), Decision::NotAllowed, "{action}");
        assert_eq!(ask(Role::Worker, action, MANAGER_KEY, &of("prod")), Decision::NotAllowed, "{action}");
        assert_eq!(ask(Role::Worker, action, CLUSTER_KEY, &of("prod")), Decision::NotAllowed, "{action}");
    }
    assert_eq!(ask(Role::Manager, "kms:GenerateDataKey", CLUSTER_KEY, &of("prod")), Decision::NotAllowed);
}

#[test]
fn managers_push_images_and_every_node_pulls_them() {
    let blob = object("registry/docker/registry/v2/blobs/sha256/e3/e3b0c442/data");
    assert_eq!(ask(Role::Worker, "s3:GetObject", &blob, &[]), Decision::Allowed);
    for action in
        ["s3:PutObject", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload", "s3:GetObject"]
    {
        assert_eq!(ask(Role::Manager, action, &blob, &[]), Decision::Allowed, "{action}");
        let worker = ask(Role::Worker, action, &blob, &[]) == Decision::Allowed;
        assert_eq!(worker, action == "s3:GetObject", "{action}");
    }
    let bucket = format!("arn:aws:s3:::{}", names().bucket());
    for action in ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"] {
        assert_eq!(ask(Role::Manager, action, &bucket, &[]), Decision::Allowed, "{action}");
        let worker = ask(Role::Worker, action, &bucket, &[]) == Decision::Allowed;
        assert_eq!(worker, action == "s3:ListBucket", "{action}");
    }
}

#[test]
fn the_bucket_is_closed_to_whoever_comes_without_tls() {
    let policy = policies::bucket(&names());
    for (tls, expected) in [("false", true), ("true", false)] {
        let mut context = Context::default();
        context.set("aws:SecureTransport", tls);
        let request = Request { action: "s3:GetObject".to_owned(), resource: object(keys::SPEC), context };
        assert_eq!(futuswarm_iam::forbids(&policy, &request, &["arn:aws:iam::123456789012:root"]), expected, "{tls}");
    }
}
