//! Who works on the images in the bucket: pushes share them, who collects what nothing needs has them alone, and a layer on its way has one
//! connection that sends it.
//!
//! Pushes and who collects write their own document first and then read the other's, so that of two who begin at the same time at least
//! one sees the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The lease of who collects images, under [`crate::keys::COLLECTOR`]. It is changed by compare-and-swap only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    /// The node whose control service collects, or did last.
    pub holder: String,
    /// Who wanted it.
    pub by: String,
    /// Counts the leases, from 1.
    pub epoch: u64,
    /// When the lease was taken, in milliseconds since 1970.
    pub since: u64,
    /// Until when nobody else may collect or push, in milliseconds since 1970; zero once it is given back.
    pub until: u64,
    /// When images of all apps were collected to the end for the last time, in milliseconds since 1970; zero for never.
    #[serde(default)]
    pub ended_at: u64,
    /// Random at each writing, so that two writers who want the same are told apart when an answer is lost.
    #[serde(default)]
    pub stamp: String,
}

impl Collector {
    /// Whether somebody collects at `now` (milliseconds since 1970).
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        self.until > now
    }
}

/// The share of those who push images of one app, under [`crate::keys::PUSHES`]. It is changed by compare-and-swap only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushShare {
    /// As in the key of the record.
    pub app: String,
    /// The node through which the last of them goes.
    pub holder: String,
    /// Until when nobody may collect, in milliseconds since 1970.
    pub until: u64,
    /// Digests of blobs that a push counts on, each with when it said so last, in milliseconds since 1970. They are kept for a while
    /// whatever becomes of the lease.
    #[serde(default)]
    pub blobs: BTreeMap<String, u64>,
    /// Random at each writing, so that two writers who want the same are told apart when an answer is lost.
    #[serde(default)]
    pub stamp: String,
}

/// Where the registry wants the rest of a layer, and from which byte on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadPlace {
    /// Path and query on the registry of any manager.
    pub location: String,
    /// So many bytes are there.
    pub offset: u64,
}

/// A layer of an app of which a part is in the registry, under [`crate::keys::upload`], so that any manager carries it on. It is changed by
/// compare-and-swap only: the registry itself does not keep two connections from sending the same upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushUpload {
    /// Where the registry's last answer has it.
    pub now: UploadPlace,
    /// Where the answer before that had it: docker-registry 2.8 confirms a piece also when S3 has not taken it, and is still there then.
    #[serde(default)]
    pub before: Option<UploadPlace>,
    /// The node through which it goes, or went last.
    pub node: String,
    /// Random for each connection that sends it, by which that one knows it for its own.
    pub holder: String,
    /// Until when nobody else carries it on, in milliseconds since 1970; zero once it is let go.
    pub until: u64,
    /// When this was written, in milliseconds since 1970.
    pub at: u64,
    /// Random at each writing, so that two writers who want the same are told apart when an answer is lost.
    #[serde(default)]
    pub stamp: String,
}

impl PushUpload {
    /// Whether some connection sends it at `now` (milliseconds since 1970), as far as anybody knows.
    #[must_use]
    pub fn is_held(&self, now: u64) -> bool {
        self.until > now
    }
}
