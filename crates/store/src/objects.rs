//! The documents that nodes and operators exchange through the bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// Its role.
    pub role: Role,
    /// Its state.
    pub state: NodeState,
    /// Why it is not ready, or which of a leader's duties fail, in one line.
    pub reason: Option<String>,
    /// Whether its edge has every route that it can have. Agents that did not say so yet are taken at their state.
    #[serde(default = "yes")]
    pub serves: bool,
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
    /// When the kernel started, in milliseconds since 1970.
    pub booted_at: u64,
    /// When it became Ready in this boot, in milliseconds since 1970.
    pub ready_at: Option<u64>,
    /// When this record was written, in milliseconds since 1970.
    pub updated_at: u64,
}

fn yes() -> bool {
    true
}

/// The birth certificate of a Swarm under [`crate::keys::GENESIS`]: written by `deploy-cluster` for a new epoch before the
/// first node starts, claimed by exactly one manager, and confirmed by it. It is changed only by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The cluster, so that a bucket given to the wrong cluster is noticed.
    pub cluster: String,
    /// Counts the lives of the cluster, from 1: each has a Swarm of its own. `deploy-cluster` begins one, and a new one when
    /// the Swarm of the last has ended.
    pub epoch: u64,
    /// Instance that founds, or founded, this epoch's Swarm; `None` while no manager has claimed that.
    pub founder: Option<String>,
    /// The Swarm's own id, once `swarm init` has succeeded.
    pub swarm_id: Option<String>,
    /// When the claim was made, or the epoch was opened, in milliseconds since 1970.
    pub claimed_at: u64,
}

impl Genesis {
    /// An epoch that no manager has claimed yet.
    #[must_use]
    pub fn open(cluster: &str, epoch: u64) -> Self {
        Self { cluster: cluster.to_owned(), epoch, founder: None, swarm_id: None, claimed_at: unix_millis() }
    }
}

/// A live manager under [`crate::keys::MANAGERS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerRecord {
    /// EC2 instance id.
    pub instance: String,
    /// `address:port` at which it accepts joins.
    pub address: String,
    /// The Swarm it belongs to.
    pub swarm_id: String,
    /// When this record was written, in milliseconds since 1970.
    pub updated_at: u64,
}

/// A join token, readable only with the KMS key of its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedToken {
    /// The Swarm that the token belongs to.
    pub swarm_id: String,
    /// KMS ciphertext in base64; its encryption context binds cluster and role.
    pub ciphertext: String,
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_millis() -> u64 {
    // A clock before 1970 is a clock that is not set; zero then reads as "long ago", which is the safe side.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

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
