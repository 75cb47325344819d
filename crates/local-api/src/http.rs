//! One HTTP/1.1 exchange with a server on this machine, over TCP or a Unix socket, blocking and always with a deadline.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
pub enum Endpoint<'a> {
    /// `HOST:PORT`.
    Tcp(&'a str),
    /// A Unix socket.
    Unix(&'a Path),
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Status line and header lines, each but the last with its line end.
    pub head: String,
    /// The body, without a framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is one of 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("{0}")]
    NotListening(std::io::Error),
    /// The exchange broke off.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The deadline has passed.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// Bytes that are no HTTP.
    #[error("the answer is not HTTP: {0}")]
    Malformed(&'static str),
}

/// Makes one request on a connection of its own and reads the answer.
///
/// # Errors
/// When nobody listens, or there is no whole answer before the deadline.
pub fn exchange(
    endpoint: Endpoint<'_>,
    method: &str,
    path: &str,
    body: &[u8],
    deadline: Duration,
) -> Result<Answer, Error> {
    let until = Instant::now() + deadline;
    let late = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Error::Late(deadline),
        _ => Error::Io(error),
    };
    let mut stream = Stream::connect(endpoint, until, deadline)?;
    let host = match endpoint {
        Endpoint::Tcp(address) => address,
        Endpoint::Unix(_) => "localhost",
    };
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    // Nothing at all is left only when connecting took it; a timeout of zero would be an error.
    stream.set_deadline(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))?;
    stream.write_all(&request).map_err(late)?;
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 16 << 10]);
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late(deadline));
        }
        stream.set_deadline(left)?;
        match stream.read(&mut buffer) {
            Ok(0) => return parse(&bytes, true)?.ok_or(Error::Malformed("it ended early")),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(late(error)),
        }
    }
}

/// The answer in these bytes, if it is whole; `ended` says that no more will come.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Answer>, Error> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or(Error::Malformed("the status line"))?;
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let rest = &bytes[end + 4..];
    let body = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        chunks(rest)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| Error::Malformed("the length"))?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| rest.to_vec())
    };
    Ok(body.map(|body| Answer { status, head, body }))
}

/// A chunked body, if it is whole (RFC 9112, 7.1). Trailers are passed over.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| Error::Malformed("a chunk"))?;
        let length = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(length, 16).map_err(|_| Error::Malformed("a chunk's length"))?;
        if length == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(next) = rest.get(end + 2 + length + 2..) else { return Ok(None) };
        rest = next;
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: Endpoint<'_>, until: Instant, deadline: Duration) -> Result<Self, Error> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Error::NotListening(error),
            std::io::ErrorKind::TimedOut => Error::Late(deadline),
            _ => Error::Io(error),
        };
        match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).map(Self::Unix).map_err(failed),
            Endpoint::Tcp(address) => {
                // `localhost` is two addresses, and a server may have only the second.
                let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
                for address in address.to_socket_addrs()? {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::Late(deadline));
                    }
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => return Ok(Self::Tcp(stream)),
                        Err(error) => last = error,
                    }
                }
                Err(failed(last))
            }
        }
    }

    fn set_deadline(&self, left: Duration) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)))
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn bodies_end_by_their_length_their_last_chunk_or_the_connection() {
        let body = |text: &str, ended| parse(text.as_bytes(), ended).unwrap().map(|answer| answer.body);
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(body(plain, false), None);
        assert_eq!(body(&format!("{plain}ab"), false).unwrap(), b"ab");
        let chunked = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n";
        assert_eq!(body(chunked, false), None);
        assert_eq!(body(&format!("{chunked}0\r\n\r\n"), false).unwrap(), b"abcde");
        assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nab", false), None);
        assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nab", true).unwrap(), b"ab");
        assert!(parse(b"SSH-2.0-x\r\n\r\n", false).is_err());
    }

    #[test]
    fn a_server_that_says_nothing_is_late_and_one_that_is_not_there_does_not_listen() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let error = exchange(Endpoint::Tcp(&address), "GET", "/", b"", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Late(_)), "{error:?}");
        drop(silent);
        let error = exchange(Endpoint::Tcp(&address), "GET", "/", b"", Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, Error::NotListening(_)), "{error:?}");
        let error = exchange(Endpoint::Unix(Path::new("/no/such.sock")), "GET", "/", b"", Duration::from_secs(5));
        assert!(matches!(error, Err(Error::NotListening(_))), "{error:?}");
    }
}
