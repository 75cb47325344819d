//! A bake that is killed at any moment: its output appears whole or not at all, and the next bake succeeds.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futuswarm_testkit::Cluster;
use serde_json::Value;

/// A bake with cached packages takes about ten seconds on two cores.
const MOMENTS: [u64; 4] = [1500, 4000, 6500, 9000];

#[test]
#[ignore = "bakes several times: `cargo xtask test` runs it"]
fn a_killed_bake_leaves_a_whole_image_or_none() {
    let cluster = Cluster::of("local-e2e");
    let target = cluster.root().join("target");
    std::fs::create_dir_all(&target).unwrap();
    let parent = tempfile::Builder::new().prefix("killed-bake-").tempdir_in(&target).unwrap();
    let output = parent.path().join("image");
    let bake = || {
        let mut command = Command::new(cluster.program("xtask"));
        command.current_dir(cluster.root()).env("FUTUSWARM_WORKSPACE", cluster.root());
        command.args(["bake", "--allow-newer", "--output"]).arg(&output);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    for moment in MOMENTS {
        let mut process = bake().stderr(Stdio::null()).process_group(0).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        // The whole group, as when the terminal's session is ended by force.
        let group = format!("-{}", process.id());
        let _ended_already = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status().unwrap();
        process.wait().unwrap();
        if output.exists() {
            assert_whole(&output);
            std::fs::remove_dir_all(&output).unwrap();
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&parent.path().display().to_string()), "{mounts}");
    assert!(bake().status().unwrap().success());
    assert_whole(&output);
    // Reproducible: what the killed ones left has no part in it.
    let other = target.join("images/latest/manifest.json");
    assert_eq!(manifest(&output)["disk_sha256"], manifest(other.parent().unwrap())["disk_sha256"]);
}

fn manifest(image: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(image.join("manifest.json")).unwrap()).unwrap()
}

fn assert_whole(image: &Path) {
    let disk = std::fs::metadata(image.join("disk.raw")).unwrap();
    assert_eq!(manifest(image)["disk_bytes"], disk.len());
    assert!(image.join("register.json").exists());
}
