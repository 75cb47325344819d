//! The measures of the edge's HAProxy, without virtual machines: what is generated against what is written by hand, on this machine's
//! loopback. How long a new service takes until it is served needs a Swarm, and is not among them.

use anyhow::Context as _;
use futuswarm_tools::ToolsTree;
use serde_json::Value;

use super::Figure;
use super::developers::{measure, number};
use crate::cargo::Workspace;

pub(super) fn edge(workspace: &Workspace) -> anyhow::Result<Vec<Figure>> {
    // HAProxy is in it.
    ToolsTree::ensure(None, &mut || {})?;
    workspace.build(&["futuswarm-bench"])?;
    let load = measure(workspace.command("futuswarm-bench").args(["edge", "load"]))?;
    let services = measure(workspace.command("futuswarm-bench").args(["edge", "services"]))?;
    let mut figures = under_load(&load)?;
    figures.extend(of_services(&services)?);
    Ok(figures)
}

fn under_load(load: &Value) -> anyhow::Result<Vec<Figure>> {
    let sides = |key: &str| -> anyhow::Result<[f64; 3]> {
        Ok([number(&load["ours"], key)?, number(&load["by_hand"], key)?, number(&load["by_hand_closing"], key)?])
    };
    let ([ours, hand, closing], [ours_us, hand_us, closing_us]) =
        (sides("requests_per_second")?, sides("processor_us")?);
    let [ours_p99, hand_p99, closing_p99] = sides("p99_us")?;
    let is_saturated = load["saturated"].as_bool().context("saturated in the figures of futuswarm-bench")?;
    // Who is not the limit would have answered more: what it takes for a request says how many.
    let (rate, how) = match is_saturated {
        true => (number(load, "rate_ratio")?, String::new()),
        false => {
            let [ours_busy, hand_busy, _] = sides("busy")?;
            let least = ours_busy.min(hand_busy) * 100.0;
            (
                1.0 / number(load, "processor_ratio")?,
                format!(
                    "; its processor was busy for {least:.0} % of a round only, so the ratio is that of processor time"
                ),
            )
        }
    };
    let p99 = number(load, "p99_ratio")?;
    Ok(vec![
        Figure {
            what: "requests/s through the edge, open domain, one processor",
            value: rate,
            unit: "×",
            peer: format!(
                "{ours:.0}/s against {hand:.0}/s by hand, {closing:.0}/s by hand with `option http-server-close`; {ours_us:.0}, {hand_us:.0} and {closing_us:.0} µs of HAProxy for each{how}"
            ),
            bar: "≥ 0.97 ×".to_owned(),
            met: rate >= 0.97,
        },
        Figure {
            what: "p99 through the edge, open domain",
            value: p99,
            unit: "×",
            peer: format!(
                "{ours_p99:.0} µs against {hand_p99:.0} µs by hand, {closing_p99:.0} µs by hand with `option http-server-close`, each at {:.0}/s",
                number(load, "paced_per_second")?
            ),
            bar: "≤ 1.1 ×".to_owned(),
            met: p99 <= 1.1,
        },
    ])
}

fn of_services(services: &Value) -> anyhow::Result<Vec<Figure>> {
    let of = |key: &str| number(services, key);
    let (render, check, reload, lost) = (of("render_ms")?, of("check_seconds")?, of("reload_seconds")?, of("lost")?);
    let (memory, by_hand) = (of("memory_mib")?, of("by_hand_memory_mib")?);
    Ok(vec![
        Figure {
            what: "configuration of 1,000 services rendered",
            value: render,
            unit: "ms",
            peer: format!(
                "{:.0} ms with every label that there is; {:.0} ms to decide who is served",
                of("render_everything_ms")?,
                of("decide_ms")?
            ),
            bar: "≤ 50 ms".to_owned(),
            met: render <= 50.0,
        },
        Figure {
            what: "configuration of 1,000 services checked and loaded",
            value: check + reload,
            unit: "s",
            peer: format!(
                "{check:.2} s to check ({:.2} s by hand), {reload:.2} s to reload; {lost:.0} of {:.0} requests beside it lost",
                of("by_hand_check_seconds")?,
                of("asked")?
            ),
            bar: "≤ 1 s, none lost".to_owned(),
            met: check + reload <= 1.0 && lost == 0.0,
        },
        Figure {
            what: "HAProxy with 1,000 services, memory",
            value: memory / by_hand,
            unit: "×",
            peer: format!(
                "{memory:.1} MiB against {by_hand:.1} MiB by hand with as many places for tasks, {:.1} MiB with one place each",
                of("by_hand_one_place_memory_mib")?
            ),
            bar: "≤ 1.5 ×".to_owned(),
            met: memory <= 1.5 * by_hand,
        },
    ])
}
