//! Failures of the engine, in one line each.

/// A failed call to the Docker Engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine answered with an error.
    #[error("docker {operation}: {message} (status {status})")]
    Refused {
        /// For example `swarm join`.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine did not answer.
    #[error("docker {operation}: {reason}")]
    Unreachable {
        /// For example `info`.
        operation: &'static str,
        /// Why.
        reason: String,
    },
    /// The engine left out a field that its documentation promises.
    #[error("docker {operation}: the answer has no {field}")]
    Incomplete {
        /// For example `info`.
        operation: &'static str,
        /// As the API's documentation names it.
        field: &'static str,
    },
    /// A file that should be loaded cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// On this node.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    pub(crate) fn call(operation: &'static str, error: bollard::errors::Error) -> Self {
        match error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                // Engines put line breaks into some messages; a log line must stay one.
                Self::Refused { operation, status: status_code, message: message.replace('\n', " ") }
            }
            other => Self::Unreachable { operation, reason: other.to_string().replace('\n', " ") },
        }
    }

    /// Whether the engine said that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the engine said that the thing exists already, or that somebody changed it in the meantime.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
            || matches!(self, Self::Refused { message, .. } if message.contains("update out of sequence"))
    }

    /// Whether the engine said that something else still uses the thing: a service its secret or network, a container its network.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let says = |message: &str| message.contains("is in use by") || message.contains("has active endpoints");
        matches!(self, Self::Refused { message, .. } if says(message))
    }
}
