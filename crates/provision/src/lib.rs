//! From a cluster spec to AWS resources: each resource is looked up, compared, and created or changed if it has to be.
//!
//! There is no state file. What exists is found by name or by the tags `futuswarm:cluster` and `futuswarm:part`, so that any
//! machine can carry on where another one stopped, and a second run changes nothing.

mod aws;
mod cli_program;
mod cluster;
mod components;
mod consistency;
mod ec2_tags;
mod error;
mod field;
mod identity;
mod inventory;
pub mod login;
mod names;
mod policies;
mod preflight;
pub mod resources;
mod run;
pub mod show;
pub mod status;
pub mod users;
pub mod wait;

pub use aws::Aws;
pub use cli_program::CliProgram;
pub use cluster::Cluster;
pub use error::Error;
pub use futuswarm_converge::{Action, Change, Confirmed, Event, Listener, Mode, Report};
pub use run::{Overrides, Run};
