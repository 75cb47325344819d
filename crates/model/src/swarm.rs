//! The cluster's Swarm in the bucket: which one it is, who takes joins, and with which tokens.

use serde::{Deserialize, Serialize};

use crate::unix_millis;

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

/// The cluster's SSH authority under [`crate::keys::SSH_AUTHORITY_KEY`]. Made once by whichever manager is first, and never replaced:
/// every client of the cluster trusts its public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAuthority {
    /// `ssh-ed25519 BASE64`.
    pub public: String,
    /// KMS ciphertext in base64 of the private key in OpenSSH's form; its encryption context binds the cluster.
    pub ciphertext: String,
    /// Milliseconds since 1970.
    pub made_at: u64,
}

/// What everybody may know of it, under [`crate::keys::SSH_AUTHORITY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAuthority {
    /// `ssh-ed25519 BASE64`: what follows `@cert-authority futuswarm` in `known_hosts`.
    pub public: String,
}

/// The name by which people reach the managers over SSH. Its A records are the managers' addresses.
#[must_use]
pub fn ssh_host(domain: &str) -> String {
    format!("ssh.{domain}")
}

/// A join token, readable only with the KMS key of its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedToken {
    /// The Swarm that the token belongs to.
    pub swarm_id: String,
    /// KMS ciphertext in base64; its encryption context binds cluster and role.
    pub ciphertext: String,
}
