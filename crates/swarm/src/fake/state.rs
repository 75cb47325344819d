//! What managers keep of a service and of its update.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::clock;
use super::tasks::FakeTask;
use crate::{Service, ServiceSpec, UpdatePolicy, UpdateStatus};

#[derive(Debug)]
pub(super) struct FakeService {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) spec: ServiceSpec,
    pub(super) previous: Option<ServiceSpec>,
    pub(super) status: Option<UpdateStatus>,
    pub(super) update: Option<Update>,
    pub(super) created: Instant,
    pub(super) updated: Instant,
}

impl FakeService {
    pub(super) fn told(&self, began: Instant) -> Service {
        Service {
            id: self.id.clone(),
            version: self.version,
            spec: self.spec.clone(),
            foreign: Vec::new(),
            update: self.status.clone(),
            previous_labels: self.previous.as_ref().map(|spec| spec.labels.clone()),
            created_at: clock::text(began, self.created),
            updated_at: clock::text(began, self.updated),
        }
    }
}

/// An update on its way.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) policy: UpdatePolicy,
    pub(super) rolls_back: bool,
    /// The new task of each place that is being updated.
    pub(super) going: BTreeMap<Place, String>,
    /// New tasks so far.
    pub(super) made: BTreeSet<String>,
    /// When all that were replaced have lasted.
    pub(super) lasted: Option<Instant>,
}

/// Where a task of a service is to be: in a slot, or on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) slot: u64,
    pub(super) node: Option<String>,
}

impl Place {
    pub(super) fn of(task: &FakeTask) -> Self {
        Self { slot: task.slot, node: if task.slot == 0 { task.node.clone() } else { None } }
    }
}
