//! Secrets, networks, logs, images and one-off programs of engines in memory, and the faults around them.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::fake::{Behaviour, FakeImage, Script};
use crate::{
    APP_LABEL, Capabilities, ContainerApi as _, ContainerConfig, Environment, ImageApi as _, LogApi as _, LogItem,
    LogOptions, LogSource, NetworkApi as _, NetworkAttachment, Output, ProgramApi as _, ProgramSpec, Resources,
    SILENCE, SecretApi as _, SecretFile, ServiceSpec, TaskApi as _,
};

use super::*;

const IMAGE: &str = "127.0.0.1:5000/hello@sha256:01";

fn of_app() -> HashMap<String, String> {
    HashMap::from([(APP_LABEL.to_owned(), "hello".to_owned())])
}

#[tokio::test(start_paused = true)]
async fn secrets_and_networks_in_use_stay() {
    let world = FakeSwarm::new(21);
    let engine = founded(&world, 1).await;
    world.push(IMAGE, Behaviour::default());
    let secret = engine.create_secret("hello-1", &of_app(), b"\xff\0").await.unwrap();
    assert!(engine.create_secret("hello-1", &of_app(), b"x").await.unwrap_err().is_conflict());
    assert!(engine.create_secret("hello-2", &of_app(), b"").await.is_err());
    assert!(engine.create_secret("hello-2", &of_app(), &vec![0; (500 << 10) + 1]).await.is_err());
    let network = engine.create_overlay("app-hello", &of_app()).await.unwrap();
    assert!(engine.create_overlay("app-hello", &of_app()).await.unwrap_err().is_conflict());
    let file = SecretFile { id: secret.clone(), name: "hello-1".to_owned(), file: "KEY".to_owned() };
    let spec = ServiceSpec {
        secrets: vec![file.clone()],
        networks: vec![NetworkAttachment::new(&network)],
        ..ServiceSpec::new("hello", IMAGE)
    };
    let unknown = ServiceSpec { secrets: vec![SecretFile { id: "x".to_owned(), ..file }], ..spec.clone() };
    assert!(message(engine.create_service(&unknown).await).contains("secret not found"));
    let nowhere = ServiceSpec { networks: vec![NetworkAttachment::new("x")], ..spec.clone() };
    assert!(engine.create_service(&nowhere).await.unwrap_err().is_not_found());
    engine.create_service(&spec).await.unwrap();
    later(5).await;
    assert!(engine.remove_secret(&secret).await.unwrap_err().is_in_use());
    assert!(engine.remove_network(&network).await.unwrap_err().is_in_use());
    engine.remove_service("hello").await.unwrap();
    engine.remove_secret(&secret).await.unwrap();
    engine.remove_secret(&secret).await.unwrap();
    assert!(engine.remove_network(&network).await.unwrap_err().is_in_use(), "tasks are being stopped");
    later(5).await;
    let edge = ContainerConfig {
        name: "edge".to_owned(),
        image: "edge:1".to_owned(),
        command: Vec::new(),
        mounts: Vec::new(),
        writable: Vec::new(),
        ports: Vec::new(),
        network: "bridge".to_owned(),
        memory_bytes: 1,
        log_megabytes: None,
        environment: Vec::new(),
        user: None,
    };
    engine.create_container(&edge).await.unwrap();
    engine.connect_network("app-hello", "edge").await.unwrap();
    assert!(engine.remove_network(&network).await.unwrap_err().is_in_use(), "the edge is on it");
    engine.disconnect_network("app-hello", "edge").await.unwrap();
    engine.remove_network(&network).await.unwrap();
    engine.remove_network(&network).await.unwrap();
    assert_eq!(engine.list_secrets(APP_LABEL, "hello").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_listed_by_their_label_and_their_content_is_never_shown() {
    let world = FakeSwarm::new(22);
    let engine = founded(&world, 1).await;
    engine.create_secret("hello-1", &of_app(), b"hunter2").await.unwrap();
    engine.create_secret("other-1", &HashMap::new(), b"hunter2").await.unwrap();
    let listed = engine.list_secrets(APP_LABEL, "hello").await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "hello-1"));
    assert!(engine.list_secrets(APP_LABEL, "hell").await.unwrap().is_empty());
    assert!(!format!("{world:?}").contains("hunter2") && !format!("{world:?}").contains("104, 117"));
    let swarm = engine.membership().await.unwrap().swarm.unwrap();
    assert_eq!(world.secret(&swarm, "hello-1").as_deref(), Some(b"hunter2".as_slice()));
}

async fn lines(engine: &FakeEngine, source: LogSource<'_>, options: LogOptions) -> Vec<String> {
    let log = engine.logs(source, options).await.unwrap();
    let text = |item: Result<LogItem, Error>| match item.unwrap() {
        LogItem::Line(line) => String::from_utf8(line.line).unwrap(),
        LogItem::Gap { nodes, .. } => format!("gap {}", nodes.join(" ")),
        LogItem::Silence => "silence".to_owned(),
    };
    log.map(text).collect().await
}

#[tokio::test(start_paused = true)]
async fn logs_come_from_all_tasks_and_tell_of_nodes_that_are_away() {
    let world = FakeSwarm::new(23);
    let engine = founded(&world, 1).await;
    joined(&world, 2, Role::Worker, &engine).await;
    world.push(IMAGE, Behaviour::default().with_log(["one", "two"]));
    let spec = ServiceSpec { mode: crate::Mode::Replicated(2), ..ServiceSpec::new("hello", IMAGE) };
    engine.create_service(&spec).await.unwrap();
    assert!(lines(&engine, LogSource::Service("hello"), LogOptions::default()).await.is_empty());
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut followed = engine.logs(LogSource::Service("hello"), follow).await.unwrap();
    assert!(matches!(followed.next().await, Some(Ok(LogItem::Line(_)))), "it waits for the start");
    later(5).await;
    assert_eq!(lines(&engine, LogSource::Service("hello"), LogOptions::default()).await.len(), 4);
    let tail = LogOptions { tail: Some(1), ..LogOptions::default() };
    assert_eq!(lines(&engine, LogSource::Service("hello"), tail).await, ["two", "two"]);
    let late = LogOptions { since: Some(2_000_000_000_000), ..LogOptions::default() };
    assert!(lines(&engine, LogSource::Service("hello"), late).await.is_empty());
    let task = engine.list_tasks(None).await.unwrap().remove(0);
    assert_eq!(lines(&engine, LogSource::Task(&task.id), LogOptions::default()).await, ["one", "two"]);
    assert!(engine.logs(LogSource::Task("x"), LogOptions::default()).await.err().unwrap().is_not_found());
    let away = engine.list_nodes().await.unwrap().into_iter().find(|node| node.hostname == "i-2").unwrap().id;
    // One that hangs is not named, and ends the log after a while.
    world.hang_logs("i-2", true);
    let began = tokio::time::Instant::now();
    let rest = lines(&engine, LogSource::Service("hello"), LogOptions::default()).await;
    assert_eq!(rest, ["one", "two", "silence"]);
    assert!(began.elapsed() >= SILENCE);
    world.hang_logs("i-2", false);
    world.set_running("i-2", false);
    let rest = lines(&engine, LogSource::Service("hello"), LogOptions::default()).await;
    assert_eq!(rest, ["one".to_owned(), "two".to_owned(), format!("gap {away}")]);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_pulled_once_and_a_failure_has_its_reason() {
    let world = FakeSwarm::new(24);
    let engine = world.machine("i-1", "10.0.0.1");
    assert!(engine.pull_image(IMAGE, &mut |_| {}).await.unwrap_err().is_not_found());
    world.push(IMAGE, FakeImage { exposed_ports: vec![8080], ..FakeImage::default() });
    world.fail_pulls("i-1", Some("write /var/lib/docker/tmp/x: no space left on device"));
    assert!(message(engine.pull_image(IMAGE, &mut |_| {}).await).contains("no space left"));
    world.fail_pulls("i-1", None);
    assert_eq!(engine.inspect_image(IMAGE).await.unwrap(), None);
    let engine = FaultyEngine::new(engine, Faults::script([Fault::Lose, Fault::None]));
    let mut steps = 0;
    assert!(message(engine.pull_image(IMAGE, &mut |_| steps += 1).await).contains("before the answer"));
    assert_eq!(engine.inspect_image(IMAGE).await.unwrap().unwrap().exposed_ports, [8080]);
    engine.pull_image(IMAGE, &mut |_| steps += 1).await.unwrap();
    assert_eq!(steps, 2, "the second time there is nothing to do");
}

fn program() -> ProgramSpec {
    ProgramSpec {
        name: "run-1".to_owned(),
        image: IMAGE.to_owned(),
        argv: vec!["cat".to_owned()],
        environment: Environment::default(),
        labels: of_app(),
        mounts: Vec::new(),
        networks: Vec::new(),
        resources: Resources::default(),
        capabilities: Capabilities::App,
        read_only: false,
        terminal: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_reads_writes_and_ends_with_its_code() {
    let world = FakeSwarm::new(25);
    let engine = world.machine("i-1", "10.0.0.1");
    let output = vec![Output::Stderr(b"ready".to_vec())];
    let script = Script { output, echoes: true, lasts: Duration::from_secs(1), code: 7 };
    world.push(IMAGE, FakeImage { script, ..FakeImage::default() });
    assert!(engine.create_program(&program()).await.unwrap_err().is_not_found(), "not pulled");
    engine.pull_image(IMAGE, &mut |_| {}).await.unwrap();
    engine.create_program(&program()).await.unwrap();
    assert!(engine.create_program(&program()).await.unwrap_err().is_conflict());
    assert!(engine.resize_program("run-1", 24, 80).await.unwrap_err().is_conflict(), "it does not run yet");
    let mut attached = engine.attach_program("run-1", true).await.unwrap();
    engine.start_container("run-1").await.unwrap();
    engine.resize_program("run-1", 24, 80).await.unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stderr(b"ready".to_vec()));
    attached.input.write_all(b"hi").await.unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap(), Output::Stdout(b"hi".to_vec()));
    attached.input.shutdown().await.unwrap();
    assert_eq!(engine.wait_program("run-1").await.unwrap(), 7);
    assert!(attached.output.next().await.is_none());
    assert_eq!(engine.wait_program("run-1").await.unwrap(), 7, "asking again is safe");
    assert_eq!(world.program("i-1", "run-1").unwrap().sizes, [(24, 80)]);
    assert!(!engine.list_programs().await.unwrap()[0].running);
    engine.remove_container("run-1").await.unwrap();
    assert!(engine.wait_program("run-1").await.unwrap_err().is_not_found());
    assert_eq!(engine.list_programs().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_a_program_that_would_go_on() {
    let world = FakeSwarm::new(26);
    let engine = world.machine("i-1", "10.0.0.1");
    world.push(IMAGE, FakeImage { script: Script { echoes: true, ..Script::default() }, ..FakeImage::default() });
    engine.pull_image(IMAGE, &mut |_| {}).await.unwrap();
    engine.create_program(&program()).await.unwrap();
    let _attached = engine.attach_program("run-1", true).await.unwrap();
    engine.start_container("run-1").await.unwrap();
    assert!(engine.signal_program("run-1", "NONSENSE").await.is_err());
    engine.signal_program("run-1", "INT").await.unwrap();
    assert_eq!(engine.wait_program("run-1").await.unwrap(), 130);
    engine.signal_program("run-1", "TERM").await.unwrap();
    assert_eq!(world.program("i-1", "run-1").unwrap().signals, ["INT"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_is_lost_was_made_and_one_made_twice_is_noticed() {
    let world = FakeSwarm::new(27);
    let plain = founded(&world, 1).await;
    world.push(IMAGE, Behaviour::default());
    let spec = |release| ServiceSpec::new("hello", IMAGE).with_release(release);
    let faults = [Fault::Lose, Fault::Repeat, Fault::Lose, Fault::Repeat, Fault::Lose, Fault::Repeat];
    let engine = FaultyEngine::new(plain.clone(), Faults::script(faults));
    assert!(engine.create_service(&spec(1)).await.is_err());
    assert!(engine.create_service(&spec(1)).await.unwrap_err().is_conflict());
    let version = plain.inspect_service("hello").await.unwrap().unwrap().version;
    assert!(engine.update_service(version, &spec(2)).await.is_err());
    let service = plain.inspect_service("hello").await.unwrap().unwrap();
    assert_eq!(service.release(), Some(2));
    assert!(
        engine.update_service(service.version, &spec(3)).await.unwrap_err().is_conflict(),
        "the client made it twice"
    );
    assert_eq!(plain.inspect_service("hello").await.unwrap().unwrap().release(), Some(3));
    assert!(engine.create_secret("s", &of_app(), b"x").await.is_err());
    assert!(engine.create_secret("s", &of_app(), b"x").await.unwrap_err().is_conflict());
    assert_eq!(plain.list_secrets(APP_LABEL, "hello").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_container_stays_and_one_that_nothing_is_made_of_goes() {
    let world = FakeSwarm::new(28);
    let engine = founded(&world, 1).await;
    let other = "127.0.0.1:5000/hello@sha256:02";
    for reference in [IMAGE, other] {
        world.push(reference, Behaviour::default());
        engine.pull_image(reference, &mut |_| {}).await.unwrap();
    }
    let network = engine.create_overlay("app-hello", &of_app()).await.unwrap();
    assert_eq!(engine.network_peers(&network).await.unwrap(), None, "nothing is on it yet");
    let spec = ServiceSpec { networks: vec![NetworkAttachment::new(&network)], ..ServiceSpec::new("hello", IMAGE) };
    engine.create_service(&spec).await.unwrap();
    later(5).await;
    let attached = engine.list_attachments().await.unwrap();
    assert_eq!((attached.len(), attached[0].network.as_str()), (1, network.as_str()));
    assert!(attached[0].addresses[0].starts_with("10.128.0."), "{attached:?}");
    assert_eq!(engine.network_peers(&network).await.unwrap().unwrap().len(), 1);
    let images = engine.list_images().await.unwrap();
    let used = engine.images_in_use().await.unwrap();
    assert_eq!(images.iter().filter(|image| used.contains(&image.id)).count(), 1, "{images:?}");
    assert!(engine.remove_image(IMAGE).await.unwrap_err().is_conflict());
    engine.remove_image(other).await.unwrap();
    engine.remove_image(other).await.unwrap();
    assert_eq!(engine.inspect_image(other).await.unwrap(), None);
    assert!(engine.network_peers("x").await.unwrap_err().is_not_found());
}
