//! `cargo xtask test` and `cargo xtask lint`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use futuswarm_output::eprintln;

use crate::ahead::Ahead;
use crate::cargo::{Workspace, compile};
use crate::{host, preconditions, process, verbs};

mod suites;

/// Files of `e2e/tests/` whose ignored tests run side by side in every `cargo xtask test`, and so in CI: none needs more than
/// an emulated account. Those that take longest begin first, so that none is alone at the end. With [`MACHINE`] and everything
/// else they are to end within an hour on two cores with an empty cache. A tidy test compares the lists with the folder.
pub const ACCOUNTS: &[&str] = &[
    "kill_after_every_call",
    "error_messages",
    "swarm_epochs",
    "publishing_under_faults",
    "spec_variants",
    "drift",
    "lost_answers",
    "answers_beyond_the_emulator",
    "refused_before_anything_is_made",
    "sealing",
    "command_line",
    "requests_match_service_models",
    "least_privilege",
];

/// Files whose ignored tests every `cargo xtask test` runs one after the other, since each wants the whole machine.
pub const MACHINE: &[&str] = &["node_firewall", "killed_bake", "cluster_lifecycle"];

/// Files whose ignored tests only `cargo xtask test --long` runs: hours of virtual machines. It runs the others before them.
pub const LONG: &[&str] = &[
    "apps",
    "machines_end_in_order",
    "deaths_and_outages",
    "manager_dies",
    "node_isolation",
    "every_service_is_reached",
    "login",
];

/// What `e2e/tests/kill_after_every_call.rs` and the deaths of managers in `crates/server` read: a kill after every so many calls of a
/// run. With another one than 1 `swarm_epochs` kills less often, too.
const KILL_STEP: &str = "FUTUSWARM_KILL_STEP";
/// The step without `--long`; a kill after every call takes five minutes more on a fast machine.
const SHORT_KILL_STEP: &str = "10";
/// The step with `--long`. It has to be said: tests of `crates/server` that are run without it take a larger one.
const LONG_KILL_STEP: &str = "1";

/// The line of `clusters/local.toml` that names the cluster.
const USUAL_NAME: &str = "cluster = \"local\"";

/// Run the tests: unit, snapshot, integration, BATS, and the end-to-end test with real virtual machines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test                 what CI runs; boots the baked image as a small cluster
  cargo xtask test --long          also what takes hours: every way to fail, in virtual machines
  cargo xtask test --quick         no virtual machines and no bake
  cargo xtask test --quick genesis only tests with this in their name")]
pub struct Test {
    /// Leave out what boots virtual machines.
    #[arg(long)]
    quick: bool,
    /// Also what takes hours, before a release or after a change of the node's state machine.
    #[arg(long, conflicts_with = "quick")]
    long: bool,
    /// Only tests with this in their name; leaves out BATS and the end-to-end test.
    filter: Option<String>,
}

impl Test {
    /// Runs every suite of CI, the cheap ones first; the first that fails ends it.
    pub fn run(self) -> anyhow::Result<()> {
        if self.filter.is_none() {
            preconditions::root()?;
        }
        preconditions::folders()?;
        let workspace = Workspace::find()?;
        workspace.announce()?;
        host::prepare(true)?;
        formatting(&workspace)?;
        let emulator = self.filter.is_none().then(Ahead::of_local_cloud);
        let ahead = (self.filter.is_none() && !self.quick).then(|| Ahead::of_first_bake(&workspace)).transpose()?;
        step("compiling the programs and their tests", || {
            compile(&mut workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))
        })?;
        drop((ahead, emulator));
        let tools = step("tools tree", || process::capture(workspace.command("futuswarm-bake").arg("--tools-only")))?;
        let kill_step = kill_step(self.long, std::env::var_os(KILL_STEP).is_some());
        step("unit, snapshot and integration tests", || {
            let mut tests = workspace.cargo(&["test", "--quiet", "--workspace"]);
            tests.envs(kill_step);
            process::run(tests.env("FUTUSWARM_WORKSPACE", &workspace.root).args(self.filter.as_ref()))
        })?;
        if self.filter.is_some() {
            return Ok(());
        }
        if self.quick {
            return step("what an operator types", || operator(&workspace, &tools, None));
        }
        lints(&workspace)?;
        step("what an operator types, beside a local cloud that runs", || {
            let beside = Beside::start(&workspace)?;
            operator(&workspace, &tools, Some(&beside))
        })?;
        step("the image", || verbs::bake::bake(&workspace, &["--allow-newer".into()]))?;
        let xtask = workspace.program("xtask");
        step("emulated accounts, side by side", || {
            let mut environment = vec![
                ("FUTUSWARM_WORKSPACE", workspace.root.as_os_str()),
                ("FUTUSWARM_XTASK", xtask.as_os_str()),
                ("INSTA_WORKSPACE_ROOT", workspace.root.as_os_str()),
            ];
            environment.extend(kill_step.map(|(name, step)| (name, OsStr::new(step))));
            let suites = suites::compiled(&workspace, ACCOUNTS)?;
            suites::run(suites, suites::lanes(), &workspace.logs(), &environment)
        })?;
        step("the node's firewall, killed bakes, and clusters of virtual machines", || {
            let mut tests = workspace.cargo(&["test", "--quiet", "--workspace"]);
            let long = if self.long { LONG } else { &[] };
            tests.args(MACHINE.iter().chain(long).flat_map(|test| ["--test", test]));
            tests.args(["--", "--ignored", "--test-threads", "1", "--nocapture"]);
            process::run(tests.env("FUTUSWARM_XTASK", &xtask))
        })
    }
}

/// The tests under `bats/`.
fn operator(workspace: &Workspace, tools: &str, beside: Option<&Beside<'_>>) -> anyhow::Result<()> {
    let mut bats = std::process::Command::new("bash");
    bats.arg(Path::new(tools.trim()).join("usr/bin/bats")).arg("bats").current_dir(&workspace.root);
    bats.env_remove("FUTUSWARM_BESIDE");
    if let Some(beside) = beside {
        bats.env("FUTUSWARM_BESIDE", &beside.spec).env("FUTUSWARM_BESIDE_STATE", futuswarm_paths::state_dir()?);
    }
    // Not the program that runs: compiling the whole workspace has put another one into its place.
    process::run(bats.env("FUTUSWARM_XTASK", workspace.program("xtask")))
}

/// A local cloud without machines that has the usual ports, or whichever are free, and ends with this: no test may care.
struct Beside<'a> {
    workspace: &'a Workspace,
    spec: PathBuf,
}

impl<'a> Beside<'a> {
    fn start(workspace: &'a Workspace) -> anyhow::Result<Self> {
        let usual = std::fs::read_to_string(workspace.root.join("clusters/local.toml"))?;
        let spec = std::env::temp_dir().join(format!("futuswarm-beside.{}.toml", std::process::id()));
        std::fs::write(&spec, renamed(&usual, std::process::id()).context("clusters/local.toml names no cluster")?)?;
        let beside = Self { workspace, spec };
        beside.local(&["up", "--api-only"])?;
        Ok(beside)
    }

    fn local(&self, words: &[&str]) -> anyhow::Result<()> {
        process::run(self.workspace.command("futuswarm-local").args(words).arg("--spec").arg(&self.spec))
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.local(&["down"]) {
            eprintln!("the local cloud of the tests stays behind: {error:#}");
        }
        let _only_a_file = std::fs::remove_file(&self.spec);
    }
}

/// The usual spec with a name that no other process uses; it says nothing of ports.
fn renamed(usual: &str, pid: u32) -> Option<String> {
    let name = format!("cluster = \"local-beside-{pid}\"");
    usual.contains(USUAL_NAME).then(|| usual.replacen(USUAL_NAME, &name, 1))
}

/// Formatting and lints.
pub fn lint() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    formatting(&workspace)?;
    lints(&workspace)?;
    step("dependencies and documents", || {
        process::run(workspace.cargo(&["test", "--quiet", "--package", "xtask", "--bins"]).arg("tidy::"))
    })
}

fn formatting(workspace: &Workspace) -> anyhow::Result<()> {
    step("formatting", || process::run(workspace.cargo(&["fmt"]).args(["--all", "--check"])))
}

/// Clippy, and cargo-deny where it is installed: what it checks without a network, the tidy tests check everywhere.
fn lints(workspace: &Workspace) -> anyhow::Result<()> {
    step("clippy", || {
        compile(workspace.cargo(&["clippy", "--workspace", "--all-targets"]).args(["--", "-Dwarnings"]))
    })?;
    if process::on_path("cargo-deny") {
        return step("cargo deny", || process::run(&mut workspace.cargo(&["deny", "check"])));
    }
    eprintln!(
        "not checked: advisories and yanked versions, since cargo-deny is not installed (`cargo install --locked cargo-deny`); the tests check licences, sources and bans"
    );
    Ok(())
}

fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("== {name}");
    let started = Instant::now();
    let done = work()?;
    eprintln!("== {name}: passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(done)
}

/// The variable with the step; `None` where whoever runs the tests has said another one.
fn kill_step(long: bool, is_said: bool) -> Option<(&'static str, &'static str)> {
    (!is_said).then_some((KILL_STEP, if long { LONG_KILL_STEP } else { SHORT_KILL_STEP }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_long_a_kill_comes_after_every_call() {
        assert_eq!(kill_step(true, false), Some(("FUTUSWARM_KILL_STEP", "1")));
        assert_eq!(kill_step(false, false), Some(("FUTUSWARM_KILL_STEP", "10")));
        for long in [true, false] {
            assert_eq!(kill_step(long, true), None, "what was said counts");
        }
    }

    #[test]
    fn the_cloud_beside_has_the_usual_spec_under_another_name() {
        let usual = include_str!("../../../clusters/local.toml");
        let spec: toml::Table = renamed(usual, 4_194_304).unwrap().parse().unwrap();
        // Names end at 24 characters.
        assert_eq!(spec["cluster"].as_str(), Some("local-beside-4194304"));
        let ports = spec["local"].as_table().unwrap().keys().filter(|key| key.ends_with("_port")).count();
        assert_eq!(ports, 0, "a port that is set would be refused where it is taken");
        assert_eq!(renamed("cluster = \"prod\"", 1), None);
    }
}
