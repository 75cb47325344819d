//! One-off programs of an engine that a test plays.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use futuswarm_testkit::answers::{Answer, on_socket};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::{Capabilities, Environment, NetworkAttachment, Resources};

fn spec() -> ProgramSpec {
    ProgramSpec {
        name: "run-7f".to_owned(),
        image: "127.0.0.1:5000/hello@sha256:01".to_owned(),
        argv: ["sh", "-c", "echo $A"].map(str::to_owned).to_vec(),
        environment: Environment(vec!["A=b c".to_owned()]),
        labels: HashMap::from([("futuswarm.app".to_owned(), "hello".to_owned())]),
        mounts: vec![PlatformMount::program_secrets("run-7f").unwrap()],
        networks: vec![NetworkAttachment::new("net1"), NetworkAttachment::new("net2")],
        resources: Resources { memory_bytes: 1 << 20, nano_cpus: 500_000_000, pids: 64, reserved_memory_bytes: 9 },
        capabilities: Capabilities::App,
        read_only: false,
        terminal: true,
    }
}

#[test]
fn the_body_of_a_program() {
    insta::assert_json_snapshot!("program", serde_json::to_value(body(&spec())).unwrap());
    let alone = body(&ProgramSpec { networks: Vec::new(), ..spec() });
    assert_eq!(alone.host_config.unwrap().network_mode.as_deref(), Some("none"));
}

/// Seen on a node: "exec: /sbin/docker-init: no such file or directory".
#[test]
fn a_program_of_the_node_has_no_init_that_the_nodes_programs_would_hide() {
    let init = |mounts| body(&ProgramSpec { mounts, ..spec() }).host_config.unwrap().init;
    assert_eq!(init(spec().mounts), Some(true));
    assert_eq!(
        init(vec![PlatformMount::program_secrets("run-7f").unwrap(), PlatformMount::node_programs()]),
        Some(false)
    );
}

/// Answers one request for an upgrade, and hands the connection to the test.
fn upgraded(socket: &Path, more: &'static [u8]) -> std::sync::mpsc::Receiver<(String, UnixStream)> {
    let listener = UnixListener::bind(socket).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        let head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        stream.write_all(&[head, more].concat()).unwrap();
        tell.send((String::from_utf8(asked).unwrap(), stream)).unwrap();
    });
    told
}

#[tokio::test]
async fn a_terminal_gets_and_gives_every_byte_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // A prompt without a line's end, with bytes that bollard would take for the head of a frame.
    let told = upgraded(&socket, b"\x01\x02$ ");
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let mut attached = engine.attach_program("run-7f", true).await.unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stdout(b"\x01\x02$ ".to_vec()));
    let (asked, mut stream) = told.recv().unwrap();
    assert!(
        asked.starts_with("POST /v1.53/containers/run-7f/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("Connection: Upgrade\r\nUpgrade: tcp\r\n") && asked.contains("Content-Length: 0\r\n"),
        "{asked}"
    );
    attached.input.write_all(b"\x03\0ls\r").await.unwrap();
    attached.input.flush().await.unwrap();
    let mut typed = [0; 5];
    stream.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"\x03\0ls\r");
    stream.write_all(b"\0").unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stdout(b"\0".to_vec()));
    // The end of the input is not that of the output.
    attached.input.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut typed).unwrap(), 0);
    stream.write_all(b"bye").unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stdout(b"bye".to_vec()));
    drop(stream);
    assert!(attached.output.next().await.is_none());
}

#[tokio::test]
async fn without_a_terminal_the_two_outputs_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = upgraded(&socket, b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x01!\x01\0\0\0\0\0\0\x09cut");
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let mut attached = engine.attach_program("run-7f", false).await.unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stdout(b"hi".to_vec()));
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stderr(b"!".to_vec()));
    drop(told.recv().unwrap());
    assert!(attached.output.next().await.is_none(), "an engine that stops ends a frame in the middle");
}

/// An engine that answers each call with the next answer.
fn engine(answers: Vec<Answer>) -> (DockerEngine, std::sync::mpsc::Receiver<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = on_socket(&socket, answers);
    (DockerEngine::at_default_version(socket.to_str().unwrap()), told, folder)
}

#[tokio::test]
async fn nobody_attaches_to_what_is_not_there() {
    let (engine, _told, _folder) = engine(vec![Answer::json(404, r#"{"message":"No such container: run-7f"}"#)]);
    assert!(engine.attach_program("run-7f", true).await.err().unwrap().is_not_found());
}

#[tokio::test]
async fn every_exit_code_is_one_and_an_engine_that_goes_away_is_an_error() {
    let answers = vec![
        Answer::json(200, "{\"StatusCode\":0}\n"),
        Answer::json(200, "{\"StatusCode\":137}\n"),
        Answer::json(200, "{\"StatusCode\":1,\"Error\":{\"Message\":\"it could not be waited for\"}}\n"),
        Answer::json(200, ""),
        Answer::json(404, r#"{"message":"No such container: run-7f"}"#),
    ];
    let (engine, told, _folder) = engine(answers);
    assert_eq!(engine.wait_program("run-7f").await.unwrap(), 0);
    assert_eq!(engine.wait_program("run-7f").await.unwrap(), 137);
    assert!(engine.wait_program("run-7f").await.unwrap_err().to_string().contains("could not be waited for"));
    assert!(engine.wait_program("run-7f").await.unwrap_err().to_string().contains("closed"));
    assert!(engine.wait_program("run-7f").await.unwrap_err().is_not_found());
    assert!(told.recv().unwrap().starts_with("POST /containers/run-7f/wait?condition=not-running"));
}

#[tokio::test]
async fn signals_sizes_and_memory() {
    let ended = r#"{"message":"container 1a is not running"}"#;
    let answers = vec![
        Answer::json(204, ""),
        Answer::json(409, ended),
        Answer::json(404, r#"{"message":"No such container: run-7f"}"#),
        Answer::json(200, ""),
        Answer::json(409, ended),
        Answer::json(200, r#"{"Id":"c","State":{"OOMKilled":true,"ExitCode":137}}"#),
        Answer::json(404, r#"{"message":"No such container: c"}"#),
    ];
    let (engine, told, _folder) = engine(answers);
    engine.signal_program("run-7f", "INT").await.unwrap();
    engine.signal_program("run-7f", "INT").await.unwrap();
    assert!(engine.signal_program("run-7f", "INT").await.unwrap_err().is_not_found());
    engine.resize_program("run-7f", 24, 80).await.unwrap();
    assert!(engine.resize_program("run-7f", 24, 80).await.is_err());
    assert_eq!(engine.memory_ran_out("c").await.unwrap(), Some(true));
    assert_eq!(engine.memory_ran_out("c").await.unwrap(), None);
    let asked: Vec<String> = told.iter().map(|asked| asked.lines().next().unwrap().to_owned()).collect();
    assert!(asked[0].starts_with("POST /containers/run-7f/kill?signal=SIGINT"), "{}", asked[0]);
    assert!(asked[3].contains("/resize?h=24&w=80"), "{}", asked[3]);
}

#[tokio::test]
async fn what_a_check_said_last_is_told() {
    let health = |status: &str, log: &str| {
        Answer::json(
            200,
            format!("{{\"State\":{{\"Health\":{{\"Status\":\"{status}\",\"FailingStreak\":1,\"Log\":[{log}]}}}}}}"),
        )
    };
    let result = |code: i64, output: &str| format!("{{\"ExitCode\":{code},\"Output\":\"{output}\"}}");
    let two = [result(1, "old"), result(1, "GET /: 503\\n")].join(",");
    let answers = vec![
        health("starting", ""),
        health("unhealthy", &two),
        health("healthy", &result(0, "")),
        Answer::json(200, r#"{"State":{"Running":true}}"#),
        Answer::json(404, r#"{"message":"No such container: c"}"#),
    ];
    let (engine, _told, _folder) = engine(answers);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(engine.last_check("c").await.unwrap().map(|check| (check.healthy, check.answer)));
    }
    let said = |healthy, answer: &str| Some((healthy, answer.to_owned()));
    let expected = [said(None, ""), said(Some(false), "GET /: 503"), said(Some(true), ""), said(None, ""), None];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_a_predecessor_has_left_is_found() {
    let listed = r#"[{"Id":"1a","Names":["/run-7f"],"Labels":{"futuswarm.program":"run-7f","futuswarm.app":"hello"},"State":"running","Created":1767225600},
        {"Id":"2b","Names":["/run-80"],"Labels":{"futuswarm.program":"run-80"},"State":"exited","Created":1767225601}]"#;
    let (engine, told, _folder) = engine(vec![Answer::json(200, listed)]);
    let programs = engine.list_programs().await.unwrap();
    assert_eq!(
        (programs[0].name.as_str(), programs[0].running, programs[0].created_at),
        ("run-7f", true, 1_767_225_600)
    );
    assert_eq!((programs[1].name.as_str(), programs[1].running), ("run-80", false));
    let asked = told.recv().unwrap();
    assert!(asked.contains("all=true") && asked.contains("futuswarm.program"), "{asked}");
}
