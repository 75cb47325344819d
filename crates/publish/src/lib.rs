//! From a baked image to an AMI: upload, register, copy, validate, smoke boot, promote, retire.
//!
//! ```text
//! disk.raw ─ blocks ─► snapshot (only what the newest image of the family has not) ─► AMI ─ seen three times
//!                                    ┌ copies in other regions ◄───────────────────────┘
//! SSM parameter ◄─ smoke boot ◄─ validation
//! ```
//!
//! There is no state but what AWS holds: names and tags say what is there, so that any machine can carry on.

pub mod blocks;
pub mod copy;
pub mod debris;
pub mod error;
pub mod gpt;
pub mod image;
pub mod parent;
pub mod place;
pub mod progress;
pub mod promote;
pub mod publish;
pub mod register;
pub mod retire;
pub mod smoke;
pub mod snapshot;
pub mod upload;
pub mod validate;

pub use error::{Error, Result};

/// Tag on images and snapshots: the family, for example `futuswarm-node`. Only what carries it is ever deleted.
pub const FAMILY_TAG: &str = "futuswarm:image";
/// Tag on images and snapshots: SHA-256 of the disk.
pub const DISK_TAG: &str = "futuswarm:disk-sha256";
/// Tag on snapshots: SHA-256 of the index of their blocks.
pub const BLOCKS_TAG: &str = "futuswarm:blocks";
/// Tag on snapshots: whose upload it is.
pub const UPLOAD_TAG: &str = "futuswarm:upload";
