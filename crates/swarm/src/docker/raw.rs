//! Requests over a connection of their own, for what bollard's client does not give as it comes: byte streams of a terminal (its reader
//! takes bytes below 3 for a header and waits for the rest), frames in which the Swarm speaks of a log itself, fields that its models
//! do not have, and content that it would write into a debug log.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{CALL_TIMEOUT_SECS, DockerEngine};
use crate::Error;

/// What is read of an answer at most, in bytes: a Swarm with thousands of services stays far below.
const LONGEST_ANSWER: u64 = 64 << 20;
/// What is read of an answer's head at most, in bytes.
const LONGEST_HEAD: u64 = 64 << 10;
/// The longest frame: a container's log is kept in pieces of 16 KiB, and a program's output is read in pieces of 32 KiB.
const LONGEST_FRAME: usize = 8 << 20;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A name as a part of a path or a query.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// An answer of which the head was read.
pub(super) struct Answer {
    /// What follows the head.
    pub(super) body: BufReader<UnixStream>,
    operation: &'static str,
}

/// How a request is made.
pub(super) struct Request<'a> {
    pub(super) operation: &'static str,
    pub(super) method: &'static str,
    /// Path and query behind the version of the API.
    pub(super) path: &'a str,
    /// JSON; empty for none.
    pub(super) body: &'a [u8],
    /// Whether the connection is to become a byte stream in both directions.
    pub(super) upgrade: bool,
}

impl DockerEngine {
    /// Sends a request. Returns once the head of an answer that is no error has come.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, Error> {
        let operation = request.operation;
        // Agreed on with the engine once, by bollard.
        let version = self.docker().await?.client_version();
        let path = format!("/v{}.{}{}", version.major_version, version.minor_version, request.path);
        let exchange = async {
            let stream = UnixStream::connect(&*self.socket).await?;
            let mut stream = BufReader::new(stream);
            stream.write_all(&head(&request, &path)).await?;
            stream.write_all(request.body).await?;
            stream.flush().await?;
            let (status, length) = answered(&mut stream).await?;
            if (200..300).contains(&status) || status == 101 {
                return Ok(Ok(stream));
            }
            let mut said = Vec::new();
            stream.take(length.min(LONGEST_HEAD)).read_to_end(&mut said).await?;
            Ok(Err(Error::Refused { operation, status, message: message(&said) }))
        };
        let outcome: Result<Result<_, Error>, std::io::Error> = within(operation, exchange).await?;
        let body = outcome.map_err(|error| lost(operation, &error))??;
        Ok(Answer { body, operation })
    }

    /// The answer to a GET.
    pub(super) async fn get_json(&self, operation: &'static str, path: &str) -> Result<Value, Error> {
        self.send(Request { operation, method: "GET", path, body: &[], upgrade: false }).await?.json().await
    }
}

impl Answer {
    /// All of it.
    pub(super) async fn json(self) -> Result<Value, Error> {
        let Self { body, operation } = self;
        let mut bytes = Vec::new();
        let read = within(operation, body.take(LONGEST_ANSWER).read_to_end(&mut bytes)).await?;
        read.map_err(|error| lost(operation, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Unreachable {
            operation,
            reason: format!("the answer is cut off or no JSON: {error}"),
        })
    }
}

fn head(request: &Request<'_>, path: &str) -> Vec<u8> {
    // A server answers a request of HTTP/1.0 without chunks, and closes the connection at its end.
    let (version, connection) =
        if request.upgrade { ("1.1", "Connection: Upgrade\r\nUpgrade: tcp\r\n") } else { ("1.0", "") };
    let content = match request.body.len() {
        0 if request.method == "GET" => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    format!("{} {path} HTTP/{version}\r\nHost: localhost\r\n{connection}{content}\r\n", request.method).into_bytes()
}

/// Status and length of an answer; the length is the largest there is when the answer goes on to the end of the connection.
async fn answered(stream: &mut BufReader<UnixStream>) -> std::io::Result<(u16, u64)> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let (mut status, mut length, mut read) = (None, u64::MAX, 0);
    loop {
        let mut line = String::new();
        let got = (&mut *stream).take(LONGEST_HEAD).read_line(&mut line).await?;
        read += got as u64;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if read >= LONGEST_HEAD {
            return Err(invalid("the head of the answer is too long"));
        }
        let line = line.trim_end();
        let Some(status) = status else {
            let said = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
            status = Some(said.and_then(|code| code.parse().ok()).ok_or_else(|| invalid("no answer of HTTP"))?);
            continue;
        };
        if line.is_empty() {
            return Ok((status, length));
        }
        match line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())) {
            Some((name, value)) if name == "content-length" => {
                length = value.parse().map_err(|_| invalid("no length"))?;
            }
            Some((name, _)) if name == "transfer-encoding" => return Err(invalid("the answer comes in chunks")),
            _ => {}
        }
    }
}

/// The engine's explanation, in one line.
fn message(said: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(said).ok();
    let message = json.as_ref().and_then(|json| json["message"].as_str()).map(str::to_owned);
    message.unwrap_or_else(|| String::from_utf8_lossy(said).into_owned()).trim().replace('\n', " ")
}

async fn within<T>(operation: &'static str, call: impl Future<Output = T>) -> Result<T, Error> {
    let deadline = Duration::from_secs(CALL_TIMEOUT_SECS);
    timeout(deadline, call).await.map_err(|_| Error::Unreachable { operation, reason: "no answer in time".to_owned() })
}

pub(super) fn lost(operation: &'static str, error: &std::io::Error) -> Error {
    Error::Unreachable { operation, reason: error.to_string() }
}

/// The next frame of a multiplexed stream: its kind and what it carries. `None` at the end, also in the middle of a frame: that is how
/// an engine that stops ends it.
pub(super) async fn frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 8];
    let ended = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if ended(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if length > LONGEST_FRAME {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut payload = vec![0; length];
    match stream.read_exact(&mut payload).await {
        Ok(_) => Ok(Some((head[0], payload))),
        Err(error) if ended(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
