//! The Swarm's nodes as managers see them.

use std::collections::HashMap;

use bollard::models::{self, NodeSpec, NodeSpecRoleEnum};
use bollard::query_parameters::{DeleteNodeOptionsBuilder, ListNodesOptions, UpdateNodeOptionsBuilder};

use crate::{Engine, Error};

/// A node's state as the managers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Heartbeats arrive.
    Ready,
    /// Heartbeats have stopped.
    Down,
    /// It has left or its state is not known yet.
    Other,
}

/// A node as the managers see it.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Swarm node id.
    pub id: String,
    /// Host name of the engine; on our image it is the EC2 instance id.
    pub hostname: String,
    /// Whether it is, or is to be, a manager.
    pub manager: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether the other managers reach it; true for workers.
    pub reachable: bool,
    /// Its state.
    pub state: NodeState,
    /// Its address as the managers see it.
    pub address: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    version: i64,
    spec: NodeSpec,
}

impl NodeView {
    fn from_model(node: models::Node) -> Option<Self> {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let manager_status = node.manager_status;
        Some(Self {
            id: node.id?,
            hostname: node.description.and_then(|description| description.hostname).unwrap_or_default(),
            manager: spec.role == Some(NodeSpecRoleEnum::MANAGER),
            leader: manager_status.as_ref().and_then(|status| status.leader).unwrap_or(false),
            reachable: manager_status.is_none_or(|status| status.reachability == Some(models::Reachability::REACHABLE)),
            state: match status.state {
                Some(models::NodeState::READY) => NodeState::Ready,
                Some(models::NodeState::DOWN) => NodeState::Down,
                _ => NodeState::Other,
            },
            address: status.addr.unwrap_or_default(),
            labels: spec.labels.clone().unwrap_or_default(),
            version: node.version.and_then(|version| version.index).and_then(|index| i64::try_from(index).ok())?,
            spec,
        })
    }
}

impl NodeView {
    /// A node as tests of the rules about nodes need it.
    #[doc(hidden)]
    #[must_use]
    pub fn for_tests(id: &str, manager: bool, reachable: bool, state: NodeState) -> Self {
        Self {
            id: id.to_owned(),
            hostname: format!("i-{id}"),
            manager,
            leader: false,
            reachable,
            state,
            address: String::new(),
            labels: HashMap::new(),
            version: 0,
            spec: NodeSpec::default(),
        }
    }
}

impl Engine {
    /// All nodes. Managers only.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        let nodes = self.docker.list_nodes(None::<ListNodesOptions>).await;
        let nodes = nodes.map_err(|error| Error::call("node ls", error))?;
        Ok(nodes.into_iter().filter_map(NodeView::from_model).collect())
    }

    /// Adds `labels` to the node's own; nothing is sent when they are there already.
    ///
    /// # Errors
    /// When the node changed in the meantime ([`Error::is_conflict`]): look again.
    pub async fn label_node(&self, node: &NodeView, labels: &HashMap<String, String>) -> Result<bool, Error> {
        if labels.iter().all(|(key, value)| node.labels.get(key) == Some(value)) {
            return Ok(false);
        }
        let mut spec = node.spec.clone();
        spec.labels.get_or_insert_default().extend(labels.clone());
        self.update_node(node, spec, "node update").await?;
        Ok(true)
    }

    /// Takes a manager out of raft. The caller has checked that a majority remains.
    ///
    /// # Errors
    /// When the managers refuse.
    pub async fn demote_node(&self, node: &NodeView) -> Result<(), Error> {
        let mut spec = node.spec.clone();
        spec.role = Some(NodeSpecRoleEnum::WORKER);
        self.update_node(node, spec, "node demote").await
    }

    /// Removes a node from the Swarm's list.
    ///
    /// # Errors
    /// When the node is not down and `force` is false, or it is a manager.
    pub async fn remove_node(&self, id: &str, force: bool) -> Result<(), Error> {
        let options = DeleteNodeOptionsBuilder::default().force(force).build();
        match self.docker.delete_node(id, Some(options)).await.map_err(|error| Error::call("node rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    async fn update_node(&self, node: &NodeView, spec: NodeSpec, operation: &'static str) -> Result<(), Error> {
        let options = UpdateNodeOptionsBuilder::default().version(node.version).build();
        self.docker.update_node(&node.id, spec, options).await.map_err(|error| Error::call(operation, error))
    }
}
