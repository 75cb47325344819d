//! Three managers found one Swarm, and one of them dies in the middle of a deployment: `bats/apps/manager_dies.bats`.

#[path = "apps/developers.rs"]
mod developers;

use std::time::Duration;

use developers::Developers;
use futuswarm_testkit::Cluster;

const PATIENCE: Duration = Duration::from_secs(600);

#[test]
#[ignore = "boots three virtual machines: `cargo xtask test --long` runs it"]
fn a_manager_dies_in_the_middle_of_a_deployment() {
    let cluster = Cluster::of("local-e2e-three");
    cluster.must(&["destroy-cluster"]);
    let developers = Developers::of(&cluster);
    // The first answers of the metadata service are failures: the agents must be patient.
    cluster.local(&["up"]);
    cluster.local(&["faults", r#"{"kind":"internal","count":40}"#]);
    cluster.must(&["deploy-cluster"]);
    let status = cluster.status();
    let nodes = status["nodes"].as_array().unwrap();
    let managers = nodes.iter().filter(|node| node["role"] == "manager" && node["ready"] == true);
    let managers: Vec<String> = managers.map(|node| node["instance"].as_str().unwrap().to_owned()).collect();
    assert_eq!(managers.len(), 3, "{status}");
    cluster.wait("a leader and two reachable managers", PATIENCE, || {
        let list = ["sudo", "docker", "node", "ls", "--format", "{{.ManagerStatus}}"];
        let listed = cluster.xtask(&[&["ssh", &managers[0], "--"], list.as_slice()].concat());
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut states: Vec<&str> = text.lines().collect();
        states.sort_unstable();
        states == ["Leader", "Reachable", "Reachable"]
    });
    developers.come();
    developers.bats("manager_dies.bats", None, &managers);
    cluster.must(&["destroy-cluster"]);
}
