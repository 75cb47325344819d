//! The duties of managers. The Swarm's leader keeps labels, core services, routes and the list of nodes right; every
//! manager stands ready to do the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futuswarm_aws::SdkConfig;
use futuswarm_edge::Routes;
use futuswarm_store::{Bucket, NodeRecord, Store, keys};
use futuswarm_swarm::{Engine, NodeView};

use crate::files::Files;
use crate::identity::Node;
use crate::{Error, core, removal, tokens};

/// Tokens are looked at this often: they change only when somebody rotates them.
const TOKENS: Duration = Duration::from_secs(600);
/// Instances are looked up at EC2 this often, and only while a node is down.
const REMOVAL: Duration = Duration::from_secs(10);

pub(crate) struct Leader {
    node: Node,
    ec2: aws_sdk_ec2::Client,
    files: Files,
    tokens_checked: Option<Instant>,
    removal_checked: Option<Instant>,
    leads: bool,
}

impl Leader {
    pub(crate) fn new(sdk: &SdkConfig, node: &Node, files: Files) -> Self {
        Self {
            node: node.clone(),
            ec2: aws_sdk_ec2::Client::new(sdk),
            files,
            tokens_checked: None,
            removal_checked: None,
            leads: false,
        }
    }

    pub(crate) async fn round<B: Bucket>(
        &mut self,
        engine: &Engine,
        store: &Store<B>,
        sdk: &SdkConfig,
        swarm_id: &str,
    ) -> Result<(), Error> {
        let nodes = engine.nodes().await?;
        let leads = nodes.iter().any(|node| node.leader && node.hostname == self.node.instance);
        if leads != self.leads {
            tracing::info!(leads, "leadership of the Swarm");
            self.leads = leads;
            self.tokens_checked = None;
        }
        if !leads {
            return Ok(());
        }
        if self.tokens_checked.is_none_or(|at| at.elapsed() > TOKENS) {
            tokens::publish(store, sdk, &self.node, engine, swarm_id).await?;
            self.tokens_checked = Some(Instant::now());
        }
        label(engine, store, &nodes).await?;
        core::ensure(engine, &self.files, &self.node.config.domain).await?;
        publish_routes(engine, store).await?;
        if self.removal_checked.is_none_or(|at| at.elapsed() > REMOVAL) {
            removal::round(engine, store, &self.ec2, &nodes).await?;
            self.removal_checked = Some(Instant::now());
        }
        Ok(())
    }
}

/// Labels nodes with what their own heartbeats say.
async fn label<B: Bucket>(engine: &Engine, store: &Store<B>, nodes: &[NodeView]) -> Result<(), Error> {
    let unlabelled: Vec<&NodeView> =
        nodes.iter().filter(|node| !node.labels.contains_key("futuswarm.instance")).collect();
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
            // Somebody changed the node between our look and now; the next round looks again.
            Err(error) if error.is_conflict() => tracing::debug!(%error, instance = node.hostname, "labels later"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes what every node's edge serves, when it changed.
async fn publish_routes<B: Bucket>(engine: &Engine, store: &Store<B>) -> Result<(), Error> {
    let names = engine.overlay_names().await?;
    let mut found = Vec::new();
    for service in engine.services().await? {
        let network = service.networks.iter().find_map(|id| names.get(id));
        let Some(network) = network else { continue };
        match futuswarm_edge::from_labels(&service.name, network, &service.labels) {
            Ok(Some(route)) => found.push(route),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a service cannot be served"),
        }
    }
    let (routes, clashes) = futuswarm_edge::without_conflicts(found);
    for (service, owner) in clashes {
        tracing::warn!(service, owner, "not served: another service has its host name");
    }
    let current = store.get::<Routes>(keys::ROUTES).await?;
    if current.is_some_and(|current| current.value == routes) {
        return Ok(());
    }
    tracing::info!(routes = routes.routes.len(), "published the routes");
    store.put(keys::ROUTES, &routes).await?;
    Ok(())
}
