//! The emulated AWS API without machines, and programs that are killed while they use it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use futuswarm_local_api::faults::{self, Progress};
use futuswarm_local_api::{Client, CloudInfo};
use serde_json::{Value, json};

use crate::{Cluster, Image, texts};

/// The User-Agent's mark of the program under test.
const AGENT: &str = "under-test";
/// No run of a program under test takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// An emulated account, with its image registered.
pub struct Account {
    cluster: Cluster,
    cloud: CloudInfo,
    /// What publishing remembers of snapshots: those of this account are no business of the developer's own cache.
    cache: tempfile::TempDir,
}

/// How a program that was to be killed ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a program that ended by itself was not killed, and what follows tests nothing"]
pub enum Ended {
    /// It was killed after its call had been made and before it got the answer.
    Killed,
    /// It ended before it made so many calls.
    ByItself,
}

impl Account {
    /// Starts the API of the spec `e2e/specs/<name>.toml` with an image of one empty mebibyte.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let account = Self::without_image(name);
        let image = Image::new("empty", &[0; 1 << 20]);
        account.must_publish(&["--image", image.folder()]);
        account
    }

    /// Starts the API of the spec `e2e/specs/<name>.toml` with nothing in it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn without_image(name: &str) -> Self {
        Self::with(name, "--api-only")
    }

    /// Starts the API of the spec `e2e/specs/<name>.toml` and databases behind it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with_databases(name: &str) -> Self {
        Self::with(name, "--no-machines")
    }

    fn with(name: &str, extent: &str) -> Self {
        let cluster = Cluster::of(name);
        cluster.local(&["down"]);
        cluster.local(&["up", extent]);
        Self::of(cluster)
    }

    /// The account of a cluster whose local cloud runs.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn of(cluster: Cluster) -> Self {
        let cloud = serde_json::from_str(&cluster.local(&["cloud"])).expect("the cloud describes itself");
        Self { cluster, cloud, cache: tempfile::tempdir().expect("a folder") }
    }

    /// The publishing program, as the account's owner.
    #[must_use]
    pub fn publishing(&self, words: &[&str]) -> Command {
        let mut command = self.client(&self.cluster.program("futuswarm-publish").display().to_string());
        command.args(words).env("AWS_SDK_UA_APP_ID", AGENT).env("FUTUSWARM_WORKSPACE", self.cluster.root());
        command.env("FUTUSWARM_CACHE", self.cache.path());
        command
    }

    /// Publishes with these options; returns what it printed as JSON.
    ///
    /// # Panics
    /// When it fails.
    pub fn must_publish(&self, options: &[&str]) -> Value {
        let output = self.publishing(&["publish", "--json"]).args(options).output().expect("futuswarm-publish runs");
        assert!(output.status.success(), "futuswarm-publish publish {}: {:?}", options.join(" "), texts(&output));
        serde_json::from_slice(&output.stdout).expect("what was published is JSON")
    }

    /// Where the cloud keeps the content of snapshots and the folders of machines.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.cluster.state_dir()
    }

    /// The provisioning program, as the account's owner.
    #[must_use]
    pub fn provision(&self, words: &[&str]) -> Command {
        let mut command = self.client(&self.cluster.program("futuswarm-provision").display().to_string());
        command.args(words).arg(self.cluster.spec()).env("AWS_SDK_UA_APP_ID", AGENT);
        command.env("FUTUSWARM_URL", &self.cloud.url);
        command.env("FUTUSWARM_SSH_PUBLIC_KEY", &self.cloud.ssh_public_key);
        command
    }

    /// Runs the provisioning program with the account's spec after these replacements, to its end.
    ///
    /// # Panics
    /// When the spec does not have what is to be replaced, or the program does not run.
    #[must_use]
    pub fn provision_with(&self, words: &[&str], replacements: &[(&str, &str)]) -> Output {
        let mut text = std::fs::read_to_string(self.cluster.spec()).expect("the spec");
        for (from, to) in replacements {
            assert!(text.contains(from), "{from} is in the spec");
            text = text.replace(from, to);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let spec = folder.path().join("spec.toml");
        std::fs::write(&spec, text).expect("another spec");
        let ours = self.provision(words);
        let mut command = Command::new(ours.get_program());
        command.args(words).arg(spec).stdin(Stdio::null());
        for (key, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.output().expect("futuswarm-provision runs")
    }

    /// Runs the provisioning program to its end; returns its stderr.
    ///
    /// # Panics
    /// When it fails.
    pub fn must_provision(&self, words: &[&str]) -> String {
        let output = self.provision(words).output().expect("futuswarm-provision runs");
        let (_, stderr) = texts(&output);
        assert!(output.status.success(), "futuswarm-provision {} failed: {stderr}", words.join(" "));
        stderr
    }

    /// Runs the provisioning program and kills it right after its call number `calls` has been made.
    ///
    /// # Panics
    /// When it neither makes so many calls nor ends.
    pub fn kill_after(&self, calls: u32, words: &[&str]) -> Ended {
        self.kill_program_after(calls, self.provision(words))
    }

    /// Runs a program of this account and kills it right after its call number `calls` has been made.
    ///
    /// # Panics
    /// When it neither makes so many calls nor ends.
    pub fn kill_program_after(&self, calls: u32, mut program: Command) -> Ended {
        // Everything from there on hangs: whatever the program does at the same time must not get further either.
        self.faults(&json!({ "fault": { "kind": "lost" }, "agent": AGENT, "after": calls - 1, "count": 1_000_000 }));
        let program = program.stdout(Stdio::null()).stderr(Stdio::null());
        let mut program = program.spawn().expect("the program under test runs");
        let started = Instant::now();
        let ended = loop {
            if program.try_wait().expect("its state").is_some() {
                break Ended::ByItself;
            }
            if self.progress().all.hit > 0 {
                break Ended::Killed;
            }
            assert!(started.elapsed() < PATIENCE, "neither {calls} calls nor an end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let _already_ended = program.kill();
        let _status = program.wait();
        // What was under way then is done, as on AWS; nobody starts the next run as fast as a test.
        let under_way = || {
            let all = self.progress().all;
            all.done < all.seen
        };
        while under_way() {
            assert!(started.elapsed() < PATIENCE, "calls that were under way have not ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.clear_faults();
        ended
    }

    /// Injects faults of the API; see `futuswarm-local api-faults --help`.
    ///
    /// # Panics
    /// When these are none, or the local cloud does not run.
    pub fn faults(&self, faults: &Value) {
        let rules = faults::parse(faults.to_string().as_bytes()).expect("faults");
        self.control().set_api_faults(&rules).expect("the daemon sets them");
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.faults(&json!({ "fault": { "kind": "internal" }, "agent": AGENT, "count": 0 }));
    }

    /// Calls of the program under test since faults were last set.
    ///
    /// # Panics
    /// When the local cloud does not run.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.control().api_faults().expect("the daemon counts")
    }

    /// The daemon itself, not its program: whoever waits for the moment of a kill asks hundreds of times, and a process for each
    /// question would be most of the work.
    fn control(&self) -> Client {
        Client::of(&self.cluster.state_dir())
    }

    /// What boto3 sees of the account.
    ///
    /// # Panics
    /// When the script fails.
    #[must_use]
    pub fn inventory(&self) -> Value {
        let output = self.python("e2e/inventory.py", &[]);
        assert!(output.status.success(), "{:?}", texts(&output));
        serde_json::from_slice(&output.stdout).expect("the inventory is JSON")
    }

    /// Runs a Python script of the clone, which may use boto3.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn python(&self, script: &str, words: &[&str]) -> Output {
        let root = self.cluster.root();
        let mut command = self.client(&self.cloud.python);
        // Scripts import from what all share, and the clone stays as it is.
        command.env("PYTHONPATH", root.join("e2e")).env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(root.join(script)).args(words).output().expect("Python runs")
    }

    /// Makes calls as the account's owner, through boto3: see `e2e/call.py`.
    ///
    /// # Panics
    /// When the script fails; that a call is refused is an outcome like others.
    #[must_use]
    pub fn call(&self, calls: &Value) -> Vec<Value> {
        let mut command = self.client(&self.cloud.python);
        command.arg(self.cluster.root().join("e2e/call.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("Python runs");
        process.stdin.take().expect("its input").write_all(calls.to_string().as_bytes()).expect("it reads");
        let output = process.wait_with_output().expect("Python ends");
        assert!(output.status.success(), "{:?}", texts(&output));
        serde_json::from_slice(&output.stdout).expect("outcomes are JSON")
    }

    /// `status --json`.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn status(&self) -> Value {
        let output = self.provision(&["status", "--json"]).output().expect("futuswarm-provision runs");
        assert!(output.status.success(), "{:?}", texts(&output));
        serde_json::from_slice(&output.stdout).expect("status is JSON")
    }

    /// Makes calls as the node at `address`, which has no machine: see `e2e/as_node.py`.
    ///
    /// # Panics
    /// When the metadata service gives it no credentials.
    #[must_use]
    pub fn as_node(&self, address: &str, calls: &Value) -> Value {
        let words = [self.cloud.node_endpoint.as_str(), self.cloud.region.as_str()];
        self.at_node("e2e/as_node.py", address, &words, calls)
    }

    /// Runs a Python script of the clone where the node at `address` would be, which has no machine, with the image's own way to
    /// the VPC's names. Gives it the address, then `words`, and `input` as JSON; returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn at_node(&self, script: &str, address: &str, words: &[&str], input: &Value) -> Value {
        let netns = self.cloud.netns.as_str();
        let _borrowed = Borrowed::take(netns, address);
        let root = self.cluster.root();
        let mut command = Command::new("ip");
        // `ip netns exec` has a mount namespace of its own, so nobody else sees the other resolver.
        command.args(["netns", "exec", netns, "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
        command.arg(root.join("images/node/rootfs/etc/resolv.conf")).arg(&self.cloud.python).arg(root.join(script));
        command.arg(address).args(words).env("NO_PROXY", "*").env("no_proxy", "*");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("Python runs");
        process.stdin.take().expect("its input").write_all(input.to_string().as_bytes()).expect("it reads");
        let output = process.wait_with_output().expect("Python ends");
        assert!(output.status.success(), "{:?}", texts(&output));
        serde_json::from_slice(&output.stdout).expect("what it prints is JSON")
    }

    /// A variable of the environment that AWS clients need.
    ///
    /// # Panics
    /// When there is no such variable.
    #[must_use]
    pub fn setting(&self, key: &str) -> &str {
        self.cloud.environment.get(key).unwrap_or_else(|| panic!("the cloud has a variable {key}"))
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Neither a profile nor an endpoint of whoever runs the tests.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(key);
        }
        command.envs(&self.cloud.environment);
        // What is started here asks addresses of the local cloud only, loopback or inside its namespace.
        command.env("NO_PROXY", "*").env("no_proxy", "*").stdin(Stdio::null());
        command
    }

    /// The local cloud that the account is in, with its state folder and ports.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What the cloud says of itself.
    #[must_use]
    pub fn cloud(&self) -> &CloudInfo {
        &self.cloud
    }
}

/// An address of the VPC that this machine itself has inside the network namespace, until this is dropped.
struct Borrowed<'a> {
    netns: &'a str,
    address: String,
}

impl<'a> Borrowed<'a> {
    fn take(netns: &'a str, address: &str) -> Self {
        let borrowed = Self { netns, address: format!("{address}/32") };
        assert!(borrowed.ip("add"), "{} in {netns}", borrowed.address);
        borrowed
    }

    fn ip(&self, what: &str) -> bool {
        let words = ["-n", self.netns, "address", what, &self.address, "dev", "vpc"];
        Command::new("ip").args(words).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // It goes with the namespace at the latest.
        let _best_effort = self.ip("del");
    }
}
