//! Nodes of the cluster.

use futuswarm_rpc::message::{NodeRow, Request};

use super::{Context, confirm, content, done, table};
use crate::failure::{Failure, Result};
use crate::output;

fn print(context: &Context, rows: &[NodeRow]) -> Result<u8> {
    let heads = ["NAME", "ROLE", "STATE", "AVAILABILITY", "TASKS", "ADDRESS", "ENGINE", "LABELS"];
    table(context, rows, &heads, "No nodes.", |row| {
        let labels: Vec<String> = row.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let role = if row.leader { format!("{} (leader)", row.role) } else { row.role.clone() };
        vec![
            row.name.clone(),
            role,
            row.state.clone(),
            row.availability.clone(),
            row.tasks.to_string(),
            row.address.clone(),
            row.engine.clone(),
            labels.join(","),
        ]
    })
}

/// `swarm:nodes`, and `node:json` with a document for each line.
pub fn list(context: &Context, lines: bool) -> Result<u8> {
    let rows = content!(context.ask(&Request::Nodes)?, Nodes);
    if !lines {
        return print(context, &rows);
    }
    for row in &rows {
        output::json_line(row)?;
    }
    Ok(0)
}

/// `swarm:node:label:add` and `swarm:node:label:rm`.
pub fn label(context: &Context, node: &str, label: &str, add: bool) -> Result<u8> {
    let (label, value) = match (label.split_once('='), add) {
        (Some((label, value)), true) => (label, Some(value.to_owned())),
        (None, true) => (label, Some("true".to_owned())),
        (None, false) => (label, None),
        (Some(_), false) => return Err(Failure::usage("a label is taken off by its name, without a value")),
    };
    if label.is_empty() {
        return Err(Failure::usage("a label has a name"));
    }
    let request = Request::LabelNode { node: node.to_owned(), label: label.to_owned(), value };
    print(context, &content!(context.ask(&request)?, Nodes))
}

/// `admin:swarm:restart`.
pub fn restart_all(context: &Context, yes: bool) -> Result<u8> {
    confirm("The tasks of all apps will be restarted", "all", yes.then_some("all"))?;
    let answer = context.wait(&Request::RestartAll)?;
    done(context, answer)
}
