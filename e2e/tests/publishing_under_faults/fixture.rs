//! An account to publish to, disks to publish, and faults.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;

use futuswarm_testkit::{Account, Image};
use serde_json::{Value, json};

pub const BLOCK: usize = 512 * 1024;
/// Partition of the test's disks, in blocks: what is outside and zero is not sent.
const PARTITION: std::ops::Range<usize> = 2..30;
/// Blocks of the test's disks, less those of zeros at the end.
pub const BLOCKS: usize = 40;
/// Blocks that are sent of them when nothing is known.
pub const PRESENT: usize = BLOCKS - (BLOCKS - 1 - PARTITION.end);

/// An account, and a cache of indices that no other run has filled.
pub struct Fixture {
    pub account: Account,
    pub cache: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self { account: Account::without_image("local-publish"), cache: tempfile::tempdir().unwrap() }
    }

    pub fn program(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.account.publishing(words);
        command.env("FUTUSWARM_CACHE", self.cache.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.program(words).output().unwrap()
    }

    pub fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs what must fail; returns its stderr.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{words:?}: {stderr}");
        stderr
    }

    pub fn publish(&self, image: &Image, options: &[&str]) -> Value {
        let words = [&["publish", "--json", "--image", image.folder()], options].concat();
        self.json(&words)["images"][0].clone()
    }

    pub fn one(&self, service: &str, operation: &str, arguments: Value) -> Value {
        self.account.call(&json!([[service, null, operation, arguments]])).remove(0)
    }

    pub fn snapshots(&self) -> Vec<Value> {
        let found = self.one("ec2", "describe_snapshots", json!({ "OwnerIds": ["self"] }));
        found["Snapshots"].as_array().unwrap().clone()
    }

    /// The snapshot's content is the disk, and zeros after it.
    pub fn assert_content(&self, published: &Value, disk: &[u8]) {
        let file =
            self.account.state_dir().join(format!("snapshots/{}.raw", published["snapshot_id"].as_str().unwrap()));
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 30);
        assert!(metadata.blocks() * 512 <= disk.len() as u64 + (1 << 20), "what is absent takes no room");
        let mut content = vec![0; disk.len()];
        std::fs::File::open(&file).unwrap().read_exact(&mut content).unwrap();
        assert!(content == disk, "the content is not the disk");
    }
}

/// A fault: calls of a service by the program under test are refused with this code.
pub fn refusal(code: &str, service: &str, after: u32, count: u32) -> Value {
    json!({
        "fault": { "kind": "refused", "code": code }, "service": service, "agent": "under-test", "after": after, "count": count,
    })
}

/// The same for one operation.
pub fn refusal_of(code: &str, service: &str, action: &str, count: u32) -> Value {
    let mut fault = refusal(code, service, 0, count);
    fault["action"] = action.into();
    fault
}

/// A disk with a partition table, content in every block but one inside the partition and those between 30 and 39.
pub fn disk(seed: u8) -> Vec<u8> {
    let mut disk = vec![0_u8; BLOCKS * BLOCK];
    for (number, block) in disk.chunks_mut(BLOCK).enumerate() {
        let zero = number == 7 || (PARTITION.end..BLOCKS - 1).contains(&number);
        for (at, byte) in block.iter_mut().enumerate().filter(|_| !zero) {
            *byte = (at as u8).wrapping_mul(31) ^ (number as u8) ^ (at >> 8) as u8 ^ seed;
        }
    }
    disk[512..1024].fill(0);
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[512 + 72] = 2;
    disk[512 + 80] = 4;
    disk[512 + 84] = 128;
    disk[1024..1024 + 4 * 128].fill(0);
    disk[1024] = 1;
    let sectors = BLOCK as u64 / 512;
    disk[1056..1064].copy_from_slice(&(PARTITION.start as u64 * sectors).to_le_bytes());
    disk[1064..1072].copy_from_slice(&(PARTITION.end as u64 * sectors - 1).to_le_bytes());
    disk
}

pub fn changed(mut disk: Vec<u8>, blocks: &[usize]) -> Vec<u8> {
    for block in blocks {
        disk[block * BLOCK + 99] ^= 0x55;
    }
    disk
}
