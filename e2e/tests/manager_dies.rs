//! A manager of three dies in the middle of a deployment: `bats/apps/manager_dies.bats`.

#[path = "apps/developers.rs"]
mod developers;

use developers::Developers;
use futuswarm_testkit::Cluster;

#[test]
#[ignore = "boots three virtual machines: `cargo xtask test --long` runs it"]
fn a_manager_dies_in_the_middle_of_a_deployment() {
    let cluster = Cluster::of("local-e2e-three");
    cluster.must(&["destroy-cluster"]);
    let developers = Developers::of(&cluster);
    cluster.must(&["deploy-cluster"]);
    let status = cluster.status();
    let nodes = status["nodes"].as_array().unwrap();
    let managers = nodes.iter().filter(|node| node["role"] == "manager" && node["ready"] == true);
    let managers: Vec<String> = managers.map(|node| node["instance"].as_str().unwrap().to_owned()).collect();
    assert_eq!(managers.len(), 3, "{status}");
    developers.come();
    developers.bats("manager_dies.bats", &managers);
    cluster.must(&["destroy-cluster"]);
}
