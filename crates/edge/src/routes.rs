//! Who is served under which host and path: a decision over all services of the Swarm that no service can make for another.

mod asked;
mod decision;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::labels::{Request, request};
use crate::rules::Rules;
pub use asked::Published;
use decision::Decision;

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

/// One service behind the edge, or one destination of it. What was added since the first cluster is absent from older documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The service's name.
    pub service: String,
    /// The number of the destination, from 1; 0 is the only one of a service that numbers none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub destination: u8,
    /// What it is reached under, sorted.
    pub prefixes: Vec<Prefix>,
    /// Paths below those that it does not get, under whichever host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub excluded: Vec<String>,
    /// Hosts that lead to one of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub redirects: Option<Redirects>,
    /// The port that its tasks listen on.
    pub port: u16,
    /// The overlay network on which the edge reaches its tasks.
    pub network: String,
    /// How many tasks an edge knows at most.
    pub slots: u32,
    /// What is done with its requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rules: Rules,
}

impl Route {
    /// Unique among all routes. No service has a dot in its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self.destination {
            0 => self.service.clone(),
            number => format!("{}.{number}", self.service),
        }
    }
}

/// Most services ask for nothing of all this, and every edge reads the document every few seconds.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Hosts that only lead to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirects {
    /// Host names, lower case, sorted.
    pub from: Vec<String>,
    /// A host that the route is reached under.
    pub to: String,
}

/// A host and the beginning of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// Host name, lower case; `*.` before it is every name one label below.
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
    /// Sorted by service and destination.
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
    let mut decision = Decision::new(reserved);
    let mut services: Vec<&Service> = services.iter().collect();
    services.sort_by_key(|service| (age(service), service.name.clone()));
    for service in services {
        match accepted(service) {
            Ok(Some((request, network))) => {
                request.destinations.into_iter().for_each(|one| decision.claim(service, network, one));
            }
            Ok(None) => {}
            Err(reason) => decision.refuse(&service.name, reason),
        }
    }
    decision.routes(last)
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
