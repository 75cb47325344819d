//! The authority and the certificates of several managers, over a bucket and a vault in memory.

use futuswarm_faults::{Fault, Faults};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_vault::MemoryVault;

use super::*;
use crate::heartbeat::tests::node;

const NOW: u64 = 1_760_000_000_000;
const DAY: u64 = 86_400_000;

struct Manager {
    node: Node,
    files: Files,
    _dir: tempfile::TempDir,
}

/// A manager whose host key is made of `seed`.
fn manager(instance: &str, seed: u8) -> Manager {
    let dir = tempfile::tempdir().unwrap();
    let mut node = node(instance, Role::Manager);
    node.config.manager_key = Some("alias/futuswarm/prod/manager".to_owned());
    let host_key = dir.path().join("host_key.pub");
    let files = Files { run: dir.path().to_owned(), host_key, ..Files::default() };
    let manager = Manager { node, files, _dir: dir };
    start_again(&manager, seed);
    manager
}

/// As `sshd-keygen.service` does at each start.
fn start_again(manager: &Manager, seed: u8) {
    let key = Authority::from_seed(&[seed; 32], "a host").public().unwrap();
    std::fs::write(&manager.files.host_key, format!("{key} root@{}\n", manager.node.instance)).unwrap();
}

async fn run<B: Bucket>(store: &Store<B>, vault: &MemoryVault, manager: &Manager, now: u64) -> Result<(), Error> {
    let sealed = authority(store, vault, &manager.node, now).await?;
    certify(vault, &manager.node, &manager.files, &sealed, now).await
}

async fn public<B: Bucket>(store: &Store<B>) -> String {
    store.get::<SshAuthority>(keys::SSH_AUTHORITY).await.unwrap().unwrap().value.public
}

fn certificate(manager: &Manager) -> String {
    std::fs::read_to_string(manager.files.host_certificate()).unwrap()
}

fn is_current(manager: &Manager, public: &str, now: u64) -> bool {
    let host = std::fs::read_to_string(&manager.files.host_key).unwrap();
    HostCertificate::parse(&certificate(manager)).unwrap().is_current(public, &host, now / 1000)
}

#[tokio::test(start_paused = true)]
async fn all_managers_are_certified_by_one_authority_and_renew_in_time() {
    let (bucket, vault) = (MemoryBucket::default(), MemoryVault::new(Faults::none()));
    let store = Store::new(bucket.clone());
    let (one, two) = (manager("i-1", 1), manager("i-2", 2));
    for manager in [&one, &two] {
        run(&store, &vault, manager, NOW).await.unwrap();
        assert!(is_current(manager, &public(&store).await, NOW));
    }
    assert_eq!(bucket.writes(), 2, "the sealed key, and the public one");
    let first = certificate(&one);
    run(&store, &vault, &one, NOW + 14 * DAY).await.unwrap();
    assert_eq!(certificate(&one), first, "in its first half");
    run(&store, &vault, &one, NOW + 16 * DAY).await.unwrap();
    assert_ne!(certificate(&one), first);
    assert!(is_current(&one, &public(&store).await, NOW + 30 * DAY));
    // The node has started again, and has another host key.
    start_again(&one, 3);
    assert!(!is_current(&one, &public(&store).await, NOW + 17 * DAY));
    run(&store, &vault, &one, NOW + 17 * DAY).await.unwrap();
    assert!(is_current(&one, &public(&store).await, NOW + 17 * DAY));
    assert_eq!(bucket.writes(), 2, "the authority stays");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_make_the_authority_at_once_one_wins_for_both() {
    let (bucket, vault) = (MemoryBucket::default(), MemoryVault::new(Faults::none()));
    let (one, two) = (Store::new(bucket.clone()), Store::new(bucket));
    let (first, second) = (manager("i-1", 1), manager("i-2", 2));
    let won = make(&one, &vault, &first.node, NOW).await.unwrap();
    let lost = make(&two, &vault, &second.node, NOW).await.unwrap();
    assert_eq!(won, lost);
    run(&two, &vault, &second, NOW).await.unwrap();
    assert!(is_current(&second, &won.public, NOW));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_at_any_call_makes_no_second_authority() {
    for fault in [Fault::Fail, Fault::Lose, Fault::Repeat] {
        for at in 0..6 {
            let (bucket, manager) = (MemoryBucket::default(), manager("i-1", 1));
            let faults = std::iter::repeat_n(Fault::None, at).chain([fault]);
            let faulty = Store::new(FaultyBucket::new(bucket.clone(), Faults::script(faults)));
            let vault = MemoryVault::new(Faults::none());
            let mut publics = std::collections::BTreeSet::new();
            for _ in 0..4 {
                if run(&faulty, &vault, &manager, NOW).await.is_ok() {
                    publics.insert(public(&Store::new(bucket.clone())).await);
                }
            }
            assert_eq!(publics.len(), 1, "{fault:?} at {at}");
            assert!(is_current(&manager, publics.first().unwrap(), NOW), "{fault:?} at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_does_not_open_is_never_replaced() {
    let (bucket, vault) = (MemoryBucket::default(), MemoryVault::new(Faults::none()));
    let (store, manager) = (Store::new(bucket.clone()), manager("i-1", 1));
    run(&store, &vault, &manager, NOW).await.unwrap();
    std::fs::remove_file(manager.files.host_certificate()).unwrap();
    let stored = store.get::<SealedAuthority>(keys::SSH_AUTHORITY_KEY).await.unwrap().unwrap().value;

    let away = MemoryVault::new(Faults::script([Fault::Fail]));
    assert!(run(&store, &away, &manager, NOW).await.is_err());
    run(&store, &away, &manager, NOW).await.unwrap();

    // Somebody has put another public key beside it: nothing is signed that clients of either would take for the other's.
    std::fs::remove_file(manager.files.host_certificate()).unwrap();
    let other = Authority::from_seed(&[9; 32], "other").public().unwrap();
    let altered = SealedAuthority { public: other, ..stored.clone() };
    store.put(keys::SSH_AUTHORITY_KEY, &altered).await.unwrap();
    let error = run(&store, &vault, &manager, NOW).await.unwrap_err().to_string();
    assert!(error.contains("another public key"), "{error}");
    assert!(!manager.files.host_certificate().exists());

    let damaged = SealedAuthority { ciphertext: "AAAA".to_owned(), ..stored.clone() };
    store.put(keys::SSH_AUTHORITY_KEY, &damaged).await.unwrap();
    assert!(run(&store, &vault, &manager, NOW).await.is_err());
    assert_eq!(store.get::<SealedAuthority>(keys::SSH_AUTHORITY_KEY).await.unwrap().unwrap().value, damaged);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_said() {
    let (store, vault) = (Store::new(MemoryBucket::default()), MemoryVault::new(Faults::none()));
    let mut keyless = manager("i-1", 1);
    keyless.node.config.manager_key = None;
    let error = run(&store, &vault, &keyless, NOW).await.unwrap_err().to_string();
    assert!(error.contains("names no key for what only managers may open"), "{error}");
    let no_host_key = manager("i-2", 2);
    std::fs::remove_file(&no_host_key.files.host_key).unwrap();
    let error = run(&store, &vault, &no_host_key, NOW).await.unwrap_err().to_string();
    assert!(error.contains("host_key.pub"), "{error}");
    std::fs::write(&no_host_key.files.host_key, "ssh-ed25519 AAAA").unwrap();
    let error = run(&store, &vault, &no_host_key, NOW).await.unwrap_err().to_string();
    assert!(error.starts_with("the host's public key cannot be certified: "), "{error}");
}
