//! The local cloud: an emulated AWS API, virtual machines that follow it, their network, metadata and load balancer.
//!
//! One daemon per cluster owns every process and the network namespace; when it ends, whichever way, its children end with
//! it, and the next command removes the rest.

mod balancer;
mod bench_baseline;
mod ca;
mod child;
pub mod commands;
mod config;
mod control;
mod daemon;
mod databases;
mod dnsmasq;
mod error;
mod forward;
mod imds;
mod memory;
mod moto;
mod network;
mod observed_instances;
pub mod ports;
mod qemu;
mod sandbox;
mod state_dir;
mod tasks;
mod vms;
mod world;

pub use bench_baseline::naive_join;
pub use child::{EXEC_CHILD, exec as exec_child};
pub use config::{Accel, Mode};
pub use error::Error;
pub use sandbox::{EXEC_SANDBOXED, exec as exec_sandboxed};
