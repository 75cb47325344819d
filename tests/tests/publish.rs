//! Publishing against the emulated account: whole uploads, differences, faults, kills, smoke boots, retirement.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;
use std::time::{Duration, Instant};

use futuswarm_testkit::{Account, Ended, Image};
use serde_json::{Value, json};

const BLOCK: usize = 512 * 1024;
/// Partition of the test's disks, in blocks: what is outside and zero is not sent.
const PARTITION: std::ops::Range<usize> = 2..30;
/// Blocks of the test's disks, less those of zeros at the end.
const BLOCKS: usize = 40;

/// An account, and a cache of indices that no other run has filled.
struct Desk {
    account: Account,
    cache: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { account: Account::without_image("local-publish"), cache: tempfile::tempdir().unwrap() }
    }

    fn program(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.account.publishing(words);
        command.env("FUTUSWARM_CACHE", self.cache.path());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.program(words).output().unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn publish(&self, image: &Image, options: &[&str]) -> Value {
        let words = [&["publish", "--json", "--image", image.folder()], options].concat();
        self.json(&words)["images"][0].clone()
    }

    fn one(&self, service: &str, operation: &str, arguments: Value) -> Value {
        self.account.call(&json!([[service, null, operation, arguments]])).remove(0)
    }

    fn snapshots(&self) -> Vec<Value> {
        let found = self.one("ec2", "describe_snapshots", json!({ "OwnerIds": ["self"] }));
        found["Snapshots"].as_array().unwrap().clone()
    }

    /// The snapshot's content is the disk, and zeros after it.
    fn assert_content(&self, published: &Value, disk: &[u8]) {
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

/// A disk with a partition table, content in every block but one inside the partition and those between 30 and 39.
fn disk(seed: u8) -> Vec<u8> {
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

fn changed(mut disk: Vec<u8>, blocks: &[usize]) -> Vec<u8> {
    for block in blocks {
        disk[block * BLOCK + 99] ^= 0x55;
    }
    disk
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_snapshot_is_the_disk_and_the_next_one_is_sent_as_the_difference() {
    let desk = Desk::new();
    let first = disk(1);
    let one = Image::new("node-one", &first);
    let published = desk.publish(&one, &[]);
    let present = BLOCKS - (BLOCKS - 1 - PARTITION.end);
    assert_eq!((&published["blocks"], &published["blocks_sent"]), (&json!(present), &json!(present)));
    assert_eq!(published["parent_snapshot_id"], Value::Null);
    desk.assert_content(&published, &first);
    // The block of zeros inside the partition is there; those outside are not.
    let listed = desk.one("ebs", "list_snapshot_blocks", json!({ "SnapshotId": published["snapshot_id"] }));
    let listed: Vec<u64> =
        listed["Blocks"].as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (0..BLOCKS as u64).filter(|index| !(30..39).contains(index)).collect();
    assert_eq!(listed, expected);

    // Again: nothing is sent, nothing is made.
    desk.account.faults(&json!({ "fault": { "kind": "internal" }, "service": "ebs", "count": 0 }));
    let again = desk.publish(&one, &[]);
    assert_eq!((&again["reused"], &again["image_id"]), (&json!(true), &published["image_id"]));
    assert_eq!(desk.account.progress()["seen"], 0, "no call of the EBS direct APIs");

    let second = changed(first.clone(), &[0, 7, 12]);
    let two = Image::new("node-two", &second);
    let next = desk.publish(&two, &[]);
    assert_eq!((&next["blocks_sent"], &next["parent_snapshot_id"]), (&json!(3), &published["snapshot_id"]));
    desk.assert_content(&next, &second);
    desk.assert_content(&published, &first);
    let pair = json!({ "FirstSnapshotId": published["snapshot_id"], "SecondSnapshotId": next["snapshot_id"] });
    let difference = desk.one("ebs", "list_changed_blocks", pair)["ChangedBlocks"].clone();
    let difference: Vec<u64> =
        difference.as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect();
    assert_eq!(difference, [0, 7, 12]);

    // An index that is lost or wrong means a full upload and never a wrong image.
    let third = changed(second.clone(), &[3]);
    let indices = desk.cache.path().join("published");
    for entry in std::fs::read_dir(&indices).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        std::fs::write(entry.path(), vec![7; BLOCKS * 32]).unwrap();
    }
    let full = desk.publish(&Image::new("node-three", &third), &[]);
    assert_eq!((&full["blocks_sent"], &full["parent_snapshot_id"]), (&json!(present), &Value::Null));
    desk.assert_content(&full, &third);
    // Somebody moves a tag: the newest snapshot claims to have the blocks of another disk.
    let fourth = changed(vec![3; BLOCKS * BLOCK], &[5]);
    let other = desk.publish(&Image::new("node-four", &fourth), &["--full"]);
    let claim = |id: &Value, digest: &str| {
        let tags = json!({ "Resources": [id], "Tags": [{ "Key": "futuswarm:blocks", "Value": digest }] });
        assert_eq!(desk.one("ec2", "create_tags", tags)["error"], Value::Null);
    };
    let digest = |id: &Value| {
        let snapshots = desk.snapshots();
        let snapshot = snapshots.iter().find(|snapshot| snapshot["SnapshotId"] == *id).unwrap();
        let tag = snapshot["Tags"].as_array().unwrap().iter().find(|tag| tag["Key"] == "futuswarm:blocks").unwrap();
        tag["Value"].as_str().unwrap().to_owned()
    };
    claim(&other["snapshot_id"], &digest(&full["snapshot_id"]));
    let fifth = changed(third.clone(), &[9]);
    let honest = desk.publish(&Image::new("node-five", &fifth), &[]);
    assert_eq!(honest["parent_snapshot_id"], Value::Null, "the claim is found out");
    desk.assert_content(&honest, &fifth);

    // Another content under a name that is taken.
    let clash = desk.run(&["publish", "--image", Image::new("node-five", &first).folder()]);
    assert!(!clash.status.success());
    let talk = String::from_utf8_lossy(&clash.stderr).into_owned();
    assert!(talk.contains("has the name node-five and another content"), "{talk}");

    let validated = desk.json(&["image", "validate", "--json", "--image", two.folder()]);
    assert!(validated[0]["checks"].as_array().unwrap().iter().all(|check| check["good"] == true), "{validated}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn faults_of_the_api_are_survived_and_a_wrong_checksum_is_not() {
    let desk = Desk::new();
    for (number, faults) in [
        json!({ "fault": { "kind": "throttle" }, "service": "ebs", "after": 1, "count": 60 }),
        json!({ "fault": { "kind": "internal" }, "service": "ebs", "after": 4, "count": 60 }),
        json!({ "fault": { "kind": "late", "milliseconds": 300 }, "service": "ebs", "after": 4, "count": 60 }),
        // The answer to StartSnapshot.
        json!({ "fault": { "kind": "lost" }, "service": "ebs", "after": 0, "count": 1 }),
        // Answers to blocks.
        json!({ "fault": { "kind": "lost" }, "service": "ebs", "after": 9, "count": 3 }),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = disk(number as u8 + 10);
        let image = Image::new(&format!("node-{number}"), &disk);
        desk.account.faults(&faults);
        let published = desk.publish(&image, &["--full"]);
        assert!(desk.account.progress()["hit"].as_u64() > Some(0), "{faults}: nothing was hit");
        desk.account.calm();
        desk.assert_content(&published, &disk);
        assert_eq!(desk.snapshots().len(), number + 1, "{faults}: one snapshot per image");
    }
    // A fault that does not end: the reason is told, and so is what could not be cleared away. The next run takes it over.
    desk.account.faults(&json!({ "fault": { "kind": "internal" }, "service": "ec2", "after": 4, "count": 100_000, "agent": "under-test" }));
    let (content, before) = (disk(99), desk.snapshots().len());
    let image = Image::new("node-late", &content);
    let output = desk.run(&["publish", "--image", image.folder()]);
    desk.account.calm();
    assert!(!output.status.success());
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("eu-west-1: ") && talk.contains("InternalError"), "{talk}");
    assert!(talk.contains("request local-cloud-fault"), "{talk}");
    assert!(talk.contains("left behind, delete it by hand: snap-"), "{talk}");
    let published = desk.publish(&image, &[]);
    assert_eq!(published["blocks_sent"], 0, "the snapshot was complete");
    desk.assert_content(&published, &content);
    assert_eq!(desk.snapshots().len(), before + 1);

    let begun = desk.one("ebs", "start_snapshot", json!({ "VolumeSize": 1 }));
    let put = |checksum: &str| {
        desk.one(
            "ebs",
            "put_snapshot_block",
            json!({
                "SnapshotId": begun["SnapshotId"], "BlockIndex": 0, "DataLength": BLOCK, "ChecksumAlgorithm": "SHA256",
                "Checksum": checksum, "BlockData": { "base64": "A".repeat(BLOCK * 4 / 3 / 4 * 4) + "AAA=" },
            }),
        )
    };
    assert_eq!(put("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")["error"], "ValidationException");
    let completed =
        desk.one("ebs", "complete_snapshot", json!({ "SnapshotId": begun["SnapshotId"], "ChangedBlocksCount": 1 }));
    assert_eq!(completed["error"], "ValidationException", "the block was not taken");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_run_killed_after_any_call_is_finished_by_the_next() {
    let desk = Desk::new();
    let mut last = 0;
    for calls in [1, 2, 3, 4, 5, 9, 20, 34, 35, 36, 37, 38, 39, 40, 60] {
        let disk = disk(calls as u8);
        let image = Image::new(&format!("node-{calls}"), &disk);
        let words = ["publish", "--json", "--full", "--image", image.folder()];
        let ended = desk.account.kill_program_after(calls, desk.program(&words));
        let published = desk.publish(&image, &["--full"]);
        desk.assert_content(&published, &disk);
        let snapshots = desk.snapshots();
        last += 1;
        assert_eq!(snapshots.len(), last, "after a kill at call {calls}: one snapshot per image");
        assert!(snapshots.iter().all(|snapshot| snapshot["State"] == "completed"), "after a kill at call {calls}");
        assert_eq!(ended == Ended::ByItself, calls == 60, "call {calls}");
    }
    // Ctrl-C clears away by itself.
    let image = Image::new("node-interrupted", &disk(77));
    desk.account.faults(
        &json!({ "fault": { "kind": "late", "milliseconds": 2000 }, "service": "ebs", "after": 5, "count": 1000 }),
    );
    let program =
        desk.program(&["publish", "--image", image.folder()]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while desk.account.progress()["hit"].as_u64() < Some(5) {
        assert!(started.elapsed() < Duration::from_secs(30), "no block is sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    desk.account.calm();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && talk.contains("stopped by Ctrl-C") && talk.contains("cleared away: snap-"),
        "{talk}"
    );
    assert_eq!(desk.snapshots().len(), last);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn only_an_image_whose_agent_speaks_is_promoted_and_what_is_in_use_is_not_retired() {
    let desk = Desk::new();
    let images: Vec<Image> = (0..5).map(|number| Image::new(&format!("node-{number}"), &disk(number))).collect();
    let latest = || desk.one("ssm", "get_parameter", json!({ "Name": "/futuswarm/images/x86_64/latest/image_id" }));
    let running = || {
        let states = json!({ "Filters": [{ "Name": "instance-state-name", "Values": ["pending", "running"] }] });
        let found = desk.one("ec2", "describe_instances", states)["Reservations"].clone();
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["Instances"][0]["InstanceId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    // Nobody speaks.
    let words = ["publish", "--promote", "--smoke-deadline", "2", "--image", images[0].folder()];
    let silent = desk.run(&words);
    let talk = String::from_utf8_lossy(&silent.stderr).into_owned();
    assert!(
        !silent.status.success() && talk.contains("was not promoted") && talk.contains("the agent never said"),
        "{talk}"
    );
    assert_eq!(latest()["error"], "ParameterNotFound");
    assert_eq!(running(), Vec::<String>::new(), "the instance is terminated");

    // The run is killed while it listens; the next one ends what it has left.
    let words = ["publish", "--smoke", "--image", images[0].folder()];
    let mut program = desk.program(&words).spawn().unwrap();
    let started = Instant::now();
    while running().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "no instance is started");
    }
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(running().len(), 1);
    desk.publish(&images[0], &[]);
    assert_eq!(running(), Vec::<String>::new(), "the next run has terminated it");

    // The agent's line stands on the console.
    let words = ["publish", "--promote", "--json", "--image", images[0].folder()];
    let program = desk.program(&words).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let instance = loop {
        assert!(started.elapsed() < Duration::from_secs(60), "no instance is started");
        if let Some(instance) = running().pop() {
            break instance;
        }
    };
    let machine = desk.account.state_dir().join("vms").join(&instance);
    std::fs::create_dir_all(&machine).unwrap();
    let line = "[   12.3] futuswarm-agent[311]:  WARN does not know yet who it is reason=\"the instance has no user data; launch\"\r\n";
    std::fs::write(machine.join("console.log"), line).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success());
    let promoted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let oldest = promoted["images"][0]["image_id"].clone();
    assert_eq!(latest()["Parameter"]["Value"], oldest);
    assert_eq!(latest()["Parameter"]["DataType"], "aws:ec2:image");
    assert_eq!(running(), Vec::<String>::new(), "the instance is terminated");

    // Copies and shares.
    let words =
        ["publish", "--json", "--image", images[1].folder(), "--copy-to", "eu-north-1", "--share-with", "210987654321"];
    let copied = desk.json(&words)["images"].clone();
    assert_eq!(copied[1]["copied_from"], "eu-west-1");
    for place in copied.as_array().unwrap() {
        let asked = json!({ "ImageId": place["image_id"], "Attribute": "launchPermission" });
        let outcomes = desk.account.call(&json!([
            ["ec2", place["region"], "describe_image_attribute", asked],
            ["ec2", place["region"], "describe_snapshot_attribute",
                { "SnapshotId": place["snapshot_id"], "Attribute": "createVolumePermission" }],
        ]));
        assert_eq!(outcomes[0]["LaunchPermissions"], json!([{ "UserId": "210987654321" }]), "{place}");
        assert_eq!(outcomes[1]["CreateVolumePermissions"], json!([{ "UserId": "210987654321" }]), "{place}");
    }
    assert_eq!(desk.json(&words)["images"][1]["reused"], true);

    // Used by a launch template, by an instance, by nobody, and the newest.
    let template = desk.publish(&images[2], &[]);
    let data = json!({ "LaunchTemplateName": "group", "LaunchTemplateData": { "ImageId": template["image_id"] } });
    assert_eq!(desk.one("ec2", "create_launch_template", data)["error"], Value::Null);
    let newer = json!({ "LaunchTemplateName": "group", "LaunchTemplateData": { "ImageId": "ami-other" } });
    assert_eq!(desk.one("ec2", "create_launch_template_version", newer)["error"], Value::Null);
    let started = desk.publish(&images[3], &[]);
    let run = json!({ "ImageId": started["image_id"], "MinCount": 1, "MaxCount": 1 });
    assert_eq!(desk.one("ec2", "run_instances", run)["error"], Value::Null);
    let newest = desk.publish(&images[4], &[]);
    let unused = copied[0].clone();

    let shown = desk.json(&["image", "retire", "--keep", "1", "--json"]);
    assert_eq!(shown["images"].as_array().unwrap().len(), 1, "{shown}");
    let ids = |list: &Value| {
        let mut ids: Vec<String> =
            list.as_array().unwrap().iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&desk.json(&["image", "list", "--json"])).len(), 5, "showing does nothing");
    let gone = desk.json(&["image", "retire", "--keep", "1", "--yes", "--json"]);
    assert_eq!(gone["images"][0]["image_id"], unused["image_id"]);
    let mut expected: Vec<String> = [&oldest, &template["image_id"], &started["image_id"], &newest["image_id"]]
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    expected.sort();
    assert_eq!(ids(&desk.json(&["image", "list", "--json"])), expected);
    let snapshot = unused["snapshot_id"].as_str().unwrap();
    assert!(desk.snapshots().iter().all(|found| found["SnapshotId"] != snapshot), "its snapshot is gone, too");
    assert!(!desk.account.state_dir().join(format!("snapshots/{snapshot}.raw")).exists());
}
