//! Logs of an engine that a test plays: byte for byte, and with silence where one is to be.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::LogLine;

const FROM: &str = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1";

fn frame_of(kind: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![kind, 0, 0, 0];
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload.as_bytes());
    frame
}

fn line(kind: u8, text: &str) -> Vec<u8> {
    frame_of(kind, &format!("2026-05-01T10:00:00.000000001Z {FROM} {text}"))
}

/// Answers one request with these bytes in two pieces, and then keeps the connection open until the receiver is dropped.
fn played(socket: &Path, answer: Vec<u8>) -> Receiver<(String, UnixStream)> {
    let listener = UnixListener::bind(socket).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        let (first, second) = answer.split_at(answer.len() / 2);
        stream.write_all(first).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        stream.write_all(second).unwrap();
        tell.send((String::from_utf8(asked).unwrap(), stream)).unwrap();
    });
    told
}

fn answer(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
    [head.as_bytes().to_vec(), frames.concat()].concat()
}

fn text(item: &LogItem) -> String {
    match item {
        LogItem::Line(LogLine { line, stderr, .. }) => format!("{stderr} {}", String::from_utf8_lossy(line)),
        LogItem::Gap { reason, .. } => format!("gap {reason}"),
        LogItem::Silence => "silence".to_owned(),
    }
}

#[tokio::test]
async fn lines_and_what_the_swarm_says_come_in_their_order_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // A frame whose length has the byte of a line's end, which bollard would take for one.
    let gap = format!("Error grabbing logs: node is not available {}", "x".repeat(266 - 43));
    let frames = [line(1, "one\n"), frame_of(3, &gap), line(2, "two\n"), line(1, "no end")];
    let told = played(&socket, answer(&frames));
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let options = LogOptions { follow: false, since: Some(1_700_000_000_042), tail: Some(5) };
    let mut log = engine.logs(LogSource::Service("he llo"), options).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(text(&log.next().await.unwrap().unwrap()));
    }
    let (asked, stream) = told.recv().unwrap();
    assert!(
        asked.starts_with("GET /v1.53/services/he%20llo/logs?stdout=1&stderr=1&timestamps=1&details=1&"),
        "{asked}"
    );
    assert!(asked.contains("&follow=false&tail=5&since=1700000000.042000000 HTTP/1.0\r\n"), "{asked}");
    drop(stream);
    seen.push(text(&log.next().await.unwrap().unwrap()));
    assert!(log.next().await.is_none());
    assert_eq!((seen[0].as_str(), seen[2].as_str(), seen[3].as_str()), ("false one", "true two", "false no end"));
    assert!(seen[1].starts_with("gap node is not available x"), "{}", seen[1]);
}

#[tokio::test]
async fn a_node_that_is_silent_ends_a_log_that_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = played(&socket, answer(&[line(1, "one\n")]));
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let mut log = engine.logs(LogSource::Task("t1"), LogOptions::default()).await.unwrap();
    assert_eq!(text(&log.next().await.unwrap().unwrap()), "false one");
    let (asked, _open) = told.recv().unwrap();
    assert!(asked.starts_with("GET /v1.53/tasks/t1/logs?") && asked.contains("tail=all"), "{asked}");
    // From here on only time happens.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert_eq!(log.next().await.unwrap().unwrap(), LogItem::Silence);
    assert!(log.next().await.is_none() && started.elapsed() >= SILENCE);
}

#[tokio::test]
async fn a_log_that_is_followed_waits_for_as_long_as_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = played(&socket, answer(&[line(1, "one\n")]));
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut log = engine.logs(LogSource::Service("s1"), options).await.unwrap();
    assert_eq!(text(&log.next().await.unwrap().unwrap()), "false one");
    let (_asked, mut stream) = told.recv().unwrap();
    tokio::time::pause();
    assert!(timeout(20 * SILENCE, log.next()).await.is_err(), "silence is no sign of anything");
    tokio::time::resume();
    // A piece of a frame was not lost by waiting for it with a deadline.
    stream.write_all(&line(1, "two\n")).unwrap();
    assert_eq!(text(&log.next().await.unwrap().unwrap()), "false two");
}

#[tokio::test]
async fn an_unknown_service_and_a_frame_that_is_too_long_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let body = "{\"message\":\"service x not found\"}";
    let missing = format!("HTTP/1.0 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _told = played(&socket, missing.into_bytes());
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    assert!(engine.logs(LogSource::Service("x"), LogOptions::default()).await.err().unwrap().is_not_found());
    let socket = folder.path().join("other.sock");
    let _told = played(&socket, answer(&[vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]));
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let mut log = engine.logs(LogSource::Service("x"), LogOptions::default()).await.unwrap();
    let error = log.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("a frame of 4294967295 bytes"), "{error}");
}
