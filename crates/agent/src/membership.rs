//! This node's engine: is it up, is it in a Swarm, and the two ways in.

use futuswarm_aws::SdkConfig;
use futuswarm_model::{ManagerRecord, keys, unix_millis};
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Engine, InitOptions, LocalState, Membership};

use crate::identity::Node;
use crate::{Error, certificate, records, tokens};

/// Looks at the engine, connecting and agreeing on an API version first; it fails until dockerd is up.
pub(crate) async fn look(engine: &mut Option<Engine>, socket: &str) -> Result<(Engine, Membership), Error> {
    let connected = match engine.take() {
        Some(engine) => engine,
        None => Engine::at(socket)?.negotiated().await?,
    };
    let mut membership = connected.membership().await?;
    if membership.state == LocalState::Active && membership.swarm.is_none() && !membership.controls {
        membership.swarm = certificate::swarm_of(certificate::PATH.as_ref());
    }
    *engine = Some(connected.clone());
    Ok((connected, membership))
}

/// Founds the Swarm.
pub(crate) async fn found(engine: &Engine, node: &Node) -> Result<(), Error> {
    let options = InitOptions {
        address: node.address.to_string(),
        address_pool: node.config.address_pool.clone(),
        address_pool_mask: node.config.address_pool_mask,
    };
    Ok(engine.init_swarm(&options).await?)
}

/// Joins the Swarm through whichever of its managers answers.
pub(crate) async fn join<B: Bucket>(
    engine: &Engine,
    node: &Node,
    store: &Store<B>,
    sdk: &SdkConfig,
    swarm_id: &str,
) -> Result<(), Error> {
    let records: Vec<ManagerRecord> = store.all(keys::MANAGERS).await?;
    let managers = records::managers_to_ask(records, swarm_id, unix_millis());
    let me = format!("{}:", node.address);
    let managers: Vec<String> = managers.into_iter().filter(|address| !address.starts_with(&me)).collect();
    if managers.is_empty() {
        return Err(Error::Waiting(format!(
            "no manager of the Swarm {swarm_id} has left its address in the bucket yet"
        )));
    }
    let token = tokens::open(store, sdk, node, swarm_id).await?;
    tracing::info!(managers = managers.join(" "), "joins");
    Ok(engine.join_swarm(&node.address.to_string(), managers, &token).await?)
}
