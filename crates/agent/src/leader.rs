//! The duties of managers. The Swarm's leader keeps labels, core services, routes and the list of nodes right; every
//! manager stands ready to do the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::NodeRecord;
use futuswarm_node_files::Files;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Node as SwarmNode, NodeApi};

use crate::duties::Duties;
use crate::identity::Node;
use crate::login::{self, Login};
use crate::platform::{Clients, Platform};
use crate::ssh_name::SshName;
use crate::{Clock as _, Error, core_services, node_removal, routes, tokens};

#[cfg(test)]
mod tests;

/// The duties of the leader, with the time between two good runs: tokens change only when somebody rotates them, and EC2 is
/// asked only while a node is down; zero stands for every round. The login's provider is asked once a day, and its record looked at in
/// each run.
const DUTIES: &[(&str, Duration)] = &[
    (TOKENS, Duration::from_secs(600)),
    (LABELS, Duration::ZERO),
    (CORE, Duration::ZERO),
    (ROUTES, Duration::ZERO),
    (REMOVAL, Duration::from_secs(10)),
    (RECORDS, Duration::from_secs(3600)),
    (SSH_NAME, Duration::from_secs(30)),
    (LOGIN, Duration::from_secs(10)),
    (PASSPHRASE, Duration::from_secs(10)),
];
const TOKENS: &str = "join tokens";
const LABELS: &str = "labels of nodes";
const CORE: &str = "core services";
const ROUTES: &str = "routes";
const REMOVAL: &str = "removal of dead nodes";
const RECORDS: &str = "records of instances that are gone";
const SSH_NAME: &str = "addresses of the name for SSH";
const LOGIN: &str = "the login's provider";
const PASSPHRASE: &str = "the passphrase of sessions";

pub(crate) struct Leader {
    node: Arc<Node>,
    files: Files,
    duties: Duties,
    ssh_name: Arc<SshName>,
    login: Arc<Login>,
    leads: bool,
}

impl Leader {
    pub(crate) fn new(node: &Arc<Node>, files: Files) -> Self {
        let ssh_name = Arc::new(SshName::new(node));
        let (node, duties) = (Arc::clone(node), Duties::new(DUTIES));
        Self { node, files, duties, ssh_name, login: Arc::default(), leads: false }
    }

    /// The duties that fail, in one line.
    pub(crate) fn failing(&self) -> Option<String> {
        self.duties.failing()
    }

    /// Starts the duties that are due, when this node leads, and notes how earlier ones have ended. It waits for none of them.
    ///
    /// # Errors
    /// When the Swarm's nodes cannot be listed, or a duty panicked.
    pub(crate) async fn round<P: Platform>(&mut self, clients: &Clients<P>, swarm_id: &str) -> Result<(), Error> {
        self.duties.collect()?;
        let nodes = Arc::new(clients.engine.list_nodes().await?);
        let leads = nodes.iter().any(|node| node.is_leader() && node.hostname == self.node.instance);
        if leads != self.leads {
            tracing::info!(leads, "leadership of the Swarm");
            self.leads = leads;
            self.duties.reset();
        }
        if !leads {
            return Ok(());
        }
        for duty in self.duties.due() {
            let (engine, store, nodes) = (clients.engine.clone(), clients.store.clone(), Arc::clone(&nodes));
            match duty {
                TOKENS => {
                    let (vault, node, swarm_id) = (clients.vault.clone(), Arc::clone(&self.node), swarm_id.to_owned());
                    let run = async move { tokens::publish(&store, &vault, &node, &engine, &swarm_id).await };
                    self.duties.start(duty, run);
                }
                LABELS => self.duties.start(duty, async move { label(&engine, &store, &nodes).await }),
                CORE => {
                    let (files, domain) = (self.files.clone(), self.node.config.domain.clone());
                    self.duties.start(duty, async move { core_services::ensure(&engine, &files, &domain).await });
                }
                ROUTES => {
                    let domain = self.node.config.domain.clone();
                    let run = async move { routes::publish(&engine, &store, &domain, nodes.len()).await };
                    self.duties.start(duty, run);
                }
                REMOVAL => {
                    let instances = clients.instances.clone();
                    self.duties
                        .start(duty, async move { node_removal::round(&engine, &store, &instances, &nodes).await });
                }
                SSH_NAME => {
                    let (instances, dns) = (clients.instances.clone(), clients.dns.clone());
                    let name = Arc::clone(&self.ssh_name);
                    self.duties.start(duty, async move { name.keep(&dns, &instances, &nodes).await });
                }
                LOGIN => {
                    let (login, discovery) = (Arc::clone(&self.login), clients.discovery.clone());
                    let now = clients.clock.unix_millis();
                    self.duties.start(duty, async move { login.discover(&store, &discovery, now).await });
                }
                PASSPHRASE => {
                    let (vault, node) = (clients.vault.clone(), Arc::clone(&self.node));
                    let now = clients.clock.unix_millis();
                    self.duties.start(duty, async move { login::keep_passphrase(&store, &vault, &node, now).await });
                }
                _ => {
                    let instances = clients.instances.clone();
                    self.duties.start(duty, async move { node_removal::sweep(&store, &instances).await });
                }
            }
        }
        Ok(())
    }

    /// Ends the duties of one who is no manager any more.
    pub(crate) fn step_down(&mut self) {
        if self.leads {
            tracing::info!(leads = false, "leadership of the Swarm");
            self.leads = false;
            self.duties.reset();
        }
    }
}

/// Labels nodes with what their own heartbeats say.
async fn label<B: Bucket>(engine: &impl NodeApi, store: &Store<B>, nodes: &[SwarmNode]) -> Result<(), Error> {
    let unlabelled: Vec<&SwarmNode> =
        nodes.iter().filter(|node| !node.spec.labels.contains_key("futuswarm.instance")).collect();
    if unlabelled.is_empty() {
        return Ok(());
    }
    let mut records: HashMap<String, NodeRecord> = HashMap::new();
    for record in futuswarm_store::node_records(store).await? {
        records.insert(record.instance.clone(), record);
    }
    for node in unlabelled {
        let Some(record) = records.remove(&node.hostname) else { continue };
        // A record that names another Swarm node is that of an earlier life of the instance.
        if record.node.as_deref() != Some(node.id.as_str()) {
            continue;
        }
        let mut labels: HashMap<String, String> = record.labels.into_iter().collect();
        labels.extend([
            ("futuswarm.instance".to_owned(), record.instance),
            ("futuswarm.zone".to_owned(), record.zone),
            ("futuswarm.type".to_owned(), record.instance_type),
            ("futuswarm.group".to_owned(), record.group),
        ]);
        match engine.label_node(node, &labels).await {
            Ok(true) => tracing::info!(instance = node.hostname, "labelled"),
            Ok(false) => {}
            // Somebody changed the node since it was listed; the next round lists it again.
            Err(error) if error.is_conflict() => tracing::debug!(%error, instance = node.hostname, "labels later"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
