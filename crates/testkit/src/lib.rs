//! What end-to-end tests need: a cluster driven as its operator drives it, patience with deadlines, and a count of leftovers.

pub mod answers;
mod api;
mod image;
mod run;
mod terminal;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use futuswarm_local_api::http::{self, Endpoint};
use futuswarm_local_api::place;
use serde_json::Value;

pub use api::{Account, Ended};
pub use image::Image;
pub use terminal::Talk;

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A cluster of the local cloud, destroyed when this is dropped; not when `FUTUSWARM_TESTS_KEEP` names a folder to keep it in.
pub struct Cluster {
    spec: PathBuf,
    name: String,
    root: PathBuf,
    state: PathBuf,
}

/// What a cluster has left on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Processes inside its network namespace, with its mark in their environment, or its state folder on their command line:
    /// process id and command line.
    pub processes: Vec<String>,
    /// Network namespaces.
    pub namespaces: Vec<String>,
    /// Mounts of or below its state folder.
    pub mounts: Vec<String>,
}

impl Cluster {
    /// The cluster `name` of the spec `e2e/specs/<name>.toml`, with free ports and a state folder of this process's own, so that
    /// it matters to nobody what else runs. Nothing is started.
    ///
    /// # Panics
    /// When the clone cannot be found.
    #[must_use]
    pub fn of(name: &str) -> Self {
        // Not where this was compiled: a build may be kept from another clone.
        let root = futuswarm_paths::workspace_root().expect("the clone");
        let program =
            std::env::var_os("FUTUSWARM_XTASK").map(|xtask| Path::new(&xtask).with_file_name("futuswarm-local"));
        let state = run::state(program.as_deref()).to_owned();
        let spec = run::spec(&state, name, &root.join("e2e/specs").join(format!("{name}.toml")));
        Self { spec, name: name.to_owned(), root, state }
    }

    /// Runs `cargo xtask` with these words, and the cluster's spec changed so.
    ///
    /// # Panics
    /// When the spec does not have what is to be replaced, or the command fails.
    pub fn must_with(&self, words: &[&str], from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.spec).expect("the spec");
        assert!(text.contains(from), "{from} is in the spec");
        let folder = tempfile::tempdir().expect("a folder");
        let spec = folder.path().join("spec.toml");
        std::fs::write(&spec, text.replacen(from, to, 1)).expect("another spec");
        let output = self.xtask_for(&spec, words);
        assert!(output.status.success(), "cargo xtask {}: {:?}", words.join(" "), texts(&output));
    }

    /// Runs `cargo xtask` with these words and `--local --spec`.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn xtask(&self, words: &[&str]) -> Output {
        self.xtask_for(&self.spec, words)
    }

    /// Like [`Self::must`], with something to read on its standard input.
    ///
    /// # Panics
    /// When it fails; its words are in the message, and what it was given is not.
    pub fn must_with_input(&self, words: &[&str], input: &str) -> String {
        let mut command = self.xtask_command(&self.spec, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("xtask runs");
        process.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        let output = process.wait_with_output().expect("xtask ends");
        assert!(output.status.success(), "cargo xtask {}: {:?}", words.join(" "), texts(&output));
        texts(&output).0
    }

    fn xtask_for(&self, spec: &Path, words: &[&str]) -> Output {
        self.xtask_command(spec, words).stdin(Stdio::null()).output().expect("xtask runs")
    }

    fn xtask_command(&self, spec: &Path, words: &[&str]) -> Command {
        let mut command = match std::env::var_os("FUTUSWARM_XTASK") {
            Some(program) => Command::new(program),
            None => {
                let mut cargo = Command::new("cargo");
                cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
                cargo
            }
        };
        let (before, after) = words.split_at(words.iter().position(|word| *word == "--").unwrap_or(words.len()));
        command.current_dir(&self.root).env("FUTUSWARM_WORKSPACE", &self.root).args(before);
        command.env(futuswarm_paths::STATE_VARIABLE, &self.state);
        command.arg("--local").arg("--spec").arg(spec).args(after);
        command
    }

    /// The spec's path.
    #[must_use]
    pub fn spec(&self) -> &Path {
        &self.spec
    }

    /// The state folder that its commands use, as `FUTUSWARM_STATE`.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The clone.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A program of the workspace, which must be built.
    ///
    /// # Panics
    /// Outside of `cargo xtask test`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        PathBuf::from(std::env::var_os("FUTUSWARM_XTASK").expect("run through `cargo xtask test`")).with_file_name(name)
    }

    /// Runs the local cloud's own program, which must be built, with these words and `--spec`. Returns its output.
    ///
    /// # Panics
    /// When it cannot be run or fails.
    pub fn local(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.program("futuswarm-local"));
        command.env("FUTUSWARM_WORKSPACE", &self.root).env(futuswarm_paths::STATE_VARIABLE, &self.state);
        command.arg(words[0]).arg("--spec").arg(&self.spec).args(&words[1..]);
        let output = command.stdin(Stdio::null()).output().expect("futuswarm-local runs");
        assert!(output.status.success(), "futuswarm-local {}: {:?}", words.join(" "), texts(&output));
        texts(&output).0
    }

    /// Like [`Self::xtask`], and it must succeed. Returns standard output and standard error.
    ///
    /// # Panics
    /// When it fails; its words are in the message.
    pub fn must(&self, words: &[&str]) -> (String, String) {
        let output = self.xtask(words);
        let (out, stderr) = texts(&output);
        assert!(
            output.status.success(),
            "cargo xtask {} failed with {}:\n{out}{stderr}{}",
            words.join(" "),
            output.status,
            self.consoles()
        );
        (out, stderr)
    }

    /// `status --json`.
    ///
    /// # Panics
    /// When it fails or is not JSON.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["status", "--json"]).0).expect("status is JSON")
    }

    /// Ids of the nodes that are ready.
    #[must_use]
    pub fn ready(&self) -> Vec<String> {
        let status = self.status();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let ready = nodes.iter().filter(|node| node["ready"] == true);
        ready.filter_map(|node| node["instance"].as_str().map(str::to_owned)).collect()
    }

    /// Looks until `probe` says yes.
    ///
    /// # Panics
    /// When the deadline passes; the nodes' last words are in the message.
    pub fn wait(&self, what: &str, deadline: Duration, mut probe: impl FnMut() -> bool) {
        let started = Instant::now();
        while !probe() {
            assert!(started.elapsed() < deadline, "waited {} s for {what}{}", deadline.as_secs(), self.consoles());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The cluster's state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        place::cluster_dir(&self.state, &self.name)
    }

    /// What is left of the cluster on this machine.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        let netns = place::network_namespace(&self.state_dir(), &self.name);
        let dir = self.state_dir().display().to_string();
        let mark = format!("{}={dir}", place::CLUSTER_VARIABLE);
        let mut left = Leftovers::default();
        let inode = |path: &str| std::fs::metadata(path).ok().map(|found| std::os::unix::fs::MetadataExt::ino(&found));
        let ours = inode(&format!("/run/netns/{netns}"));
        if ours.is_some() {
            left.namespaces.push(netns);
        }
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = process.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let inside = ours.is_some() && inode(&format!("/proc/{pid}/ns/net")) == ours;
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
            if inside || marked || line.contains(&format!("{dir}/")) {
                left.processes.push(format!("{pid} {}", line.chars().take(120).collect::<String>()));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        left.mounts.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
        left
    }

    /// Everything a running node has written to its serial console.
    #[must_use]
    pub fn console(&self, instance: &str) -> String {
        let log = place::console_log(&place::machines(&self.state_dir()).join(instance));
        String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
    }

    /// The last lines of every console, for messages.
    fn consoles(&self) -> String {
        let mut text = String::new();
        for vm in std::fs::read_dir(place::machines(&self.state_dir())).into_iter().flatten().flatten() {
            let console = std::fs::read(place::console_log(&vm.path())).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let lines: Vec<&str> = console.lines().collect();
            text.push_str(&format!(
                "\n--- console of {}\n{}",
                vm.file_name().to_string_lossy(),
                lines[lines.len().saturating_sub(15)..].join("\n")
            ));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if run::kept().is_none() {
            let _best_effort = self.xtask(&["destroy-cluster"]);
        }
    }
}

/// Standard output and standard error as text.
#[must_use]
pub fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// GET over plain HTTP; the whole answer, head and body.
///
/// # Errors
/// When nobody answers within five seconds.
pub fn get(url: &str) -> Result<String, http::Error> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let answer = http::exchange(Endpoint::Tcp(address), "GET", "/", b"", Duration::from_secs(5))?;
    Ok(format!("{}\r\n\r\n{}", answer.head, String::from_utf8_lossy(&answer.body)))
}
