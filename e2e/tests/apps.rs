//! Apps in a cluster of virtual machines, by the command line, as somebody who has neither AWS nor Docker: `bats/apps/first_hour.bats`.

#[path = "apps/developers.rs"]
mod developers;

use developers::Developers;
use futuswarm_testkit::Cluster;

#[test]
#[ignore = "boots virtual machines: `cargo xtask test --long` runs it"]
fn the_first_hour_of_an_app() {
    let cluster = Cluster::of("local-apps");
    cluster.must(&["destroy-cluster"]);
    // The command line is compiled before machines run.
    let developers = Developers::of(&cluster);
    cluster.must(&["deploy-cluster"]);
    developers.come();
    developers.bats("first_hour.bats", None, &[]);
    cluster.must(&["destroy-cluster"]);
}
