//! A node: its role, its state, and its heartbeat in the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time between two heartbeats that say the same. The bucket is versioned: each of them is kept until its lifecycle ends.
pub const HEARTBEAT: Duration = Duration::from_secs(60);
/// A node whose last heartbeat is older is not counted as ready: three heartbeats in a row did not arrive.
pub const FRESH: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());

/// A node's part in the Swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes part in raft and schedules.
    Manager,
    /// Runs tasks.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
        })
    }
}

/// Where a node is on its way into the Swarm. The drawing is in `docs/node-states.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Finding out who and where it is.
    Identity,
    /// Founding the Swarm.
    Genesis,
    /// Waiting for a token and a manager, and joining.
    Joining,
    /// A member that runs tasks.
    Ready,
    /// Handing over its tasks before it ends.
    Draining,
    /// Cannot go on without help; the reason is in the record.
    Failed,
}

impl fmt::Display for NodeState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Identity => "identity",
            Self::Genesis => "genesis",
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed => "failed",
        })
    }
}

/// A node's heartbeat under [`crate::keys::NODES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// EC2 instance id.
    pub instance: String,
    /// Swarm node id, once it has one.
    pub node: Option<String>,
    /// What it is in the Swarm, from its user data.
    pub role: Role,
    /// How far it is on its way.
    pub state: NodeState,
    /// Why it is not ready, or which of a leader's duties fail, in one line.
    pub reason: Option<String>,
    /// Whether its edge has every route that it can have. Agents that did not say so yet are taken at their state.
    #[serde(default = "yes")]
    pub serves: bool,
    /// What its edge has of the routes; `None` before it has any, and from agents that do not say it.
    #[serde(default)]
    pub routes: Option<ServedRoutes>,
    /// Primary private address.
    pub address: String,
    /// Availability zone.
    pub zone: String,
    /// Image id (AMI).
    pub image: String,
    /// EC2 instance type.
    #[serde(default)]
    pub instance_type: String,
    /// The group of nodes that it belongs to.
    #[serde(default)]
    pub group: String,
    /// Swarm labels that its group gives it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What of the machine is used; `None` before it was measured, and from agents that do not say it.
    #[serde(default)]
    pub usage: Option<NodeUsage>,
    /// When the kernel started, in milliseconds since 1970.
    pub booted_at: u64,
    /// When it became Ready in this boot, in milliseconds since 1970.
    pub ready_at: Option<u64>,
    /// When this record was written, in milliseconds since 1970.
    pub updated_at: u64,
}

/// What the edge of a node has of the routes under [`crate::keys::ROUTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedRoutes {
    /// The ETag of the document that it has loaded last.
    pub etag: String,
    /// The services in it that it does not serve as the document says.
    #[serde(default)]
    pub without: BTreeSet<String>,
}

/// What of a node's machine is used, as its agent has measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Size of the file system of Docker's images and containers, in bytes.
    pub disk_bytes: u64,
    /// What of it can still be written, in bytes.
    pub disk_free_bytes: u64,
    /// Size of the memory, in bytes.
    pub memory_bytes: u64,
    /// What of it a program could get without swapping, in bytes (`MemAvailable` of proc_meminfo(5)).
    pub memory_available_bytes: u64,
    /// Programs that run or wait for a processor or a disk, on average over the last minute, in thousandths (proc_loadavg(5)).
    pub load_millis: u64,
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_of_an_agent_that_says_less_is_read() {
        let text = r#"{"instance":"i-1","node":null,"role":"worker","state":"ready","reason":null,"address":"10.42.0.4",
            "zone":"eu-west-1a","image":"ami-1","booted_at":1,"ready_at":null,"updated_at":2}"#;
        let record: NodeRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.serves, record.routes), (true, None));
    }

    #[test]
    fn words_on_the_wire_are_the_words_shown() {
        for role in [Role::Manager, Role::Worker] {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        for state in [
            NodeState::Identity,
            NodeState::Genesis,
            NodeState::Joining,
            NodeState::Ready,
            NodeState::Draining,
            NodeState::Failed,
        ] {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
    }
}
