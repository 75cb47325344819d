//! From a baked image to an AMI: upload, register, copy, validate, smoke boot, promote, retire.
//!
//! ```text
//! disk.raw ─ blocks ─► snapshot (all of it, or what an earlier one of the family has not) ─► AMI ─ observed three times
//!                                    ┌ copies in other regions ◄──────────────────────────────────┘
//! SSM parameter ◄─ smoke boot ◄─ validation
//! ```
//!
//! What is there, AWS holds: names and tags say it, so that any machine can carry on. A machine keeps only the indices of the images
//! that it has published, and the locks of its runs. Without the index of an earlier image everything is sent: the difference is to the
//! newest snapshot whose index is on this machine.

mod advice;
mod blocks;
pub mod cleanup;
mod copy;
pub mod error;
mod gpt;
pub mod image;
pub mod inputs;
mod parent;
pub mod progress;
pub mod promote;
pub mod publish;
mod references;
pub mod region;
pub mod register;
pub mod retire;
pub mod run_lock;
pub mod smoke;
mod snapshot;
mod sweep;
mod upload;
pub mod validate;

pub use error::{Error, Result};

/// Tag on snapshots: SHA-256 of the index of their blocks.
pub const BLOCKS_TAG: &str = "futuswarm:blocks";
/// Tag on snapshots: whose upload it is.
pub const UPLOAD_TAG: &str = "futuswarm:upload";
/// Tag on snapshots that began as another one: that one's id.
pub const PARENT_TAG: &str = "futuswarm:parent";
/// Tag on snapshots that began as another one: they differ from it in exactly what was sent.
pub const VERIFIED_TAG: &str = "futuswarm:verified";
