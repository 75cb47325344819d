//! Evaluates IAM policies: what identity policies and a resource's own policy say of one request. Pure: knows neither AWS nor
//! any input or output. What it does not understand it neither allows nor keeps a deny from applying.

mod condition;
mod context;
mod pattern;
mod policy;

pub use context::Context;
pub use policy::{Decision, Request, decide, forbids};
