//! The measures of what developers of apps wait for, without virtual machines: config, the command line itself, a push, and requests.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::Figure;
use super::account::Account;
use crate::cargo::Workspace;
use crate::process;
use crate::verbs::cli;

/// Starts of the command line; the median counts.
const STARTS: usize = 41;
/// Loads of the config as one document, and in series.
const LOADS: [&str; 2] = ["11", "3"];

/// Runs a measure of `futuswarm-bench`.
pub(super) fn measure(command: &mut Command) -> anyhow::Result<Value> {
    serde_json::from_str(&process::capture(command)?).context("the figures of futuswarm-bench")
}

pub(super) fn number(figures: &Value, key: &str) -> anyhow::Result<f64> {
    figures[key].as_f64().with_context(|| format!("{key} in the figures of futuswarm-bench"))
}

pub(super) fn config(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    const BUCKET: &str = "futuswarm-bench-config";
    workspace.build(&["futuswarm-bench"])?;
    let account = Account::start(workspace, "local-api", "--api-only")?;
    let program = "futuswarm-bench";
    let prepared = measure(&mut account.measured(program, &["config", "prepare", "--bucket", BUCKET])?)?;
    let key = prepared["key"].as_str().context("the KMS key of the bench")?;
    let load = |how: &str, times: &str| -> anyhow::Result<(f64, f64)> {
        account.count()?;
        let words = ["config", how, "--bucket", BUCKET, "--key", key, "--times", times];
        let loaded = measure(&mut account.measured(program, &words)?)?;
        Ok((number(&loaded, "seconds")?, f64::from(account.counted()?) / number(&loaded, "loads")?))
    };
    let [our_times, peer_times] = LOADS;
    let (ours, calls) = load("ours", our_times)?;
    let (peer, peer_calls) = load("peer", peer_times)?;
    let times = peer / ours;
    Ok(vec![
        Figure {
            what: "load 100 config keys from S3 and KMS",
            value: times,
            unit: "× faster",
            peer: format!(
                "{:.1} ms against {:.0} ms of an object and a data key for each key, in series",
                ours * 1000.0,
                peer * 1000.0
            ),
            bar: "≥ 20 ×".to_owned(),
            met: times >= 20.0,
        },
        Figure {
            what: "load 100 config keys from S3 and KMS",
            value: calls,
            unit: "calls",
            peer: format!("{peer_calls:.0} calls"),
            bar: "≤ 3".to_owned(),
            met: calls <= 3.0,
        },
    ])
}

pub(super) fn cli(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    let program = cli::build(workspace)?;
    let mut milliseconds = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let mut start = Command::new(&program);
        let status = start.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(status.success(), "futuswarm --version ended with {status}");
    }
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds[STARTS / 2];
    let mib = std::fs::metadata(&program)?.len() as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure {
            what: "start of the command line (`--version`)",
            value: median,
            unit: "ms",
            peer: format!("median of {STARTS}"),
            bar: "≤ 10 ms".to_owned(),
            met: median <= 10.0,
        },
        Figure {
            what: "size of the command line",
            value: mib,
            unit: "MiB",
            peer: "–".to_owned(),
            bar: "≤ 8 MiB".to_owned(),
            met: mib <= 8.0,
        },
    ])
}

/// The tools tree has no registry: the cluster is a control service over a registry in memory, which the real command line reaches through
/// a relay in the place of `ssh`.
pub(super) fn push(workspace: &Workspace) -> anyhow::Result<Figure> {
    workspace.build(&["futuswarm-bench"])?;
    let program = cli::build(workspace)?;
    let pushed = measure(workspace.command("futuswarm-bench").args(["push", "--cli"]).arg(program))?;
    let (sent, layer, archive) =
        (number(&pushed, "sent_bytes")?, number(&pushed, "layer_bytes")?, number(&pushed, "archive_bytes")?);
    Ok(Figure {
        what: "push with one changed layer, bytes",
        value: sent / layer,
        unit: "× the layer",
        peer: format!("{:.1} × by `docker save` through `ssh`", archive / layer),
        bar: "≤ 1.05 ×".to_owned(),
        met: sent <= 1.05 * layer,
    })
}

pub(super) fn dispatch(workspace: &Workspace) -> anyhow::Result<Figure> {
    workspace.build(&["futuswarm-bench"])?;
    let took = measure(workspace.command("futuswarm-bench").arg("dispatch"))?;
    let median = number(&took, "median_ms")?;
    Ok(Figure {
        what: "authorisation and dispatch of a request",
        value: median,
        unit: "ms",
        peer: format!("median; 99 of 100 within {:.2} ms", number(&took, "p99_ms")?),
        bar: "≤ 1 ms".to_owned(),
        met: median <= 1.0,
    })
}

pub(super) fn list(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    workspace.build(&["futuswarm-bench"])?;
    let listed = measure(workspace.command("futuswarm-bench").arg("list"))?;
    let (requests, milliseconds) = (number(&listed, "requests")?, number(&listed, "milliseconds")?);
    Ok(vec![
        Figure {
            what: "`app:list`, 1,000 apps × 5 versions",
            value: requests,
            unit: "S3 requests",
            peer: "with the asker's record and the line of the audit".to_owned(),
            bar: "≤ 3".to_owned(),
            met: requests <= 3.0,
        },
        Figure {
            what: "`app:list`, 1,000 apps × 5 versions",
            value: milliseconds,
            unit: "ms",
            peer: "each request of the simulated S3 takes 20 ms".to_owned(),
            bar: "≤ 300 ms".to_owned(),
            met: milliseconds <= 300.0,
        },
    ])
}
