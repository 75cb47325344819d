//! Publishing against the emulated account: whole uploads, differences, faults, kills, smoke boots, retirement.

#[path = "publishing_under_faults/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

use fixture::{BLOCK, BLOCKS, Fixture, PRESENT, changed, disk, refusal, refusal_of};
use futuswarm_testkit::{Ended, Image};
use serde_json::{Value, json};

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_snapshot_is_the_disk_and_the_next_one_is_sent_as_the_difference() {
    let fixture = Fixture::new();
    let first = disk(1);
    let one = Image::new("node-one", &first);
    let published = fixture.publish(&one, &[]);
    assert_eq!((&published["blocks"], &published["blocks_sent"]), (&json!(PRESENT), &json!(PRESENT)));
    assert_eq!(published["parent_snapshot_id"], Value::Null);
    fixture.assert_content(&published, &first);
    // The block of zeros inside the partition is there; those outside are not.
    let listed = fixture.one("ebs", "list_snapshot_blocks", json!({ "SnapshotId": published["snapshot_id"] }));
    let listed: Vec<u64> =
        listed["Blocks"].as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (0..BLOCKS as u64).filter(|index| !(30..39).contains(index)).collect();
    assert_eq!(listed, expected);

    // Again: nothing is sent, nothing is made.
    fixture.account.faults(&json!({ "fault": { "kind": "internal" }, "service": "ebs", "count": 0 }));
    let again = fixture.publish(&one, &[]);
    assert_eq!((&again["reused"], &again["image_id"]), (&json!(true), &published["image_id"]));
    assert_eq!(fixture.account.progress().all.seen, 0, "no call of the EBS direct APIs");

    let second = changed(first.clone(), &[0, 7, 12]);
    let two = Image::new("node-two", &second);
    let next = fixture.publish(&two, &[]);
    assert_eq!((&next["blocks_sent"], &next["parent_snapshot_id"]), (&json!(3), &published["snapshot_id"]));
    fixture.assert_content(&next, &second);
    fixture.assert_content(&published, &first);
    let pair = json!({ "FirstSnapshotId": published["snapshot_id"], "SecondSnapshotId": next["snapshot_id"] });
    let difference = fixture.one("ebs", "list_changed_blocks", pair)["ChangedBlocks"].clone();
    let difference: Vec<u64> =
        difference.as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect();
    assert_eq!(difference, [0, 7, 12]);

    // An index that is lost or wrong means a full upload and never a wrong image.
    let third = changed(second.clone(), &[3]);
    let indices = fixture.cache.path().join("published");
    for entry in std::fs::read_dir(&indices).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        std::fs::write(entry.path(), vec![7; BLOCKS * 32]).unwrap();
    }
    let full = fixture.publish(&Image::new("node-three", &third), &[]);
    assert_eq!((&full["blocks_sent"], &full["parent_snapshot_id"]), (&json!(PRESENT), &Value::Null));
    fixture.assert_content(&full, &third);
    // Somebody moves a tag: the newest snapshot claims to have the blocks of another disk.
    let fourth = changed(vec![3; BLOCKS * BLOCK], &[5]);
    let other = fixture.publish(&Image::new("node-four", &fourth), &["--full"]);
    let claim = |id: &Value, digest: &str| {
        let tags = json!({ "Resources": [id], "Tags": [{ "Key": "futuswarm:blocks", "Value": digest }] });
        assert_eq!(fixture.one("ec2", "create_tags", tags)["error"], Value::Null);
    };
    let digest = |id: &Value| {
        let snapshots = fixture.snapshots();
        let snapshot = snapshots.iter().find(|snapshot| snapshot["SnapshotId"] == *id).unwrap();
        let tag = snapshot["Tags"].as_array().unwrap().iter().find(|tag| tag["Key"] == "futuswarm:blocks").unwrap();
        tag["Value"].as_str().unwrap().to_owned()
    };
    claim(&other["snapshot_id"], &digest(&full["snapshot_id"]));
    let fifth = changed(third.clone(), &[9]);
    let honest = fixture.publish(&Image::new("node-five", &fifth), &[]);
    assert_eq!(honest["parent_snapshot_id"], Value::Null, "the claim is found out");
    fixture.assert_content(&honest, &fifth);

    // Another content under a name that is taken.
    let stderr = fixture.refused(&["publish", "--image", Image::new("node-five", &first).folder()]);
    assert!(stderr.contains("has the name node-five and another content"), "{stderr}");

    let validated = fixture.json(&["image", "validate", "--json", "--image", two.folder()]);
    assert!(validated[0]["checks"].as_array().unwrap().iter().all(|check| check["good"] == true), "{validated}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn faults_of_the_api_are_survived_and_a_wrong_checksum_is_not() {
    let fixture = Fixture::new();
    for (number, faults) in [
        json!({ "fault": { "kind": "throttle" }, "service": "ebs", "after": 1, "count": 60 }),
        json!({ "fault": { "kind": "internal" }, "service": "ebs", "after": 4, "count": 60 }),
        json!({ "fault": { "kind": "late", "milliseconds": 300 }, "service": "ebs", "after": 4, "count": 60 }),
        // The answer to StartSnapshot.
        json!({ "fault": { "kind": "lost" }, "service": "ebs", "after": 0, "count": 1 }),
        // Answers to blocks.
        json!({ "fault": { "kind": "lost" }, "service": "ebs", "after": 9, "count": 3 }),
        // StartSnapshot comes when others keep the account busy, CompleteSnapshot at an endpoint that does not know the snapshot.
        refusal("ConcurrentLimitExceededException", "ebs", 0, 1),
        refusal("ResourceNotFoundException", "ebs", 1 + PRESENT as u32, 1),
        // More than the SDK itself tries, while the snapshot and then the image are waited for.
        json!({ "fault": { "kind": "internal" }, "service": "ec2", "action": "DescribeSnapshots", "after": 1, "count": 6 }),
        json!({ "fault": { "kind": "throttle" }, "service": "ec2", "action": "DescribeImages", "after": 1, "count": 6 }),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = disk(number as u8 + 10);
        let image = Image::new(&format!("node-{number}"), &disk);
        fixture.account.faults(&faults);
        let published = fixture.publish(&image, &["--full"]);
        assert!(fixture.account.progress().all.hit > 0, "{faults}: nothing was hit");
        fixture.account.clear_faults();
        fixture.assert_content(&published, &disk);
        assert_eq!(fixture.snapshots().len(), number + 1, "{faults}: one snapshot per image");
    }
    // A refusal is for good: on what, why and what to do is told, and so is what could not be cleared away. The next run takes the
    // snapshot over, which was complete.
    fixture.account.faults(&refusal("UnauthorizedOperation", "ec2", 4, 100_000));
    let (content, before) = (disk(99), fixture.snapshots().len());
    let image = Image::new("node-late", &content);
    let stderr = fixture.refused(&["publish", "--full", "--image", image.folder()]);
    fixture.account.clear_faults();
    assert!(
        stderr.contains("eu-west-1: snap-") && stderr.contains(": DescribeSnapshots answered UnauthorizedOperation"),
        "{stderr}"
    );
    assert!(
        stderr.contains("request local-cloud-fault") && stderr.contains("docs/images.md lists all that are needed"),
        "{stderr}"
    );
    assert!(stderr.contains("left behind, delete it by hand: snap-"), "{stderr}");
    let published = fixture.publish(&image, &[]);
    assert_eq!(published["blocks_sent"], 0, "the snapshot was complete");
    fixture.assert_content(&published, &content);
    assert_eq!(fixture.snapshots().len(), before + 1);
    // An upload that ends in the middle and cannot be cleared away is evidence for the next run.
    fixture.account.faults(&json!({
        "fault": { "kind": "refused", "code": "AccessDeniedException" }, "agent": "under-test", "after": 8, "count": 100_000,
    }));
    let image = Image::new("node-denied", &disk(98));
    let stderr = fixture.refused(&["publish", "--full", "--image", image.folder()]);
    fixture.account.clear_faults();
    assert!(
        stderr.contains("eu-west-1: block ") && stderr.contains(": PutSnapshotBlock answered AccessDeniedException"),
        "{stderr}"
    );
    assert!(fixture.snapshots().iter().any(|snapshot| snapshot["State"] == "pending"), "{stderr}");
    fixture.publish(&image, &["--full"]);
    assert_eq!(fixture.snapshots().len(), before + 2, "one snapshot per image");

    let begun = fixture.one("ebs", "start_snapshot", json!({ "VolumeSize": 1 }));
    let put = |checksum: &str| {
        fixture.one(
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
        fixture.one("ebs", "complete_snapshot", json!({ "SnapshotId": begun["SnapshotId"], "ChangedBlocksCount": 1 }));
    assert_eq!(completed["error"], "ValidationException", "the block was not taken");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_run_killed_after_any_call_is_finished_by_the_next() {
    let fixture = Fixture::new();
    let mut last = 0;
    for calls in [1, 2, 3, 4, 5, 9, 20, 34, 35, 36, 37, 38, 39, 40, 60] {
        let disk = disk(calls as u8);
        let image = Image::new(&format!("node-{calls}"), &disk);
        let words = ["publish", "--json", "--full", "--image", image.folder()];
        let ended = fixture.account.kill_program_after(calls, fixture.program(&words));
        let published = fixture.publish(&image, &["--full"]);
        fixture.assert_content(&published, &disk);
        let snapshots = fixture.snapshots();
        last += 1;
        assert_eq!(snapshots.len(), last, "after a kill at call {calls}: one snapshot per image");
        assert!(snapshots.iter().all(|snapshot| snapshot["State"] == "completed"), "after a kill at call {calls}");
        assert_eq!(ended == Ended::ByItself, calls == 60, "call {calls}");
    }
    // Ctrl-C clears away by itself.
    let image = Image::new("node-interrupted", &disk(77));
    fixture.account.faults(
        &json!({ "fault": { "kind": "late", "milliseconds": 2000 }, "service": "ebs", "after": 5, "count": 1000 }),
    );
    let program =
        fixture.program(&["publish", "--image", image.folder()]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while fixture.account.progress().all.hit < 5 {
        assert!(started.elapsed() < Duration::from_secs(30), "no block is sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    fixture.account.clear_faults();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && stderr.contains("stopped by Ctrl-C") && stderr.contains("cleared away: snap-"),
        "{stderr}"
    );
    assert_eq!(fixture.snapshots().len(), last);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_difference_is_taken_over_only_when_it_was_compared() {
    let fixture = Fixture::new();
    let base = fixture.publish(&Image::new("node-base", &disk(1)), &[]);
    let content = changed(disk(1), &[3, 11]);
    let image = Image::new("node-delta", &content);
    let again = |published: &Value| {
        let gone = fixture.one("ec2", "deregister_image", json!({ "ImageId": published["image_id"] }));
        assert_eq!(gone["error"], Value::Null);
        fixture.publish(&image, &[])
    };
    let first = fixture.publish(&image, &[]);
    assert_eq!((&first["blocks_sent"], &first["parent_snapshot_id"]), (&json!(2), &base["snapshot_id"]));
    // As after a kill between the comparison and the registration.
    let taken_over = again(&first);
    assert_eq!((&taken_over["blocks_sent"], &taken_over["snapshot_id"]), (&json!(0), &first["snapshot_id"]));
    // As after a kill between the upload and the comparison: it is neither taken over nor a parent.
    let tags = json!({ "Resources": [first["snapshot_id"]], "Tags": [{ "Key": "futuswarm:verified" }] });
    assert_eq!(fixture.one("ec2", "delete_tags", tags)["error"], Value::Null);
    let republished = again(&taken_over);
    assert_eq!((&republished["blocks_sent"], &republished["parent_snapshot_id"]), (&json!(2), &base["snapshot_id"]));
    assert_ne!(republished["snapshot_id"], first["snapshot_id"]);
    fixture.assert_content(&republished, &content);

    // Kills around the end of an upload, the comparison and the registration.
    let before = fixture.snapshots().len();
    let mut content = content;
    for (number, calls) in (12..=18).enumerate() {
        content = changed(content, &[12 + number]);
        let image = Image::new(&format!("node-killed-{calls}"), &content);
        let ended = fixture.account.kill_program_after(calls, fixture.program(&["publish", "--image", image.folder()]));
        assert_eq!(ended, Ended::Killed, "call {calls}");
        let published = fixture.publish(&image, &[]);
        fixture.assert_content(&published, &content);
        let snapshots = fixture.snapshots();
        assert_eq!(snapshots.len(), before + number + 1, "after a kill at call {calls}: one snapshot per image");
        assert!(snapshots.iter().all(|snapshot| snapshot["State"] == "completed"), "after a kill at call {calls}");
    }
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn mistakes_are_found_before_anything_is_sent() {
    let fixture = Fixture::new();
    let image = Image::new("node-one", &disk(1));
    let rehearsal = Image::new("node-rehearsal", &disk(2));
    let manifest = std::path::Path::new(rehearsal.folder()).join("manifest.json");
    let mut about: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    about["newer_than_lock"] = json!(["bash"]);
    std::fs::write(&manifest, about.to_string()).unwrap();

    fixture.account.faults(&json!({ "fault": { "kind": "internal" }, "service": "ebs", "count": 0 }));
    for (image, options, reason) in [
        (&image, &["--share-with", "1234"][..], "1234 is no AWS account"),
        (&image, &["--copy-to", "eu-nowhere-1"], "there is no region eu-nowhere-1"),
        (&image, &["--region", "eu-west-1", "--copy-to", "eu-central-2"], "has not enabled the region eu-central-2"),
        (&image, &["--copy-to", "eu-west-1"], "eu-west-1 gets the image anyway"),
        (&image, &["--smoke", "--smoke-subnet", "subnet-0123"], "eu-west-1: there is no subnet subnet-0123"),
        (&image, &["--smoke", "--smoke-subnet", "eu-north-1=subnet-0123"], "eu-north-1 is no region of this run"),
        (&image, &["--deadline", "18001"], "18001 is not in 1..=18000"),
        (&rehearsal, &["--rehearsal", "--promote", "--no-smoke"], "is for rehearsals and not promoted"),
    ] {
        let stderr = fixture.refused(&[&["publish", "--image", image.folder()], options].concat());
        assert!(stderr.contains(reason), "{options:?}: {stderr}");
    }
    assert_eq!(fixture.account.progress().all.seen, 0, "no call of the EBS direct APIs");
    assert_eq!(fixture.snapshots(), Vec::<Value>::new());

    // In the local cloud a rehearsal is what is promoted.
    let mut program =
        fixture.program(&["publish", "--image", rehearsal.folder(), "--rehearsal", "--promote", "--no-smoke"]);
    let output = program.env("FUTUSWARM_LOCAL_CLOUD", fixture.account.cloud().cluster.clone()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // An image that cannot be used keeps its name, and nobody waits for it.
    let published = fixture.publish(&image, &[]);
    let disabled = fixture.one("ec2", "disable_image", json!({ "ImageId": published["image_id"] }));
    assert_eq!(disabled["error"], Value::Null);
    let stderr = fixture.refused(&["publish", "--image", image.folder()]);
    let id = published["image_id"].as_str().unwrap();
    assert!(
        stderr.contains(&format!("{id} is disabled: enable it")) && stderr.contains("or deregister it"),
        "{stderr}"
    );
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn only_an_image_whose_agent_speaks_is_promoted_and_what_is_in_use_is_not_retired() {
    let fixture = Fixture::new();
    let images: Vec<Image> = (0..7).map(|number| Image::new(&format!("node-{number}"), &disk(number))).collect();
    let latest = || fixture.one("ssm", "get_parameter", json!({ "Name": "/futuswarm/images/x86_64/latest/image_id" }));
    let running = || {
        let states = json!({ "Filters": [{ "Name": "instance-state-name", "Values": ["pending", "running"] }] });
        let found = fixture.one("ec2", "describe_instances", states)["Reservations"].clone();
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["Instances"][0]["InstanceId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    // Nobody speaks.
    let words = ["publish", "--promote", "--smoke-deadline", "2", "--image", images[0].folder()];
    let stderr = fixture.refused(&words);
    assert!(stderr.contains("was not promoted") && stderr.contains("the agent never said"), "{stderr}");
    assert_eq!(latest()["error"], "ParameterNotFound");
    assert_eq!(running(), Vec::<String>::new(), "the instance is terminated");

    // The run is killed while it listens; the next one ends what it has left.
    let words = ["publish", "--smoke", "--image", images[0].folder()];
    let mut program = fixture.program(&words).spawn().unwrap();
    let started = Instant::now();
    while running().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "no instance is started");
    }
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(running().len(), 1);
    fixture.publish(&images[0], &[]);
    assert_eq!(running(), Vec::<String>::new(), "the next run has terminated it");

    // The agent's line stands on the console.
    let words = ["publish", "--promote", "--json", "--image", images[0].folder()];
    let program = fixture.program(&words).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let instance = loop {
        assert!(started.elapsed() < Duration::from_secs(60), "no instance is started");
        if let Some(instance) = running().pop() {
            break instance;
        }
    };
    let machine = fixture.account.state_dir().join("vms").join(&instance);
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

    // SSM must take an image for an image, or it is not promoted.
    fixture.account.faults(&refusal_of("ValidationException", "ssm", "PutParameter", 1));
    let stderr = fixture.refused(&["publish", "--promote", "--no-smoke", "--image", images[1].folder()]);
    fixture.account.clear_faults();
    let parameter = "eu-west-1: /futuswarm/images/x86_64/node-1/image_id: PutParameter answered ValidationException";
    assert!(stderr.contains(parameter), "{stderr}");
    assert_eq!(latest()["Parameter"]["Value"], oldest);

    // Copies and shares.
    let words =
        ["publish", "--json", "--image", images[1].folder(), "--copy-to", "eu-north-1", "--share-with", "210987654321"];
    let copied = fixture.json(&words)["images"].clone();
    assert_eq!(copied[1]["copied_from"], "eu-west-1");
    for place in copied.as_array().unwrap() {
        let asked = json!({ "ImageId": place["image_id"], "Attribute": "launchPermission" });
        let outcomes = fixture.account.call(&json!([
            ["ec2", place["region"], "describe_image_attribute", asked],
            ["ec2", place["region"], "describe_snapshot_attribute",
                { "SnapshotId": place["snapshot_id"], "Attribute": "createVolumePermission" }],
        ]));
        assert_eq!(outcomes[0]["LaunchPermissions"], json!([{ "UserId": "210987654321" }]), "{place}");
        assert_eq!(outcomes[1]["CreateVolumePermissions"], json!([{ "UserId": "210987654321" }]), "{place}");
    }
    assert_eq!(fixture.json(&words)["images"][1]["reused"], true);

    // Used by a launch template, through a parameter, by an instance, by nobody, and the newest. One has a twin on its snapshot.
    let template = fixture.publish(&images[2], &[]);
    let data = json!({ "LaunchTemplateName": "group", "LaunchTemplateData": { "ImageId": template["image_id"] } });
    assert_eq!(fixture.one("ec2", "create_launch_template", data)["error"], Value::Null);
    let newer = json!({ "LaunchTemplateName": "group", "LaunchTemplateData": { "ImageId": "ami-other" } });
    assert_eq!(fixture.one("ec2", "create_launch_template_version", newer)["error"], Value::Null);
    let aliased = fixture.publish(&images[5], &[]);
    let parameter = json!({ "Name": "/golden", "Type": "String", "Value": aliased["image_id"] });
    assert_eq!(fixture.one("ssm", "put_parameter", parameter)["error"], Value::Null);
    let alias = json!({ "LaunchTemplateName": "alias", "LaunchTemplateData": { "ImageId": "resolve:ssm:/golden" } });
    assert_eq!(fixture.one("ec2", "create_launch_template", alias)["error"], Value::Null);
    let unused = fixture.publish(&images[6], &[]);
    let twin = json!({
        "Name": "node-twin", "Architecture": "x86_64", "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{ "DeviceName": "/dev/xvda", "Ebs": { "SnapshotId": unused["snapshot_id"] } }],
        "TagSpecifications": [{ "ResourceType": "image", "Tags": [{ "Key": "futuswarm:image", "Value": Image::FAMILY }] }],
    });
    let twin = fixture.one("ec2", "register_image", twin)["ImageId"].clone();
    let data = json!({ "LaunchTemplateName": "twin", "LaunchTemplateData": { "ImageId": twin } });
    assert_eq!(fixture.one("ec2", "create_launch_template", data)["error"], Value::Null);
    let started = fixture.publish(&images[3], &[]);
    let run = json!({ "ImageId": started["image_id"], "MinCount": 1, "MaxCount": 1 });
    assert_eq!(fixture.one("ec2", "run_instances", run)["error"], Value::Null);
    let newest = fixture.publish(&images[4], &[]);
    let shared = copied[0].clone();

    let ids = |list: &Value| {
        let mut ids: Vec<String> =
            list.as_array().unwrap().iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let sorted = |ids: &[&Value]| {
        let mut ids: Vec<String> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let listed = || ids(&fixture.json(&["image", "list", "--json"]));
    let has = |snapshot: &Value| fixture.snapshots().iter().any(|found| found["SnapshotId"] == *snapshot);
    let output = fixture.run(&["image", "retire", "--keep", "1", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&shown["images"]), sorted(&[&unused["image_id"]]), "{stderr}");
    assert!(stderr.contains("node-1  shared with 210987654321"), "{stderr}");
    assert_eq!(listed().len(), 8, "showing does nothing");

    // Its twin needs the snapshot.
    let gone = fixture.json(&["image", "retire", "--keep", "1", "--yes", "--json"]);
    assert_eq!(ids(&gone["images"]), sorted(&[&unused["image_id"]]));
    assert!(has(&unused["snapshot_id"]), "the twin has it");
    let used = [&oldest, &template["image_id"], &aliased["image_id"], &started["image_id"], &newest["image_id"]];
    assert_eq!(listed(), sorted(&[&used[..], &[&twin, &shared["image_id"]]].concat()));

    // One image that cannot go does not keep the other, and is named.
    let unneeded = json!({ "LaunchTemplateName": "twin" });
    assert_eq!(fixture.one("ec2", "delete_launch_template", unneeded)["error"], Value::Null);
    fixture.account.faults(&refusal_of("OperationNotPermitted", "ec2", "DeregisterImage", 1));
    let stderr = fixture.refused(&["image", "retire", "--keep", "1", "--shared", "--yes"]);
    fixture.account.clear_faults();
    assert!(stderr.contains("1 image(s) retired") && stderr.contains("1 resource(s) could not be retired"), "{stderr}");
    assert!(
        stderr.contains("failed eu-west-1: ami-")
            && stderr.contains(": DeregisterImage answered OperationNotPermitted"),
        "{stderr}"
    );
    assert_eq!(listed().len(), used.len() + 1);
    // EC2 lets go of a snapshot late.
    fixture.account.faults(&refusal_of("InvalidSnapshot.InUse", "ec2", "DeleteSnapshot", 2));
    fixture.json(&["image", "retire", "--keep", "1", "--shared", "--yes", "--json"]);
    assert_eq!(fixture.account.progress().all.hit, 2);
    fixture.account.clear_faults();
    assert_eq!(listed(), sorted(&used));
    for snapshot in [&unused["snapshot_id"], &shared["snapshot_id"]] {
        assert!(!has(snapshot), "{snapshot} is gone, too");
        let file = format!("snapshots/{}.raw", snapshot.as_str().unwrap());
        assert!(!fixture.account.state_dir().join(file).exists());
    }
}
