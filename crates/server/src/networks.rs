//! Networks of apps: who is on them, how many addresses they have left, and what is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futuswarm_model::AppIndex;
use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{Answer, NetworkRow};
use futuswarm_swarm::{
    APP_LABEL, Attachment, Network, NetworkApi as _, NetworkScope, Node, NodeApi as _, Service, ServiceApi as _,
    TaskApi as _, TaskState,
};

use crate::refusal::Refused;
use crate::{Control, Error, Platform, desired};

/// Fewer free addresses are a problem: an update needs as many again as there are tasks, until the old ones are gone.
const FEW: u64 = 20;

/// What the Swarm says.
struct Facts {
    networks: Vec<Network>,
    services: Vec<Service>,
    attachments: Vec<Attachment>,
    nodes: Vec<Node>,
    /// Addresses of peers by the id of the network; `None` where this manager is not on it.
    peers: HashMap<String, Option<Vec<String>>>,
    apps: AppIndex,
}

/// Networks that the actor may see: those of their apps, and all for an admin.
pub(crate) async fn networks<P: Platform>(control: &Control<P>, actor: &Actor) -> Result<Answer, Refused> {
    let engine = &control.engine;
    // Before what is on them: a network that was made meanwhile is no problem of what was listed.
    let apps = control.records.apps().await.map_err(Error::from)?;
    let mut facts = Facts {
        services: engine.list_services().await.map_err(Error::from)?,
        attachments: engine.list_attachments().await.map_err(Error::from)?,
        nodes: engine.list_nodes().await.map_err(Error::from)?,
        networks: engine.list_networks(NetworkScope::Swarm, None).await.map_err(Error::from)?,
        peers: HashMap::new(),
        apps,
    };
    let sees = |app: Option<&str>| match actor {
        Actor::User { admin: true, .. } => true,
        Actor::User { name, groups, .. } => {
            let entry = app.and_then(|app| facts.apps.get(app));
            entry.is_some_and(|entry| entry.access.role(name, groups).is_some())
        }
        Actor::Token { .. } => false,
    };
    let seen: Vec<Network> = facts.networks.iter().filter(|network| sees(app_of(network))).cloned().collect();
    let apps: Vec<String> = facts.apps.keys().filter(|app| sees(Some(app))).cloned().collect();
    for network in &seen {
        match engine.network_peers(&network.id).await {
            Ok(peers) => drop(facts.peers.insert(network.id.clone(), peers)),
            // Removed meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(Error::from(error).into()),
        }
    }
    let mut rows: Vec<NetworkRow> = seen.iter().map(|network| row(network, &facts)).collect();
    rows.extend(without(&apps, &facts));
    rows.sort_by(|one, other| (&one.network, &one.app).cmp(&(&other.network, &other.app)));
    Ok(Answer::Networks(rows))
}

/// The app that a network is of, by its name.
fn app_of(network: &Network) -> Option<&str> {
    let prefix = desired::network_name("");
    network.name.strip_prefix(&prefix).filter(|app| futuswarm_model::app_name(app).is_ok())
}

fn service<'a>(app: &str, facts: &'a Facts) -> Option<&'a Service> {
    facts.services.iter().find(|service| {
        service.spec.name == app && service.spec.labels.get(APP_LABEL).is_some_and(|label| label == app)
    })
}

/// Apps whose service is on no network of theirs.
fn without(apps: &[String], facts: &Facts) -> Vec<NetworkRow> {
    let is_without = |app: &&String| {
        let Some(service) = service(app, facts) else { return false };
        let name = desired::network_name(app);
        let own = facts.networks.iter().find(|network| network.name == name);
        own.is_none_or(|own| !service.spec.networks.iter().any(|one| one.network == own.id))
    };
    let row = |app: &String| NetworkRow {
        network: String::new(),
        app: Some(app.clone()),
        subnet: String::new(),
        tasks: 0,
        containers: 0,
        addresses: 0,
        free: 0,
        nodes: BTreeSet::new(),
        peers: None,
        problems: vec![format!("{app} runs without a network of its own: deploy it again")],
    };
    apps.iter().filter(is_without).map(row).collect()
}

fn row(network: &Network, facts: &Facts) -> NetworkRow {
    let live: Vec<&Attachment> =
        facts.attachments.iter().filter(|one| one.network == network.id && !one.state.is_over()).collect();
    let hostnames: HashMap<&str, &Node> = facts.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let ids: BTreeSet<&str> = live.iter().filter_map(|one| one.node.as_deref()).collect();
    let on: BTreeMap<String, &Node> =
        ids.iter().filter_map(|id| Some((hostnames.get(id)?.hostname.clone(), *hostnames.get(id)?))).collect();
    let taken: BTreeSet<&str> = live.iter().flat_map(|one| &one.addresses).map(String::as_str).collect();
    let tasks: BTreeSet<&str> = live.iter().filter(|one| one.service.is_some()).map(|one| one.task.as_str()).collect();
    let all: BTreeSet<&str> = live.iter().map(|one| one.task.as_str()).collect();
    let peers = facts.peers.get(&network.id).and_then(Option::as_ref);
    let subnet = network.subnets.first().cloned().unwrap_or_default();
    // Swarm gives each node that has any of a network an address of its own there, for its load balancer.
    let addresses = (taken.len() + on.len()) as u64;
    let free = capacity(&subnet).map(|capacity| capacity.saturating_sub(addresses));
    let app = app_of(network);
    let mut row = NetworkRow {
        network: network.name.clone(),
        app: app.map(str::to_owned),
        tasks: count(tasks.len()),
        containers: count(all.len() - tasks.len()),
        addresses,
        free: free.unwrap_or_default(),
        nodes: on.keys().cloned().collect(),
        peers: peers.map(|peers| count(peers.len())),
        problems: Vec::new(),
        subnet,
    };
    row.problems = problems(&row, app, &live, &on, peers.map(Vec::as_slice), facts);
    row
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn problems(
    row: &NetworkRow,
    app: Option<&str>,
    live: &[&Attachment],
    on: &BTreeMap<String, &Node>,
    peers: Option<&[String]>,
    facts: &Facts,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(app) = app.filter(|app| !facts.apps.contains_key(*app)) {
        let rest = if row.tasks > 0 { "and tasks are on it" } else { "an admin can remove it" };
        problems.push(format!("there is no app {app}: {rest}"));
    }
    if capacity(&row.subnet).is_some() && row.free < FEW {
        problems.push(format!("{} addresses are left of {}: an update may find none", row.free, row.subnet));
    }
    let waits = |one: &&&Attachment| one.addresses.is_empty() && one.state >= TaskState::Assigned;
    for task in live.iter().filter(waits) {
        problems.push(format!("the task {} has no address", task.task));
    }
    if let Some(peers) = peers {
        for (name, node) in on.iter().filter(|(_, node)| is_known(&node.address) && !peers.contains(&node.address)) {
            problems.push(format!("the manager that answers exchanges nothing with {name} ({})", node.address));
        }
    }
    problems
}

/// Whether the Swarm tells where a node is: of the manager itself an engine may say that it is anywhere.
fn is_known(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| !address.is_unspecified() && !address.is_loopback())
}

/// So many addresses a subnet of IPv4 has for tasks: without its own, its last, and its gateway's. `None` for what is none.
fn capacity(subnet: &str) -> Option<u64> {
    let (address, bits) = subnet.split_once('/')?;
    address.parse::<std::net::Ipv4Addr>().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    Some((1_u64 << (32 - bits)).saturating_sub(3))
}

#[cfg(test)]
mod tests;
