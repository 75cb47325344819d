//! The command line that a cluster offers for download: put into the bucket when somebody asks for it, replaced by another, and left alone.

mod clients;

use std::process::Output;

use futuswarm_model::{CliRelease, keys};
use futuswarm_store::{Bucket as _, S3Bucket, Store};
use futuswarm_testkit::{Account, texts};
use serde_json::Value;

/// Parts that a plan would change.
fn changes(plan: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&plan.stdout).unwrap_or_else(|_| panic!("{:?}", texts(plan)));
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .map(|change| format!("{} {}", change["action"].as_str().unwrap(), change["part"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_program_is_put_with_what_names_it_and_replaced_and_left_alone() {
    let account = Account::start("local-provision");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("futuswarm");
    let path = file.to_str().unwrap();
    let apply = |more: &[&str]| {
        account.must_provision(&[&["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"], more].concat())
    };
    let plan = |more: &[&str]| {
        let words = [&["apply", "--image", "empty", "--plan", "--json"], more].concat();
        account.provision(&words).output().unwrap()
    };
    // Before anything is made: a mistaken file.
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let refused = account.provision(&["apply", "--image", "empty", "--yes", "--cli", path]).output().unwrap();
    assert!(
        !refused.status.success() && texts(&refused).1.contains("is no program for Linux"),
        "{:?}",
        texts(&refused)
    );

    let programs = [b"\x7fELF one".to_vec(), b"\x7fELF another".to_vec(), b"\x7fELF a third".to_vec()];
    let cloud = account.cloud();
    let bucket = format!("futuswarm-{}-{}-{}", cloud.cluster, cloud.account, cloud.region);
    let bucket = S3Bucket::new(&clients::sdk(&account).await, &bucket);
    let store = Store::forgetful(bucket.clone());
    let mut before: Option<String> = None;
    for (number, program) in programs.iter().enumerate() {
        std::fs::write(&file, program).unwrap();
        let planned = plan(&["--cli", path]);
        assert_eq!(planned.status.code(), Some(2), "{:?}", texts(&planned));
        match number {
            0 => assert!(changes(&planned).contains(&"create cli".to_owned()), "{:?}", changes(&planned)),
            _ => assert_eq!(changes(&planned), ["update cli"]),
        }
        // The connection of the program's own write is cut before its answer: it is the same object the second time.
        account.faults(&serde_json::json!([
            { "fault": { "kind": "cut" }, "service": "s3", "action": "PutObject", "path": "/cli/", "count": 1 }
        ]));
        apply(&["--cli", path]);
        account.clear_faults();
        let release = store.get::<CliRelease>(keys::CLI_RELEASE).await.unwrap().unwrap().value;
        release.check().unwrap();
        let key = keys::cli_program(&release.version, &release.sha256);
        assert_eq!(bucket.get(&key).await.unwrap().unwrap().body, *program);
        // Piece by piece, as a node fetches it.
        let mut pieces = Vec::new();
        let mut take = |piece: &[u8]| {
            pieces.extend_from_slice(piece);
            true
        };
        assert!(bucket.get_in_pieces(&key, &mut take).await.unwrap());
        assert_eq!(pieces, *program);
        let mut there = store.list(keys::CLI).await.unwrap();
        let mut expected = vec![keys::CLI_RELEASE.to_owned(), key.clone()];
        // The one before stays for a node that is fetching it, and no other does.
        expected.extend(before.replace(key));
        there.sort();
        expected.sort();
        assert_eq!(there, expected);
        for same in [plan(&["--cli", path]), plan(&[])] {
            assert_eq!((same.status.code(), changes(&same)), (Some(0), Vec::new()), "{:?}", texts(&same));
        }
    }
    assert!(!bucket.get_in_pieces("cli/0/nothing", &mut |_: &[u8]| true).await.unwrap());
}
