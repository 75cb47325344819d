//! HTTP servers of a test's own, over TCP on loopback or over a Unix socket: each connection gets the next answer.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What one connection gets.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status; without one the connection ends when the request was read.
    pub status: Option<u16>,
    /// Header lines beside the length, each with its line end.
    pub headers: String,
    /// Sent with its length, whatever it is.
    pub body: String,
}

impl Answer {
    /// An answer with a body of JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status: Some(status), headers: "Content-Type: application/json\r\n".to_owned(), body: body.into() }
    }
}

/// Serves the answers on loopback; returns the address as a URL, and what was asked: the head of each request and its body, as
/// they came.
///
/// # Panics
/// When no port is free.
pub fn on_loopback(answers: Vec<Answer>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound address"));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().expect("a connection");
            exchange(stream.try_clone().expect("a second handle"), stream, &answer, &tell);
        }
    });
    (url, told)
}

/// Serves the answers on a socket that this makes at `path`; returns what was asked, as [`on_loopback`] does.
///
/// # Panics
/// When the socket cannot be made.
pub fn on_socket(path: &Path, answers: Vec<Answer>) -> Receiver<String> {
    let listener = UnixListener::bind(path).expect("a socket of the test's own");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().expect("a connection");
            exchange(stream.try_clone().expect("a second handle"), stream, &answer, &tell);
        }
    });
    told
}

/// Reads one request, tells it, and answers.
fn exchange(reading: impl Read, mut writing: impl Write, answer: &Answer, tell: &Sender<String>) {
    let mut reader = BufReader::new(reading);
    let (mut asked, mut length) = (String::new(), 0);
    while !asked.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("a line of a request") > 0, "a request ended early: {asked}");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        asked.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a whole body");
    asked.push_str(std::str::from_utf8(&body).expect("a body of text"));
    // A test may have heard enough.
    let _nobody_listens = tell.send(asked);
    if let Some(status) = answer.status {
        let (headers, length) = (&answer.headers, answer.body.len());
        let head = format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        writing.write_all((head + &answer.body).as_bytes()).expect("an answer");
    }
}
