//! `cargo xtask test` and `cargo xtask lint`.

use std::time::Instant;

use clap::Args;

use crate::cargo::Workspace;
use crate::{host, process, verbs};

/// Files of `tests/tests/` whose ignored tests belong to every `cargo xtask test`, and so to CI: with everything else they end
/// within an hour on two cores with an empty cache, and within half an hour with a warm one. A tidy test compares both lists with
/// the folder.
pub const SHORT: &[&str] =
    &["account", "provision", "variants", "refusals", "emulator", "least_privilege", "publish", "bake", "cluster"];

/// Files whose ignored tests only `cargo xtask test --long` runs: hours of virtual machines. It runs [`SHORT`] before them.
pub const LONG: &[&str] = &[];

/// What `tests/tests/account.rs` reads: a kill after every so many calls of a run.
const KILL_STEP: &str = "FUTUSWARM_KILL_STEP";
/// The step of [`SHORT`]; `--long` kills after every call, which takes five minutes more.
const SHORT_KILL_STEP: &str = "3";

/// Run the tests: unit, snapshot, integration, BATS, and the end-to-end test with real virtual machines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test                 everything; boots the baked image as a three-node cluster
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
    /// Runs the verb.
    pub fn run(self) -> anyhow::Result<()> {
        let workspace = Workspace::find()?;
        host::prepare(true)?;
        step("formatting", || process::run(workspace.cargo(&["fmt"]).args(["--all", "--check"])))?;
        let mut tools = String::new();
        step("tools tree", || {
            workspace.build(&["futuswarm-bake"])?;
            tools = process::capture(workspace.command("futuswarm-bake").arg("--tools-only"))?;
            Ok(())
        })?;
        step("unit, snapshot and integration tests", || {
            let mut tests = workspace.cargo(&["test", "--quiet", "--workspace"]);
            process::run(tests.env("FUTUSWARM_WORKSPACE", &workspace.root).args(self.filter.as_ref()))
        })?;
        if self.filter.is_some() {
            return Ok(());
        }
        step("what an operator types", || {
            workspace.build(&["futuswarm-bake", "futuswarm-local", "futuswarm-provision", "futuswarm-publish"])?;
            let mut bats = std::process::Command::new("bash");
            bats.arg(std::path::Path::new(tools.trim()).join("usr/bin/bats")).arg("bats").current_dir(&workspace.root);
            process::run(bats.env("FUTUSWARM_XTASK", std::env::current_exe()?))
        })?;
        if self.quick {
            return Ok(());
        }
        step("the image", || verbs::bake::bake(&workspace, &["--allow-newer".into()]))?;
        step("an emulated account, killed bakes, and clusters of virtual machines", || {
            let mut tests = workspace.cargo(&["test", "--quiet", "--workspace"]);
            let long = if self.long { LONG } else { &[] };
            tests.args(SHORT.iter().chain(long).flat_map(|test| ["--test", test]));
            if !self.long && std::env::var_os(KILL_STEP).is_none() {
                tests.env(KILL_STEP, SHORT_KILL_STEP);
            }
            // One after the other: each wants the whole machine.
            tests.args(["--", "--ignored", "--test-threads", "1", "--nocapture"]);
            process::run(tests.env("FUTUSWARM_XTASK", std::env::current_exe()?))
        })
    }
}

/// Formatting and lints.
pub fn lint() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    step("formatting", || process::run(workspace.cargo(&["fmt"]).args(["--all", "--check"])))?;
    step("clippy", || {
        process::run(workspace.cargo(&["clippy", "--quiet", "--workspace", "--all-targets"]).args(["--", "-Dwarnings"]))
    })
}

fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    eprintln!("== {name}");
    let started = Instant::now();
    work()?;
    eprintln!("== {name}: passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
