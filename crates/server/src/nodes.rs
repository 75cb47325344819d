//! Requests about the cluster: its nodes and their labels, and who asked for what.

use std::collections::HashMap;

use futuswarm_rpc::message::{Answer, NodeRow};
use futuswarm_swarm::{
    APP_LABEL, Availability, Node, NodeApi as _, NodeSpec, NodeState, ServiceApi as _, TaskApi as _, TaskState,
};

use crate::refusal::Refused;
use crate::{Control, Error, Platform};

/// The most lines of the audit that are shown at once: each is a request of its own.
const MOST_LINES: u32 = 500;
/// Labels that the leader's agent keeps.
const RESERVED: &str = "futuswarm.";

/// Nodes, with the tasks of apps that run on each.
pub(crate) async fn list<P: Platform>(control: &Control<P>) -> Result<Answer, Refused> {
    let engine = &control.engine;
    let mut nodes = engine.list_nodes().await.map_err(Error::from)?;
    let services = engine.list_services().await.map_err(Error::from)?;
    let of_apps: Vec<String> = services
        .into_iter()
        .filter(|service| service.spec.labels.contains_key(APP_LABEL))
        .map(|service| service.id)
        .collect();
    let mut tasks: HashMap<String, u32> = HashMap::new();
    for task in engine.list_tasks(None).await.map_err(Error::from)? {
        if let (TaskState::Running, true, Some(node)) = (task.state, of_apps.contains(&task.service), task.node) {
            *tasks.entry(node).or_default() += 1;
        }
    }
    nodes.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    Ok(Answer::Nodes(nodes.into_iter().map(|node| row(&node, &tasks)).collect()))
}

fn row(node: &Node, tasks: &HashMap<String, u32>) -> NodeRow {
    NodeRow {
        name: node.hostname.clone(),
        role: node.spec.role.to_string(),
        state: state(node.state).to_owned(),
        availability: availability(node.spec.availability).to_owned(),
        leader: node.is_leader(),
        address: node.address.clone(),
        labels: node.spec.labels.clone().into_iter().collect(),
        engine: node.engine.clone(),
        tasks: tasks.get(&node.id).copied().unwrap_or_default(),
    }
}

pub(crate) fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unknown => "unknown",
        NodeState::Down => "down",
        NodeState::Ready => "ready",
        NodeState::Disconnected => "disconnected",
    }
}

pub(crate) fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

/// Puts a label on a node, or takes it off.
pub(crate) async fn label<P: Platform>(
    control: &Control<P>,
    name: &str,
    label: &str,
    value: Option<&str>,
) -> Result<Answer, Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if label.is_empty() || !label.chars().all(plain) || label.len() > 100 {
        return Err(Refused::usage(format!("{label:?} is no name of a label: letters, digits, '.', '_' and '-'")));
    }
    if label.starts_with(RESERVED) {
        return Err(Refused::usage(format!("labels that begin with {RESERVED} are the platform's")));
    }
    if value.is_some_and(|value| value.chars().any(char::is_control) || value.len() > 200) {
        return Err(Refused::usage("the value of a label is one line of at most 200 bytes"));
    }
    for _ in 0..5 {
        let nodes = control.engine.list_nodes().await.map_err(Error::from)?;
        let node = nodes.into_iter().find(|node| node.hostname == name);
        let node = node.ok_or_else(|| Refused::not_found(format!("there is no node {name}")))?;
        let mut labels = node.spec.labels.clone();
        match value {
            Some(value) => drop(labels.insert(label.to_owned(), value.to_owned())),
            None if labels.remove(label).is_none() => {
                return Err(Refused::not_found(format!("{name} has no label {label}")));
            }
            None => {}
        }
        match control.engine.update_node(&node, &NodeSpec { labels, ..node.spec.clone() }).await {
            Ok(_) => return list(control).await,
            // Somebody changed the node since it was listed.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(Error::from(error).into()),
        }
    }
    Err(Refused::unavailable(format!("{name} is changed again and again by others: try again")))
}

/// The newest lines of the audit.
pub(crate) async fn audit<P: Platform>(control: &Control<P>, limit: u32) -> Result<Answer, Refused> {
    let limit = limit.clamp(1, MOST_LINES) as usize;
    let lines = control.records.audits(limit).await.map_err(Error::from)?;
    Ok(Answer::Audit(lines))
}
