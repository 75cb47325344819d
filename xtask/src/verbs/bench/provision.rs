//! The measures of provisioning: a whole cluster from nothing, and a plan that finds nothing to do.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::account::Account;
use super::{Figure, latest, manifest};
use crate::cargo::Workspace;

/// Runs of the plan; the median counts.
const PLANS: usize = 5;

/// Runs a program to its end without its talk; returns the seconds and its exit code.
fn timed(command: &mut Command) -> anyhow::Result<(f64, Option<i32>)> {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok((started.elapsed().as_secs_f64(), status.code()))
}

/// Terraform's figures are not of this run: they are those of the project's brief, measured against the same emulator on a machine of
/// this size.
pub(super) fn provision(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    let name = manifest(&latest(workspace))?.name;
    // With a real PostgreSQL behind the database, which is waited for.
    let account = Account::start(workspace, "local-api", "--no-machines")?;
    account.publish(&latest(workspace), &[])?;
    let plan = ["apply", "--image", &name, "--plan", "--json"];
    let listed = account.provision(&plan)?.stderr(Stdio::null()).output()?;
    let listed: Value = serde_json::from_slice(&listed.stdout).context("the plan")?;
    let resources = listed["changes"].as_array().context("changes")?.len();

    account.count()?;
    let (full, code) = timed(&mut account.provision(&["apply", "--image", &name, "--yes", "--no-wait-for-nodes"])?)?;
    anyhow::ensure!(code == Some(0), "apply ended with {code:?}");
    let full_calls = account.counted()?;

    account.count()?;
    let mut seconds = Vec::new();
    for _ in 0..PLANS {
        let (took, code) = timed(&mut account.provision(&plan)?)?;
        anyhow::ensure!(code == Some(0), "a plan without changes ended with {code:?}");
        seconds.push(took);
    }
    let calls = account.counted()? as f64 / PLANS as f64;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[PLANS / 2];
    Ok(vec![
        Figure {
            what: "a whole cluster from nothing, real PostgreSQL included",
            value: full,
            unit: "s",
            peer: format!(
                "{resources} resources, {full_calls} requests; Terraform 1.11, not of this run: 37, 202 requests, 123 s"
            ),
            bar: "≤ 12 s".to_owned(),
            met: full <= 12.0,
        },
        Figure {
            what: "a plan without changes, median of five",
            value: median,
            unit: "s",
            peer: "Terraform 1.11, not of this run: 16 s".to_owned(),
            bar: "≤ 1.5 s".to_owned(),
            met: median <= 1.5,
        },
        Figure {
            what: "a plan without changes",
            value: calls,
            unit: "requests",
            peer: "Terraform 1.11, not of this run: 83".to_owned(),
            bar: "≤ 30".to_owned(),
            met: calls <= 30.0,
        },
    ])
}
