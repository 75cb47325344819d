//! What must not be left behind when a run fails or is interrupted: unfinished snapshots and smoke boots.

use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::error::aws;
use crate::place::Place;

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A snapshot that no image uses yet.
    Snapshot(String),
    /// An instance that was started to see whether an image boots.
    Instance(String),
}

/// What there is to clear away right now.
#[derive(Debug, Default)]
pub struct Debris(Mutex<Vec<(Place, Thing)>>);

impl Debris {
    /// From here on the thing goes when the run does not come to its good end.
    pub fn add(&self, place: &Place, thing: Thing) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((place.clone(), thing));
    }

    /// The thing is good, or gone.
    pub fn keep(&self, thing: &Thing) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, known)| known != thing);
    }

    /// Clears everything away; returns what was cleared, and what could not be.
    pub async fn clear(&self) -> (Vec<String>, Vec<String>) {
        let things = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut cleared, mut left) = (Vec::new(), Vec::new());
        for (place, thing) in things {
            let (id, outcome) = match &thing {
                Thing::Snapshot(id) => (id, delete_snapshot(&place, id).await),
                Thing::Instance(id) => (id, terminate(&place, id).await),
            };
            match outcome {
                Ok(()) => cleared.push(id.clone()),
                Err(error) => left.push(format!("{id}: {error}")),
            }
        }
        (cleared, left)
    }
}

/// Deletes a snapshot; that it is gone already is as good.
///
/// # Errors
/// When EC2 refuses.
pub async fn delete_snapshot(place: &Place, id: &str) -> Result<()> {
    let deleted = place.ec2.delete_snapshot().snapshot_id(id).send().await;
    match deleted.map_err(aws(&place.region, "DeleteSnapshot")) {
        Err(error) if !error.is(&["InvalidSnapshot.NotFound"]) => Err(error),
        _ => Ok(()),
    }
}

/// Terminates an instance; that it is gone already is as good.
///
/// # Errors
/// When EC2 refuses.
pub async fn terminate(place: &Place, id: &str) -> Result<()> {
    let ended = place.ec2.terminate_instances().instance_ids(id).send().await;
    match ended.map_err(aws(&place.region, "TerminateInstances")) {
        Err(error) if !error.is(&["InvalidInstanceID.NotFound"]) => Err(error),
        _ => Ok(()),
    }
}
