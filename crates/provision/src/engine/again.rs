//! Creations and deletions of which nobody knows whether they happened: what is there is looked at before anything is done again.
//!
//! An answer that was lost looks like a failure, and the SDK's next attempt is told that the thing exists already. Calls that AWS
//! would happily make twice are not sent again by the SDK (`futuswarm_aws::NotTwice`).

use std::time::Duration;

use futuswarm_retry::Policy;

use super::{Resource, refuse_fixed};
use crate::Cloud;
use crate::error::Error;
use crate::plan::Changed;

/// How often one resource is created in a run while the answers are lost.
const CREATIONS: usize = 3;
/// How often one resource is deleted in a run while the answers are lost.
const DELETIONS: usize = 3;
/// What was made is seen by every endpoint of AWS within seconds, as a rule. Something that is there already and is not ours is told
/// about after this, too.
const SEEN: Policy = Policy {
    first: Duration::from_millis(250),
    cap: Duration::from_secs(3),
    total: Duration::from_secs(15),
    attempt: Duration::from_secs(60),
};

/// Makes a resource; where AWS may have made it without saying so, it is taken as it was found and finished. Returns its id.
///
/// # Errors
/// When AWS refuses, or has something of that name that is not ours.
pub(super) async fn create<R: Resource>(resource: &R, cloud: &Cloud) -> Result<String, Error> {
    let mut creations = 1;
    loop {
        let failed = match resource.create(cloud).await {
            Ok(id) => return Ok(id),
            Err(failed) => failed,
        };
        let Error::Aws(answer) = &failed else { return Err(failed) };
        if !answer.is_already_there() && !answer.is_in_doubt() {
            return Err(failed);
        }
        tracing::warn!(part = resource.part(), reason = %failed, "may have been made: looking again");
        if let Some(found) = look(resource, cloud).await {
            return finish(resource, cloud, &found, failed).await;
        }
        if answer.is_already_there() || creations == CREATIONS {
            return Err(failed);
        }
        creations += 1;
    }
}

/// Deletes a resource; where AWS may have deleted it, or a part of it, without saying so, the rest is deleted as it is found.
///
/// # Errors
/// When AWS refuses.
pub(super) async fn delete<R: Resource>(resource: &R, cloud: &Cloud, found: &R::Found) -> Result<(), Error> {
    let mut outcome = resource.delete(cloud, found).await;
    let (mut seen, mut deletions) = (resource.current(cloud, found), 1);
    loop {
        let failed = match outcome {
            Err(failed @ Error::Aws(_)) => failed,
            outcome => return outcome,
        };
        let (gone, in_doubt) = (failed.is_not_found(), matches!(&failed, Error::Aws(answer) if answer.is_in_doubt()));
        tracing::warn!(part = resource.part(), reason = %failed, "may have been deleted: looking again");
        let cloud = cloud.afresh();
        let left = match resource.observe(&cloud).await {
            Ok(Some(left)) => left,
            Ok(None) => return Ok(()),
            Err(_) if gone => return Ok(()),
            Err(_) => return Err(failed),
        };
        let now = resource.current(&cloud, &left);
        // What is gone may be seen for a moment more.
        if now == seen && gone {
            return Ok(());
        }
        if (now == seen && !in_doubt) || deletions == DELETIONS {
            return Err(failed);
        }
        (seen, deletions) = (now, deletions + 1);
        outcome = resource.delete(&cloud, &left).await;
    }
}

/// What is there now, as soon as it is seen; that it cannot be asked for is the same as not to see it, because the failure of the
/// creation says more.
async fn look<R: Resource>(resource: &R, cloud: &Cloud) -> Option<R::Found> {
    let start = tokio::time::Instant::now();
    let mut attempt = 0;
    loop {
        // Everything that was asked before is from before the creation.
        match resource.observe(&cloud.afresh()).await {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(part = resource.part(), %error, "cannot look");
                return None;
            }
        }
        let delay = SEEN.delay(attempt);
        attempt += 1;
        if start.elapsed() + delay > SEEN.total {
            return None;
        }
        tokio::time::sleep(delay).await;
    }
}

/// Does what the creation had not done yet. What is found by its name alone has our tags as well when it is ours, since they come
/// with it; where tags are not seen, the name has the cluster in it.
async fn finish<R: Resource>(resource: &R, cloud: &Cloud, found: &R::Found, failed: Error) -> Result<String, Error> {
    let id = resource.id(found);
    cloud.note_id(resource.part(), id.clone());
    let differences = resource.wanted(cloud)?.differences(&resource.current(cloud, found));
    if Changed(&differences).tags() {
        cloud.forget_id(&resource.part());
        return Err(failed);
    }
    refuse_fixed(resource, cloud, &differences)?;
    if differences.is_empty() {
        return Ok(id);
    }
    resource.update(cloud, found, Changed(&differences)).await?;
    // An update may give it another one.
    Ok(cloud.id(&resource.part()).unwrap_or(id))
}

#[cfg(test)]
mod tests;
