//! The names of all objects. IAM policies separate roles by these prefixes, so they are an interface.

use crate::Role;

/// The cluster's specification as last applied.
pub const SPEC: &str = "cluster/spec";
/// Who founded the Swarm, and which Swarm it is.
pub const GENESIS: &str = "cluster/genesis";
/// Records of live managers.
pub const MANAGERS: &str = "cluster/managers/";
/// Heartbeats of all nodes.
pub const NODES: &str = "cluster/nodes/";
/// What the edge of every node serves, written by the leader.
pub const ROUTES: &str = "cluster/edge/routes";

/// The sealed join token of a role. A worker's IAM role cannot read the manager's.
#[must_use]
pub fn token(role: Role) -> String {
    format!("cluster/tokens/{role}")
}

/// The record of one manager.
#[must_use]
pub fn manager(instance: &str) -> String {
    format!("{MANAGERS}{instance}")
}

/// The heartbeat of one node. Its key ends with what AWS calls the user id of an instance's role session (`aws:userid`), so
/// that the role's policy can let each node write its own heartbeat and no other.
#[must_use]
pub fn node(role_id: &str, instance: &str) -> String {
    format!("{NODES}{role_id}:{instance}")
}

/// The instance that a heartbeat's key belongs to.
#[must_use]
pub fn instance_of(key: &str) -> Option<&str> {
    key.strip_prefix(NODES)?.split_once(':').map(|(_, instance)| instance)
}
