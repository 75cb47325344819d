//! Bringing resources from how they are to how they should be: what differs, in which order it is changed, and what a person has
//! confirmed of it. Which resources these are and how they are asked for is not known here.
//!
//! A [`Resource`] declares fields, and [`apply`] and [`destroy`] compare, plan and order; so a plan and a run cannot disagree.

mod compare;
mod confirmed;
mod consistency;
mod context;
mod error;
mod fields;
mod ledger;
mod lost_answers;
mod mode;
mod order;
mod plan;
mod resource;
mod run;
#[cfg(test)]
mod testing;

pub use confirmed::Confirmed;
pub use consistency::{Late, poll, retry_while};
pub use context::{Answer, CallError, Context};
pub use error::Error;
pub use fields::{Difference, Differences, Fields, Key, UNKNOWN};
pub use ledger::{Ledger, Listener};
pub use mode::Mode;
pub use plan::{Action, Change, Event, Report};
pub use resource::Resource;
pub use run::{Step, apply, check, destroy, orphan, run_forwards, step};
