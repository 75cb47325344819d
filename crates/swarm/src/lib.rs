//! The Docker Engine of a node and the Swarm it belongs to, in Swarm's own words.
//!
//! [`Engine`] is the narrow boundary: what the agent and the edge use of Docker's API, one trait for each of its parts.
//! [`DockerEngine`] is behind it on a node; [`fake`] has engines in memory that behave as Docker's do, and [`faults`] wraps any
//! engine in failures. Secrets (join tokens) enter and leave only as [`Secret`].

mod containers;
mod docker;
mod error;
pub mod fake;
pub mod faults;
mod membership;
mod networks;
mod nodes;
mod services;

pub use containers::{Container, ContainerApi, ContainerConfig};
pub use docker::DockerEngine;
pub use error::Error;
pub use membership::{InitOptions, JoinTokens, LocalState, Membership, SwarmApi};
pub use networks::{Network, NetworkApi, NetworkDriver, NetworkScope};
pub use nodes::{Availability, ManagerStatus, Node, NodeApi, NodeSpec, NodeState};
pub use services::{Service, ServiceApi, ServiceSpec};

pub use futuswarm_secret::Secret;

/// What is used of a Docker Engine. Clones speak to the same engine.
pub trait Engine: SwarmApi + NodeApi + ServiceApi + NetworkApi + ContainerApi + Clone + 'static {}

impl<E: SwarmApi + NodeApi + ServiceApi + NetworkApi + ContainerApi + Clone + 'static> Engine for E {}
