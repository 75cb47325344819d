//! The Swarm's nodes as its managers see them.

use std::collections::HashMap;

use futuswarm_model::Role;

use crate::Error;

/// A node's state as the managers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It has not connected yet.
    Unknown,
    /// Heartbeats have stopped.
    Down,
    /// Heartbeats arrive.
    Ready,
    /// It has said goodbye.
    Disconnected,
}

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    Active,
    /// It keeps those it has.
    Pause,
    /// It hands them over.
    Drain,
}

/// What can be set of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name in the Swarm, which Futuswarm never sets.
    pub name: Option<String>,
    /// Labels, for placement constraints.
    pub labels: HashMap<String, String>,
    /// The role that it has or is to have.
    pub role: Role,
    /// Whether it takes tasks.
    pub availability: Availability,
}

/// A manager's part in raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagerStatus {
    /// Whether it leads.
    pub leader: bool,
    /// Whether the other managers reach it.
    pub reachable: bool,
}

/// A node as the managers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Swarm node id.
    pub id: String,
    /// Counts the changes of the object; an update names the one that it is made from.
    pub version: u64,
    /// What is set of it.
    pub spec: NodeSpec,
    /// Host name of the engine; on our image it is the EC2 instance id. Empty until it has connected.
    pub hostname: String,
    /// By its heartbeats.
    pub state: NodeState,
    /// Its address as the managers see it.
    pub address: String,
    /// Its part in raft; `None` for workers.
    pub manager_status: Option<ManagerStatus>,
    /// Version of its engine; empty until it has connected.
    pub engine: String,
    /// All the memory that it has for tasks, in bytes; zero until it has connected.
    pub memory_bytes: u64,
    /// All its processors, in billionths of one; zero until it has connected.
    pub nano_cpus: u64,
}

impl Node {
    /// Whether it is, or is to be, a manager.
    #[must_use]
    pub fn is_manager(&self) -> bool {
        self.spec.role == Role::Manager
    }

    /// Whether it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.manager_status.is_some_and(|status| status.leader)
    }

    /// Whether the other managers reach it; true for workers.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.manager_status.is_none_or(|status| status.reachable)
    }
}

/// `docker node`. Managers only.
pub trait NodeApi: Send + Sync {
    /// All nodes.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_nodes(&self) -> impl Future<Output = Result<Vec<Node>, Error>> + Send;

    /// Gives a node another spec.
    ///
    /// # Errors
    /// When the node changed since `node` was read ([`Error::is_conflict`]): read it again.
    fn update_node(&self, node: &Node, spec: &NodeSpec) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a node from the Swarm's list; no error when it is not in it.
    ///
    /// # Errors
    /// When the node is not down and `force` is false, or it is a manager.
    fn remove_node(&self, id: &str, force: bool) -> impl Future<Output = Result<(), Error>> + Send;

    /// Adds `labels` to the node's own; nothing is sent when they are there already.
    ///
    /// # Errors
    /// As [`NodeApi::update_node`].
    fn label_node(
        &self,
        node: &Node,
        labels: &HashMap<String, String>,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            if labels.iter().all(|(key, value)| node.spec.labels.get(key) == Some(value)) {
                return Ok(false);
            }
            let mut spec = node.spec.clone();
            spec.labels.extend(labels.clone());
            self.update_node(node, &spec).await?;
            Ok(true)
        }
    }

    /// Takes labels off the node; nothing is sent when they are not there.
    ///
    /// # Errors
    /// As [`NodeApi::update_node`].
    fn unlabel_node(&self, node: &Node, labels: &[&str]) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            let mut spec = node.spec.clone();
            spec.labels.retain(|name, _| !labels.contains(&name.as_str()));
            if spec == node.spec {
                return Ok(false);
            }
            self.update_node(node, &spec).await?;
            Ok(true)
        }
    }

    /// Takes a manager out of raft. The caller has checked that a majority remains.
    ///
    /// # Errors
    /// As [`NodeApi::update_node`].
    fn demote_node(&self, node: &Node) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.update_node(node, &NodeSpec { role: Role::Worker, ..node.spec.clone() }).await }
    }
}
