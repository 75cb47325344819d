//! What comes back about the cluster as a whole: images that nothing needs, what nodes have, and networks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Images that nothing needed, and that are gone, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Whether this only says what would go.
    pub plan: bool,
    /// The images of so many releases of each app stay.
    pub keep: u32,
    /// Repositories of which something goes, in the order of their names.
    pub repositories: Vec<CollectedRepository>,
    /// So many blobs go, which no repository has any more.
    pub blobs: u64,
    /// Their size in bytes. S3 keeps what is deleted for as long as the cluster's specification says (`retention.versions_days`).
    pub bytes: u64,
    /// So many blobs stay.
    pub kept_blobs: u64,
    /// Their size in bytes.
    pub kept_bytes: u64,
    /// Manifests that are not in the bucket although a repository has them, as `REPOSITORY@DIGEST`: nobody can pull these.
    pub broken: Vec<String>,
}

/// What goes from the repository of one app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedRepository {
    /// Named as its app.
    pub repository: String,
    /// Those that named an image which goes.
    pub tags: BTreeSet<String>,
    /// Digests of manifests.
    pub images: BTreeSet<String>,
    /// So many links to layers and configs.
    pub layers: u64,
    /// So many uploads that were given up.
    pub uploads: u64,
}

/// What a node has, and what of it is taken. Amounts are bytes, and thousandths of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Its host name, which is the instance's id.
    pub name: String,
    /// `manager` or `worker`.
    pub role: String,
    /// Swarm's word: `ready`, `down`, ….
    pub state: String,
    /// Swarm's word: `active`, `pause` or `drain`.
    pub availability: String,
    /// Tasks that are on it and not over.
    pub tasks: u32,
    /// All its processors.
    pub cpu_millis: u64,
    /// The sum of what its tasks may use; each without a limit counts as nothing.
    pub cpu_limit_millis: u64,
    /// All its memory.
    pub memory: u64,
    /// What is kept free for its tasks: the Swarm places no more than fit.
    pub memory_reserved: u64,
    /// The sum of what its tasks may use; each without a limit counts as nothing.
    pub memory_limit: u64,
    /// So many of its tasks have no limit of memory.
    pub unlimited: u32,
    /// What its agent has measured; `None` where it did not say.
    pub measured: Option<Measured>,
}

/// What the agent of a node has measured: of the whole machine, and not of its tasks alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// When it said so, in milliseconds since 1970.
    pub at: u64,
    /// Programs that run or wait for a processor or a disk, on average over a minute, in thousandths.
    pub load_millis: u64,
    /// Memory that a program could still get, in bytes.
    pub memory_available: u64,
    /// Size of the file system of images and containers, in bytes.
    pub disk: u64,
    /// What of it can still be written, in bytes.
    pub disk_free: u64,
}

/// An overlay network of the Swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRow {
    /// Empty for an app that has none.
    pub network: String,
    /// The app that it is of; `None` for one of the platform's, or of somebody's own.
    pub app: Option<String>,
    /// Where its addresses come from, as in `10.128.3.0/24`; empty where the Swarm has none yet.
    pub subnet: String,
    /// Tasks that are on it and not over.
    pub tasks: u32,
    /// Containers on it that are no tasks, such as the edge of each node.
    pub containers: u32,
    /// Addresses that are taken: one for each of both, and one for each node that has any of them.
    pub addresses: u64,
    /// Addresses that are free.
    pub free: u64,
    /// Host names of the nodes that have a task or container on it.
    pub nodes: BTreeSet<String>,
    /// So many nodes exchange packets of it with the manager that answered; `None` where that one is not on it itself.
    pub peers: Option<u32>,
    /// What is wrong, in one line each.
    pub problems: Vec<String>,
}
