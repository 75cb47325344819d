//! The words that all programs of a cluster share: roles, records in the bucket, and the names of its objects.
//!
//! Plain data that serde reads and writes. Whoever only renders or decides depends on this and on no client of anything.

mod access;
mod app;
mod app_record;
mod clock;
pub mod keys;
mod node;
mod release;
mod swarm;

pub use access::{AccessList, AppRole, LastOwner, NameError, Principal, User, app_name, person_name};
pub use app::{Health, Hook, Settings, Timing, UpdateOrder};
pub use app_record::{AppEntry, AppIndex, AppRecord, AppToken, AuditEntry, Deploying, TokenRecord};
pub use clock::unix_millis;
pub use node::{FRESH, HEARTBEAT, NodeRecord, NodeState, Role};
pub use release::{Failure, FailureClass, Outcome, Progress, Release};
pub use swarm::{Genesis, ManagerRecord, SealedAuthority, SealedToken, SshAuthority};
