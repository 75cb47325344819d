//! What nodes have, what of it the Swarm has reserved for tasks, and what their agents have measured.
//!
//! A manager's engine knows what tasks may use and what is kept free for them, and not what they use: that only the engine of each node
//! knows, which no manager can ask.

use std::collections::HashMap;

use futuswarm_model::NodeRecord;
use futuswarm_rpc::message::{Answer, Measured, NodeStats};
use futuswarm_swarm::{Node, NodeApi as _, Task, TaskApi as _};

use crate::refusal::Refused;
use crate::{Control, Error, Platform, nodes, records};

/// All nodes, with what their tasks may use.
pub(crate) async fn stats<P: Platform>(control: &Control<P>) -> Result<Answer, Refused> {
    let nodes = control.engine.list_nodes().await.map_err(Error::from)?;
    let tasks = control.engine.list_tasks(None).await.map_err(Error::from)?;
    let heartbeats = futuswarm_store::node_records(control.records.store()).await;
    let heartbeats = heartbeats.map_err(|error| Error::from(records::Error::from(error)))?;
    Ok(Answer::Stats(rows(&nodes, &tasks, heartbeats)))
}

fn rows(nodes: &[Node], tasks: &[Task], heartbeats: Vec<NodeRecord>) -> Vec<NodeStats> {
    let mut heartbeats: HashMap<String, NodeRecord> =
        heartbeats.into_iter().map(|record| (record.instance.clone(), record)).collect();
    let mut rows: Vec<NodeStats> = nodes
        .iter()
        .map(|node| {
            let here = tasks.iter().filter(|task| task.node.as_deref() == Some(&node.id) && !task.state.is_over());
            // A record that names another node of the Swarm is that of an earlier life of the instance.
            let record = heartbeats.remove(&node.hostname).filter(|record| record.node.as_deref() == Some(&node.id));
            row(node, here, record)
        })
        .collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn row<'a>(node: &Node, tasks: impl Iterator<Item = &'a Task>, heartbeat: Option<NodeRecord>) -> NodeStats {
    let mut stats = NodeStats {
        name: node.hostname.clone(),
        role: node.spec.role.to_string(),
        state: nodes::state(node.state).to_owned(),
        availability: nodes::availability(node.spec.availability).to_owned(),
        tasks: 0,
        cpu_millis: node.nano_cpus / 1_000_000,
        cpu_limit_millis: 0,
        memory: node.memory_bytes,
        memory_reserved: 0,
        memory_limit: 0,
        unlimited: 0,
        measured: heartbeat.and_then(measured),
    };
    for task in tasks {
        stats.tasks += 1;
        stats.cpu_limit_millis += task.resources.nano_cpus / 1_000_000;
        stats.memory_reserved += task.resources.reserved_memory_bytes;
        stats.memory_limit += task.resources.memory_bytes;
        stats.unlimited += u32::from(task.resources.memory_bytes == 0);
    }
    stats
}

fn measured(record: NodeRecord) -> Option<Measured> {
    let usage = record.usage?;
    Some(Measured {
        at: record.updated_at,
        load_millis: usage.load_millis,
        memory_available: usage.memory_available_bytes,
        disk: usage.disk_bytes,
        disk_free: usage.disk_free_bytes,
    })
}
