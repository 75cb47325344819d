//! The measures of an app in a cluster of virtual machines: a redeployment against Docker's own, `futuswarm ps` against a bare SSH session,
//! and the memory of a manager that keeps the documents of 200 apps.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futuswarm_local_api::CloudInfo;
use futuswarm_output::eprintln;
use serde_json::Value;

use super::Figure;
use crate::cargo::Workspace;
use crate::process;
use crate::verbs::{cli, deploy};

/// Redeployments of each kind; the median counts.
const ROUNDS: usize = 5;
/// Questions of each kind; the median counts.
const QUESTIONS: usize = 21;
/// Apps with documents.
const APPS: &str = "200";
/// For what takes a cluster a moment: its SSH authority, and keys of people.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// Until a manager that has got documents is idle again: it reads the index every few seconds, and the list of keys every 12.
const IDLE: Duration = Duration::from_secs(90);
/// What the app and its peer have of a node, and how they are replaced: `app.toml`, and the same in Docker's words.
const MEMORY: &str = "32M";

pub(super) fn apps(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    workspace.build(&["futuswarm-local", "futuswarm-provision", "futuswarm-bench"])?;
    let program = cli::build(workspace)?;
    let cluster = Cluster::start(workspace)?;
    let developer = Developer::new(&cluster, program)?;
    let digest = developer.push(&cluster)?;
    let [manager, worker] = [cluster.node("manager")?, cluster.node("worker")?];
    Ok(vec![
        redeployments(&cluster, &developer, &manager, &worker, &digest)?,
        questions(&developer)?,
        memory(&cluster, &manager)?,
    ])
}

/// The cluster of the benchmark, which goes with this.
struct Cluster<'a> {
    workspace: &'a Workspace,
    spec: PathBuf,
}

impl<'a> Cluster<'a> {
    fn start(workspace: &'a Workspace) -> anyhow::Result<Self> {
        let cluster = Self { workspace, spec: workspace.root.join("e2e/specs/local-bench.toml") };
        process::run(&mut cluster.xtask(&["destroy-cluster"]))?;
        process::run(&mut cluster.xtask(&["deploy-cluster"]))?;
        Ok(cluster)
    }

    fn xtask(&self, words: &[&str]) -> Command {
        super::xtask(self.workspace, &self.spec, words)
    }

    fn status(&self) -> anyhow::Result<Value> {
        let mut status = deploy::local_provision(self.workspace, &self.spec)?;
        Ok(serde_json::from_str(&process::capture(status.args(["status", "--json"]).arg(&self.spec))?)?)
    }

    /// The first instance of a role.
    fn node(&self, role: &str) -> anyhow::Result<String> {
        let status = self.status()?;
        let node = status["nodes"].as_array().context("nodes")?.iter().find(|node| node["role"] == role);
        Ok(node.and_then(|node| node["instance"].as_str()).with_context(|| format!("a {role}"))?.to_owned())
    }

    /// Runs a command on a node; what it prints.
    fn on(&self, node: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut ssh = self.workspace.command("futuswarm-local");
        process::capture(ssh.args(["ssh", "--spec"]).arg(&self.spec).args([node, "--"]).args(words))
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if let Err(error) = process::run(&mut self.xtask(&["destroy-cluster"])) {
            eprintln!("the cluster of the benchmark stays behind: {error:#}");
        }
    }
}

/// Somebody with the command line, a key, and an app that is one static program.
struct Developer {
    /// With a short name: a control connection's socket is in it.
    folder: PathBuf,
    program: PathBuf,
    /// HOST:PORT of the way in.
    ssh: String,
}

impl Developer {
    fn new(cluster: &Cluster<'_>, program: PathBuf) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("fsw-bench.{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let status = cluster.status()?;
        let ssh = status["ssh"].as_str().context("ssh in the status")?.to_owned();
        let developer = Self { folder, program, ssh };
        let key = developer.folder.join("key");
        let mut keygen = Command::new("ssh-keygen");
        process::run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"]).arg(&key))?;
        let public = key.with_extension("pub").display().to_string();
        process::run(&mut cluster.xtask(&["user", "add", "bench", "--key", &public, "--admin"]))?;
        let authority =
            wait("the cluster's SSH authority", || Ok(cluster.status()?["ssh_host_ca"].as_str().map(str::to_owned)))?;
        let file = developer.folder.join("authority.pub");
        std::fs::write(&file, authority + "\n")?;
        let target = format!("bench@{}", developer.ssh);
        wait("the developer's key", || {
            let mut login = developer.futuswarm(&["login", &target, "--cluster", "bench", "--host-ca"]);
            login.arg(&file).arg("--identity").arg(&key).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(login.status()?.success().then_some(()))
        })?;
        Ok(developer)
    }

    fn futuswarm(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        command.env("FUTUSWARM_HOME", self.folder.join("home")).env_remove("FUTUSWARM_CLUSTER");
        command
    }

    /// Pushes the app's image; returns its digest.
    fn push(&self, cluster: &Cluster<'_>) -> anyhow::Result<String> {
        let (app, archive) = (self.folder.join("app"), self.folder.join("image.tar"));
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "--target",
            "x86_64-unknown-linux-gnu",
        ]);
        process::run(rustc.arg("-o").arg(&app).arg(cluster.workspace.root.join("e2e/apps/test_app.rs")))?;
        let mut image = cluster.workspace.command("futuswarm-bench");
        process::run(image.args(["image", "--program"]).arg(&app).arg("--output").arg(&archive))?;
        let mut push = self.futuswarm(&["image:push", "hello:1", "--json", "--archive"]);
        let pushed: Value = serde_json::from_str(&process::capture(push.arg(&archive))?)?;
        Ok(pushed["digest"].as_str().context("digest of the push")?.to_owned())
    }

    /// Deploys the app to a node, as its round says; returns the seconds to its end.
    fn deploy(&self, worker: &str, round: usize) -> anyhow::Result<f64> {
        let file = format!(
            "app = \"hello\"\nmemory = \"32 MiB\"\nstop_grace = 2\n[health]\nimage = true\n\
             [placement]\n\"futuswarm.instance\" = \"{worker}\"\n[env]\nROUND = \"{round}\"\n"
        );
        std::fs::write(self.folder.join("app.toml"), file)?;
        let began = Instant::now();
        let deployed = process::capture(&mut self.futuswarm(&["deploy", "hello", "-i", "hello:1", "--json"]))?;
        let took = began.elapsed().as_secs_f64();
        let deployed: Value = serde_json::from_str(&deployed)?;
        anyhow::ensure!(deployed["outcome"] == "deployed", "the deployment ended otherwise: {deployed}");
        Ok(took)
    }

    /// The socket of the control connection that the command line has left open.
    fn control_socket(&self) -> anyhow::Result<PathBuf> {
        let entries = std::fs::read_dir(self.folder.join("home/bench"))?;
        let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let is_socket = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("s-") && name.len() == 14
        };
        paths.find(is_socket).context("there is no control connection: is TMPDIR a folder with a long name?")
    }
}

impl Drop for Developer {
    fn drop(&mut self) {
        if let Ok(socket) = self.control_socket() {
            let mut exit = ssh_over(&socket, &self.ssh);
            let _ends_by_itself = exit.args(["-O", "exit", "futuswarm"]).stderr(Stdio::null()).status();
        }
        let _disk_space_only = std::fs::remove_dir_all(&self.folder);
    }
}

/// `ssh` over a control connection that is open; without one it fails, and makes none.
fn ssh_over(socket: &Path, place: &str) -> Command {
    let port = place.rsplit_once(':').map_or("22", |(_, port)| port);
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-T", "-p", port, "-l", "futuswarm", "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]);
    ssh.arg("-o").arg(format!("ControlPath={}", socket.display())).stdin(Stdio::null()).stdout(Stdio::null());
    ssh
}

/// Asks again and again until there is an answer.
fn wait<T>(what: &str, mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            bail!("{what} is not there after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long a command takes on this machine.
fn timed(command: &mut Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    process::run(command.stdout(Stdio::null()))?;
    Ok(began.elapsed().as_secs_f64())
}

fn redeployments(
    cluster: &Cluster<'_>,
    developer: &Developer,
    manager: &str,
    worker: &str,
    digest: &str,
) -> anyhow::Result<Figure> {
    let docker = |words: &[&str]| cluster.on(manager, &[&["sudo", "docker"], words].concat());
    // The first brings the image to the node and opens the connection.
    developer.deploy(worker, 0)?;
    docker(&["network", "create", "--driver", "overlay", "bare"])?;
    let constraint = format!("node.hostname=={worker}");
    let image = format!("127.0.0.1:5000/hello@{digest}");
    let options: &[&str] = &[
        "--quiet",
        "--name",
        "bare",
        "--network",
        "bare",
        "--constraint",
        &constraint,
        "--env",
        "PORT=8000",
        "--env",
        "ROUND=0",
        "--limit-memory",
        MEMORY,
        "--reserve-memory",
        MEMORY,
        "--limit-cpu",
        "1",
        "--stop-grace-period",
        "2s",
        "--init",
        "--restart-delay",
        "2s",
        "--update-order",
        "start-first",
        "--update-parallelism",
        "1",
        "--update-monitor",
        "5s",
        "--update-failure-action",
        "rollback",
    ];
    docker(&[&["service", "create"], options, &[image.as_str()]].concat())?;
    let (mut ours, mut theirs, mut logins) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(developer.deploy(worker, round)?);
        let variable = format!("ROUND={round}");
        let began = Instant::now();
        docker(&["service", "update", "--quiet", "--env-add", &variable, "bare"])?;
        theirs.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        cluster.on(manager, &["true"])?;
        logins.push(began.elapsed().as_secs_f64());
    }
    docker(&["service", "rm", "bare"])?;
    // The command line has its connection open already; Docker's logs in each time.
    let (ours, theirs) = (median(ours), median(theirs) - median(logins));
    Ok(Figure {
        what: "warm redeployment of a small app to healthy",
        value: ours / theirs,
        unit: "×",
        peer: format!("{ours:.1} s against {theirs:.1} s of a bare `docker service update` on the same node"),
        bar: "≤ 1.2 ×".to_owned(),
        met: ours <= 1.2 * theirs,
    })
}

fn questions(developer: &Developer) -> anyhow::Result<Figure> {
    timed(&mut developer.futuswarm(&["ps", "hello"]))?;
    let socket = developer.control_socket()?;
    let host = developer.ssh.rsplit_once(':').map_or(developer.ssh.as_str(), |(host, _)| host);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS {
        ours.push(timed(&mut developer.futuswarm(&["ps", "hello"]))? * 1000.0);
        // Its forced command runs in the place of `true`, and ends at once since nobody says anything.
        let began = Instant::now();
        let ended = ssh_over(&socket, &developer.ssh).args(["--", host, "true"]).status()?;
        theirs.push(began.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(ended.code() != Some(255), "the control connection is gone");
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let bar = 1.2 * theirs + 20.0;
    Ok(Figure {
        what: "`futuswarm ps` over an open control connection",
        value: ours,
        unit: "ms",
        peer: format!("{theirs:.0} ms of `ssh true` over the same"),
        bar: format!("≤ 1.2 × + 20 ms = {bar:.0} ms"),
        met: ours <= bar,
    })
}

fn memory(cluster: &Cluster<'_>, manager: &str) -> anyhow::Result<Figure> {
    let cloud =
        process::capture(cluster.workspace.command("futuswarm-local").args(["cloud", "--spec"]).arg(&cluster.spec))?;
    let CloudInfo { cluster: name, account, region, .. } = serde_json::from_str(&cloud)?;
    let bucket = format!("futuswarm-{name}-{account}-{region}");
    let mut apps = deploy::in_local_cloud(cluster.workspace, &cluster.spec, "futuswarm-bench")?;
    apps.args(["apps", "--bucket", &bucket, "--cluster", &name, "--count", APPS]);
    process::run(apps.stdout(Stdio::null()))?;
    std::thread::sleep(IDLE);
    let running = cluster.on(manager, &["pgrep", "-x", "futuswarm-node"])?;
    let maps: Vec<String> = running.split_whitespace().map(|pid| format!("/proc/{pid}/smaps_rollup")).collect();
    anyhow::ensure!(maps.len() == 2, "agent and control service are two processes, and {} run", maps.len());
    let words: Vec<&str> = ["sudo", "cat"].into_iter().chain(maps.iter().map(String::as_str)).collect();
    let rollups = cluster.on(manager, &words)?;
    let (shared, whole) = (mebibytes(&rollups, "Pss")?, mebibytes(&rollups, "Rss")?);
    Ok(Figure {
        what: "control service and agent of a manager, resident, idle, 200 apps",
        value: shared,
        unit: "MiB",
        peer: format!("what both have of one file counted once (PSS); {whole:.1} MiB counted twice"),
        bar: "≤ 40 MiB".to_owned(),
        met: shared <= 40.0,
    })
}

/// The sum of a line of `/proc/PID/smaps_rollup` (proc_pid_smaps(5)) of several processes.
fn mebibytes(rollups: &str, name: &str) -> anyhow::Result<f64> {
    let kilobytes =
        |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<f64>().ok();
    let all: Vec<f64> = rollups.lines().filter_map(kilobytes).collect();
    anyhow::ensure!(!all.is_empty(), "no process says its {name}: {rollups}");
    Ok(all.iter().sum::<f64>() / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_processes_and_by_name() {
        let one = "00400000-7ffd1000 ---p 00000000 00:00 0    [rollup]\nRss:      2048 kB\nPss:      1024 kB\nPss_Dirty:  512 kB\n";
        let two = format!("{one}{}", one.replace("1024", "3072"));
        assert_eq!(mebibytes(&two, "Pss").unwrap(), 4.0);
        assert_eq!(mebibytes(&two, "Rss").unwrap(), 4.0);
        assert!(mebibytes("cat: /proc/7/smaps_rollup: No such process", "Pss").is_err());
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn ssh_uses_the_connection_that_is_open_and_makes_none() {
        let ssh = ssh_over(Path::new("/tmp/fsw/s-0"), "127.0.0.1:2222");
        let words: Vec<_> = ssh.get_args().map(|word| word.to_str().unwrap()).collect();
        for word in ["2222", "ControlMaster=no", "ProxyCommand=false", "ControlPath=/tmp/fsw/s-0"] {
            assert!(words.contains(&word), "{words:?}");
        }
    }
}
