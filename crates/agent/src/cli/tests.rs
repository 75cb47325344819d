//! A program that is offered arrives whole or not at all, whatever the bucket has and however it answers.

use futuswarm_faults::{Fault, Faults};
use futuswarm_store::{Condition, FaultyBucket, MemoryBucket};
use tempfile::TempDir;

use super::*;

struct World {
    folder: TempDir,
    bucket: MemoryBucket,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), bucket: MemoryBucket::default() }
    }

    fn files(&self) -> Files {
        Files { download: self.folder.path().join("cli"), ..Files::default() }
    }

    /// Puts a program and its release into the bucket; returns the line of it.
    async fn publish(&self, version: &str, content: &[u8]) -> String {
        let sha256 = hex(&Sha256::digest(content));
        let release = CliRelease { version: version.to_owned(), sha256, bytes: content.len() as u64 };
        let key = keys::cli_program(version, &release.sha256);
        self.bucket.put(&key, content.to_vec(), Condition::None).await.unwrap();
        Store::new(self.bucket.clone()).put(keys::CLI_RELEASE, &release).await.unwrap();
        release.line()
    }

    async fn round(&self, faults: Faults) -> Result<(), Error> {
        let bucket = FaultyBucket::new(self.bucket.clone(), faults);
        round(&Store::new(bucket), &self.files()).await
    }

    /// What the mainpage would serve.
    fn served(&self) -> Option<Vec<u8>> {
        let line = self.files().offered()?;
        let sha256 = line.split(' ').nth(1).unwrap();
        Some(std::fs::read(self.files().download.join(sha256)).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files().download).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_is_offered_is_brought_once_and_replaced() {
    let world = World::new();
    world.round(Faults::none()).await.unwrap();
    assert_eq!((world.served(), world.names().len()), (None, 0), "nothing is offered");
    let first = world.publish("0.1.0", b"first program").await;
    world.round(Faults::none()).await.unwrap();
    assert_eq!(world.served().unwrap(), b"first program");
    // One request says that it is here already; more would fail.
    world.round(Faults::script([Fault::None, Fault::Fail])).await.unwrap();
    world.publish("0.2.0", b"second program").await;
    world.round(Faults::none()).await.unwrap();
    assert_eq!((world.served().unwrap().as_slice(), world.names().len()), (&b"second program"[..], 2));
    // The same as before, under its own key.
    assert_eq!(world.publish("0.1.0", b"first program").await, first);
    world.round(Faults::none()).await.unwrap();
    assert_eq!(world.served().unwrap(), b"first program");
}

#[tokio::test]
async fn what_is_not_what_it_should_be_is_never_served() {
    let world = World::new();
    world.publish("0.1.0", b"first program").await;
    world.round(Faults::none()).await.unwrap();
    let store = Store::new(world.bucket.clone());
    let good = CliRelease { version: "0.2.0".to_owned(), sha256: hex(&Sha256::digest(b"second")), bytes: 6 };
    let key = keys::cli_program(&good.version, &good.sha256);
    store.put(keys::CLI_RELEASE, &good).await.unwrap();
    // Not there yet; another one; one that is cut; one that goes on.
    assert!(world.round(Faults::none()).await.unwrap_err().to_string().contains("not in the bucket"));
    for content in [&b"SECOND"[..], b"sec", b"second and more", b""] {
        world.bucket.put(&key, content.to_vec(), Condition::None).await.unwrap();
        let error = world.round(Faults::none()).await.unwrap_err().to_string();
        assert!(error.contains("is not what it should be"), "{error}");
        assert_eq!(
            (world.served().unwrap().as_slice(), world.names().len()),
            (&b"first program"[..], 2),
            "{content:?}"
        );
    }
    for release in [
        CliRelease { sha256: format!("../{}", "a".repeat(61)), ..good.clone() },
        CliRelease { version: "../0".to_owned(), ..good.clone() },
        CliRelease { bytes: 1 << 40, ..good.clone() },
    ] {
        store.put(keys::CLI_RELEASE, &release).await.unwrap();
        let error = world.round(Faults::none()).await.unwrap_err().to_string();
        assert!(error.starts_with("cli/current in the bucket: "), "{error}");
    }
    store.put(keys::CLI_RELEASE, &"something else").await.unwrap();
    world.round(Faults::none()).await.unwrap_err();
    assert_eq!(world.served().unwrap(), b"first program");
    // And then the right one.
    world.bucket.put(&key, b"second".to_vec(), Condition::None).await.unwrap();
    store.put(keys::CLI_RELEASE, &good).await.unwrap();
    world.round(Faults::none()).await.unwrap();
    assert_eq!(world.served().unwrap(), b"second");
}

#[tokio::test]
async fn a_bucket_that_fails_or_breaks_off_leaves_what_was_there() {
    let world = World::new();
    world.publish("0.1.0", b"first program").await;
    world.round(Faults::none()).await.unwrap();
    world.publish("0.2.0", b"second program").await;
    // The release, and the program: not answered, answered and lost, and cut in the middle.
    for faults in [vec![Fault::Fail], vec![Fault::None, Fault::Fail], vec![Fault::None, Fault::Lose]] {
        let error = world.round(Faults::script(faults.clone())).await.unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{faults:?}: {error}");
        assert_eq!((world.served().unwrap().as_slice(), world.names().len()), (&b"first program"[..], 2), "{faults:?}");
    }
    // The release, or the program, is said not to exist: nothing changes.
    world.round(Faults::script([Fault::Absent])).await.unwrap();
    world.round(Faults::script([Fault::None, Fault::Absent])).await.unwrap_err();
    assert_eq!(world.served().unwrap(), b"first program");
    world.round(Faults::none()).await.unwrap();
    assert_eq!(world.served().unwrap(), b"second program");
    // A disk that lost it, whatever else it says.
    std::fs::write(world.files().download.join("release"), "").unwrap();
    world.round(Faults::none()).await.unwrap();
    assert_eq!(world.served().unwrap(), b"second program");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let world = World::new();
    world.publish("0.1.0", b"first program").await;
    std::fs::write(world.folder.path().join("cli"), "a file in its place").unwrap();
    let error = world.round(Faults::none()).await.unwrap_err().to_string();
    assert!(error.contains("/cli"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_does_nothing_of_it_and_then_looks_again_and_again() {
    let world = World::new();
    world.publish("0.1.0", b"first program").await;
    let bucket = FaultyBucket::new(world.bucket.clone(), Faults::script([Fault::Fail]));
    let keeping = tokio::spawn(keep(Store::new(bucket), world.files()));
    tokio::time::sleep(POLL_INTERVAL - Duration::from_secs(1)).await;
    assert_eq!(world.served(), None);
    // The first look fails.
    tokio::time::sleep(3 * POLL_INTERVAL).await;
    for _ in 0..1000 {
        // The disk's time is not the paused one.
        tokio::task::yield_now().await;
        if world.served().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.served().unwrap(), b"first program");
    keeping.abort();
}
