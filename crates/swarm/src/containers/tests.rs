//! Containers of an engine that answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;

fn wanted() -> Container {
    Container {
        name: "edge".to_owned(),
        image: "edge:1".to_owned(),
        command: vec!["/usr/sbin/haproxy".to_owned()],
        mounts: Vec::new(),
        writable: Vec::new(),
        ports: Vec::new(),
        network: "edge".to_owned(),
        memory_bytes: 1 << 20,
    }
}

/// An engine that answers each call with the next status and body; the receiver tells what it was asked.
fn engine(answers: Vec<(u16, String)>) -> (Engine, Receiver<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let (method, rest) = first.split_once(' ').unwrap();
            let path = rest.split([' ', '?']).next().unwrap();
            let path = path.split_once("/containers/").map_or(path, |(_, path)| path);
            tell.send(format!("{method} {path}")).unwrap();
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
            stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    (Engine::at(socket.to_str().unwrap()).unwrap(), told, folder)
}

/// What `container inspect` says of a container.
fn there(definition: &str, running: bool) -> (u16, String) {
    let labels = format!("{{\"{DEFINITION_LABEL}\":{definition:?}}}");
    (200, format!("{{\"State\":{{\"Running\":{running}}},\"Config\":{{\"Labels\":{labels}}}}}"))
}

fn created() -> (u16, String) {
    (201, "{\"Id\":\"1\",\"Warnings\":[]}".to_owned())
}

fn done() -> (u16, String) {
    (204, String::new())
}

fn refused() -> (u16, String) {
    let message = "failed to create task for container: task 8b3d: already exists";
    (500, format!("{{\"message\":\"{message}\"}}"))
}

#[tokio::test]
async fn a_container_that_cannot_be_started_any_more_is_made_anew() {
    let same = wanted().definition();
    let answers = vec![there(&same, false), refused(), done(), created(), done()];
    let (engine, told, _folder) = engine(answers);
    assert!(engine.ensure_container(&wanted()).await.unwrap());
    let calls = ["GET edge/json", "POST edge/start", "DELETE edge", "POST create", "POST edge/start"];
    assert_eq!(told.iter().collect::<Vec<_>>(), calls);
}

#[tokio::test]
async fn a_new_one_that_cannot_be_started_is_told() {
    let (engine, told, _folder) = engine(vec![(404, "{\"message\":\"no\"}".to_owned()), created(), refused()]);
    let error = engine.ensure_container(&wanted()).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(told.iter().count(), 3);
}

#[tokio::test]
async fn one_that_runs_as_defined_is_left_alone_and_another_replaced() {
    let same = wanted().definition();
    let (first, told, _folder) = engine(vec![there(&same, true)]);
    assert!(!first.ensure_container(&wanted()).await.unwrap());
    assert_eq!(told.iter().count(), 1);
    let (second, told, _folder) = engine(vec![there("other", true), done(), created(), done()]);
    assert!(second.ensure_container(&wanted()).await.unwrap());
    assert_eq!(told.iter().collect::<Vec<_>>(), ["GET edge/json", "DELETE edge", "POST create", "POST edge/start"]);
}
