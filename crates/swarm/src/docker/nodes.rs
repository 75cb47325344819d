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
    let description = node.description.unwrap_or_default();
    let resources = description.resources.unwrap_or_default();
    let amount = |amount: Option<i64>| amount.and_then(|amount| u64::try_from(amount).ok()).unwrap_or_default();
    Some(Node {
        id: node.id?,
        version: node.version.and_then(|version| version.index)?,
        hostname: description.hostname.unwrap_or_default(),
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
        engine: description.engine.and_then(|engine| engine.engine_version).unwrap_or_default(),
        memory_bytes: amount(resources.memory_bytes),
        nano_cpus: amount(resources.nano_cpus),
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

#[cfg(test)]
mod tests {
    use futuswarm_testkit::answers::{Answer, on_socket};

    use super::*;

    /// As dockerd 26.1 tells a worker whose heartbeats have stopped, a manager, and one that has not connected yet.
    const LISTED: &str = r#"[
        {"ID":"n1","Version":{"Index":42},"CreatedAt":"2026-05-01T09:00:00Z","UpdatedAt":"2026-05-01T10:00:00Z",
         "Spec":{"Labels":{"futuswarm.zone":"eu-west-1a"},"Role":"worker","Availability":"drain"},
         "Description":{"Hostname":"i-01","Platform":{"Architecture":"x86_64","OS":"linux"},
                        "Resources":{"NanoCPUs":2000000000,"MemoryBytes":4124708864},
                        "Engine":{"EngineVersion":"26.1.5","Plugins":[{"Type":"Network","Name":"overlay"}]}},
         "Status":{"State":"down","Message":"heartbeat failure","Addr":"10.0.0.7"}},
        {"ID":"n2","Version":{"Index":9},"Spec":{"Labels":{},"Role":"manager","Availability":"active"},
         "Description":{"Hostname":"i-02","Resources":{},"Engine":{"EngineVersion":"26.1.5"}},
         "Status":{"State":"ready","Addr":"10.0.0.8"},
         "ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"10.0.0.8:2377"}},
        {"ID":"n3","Version":{"Index":10},"Spec":{"Labels":{},"Role":"worker","Availability":"active"},
         "Status":{"State":"unknown","Addr":"10.0.0.9"}}
    ]"#;

    #[tokio::test]
    async fn nodes_say_what_they_have_and_whether_they_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let _told = on_socket(&socket, vec![Answer::json(200, LISTED)]);
        let nodes = DockerEngine::at_default_version(socket.to_str().unwrap()).list_nodes().await.unwrap();
        let down = &nodes[0];
        assert_eq!(
            (down.state, down.spec.availability, down.hostname.as_str()),
            (NodeState::Down, Availability::Drain, "i-01")
        );
        assert_eq!((down.engine.as_str(), down.memory_bytes, down.nano_cpus), ("26.1.5", 4_124_708_864, 2_000_000_000));
        assert_eq!(
            (down.version, down.is_manager(), down.spec.labels["futuswarm.zone"].as_str()),
            (42, false, "eu-west-1a")
        );
        assert!(nodes[1].is_leader() && nodes[1].is_reachable() && nodes[1].state == NodeState::Ready);
        assert_eq!((nodes[2].state, nodes[2].hostname.as_str(), nodes[2].memory_bytes), (NodeState::Unknown, "", 0));
    }
}
