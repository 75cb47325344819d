//! What nodes and networks are told to have.

use futuswarm_faults::Faults;
use futuswarm_model::{FailureClass, NodeRecord, NodeState, NodeUsage, Outcome, Role, keys};
use futuswarm_rpc::message::{Answer, NetworkRow, RefusalClass, Request};
use futuswarm_swarm::NodeApi as _;

use super::world::*;

const GIB: u64 = 1 << 30;

/// A heartbeat of a node with so much room on its disk.
async fn heartbeat(world: &World, instance: &str, free: u64) {
    let nodes = world.engine.list_nodes().await.unwrap();
    let node = nodes.into_iter().find(|node| node.hostname == instance).unwrap();
    let record = NodeRecord {
        instance: instance.to_owned(),
        node: Some(node.id),
        role: Role::Worker,
        state: NodeState::Ready,
        reason: None,
        serves: true,
        routes: None,
        address: node.address,
        zone: "eu-west-1a".to_owned(),
        image: "ami-1".to_owned(),
        instance_type: "t3.small".to_owned(),
        group: "workers".to_owned(),
        labels: Default::default(),
        usage: Some(NodeUsage {
            disk_bytes: 20 * GIB,
            disk_free_bytes: free,
            memory_bytes: 4 * GIB,
            memory_available_bytes: 3 * GIB,
            load_millis: 1500,
        }),
        booted_at: START,
        ready_at: None,
        updated_at: START + 7,
    };
    world.records(Faults::none()).store().put(&keys::node("AROA1", instance), &record).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stats_say_what_is_reserved_and_what_agents_measured() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    let file = "replicas = 3\nmemory = \"64 MiB\"\ncpu = 0.5\n";
    ask(&control, "jane", &deploy("hello", "hello:1", Some(file))).await.end().unwrap();
    heartbeat(&world, "i-2", 5 * GIB).await;
    let Answer::Stats(stats) = ask(&control, "joe", &Request::Stats).await.end().unwrap() else { panic!() };
    let names: Vec<&str> = stats.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["i-1", "i-2", "i-3"]);
    assert_eq!(stats.iter().map(|node| node.tasks).sum::<u32>(), 3, "{stats:?}");
    for node in &stats {
        let tasks = u64::from(node.tasks);
        assert_eq!((node.memory, node.cpu_millis), (4 * GIB, 2000));
        assert_eq!((node.memory_reserved, node.memory_limit), (tasks * (64 << 20), tasks * (64 << 20)));
        assert_eq!((node.cpu_limit_millis, node.unlimited), (tasks * 500, 0));
    }
    let measured = stats[1].measured.as_ref().unwrap();
    assert_eq!((measured.disk, measured.disk_free, measured.at), (20 * GIB, 5 * GIB, START + 7));
    assert_eq!((measured.memory_available, measured.load_millis), (3 * GIB, 1500));
    assert_eq!(stats[0].measured, None);
}

#[tokio::test(start_paused = true)]
async fn networks_are_those_of_ones_own_apps() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    ask(&control, "jane", &deploy("hello", "hello:1", Some("replicas = 2"))).await.end().unwrap();
    let networks = async |user: &str| -> Vec<NetworkRow> {
        match ask(&control, user, &Request::Networks).await.end().unwrap() {
            Answer::Networks(rows) => rows,
            other => panic!("{other:?}"),
        }
    };
    for user in ["jane", "root"] {
        let rows = networks(user).await;
        assert_eq!(rows.len(), 1, "{user}: {rows:?}");
        let row = &rows[0];
        assert_eq!((row.network.as_str(), row.app.as_deref(), row.tasks), ("app-hello", Some("hello"), 2));
        assert!(row.subnet.ends_with(".0/24") && row.free > 240 && row.problems.is_empty(), "{row:?}");
        assert_eq!(row.addresses, 2 + row.nodes.len() as u64);
    }
    assert_eq!(networks("joe").await, []);
    let denied = ask(&control, "nobody", &Request::Networks).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_finds_no_room_says_so_although_the_swarm_does_not() {
    let world = World::new().await;
    let control = world.manager("i-1");
    for (app, free, class) in [("small", 100 * GIB, FailureClass::Pull), ("large", 700, FailureClass::DiskFull)] {
        world.image_of(app, "1", &["a layer of some hundred bytes ".repeat(20).as_str()]);
        for node in ["i-1", "i-2", "i-3"] {
            world.swarm.fail_pulls(node, Some("No such image: 127.0.0.1:5000/x@sha256:1"));
            heartbeat(&world, node, free).await;
        }
        let failed = deployment(&ask(&control, "jane", &deploy(app, &format!("{app}:1"), None)).await);
        let failure = failed.failure.unwrap();
        assert_eq!((failed.outcome, failure.class), (Some(Outcome::Failed), class), "{failure:?}");
        assert!(failure.reason.contains("No such image"), "{failure:?}");
    }
}
