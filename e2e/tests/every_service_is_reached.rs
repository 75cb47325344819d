//! Routing as a property of a real Swarm: whatever services and networks come and go in whatever order, every well-formed service is
//! reached through the edge of every node within seconds, and a malformed one affects nobody else.
#![expect(clippy::print_stderr, reason = "what a failed run did, and how to repeat it")]

mod every_service_is_reached {
    pub mod model;
    pub mod swarm;
}

use std::time::Duration;

use every_service_is_reached::model::{Kind, Model};
use every_service_is_reached::swarm::Swarm;

/// Rounds of changes, each followed by a look at every route from every node.
const ROUNDS: usize = 5;
/// Services that are created or removed in a round.
const CHANGES: usize = 5;
/// From a change to every route of it on every node, on machines that are emulated and share two cores, where a container alone takes
/// up to forty seconds to start. The leader looks every three seconds, an edge every five.
const SOON: Duration = Duration::from_secs(300);
/// A node that says that it is ready has every route; its health checks of tasks take a moment more.
const AT_ONCE: Duration = Duration::from_secs(20);
/// Emulated machines take one to two minutes to be Ready on two idle cores, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Another sequence of changes: set it to repeat what a failed run has printed.
const SEED: &str = "FUTUSWARM_ROUTING_SEED";

#[test]
#[ignore = "boots two virtual machines: `cargo xtask test --long` runs it"]
fn every_service_is_reached_from_every_node_whatever_the_others_do() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(9);
    eprintln!("{SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let swarm = Swarm::deployed();
    let mut model = Model::new();
    swarm.make_networks();

    // One of each kind that ever held others back, all older than most of the services that must be served in spite of them.
    let mut lines: Vec<String> = vec![swarm.create(&model.steady())];
    lines.extend(Kind::MALFORMED.into_iter().map(|kind| swarm.create(&model.malformed(kind))));
    lines.push(swarm.create(&model.many_names()));
    swarm.run(&lines);
    swarm.reaches(&model, &swarm.nodes(), SOON);
    swarm.tells(&model);

    let traffic = swarm.traffic("steady.test");
    for round in 0..ROUNDS {
        let lines: Vec<String> = (0..CHANGES)
            .map(|_| match model.removable().filter(|_| random.u8(..) < 100) {
                Some(_) => swarm.remove(&model.remove_any(&mut random)),
                None => swarm.create(&model.any(&mut random)),
            })
            .collect();
        eprintln!("round {round}:\n  {}", lines.join("\n  "));
        swarm.run(&lines);
        swarm.reaches(&model, &swarm.nodes(), SOON);
        swarm.tells(&model);
    }
    let (served, lost) = traffic.end();
    assert!(served > 100, "{served} requests are too few to tell");
    assert!(lost.is_empty(), "of {served} requests while edges reloaded {} were lost: {:?}", lost.len(), lost.first());
    eprintln!("{served} requests while edges reloaded, none lost");

    every_task_is_served(&swarm);
    a_network_can_be_removed(&swarm, &mut model);
    a_replacement_serves_everything_once_it_is_ready(&swarm, &model);
}

fn every_task_is_served(swarm: &Swarm) {
    swarm.run(&["sudo docker service scale --detach steady=20".to_owned()]);
    for node in swarm.nodes() {
        let missing = swarm.missing_tasks(&node, "steady.test", 20, PATIENCE);
        assert!(missing.is_empty(), "the edge of {node} serves 20 tasks but {missing:?}");
    }
}

/// Docker refuses to remove a network that a container is on, and the edge of each node was on this one.
fn a_network_can_be_removed(swarm: &Swarm, model: &mut Model) {
    let name = "n-short";
    let app = model.on_network(name);
    swarm.run(&[format!("sudo docker network create --driver overlay --attachable {name}"), swarm.create(&app)]);
    swarm.reaches(model, &swarm.nodes(), SOON);
    model.remove(&app.name);
    swarm.run(&[swarm.remove(&app.name)]);
    swarm.cluster.wait("the removal of a network whose service is gone", SOON, || {
        swarm.docker(&["network", "rm", name]).is_some()
    });
    swarm.cluster.wait("nobody to list it", SOON, || {
        swarm
            .docker(&["network", "ls", "--format", "{{.Name}}"])
            .is_some_and(|names| names.contains("n0") && !names.contains(name))
    });
    swarm.reaches(model, &swarm.nodes(), SOON);
}

fn a_replacement_serves_everything_once_it_is_ready(swarm: &Swarm, model: &Model) {
    let before = swarm.cluster.ready();
    let victim = swarm.worker();
    swarm.cluster.must(&["chaos", "kill", &victim]);
    let mut fresh = None;
    swarm.cluster.wait("a replacement that is ready", PATIENCE, || {
        fresh = swarm.cluster.ready().into_iter().find(|node| !before.contains(node));
        fresh.is_some()
    });
    let address = swarm.address(&fresh.expect("a replacement"));
    swarm.reaches(model, &[address], AT_ONCE);
}
