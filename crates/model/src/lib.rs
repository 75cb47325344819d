//! The words that all programs of a cluster share: roles, records in the bucket, and the names of its objects.
//!
//! Plain data that serde reads and writes. Whoever only renders or decides depends on this and on no client of anything.

mod access;
mod admission;
mod app;
mod app_record;
mod cli_release;
mod clock;
mod import;
pub mod keys;
mod login;
mod node;
mod registry;
mod release;
mod swarm;
mod value;

pub use access::{AccessList, AppRole, LastOwner, NameError, Principal, User, app_name, person_name};
pub use admission::{Admission, Admissions, Visitor, VisitorError};
pub use app::{Health, Hook, Settings, Timing, UpdateOrder};
pub use app_record::{
    AppDatabase, AppEntry, AppIndex, AppRecord, AppToken, AuditEntry, DatabaseLease, Deploying, Link, Reattach,
    TokenRecord,
};
pub use cli_release::CliRelease;
pub use clock::unix_millis;
pub use import::ImportSource;
pub use login::{
    LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LOGIN_PASSPHRASE_NAME, LONGEST_SESSION, Locked, LoginClientSecret,
    LoginPassphrases, LoginProvider, LoginRecord, PassphraseStep, Rotation,
};
pub use node::{FRESH, HEARTBEAT, NodeRecord, NodeState, NodeUsage, Role, ServedRoutes};
pub use registry::{Collector, PushShare, PushUpload, UploadPlace};
pub use release::{Failure, FailureClass, Outcome, Progress, Release};
pub use swarm::{Genesis, ManagerRecord, SealedAuthority, SealedToken, SshAuthority, ssh_host};
pub use value::{Value, Values};
