//! A client of a daemon's control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cloud::VmStatus;
use crate::faults::{ApiFaultRule, Progress};
use crate::http::{self, Endpoint};
use crate::metadata_faults::MetadataFaultRule;
use crate::place;
use crate::world::{IssuedCertificate, WorldName};

/// Machines that are told to end take a moment.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the control socket.
    #[error("no local cloud listens on {}", socket.display())]
    NotRunning {
        /// The control socket.
        socket: PathBuf,
    },
    /// The exchange failed.
    #[error("{call} on {}: {source}", socket.display())]
    Exchange {
        /// Method and path.
        call: String,
        /// The control socket.
        socket: PathBuf,
        /// What happened.
        source: http::Error,
    },
    /// The daemon's own words.
    #[error("{0}")]
    Refused(String),
    /// An answer in another form than this client knows.
    #[error("the daemon's answer to {path}: {source}")]
    Answer {
        /// What was asked.
        path: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
}

/// A client; each call is a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The client of the daemon whose cluster has this state folder.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { socket: place::control_socket(dir) }
    }

    /// The machines that are switched on.
    ///
    /// # Errors
    /// When the daemon does not run or refuses; so with every call below.
    pub fn machines(&self) -> Result<Vec<VmStatus>, Error> {
        self.call("GET", "/machines", b"")
    }

    /// Cuts the power of an instance's machine. Says whether there is one.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn kill(&self, instance: &str) -> Result<bool, Error> {
        self.call("POST", "/kill", instance.as_bytes())
    }

    /// Replaces the faults of the metadata service.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn set_metadata_faults(&self, rules: &[MetadataFaultRule]) -> Result<(), Error> {
        // One by itself is what a daemon of an earlier version takes.
        let body = match rules {
            [rule] => json(rule),
            rules => json(rules),
        };
        self.call("POST", "/faults", &body)
    }

    /// Replaces the faults of the AWS API, and begins to count from zero.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn set_api_faults(&self, rules: &[ApiFaultRule]) -> Result<(), Error> {
        self.call("POST", "/api-faults", &json(rules))
    }

    /// How far the faults of the AWS API have come.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn api_faults(&self) -> Result<Progress, Error> {
        self.call("GET", "/api-faults", b"")
    }

    /// Records the requests of the AWS API at the end of a file, which the daemon opens, or ceases to.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn record(&self, file: Option<&Path>) -> Result<(), Error> {
        let path = file.map(|file| file.display().to_string()).unwrap_or_default();
        self.call("POST", "/record", path.as_bytes())
    }

    /// Replaces the names of the world around the VPC, with their addresses.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn set_world(&self, names: &[WorldName]) -> Result<(), Error> {
        self.call("POST", "/world", &json(names))
    }

    /// A certificate of the local authority, which machines trust for these names, with a key of its own.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn issue(&self, names: &[&str]) -> Result<IssuedCertificate, Error> {
        self.call("POST", "/certificate", &json(names))
    }

    /// Ends the daemon, with everything that it has started.
    ///
    /// # Errors
    /// As [`Self::machines`].
    pub fn shutdown(&self) -> Result<(), Error> {
        self.call("POST", "/shutdown", b"")
    }

    fn call<T: DeserializeOwned>(&self, method: &str, path: &'static str, body: &[u8]) -> Result<T, Error> {
        let answer = match http::exchange(Endpoint::Unix(&self.socket), method, path, body, DEADLINE) {
            Ok(answer) => answer,
            Err(http::Error::NotListening(_)) => return Err(Error::NotRunning { socket: self.socket.clone() }),
            Err(source) => {
                return Err(Error::Exchange { call: format!("{method} {path}"), socket: self.socket.clone(), source });
            }
        };
        if !answer.is_success() {
            return Err(Error::Refused(
                serde_json::from_slice(&answer.body).unwrap_or_else(|_| format!("HTTP status {}", answer.status)),
            ));
        }
        serde_json::from_slice(&answer.body).map_err(|source| Error::Answer { path, source })
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Plain data with text as keys has a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_daemon_answers_refuses_or_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::of(dir.path());
        assert!(matches!(client.machines(), Err(Error::NotRunning { .. })));
        let listener = UnixListener::bind(place::control_socket(dir.path())).unwrap();
        let server = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for (status, body) in [("200 OK", "true"), ("400 Bad Request", "\"no such machine\""), ("200 OK", "{}")] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                heads.push(String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned());
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
            heads
        });
        assert!(client.kill("i-1").unwrap());
        assert_eq!(client.kill("i-2").unwrap_err().to_string(), "no such machine");
        assert!(client.machines().unwrap_err().to_string().starts_with("the daemon's answer to /machines: "));
        assert_eq!(server.join().unwrap(), ["POST /kill HTTP/1.1", "POST /kill HTTP/1.1", "GET /machines HTTP/1.1"]);
    }
}
