//! The control interface of a local cloud: what it says of itself, its machines, the faults that it injects, the world around it, and a
//! client. Both sides use these types; neither the AWS SDK nor an async runtime is behind them.

mod client;
mod cloud;
pub mod faults;
pub mod http;
pub mod metadata_faults;
pub mod place;
mod world;

pub use client::{Client, Error};
pub use cloud::{CloudInfo, VmStatus};
pub use world::{IssuedCertificate, WorldName};
