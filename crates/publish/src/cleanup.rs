//! The resources that must not be left behind when a run fails or is interrupted: unfinished snapshots and smoke boots.

use std::cell::Cell;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futuswarm_retry::{Failure, Policy, retry};

use crate::error::{Error, Result, aws_on, gave_up};
use crate::region::RegionClients;

/// What EC2 says of a snapshot that it does not know.
pub(crate) const NO_SNAPSHOT: &str = "InvalidSnapshot.NotFound";
/// What EC2 says of an instance that it does not know.
pub(crate) const NO_INSTANCE: &str = "InvalidInstanceID.NotFound";
/// What EC2 says of a snapshot that an image has.
pub(crate) const IN_USE: &str = "InvalidSnapshot.InUse";
/// How long EC2 may take until what was just made is known to all its endpoints.
const NOT_YET_KNOWN: Policy = Policy {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(8),
    total: Duration::from_secs(60),
    attempt: Duration::from_secs(60),
};

/// What a run has made and may have to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A snapshot that no image uses yet.
    Snapshot(String),
    /// An instance that was started to see whether an image boots.
    Instance(String),
}

impl Resource {
    fn id(&self) -> &str {
        let (Self::Snapshot(id) | Self::Instance(id)) = self;
        id
    }
}

/// The resources to delete if the run ends now.
#[derive(Debug, Default)]
pub struct CleanupList(Mutex<Vec<(RegionClients, Resource)>>);

/// What has become of the resources of a [`CleanupList`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Ids of what is gone.
    pub gone: Vec<String>,
    /// Snapshots that an image has: the registration went well and only its answer was lost.
    pub kept: Vec<String>,
    /// Ids of what is still there, with the reason.
    pub left: Vec<String>,
}

impl CleanupList {
    /// From here on the resource goes when the run does not come to its good end.
    pub fn add(&self, clients: &RegionClients, resource: Resource) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((clients.clone(), resource));
    }

    /// The resource is good, or gone.
    pub fn keep(&self, resource: &Resource) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, known)| known != resource);
    }

    /// The ids of all resources on the list.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let resources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resources.iter().map(|(_, resource)| resource.id().to_owned()).collect()
    }

    /// Clears everything away. Each resource stays on the list until it is gone, so that somebody who loses patience can be told.
    pub async fn clear(&self) -> Cleared {
        let resources = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outcomes = join_all(resources.iter().map(|(clients, resource)| async move {
            let outcome = match resource {
                Resource::Snapshot(id) => delete_new_snapshot(clients, id).await,
                Resource::Instance(id) => terminate_new(clients, id).await,
            };
            if outcome.is_ok() {
                self.keep(resource);
            }
            (resource.id().to_owned(), outcome)
        }));
        let mut cleared = Cleared::default();
        for (id, outcome) in outcomes.await {
            match outcome {
                Ok(()) => cleared.gone.push(id),
                Err(error) if error.is(&[IN_USE]) => cleared.kept.push(id),
                Err(error) => cleared.left.push(format!("{id}: {error}")),
            }
        }
        cleared
    }
}

/// Deletes a snapshot that EC2 has shown; that it is gone already is as good.
///
/// # Errors
/// When EC2 refuses.
pub async fn delete_snapshot(clients: &RegionClients, id: &str) -> Result<()> {
    ignore_not_found(delete(clients, id).await, NO_SNAPSHOT)
}

/// Terminates an instance that EC2 has shown; that it is gone already is as good.
///
/// # Errors
/// When EC2 refuses.
pub async fn terminate(clients: &RegionClients, id: &str) -> Result<()> {
    ignore_not_found(end(clients, id).await, NO_INSTANCE)
}

/// Terminates an instance that may have been started a moment ago: that there is none is believed only when EC2 insists.
///
/// # Errors
/// When EC2 refuses.
pub async fn terminate_new(clients: &RegionClients, id: &str) -> Result<()> {
    insist(&clients.region, &format!("terminating {id}"), NO_INSTANCE, || end(clients, id)).await
}

/// Deletes a snapshot that may have been begun a moment ago: that there is none is believed only when EC2 insists.
async fn delete_new_snapshot(clients: &RegionClients, id: &str) -> Result<()> {
    insist(&clients.region, &format!("deleting {id}"), NO_SNAPSHOT, || delete(clients, id)).await
}

async fn delete(clients: &RegionClients, id: &str) -> Result<()> {
    let deleted = clients.ec2.delete_snapshot().snapshot_id(id).send().await;
    deleted.map(|_| ()).map_err(aws_on(&clients.region, "DeleteSnapshot", id))
}

async fn end(clients: &RegionClients, id: &str) -> Result<()> {
    let ended = clients.ec2.terminate_instances().instance_ids(id).send().await;
    ended.map(|_| ()).map_err(aws_on(&clients.region, "TerminateInstances", id))
}

fn ignore_not_found(outcome: Result<()>, not_found: &str) -> Result<()> {
    match outcome {
        Err(error) if error.is(&[not_found]) => Ok(()),
        other => other,
    }
}

/// Makes a call until it goes well, fails for good, or has said for as long as it can take that there is no such resource.
async fn insist<F, Fut>(region: &str, what: &str, not_found: &str, mut call: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let missing = Cell::new(false);
    let outcome = retry(what, NOT_YET_KNOWN, || {
        let (call, missing) = (call(), &missing);
        async move {
            let outcome = call.await;
            missing.set(matches!(&outcome, Err(error) if error.is(&[not_found])));
            outcome.map_err(|error: Error| match missing.get() || error.passes() {
                true => Failure::Transient(error),
                false => Failure::Permanent(error),
            })
        }
    })
    .await;
    match outcome {
        Err(futuswarm_retry::Error::Exhausted { .. }) if missing.get() => Ok(()),
        other => other.map_err(gave_up(region, "delete it when AWS answers again")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::error::tests::answer;

    /// Insists on a call that answers with these codes, one after the other and the last for ever; returns how often it was made.
    async fn deletes(codes: &[Option<&str>]) -> (usize, Result<()>) {
        let calls = Cell::new(0);
        let outcome = insist("eu-west-1", "deleting snap-1", NO_SNAPSHOT, || {
            let code = codes[calls.get().min(codes.len() - 1)];
            calls.set(calls.get() + 1);
            async move { code.map_or(Ok(()), |code| Err(answer("DeleteSnapshot", "snap-1", Some(code), "no"))) }
        })
        .await;
        (calls.get(), outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_made_is_deleted_once_it_is_known() {
        let (calls, outcome) =
            deletes(&[Some(NO_SNAPSHOT), Some(NO_SNAPSHOT), Some("RequestLimitExceeded"), None]).await;
        outcome.unwrap();
        assert_eq!(calls, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_is_nothing_is_believed_in_the_end() {
        let started = Instant::now();
        let (calls, outcome) = deletes(&[Some(NO_SNAPSHOT)]).await;
        outcome.unwrap();
        assert!(calls > 5 && started.elapsed() > Duration::from_secs(40), "{calls} calls");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_it_at_once() {
        let (calls, outcome) = deletes(&[Some(NO_SNAPSHOT), Some(IN_USE)]).await;
        assert!(outcome.unwrap_err().is(&[IN_USE]));
        assert_eq!(calls, 2);
        let (_, outcome) = deletes(&[Some("RequestLimitExceeded")]).await;
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("gave up after") && message.contains("when AWS answers again"), "{message}");
    }
}
