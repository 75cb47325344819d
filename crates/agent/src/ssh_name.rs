//! The name by which people reach the managers over SSH: its A records are the addresses of the managers that live, kept by the Swarm's
//! leader where a hosted zone of the account serves it. Elsewhere somebody makes them by hand, as `status` says.
//!
//! Of two leaders the later one is right or is put right: each looks at the record in every round, and writes all of it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use futuswarm_model::ssh_host;
use futuswarm_swarm::{Node as SwarmNode, NodeState};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Error, Node};

/// Seconds for which others may remember the record: a manager that is gone is not asked for much longer.
const TTL: i64 = 30;
/// The account's zones change when somebody changes them by hand.
const ZONES_INTERVAL: Duration = Duration::from_secs(600);

/// The addresses of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Primary private address.
    pub private: Ipv4Addr,
    /// Where the world reaches it; `None` in a subnet without such addresses.
    pub public: Option<Ipv4Addr>,
}

/// What an A record says, of all addresses of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Seconds; `None` for a record that is none of addresses (an alias).
    pub ttl: Option<i64>,
    /// In no order.
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// What is asked of EC2 beside whether instances live.
pub trait InstanceAddresses: Send + Sync {
    /// The addresses of those of the instances that run.
    ///
    /// # Errors
    /// When EC2 does not answer.
    fn addresses(
        &self,
        instances: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, Addresses>, Error>> + Send;
}

/// A public hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// For example `Z0123456789ABCDEFGHIJ`.
    pub id: String,
    /// In small letters, without the last dot.
    pub name: String,
}

/// What is asked of Route 53.
pub trait Dns: Send + Sync {
    /// The public hosted zones of the account.
    ///
    /// # Errors
    /// When Route 53 does not answer, or refuses.
    fn zones(&self) -> impl Future<Output = Result<Vec<Zone>, Error>> + Send;

    /// The A record of exactly this name; `None` where there is none.
    ///
    /// # Errors
    /// When Route 53 does not answer, or refuses.
    fn record(&self, zone: &str, name: &str) -> impl Future<Output = Result<Option<Record>, Error>> + Send;

    /// Makes the A record, or puts it in the place of another one.
    ///
    /// # Errors
    /// When Route 53 does not answer, or refuses.
    fn put(&self, zone: &str, name: &str, record: &Record) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The name, and what is known of its zone.
#[derive(Debug)]
pub(crate) struct SshName {
    name: String,
    /// When the zones were listed last, and the one that serves the name.
    zone: Mutex<Option<(Instant, Option<String>)>>,
}

impl SshName {
    pub(crate) fn new(node: &Node) -> Self {
        Self { name: ssh_host(&node.config.domain), zone: Mutex::new(None) }
    }

    /// Makes the record what it should be.
    pub(crate) async fn keep(
        &self,
        dns: &impl Dns,
        instances: &impl InstanceAddresses,
        nodes: &[SwarmNode],
    ) -> Result<(), Error> {
        let Some(zone) = self.zone(dns).await? else { return Ok(()) };
        let managers: Vec<String> =
            nodes.iter().filter(|node| is_reached(node)).map(|node| node.hostname.clone()).collect();
        let addresses = choose(&instances.addresses(&managers).await?);
        if addresses.is_empty() {
            // A name that leads nowhere is worse than one that leads to who may come back.
            let why = if managers.is_empty() {
                "the Swarm says of no manager that it is ready"
            } else {
                "EC2 names no address of a manager"
            };
            return Err(Error::Waiting(format!("{why}; {} stays as it is", self.name)));
        }
        let wanted = Record { ttl: Some(TTL), addresses };
        let put = self.put(dns, &zone, &wanted).await;
        if put.is_err() {
            // The zone may be another one by now.
            *self.zone.lock().await = None;
        }
        put
    }

    async fn put(&self, dns: &impl Dns, zone: &str, wanted: &Record) -> Result<(), Error> {
        if dns.record(zone, &self.name).await?.as_ref() == Some(wanted) {
            return Ok(());
        }
        dns.put(zone, &self.name, wanted).await?;
        tracing::info!(name = self.name, addresses = ?wanted.addresses, "the name leads to the managers that live");
        Ok(())
    }

    /// The id of the zone that serves the name; `None` where that is not the account's business.
    async fn zone(&self, dns: &impl Dns) -> Result<Option<String>, Error> {
        let mut known = self.zone.lock().await;
        if let Some((_, zone)) = known.as_ref().filter(|(at, _)| at.elapsed() < ZONES_INTERVAL) {
            return Ok(zone.clone());
        }
        let zone = longest(dns.zones().await?, &self.name);
        if known.is_none() && zone.is_none() {
            tracing::info!(name = self.name, "no hosted zone of the account serves the name; somebody else keeps it");
        }
        *known = Some((Instant::now(), zone.clone()));
        Ok(zone)
    }
}

/// Whether a manager takes part in the Swarm, as its leader sees it.
fn is_reached(node: &SwarmNode) -> bool {
    node.is_manager() && node.is_reachable() && node.state == NodeState::Ready && !node.hostname.is_empty()
}

/// The public addresses where there are some, and the private ones where there is none: a client that gets both would try those that it
/// does not reach, too.
fn choose(all: &BTreeMap<String, Addresses>) -> BTreeSet<Ipv4Addr> {
    let public: BTreeSet<Ipv4Addr> = all.values().filter_map(|one| one.public).collect();
    match public.is_empty() {
        true => all.values().map(|one| one.private).collect(),
        false => public,
    }
}

/// The zone that serves a name: the longest that it ends with.
fn longest(zones: Vec<Zone>, name: &str) -> Option<String> {
    let serves = |zone: &Zone| name == zone.name || name.ends_with(&format!(".{}", zone.name));
    zones.into_iter().filter(serves).max_by_key(|zone| zone.name.len()).map(|zone| zone.id)
}
