//! Containers of an engine whose answers are given.

use std::sync::mpsc::Receiver;

use futuswarm_testkit::answers::{Answer, on_socket};

use super::*;

fn desired() -> ContainerConfig {
    ContainerConfig {
        name: "edge".to_owned(),
        image: "edge:1".to_owned(),
        command: vec!["/usr/sbin/haproxy".to_owned()],
        mounts: Vec::new(),
        writable: Vec::new(),
        ports: Vec::new(),
        network: "edge".to_owned(),
        memory_bytes: 1 << 20,
        log_megabytes: None,
        environment: Vec::new(),
        user: None,
    }
}

/// An engine that answers each call with the next answer; the receiver tells what it was asked.
fn engine(answers: Vec<Answer>) -> (DockerEngine, Receiver<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = on_socket(&socket, answers);
    (DockerEngine::at_default_version(socket.to_str().unwrap()), told, folder)
}

/// Method and path of each request, without the API's version.
fn calls(told: &Receiver<String>) -> Vec<String> {
    let call = |asked: String| {
        let (method, rest) = asked.split_once(' ').unwrap();
        let path = rest.split([' ', '?']).next().unwrap();
        format!("{method} {}", path.split_once("/containers/").map_or(path, |(_, path)| path))
    };
    told.iter().map(call).collect()
}

/// What `container inspect` says of a container.
fn there(definition: &str, running: bool) -> Answer {
    let labels = format!("{{\"{DEFINITION_LABEL}\":{definition:?}}}");
    Answer::json(200, format!("{{\"State\":{{\"Running\":{running}}},\"Config\":{{\"Labels\":{labels}}}}}"))
}

fn created() -> Answer {
    Answer::json(201, "{\"Id\":\"1\",\"Warnings\":[]}")
}

fn done() -> Answer {
    Answer::json(204, "")
}

fn refused() -> Answer {
    let message = "failed to create task for container: task 8b3d: already exists";
    Answer::json(500, format!("{{\"message\":\"{message}\"}}"))
}

#[tokio::test]
async fn a_container_that_cannot_be_started_any_more_is_made_again() {
    let same = desired().definition();
    let answers = vec![there(&same, false), refused(), done(), created(), done()];
    let (engine, told, _folder) = engine(answers);
    assert!(engine.ensure_container(&desired()).await.unwrap());
    let expected = ["GET edge/json", "POST edge/start", "DELETE edge", "POST create", "POST edge/start"];
    assert_eq!(calls(&told), expected);
}

#[tokio::test]
async fn a_new_one_that_cannot_be_started_is_told() {
    let (engine, told, _folder) = engine(vec![Answer::json(404, "{\"message\":\"no\"}"), created(), refused()]);
    let error = engine.ensure_container(&desired()).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(told.iter().count(), 3);
}

#[tokio::test]
async fn one_that_runs_as_defined_is_left_alone_and_another_replaced() {
    let same = desired().definition();
    let (first, told, _folder) = engine(vec![there(&same, true)]);
    assert!(!first.ensure_container(&desired()).await.unwrap());
    assert_eq!(told.iter().count(), 1);
    let (second, told, _folder) = engine(vec![there("other", true), done(), created(), done()]);
    assert!(second.ensure_container(&desired()).await.unwrap());
    assert_eq!(calls(&told), ["GET edge/json", "DELETE edge", "POST create", "POST edge/start"]);
}

#[test]
fn what_a_container_prints_is_kept_up_to_a_size_where_one_is_said() {
    let config = |container: &ContainerConfig| body(container).host_config.and_then(|host| host.log_config);
    assert_eq!(config(&desired()), None);
    let log = config(&ContainerConfig { log_megabytes: Some(200), ..desired() }).unwrap();
    let options = log.config.unwrap();
    assert_eq!((log.typ.as_deref(), options.len()), (Some("local"), 2));
    assert_eq!((options["max-file"].as_str(), options["max-size"].as_str()), ("10", "20m"));
    assert_ne!(desired().definition(), ContainerConfig { log_megabytes: Some(200), ..desired() }.definition());
}

#[test]
fn a_container_has_the_user_and_the_environment_that_are_said() {
    assert_eq!((body(&desired()).user, body(&desired()).env), (None, Some(Vec::new())), "the image's own");
    let (environment, user) = (vec!["TMPDIR=/run/x".to_owned()], Some("65533:65533".to_owned()));
    let other = ContainerConfig { environment: environment.clone(), user: user.clone(), ..desired() };
    assert_eq!((body(&other).user, body(&other).env), (user, Some(environment)));
    assert_ne!(other.definition(), desired().definition());
}

#[tokio::test]
async fn a_signal_reaches_a_container_that_runs_and_is_lost_on_one_that_does_not() {
    let message = "{\"message\":\"container 1 is not running\"}";
    let (engine, told, _folder) = engine(vec![done(), Answer::json(409, message), Answer::json(404, message)]);
    engine.signal_container("edge", "USR1").await.unwrap();
    engine.signal_container("edge", "USR1").await.unwrap();
    assert!(engine.signal_container("edge", "USR1").await.unwrap_err().is_not_found());
    let asked: Vec<String> = told.iter().collect();
    assert!(asked.iter().all(|one| one.contains("/containers/edge/kill?signal=SIGUSR1")), "{asked:?}");
}
