//! Which secrets are taken, and what becomes of them when S3 or KMS fails.

use futuswarm_faults::{Fault, Faults};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_vault::MemoryVault;

use super::*;

const KEY: &str = "alias/futuswarm/local/cluster";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn context(cluster: &str, kind: &str, name: &str) -> futuswarm_vault::Context {
    futuswarm_vault::Context { cluster: cluster.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

async fn stored<B: Bucket>(store: &Store<B>) -> LoginClientSecret {
    store.get(keys::LOGIN_CLIENT_SECRET).await.unwrap().unwrap().value
}

#[test]
fn a_secret_is_taken_without_the_end_of_its_line() {
    for typed in ["s3cr\"et\\", "s3cr\"et\\\n", "s3cr\"et\\\r\n"] {
        assert_eq!(read(typed.as_bytes()).unwrap().expose(), "s3cr\"et\\");
    }
    assert_eq!(read("x".repeat(512).as_bytes()).unwrap().expose().len(), 512);
}

#[test]
fn what_apache_would_take_for_something_else_is_refused_and_not_repeated() {
    let long = "x".repeat(5000);
    for (typed, reason) in [
        ("", "has to have 1 to 512 characters"),
        ("\n", "has to have 1 to 512 characters"),
        (long.as_str(), "has to have 1 to 512 characters"),
        ("hunter two", "has a space, a line break or a letter beyond ASCII"),
        ("hunter\ntwo", "has a space, a line break"),
        (" hunter", "has a space"),
        ("hünter", "beyond ASCII"),
        ("exec:/hunter", "begins with exec:"),
        ("hunter${HOME}", "has ${ in it"),
    ] {
        let error = format!("{:#}", read(typed.as_bytes()).err().unwrap());
        assert!(error.contains(reason) && error.starts_with("nothing was changed"), "{error}");
        assert!(!error.contains("hunter") && !error.contains("hünter"), "{error}");
    }
    let error = format!("{:#}", read(&b"hunter\xff"[..]).err().unwrap());
    assert!(error.contains("cannot be read from standard input") && !error.contains("hunter"), "{error}");
}

#[tokio::test]
async fn it_is_sealed_for_this_clusters_login_alone() {
    let store = Store::new(MemoryBucket::default());
    let vault = MemoryVault::new(Faults::none());
    let first = seal(&store, &vault, KEY, "local", &secret("one")).await.unwrap();
    assert_eq!(first, Sealed { cluster: "local".to_owned(), replaced: false });
    assert!(first.to_string().starts_with("sealed "));
    let second = seal(&store, &vault, KEY, "local", &secret("two")).await.unwrap();
    assert!(second.replaced && second.to_string().starts_with("replaced "));
    let there = stored(&store).await;
    let open = vault.open(KEY, &context("local", "login", "client-secret"), &there.ciphertext).await.unwrap();
    assert_eq!(open.expose(), "two");
    for other in [
        context("prod", "login", "client-secret"),
        context("local", "login", "passphrase"),
        context("local", "join-token", "client-secret"),
    ] {
        assert!(vault.open(KEY, &other, &there.ciphertext).await.is_err(), "{other}");
    }
    assert_eq!(serde_json::to_value(&second).unwrap(), serde_json::json!({ "cluster": "local", "replaced": true }));
}

#[tokio::test]
async fn a_failure_leaves_what_was_there_and_again_is_enough() {
    let bucket = MemoryBucket::default();
    let store = Store::new(bucket.clone());
    let whole = MemoryVault::new(Faults::none());
    seal(&store, &whole, KEY, "local", &secret("one")).await.unwrap();
    let before = stored(&store).await;
    let vault = MemoryVault::new(Faults::script([Fault::Fail]));
    let error = seal(&store, &vault, KEY, "local", &secret("hunter2")).await.unwrap_err().to_string();
    assert!(error.contains("Encrypt") && !error.contains("hunter2"), "{error}");
    assert_eq!(stored(&store).await, before);
    // The read goes well, and the answer of the write is lost.
    let faulty = Store::new(FaultyBucket::new(bucket.clone(), Faults::script([Fault::None, Fault::Lose])));
    let error = seal(&faulty, &whole, KEY, "local", &secret("hunter2")).await.unwrap_err().to_string();
    assert!(error.contains("PutObject") && !error.contains("hunter2"), "{error}");
    let again = seal(&store, &whole, KEY, "local", &secret("hunter2")).await.unwrap();
    assert!(again.replaced, "it was applied");
}

#[tokio::test]
async fn without_a_cluster_the_way_out_is_named() {
    let bucket = MemoryBucket::default();
    let failure = futuswarm_aws::Failure {
        operation: "GetObject",
        code: Some("NoSuchBucket".to_owned()),
        message: "The specified bucket does not exist".to_owned(),
        request_id: None,
        status: Some(404),
    };
    let (bucket_name, key) = ("b".to_owned(), keys::LOGIN_CLIENT_SECRET.to_owned());
    bucket.fail_next(vec![futuswarm_store::Error::Service { bucket: bucket_name, key, source: failure.into() }]);
    let (store, vault) = (Store::new(bucket.clone()), MemoryVault::new(Faults::none()));
    let error = seal(&store, &vault, KEY, "local", &secret("one")).await.unwrap_err().to_string();
    assert!(error.contains("run `cargo xtask deploy-cluster` first"), "{error}");
    assert_eq!(bucket.writes(), 0);
}

#[tokio::test]
async fn what_somebody_else_wrote_there_is_no_secret() {
    let store = Store::new(MemoryBucket::default());
    assert!(!has_secret(&store).await.unwrap());
    store.put(keys::LOGIN_CLIENT_SECRET, &"nonsense").await.unwrap();
    assert!(!has_secret(&store).await.unwrap());
    let vault = MemoryVault::new(Faults::none());
    assert!(!seal(&store, &vault, KEY, "local", &secret("one")).await.unwrap().replaced);
    assert!(has_secret(&store).await.unwrap());
}
