//! Docker's own settings that depend on the cluster, put into place before the engine starts: where its bridges' addresses
//! come from. The engine reads them only once, so the agent, which starts beside it, would be too late.

use std::path::Path;
use std::time::{Duration, Instant};

use futuswarm_imds::{Imds, Metadata};
use futuswarm_node_files::{self as files, replace};
use futuswarm_retry::Backoff;
use futuswarm_userdata::NodeConfig;
use serde_json::{Value, json};

use crate::Error;

/// What the image brings; `/etc` is laid again at every start.
const DAEMON: &str = "/etc/docker/daemon.json";
/// The last answer, for a start at which the metadata service does not answer. An instance keeps its user data.
const REMEMBERED: &str = "/var/lib/futuswarm/bridge-pool";
/// The metadata service answers within a second once there is a network.
const PATIENCE: Duration = Duration::from_secs(60);
/// A new bridge takes a /24: an application of a team needs no more than that on one node.
const BRIDGE_PREFIX: u8 = 24;

/// Asks the metadata service for the cluster's pool of bridge addresses and writes it into the engine's configuration.
///
/// # Errors
/// When the metadata service does not answer within a minute and never has on this node, or a file cannot be written. The engine
/// must not start then: with the wrong pool it could take the addresses of a network that the node has to reach.
pub async fn prepare() -> Result<(), Error> {
    let (daemon, remembered) = (Path::new(DAEMON), Path::new(REMEMBERED));
    let pool = match ask(&Imds::new()?).await {
        Ok(pool) => pool.unwrap_or_default(),
        Err(error) => {
            let last = std::fs::read_to_string(remembered).map_err(|_| error)?;
            tracing::warn!(pool = last, "the metadata service does not answer: the engine gets the last pool it had");
            last
        }
    };
    if let Some(dir) = remembered.parent() {
        std::fs::create_dir_all(dir).map_err(files::Error::of(dir))?;
    }
    replace(remembered, pool.as_bytes())?;
    if pool.is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(daemon).map_err(files::Error::of(daemon))?;
    let settings = with_pool(&text, &pool).map_err(|error| files::Error::new(daemon, error))?;
    tracing::info!(pool, "the engine's bridges take their addresses from the cluster's pool");
    Ok(replace(daemon, settings.as_bytes())?)
}

/// The pool in the user data; `None` when it names none and the image's own holds.
async fn ask(imds: &impl Metadata) -> Result<Option<String>, Error> {
    let (started, mut backoff) = (Instant::now(), Backoff::default());
    loop {
        let error = match imds.user_data().await {
            // Without user data the node is nobody's; the agent says so. The engine may start as the image has it.
            Ok(text) => return Ok(text.and_then(|text| NodeConfig::from_user_data(&text).ok()?.bridge_pool)),
            Err(error) => error,
        };
        if started.elapsed() > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(backoff.failed("the engine's address pool is not known yet", &error.to_string())).await;
    }
}

/// The engine's configuration with another pool for its bridges, `docker0` among them.
fn with_pool(text: &str, pool: &str) -> Result<String, serde_json::Error> {
    let mut settings: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    settings.insert("default-address-pools".to_owned(), json!([{ "base": pool, "size": BRIDGE_PREFIX }]));
    Ok(serde_json::to_string_pretty(&settings)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../images/node/rootfs/etc/docker/daemon.json");

    #[test]
    fn only_the_pool_changes() {
        let shipped: Value = serde_json::from_str(SHIPPED).unwrap();
        let mut changed: Value = serde_json::from_str(&with_pool(SHIPPED, "10.99.0.0/16").unwrap()).unwrap();
        assert_eq!(changed["default-address-pools"], json!([{ "base": "10.99.0.0/16", "size": 24 }]));
        changed["default-address-pools"] = shipped["default-address-pools"].clone();
        assert_eq!(changed, shipped);
        assert!(with_pool("not JSON", "10.99.0.0/16").is_err());
    }

    /// A spec without the key must mean what the image has.
    #[test]
    fn the_image_has_the_default_pool() {
        let shipped: Value = serde_json::from_str(SHIPPED).unwrap();
        let default = futuswarm_userdata::DEFAULT_BRIDGE_POOL;
        assert_eq!(shipped["default-address-pools"], json!([{ "base": default, "size": BRIDGE_PREFIX }]));
    }
}
