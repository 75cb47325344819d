//! Asks a task for its health from within its own container: at a path over HTTP, or whether it accepts connections at its port. A static
//! program of the node's image that is mounted into tasks whose app asks for that, so that the Swarm itself knows who is healthy, and no
//! image needs a `curl`.
//!
//! It asks at the address that others reach the task at, not at loopback: a program that listens on 127.0.0.1 only is healthy for
//! nobody but itself.
#![expect(clippy::print_stdout, reason = "Docker keeps what a health check prints")]

mod listen;
mod tell;

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A status line longer than this is no answer.
const LONGEST_LINE: u64 = 4096;

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// 200 to 399.
    Healthy(u16),
    /// It accepts connections, and was asked nothing else.
    Accepts,
    /// Another status.
    Status(u16),
    /// Nobody accepts connections at the address: where the task listens instead.
    Refused(String),
    /// No answer in time, or none of HTTP.
    Silent(String),
}

impl Verdict {
    fn is_good(&self) -> bool {
        matches!(self, Self::Healthy(_) | Self::Accepts)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy(status) | Self::Status(status) => write!(formatter, "answered {status}"),
            Self::Accepts => formatter.write_str("accepted"),
            Self::Refused(instead) => write!(formatter, "connection refused: {instead}"),
            Self::Silent(reason) => write!(formatter, "no answer: {reason}"),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The task of a node that only has to have pulled the image.
        ["pulled"] => ExitCode::SUCCESS,
        ["http", port, path, seconds] => match (address(port), limit(seconds)) {
            (Some(address), Some(limit)) => end(&format!("GET http://{address}{path}"), &ask(address, path, limit)),
            _ => usage(),
        },
        ["port", port, seconds] => match (address(port), limit(seconds)) {
            (Some(address), Some(limit)) => end(&format!("connect {address}"), &reach(address, limit)),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    println!("usage: futuswarm-probe http PORT PATH SECONDS | port PORT SECONDS | pulled");
    ExitCode::from(2)
}

fn limit(seconds: &str) -> Option<Duration> {
    seconds.parse().ok().map(Duration::from_secs)
}

/// Where others reach the task at this port.
fn address(port: &str) -> Option<SocketAddr> {
    let port = port.parse().ok()?;
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(SocketAddr::new(own_address(&hosts, name.trim()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
}

fn end(question: &str, verdict: &Verdict) -> ExitCode {
    let answer = format!("{question}: {verdict}");
    println!("{answer}");
    match verdict.is_good() {
        true => {
            tell::good(Path::new(tell::SAID));
            ExitCode::SUCCESS
        }
        false => {
            tell::bad(&answer, Path::new(tell::OUTPUT), Path::new(tell::SAID));
            ExitCode::FAILURE
        }
    }
}

/// The address that Docker wrote beside the container's host name.
fn own_address(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        (!address.is_loopback() && !name.is_empty() && words.any(|word| word == name)).then_some(address)
    })
}

fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, Verdict> {
    TcpStream::connect_timeout(&address, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            let unknown = || "nothing listens there".to_owned();
            Verdict::Refused(listen::everywhere().map_or_else(unknown, |all| listen::instead(&all, address)))
        }
        _ => Verdict::Silent(error.to_string()),
    })
}

/// Asks nothing, and goes at once.
fn reach(address: SocketAddr, limit: Duration) -> Verdict {
    match connect(address, limit) {
        Ok(_connection) => Verdict::Accepts,
        Err(refused) => refused,
    }
}

fn ask(address: SocketAddr, path: &str, limit: Duration) -> Verdict {
    let began = Instant::now();
    let stream = match connect(address, limit) {
        Ok(stream) => stream,
        Err(refused) => return refused,
    };
    match status(&stream, address, path, limit, began) {
        Ok(status @ 200..=399) => Verdict::Healthy(status),
        Ok(status) => Verdict::Status(status),
        Err(error) => Verdict::Silent(error),
    }
}

/// The status of the answer. The limit is for all of it: an answer byte by byte does not go on for ever.
fn status(
    mut stream: &TcpStream,
    address: SocketAddr,
    path: &str,
    limit: Duration,
    began: Instant,
) -> Result<u16, String> {
    let left = || limit.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
    let late = || format!("not within {} s", limit.as_secs());
    let text = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => late(),
        _ => error.to_string(),
    };
    stream.set_write_timeout(left()).map_err(text)?;
    stream.set_read_timeout(left()).map_err(text)?;
    let host = address.to_string();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: futuswarm-probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(512, stream.take(LONGEST_LINE));
    loop {
        let Some(left) = left() else { return Err(late()) };
        stream.set_read_timeout(Some(left)).map_err(text)?;
        let some = reader.fill_buf().map_err(text)?;
        if some.is_empty() {
            break;
        }
        let end = some.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&some[..end.unwrap_or(some.len())]);
        let used = end.map_or(some.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split(' ');
    match (words.next(), words.next().map(str::trim).map(str::parse)) {
        (Some(version), Some(Ok(status @ 100..=599))) if version.starts_with("HTTP/1.") => Ok(status),
        _ => Err("what answers does not speak HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    /// Answers one connection with these pieces, with a pause before each.
    fn server(pieces: &'static [&'static str], pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            assert_eq!(request, "GET /health HTTP/1.1\r\n");
            for piece in pieces {
                thread::sleep(pause);
                if stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
            }
        });
        address
    }

    #[test]
    fn two_and_three_hundreds_are_healthy_and_nothing_else() {
        for (line, healthy) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.0 204\r\n\r\n", true),
            ("HTTP/1.1 399 X\r\n\r\n", true),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("HTTP/1.1 100 Continue\r\n\r\n", false),
            ("HTTP/1.1 2000 X\r\n\r\n", false),
            ("SSH-2.0-OpenSSH\r\n", false),
            ("", false),
        ] {
            let pieces = Box::leak(Box::new([line]));
            let verdict = ask(server(pieces, Duration::ZERO), "/health", LIMIT);
            assert_eq!(matches!(verdict, Verdict::Healthy(_)), healthy, "{line:?}: {verdict}");
        }
    }

    #[test]
    fn an_answer_byte_by_byte_ends_at_the_limit() {
        let began = Instant::now();
        let pieces = ["H"; 100].leak_static();
        let verdict = ask(server(pieces, Duration::from_millis(300)), "/health", Duration::from_secs(1));
        assert_eq!(verdict, Verdict::Silent("not within 1 s".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    trait LeakStatic {
        fn leak_static(self) -> &'static [&'static str];
    }

    impl<const N: usize> LeakStatic for [&'static str; N] {
        fn leak_static(self) -> &'static [&'static str] {
            Box::leak(Box::new(self))
        }
    }

    /// What each question is answered at a port of 127.0.0.2, which stands for the address that others use.
    fn refused(port: u16) -> [String; 2] {
        let address = SocketAddr::new([127, 0, 0, 2].into(), port);
        [ask(address, "/", LIMIT), reach(address, LIMIT)].map(|verdict| match verdict {
            Verdict::Refused(_) => verdict.to_string(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn who_listens_on_loopback_only_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let expected = "connection refused: it listens at 127.0.0.1 only, where nobody else reaches it";
        assert_eq!(refused(port), [expected; 2]);
        drop(listener);
        // Other tests listen somewhere, too.
        for said in refused(port) {
            assert!(said.starts_with("connection refused: nothing listens there"), "{said}");
        }
    }

    #[test]
    fn who_accepts_connections_is_well_whatever_they_would_be_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let verdict = reach(listener.local_addr().unwrap(), LIMIT);
        assert_eq!((verdict.is_good(), verdict.to_string().as_str()), (true, "accepted"));
    }

    #[test]
    fn the_own_address_is_that_of_the_host_name() {
        let hosts =
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.0.3.7\tabc123def456 # us\n10.0.3.8\tother\n";
        assert_eq!(own_address(hosts, "abc123def456"), Some([10, 0, 3, 7].into()));
        assert_eq!(own_address(hosts, "localhost"), None);
        assert_eq!(own_address(hosts, ""), None);
        assert_eq!(own_address("nonsense\n", "a"), None);
    }
}
