//! What edges have of a release, in the words of `paas::rollout`: the routes that the Swarm's leader has published, and which of the nodes
//! say in their heartbeats that they serve them.

use std::collections::BTreeSet;

use futuswarm_edge::{Network, Published, Routes, Service};
use futuswarm_model::{FRESH, NodeRecord, Release, ServedRoutes, keys};
use futuswarm_paas::rollout::{self, Edges, Observation};

use super::observe::Memory;
use crate::client::milliseconds;
use crate::desired::{self, Content};
use crate::{Control, Platform};

/// Between two looks, in milliseconds. Each reads the heartbeats of all nodes, which follow within seconds.
const POLL_INTERVAL: u64 = 1_000;

/// Looks what edges have, if that decides on anything now. That it cannot be found out is no reason to fail anything.
pub(super) async fn look<P: Platform>(
    control: &Control<P>,
    release: &Release,
    content: &Content,
    observed: &mut Observation,
    memory: &mut Memory,
) {
    if !rollout::awaits_edges(release, observed) {
        return;
    }
    let now = observed.now;
    if let Some((at, edges)) = &memory.edges
        && now.saturating_sub(*at) < POLL_INTERVAL
    {
        observed.edges = edges.clone();
        return;
    }
    observed.edges = match found(control, release, content, &mut memory.documents, now).await {
        Ok(edges) => edges,
        Err(error) => Edges::Unknown { reason: error.to_string() },
    };
    memory.edges = Some((now, observed.edges.clone()));
}

/// `documents` are the ETags of all documents that said what the release asks for: one that was written since, for another app, is no
/// reason to wait for edges once more.
async fn found<P: Platform>(
    control: &Control<P>,
    release: &Release,
    content: &Content,
    documents: &mut BTreeSet<String>,
    now: u64,
) -> Result<Edges, futuswarm_store::Error> {
    let Some(service) = service(release, content) else { return Ok(Edges::NotAsked) };
    let store = control.records.store();
    // The leader publishes from its first minute on: without a document there is nobody who would tell edges anything.
    let Some(document) = store.peek::<Routes>(keys::ROUTES).await? else { return Ok(Edges::NotAsked) };
    match document.value.published(&service) {
        Published::NotAsked => return Ok(Edges::NotAsked),
        Published::NotYet { refused } => return Ok(Edges::Unpublished { refused }),
        Published::AsAsked => {}
    }
    documents.insert(document.etag);
    let has_it = |routes: &ServedRoutes| documents.contains(&routes.etag) && !routes.without.contains(&release.app);
    let is_behind = |record: &NodeRecord| {
        // Whoever is not complete gets no visitors, and whoever is silent is not there. Of one whose agent does not say what it has nobody
        // knows when it will.
        let gets_visitors = record.serves && now.saturating_sub(record.updated_at) <= milliseconds(FRESH);
        gets_visitors && record.routes.as_ref().is_some_and(|routes| !has_it(routes))
    };
    let records = futuswarm_store::node_records(store).await?;
    let behind = records.into_iter().filter(is_behind).map(|record| record.instance).collect();
    Ok(Edges::Published { behind })
}

/// The release's service as the leader will see it; `None` before its digest is known.
fn service(release: &Release, content: &Content) -> Option<Service> {
    let spec = desired::service(release, content)?;
    let network = Network { name: desired::network_name(&release.app), attachable: true };
    Some(Service {
        name: spec.name,
        created_at: String::new(),
        labels: spec.labels,
        networks: vec![network],
        tasks: release.settings.replicas,
    })
}
