//! Tasks as dockerd 26.1 tells them.

use futuswarm_testkit::answers::{Answer, on_socket};
use serde_json::{Value, json};

use super::*;

fn told(state: &str, desired: &str, status: Value) -> Value {
    let mut task = json!({
        "ID": "t1", "Version": { "Index": 71 },
        "CreatedAt": "2026-05-01T10:00:00.1Z", "UpdatedAt": "2026-05-01T10:00:05.1Z", "Labels": {},
        "Spec": {
            "ContainerSpec": { "Image": "127.0.0.1:5000/hello@sha256:01", "Labels": { "futuswarm.release": "7" },
                               "Env": ["A=b"], "DNSConfig": {}, "Isolation": "default" },
            "Resources": { "Limits": { "MemoryBytes": 1048576 } }, "ForceUpdate": 0
        },
        "ServiceID": "s1", "Slot": 2, "NodeID": "n1",
        "Status": { "Timestamp": "2026-05-01T10:00:05Z", "State": state, "Message": "started", "PortStatus": {} },
        "DesiredState": desired,
        "NetworksAttachments": [{ "Network": { "ID": "net1" }, "Addresses": ["10.0.1.7/24"] }],
        "Volumes": null
    });
    if let Value::Object(status) = status {
        task["Status"].as_object_mut().unwrap().extend(status);
    }
    task
}

fn parse(told: Value) -> Option<Task> {
    task(serde_json::from_value(told).unwrap())
}

#[test]
fn each_state_is_known_by_its_word() {
    let states = [
        TaskState::New,
        TaskState::Pending,
        TaskState::Assigned,
        TaskState::Accepted,
        TaskState::Preparing,
        TaskState::Ready,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Complete,
        TaskState::Shutdown,
        TaskState::Failed,
        TaskState::Rejected,
        TaskState::Remove,
        TaskState::Orphaned,
    ];
    assert!(states.is_sorted());
    for state in states {
        let task = parse(told(state.as_str(), "running", json!({}))).unwrap();
        assert_eq!((task.state, task.is_wanted()), (state, true));
        assert_eq!(state.is_over(), state > TaskState::Running);
    }
    assert_eq!(parse(told("allocated", "running", json!({}))).unwrap().state, TaskState::Pending);
}

#[test]
fn a_task_that_runs_says_where_and_of_which_release() {
    let container = json!({ "ContainerStatus": { "ContainerID": "c0ffee", "PID": 4711, "ExitCode": 0 } });
    let task = parse(told("running", "running", container)).unwrap();
    assert_eq!((task.slot, task.node.as_deref(), task.release()), (2, Some("n1"), Some(7)));
    assert_eq!((task.container.as_deref(), task.exit_code), (Some("c0ffee"), None), "0 is no code of one that runs");
    assert_eq!((task.since.as_str(), task.created_at.as_str()), ("2026-05-01T10:00:05Z", "2026-05-01T10:00:00.1Z"));
    assert_eq!(task.image, "127.0.0.1:5000/hello@sha256:01");
}

#[test]
fn one_without_a_node_says_why() {
    let error = "no suitable node (scheduling constraints not satisfied on 2 nodes; insufficient resources on 1 node)";
    let mut pending = told("pending", "running", json!({ "Err": error, "Message": "pending task scheduling" }));
    pending.as_object_mut().unwrap().remove("NodeID");
    let task = parse(pending).unwrap();
    assert_eq!((task.state, task.node, task.error.as_str()), (TaskState::Pending, None, error));
}

#[test]
fn how_a_task_ended_tells_what_killed_it() {
    let ended = |state: &str, desired: &str, error: &str, code: i64| {
        let status = json!({ "Err": error, "ContainerStatus": { "ContainerID": "c", "ExitCode": code } });
        parse(told(state, desired, status)).unwrap()
    };
    let failed = ended("failed", "shutdown", "task: non-zero exit (3)", 3);
    assert_eq!((failed.exit_code, failed.looks_out_of_memory(), failed.is_wanted()), (Some(3), false, false));
    assert!(ended("failed", "shutdown", "task: non-zero exit (137)", 137).looks_out_of_memory());
    assert!(ended("failed", "shutdown", "OOM", 1).looks_out_of_memory());
    let unhealthy = ended("failed", "shutdown", "task: non-zero exit (137): dockerexec: unhealthy container", 137);
    assert!(!unhealthy.looks_out_of_memory());
    let late = ended("shutdown", "shutdown", "", 137);
    assert!(!late.looks_out_of_memory(), "it outlived its grace");
    assert_eq!(ended("complete", "complete", "", 0).exit_code, Some(0));
    let rejected = parse(told("rejected", "shutdown", json!({ "Err": "No such image: x" }))).unwrap();
    assert_eq!((rejected.exit_code, rejected.container), (None, None));
}

#[tokio::test]
async fn tasks_of_a_service_are_asked_for_by_it_and_attachments_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let mut attachment = told("running", "running", json!({}));
    attachment["ServiceID"] = json!("");
    let list = json!([told("running", "running", json!({})), attachment]).to_string();
    let gone = r#"{"message":"service hello not found"}"#;
    let answers =
        vec![Answer::json(200, &list), Answer::json(200, "[]"), Answer::json(404, gone), Answer::json(503, gone)];
    let asked = on_socket(&socket, answers);
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    assert_eq!(engine.list_tasks(Some("hello")).await.unwrap().len(), 1);
    assert!(asked.recv().unwrap().contains("%22service%22%3A%5B%22hello%22%5D"));
    assert_eq!(engine.list_tasks(None).await.unwrap(), []);
    assert_eq!(engine.list_tasks(Some("hello")).await.unwrap(), [], "a service that is gone has none");
    assert!(engine.list_tasks(Some("hello")).await.is_err());
}

#[test]
fn a_task_says_what_it_may_use_and_where_it_is_reached() {
    let running = told("running", "running", json!({}));
    assert_eq!(parse(running.clone()).unwrap().resources, Resources { memory_bytes: 1 << 20, ..Resources::default() });
    let attached = attachments(&running);
    assert_eq!(attached.len(), 1);
    assert_eq!(
        (attached[0].network.as_str(), attached[0].addresses.as_slice()),
        ("net1", &["10.0.1.7/24".to_owned()][..])
    );
    assert_eq!((attached[0].service.as_deref(), attached[0].state), (Some("s1"), TaskState::Running));
    // A plain container on an overlay, which belongs to no service; and one that waits for its address.
    let edge = json!({ "ID": "t2", "NodeID": "n1", "Status": { "State": "running" },
        "NetworksAttachments": [{ "Network": { "ID": "net1" }, "Addresses": ["10.0.1.2/24"] }, { "Network": { "ID": "net2" } }] });
    let attached = attachments(&edge);
    assert_eq!((attached.len(), &attached[0].service, attached[1].addresses.len()), (2, &None, 0));
    assert_eq!(attachments(&json!({ "ID": "t3", "Status": {} })), []);
}

#[tokio::test]
async fn attachments_are_asked_for_as_tasks_are() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let tasks = json!([told("running", "running", json!({}))]).to_string();
    let asked = on_socket(&socket, vec![Answer::json(200, tasks), Answer::json(503, r#"{"message":"no leader"}"#)]);
    let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
    assert_eq!(engine.list_attachments().await.unwrap().len(), 1);
    assert!(asked.recv().unwrap().contains("/tasks HTTP/1.0"));
    assert!(engine.list_attachments().await.unwrap_err().to_string().contains("no leader"));
}
