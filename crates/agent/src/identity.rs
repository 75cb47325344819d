//! Who this node is: the metadata service's identity document and the node's section of its user data.

use std::net::Ipv4Addr;

use futuswarm_imds::Metadata;
use futuswarm_retry::Backoff;
use futuswarm_userdata::NodeConfig;

use crate::notify::Notify;
use crate::{Clock, Error};

/// Everything that is known about this node before it talks to anybody but the metadata service.
#[derive(Debug, Clone)]
pub struct Node {
    /// EC2 instance id.
    pub instance: String,
    /// EC2 instance type.
    pub instance_type: String,
    /// Availability zone.
    pub zone: String,
    /// Primary private address.
    pub address: Ipv4Addr,
    /// Image id.
    pub image: String,
    /// When the kernel started, in milliseconds since 1970.
    pub booted_at: u64,
    /// The node's section of the user data.
    pub config: NodeConfig,
}

/// Asks until there is an answer that makes sense. A node without identity can do nothing else, so there is no end to it;
/// every new reason is said once.
pub(crate) async fn discover(imds: &impl Metadata, clock: &impl Clock, notify: &Notify) -> Node {
    let mut backoff = Backoff::default();
    loop {
        let reason = match ask(imds, clock).await {
            Ok(node) => return node,
            Err(error) => error.to_string(),
        };
        notify.waiting(&reason);
        tokio::time::sleep(backoff.failed("does not know yet who it is", &reason)).await;
    }
}

async fn ask(imds: &impl Metadata, clock: &impl Clock) -> Result<Node, Error> {
    let identity = imds.identity().await?;
    let text = imds.user_data().await?;
    let text = text.ok_or_else(|| {
        Error::Refused(
            "the instance has no user data; launch nodes with the launch template that `cargo xtask deploy-cluster` makes"
                .to_owned(),
        )
    })?;
    let config = NodeConfig::from_user_data(&text)?;
    if config.region != identity.region {
        return Err(Error::Refused(format!(
            "the user data is for the region {}, but the instance runs in {}: it belongs to another cluster's launch template",
            config.region, identity.region
        )));
    }
    Ok(Node {
        instance: identity.instance,
        instance_type: identity.instance_type,
        zone: identity.zone,
        address: identity.address,
        image: identity.image,
        booted_at: booted_at(clock),
        config,
    })
}

/// When the kernel started, by its own uptime.
fn booted_at(clock: &impl Clock) -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    clock.unix_millis().saturating_sub((seconds * 1000.0) as u64)
}
