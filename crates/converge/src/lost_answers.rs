//! Creations and deletions of which nobody knows whether they happened: what is there is observed before anything is done again.
//!
//! An answer that was lost looks like a failure, and a client's next attempt is told that the thing exists already.

use std::time::Duration;

use futuswarm_retry::Policy;

use crate::compare::{differences, refuse_immutable};
use crate::{Answer, CallError as _, Context, Error, Resource};

/// How often one resource is created in a run while the answers are lost.
const CREATIONS: usize = 3;
/// How often one resource is deleted in a run while the answers are lost.
const DELETIONS: usize = 3;
/// What was made is visible everywhere within seconds, as a rule. Something that exists already and is not ours is reported after
/// this, too.
const VISIBLE: Policy = Policy {
    first: Duration::from_millis(250),
    cap: Duration::from_secs(3),
    total: Duration::from_secs(15),
    attempt: Duration::from_secs(60),
};

/// Makes a resource; where the service may have made it without saying so, it is taken as it is and finished. Returns its id.
///
/// # Errors
/// When the service refuses, or has something of that name that is not ours.
pub(crate) async fn create<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
) -> Result<String, Error<C::Error>> {
    let mut creations = 1;
    loop {
        let failed = match resource.create(clients, context).await {
            Ok(id) => return Ok(id),
            Err(failed) => failed,
        };
        let answer = failed.answer().unwrap_or_default();
        if !answer.exists && !answer.is_in_doubt {
            return Err(Error::Call(failed));
        }
        tracing::warn!(component = resource.component(), reason = %failed, "may have been made: observing it again");
        if let Some(observed) = observe_soon(resource, clients, context).await {
            return finish(resource, clients, context, &observed, failed).await;
        }
        if answer.exists || creations == CREATIONS {
            return Err(Error::Call(failed));
        }
        creations += 1;
    }
}

/// Deletes a resource; where the service may have deleted it, or a part of it, without saying so, the rest is deleted as it is.
///
/// # Errors
/// When the service refuses.
pub(crate) async fn delete<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
    observed: &R::Observed,
) -> Result<(), C::Error> {
    let mut outcome = resource.delete(clients, context, observed).await;
    let (mut before, mut deletions) = (resource.current(context, observed), 1);
    loop {
        let Err(failed) = outcome else { return Ok(()) };
        let Some(Answer { is_gone, is_in_doubt, .. }) = failed.answer() else { return Err(failed) };
        tracing::warn!(component = resource.component(), reason = %failed, "may have been deleted: observing it again");
        let (context, others) = (context.afresh(), context.clients_afresh(clients));
        let left = match resource.observe(&others, &context).await {
            Ok(Some(left)) => left,
            Ok(None) => return Ok(()),
            Err(_) if is_gone => return Ok(()),
            Err(_) => return Err(failed),
        };
        let now = resource.current(&context, &left);
        // What is gone may be visible for a moment more.
        if now == before && is_gone {
            return Ok(());
        }
        if (now == before && !is_in_doubt) || deletions == DELETIONS {
            return Err(failed);
        }
        (before, deletions) = (now, deletions + 1);
        outcome = resource.delete(clients, &context, &left).await;
    }
}

/// What is there now, as soon as it is visible; that it cannot be asked for is the same as not to be there, because the failure of
/// the creation says more.
async fn observe_soon<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
) -> Option<R::Observed> {
    let start = tokio::time::Instant::now();
    let mut attempt = 0;
    loop {
        // Everything that was asked before is from before the creation.
        match resource.observe(&context.clients_afresh(clients), &context.afresh()).await {
            Ok(Some(observed)) => return Some(observed),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(component = resource.component(), %error, "cannot be observed");
                return None;
            }
        }
        let delay = VISIBLE.delay(attempt);
        attempt += 1;
        if start.elapsed() + delay > VISIBLE.total {
            return None;
        }
        tokio::time::sleep(delay).await;
    }
}

/// Does what the creation had not done yet. What is found by its name alone has our tags as well when it is ours, since they come
/// with it; where tags are not observed, the name is ours.
async fn finish<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
    observed: &R::Observed,
    failed: C::Error,
) -> Result<String, Error<C::Error>> {
    let (ledger, id, component) = (context.ledger(), resource.id(observed), resource.component());
    ledger.note_id(&component, &id);
    let differences = differences(resource, context, observed)?;
    if differences.tags() {
        ledger.forget_id(&component);
        return Err(Error::Call(failed));
    }
    refuse_immutable(resource, context, &differences)?;
    if differences.is_empty() {
        return Ok(id);
    }
    resource.update(clients, context, observed, &differences).await.map_err(Error::Call)?;
    // An update may give it another one.
    Ok(ledger.id(&component).unwrap_or(id))
}

#[cfg(test)]
mod tests;
