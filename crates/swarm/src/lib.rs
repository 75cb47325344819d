//! The Docker Engine on this node and the Swarm it belongs to, in the words that the agent uses.
//!
//! Every call goes to the local engine's socket through `bollard` with a deadline. Secrets (join tokens) enter and leave
//! only as [`Secret`].

mod containers;
mod error;
mod membership;
mod nodes;
mod services;

pub use containers::{Container, LocalNetwork};
pub use error::Error;
pub use membership::{InitOptions, JoinTokens, LocalState, Membership};
pub use nodes::{NodeState, NodeView};
pub use services::{OverlayView, ServiceView, WantedService};

pub use futuswarm_secret::Secret;

use bollard::{API_DEFAULT_VERSION, Docker};

/// Where Debian's dockerd listens.
pub const DEFAULT_SOCKET: &str = "/run/docker.sock";
/// Deadline of one call, in seconds. `swarm join` itself waits up to 20 s for a manager.
const CALL_TIMEOUT_SECS: u64 = 60;

/// The local Docker Engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
}

impl Engine {
    /// The engine behind `socket`; nothing is sent yet.
    ///
    /// # Errors
    /// When the socket's path cannot be used.
    pub fn at(socket: &str) -> Result<Self, Error> {
        let docker = Docker::connect_with_unix(socket, CALL_TIMEOUT_SECS, API_DEFAULT_VERSION)
            .map_err(|error| Error::call("connect", error))?;
        Ok(Self { docker })
    }

    /// Agrees on an API version that both sides speak. Fails until dockerd is up.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn negotiated(&self) -> Result<Self, Error> {
        let docker =
            self.docker.clone().negotiate_version().await.map_err(|error| Error::call("negotiate version", error))?;
        Ok(Self { docker })
    }
}
