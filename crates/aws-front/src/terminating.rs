//! Instances that their groups terminate, and the lifecycle hooks for which they wait. Shared by the front, which lets them wait, and
//! the metadata service, which tells them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An instance in `Terminating:Wait`.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The Auto Scaling group that it has left.
    pub group: String,
    /// Availability zone.
    pub zone: String,
    /// Instance type.
    pub kind: String,
    /// Hook → when its time is over.
    pub hooks: BTreeMap<String, Pending>,
}

/// A hook that is not completed.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// How long each heartbeat prolongs it.
    pub heartbeat: Duration,
    /// When its time is over.
    pub until: Instant,
    /// However often a heartbeat comes.
    pub at_most: Instant,
}

/// Instances that wait for their hooks: id → what for.
#[derive(Clone, Default)]
pub struct TerminatingInstances(Arc<Mutex<BTreeMap<String, Waiting>>>);

impl TerminatingInstances {
    /// All of them, locked.
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an instance is about to be terminated.
    pub fn contains(&self, instance: &str) -> bool {
        self.all().contains_key(instance)
    }

    /// Removes an instance that is gone.
    pub fn remove(&self, instance: &str) {
        self.all().remove(instance);
    }
}
