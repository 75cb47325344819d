//! What the policies allow, as the evaluator of the local cloud understands them.

use futuswarm_iam::{Context, Decision, Request, decide};
use futuswarm_model::{LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LOGIN_PASSPHRASE_NAME, keys};
use futuswarm_spec::{ImportSource, Role};

use crate::names::Names;
use crate::policies::{self, Grants};

const CLUSTER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/cluster";
const MANAGER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/managers";
const OLD_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/old";
const GRANTS: Grants<'static> = Grants { domain: "apps.example.com", import: None };
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
    decide(&[policies::node(&names(), role, CLUSTER_KEY, MANAGER_KEY, GRANTS)], &request)
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
    for key in [keys::SPEC, keys::GENESIS, &worker_token, &manager, keys::ROUTES, keys::ADMISSIONS] {
        assert_eq!(ask(Role::Worker, "s3:GetObject", &object(key), &[]), Decision::Allowed, "{key}");
        assert_eq!(ask(Role::Worker, "s3:PutObject", &object(key), &[]), Decision::NotAllowed, "{key}");
    }
    let own = object(&format!("{}{ME}", keys::NODES));
    assert_eq!(ask(Role::Worker, "s3:PutObject", &own, &[]), Decision::Allowed);
    assert_eq!(unseal(Role::Worker, CLUSTER_KEY, "join-token", "worker"), Decision::Allowed);
}

#[test]
fn every_edge_opens_the_login_and_only_managers_write_it() {
    for key in
        [keys::LOGIN, keys::LOGIN_PROVIDER, keys::LOGIN_CLIENT_SECRET, keys::LOGIN_PASSPHRASES, keys::LOGIN_LOCKED]
    {
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            assert_eq!(ask(Role::Manager, action, &object(key), &[]), Decision::Allowed, "{action} {key}");
            let worker = ask(Role::Worker, action, &object(key), &[]) == Decision::Allowed;
            assert_eq!(worker, action == "s3:GetObject", "{action} {key}");
        }
    }
    let beside = object(&format!("{}/other", keys::LOGIN));
    assert_eq!(ask(Role::Worker, "s3:GetObject", &beside, &[]), Decision::NotAllowed);
    for role in [Role::Manager, Role::Worker] {
        for name in [LOGIN_CLIENT_SECRET_NAME, LOGIN_PASSPHRASE_NAME] {
            assert_eq!(unseal(role, CLUSTER_KEY, LOGIN_KIND, name), Decision::Allowed, "{role} {name}");
        }
    }
    for (key, kind, name) in [
        (CLUSTER_KEY, LOGIN_KIND, "worker"),
        (CLUSTER_KEY, LOGIN_KIND, "other"),
        (CLUSTER_KEY, "join-token", LOGIN_PASSPHRASE_NAME),
        (CLUSTER_KEY, "secret", LOGIN_CLIENT_SECRET_NAME),
        (MANAGER_KEY, LOGIN_KIND, LOGIN_CLIENT_SECRET_NAME),
        (MANAGER_KEY, LOGIN_KIND, LOGIN_PASSPHRASE_NAME),
    ] {
        assert_eq!(unseal(Role::Worker, key, kind, name), Decision::NotAllowed, "{key} {kind} {name}");
    }
    let context = |key: &str| format!("kms:EncryptionContext:futuswarm:{key}");
    let (cluster, kind, name) = (context("cluster"), context("kind"), context("name"));
    let of = |cluster_name: &'static str| {
        [(cluster.as_str(), cluster_name), (kind.as_str(), LOGIN_KIND), (name.as_str(), LOGIN_PASSPHRASE_NAME)]
    };
    assert_eq!(ask(Role::Worker, "kms:Decrypt", CLUSTER_KEY, &of("prod")), Decision::Allowed);
    assert_eq!(ask(Role::Worker, "kms:Decrypt", CLUSTER_KEY, &of("staging")), Decision::NotAllowed);
    assert_eq!(ask(Role::Worker, "kms:Encrypt", CLUSTER_KEY, &of("prod")), Decision::NotAllowed);
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
        assert_eq!(ask(Role::Manager, action, &object("elsewhere/db"), &[]), Decision::NotAllowed, "{action}");
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
fn managers_delete_images_that_nothing_needs_and_older_versions_stay() {
    let link = object("registry/docker/registry/v2/repositories/hello/_manifests/tags/1/current/link");
    let blob = object("registry/docker/registry/v2/blobs/sha256/e3/e3b0c442/data");
    let (collector, push) = (object(keys::COLLECTOR), object(&keys::push("hello")));
    let upload = object(&keys::upload("hello", "sha256:e3b0c442"));
    for key in [&link, &blob, &collector, &push, &upload] {
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            assert_eq!(ask(Role::Manager, action, key, &[]), Decision::Allowed, "{action} {key}");
            if action != "s3:GetObject" {
                assert_eq!(ask(Role::Worker, action, key, &[]), Decision::NotAllowed, "{action} {key}");
            }
        }
        for role in [Role::Manager, Role::Worker] {
            assert_eq!(ask(role, "s3:DeleteObjectVersion", key, &[]), Decision::NotAllowed, "{role} {key}");
        }
    }
    for key in [&collector, &push, &upload] {
        assert_eq!(ask(Role::Worker, "s3:GetObject", key, &[]), Decision::NotAllowed, "{key}");
    }
}

#[test]
fn managers_alone_take_backups_of_databases_and_nobody_deletes_one() {
    let backup = object("backup/hello/1796000000000/1796000000001-1f.dump");
    for action in
        ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    {
        let manager = ask(Role::Manager, action, &backup, &[]) == Decision::Allowed;
        assert_eq!(manager, !action.starts_with("s3:Delete"), "{action}");
        assert_eq!(ask(Role::Worker, action, &backup, &[]), Decision::NotAllowed, "{action}");
    }
}

#[test]
fn every_node_brings_the_command_line_and_none_replaces_it() {
    for role in [Role::Manager, Role::Worker] {
        for key in [keys::CLI_RELEASE, &keys::cli_program("0.1.0", &"0a".repeat(32))] {
            assert_eq!(ask(role, "s3:GetObject", &object(key), &[]), Decision::Allowed, "{role} {key}");
            for action in ["s3:PutObject", "s3:DeleteObject", "s3:PutObjectAcl", "s3:DeleteObjectVersion"] {
                assert_eq!(ask(role, action, &object(key), &[]), Decision::NotAllowed, "{role} {action} {key}");
            }
        }
    }
}

#[test]
fn managers_alone_read_the_password_of_their_own_database_and_no_other() {
    let tag = "aws:ResourceTag/aws:rds:primaryDBInstanceArn";
    let arn = |cluster: &str| format!("arn:aws:rds:eu-west-1:123456789012:db:futuswarm-{cluster}-db");
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0f1e-Ab12Cd";
    let (ours, theirs, read) = (arn("prod"), arn("staging"), "secretsmanager:GetSecretValue");
    for (role, action, resource, context, decision) in [
        (Role::Manager, "rds:DescribeDBInstances", ours.as_str(), &[][..], Decision::Allowed),
        (Role::Manager, "rds:DescribeDBInstances", &theirs, &[], Decision::NotAllowed),
        (Role::Manager, "rds:DescribeDBInstances", "*", &[], Decision::NotAllowed),
        (Role::Manager, "rds:ModifyDBInstance", &ours, &[], Decision::NotAllowed),
        (Role::Worker, "rds:DescribeDBInstances", &ours, &[], Decision::NotAllowed),
        (Role::Manager, read, secret, &[(tag, ours.as_str())], Decision::Allowed),
        (Role::Manager, read, secret, &[(tag, &theirs)], Decision::NotAllowed),
        (Role::Manager, read, secret, &[], Decision::NotAllowed),
        (Role::Manager, read, &secret.replace("rds!db-", "apps-"), &[(tag, &ours)], Decision::NotAllowed),
        (Role::Manager, "secretsmanager:PutSecretValue", secret, &[(tag, &ours)], Decision::NotAllowed),
        (Role::Worker, read, secret, &[(tag, &ours)], Decision::NotAllowed),
    ] {
        assert_eq!(ask(role, action, resource, context), decision, "{role} {action} {resource} {context:?}");
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

/// A change of record sets: name, type and action of each.
fn changes(zone: &str, sets: &[(&str, &str, &str)]) -> Request {
    let mut context = Context::default();
    for (name, kind, action) in sets {
        context.add("route53:ChangeResourceRecordSetsNormalizedRecordNames", *name);
        context.add("route53:ChangeResourceRecordSetsRecordTypes", *kind);
        context.add("route53:ChangeResourceRecordSetsActions", *action);
    }
    let resource = format!("arn:aws:route53:::hostedzone/{zone}");
    Request { action: "route53:ChangeResourceRecordSets".to_owned(), resource, context }
}

#[test]
fn managers_keep_their_own_name_and_change_no_other() {
    let own = ("ssh.apps.example.com", "A", "UPSERT");
    for (sets, expected) in [
        (vec![own], Decision::Allowed),
        (vec![own, own], Decision::Allowed),
        (vec![("apps.example.com", "A", "UPSERT")], Decision::NotAllowed),
        (vec![("\\052.apps.example.com", "A", "UPSERT")], Decision::NotAllowed),
        (vec![("x.ssh.apps.example.com", "A", "UPSERT")], Decision::NotAllowed),
        (vec![("ssh.apps.example.com", "CNAME", "UPSERT")], Decision::NotAllowed),
        (vec![("ssh.apps.example.com", "A", "DELETE")], Decision::NotAllowed),
        (vec![("ssh.apps.example.com", "A", "CREATE")], Decision::NotAllowed),
        (vec![own, ("apps.example.com", "A", "UPSERT")], Decision::NotAllowed),
        (vec![own, ("ssh.apps.example.com", "TXT", "UPSERT")], Decision::NotAllowed),
        // A condition on all values of none holds, so that there are some is asked, too.
        (vec![], Decision::NotAllowed),
    ] {
        let ask = |role| {
            let policy = policies::node(&names(), role, CLUSTER_KEY, MANAGER_KEY, GRANTS);
            decide(&[policy], &changes("Z0123456789", &sets))
        };
        assert_eq!(ask(Role::Manager), expected, "{sets:?}");
        assert_eq!(ask(Role::Worker), Decision::NotAllowed, "{sets:?}");
    }
    let zone = "arn:aws:route53:::hostedzone/Z0123456789";
    for (action, resource) in [("route53:ListHostedZones", "*"), ("route53:ListResourceRecordSets", zone)] {
        assert_eq!(ask(Role::Manager, action, resource, &[]), Decision::Allowed, "{action}");
        assert_eq!(ask(Role::Worker, action, resource, &[]), Decision::NotAllowed, "{action}");
    }
    for action in ["route53:DeleteHostedZone", "route53:CreateHostedZone", "route53:ChangeTagsForResource"] {
        assert_eq!(ask(Role::Manager, action, zone, &[]), Decision::NotAllowed, "{action}");
    }
}

#[test]
fn the_old_tools_bucket_and_key_are_the_managers_to_read_while_the_spec_says_so() {
    let source = ImportSource { bucket: "old".to_owned(), key: OLD_KEY.to_owned() };
    let ask = |role, import, action: &str, resource: &str, sealed_under: Option<&str>| {
        let mut context = Context::default();
        context.set("aws:userid", ME);
        if let Some(key) = sealed_under {
            context.set(&format!("kms:EncryptionContext:{key}"), "x");
            context.add("kms:EncryptionContextKeys", key);
        }
        let request = Request { action: action.to_owned(), resource: resource.to_owned(), context };
        let grants = Grants { import, ..GRANTS };
        decide(&[policies::node(&names(), role, CLUSTER_KEY, MANAGER_KEY, grants)], &request)
    };
    for (action, resource) in [
        ("s3:ListBucket", "arn:aws:s3:::old"),
        ("s3:GetObject", "arn:aws:s3:::old/hello/default/KEY"),
        ("kms:Decrypt", OLD_KEY),
    ] {
        assert_eq!(ask(Role::Manager, Some(&source), action, resource, None), Decision::Allowed, "{action}");
        assert_eq!(ask(Role::Manager, None, action, resource, None), Decision::NotAllowed, "{action}");
        assert_eq!(ask(Role::Worker, Some(&source), action, resource, None), Decision::NotAllowed, "{action}");
    }
    for (action, resource, sealed_under) in [
        ("s3:PutObject", "arn:aws:s3:::old/hello/default/KEY", None),
        ("s3:DeleteObject", "arn:aws:s3:::old/hello/default/KEY", None),
        ("s3:GetObject", "arn:aws:s3:::older/hello/default/KEY", None),
        ("s3:GetObjectVersion", "arn:aws:s3:::old/hello/default/KEY", None),
        ("s3:ListBucketVersions", "arn:aws:s3:::old", None),
        ("kms:Encrypt", OLD_KEY, None),
        ("kms:GenerateDataKey", OLD_KEY, None),
        // What another program has sealed with the same key.
        ("kms:Decrypt", OLD_KEY, Some("purpose")),
        ("kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/other", None),
    ] {
        let decision = ask(Role::Manager, Some(&source), action, resource, sealed_under);
        assert_eq!(decision, Decision::NotAllowed, "{action} {resource} {sealed_under:?}");
    }
}
