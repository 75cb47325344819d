//! What all edges serve: the leader decides it from the Swarm's services and publishes it in the bucket, together with what is not
//! served and why, which `status` shows.

use std::collections::HashMap;

use futuswarm_edge::{Network, Refusal, Routes, Service};
use futuswarm_model::keys;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{NetworkScope, ServiceApi};

use crate::{Error, core_services};

/// Publishes the routes when they changed, and says once of each service why it is not served.
pub(crate) async fn publish<B: Bucket>(
    engine: &impl ServiceApi,
    store: &Store<B>,
    domain: &str,
    nodes: usize,
) -> Result<(), Error> {
    let overlays = engine.list_networks(NetworkScope::Swarm, None).await?;
    let overlays = overlays.into_iter().map(|network| (network.id.clone(), network)).collect();
    let services = engine.list_services().await?;
    let services: Vec<Service> = services.into_iter().map(|service| facts(service, &overlays, nodes)).collect();
    let last = match store.get::<Routes>(keys::ROUTES).await {
        Ok(last) => last.map(|last| last.value),
        // Written by another version: nobody can serve it, so it is written again.
        Err(futuswarm_store::Error::Malformed { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let routes = futuswarm_edge::decide(&services, &core_services::reserved(domain), &last.clone().unwrap_or_default());
    if last.as_ref() == Some(&routes) {
        return Ok(());
    }
    for Refusal { service, reason } in news(&routes, last.as_ref()) {
        tracing::warn!(service, reason, "not served");
    }
    store.put(keys::ROUTES, &routes).await?;
    tracing::info!(routes = routes.routes.len(), not_served = routes.refused.len(), "published the routes");
    Ok(())
}

/// Refusals that no leader has logged yet: the document remembers them.
fn news<'a>(routes: &'a Routes, last: Option<&Routes>) -> Vec<&'a Refusal> {
    let published = last.map(|last| last.refused.as_slice()).unwrap_or_default();
    routes.refused.iter().filter(|refusal| !published.contains(refusal)).collect()
}

/// A network that is not in the list is none that the edge could reach the service on: the ingress network, or one of the host.
fn facts(
    service: futuswarm_swarm::Service,
    overlays: &HashMap<String, futuswarm_swarm::Network>,
    nodes: usize,
) -> Service {
    let networks = service.spec.networks.iter().filter_map(|one| overlays.get(&one.network));
    Service {
        networks: networks.map(|one| Network { name: one.name.clone(), attachable: one.attachable }).collect(),
        tasks: service
            .replicas()
            .and_then(|tasks| u32::try_from(tasks).ok())
            .or(u32::try_from(nodes).ok())
            .unwrap_or(u32::MAX),
        name: service.spec.name,
        created_at: service.created_at,
        labels: service.spec.labels,
    }
}

#[cfg(test)]
mod tests {
    use futuswarm_swarm::{Mode, NetworkAttachment, ServiceSpec};

    use super::*;

    #[test]
    fn a_reason_is_said_once() {
        let refusal = |service: &str, reason: &str| Refusal { service: service.to_owned(), reason: reason.to_owned() };
        let routes = |refused: Vec<Refusal>| Routes { routes: Vec::new(), refused };
        let first = routes(vec![refusal("a", "x")]);
        assert_eq!(news(&first, None), [&refusal("a", "x")]);
        assert!(news(&first, Some(&first)).is_empty());
        let second = routes(vec![refusal("a", "x"), refusal("b", "x")]);
        assert_eq!(news(&second, Some(&first)), [&refusal("b", "x")]);
        assert_eq!(news(&routes(vec![refusal("a", "y")]), Some(&first)), [&refusal("a", "y")], "another reason");
    }

    #[test]
    fn what_the_engine_says_becomes_facts() {
        let service = futuswarm_swarm::Service {
            id: "s1".to_owned(),
            version: 1,
            spec: ServiceSpec {
                networks: ["ingress-id", "n1"].map(NetworkAttachment::new).to_vec(),
                mode: Mode::Global,
                ..ServiceSpec::new("blog", "blog:1")
            },
            foreign: Vec::new(),
            update: None,
            previous_labels: None,
            created_at: "2026-11-27T05:00:00Z".to_owned(),
            updated_at: "2026-11-27T05:00:00Z".to_owned(),
        };
        let overlays = futuswarm_swarm::Network {
            id: "n1".to_owned(),
            name: "net".to_owned(),
            attachable: true,
            labels: HashMap::new(),
            subnets: Vec::new(),
        };
        let overlays = HashMap::from([("n1".to_owned(), overlays)]);
        let service = facts(service, &overlays, 5);
        assert_eq!(service.networks, [Network { name: "net".to_owned(), attachable: true }]);
        assert_eq!(service.tasks, 5, "one on every node");
    }
}
