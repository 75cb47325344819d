//! The control service on this node: who it is comes from the metadata service, as for the agent.

use std::time::Duration;

use anyhow::Context as _;
use futuswarm_agent::Notify;
use futuswarm_node_files::{ACCOUNT, CONTROL_SOCKET, Files, LOGINS};
use futuswarm_server::{Facts, Options, Tools};

/// The node's own registry.
const REGISTRY: &str = "http://127.0.0.1:5000";
/// The edge's part of the list of containers.
const EDGE: &str = "edge";
/// A third of the unit's watchdog.
const ALIVE: Duration = Duration::from_secs(60);

/// Runs the service until its process ends, or the node is no manager any more.
pub async fn run(docker_socket: String) -> anyhow::Result<()> {
    let notify = Notify::new();
    let node = futuswarm_agent::identify(&notify).await?;
    let files = Files::default();
    let sdk = futuswarm_aws::config(Some(&node.config.region)).await;
    let sdk = futuswarm_agent::trust(sdk, files.credentials.as_deref())?;
    // The edge's image has nothing of its own but a user and folders: the node's `/usr` is mounted into it. A node without it answers
    // everything but what PostgreSQL's programs are needed for.
    let edge = files.container_images().ok().and_then(|images| images.get(EDGE).cloned());
    let tools = Tools { image: edge.unwrap_or_else(|| EDGE.to_owned()), archive: files.archive(EDGE) };
    let options = Options {
        // As provisioning names it (`crates/provision/src/names.rs`).
        database: format!("futuswarm-{}-db", node.config.cluster),
        tools,
        facts: Facts {
            cluster: node.config.cluster,
            domain: node.config.domain,
            node: node.instance,
            public: "https".to_owned(),
        },
        bucket: node.config.bucket,
        manager_key: node
            .config
            .manager_key
            .context("the user data names no key for managers: this node is a worker")?,
        docker_socket,
        registry: REGISTRY.to_owned(),
        socket: CONTROL_SOCKET.into(),
        logins: LOGINS.into(),
        programs: files.run.join("programs"),
        uids: vec![0, ACCOUNT.1],
        mark: files.manager_mark(),
    };
    // On the same thread as everything else: when that hangs, systemd learns of it.
    tokio::spawn(async {
        loop {
            Notify::new().alive("answers requests");
            tokio::time::sleep(ALIVE).await;
        }
    });
    futuswarm_server::run(options, &sdk, || notify.ready()).await?;
    Ok(())
}
