//! The control service of managers: it answers the command line's requests, and drives releases to their end. It is the only program
//! that speaks to Docker for people.
//!
//! Sessions of the SSH server connect to its Unix socket, greet, and ask for one thing ([`futuswarm_rpc`]). Everything it knows is in the
//! bucket and in the Swarm: any manager answers any request, and whatever one of them leaves undone, another one carries on.

mod admission;
mod apps;
mod audit;
mod beginning;
mod client;
mod clock;
mod collect;
mod connections;
mod content;
mod control;
mod databases;
mod deploy;
mod desired;
mod dispatch;
mod drives;
mod error;
mod images;
mod import;
mod limits;
mod links;
mod login;
mod logins;
mod logs;
mod networks;
mod nodes;
mod old_tool;
mod people;
mod push;
mod recent;
pub mod records;
mod refusal;
pub mod registry;
pub mod rehearsal;
mod removal;
mod rollout;
mod run;
mod serve;
mod shares;
mod standing;
mod start;
mod stats;
#[cfg(test)]
mod tests;
mod values;
mod verbs;
mod wire;

pub use clock::{Clock, SystemClock};
pub use control::{Control, Facts, Platform, Tools};
pub use error::Error;
pub use old_tool::OldTool;
pub use refusal::Refused;
pub use start::{Options, run};
