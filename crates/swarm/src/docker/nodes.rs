//! `docker node` on the engine.

use bollard::models::{self, NodeSpecAvailabilityEnum, NodeSpecRoleEnum};
use bollard::query_parameters::{DeleteNodeOptionsBuilder, ListNodesOptions, UpdateNodeOptionsBuilder};
use futuswarm_model::Role;

use super::DockerEngine;
use crate::{Availability, Error, ManagerStatus, Node, NodeApi, NodeSpec, NodeState};

impl NodeApi for DockerEngine {
    async fn list_nodes(&self) -> Result<Vec<Node>, Error> {
        let nodes = self.docker().await?.list_nodes(None::<ListNodesOptions>).await;
        let nodes = nodes.map_err(|error| Error::call("node ls", error))?;
        Ok(nodes.into_iter().filter_map(node).collect())
    }

    async fn update_node(&self, node: &Node, spec: &NodeSpec) -> Result<(), Error> {
        let operation = match (node.spec.role, spec.role) {
            (Role::Manager, Role::Worker) => "node demote",
            (Role::Worker, Role::Manager) => "node promote",
            _ => "node update",
        };
        let version =
            i64::try_from(node.version).map_err(|_| Error::Incomplete { operation, field: "usable Version" })?;
        let options = UpdateNodeOptionsBuilder::default().version(version).build();
        let updated = self.docker().await?.update_node(&node.id, body(spec), options).await;
        updated.map_err(|error| Error::call(operation, error))
    }

    async fn remove_node(&self, id: &str, force: bool) -> Result<(), Error> {
        let options = DeleteNodeOptionsBuilder::default().force(force).build();
        let removed = self.docker().await?.delete_node(id, Some(options)).await;
        match removed.map_err(|error| Error::call("node rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

/// `None` for one that lacks an id or a version.
fn node(node: models::Node) -> Option<Node> {
    let spec = node.spec.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    Some(Node {
        id: node.id?,
        version: node.version.and_then(|version| version.index)?,
        hostname: node.description.and_then(|description| description.hostname).unwrap_or_default(),
        spec: NodeSpec {
            name: spec.name,
            labels: spec.labels.unwrap_or_default(),
            role: match spec.role {
                Some(NodeSpecRoleEnum::MANAGER) => Role::Manager,
                _ => Role::Worker,
            },
            availability: match spec.availability {
                Some(NodeSpecAvailabilityEnum::DRAIN) => Availability::Drain,
                Some(NodeSpecAvailabilityEnum::PAUSE) => Availability::Pause,
                _ => Availability::Active,
            },
        },
        state: match status.state {
            Some(models::NodeState::READY) => NodeState::Ready,
            Some(models::NodeState::DOWN) => NodeState::Down,
            Some(models::NodeState::DISCONNECTED) => NodeState::Disconnected,
            _ => NodeState::Unknown,
        },
        address: status.addr.unwrap_or_default(),
        manager_status: node.manager_status.map(|status| ManagerStatus {
            leader: status.leader.unwrap_or(false),
            reachable: status.reachability == Some(models::Reachability::REACHABLE),
        }),
    })
}

fn body(spec: &NodeSpec) -> models::NodeSpec {
    models::NodeSpec {
        name: spec.name.clone(),
        labels: Some(spec.labels.clone()),
        role: Some(match spec.role {
            Role::Manager => NodeSpecRoleEnum::MANAGER,
            Role::Worker => NodeSpecRoleEnum::WORKER,
        }),
        availability: Some(match spec.availability {
            Availability::Active => NodeSpecAvailabilityEnum::ACTIVE,
            Availability::Pause => NodeSpecAvailabilityEnum::PAUSE,
            Availability::Drain => NodeSpecAvailabilityEnum::DRAIN,
        }),
    }
}
