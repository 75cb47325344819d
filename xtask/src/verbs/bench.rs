//! `cargo xtask bench`: speed and size. Where there is a floor, it is measured in the same run and the figure is a ratio; figures of
//! peers (Bottlerocket, Terraform) were taken elsewhere and are shown to compare with, not to be held against a bar.

mod account;
mod apps;
mod developers;
mod edge;
mod provision;
mod publish;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use futuswarm_image_format::{ImageFolder, Manifest};
use futuswarm_output::{eprintln, println};
use serde_json::{Value, json};

use crate::cargo::Workspace;
use crate::verbs::{bake, deploy};
use crate::{host, preconditions, process};

/// Measure speed and size; fails when a bar is missed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench                       everything; about forty minutes
  cargo xtask bench config cli push dispatch list    what developers of apps wait for, without virtual machines
  cargo xtask bench edge                  HAProxy with the edge's configuration, against one configured by hand; five minutes
  cargo xtask bench payload reproducible  only these
  cargo xtask bench --json > bench.json")]
pub struct Bench {
    /// What to measure [default: everything].
    what: Vec<What>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A bake without cached packages, against a bare mmdebstrap of the same packages.
    BakeCold,
    /// A bake after a change of the node binary.
    Rebake,
    /// Two bakes in different folders.
    Reproducible,
    /// Bytes of the image that are not zero.
    Payload,
    /// Power-on to three Ready nodes, against a naive join on a bare image; and the agent's memory.
    Boot,
    /// A whole cluster from nothing in an emulated account, and a plan that finds nothing to do.
    Provision,
    /// A full upload of 300 MiB to the local EBS endpoint.
    Upload,
    /// The share of an image that is sent when only the node binary changed.
    Delta,
    /// Building `cargo xtask` from nothing.
    Help,
    /// 100 config keys out of S3 and KMS, against an object and a data key for each of them, in series.
    Config,
    /// Start and size of the developers' command line.
    Cli,
    /// A push of an image of which one layer has changed.
    Push,
    /// Authorisation and dispatch of a request by the control service.
    Dispatch,
    /// `app:list` of 1,000 apps with five releases each, over a simulated S3.
    List,
    /// The edge's HAProxy against one configured by hand: requests through one service; 1,000 services rendered, checked, loaded, and in
    /// memory.
    Edge,
    /// An app in a cluster of virtual machines: a redeployment against Docker's own, `futuswarm ps` against a bare SSH session, and a
    /// manager's memory with 200 apps.
    Apps,
}

impl What {
    /// Whether it boots or sends the baked image, or bakes another one.
    fn needs_image(self) -> bool {
        !matches!(self, Self::Help | Self::Config | Self::Cli | Self::Push | Self::Dispatch | Self::List | Self::Edge)
    }
}

/// A line of the table: what was measured, and what it has to reach.
struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
    /// What to compare with: measured in this run, or said to be from elsewhere.
    peer: String,
    bar: String,
    met: bool,
}

impl Bench {
    /// Measures what is asked for, and prints each figure beside its floor or bar.
    pub fn run(self) -> anyhow::Result<()> {
        preconditions::root()?;
        preconditions::folders()?;
        let workspace = Workspace::find()?;
        workspace.announce()?;
        host::prepare(true)?;
        let all = What::value_variants();
        let what = if self.what.is_empty() { all } else { &self.what };
        if what.iter().any(|what| what.needs_image()) {
            bake::bake(&workspace, &["--allow-newer".into()])?;
        }
        let mut figures = Vec::new();
        for measure in what {
            eprintln!(
                "== {}",
                measure.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
            );
            match measure {
                What::BakeCold => figures.push(bake_cold(&workspace)?),
                What::Rebake => figures.push(rebake(&workspace)?),
                What::Reproducible => figures.push(reproducible(&workspace)?),
                What::Payload => figures.push(payload(&workspace)?),
                What::Boot => figures.extend(boot(&workspace)?),
                What::Provision => figures.extend(provision::provision(&workspace)?),
                What::Upload => figures.push(publish::upload(&workspace)?),
                What::Delta => figures.push(publish::delta(&workspace)?),
                What::Help => figures.push(help(&workspace)?),
                What::Config => figures.extend(developers::config(&workspace)?),
                What::Cli => figures.extend(developers::cli(&workspace)?),
                What::Push => figures.push(developers::push(&workspace)?),
                What::Dispatch => figures.push(developers::dispatch(&workspace)?),
                What::List => figures.extend(developers::list(&workspace)?),
                What::Edge => figures.extend(edge::edge(&workspace)?),
                What::Apps => figures.extend(apps::apps(&workspace)?),
            }
        }
        if self.json {
            let list: Vec<Value> = figures
                .iter()
                .map(|figure| json!({ "what": figure.what, "value": figure.value, "unit": figure.unit, "peer": figure.peer, "bar": figure.bar, "met": figure.met }))
                .collect();
            println!("{}", serde_json::to_string_pretty(&list)?);
        } else {
            println!("| what | measured | floor of this run, or peer | bar | |\n|---|---|---|---|---|");
            for figure in &figures {
                let mark = if figure.met { "met" } else { "**missed**" };
                println!(
                    "| {} | {:.2} {} | {} | {} | {mark} |",
                    figure.what, figure.value, figure.unit, figure.peer, figure.bar
                );
            }
        }
        let missed = figures.iter().filter(|figure| !figure.met);
        let missed: Vec<String> = missed
            .map(|figure| format!("{}: {:.2} {} instead of {}", figure.what, figure.value, figure.unit, figure.bar))
            .collect();
        anyhow::ensure!(missed.is_empty(), "a bar was missed: {}", missed.join("; "));
        Ok(())
    }
}

/// A folder below the target folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workspace: &Workspace, name: &str) -> anyhow::Result<Self> {
        let dir = workspace.root.join("target/bench").join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _disk_space_only = std::fs::remove_dir_all(&self.0);
    }
}

fn manifest(dir: &Path) -> anyhow::Result<Manifest> {
    Ok(ImageFolder::new(dir).manifest()?)
}

fn latest(workspace: &Workspace) -> PathBuf {
    workspace.root.join("target/images/latest")
}

fn bake_cold(workspace: &Workspace) -> anyhow::Result<Figure> {
    let scratch = Scratch::new(workspace, "cold")?;
    let manifest = manifest(&latest(workspace))?;
    let names: Vec<&str> = manifest.packages.iter().map(|package| package.name.as_str()).collect();
    let started = Instant::now();
    let bare = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={}", names.join(",")))
        .arg("trixie")
        .arg(scratch.0.join("bare.tar"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !bare.success() {
        bail!("the bare mmdebstrap failed");
    }
    let floor = started.elapsed().as_secs_f64();
    // The tools tree stays: it is made once per machine, and the peer brings none.
    let cache = scratch.0.join("cache");
    std::fs::create_dir_all(&cache)?;
    std::os::unix::fs::symlink(futuswarm_paths::cache_dir()?.join("tools"), cache.join("tools"))?;
    let started = Instant::now();
    run_bake(workspace, &scratch.0.join("image"), &workspace.program("futuswarm-node"), Some(&cache))?;
    let ours = started.elapsed().as_secs_f64();
    Ok(Figure {
        what: "bake, cold caches (tools tree there)",
        value: ours / floor,
        unit: "×",
        peer: format!("{ours:.0} s against {floor:.0} s of bare mmdebstrap"),
        bar: "≤ 1.5 ×".to_owned(),
        met: ours <= 1.5 * floor,
    })
}

/// The pipeline alone; what it bakes from is built already.
fn run_bake(workspace: &Workspace, output: &Path, node: &Path, cache: Option<&Path>) -> anyhow::Result<()> {
    let standalone = workspace.build_static()?;
    let mut command = workspace.command("futuswarm-bake");
    command
        .env("FUTUSWARM_NODE_BINARY", node)
        .env("FUTUSWARM_INIT_BINARY", standalone.join("futuswarm-init"))
        .env("FUTUSWARM_MAINPAGE_BINARY", standalone.join("futuswarm-mainpage"))
        .env("FUTUSWARM_PROBE_BINARY", standalone.join("futuswarm-probe"))
        .arg("--allow-newer")
        .arg("--output")
        .arg(output);
    if let Some(cache) = cache {
        command.env("FUTUSWARM_CACHE", cache);
    }
    process::run(&mut command)
}

fn rebake(workspace: &Workspace) -> anyhow::Result<Figure> {
    let scratch = Scratch::new(workspace, "rebake")?;
    let changed = scratch.0.join("futuswarm-node");
    let mut bytes = std::fs::read(workspace.program("futuswarm-node"))?;
    bytes.extend_from_slice(format!("changed by bench in process {}", std::process::id()).as_bytes());
    std::fs::write(&changed, bytes)?;
    let started = Instant::now();
    run_bake(workspace, &scratch.0.join("image"), &changed, None)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Figure {
        what: "bake, only the node binary changed",
        value: seconds,
        unit: "s",
        peer: "–".to_owned(),
        bar: "≤ 15 s".to_owned(),
        met: seconds <= 15.0,
    })
}

fn reproducible(workspace: &Workspace) -> anyhow::Result<Figure> {
    let scratch = Scratch::new(workspace, "twice")?;
    let mut hashes = Vec::new();
    for name in ["one", "somewhere/else"] {
        let dir = scratch.0.join(name);
        run_bake(workspace, &dir, &workspace.program("futuswarm-node"), None)?;
        hashes.push(manifest(&dir)?.disk_sha256);
    }
    let same = hashes[0] == hashes[1] && !hashes[0].is_empty();
    Ok(Figure {
        what: "two bakes in different folders",
        value: if same { 1.0 } else { 2.0 },
        unit: "distinct sha256",
        peer: hashes[0].chars().take(12).collect(),
        bar: "1".to_owned(),
        met: same,
    })
}

fn payload(workspace: &Workspace) -> anyhow::Result<Figure> {
    let mib = manifest(&latest(workspace))?.payload_bytes as f64 / f64::from(1 << 20);
    Ok(Figure {
        what: "payload (bytes that are not zero)",
        value: mib,
        unit: "MiB",
        peer: "Bottlerocket: 663 MiB (not of this run)".to_owned(),
        bar: "≤ 350 MiB".to_owned(),
        met: mib <= 350.0,
    })
}

/// This program again, for a verb about the local cluster of a spec.
fn xtask(workspace: &Workspace, spec: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| OsString::from("xtask").into()));
    command.args(words).arg("--local").arg("--spec").arg(spec).env("FUTUSWARM_WORKSPACE", &workspace.root);
    command
}

fn boot(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    // Of its own: a cloud that somebody uses is neither destroyed nor measured.
    let spec = workspace.root.join("e2e/specs/local-bench.toml");
    let xtask = |words: &[&str]| xtask(workspace, &spec, words);
    process::run(&mut xtask(&["destroy-cluster"]))?;
    workspace.build(&["futuswarm-local"])?;
    let floor = process::capture(workspace.command("futuswarm-local").args(["naive-join", "--spec"]).arg(&spec))?;
    let floor: f64 = floor.trim().parse().context("the seconds of the naive join")?;
    process::run(&mut xtask(&["deploy-cluster"]))?;
    let mut status = deploy::local_provision(workspace, &spec)?;
    let status: Value = serde_json::from_str(&process::capture(status.args(["status", "--json"]).arg(&spec))?)?;
    let nodes = status["nodes"].as_array().context("nodes")?;
    let slowest = nodes.iter().filter_map(|node| node["joined_seconds"].as_f64()).fold(0.0, f64::max);
    // Idle is after cloud-init, which starts when the edge serves.
    std::thread::sleep(std::time::Duration::from_secs(60));
    let worker = nodes
        .iter()
        .find(|node| node["role"] == "worker")
        .and_then(|node| node["instance"].as_str())
        .context("a worker")?;
    let resident = process::capture(workspace.command("futuswarm-local").args(["ssh", "--spec"]).arg(&spec).args([
        worker,
        "--",
        "ps",
        "-o",
        "rss=",
        "-C",
        "futuswarm-node",
    ]))?;
    let mib = resident.trim().parse::<f64>().context("the agent's resident memory")? / 1024.0;
    process::run(&mut xtask(&["destroy-cluster"]))?;
    Ok(vec![
        Figure {
            what: "power-on → 3 nodes Ready (1 vCPU each)",
            value: slowest / floor,
            unit: "×",
            peer: format!("{slowest:.0} s against {floor:.0} s of a naive join on a bare image"),
            bar: "≤ 1.25 ×".to_owned(),
            met: slowest <= 1.25 * floor,
        },
        Figure {
            what: "node agent, resident memory, idle",
            value: mib,
            unit: "MiB",
            peer: "–".to_owned(),
            bar: "≤ 25 MiB".to_owned(),
            met: mib <= 25.0,
        },
    ])
}

fn help(workspace: &Workspace) -> anyhow::Result<Figure> {
    let scratch = Scratch::new(workspace, "help")?;
    let started = Instant::now();
    let mut build = workspace.cargo(&["build", "--quiet", "--package", "xtask"]);
    process::run(build.env("CARGO_TARGET_DIR", scratch.0.join("target")))?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Figure {
        what: "cold build of `cargo xtask --help`",
        value: seconds,
        unit: "s",
        peer: "–".to_owned(),
        bar: "≤ 30 s".to_owned(),
        met: seconds <= 30.0,
    })
}
