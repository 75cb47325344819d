//! A bake that is killed in any of its stages: its output appears whole or not at all, and the next bake succeeds.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futuswarm_testkit::Cluster;
use serde_json::Value;

/// How often a stage is tried before the test gives up hitting it: some take a tenth of a second.
const ATTEMPTS: u32 = 8;

/// A bake of this clone that has its own output, and finds no network at all.
struct Bakery {
    cluster: Cluster,
    parent: tempfile::TempDir,
}

impl Bakery {
    fn new() -> Self {
        let cluster = Cluster::of("local-e2e");
        let target = cluster.root().join("target");
        std::fs::create_dir_all(&target).unwrap();
        let parent = tempfile::Builder::new().prefix("killed-bake-").tempdir_in(&target).unwrap();
        Self { cluster, parent }
    }

    fn output(&self) -> std::path::PathBuf {
        self.parent.path().join("image")
    }

    /// Without a network: what was baked before is in the cache, or this fails.
    fn command(&self, cache: Option<&Path>) -> Command {
        let mut command = Command::new(self.cluster.program("xtask"));
        command.current_dir(self.cluster.root()).env("FUTUSWARM_WORKSPACE", self.cluster.root());
        command.args(["bake", "--allow-newer", "--output"]).arg(self.output());
        for variable in ["FUTUSWARM_MIRROR", "FUTUSWARM_SECURITY_MIRROR", "FUTUSWARM_SNAPSHOT"] {
            command.env(variable, "http://127.0.0.1:9");
        }
        if let Some(cache) = cache {
            command.env("FUTUSWARM_CACHE", cache);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Bakes, and kills the whole group of processes, as when a session is ended by force, `delay` after the stage has begun.
    /// Returns what was said and whether the kill came while the stage was at work.
    fn kill_in(&self, stage: &str, delay: Duration, cache: Option<&Path>) -> (String, bool) {
        let mut process = self.command(cache).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut stderr = process.stderr.take().unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !last_line(&said).starts_with(stage) && stderr.read(&mut byte).unwrap() == 1 {
            said.push(byte[0]);
        }
        std::thread::sleep(delay);
        let group = rustix::process::Pid::from_child(&process);
        let _ended_already = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let status = process.wait().unwrap();
        stderr.read_to_end(&mut said).unwrap();
        // A stage that has ended has its time behind its name, and its line is complete.
        let hit = last_line(&said).starts_with(stage) && status.signal() == Some(9);
        (String::from_utf8_lossy(&said).into_owned(), hit)
    }

    fn bake(&self, cache: Option<&Path>) {
        assert!(self.command(cache).status().unwrap().success());
        assert_whole(&self.output());
    }
}

/// The line that is being written.
fn last_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).rsplit('\n').next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "bakes several times: `cargo xtask test` runs it"]
fn a_bake_that_is_killed_in_any_stage_leaves_a_whole_image_or_none() {
    let bakery = Bakery::new();
    let output = bakery.output();
    bakery.bake(None);
    let first = manifest(&output);
    std::fs::remove_dir_all(&output).unwrap();
    // The first two are taken from the cache here; the next test kills the second.
    let stages: Vec<(String, f64)> = first["stages"].as_array().unwrap()[2..]
        .iter()
        .map(|stage| (stage["name"].as_str().unwrap().to_owned(), stage["seconds"].as_f64().unwrap()))
        .collect();
    assert_eq!(
        stages.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["containers", "tree", "erofs", "verity", "boot", "disk", "measure"]
    );
    for (stage, seconds) in stages {
        // In the middle first, then nearer and nearer to its beginning.
        let kill = |attempt: u32| {
            let delay = match attempt {
                0..4 => Duration::from_secs_f64(seconds / 2.0_f64.powi(attempt.cast_signed() + 1)),
                _ => Duration::ZERO,
            };
            let (said, hit) = bakery.kill_in(&stage, delay, None);
            if output.exists() {
                assert!(!hit, "{said}");
                assert_whole(&output);
                std::fs::remove_dir_all(&output).unwrap();
            }
            hit
        };
        assert!((0..ATTEMPTS).any(kill), "no kill came while {stage} was at work");
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&bakery.parent.path().display().to_string()), "{mounts}");
    bakery.bake(None);
    // Reproducible: what the killed ones left has no part in it.
    assert_eq!(manifest(&output)["disk_sha256"], first["disk_sha256"]);
}

#[test]
#[ignore = "installs all packages: `cargo xtask test` runs it"]
fn a_base_that_was_killed_is_made_again_from_the_cache_without_a_network_and_byte_for_byte_the_same() {
    let bakery = Bakery::new();
    let cache = bakery.parent.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    // The tools and the packages are there; the base tree, which is made of them, is not.
    for part in ["tools", "debs"] {
        let shared = futuswarm_paths::cache_dir().unwrap().join(part);
        std::os::unix::fs::symlink(shared, cache.join(part)).unwrap();
    }
    // What stood in for packages that nobody gives any more, if that was so.
    std::fs::create_dir(cache.join("base")).unwrap();
    for entry in std::fs::read_dir(futuswarm_paths::cache_dir().unwrap().join("base")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            std::fs::copy(&path, cache.join("base").join(path.file_name().unwrap())).unwrap();
        }
    }
    let (said, hit) = bakery.kill_in("packages", Duration::from_secs(5), Some(&cache));
    assert!(hit, "the bake was not killed while it made the base: {said}");
    let left = std::fs::read_dir(cache.join("base")).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_none_or(|extension| extension != "lock")).collect();
    assert!(left.is_empty(), "a base that was killed left something that looks like one: {left:?}");
    bakery.bake(Some(&cache));
    let stages = &manifest(&bakery.output())["stages"];
    assert_eq!((stages[1]["name"].as_str(), stages[1]["cached"].as_bool()), (Some("packages"), Some(false)));
    let made = manifest(&bakery.output())["disk_sha256"].clone();
    std::fs::remove_dir_all(bakery.output()).unwrap();
    bakery.bake(None);
    assert_eq!(manifest(&bakery.output())["disk_sha256"], made);
}

fn manifest(image: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(image.join("manifest.json")).unwrap()).unwrap()
}

fn assert_whole(image: &Path) {
    let disk = std::fs::metadata(image.join("disk.raw")).unwrap();
    assert_eq!(manifest(image)["disk_bytes"], disk.len());
    assert!(image.join("register.json").exists());
}
