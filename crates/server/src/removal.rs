//! The end of apps: what they have in the Swarm, in the registry and in the bucket goes, and then their name is free.
//!
//! A removal that breaks off is carried on by whichever manager finds it, or by whoever wants the name. What is removed from the Swarm is
//! named by its id, which was found while the name was held, so that a call which arrives late finds nothing of the next app of the name.

use futuswarm_model::app_name;
use futuswarm_rpc::message::Answer;
use futuswarm_swarm::{APP_LABEL, NetworkApi as _, NetworkScope, SecretApi as _, Service, ServiceApi as _};

use crate::clock::Clock as _;
use crate::records::Removal;
use crate::refusal::Refused;
use crate::registry::layout;
use crate::{Control, Error, Platform, desired, links, records};

/// Removes an app. From the first step on there is no such app for anybody.
pub(crate) async fn remove<P: Platform>(control: &Control<P>, app: &str) -> Result<Answer, Refused> {
    let removal = control.records.begin_removal(app, control.clock.unix_millis()).await.map_err(Error::from)?;
    match clear(control, removal).await {
        Ok(()) => Ok(Answer::Done(format!("{app} is removed, with its releases, config, secrets and images"))),
        Err(error) => {
            tracing::warn!(%error, app, "an app is not removed to the end");
            Err(Refused::unavailable(format!(
                "nobody can use {app} any more, and not all of it is gone yet: {error}; a manager goes on with it by itself within two minutes"
            )))
        }
    }
}

/// Goes on with a removal that somebody has left; `false` where there is none.
pub(crate) async fn carry_on<P: Platform>(control: &Control<P>, app: &str) -> Result<bool, Error> {
    let Some(removal) = control.records.take_removal(app, control.clock.unix_millis()).await? else { return Ok(false) };
    tracing::info!(app, "goes on with the removal of an app");
    clear(control, removal).await?;
    Ok(true)
}

/// Removes what an app has in the Swarm, in the registry and in the bucket, the record that says so last.
async fn clear<P: Platform>(control: &Control<P>, mut removal: Removal) -> Result<(), Error> {
    let (app, engine, records) = (removal.app().to_owned(), &control.engine, &control.records);
    let is_its = |service: &Service| {
        let name = &service.spec.name;
        *name == app || desired::job_of(name).is_some_and(|(of, _)| of == app)
    };
    let mut services = engine.list_services().await?;
    services.retain(is_its);
    let secrets = engine.list_secrets(APP_LABEL, &app).await?;
    records.hold_removal(&mut removal).await?;
    for service in services {
        engine.remove_service(&service.id).await?;
    }
    for secret in secrets {
        engine.remove_secret(&secret.id).await?;
    }
    // Layers that no repository names any more stay until they are collected.
    let images = records.store().list(&layout::repository(&app)).await.map_err(records::Error::from)?;
    records.delete_in_removal(&mut removal, &images).await?;
    links::part(control, removal.record()).await?;
    Ok(records.finish_removal(removal).await?)
}

/// Removes networks of apps that there are not any more. Tasks that are slow to end and edges that have not let go yet keep a network
/// for some time after its app, so this is done again and again.
pub(crate) async fn sweep<P: Platform>(control: &Control<P>) -> Result<(), Error> {
    let networks = control.engine.list_networks(NetworkScope::Swarm, Some(desired::NETWORK)).await?;
    let apps = control.records.apps().await?;
    for network in networks {
        let app = network.name.strip_prefix(desired::NETWORK).filter(|app| app_name(app).is_ok());
        let Some(app) = app.filter(|app| !apps.contains_key(*app)) else { continue };
        // The index may be behind. An app that begins just now makes another network when it finds this one gone.
        if control.records.app_or_rest(app).await?.is_some() {
            continue;
        }
        match control.engine.remove_network(&network.id).await {
            Ok(()) => tracing::info!(app, "the network of a removed app is gone, too"),
            Err(error) if error.is_in_use() => tracing::debug!(%error, app, "the network of a removed app goes later"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
