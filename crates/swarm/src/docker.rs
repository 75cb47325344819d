//! The Docker Engine behind its socket, through `bollard`. Every call has a deadline.

mod certificate;
mod containers;
mod images;
mod logs;
mod membership;
mod networks;
mod nodes;
mod programs;
mod raw;
mod secrets;
mod services;
mod tasks;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::Error;

/// Deadline of one call, in seconds. `swarm join` itself waits up to 20 s for a manager.
const CALL_TIMEOUT_SECS: u64 = 60;

/// The local Docker Engine. It is connected to when it is first asked something: dockerd may start later than we do.
#[derive(Debug, Clone)]
pub struct DockerEngine {
    socket: Arc<str>,
    /// The certificate of this node in its Swarm.
    certificate: Arc<PathBuf>,
    connection: Arc<Mutex<Option<Docker>>>,
}

impl DockerEngine {
    /// The engine behind `socket`; nothing is sent yet.
    #[must_use]
    pub fn new(socket: &str) -> Self {
        Self { socket: socket.into(), certificate: Arc::new(certificate::PATH.into()), connection: Arc::default() }
    }

    /// This engine, with the certificate of a Swarm in another file.
    #[cfg(test)]
    fn with_certificate(self, path: PathBuf) -> Self {
        Self { certificate: Arc::new(path), ..self }
    }

    /// One that asks no engine for its version, so that a test's answers are all for what it calls.
    #[cfg(test)]
    fn at_default_version(socket: &str) -> Self {
        let docker = Docker::connect_with_unix(socket, CALL_TIMEOUT_SECS, API_DEFAULT_VERSION).unwrap();
        let connection = Arc::new(Mutex::new(Some(docker)));
        Self { connection, ..Self::new(socket) }
    }

    /// A client that speaks an API version that both sides know. Fails until dockerd is up.
    async fn docker(&self) -> Result<Docker, Error> {
        if let Some(docker) = self.connection().as_ref() {
            return Ok(docker.clone());
        }
        let docker = Docker::connect_with_unix(&self.socket, CALL_TIMEOUT_SECS, API_DEFAULT_VERSION)
            .map_err(|error| Error::call("connect", error))?;
        let docker = docker.negotiate_version().await.map_err(|error| Error::call("negotiate version", error))?;
        *self.connection() = Some(docker.clone());
        Ok(docker)
    }

    /// Agrees on a version again with the next call: what answers then may be another dockerd.
    fn disconnect(&self) {
        *self.connection() = None;
    }

    fn connection(&self) -> MutexGuard<'_, Option<Docker>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
