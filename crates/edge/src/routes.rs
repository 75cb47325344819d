//! Who is served under which host and path: a decision over all services of the Swarm that no service can make for another.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::labels::{Request, request};

/// Places for tasks beyond those that a service has: an update starts new tasks before it stops old ones.
const SPARE_TASKS: u32 = 4;
/// The fewest places for tasks, so that most changes of scale need no new configuration.
const LEAST_TASKS: u32 = 8;
/// The most: each is health-checked by every edge.
const MOST_TASKS: u32 = 1024;

/// A service of the Swarm as the decision needs it.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Unique in the Swarm.
    pub name: String,
    /// When it was created, as the Engine API writes it (RFC 3339, UTC).
    pub created_at: String,
    /// Of the service, not of its tasks.
    pub labels: HashMap<String, String>,
    /// The overlay networks that it is on, in its own order.
    pub networks: Vec<Network>,
    /// How many tasks it should have.
    pub tasks: u32,
}

/// An overlay network that a service is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Unique in the Swarm.
    pub name: String,
    /// Whether a container that is no task, as the edge's, may join it.
    pub attachable: bool,
}

/// One service behind the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The service's name.
    pub service: String,
    /// What it is reached under, sorted.
    pub prefixes: Vec<Prefix>,
    /// The port that its tasks listen on.
    pub port: u16,
    /// The overlay network on which the edge reaches its tasks.
    pub network: String,
    /// How many tasks an edge knows at most.
    pub slots: u32,
}

/// A host and the beginning of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// Host name, lower case.
    pub host: String,
    /// Path without a slash at the end; `/` is everything.
    pub path: String,
}

/// Why a service, or a part of what it asks for, is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The service's name.
    pub service: String,
    /// In one sentence, with what to do about it.
    pub reason: String,
}

/// What all edges serve: the document under `cluster/edge/routes` in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Sorted by service.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// What cannot be served, sorted by service.
    #[serde(default)]
    pub refused: Vec<Refusal>,
}

/// Host names that belong to a core service, whoever else asks for them.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// Host names, lower case.
    pub hosts: Vec<String>,
    /// The core service that has them.
    pub owner: String,
}

/// Decides who is served. `last` is the decision before this one: who has a host and path keeps them for as long as it asks for
/// them, and of others the older service gets them.
#[must_use]
pub fn decide(services: &[Service], reserved: &Reserved, last: &Routes) -> Routes {
    let holders: BTreeMap<&Prefix, &str> = last
        .routes
        .iter()
        .flat_map(|route| route.prefixes.iter().map(|prefix| (prefix, route.service.as_str())))
        .collect();
    let (mut routes, mut refused) = (Vec::new(), Vec::new());
    let mut claims: BTreeMap<Prefix, Vec<(&Service, usize)>> = BTreeMap::new();
    let mut services: Vec<&Service> = services.iter().collect();
    services.sort_by_key(|service| (age(service), service.name.clone()));
    for service in services {
        let (request, network) = match accepted(service) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(reason) => {
                refused.push(Refusal { service: service.name.clone(), reason });
                continue;
            }
        };
        for host in &request.hosts {
            if reserved.hosts.contains(host) && service.name != reserved.owner {
                let reason = format!("{host} belongs to the core service {}; choose another host name", reserved.owner);
                refused.push(Refusal { service: service.name.clone(), reason });
                continue;
            }
            for path in &request.paths {
                let prefix = Prefix { host: host.clone(), path: path.clone() };
                claims.entry(prefix).or_default().push((service, routes.len()));
            }
        }
        routes.push(Route {
            service: service.name.clone(),
            prefixes: Vec::new(),
            port: request.port,
            network: network.to_owned(),
            slots: slots(service.tasks),
        });
    }
    for (prefix, claimants) in claims {
        let holder = holders.get(&prefix).and_then(|holder| claimants.iter().find(|(one, _)| one.name == *holder));
        let Some((owner, index)) = holder.or(claimants.first()).copied() else { continue };
        for (service, _) in claimants.iter().filter(|(service, _)| service.name != owner.name) {
            let reason = format!("{}{} is served by {}, which had it first", prefix.host, prefix.path, owner.name);
            refused.push(Refusal { service: service.name.clone(), reason });
        }
        if let Some(route) = routes.get_mut(index) {
            route.prefixes.push(prefix);
        }
    }
    routes.retain(|route| !route.prefixes.is_empty());
    routes.sort_by(|a, b| a.service.cmp(&b.service));
    refused.sort_by(|a, b| (&a.service, &a.reason).cmp(&(&b.service, &b.reason)));
    Routes { routes, refused }
}

/// What a service asks for and the network to reach it on; `None` when it asks for nothing.
fn accepted(service: &Service) -> Result<Option<(Request, &str)>, String> {
    let Some(request) = request(&service.labels).map_err(|error| error.to_string())? else { return Ok(None) };
    if let Some(network) = service.networks.iter().find(|network| network.attachable) {
        return Ok(Some((request, &network.name)));
    }
    let names: Vec<&str> = service.networks.iter().map(|network| network.name.as_str()).collect();
    Err(match names.as_slice() {
        [] => "it is on no overlay network, so the edge cannot reach it; put it on an attachable one".to_owned(),
        names => format!(
            "the edge cannot join {}: make it with `docker network create --driver overlay --attachable` (in a stack: `attachable: true`)",
            names.join(", ")
        ),
    })
}

/// A time of the Engine API in a form that sorts: fractions of seconds have as many digits as they need there.
fn age(service: &Service) -> (String, String) {
    let text = service.created_at.trim_end_matches('Z');
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    (seconds.to_owned(), format!("{fraction:0<9}"))
}

fn slots(tasks: u32) -> u32 {
    let needed = tasks.saturating_add(tasks / 2).saturating_add(SPARE_TASKS).max(LEAST_TASKS);
    needed.min(MOST_TASKS).next_power_of_two()
}

#[cfg(test)]
mod tests;
