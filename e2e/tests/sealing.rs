//! What the vault seals opens under the same context and key, and under no other, and what the old tool has left is read: against the
//! emulated KMS and S3.

mod clients;

use std::collections::BTreeMap;

use futuswarm_store::{ForeignBucket as _, Reading, S3Bucket};
use futuswarm_testkit::Account;
use futuswarm_vault::{
    Context, DocumentContext, Error, Head, KmsVault, LegacyKeys as _, LegacyObject, Secret, Vault as _, document,
};
use serde_json::json;

const PLAIN: &str = "SWMTKN-1-0123456789abcdef-secret";
/// Of the old tool's bucket and key; the account's own is another.
const REGION: &str = "eu-central-1";

fn context(cluster: &str, kind: &str, name: &str) -> Context {
    Context { cluster: cluster.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

/// A secret that was opened cannot be shown, not even in the message of a failed test.
fn refusal(outcome: Result<Secret, Error>) -> Error {
    outcome.map(|_| ()).unwrap_err()
}

/// The code of KMS's answer, if it was one.
fn code(error: &Error) -> Option<String> {
    match error {
        Error::Service { source, .. } | Error::Document { source, .. } => source.code.clone(),
        Error::Damaged { .. } | Error::DamagedDocument { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn what_is_sealed_opens_under_its_own_context_and_key_and_under_no_other() {
    let account = Account::without_image("local-api");
    let keys = account.call(&json!([["kms", null, "create_key", {}], ["kms", null, "create_key", {}]]));
    let key = |index: usize| keys[index]["KeyMetadata"]["KeyId"].as_str().expect("a key").to_owned();
    let sdk = clients::sdk(&account).await;
    let (vault, key, other) = (KmsVault::new(&sdk), &key(0), &key(1));
    let right = context("prod", "join-token", "manager");

    let sealed = vault.seal(key, &right, &Secret::new(PLAIN.to_owned())).await.unwrap();
    assert!(!sealed.contains("SWMTKN"), "{sealed}");
    assert_eq!(vault.open(key, &right, &sealed).await.unwrap().expose(), PLAIN);
    let again = vault.seal(key, &right, &Secret::new(PLAIN.to_owned())).await.unwrap();
    assert_ne!(sealed, again, "the same secret does not look the same twice");

    for wrong in [
        context("dev", "join-token", "manager"),
        context("prod", "ssh-key", "manager"),
        context("prod", "join-token", "worker"),
        context("prod", "join-token", ""),
        // The same words in other places.
        context("prod", "manager", "join-token"),
    ] {
        let error = refusal(vault.open(key, &wrong, &sealed).await);
        assert_eq!(code(&error).as_deref(), Some("InvalidCiphertextException"), "{wrong:?}: {error}");
        assert!(!error.is_transient(), "trying again does not help: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{} {} of cluster {}", wrong.kind, wrong.name, wrong.cluster)), "{text}");
        assert!(!text.contains(PLAIN) && !format!("{error:?}").contains(PLAIN), "{text}");
    }

    let error = refusal(vault.open(other, &right, &sealed).await);
    // AWS says IncorrectKeyException; the emulator says AccessDeniedException.
    assert!(code(&error).is_some() && !error.is_transient(), "another key refuses for good: {error}");

    for (damaged, reason) in [("no base64!", "it is not base64"), (&sealed[..sealed.len() - 3], "it is not base64")] {
        let error = refusal(vault.open(key, &right, damaged).await);
        assert!(matches!(&error, Error::Damaged { reason: said, .. } if *said == reason), "{damaged}: {error}");
    }
    let other_token = vault.seal(key, &right, &Secret::new("another".to_owned())).await.unwrap();
    assert_eq!(vault.open(key, &right, &other_token).await.unwrap().expose(), "another");
    // The last byte of the ciphertext is part of what is authenticated.
    let mut bytes: Vec<char> = sealed.trim_end_matches('=').chars().collect();
    let at = bytes.len() - 2;
    bytes[at] = if bytes[at] == 'A' { 'B' } else { 'A' };
    let flipped: String = bytes.into_iter().chain(sealed.chars().filter(|sign| *sign == '=')).collect();
    assert!(vault.open(key, &right, &flipped).await.is_err(), "a changed ciphertext");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_kms_that_fails_is_a_transient_error_and_one_that_refuses_is_not() {
    let account = Account::without_image("local-api");
    let keys = account.call(&json!([["kms", null, "create_key", {}]]));
    let key = keys[0]["KeyMetadata"]["KeyId"].as_str().expect("a key");
    let vault = KmsVault::new(&clients::sdk(&account).await);
    let right = context("prod", "join-token", "worker");
    let sealed = vault.seal(key, &right, &Secret::new(PLAIN.to_owned())).await.unwrap();
    for (fault, transient) in [
        (json!({ "kind": "internal" }), true),
        (json!({ "kind": "throttle" }), true),
        (json!({ "kind": "refused", "code": "AccessDeniedException" }), false),
        (json!({ "kind": "refused", "code": "DisabledException" }), false),
    ] {
        account.faults(&json!([{ "fault": fault, "service": "kms", "caller": "owner", "count": 1000 }]));
        for error in [
            vault.open(key, &right, &sealed).await.map(|_| ()).unwrap_err(),
            vault.seal(key, &right, &Secret::new(PLAIN.to_owned())).await.map(|_| ()).unwrap_err(),
        ] {
            assert_eq!(error.is_transient(), transient, "{fault}: {error}");
            assert!(!error.to_string().contains(PLAIN), "{error}");
        }
    }
    // Its answer is lost, and the SDK asks again.
    account.faults(&json!([{ "fault": { "kind": "lost" }, "service": "kms", "count": 1 }]));
    assert_eq!(vault.open(key, &right, &sealed).await.unwrap().expose(), PLAIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_document_of_an_app_opens_as_what_it_is_and_as_nothing_else() {
    let account = Account::without_image("local-api");
    let keys = account.call(&json!([["kms", null, "create_key", {}], ["kms", null, "create_key", {}]]));
    let key = |index: usize| keys[index]["KeyMetadata"]["KeyId"].as_str().expect("a key").to_owned();
    let sdk = clients::sdk(&account).await;
    let (vault, key, other) = (KmsVault::new(&sdk), &key(0), &key(1));
    let context = |app: &str, environment: &str, kind: &str| DocumentContext {
        cluster: "prod".to_owned(),
        app: app.to_owned(),
        environment: environment.to_owned(),
        kind: kind.to_owned(),
    };
    let right = context("hello", "default", "config");
    let head = Head { version: 1, changed_by: "jane".to_owned(), changed_at: 7 };
    // A hundred values with one request to KMS each way, however long they are.
    let values: BTreeMap<String, String> = (0..100).map(|key| (format!("KEY_{key}"), PLAIN.repeat(100))).collect();
    let document = document::seal(&vault, key, &right, head, &values).await.unwrap();
    let opened: BTreeMap<String, String> = document::open(&vault, key, &right, &document).await.unwrap();
    assert!(opened == values);

    let wrong = [
        (key, context("other", "default", "config")),
        (key, context("hello", "staging", "config")),
        (key, context("hello", "default", "secrets")),
        (other, right.clone()),
    ];
    for (key, context) in wrong {
        let outcome = document::open::<BTreeMap<String, String>>(&vault, key, &context, &document).await;
        let error = outcome.map(|_| ()).unwrap_err();
        assert!(code(&error).is_some(), "KMS itself refuses {context}: {error}");
        assert!(!error.to_string().contains(PLAIN), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn what_the_old_tool_has_left_is_read_from_its_bucket_and_opened_with_its_key() {
    let account = Account::without_image("local-api");
    let put = account.python("e2e/old_objects.py", &["old-tool", REGION]);
    assert!(put.status.success(), "{:?}", futuswarm_testkit::texts(&put));
    let old: serde_json::Value = serde_json::from_slice(&put.stdout).unwrap();
    let (key, other) = (old["key"].as_str().expect("a key"), old["other"].as_str().expect("another key"));
    let values: BTreeMap<String, Vec<u8>> = serde_json::from_value(old["values"].clone()).unwrap();
    assert_eq!(values.len(), 6);
    // As a manager makes them (`OldBuckets`), for the region of the bucket, which need not be the cluster's.
    let sdk = futuswarm_aws::in_region(&clients::sdk(&account).await, REGION);
    let (bucket, vault) = (S3Bucket::new(&sdk, "old-tool"), KmsVault::new(&sdk));

    let page = bucket.page("hello/", None).await.unwrap();
    let listed: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(listed, values.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(page.next, None);
    for object in &page.objects {
        let whole = bucket.read_at_most(&object.key, object.length).await.unwrap();
        let Reading::Whole(body) = whole else { panic!("{} is not read", object.key) };
        let shorter = bucket.read_at_most(&object.key, object.length - 1).await.unwrap();
        assert_eq!(shorter, Reading::TooLong(object.length), "{}", object.key);
        let sealed = LegacyObject::parse(&body).unwrap();
        let opened = vault.open_legacy_key(key, sealed.wrapped_key()).await.unwrap();
        assert!(*sealed.open(&opened).unwrap() == values[&object.key], "{} is another value", object.key);
        let refused = vault.open_legacy_key(other, sealed.wrapped_key()).await.map(|_| ()).unwrap_err();
        assert!(code(&refused).is_some() && !refused.is_transient(), "another key refuses for good: {refused}");
    }
    assert_eq!(bucket.read_at_most("hello/default/NONE", 9).await.unwrap(), Reading::Absent);

    let first = bucket.page("many/", None).await.unwrap();
    assert!(first.objects.len() == 1000 && first.next.is_some(), "{} and {:?}", first.objects.len(), first.next);
    let last = bucket.page("many/", first.next.as_deref()).await.unwrap();
    assert_eq!((last.objects.len(), last.next), (1, None));
    assert_eq!(last.objects[0].key, "many/1000");
    let error = S3Bucket::new(&sdk, "nobodys-bucket").page("hello/", None).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}
