//! The Docker Engine of a node and the Swarm it belongs to, in Swarm's own words.
//!
//! [`Engine`] is the narrow boundary: what the agent, the edge and the control service use of Docker's API, one trait for each of its
//! parts. [`DockerEngine`] is behind it on a node; [`fake`] has engines in memory that behave as Docker's do, and [`faults`] wraps any
//! engine in failures. Secrets (join tokens) enter and leave only as [`Secret`], and the content of secrets for tasks only enters.

mod containers;
mod docker;
mod error;
pub mod fake;
pub mod faults;
mod images;
mod logs;
mod membership;
mod networks;
mod nodes;
mod programs;
mod secrets;
mod services;
mod tasks;

pub use containers::{Container, ContainerApi, ContainerConfig};
pub use docker::DockerEngine;
pub use error::Error;
pub use images::{Image, ImageApi, LocalImage, PullProgress};
pub use logs::{LogApi, LogItem, LogLine, LogOptions, LogSource, LogStream, SILENCE};
pub use membership::{InitOptions, JoinTokens, LocalState, Membership, SwarmApi};
pub use networks::{Network, NetworkApi, NetworkDriver, NetworkScope};
pub use nodes::{Availability, ManagerStatus, Node, NodeApi, NodeSpec, NodeState};
pub use programs::{Attached, CheckResult, Output, Program, ProgramApi, ProgramSpec};
pub use secrets::{SecretApi, SwarmSecret};
pub use services::{
    APP_LABEL, Capabilities, Environment, HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, ProgramCheck,
    RELEASE_LABEL, Resources, RestartPolicy, SecretFile, Service, ServiceApi, ServiceSpec, UpdatePolicy, UpdateState,
    UpdateStatus, ZONE_LABEL, release_of,
};
pub use tasks::{Attachment, Task, TaskApi, TaskState};

pub use futuswarm_secret::Secret;

/// What only managers answer.
pub trait ManagerApi: NodeApi + ServiceApi + TaskApi + SecretApi + LogApi {}

impl<E: NodeApi + ServiceApi + TaskApi + SecretApi + LogApi> ManagerApi for E {}

/// What is used of a Docker Engine. Clones speak to the same engine.
pub trait Engine: SwarmApi + ManagerApi + ContainerApi + ImageApi + ProgramApi + Clone + 'static {}

impl<E: SwarmApi + ManagerApi + ContainerApi + ImageApi + ProgramApi + Clone + 'static> Engine for E {}
