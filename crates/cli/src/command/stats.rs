//! What nodes and networks have, and what is left of it.

use futuswarm_rpc::message::{NetworkRow, NodeStats, Request};

use super::{Context, app_name, content, table};
use crate::arguments::AppFlag;
use crate::failure::{Code, Failure, Result};
use crate::output::{self, moment, or_dash, size};

/// `swarm:stats`.
pub fn stats(context: &Context) -> Result<u8> {
    let rows = content!(context.ask(&Request::Stats)?, Stats);
    let heads = [
        "NAME",
        "STATE",
        "TASKS",
        "CPUS",
        "CPU LIMITS",
        "LOAD",
        "MEMORY",
        "RESERVED",
        "LIMITS",
        "AVAILABLE",
        "DISK",
        "FREE",
        "MEASURED",
    ];
    table(context, &rows, &heads, "No nodes.", cells)
}

/// Thousandths as a decimal number.
fn decimal(millis: u64) -> String {
    format!("{}.{:02}", millis / 1000, millis % 1000 / 10)
}

fn cells(row: &NodeStats) -> Vec<String> {
    let state =
        if row.availability == "active" { row.state.clone() } else { format!("{} ({})", row.state, row.availability) };
    // A sum without the tasks that may use everything is no sum.
    let limits = if row.unlimited > 0 { format!("{}+", size(row.memory_limit)) } else { size(row.memory_limit) };
    let measured = row.measured.as_ref();
    vec![
        row.name.clone(),
        state,
        row.tasks.to_string(),
        decimal(row.cpu_millis),
        decimal(row.cpu_limit_millis),
        or_dash(measured.map(|measured| decimal(measured.load_millis))),
        size(row.memory),
        size(row.memory_reserved),
        limits,
        or_dash(measured.map(|measured| size(measured.memory_available))),
        or_dash(measured.map(|measured| size(measured.disk))),
        or_dash(measured.map(|measured| size(measured.disk_free))),
        or_dash(measured.map(|measured| moment(measured.at))),
    ]
}

/// `swarm:network:health`.
pub fn networks(context: &Context, flag: &AppFlag) -> Result<u8> {
    let app = flag.app.as_deref().map(app_name::checked).transpose()?;
    let mut rows = content!(context.ask(&Request::Networks)?, Networks);
    if let Some(app) = &app {
        rows.retain(|row| row.app.as_ref() == Some(app));
        if rows.is_empty() {
            return Err(Failure::new(Code::NotFound, format!("there is no network of {app} that you may see")));
        }
    }
    let is_well = rows.iter().all(|row| row.problems.is_empty());
    match context.json {
        true => output::json(&rows)?,
        false => {
            let cells: Vec<Vec<String>> = rows.iter().map(network).collect();
            let heads =
                ["NETWORK", "APP", "SUBNET", "TASKS", "CONTAINERS", "USED", "FREE", "NODES", "PEERS", "PROBLEMS"];
            output::table(&heads, &cells, "No networks.");
        }
    }
    Ok(if is_well { 0 } else { 1 })
}

fn network(row: &NetworkRow) -> Vec<String> {
    let named = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![
        named(&row.network),
        or_dash(row.app.as_ref()),
        named(&row.subnet),
        row.tasks.to_string(),
        row.containers.to_string(),
        row.addresses.to_string(),
        row.free.to_string(),
        row.nodes.len().to_string(),
        or_dash(row.peers),
        if row.problems.is_empty() { "none".to_owned() } else { row.problems.join("; ") },
    ]
}
