//! The local cloud: an emulated AWS API, virtual machines that follow it, their network, metadata and load balancer.
//!
//! One daemon per cluster owns every process and the network namespace; when it ends, whichever way, its children end with
//! it, and the next command removes the rest.

mod authority;
mod balancer;
mod child;
pub mod commands;
mod config;
mod confined;
mod control;
mod daemon;
mod databases;
mod dnsmasq;
mod ec2;
mod error;
mod imds;
mod layout;
mod moto;
mod naive;
mod network;
#[cfg(test)]
mod node_policies;
mod qemu;
mod tasks;
mod vms;

pub use child::{EXEC_CHILD, exec as exec_child};
pub use config::{Accel, Extent};
pub use confined::{EXEC_CONFINED, exec as exec_confined};
pub use error::Error;
pub use naive::naive_join;
