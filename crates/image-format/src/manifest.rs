//! `manifest.json`: what is in an image, and how it came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The content of `manifest.json`. Digests are SHA-256 in hexadecimal.
/// What a bake of another version did not write is empty; who needs it checks it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// [`crate::FAMILY`] and the beginning of `inputs_sha256`: a function of the inputs.
    pub name: String,
    /// Digest over all inputs.
    pub inputs_sha256: String,
    /// Revision of the clone, if it is one.
    pub git_revision: Option<String>,
    /// Kernel version.
    pub kernel: String,
    /// The dm-verity root hash that the firmware-loaded image trusts.
    pub root_hash: String,
    /// Digest of `disk.raw`.
    pub disk_sha256: String,
    /// Digest of the EROFS root.
    pub root_sha256: String,
    /// Size of `disk.raw`.
    pub disk_bytes: u64,
    /// Bytes of its 512-byte sectors that are not all zero.
    pub payload_bytes: u64,
    /// Part of the cluster (`edge`, `mainpage`) → name of its container image.
    pub containers: BTreeMap<String, String>,
    /// Everything installed, sorted by name.
    pub packages: Vec<Package>,
    /// What is newer than the lock says; an image in which this is not empty is for rehearsals and not for publishing.
    pub newer_than_lock: Vec<String>,
    /// In the order in which they ran.
    pub stages: Vec<Stage>,
}

/// A Debian package as it was installed; `packages.lock` has the same fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// For example `adduser`.
    pub name: String,
    /// Debian's version, with epoch and revision.
    pub version: String,
    /// Digest of the `.deb`.
    pub sha256: String,
    /// Bytes of the `.deb`.
    pub size: u64,
    /// Where it is: the archive as the snapshot archive calls it, then the path in it, for example
    /// `debian/pool/main/a/adduser/adduser_3.152_all.deb`.
    pub path: String,
}

/// One step of a bake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// For example `erofs`.
    pub name: String,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// Whether the result was taken from the cache.
    pub cached: bool,
}
