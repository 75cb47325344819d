//! The networks that linked apps share: which an app should be on, which it is on, and how they come and go.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use futuswarm_model::{AppIndex, AppRecord};
use futuswarm_paas::links;
use futuswarm_swarm::{Network, NetworkApi, NetworkScope, ServiceApi as _};

use super::pair::{LABEL, Life, PREFIX, Pair};
use crate::{Control, Error, Platform, records};

/// The pairs on whose networks an app should be. Where the record of the other app cannot be read, it is left where it is: its own
/// releases must not wait for somebody to mend another app.
pub(super) async fn wanted<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<BTreeSet<Pair>, Error> {
    let app = &record.name;
    let mut asked = Vec::new();
    for other in record.links.keys() {
        asked.push(control.records.app(other));
    }
    let (mut pairs, mut unknown) = (BTreeSet::new(), Vec::new());
    for (other, answer) in record.links.keys().zip(join_all(asked).await) {
        match answer {
            Ok(Some(partner)) if links::are_linked(record, &partner) => {
                pairs.insert(Pair::of(record, &partner));
            }
            Ok(_) => {}
            Err(error @ records::Error::Unreadable { .. }) => {
                tracing::warn!(%error, app, other, "a link stays as it is");
                unknown.push(other);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !unknown.is_empty() {
        let mut attached = attached(control, app).await?.unwrap_or_default();
        attached.retain(|pair| unknown.iter().any(|other| pair.is_of(app, other)));
        pairs.append(&mut attached);
    }
    Ok(pairs)
}

/// Ids of the networks that an app should be on beside its own, in the order of the pairs, each made unless it is there.
pub(super) async fn ensured<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for pair in wanted(control, record).await? {
        ids.push(ensure(&control.engine, &pair).await?);
    }
    Ok(ids)
}

async fn ensure(engine: &impl NetworkApi, pair: &Pair) -> Result<String, futuswarm_swarm::Error> {
    let name = pair.network();
    if let Some(id) = find(engine, &name).await? {
        return Ok(id);
    }
    let labels = HashMap::from([(LABEL.to_owned(), pair.label())]);
    match engine.create_overlay(&name, &labels).await {
        // Made meanwhile, for the other app, or by us, and the answer was lost.
        Err(error) if error.is_conflict() => find(engine, &name).await?.ok_or(error),
        made => made,
    }
}

async fn find(engine: &impl NetworkApi, name: &str) -> Result<Option<String>, futuswarm_swarm::Error> {
    let networks = engine.list_networks(NetworkScope::Swarm, Some(name)).await?;
    Ok(networks.into_iter().find(|network| network.name == name).map(|network| network.id))
}

/// All networks of linked apps that there are.
async fn all(engine: &impl NetworkApi) -> Result<Vec<(Pair, Network)>, Error> {
    let networks = engine.list_networks(NetworkScope::Swarm, Some(PREFIX)).await?;
    let ours = |network: Network| Some((Pair::of_network(&network.name, &network.labels)?, network));
    Ok(networks.into_iter().filter_map(ours).collect())
}

/// The pairs on whose networks an app's service is by its specification; `None` where it has no service.
pub(super) async fn attached<P: Platform>(control: &Control<P>, app: &str) -> Result<Option<BTreeSet<Pair>>, Error> {
    let engine = &control.engine;
    let Some(service) = engine.inspect_service(app).await? else { return Ok(None) };
    let known = engine.list_networks(NetworkScope::Swarm, None).await?;
    let known: HashMap<&str, &Network> = known.iter().map(|network| (network.id.as_str(), network)).collect();
    let mut pairs = BTreeSet::new();
    for attachment in &service.spec.networks {
        // An engine leaves out what its managers do not tell, without an error. To take that for no network would end a search for it.
        let missing = futuswarm_swarm::Error::Incomplete { operation: "network ls", field: "a network of the service" };
        let network = known.get(attachment.network.as_str()).ok_or(missing)?;
        pairs.extend(Pair::of_network(&network.name, &network.labels));
    }
    Ok(Some(pairs))
}

/// Removes networks of apps that are not linked any more, once nobody is on them. An app that still is, because the Swarm has put an
/// earlier specification back, is asked to leave.
pub(crate) async fn sweep<P: Platform>(control: &Arc<Control<P>>) -> Result<(), Error> {
    let networks = all(&control.engine).await?;
    if networks.is_empty() {
        return Ok(());
    }
    let index = control.records.apps().await?;
    for (pair, network) in networks {
        // The index may be behind, in either way: what it says is kept is looked at again later, and what it says goes is made sure of.
        if is_shared_by(&index, &pair) {
            continue;
        }
        // One that cannot be looked at holds up none of the others.
        if let Err(error) = sweep_one(control, &network, &pair).await {
            tracing::warn!(%error, pair = pair.label(), "a network of linked apps is looked at again later");
        }
    }
    Ok(())
}

async fn sweep_one<P: Platform>(control: &Arc<Control<P>>, network: &Network, pair: &Pair) -> Result<(), Error> {
    if is_shared(control, pair).await? {
        return Ok(());
    }
    let mut used = false;
    for life in [&pair.0, &pair.1] {
        let service = control.engine.inspect_service(&life.app).await?;
        if service.is_some_and(|service| service.spec.networks.iter().any(|one| one.network == network.id)) {
            used = true;
            ask_to_leave(control, &life.app).await?;
        }
    }
    if used {
        return Ok(());
    }
    match control.engine.remove_network(&network.id).await {
        Ok(()) => tracing::info!(pair = pair.label(), "the network of apps that are not linked any more is gone"),
        // Tasks that are slow to end, and programs that somebody runs, hold it for a while.
        Err(error) if error.is_in_use() => tracing::debug!(%error, pair = pair.label(), "a network goes later"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Whether two apps are linked by the index, in the lives that a network was made for.
fn is_shared_by(index: &AppIndex, pair: &Pair) -> bool {
    let row = |life: &Life| index.get(&life.app).filter(|row| row.created_at == life.created_at);
    let (Some(first), Some(second)) = (row(&pair.0), row(&pair.1)) else { return false };
    links::rows_are_linked((pair.0.app.as_str(), first), (pair.1.app.as_str(), second))
}

/// Whether two apps are linked by their records, in the lives that a network was made for.
async fn is_shared<P: Platform>(control: &Control<P>, pair: &Pair) -> Result<bool, Error> {
    let Pair(one, other) = pair;
    let records = (control.records.app(&one.app).await?, control.records.app(&other.app).await?);
    let (Some(first), Some(second)) = records else { return Ok(false) };
    let lives = first.created_at == one.created_at && second.created_at == other.created_at;
    Ok(lives && links::are_linked(&first, &second))
}

async fn ask_to_leave<P: Platform>(control: &Arc<Control<P>>, app: &str) -> Result<(), Error> {
    let asked = control.records.change_app(app, |record: &mut AppRecord| {
        if !record.is_pending() {
            record.ask_to_reattach("the platform, after the end of a link", &[]);
        }
        Ok::<_, Error>(())
    });
    match asked.await {
        Ok(()) => crate::rollout::drive(control, app),
        // Its service goes with it.
        Err(Error::Records(records::Error::NoApp(_))) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
