//! The node agent: one loop that observes engine and bucket, takes the one step that is due, and observes again.
//!
//! Nothing is remembered that cannot be asked for again: who the node is comes from the metadata service, what the cluster is
//! from S3, and what the node is part of from its Docker Engine. An agent that is killed anywhere carries on from there. The one
//! exception is for how long another founder's claim was observed unchanged: an agent that starts again measures it again, from zero.

mod agent;
mod aws;
mod cli;
mod clock;
mod core_services;
mod decide;
mod disk;
mod duties;
pub mod engine_config;
mod error;
mod firewall;
mod genesis;
mod heartbeat;
mod identity;
mod leader;
mod login;
mod membership;
mod node_removal;
mod notify;
mod platform;
mod random;
mod registry;
mod rehearsal;
mod routes;
#[cfg(test)]
mod simulation;
mod ssh_name;
mod supervision;
mod tokens;
mod way_in;

use futuswarm_imds::Imds;
use futuswarm_node_files::Files;
use futuswarm_store::{S3Bucket, Store};
use futuswarm_swarm::DockerEngine;
use futuswarm_vault::KmsVault;

use agent::Agent;
use aws::Aws;
pub use clock::{Clock, SystemClock};
pub use error::Error;
pub use identity::Node;
pub use login::{Answer, Discovery};
pub use node_removal::Instances;
pub use notify::Notify;
use platform::Clients;
pub use platform::{Edge, Platform};
pub use rehearsal::trust;
pub use ssh_name::{Addresses, Dns, InstanceAddresses, Record, Zone};

/// Where things are on the node.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's socket.
    pub docker_socket: String,
    /// Where the agent writes, and what the image brings.
    pub files: Files,
}

/// Finds out which node this is, for other services of it; it asks until there is an answer.
///
/// # Errors
/// When there can be no client for it.
pub async fn identify(notify: &Notify) -> Result<Node, Error> {
    Ok(identity::discover(&Imds::new()?, &SystemClock, notify).await)
}

/// Runs the agent on AWS until its process ends. `edge` makes the node's edge of the agent's own clients, for this node.
///
/// # Errors
/// When it cannot even begin, or a task beside its loop has ended; everything else is tried again.
pub async fn run<X: Edge>(
    options: Options,
    edge: impl FnOnce(DockerEngine, Store<S3Bucket>, KmsVault, &Node) -> X,
) -> Result<(), Error> {
    let (notify, clock, metadata) = (Notify::new(), SystemClock, Imds::new()?);
    let node = identity::discover(&metadata, &clock, &notify).await;
    tracing::info!(instance = node.instance, cluster = node.config.cluster, role = %node.config.role, address = %node.address, zone = node.zone, "identity");
    notify.ready();

    registry::configure(&node, &options.files)?;
    let sdk = futuswarm_aws::config(Some(&node.config.region)).await;
    let sdk = rehearsal::trust(sdk, options.files.credentials.as_deref())?;
    let store = Store::new(S3Bucket::new(&sdk, &node.config.bucket));
    let engine = DockerEngine::new(&options.docker_socket);
    let vault = KmsVault::new(&sdk);
    let clients = Clients::<Aws<X>> {
        edge: edge(engine.clone(), store.clone(), vault.clone(), &node),
        vault,
        instances: aws_sdk_ec2::Client::new(&sdk),
        dns: aws_sdk_route53::Client::new(&sdk),
        discovery: login::Https::new(rehearsal::authority(options.files.credentials.as_deref())?),
        store,
        engine,
        metadata,
        clock,
    };
    let (tasks, mut ends) = supervision::supervisor();
    let networks = firewall::first_networks(&node.config);
    tasks.spawn("the firewall", firewall::keep(clients.store.clone(), networks, options.files.clone()));
    let (sender, disk) = tokio::sync::watch::channel(disk::State::default());
    tasks.spawn("the disk", disk::keep(clients.engine.clone(), disk::ThisMachine, sender));
    tasks.spawn("the command line for download", cli::keep(clients.store.clone(), options.files.clone()));
    let mut agent = Agent::new(node, clients, tasks, options.files);
    agent.disk = Some(disk);
    tokio::select! {
        biased;
        // Whatever the loop is waiting for: it tells systemd nothing more.
        error = ends.first() => Err(error),
        ended = agent.forever() => ended,
    }
}
