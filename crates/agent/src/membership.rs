//! This node's engine and the two ways into a Swarm.

use futuswarm_model::{ManagerRecord, keys};
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{InitOptions, SwarmApi};
use futuswarm_vault::Vault;

use crate::identity::Node;
use crate::{Clock, Error, heartbeat, tokens};

/// Initialises the cluster's Swarm.
pub(crate) async fn init(engine: &impl SwarmApi, node: &Node) -> Result<(), Error> {
    let options = InitOptions {
        address: node.address.to_string(),
        address_pool: node.config.address_pool.clone(),
        address_pool_mask: node.config.address_pool_mask,
    };
    Ok(engine.init_swarm(&options).await?)
}

/// Joins the Swarm through one of its managers: the engine asks the first that is named, and each attempt may name another.
pub(crate) async fn join<B: Bucket>(
    engine: &impl SwarmApi,
    node: &Node,
    store: &Store<B>,
    vault: &impl Vault,
    clock: &impl Clock,
    swarm_id: &str,
) -> Result<(), Error> {
    let records: Vec<ManagerRecord> = store.all(keys::MANAGERS).await?;
    let managers = heartbeat::managers_to_ask(records, swarm_id, clock.unix_millis());
    let me = format!("{}:", node.address);
    let managers: Vec<String> = managers.into_iter().filter(|address| !address.starts_with(&me)).collect();
    if managers.is_empty() {
        return Err(Error::Waiting(format!(
            "no manager of the Swarm {swarm_id} has left its address in the bucket yet"
        )));
    }
    let token = tokens::open(store, vault, node, swarm_id).await?;
    tracing::info!(managers = managers.join(" "), "joins");
    Ok(engine.join_swarm(&node.address.to_string(), managers, &token).await?)
}
