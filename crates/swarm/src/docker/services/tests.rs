//! Services written and read again, and what engines say of them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futuswarm_testkit::answers::{Answer, on_socket};
use serde_json::{Value, json};

use super::*;
use crate::{
    Capabilities, Environment, HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, ProgramCheck, Resources,
    RestartPolicy, SecretFile, UpdatePolicy, UpdateState, ZONE_LABEL,
};

const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A service with something in every field.
fn full() -> ServiceSpec {
    ServiceSpec {
        command: vec!["/app".to_owned()],
        args: vec!["serve".to_owned(), "a b".to_owned()],
        environment: Environment(vec!["GREETING=hej \"du\"\n".to_owned(), "EMPTY=".to_owned()]),
        labels: HashMap::from([("com.df.port".to_owned(), "8080".to_owned())]),
        secrets: vec![SecretFile {
            id: "9kx1".to_owned(),
            name: "hello-secret-3".to_owned(),
            file: "API_KEY".to_owned(),
        }],
        mounts: vec![PlatformMount::health_probe()],
        health: HealthCheck::Program(ProgramCheck {
            argv: vec!["/.futuswarm-probe".to_owned(), "8080".to_owned(), "/health".to_owned()],
            interval: seconds(10),
            timeout: seconds(3),
            retries: 3,
            start_period: seconds(30),
            start_interval: Duration::from_millis(500),
        }),
        resources: Resources {
            memory_bytes: 256 << 20,
            nano_cpus: 500_000_000,
            pids: 512,
            reserved_memory_bytes: 128 << 20,
        },
        placement: BTreeMap::from([
            ("disk".to_owned(), "ssd".to_owned()),
            ("futuswarm.group".to_owned(), "w".to_owned()),
        ]),
        spread_over: Some(ZONE_LABEL.to_owned()),
        networks: vec![
            NetworkAttachment { network: "net1".to_owned(), aliases: vec!["web".to_owned()] },
            NetworkAttachment::new("net2"),
        ],
        mode: Mode::Replicated(3),
        restart: RestartPolicy::Always { delay: seconds(5) },
        stop_grace: seconds(30),
        capabilities: Capabilities::App,
        read_only: false,
        init: true,
        update: Some(UpdatePolicy { parallelism: 1, order: Order::StartFirst, monitor: seconds(15) }),
        rollback: Some(UpdatePolicy { parallelism: 0, order: Order::StopFirst, monitor: seconds(1) }),
        ..ServiceSpec::new("hello", format!("127.0.0.1:5000/hello@{DIGEST}"))
    }
    .with_release(7)
}

/// What an engine tells of a service whose spec is this JSON.
fn told(spec: Value) -> Service {
    parse::service(&json!({ "ID": "s1", "Version": { "Index": 12 }, "Spec": spec })).unwrap()
}

fn created(spec: &ServiceSpec) -> Service {
    told(serde_json::to_value(body(spec)).unwrap())
}

#[test]
fn the_body_of_a_service_with_everything() {
    insta::assert_json_snapshot!("full_service", serde_json::to_value(body(&full())).unwrap());
}

#[test]
fn the_body_of_a_job_has_nothing_that_managers_refuse() {
    let job = serde_json::to_value(body(&full().into_job())).unwrap();
    assert_eq!(job["Mode"], json!({ "ReplicatedJob": { "MaxConcurrent": 1, "TotalCompletions": 1 } }));
    assert_eq!(job["TaskTemplate"]["RestartPolicy"], json!({ "Condition": "none" }));
    assert!(job.get("UpdateConfig").is_none() && job.get("RollbackConfig").is_none(), "{job}");
}

#[test]
fn what_was_written_is_read_again() {
    let program = full();
    let simple = ServiceSpec::new("simple", "futuswarm/mainpage:1");
    let off = ServiceSpec { health: HealthCheck::Disabled, mode: Mode::Global, ..full() };
    let job = full().into_job();
    let global_job = ServiceSpec { mode: Mode::GlobalJob, ..full().into_job() };
    for spec in [program, simple, off, job, global_job] {
        let service = created(&spec);
        assert_eq!((service.spec.clone(), service.foreign.as_slice()), (spec.clone(), [].as_slice()));
        assert_eq!(spec.differences(&service), [""; 0], "{}", spec.name);
    }
    assert_eq!(created(&full()).release(), Some(7));
}

#[test]
fn a_change_of_each_field_is_seen_and_nothing_else() {
    fn check(spec: &mut ServiceSpec) -> &mut ProgramCheck {
        match &mut spec.health {
            HealthCheck::Program(check) => check,
            _ => unreachable!(),
        }
    }
    fn update(spec: &mut ServiceSpec) -> &mut UpdatePolicy {
        spec.update.as_mut().unwrap()
    }
    fn rollback(spec: &mut ServiceSpec) -> &mut UpdatePolicy {
        spec.rollback.as_mut().unwrap()
    }
    type Change = fn(&mut ServiceSpec);
    let changes: Vec<(&str, Change)> = vec![
        ("image", |it| it.image = it.image.replace("0001", "0002")),
        ("command", |it| it.command.clear()),
        ("args", |it| it.args.swap(0, 1)),
        ("environment", |it| it.environment.0[1].push('x')),
        ("labels", |it| drop(it.labels.remove("com.df.port"))),
        ("container_labels", |it| drop(it.container_labels.insert("futuswarm.release".to_owned(), "8".to_owned()))),
        ("secrets", |it| it.secrets[0].id.push('x')),
        ("secrets", |it| it.secrets[0].name.push('x')),
        ("secrets", |it| it.secrets[0].file.push('x')),
        ("secrets", |it| it.secrets.clear()),
        ("mounts", |it| it.mounts.clear()),
        ("mounts", |it| it.mounts = vec![PlatformMount::program_secrets("p1").unwrap()]),
        ("mounts", |it| it.mounts = vec![PlatformMount::downloads()]),
        ("health", |it| it.health = HealthCheck::Image),
        ("health", |it| it.health = HealthCheck::Disabled),
        ("health", |it| check(it).argv.push("x".to_owned())),
        ("health", |it| check(it).interval += Duration::from_nanos(1)),
        ("health", |it| check(it).timeout *= 2),
        ("health", |it| check(it).retries += 1),
        ("health", |it| check(it).start_period *= 2),
        ("health", |it| check(it).start_interval *= 2),
        ("resources", |it| it.resources.memory_bytes += 1),
        ("resources", |it| it.resources.nano_cpus = 0),
        ("resources", |it| it.resources.pids = 0),
        ("resources", |it| it.resources.reserved_memory_bytes = 0),
        ("placement", |it| drop(it.placement.insert("disk".to_owned(), "hdd".to_owned()))),
        ("spread_over", |it| it.spread_over = None),
        ("networks", |it| it.networks[1].network.push('x')),
        ("networks", |it| it.networks[0].aliases.clear()),
        ("networks", |it| it.networks.swap(0, 1)),
        ("mode", |it| it.mode = Mode::Replicated(4)),
        ("mode", |it| it.mode = Mode::Replicated(0)),
        ("mode", |it| it.mode = Mode::Global),
        ("restart", |it| it.restart = RestartPolicy::Never),
        ("restart", |it| it.restart = RestartPolicy::Always { delay: seconds(6) }),
        ("stop_grace", |it| it.stop_grace = Duration::ZERO),
        ("capabilities", |it| it.capabilities = Capabilities::None),
        ("read_only", |it| it.read_only = true),
        ("init", |it| it.init = false),
        ("update", |it| update(it).parallelism = 0),
        ("update", |it| update(it).order = Order::StopFirst),
        ("update", |it| update(it).monitor *= 2),
        ("update", |it| it.update = None),
        ("rollback", |it| rollback(it).parallelism = 1),
        ("rollback", |it| rollback(it).order = Order::StartFirst),
        ("rollback", |it| rollback(it).monitor *= 2),
        ("rollback", |it| it.rollback = None),
    ];
    for (index, (field, change)) in changes.into_iter().enumerate() {
        let mut changed = full();
        change(&mut changed);
        assert_eq!(changed.differences(&created(&full())), [field], "change {index}, from full");
        assert_eq!(full().differences(&created(&changed)), [field], "change {index}, to full");
        assert_eq!(created(&changed).spec, changed, "change {index} is read again");
    }
}

#[test]
fn the_digest_that_a_manager_adds_is_no_difference_and_another_digest_is() {
    let core = ServiceSpec::new("mainpage", "futuswarm/mainpage:1");
    let pinned = ServiceSpec { image: format!("futuswarm/mainpage:1@{DIGEST}"), ..core.clone() };
    assert!(!core.differs_from(&created(&pinned)));
    let other = ServiceSpec { image: format!("127.0.0.1:5000/hello@{}2", &DIGEST[..DIGEST.len() - 1]), ..full() };
    assert_eq!(full().differences(&created(&other)), ["image"]);
}

/// As dockerd 26.1 tells a service that it was given: with what it adds, and without what is nothing.
fn as_the_engine_tells(spec: &ServiceSpec) -> Value {
    let mut told = serde_json::to_value(body(spec)).unwrap();
    let template = &mut told["TaskTemplate"];
    template["ForceUpdate"] = json!(0);
    template["Runtime"] = json!("container");
    template["ContainerSpec"]["Isolation"] = json!("default");
    template["ContainerSpec"]["DNSConfig"] = json!({});
    template["ContainerSpec"]["Privileges"] =
        json!({ "CredentialSpec": null, "SELinuxContext": null, "NoNewPrivileges": true });
    template["ContainerSpec"].as_object_mut().unwrap().retain(|_, value| *value != json!(false));
    // It writes the name in another way than it documents.
    let container = template["ContainerSpec"].as_object_mut().unwrap();
    let check = container.remove("HealthCheck").unwrap();
    container.insert("Healthcheck".to_owned(), check);
    template["RestartPolicy"]["MaxAttempts"] = json!(0);
    template["Resources"]["Reservations"]["GenericResources"] = json!(null);
    told
}

#[test]
fn what_an_engine_adds_is_no_difference() {
    let service = told(as_the_engine_tells(&full()));
    assert_eq!(full().differences(&service), [""; 0]);
    let mut forced = as_the_engine_tells(&full());
    forced["TaskTemplate"]["ForceUpdate"] = json!(3);
    assert_eq!(full().differences(&told(forced)), [""; 0], "a forced update is over when it is over");
    let mut older = as_the_engine_tells(&full());
    let check = &mut older["TaskTemplate"]["ContainerSpec"]["Healthcheck"];
    check.as_object_mut().unwrap().remove("StartInterval");
    assert_eq!(full().differences(&told(older)), [""; 0], "an engine that does not keep it");
}

#[test]
fn what_somebody_else_has_set_is_told_by_its_name() {
    let options: [(&str, Value, &str); 14] = [
        ("/TaskTemplate/ContainerSpec/User", json!("nobody"), "TaskTemplate.ContainerSpec.User"),
        ("/TaskTemplate/ContainerSpec/Hostname", json!("x"), "TaskTemplate.ContainerSpec.Hostname"),
        (
            "/TaskTemplate/ContainerSpec/CapabilityAdd",
            json!(["CAP_SYS_ADMIN"]),
            "TaskTemplate.ContainerSpec.CapabilityAdd",
        ),
        (
            "/TaskTemplate/ContainerSpec/Sysctls",
            json!({ "net.core.somaxconn": "1" }),
            "TaskTemplate.ContainerSpec.Sysctls",
        ),
        ("/TaskTemplate/ContainerSpec/Configs", json!([{ "ConfigID": "c" }]), "TaskTemplate.ContainerSpec.Configs"),
        ("/TaskTemplate/ContainerSpec/NewerThanWe", json!("x"), "TaskTemplate.ContainerSpec.NewerThanWe"),
        (
            "/TaskTemplate/ContainerSpec/Privileges/NoNewPrivileges",
            json!(false),
            "TaskTemplate.ContainerSpec.Privileges",
        ),
        ("/TaskTemplate/RestartPolicy/MaxAttempts", json!(3), "TaskTemplate.RestartPolicy.MaxAttempts"),
        ("/TaskTemplate/RestartPolicy/Window", json!(5), "TaskTemplate.RestartPolicy.Window"),
        ("/TaskTemplate/LogDriver", json!({ "Name": "none" }), "TaskTemplate.LogDriver"),
        ("/UpdateConfig/FailureAction", json!("pause"), "UpdateConfig.FailureAction"),
        ("/UpdateConfig/MaxFailureRatio", json!(0.5), "UpdateConfig.MaxFailureRatio"),
        ("/EndpointSpec/Mode", json!("vip"), "EndpointSpec.Mode"),
        ("/EndpointSpec/Ports", json!([{ "TargetPort": 80 }]), "EndpointSpec.Ports"),
    ];
    for (path, value, name) in options {
        let mut spec = as_the_engine_tells(&full());
        let (parent, key) = path.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        assert_eq!(full().differences(&told(spec)), [name]);
    }
    let mut spec = as_the_engine_tells(&full());
    let mounts = json!([{ "Type": "bind", "Source": "/", "Target": "/host" }]);
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = mounts;
    assert_eq!(full().differences(&told(spec)), ["mounts", "TaskTemplate.ContainerSpec.Mounts"]);
    let mut spec = as_the_engine_tells(&full());
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["ReadOnly"] = json!(false);
    assert_eq!(full().differences(&told(spec)), ["TaskTemplate.ContainerSpec.Mounts"], "the probe, writable");
    let mut spec = as_the_engine_tells(&full());
    spec["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["File"]["Mode"] = json!(0o777);
    assert_eq!(full().differences(&told(spec)), ["TaskTemplate.ContainerSpec.Secrets"]);
}

#[test]
fn a_mount_cannot_lead_elsewhere() {
    for name in ["", "..", "a/b", "../../etc", "A", "a\0", "å", "a b"] {
        assert_eq!(PlatformMount::program_secrets(name), None, "{name:?}");
    }
    let mount = PlatformMount::program_secrets("run-7f").unwrap();
    assert_eq!((mount.source(), mount.target()), ("/run/futuswarm/programs/run-7f", "/run/secrets"));
    assert_eq!(PlatformMount::known("/run/futuswarm/programs/../../etc", "/run/secrets"), None);
    assert_eq!(PlatformMount::known("/usr/lib/futuswarm/probe", "/elsewhere"), None);
    assert_eq!(PlatformMount::known(mount.source(), mount.target()), Some(mount));
}

#[test]
fn values_of_variables_are_never_shown() {
    let mut spec = full();
    spec.environment = Environment(vec!["PASSWORD=hunter2".to_owned(), "ODD".to_owned()]);
    let (shown, service) = (format!("{spec:?}"), format!("{:?}", created(&spec)));
    assert!(shown.contains("PASSWORD") && shown.contains("ODD"), "{shown}");
    assert!(!shown.contains("hunter2") && !service.contains("hunter2"));
}

/// What `GET /services` of dockerd 26.1 says: one that was put back, one of a person's, and one that is no service at all.
fn listed() -> Value {
    let status = json!({
        "State": "rollback_completed",
        "StartedAt": "2026-05-01T10:00:00.123456789Z",
        "CompletedAt": "2026-05-01T10:00:31.5Z",
        "Message": "rollback completed"
    });
    let previous =
        json!({ "Name": "hello", "Labels": { "futuswarm.release": "6" }, "Mode": { "Replicated": { "Replicas": 1 } } });
    let dates = ("2026-04-30T09:00:00.5Z", "2026-05-01T10:00:31.5Z");
    json!([
        { "ID": "s1", "Version": { "Index": 4711 }, "CreatedAt": dates.0, "UpdatedAt": dates.1,
          "Spec": as_the_engine_tells(&full()), "PreviousSpec": previous, "Endpoint": { "Spec": {} }, "UpdateStatus": status },
        { "ID": "s2", "Version": { "Index": 12 }, "CreatedAt": dates.0, "UpdatedAt": dates.1,
          "Spec": { "Name": "web", "Labels": { "com.df.port": "80" },
                    "TaskTemplate": { "ContainerSpec": { "Image": "nginx:1", "Init": false, "StopGracePeriod": 10_000_000_000_i64,
                                                         "DNSConfig": {}, "Isolation": "default" },
                                      "Resources": { "Limits": {}, "Reservations": {} },
                                      "RestartPolicy": { "Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0 },
                                      "Placement": { "Platforms": [{ "Architecture": "amd64", "OS": "linux" }] },
                                      "Networks": [{ "Target": "net9" }], "ForceUpdate": 0, "Runtime": "container" },
                    "Mode": { "Global": {} }, "EndpointSpec": { "Mode": "vip" } },
          "Endpoint": { "Spec": { "Mode": "vip" } } },
        { "ID": "s3", "Version": { "Index": 13 }, "CreatedAt": dates.0, "UpdatedAt": dates.1,
          "Spec": { "Name": "future", "Labels": { "a": "b" }, "EndpointSpec": { "Mode": "quantum" } } },
        { "ID": "s4", "Spec": { "Name": "no version" } }
    ])
}

#[tokio::test]
async fn services_are_listed_with_what_came_before_and_whatever_else_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let told = on_socket(&socket, vec![Answer::json(200, listed().to_string())]);
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    let services = engine.list_services().await.unwrap();
    assert!(told.recv().unwrap().starts_with("GET /v1.53/services HTTP/1.0\r\n"));
    let names: Vec<&str> = services.iter().map(|service| service.spec.name.as_str()).collect();
    assert_eq!(names, ["hello", "web", "future"]);
    let hello = &services[0];
    assert_eq!((hello.id.as_str(), hello.version, hello.replicas()), ("s1", 4711, Some(3)));
    assert_eq!((hello.release(), hello.previous_release()), (Some(7), Some(6)));
    assert_eq!((hello.created_at.as_str(), hello.foreign.len()), ("2026-04-30T09:00:00.5Z", 0));
    let update = hello.update.as_ref().unwrap();
    assert_eq!((update.state, update.message.as_str()), (UpdateState::RollbackCompleted, "rollback completed"));
    assert_eq!(update.completed_at, "2026-05-01T10:00:31.5Z");
    let web = &services[1];
    assert_eq!((web.replicas(), web.spec.networks[0].network.as_str(), web.previous_release()), (None, "net9", None));
    assert_eq!(web.spec.labels["com.df.port"], "80");
    assert!(web.foreign.contains(&"EndpointSpec.Mode".to_owned()), "{:?}", web.foreign);
    assert_eq!(
        (services[2].spec.labels["a"].as_str(), services[2].foreign.as_slice()),
        ("b", ["Spec".to_owned()].as_slice())
    );
}

#[test]
fn each_state_of_an_update_is_known() {
    let states = [
        ("updating", Some(UpdateState::Updating)),
        ("paused", Some(UpdateState::Paused)),
        ("completed", Some(UpdateState::Completed)),
        ("rollback_started", Some(UpdateState::RollbackStarted)),
        ("rollback_paused", Some(UpdateState::RollbackPaused)),
        ("rollback_completed", Some(UpdateState::RollbackCompleted)),
        ("", None),
    ];
    for (word, state) in states {
        let told = json!({ "Version": { "Index": 1 }, "Spec": { "Name": "a" }, "UpdateStatus": { "State": word } });
        assert_eq!(parse::service(&told).unwrap().update.map(|update| update.state), state, "{word}");
    }
}

#[tokio::test]
async fn a_change_names_its_version_and_a_rollback_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let inspected = listed()[0].to_string();
    let conflict = r#"{"message":"rpc error: code = Unknown desc = update out of sequence"}"#;
    let none = r#"{"message":"rpc error: code = FailedPrecondition desc = service s1 does not have a previous spec"}"#;
    let answers = vec![
        Answer::json(500, conflict),
        Answer::json(200, &inspected),
        Answer::json(200, "{}"),
        Answer::json(200, &inspected),
        Answer::json(400, none),
        Answer::json(200, &inspected),
        Answer::json(404, r#"{"message":"service hello not found"}"#),
        Answer::json(404, r#"{"message":"service hello not found"}"#),
        // The engine takes the beginning of an id for a name.
        Answer::json(200, &inspected),
        Answer::json(200, &inspected),
    ];
    let told = on_socket(&socket, answers);
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    assert!(engine.update_service(4711, &full()).await.unwrap_err().is_conflict());
    engine.rollback_service("hello", 4711).await.unwrap();
    assert!(engine.rollback_service("hello", 4712).await.unwrap_err().to_string().contains("previous spec"));
    engine.remove_service("hello").await.unwrap();
    assert_eq!(engine.inspect_service("hello").await.unwrap(), None);
    let there = parse::service(&listed()[0]).unwrap();
    assert_eq!(engine.inspect_service(&there.id[..1]).await.unwrap(), None, "another service is meant");
    assert_eq!(engine.inspect_service(&there.id).await.unwrap(), Some(there.clone()));
    let asked: Vec<String> = told.iter().map(|asked| asked.lines().next().unwrap().to_owned()).collect();
    assert!(asked[0].starts_with("POST /services/hello/update?") && asked[0].contains("version=4711"), "{}", asked[0]);
    assert!(!asked[0].contains("rollback=previous"), "{}", asked[0]);
    assert!(asked[2].contains("version=4711") && asked[2].contains("rollback=previous"), "{}", asked[2]);
    assert!(asked[6].starts_with(&format!("DELETE /services/{}", there.id)), "{}", asked[6]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let (half, chunked) = (listed().to_string()[..200].to_owned(), "Transfer-Encoding: chunked\r\n".to_owned());
    let answers = vec![
        Answer::json(200, half),
        Answer { status: Some(200), headers: chunked, body: "0\r\n".to_owned() },
        Answer { status: None, ..Answer::default() },
        Answer::json(503, "{\"message\":\"This node is not a swarm manager.\\nUse \\\"docker swarm init\\\"\"}"),
    ];
    let _told = on_socket(&socket, answers);
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    for reason in ["cut off or no JSON", "in chunks", "end of file", "manager. Use \"docker swarm init\" (status 503)"]
    {
        let error = engine.list_services().await.unwrap_err().to_string();
        assert!(error.starts_with("docker service ls: ") && error.contains(reason), "{error}");
    }
}
