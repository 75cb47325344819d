//! What an engine whose answers are given says of its membership, and when a version is agreed on with it.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use futuswarm_testkit::answers::{Answer, on_socket};

use super::*;

const WORKER: &str = include_str!("../certificate/worker.crt");

/// What `info` says of a membership; `more` is its other fields.
fn info(state: &str, controls: bool, more: &str) -> Answer {
    let swarm = format!("\"LocalNodeState\":\"{state}\",\"ControlAvailable\":{controls},\"NodeID\":\"n1\"{more}");
    Answer::json(200, format!("{{\"Swarm\":{{{swarm}}}}}"))
}

fn version(version: &str) -> Answer {
    Answer::json(200, format!("{{\"ApiVersion\":\"{version}\"}}"))
}

/// A folder for a socket and a certificate, and an engine between them to which nothing was said yet.
fn engine() -> (DockerEngine, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (socket, certificate) = (folder.path().join("docker.sock"), folder.path().join("swarm-node.crt"));
    let engine = DockerEngine::new(socket.to_str().unwrap()).with_certificate(certificate);
    (engine, folder, socket)
}

/// The paths that were asked for; bollard leaves the version out of them.
fn paths(told: &Receiver<String>) -> Vec<String> {
    told.iter().map(|asked| asked.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_swarm_of_a_worker_is_in_its_certificate_and_that_of_a_manager_in_its_answer() {
    let (engine, folder, socket) = engine();
    let no_leader = ",\"Error\":\"The swarm does not have a leader.\"";
    let answers = vec![
        version("1.44"),
        info("active", false, ""),
        info("active", false, ""),
        info("active", true, ",\"Cluster\":{\"ID\":\"another\"}"),
        info("active", true, no_leader),
        info("inactive", false, ""),
        info("pending", false, ""),
    ];
    let _told = on_socket(&socket, answers);
    let before = engine.membership().await.unwrap();
    assert_eq!((before.state, before.node.as_deref(), before.swarm), (LocalState::Active, Some("n1"), None));
    std::fs::write(folder.path().join("swarm-node.crt"), WORKER).unwrap();
    let mut swarms = Vec::new();
    for _ in 0..5 {
        swarms.push(engine.membership().await.unwrap().swarm);
    }
    let worker = Some("ec2adilxf4ngv7ev8fwsi61i7".to_owned());
    let expected = [worker, Some("another".to_owned()), None, None, None];
    assert_eq!(swarms, expected, "a certificate may be that of a Swarm that was left, or is not joined yet");
}

#[tokio::test]
async fn a_version_is_agreed_on_with_the_first_call_that_somebody_answers_and_kept() {
    let (engine, _folder, socket) = engine();
    assert!(engine.membership().await.is_err(), "dockerd has not started yet");
    let told = on_socket(&socket, vec![version("1.41"), info("inactive", false, ""), info("inactive", false, "")]);
    for _ in 0..2 {
        assert_eq!(engine.membership().await.unwrap().state, LocalState::Inactive);
    }
    drop(engine);
    assert_eq!(paths(&told), ["/version", "/info", "/info"]);
}

#[tokio::test]
async fn a_version_is_agreed_on_again_after_an_engine_that_did_not_say_what_it_is() {
    let (engine, _folder, socket) = engine();
    let broken = Answer::json(500, "{\"message\":\"it stops\"}");
    let (older, newer) = (version("1.40"), version("1.42"));
    let inactive = || info("inactive", false, "");
    let told = on_socket(&socket, vec![older, broken, newer, inactive(), Answer::default(), inactive()]);
    let error = engine.membership().await.unwrap_err();
    assert!(error.to_string().contains("it stops"), "{error}");
    assert_eq!(engine.membership().await.unwrap().state, LocalState::Inactive);
    // Another call that fails says nothing about the connection.
    assert!(engine.join_tokens().await.is_err());
    assert!(engine.membership().await.is_ok());
    assert_eq!(paths(&told), ["/version", "/info", "/version", "/info", "/swarm", "/info"]);
}
