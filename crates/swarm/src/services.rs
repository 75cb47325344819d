//! Services of the Swarm.

use std::collections::HashMap;

use crate::{Error, NetworkApi};

mod difference;
mod spec;

pub use spec::{
    APP_LABEL, Capabilities, Environment, HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, ProgramCheck,
    RELEASE_LABEL, Resources, RestartPolicy, SecretFile, ServiceSpec, UpdatePolicy, ZONE_LABEL, release_of,
};

/// What the Swarm says of a service that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The Swarm's id, which tasks name.
    pub id: String,
    /// Counts the changes of the object; an update names the one that it is made from.
    pub version: u64,
    /// What it should be, as far as our words go. A manager may have added a digest to the image.
    pub spec: ServiceSpec,
    /// Options that somebody set and that our words do not have, by Swarm's names as in `TaskTemplate.ContainerSpec.User`.
    pub foreign: Vec<String>,
    /// Its last update; `None` before the first, and from the moment of a new one until a manager begins it.
    pub update: Option<UpdateStatus>,
    /// Labels that it had before its last update; `None` before the first, and after the Swarm has put one back.
    pub previous_labels: Option<HashMap<String, String>>,
    /// RFC 3339, in UTC.
    pub created_at: String,
    /// RFC 3339, in UTC.
    pub updated_at: String,
}

impl Service {
    /// How many tasks it should have; `None` for one on every node.
    #[must_use]
    pub fn replicas(&self) -> Option<u64> {
        match self.spec.mode {
            Mode::Replicated(tasks) | Mode::ReplicatedJob { completions: tasks, .. } => Some(tasks),
            Mode::Global | Mode::GlobalJob => None,
        }
    }

    /// The release that its label names.
    #[must_use]
    pub fn release(&self) -> Option<u64> {
        release_of(&self.spec.labels)
    }

    /// The release that it had before its last update.
    #[must_use]
    pub fn previous_release(&self) -> Option<u64> {
        self.previous_labels.as_ref().and_then(release_of)
    }
}

/// The last update of a service. Swarm keeps it until the next one, so it may be an old one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateStatus {
    /// How far it is.
    pub state: UpdateState,
    /// In Swarm's words, with the task that a failure is due to.
    pub message: String,
    /// RFC 3339, in UTC; empty where the Swarm does not say.
    pub started_at: String,
    /// RFC 3339, in UTC; empty before.
    pub completed_at: String,
}

/// How far an update is, in Swarm's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateState {
    /// `updating`: it replaces tasks, or watches the last that it has replaced.
    Updating,
    /// `paused`: it stopped, and nobody goes on with it.
    Paused,
    /// `completed`: every task was replaced, and has lasted.
    Completed,
    /// `rollback_started`: the spec before it counts again, and tasks are being replaced.
    RollbackStarted,
    /// `rollback_paused`: putting it back has failed, too.
    RollbackPaused,
    /// `rollback_completed`: every task is of the spec before it again.
    RollbackCompleted,
}

/// `docker service`. Managers only.
pub trait ServiceApi: NetworkApi {
    /// All services.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_services(&self) -> impl Future<Output = Result<Vec<Service>, Error>> + Send;

    /// One service by its name or id, or `None` when there is none.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn inspect_service(&self, name: &str) -> impl Future<Output = Result<Option<Service>, Error>> + Send;

    /// Creates a service. Returns its id.
    ///
    /// # Errors
    /// When there is one of that name ([`Error::is_conflict`]), or the managers refuse.
    fn create_service(&self, spec: &ServiceSpec) -> impl Future<Output = Result<String, Error>> + Send;

    /// Gives the service of this name that is at `version` another spec.
    ///
    /// # Errors
    /// When somebody else changed it in the meantime ([`Error::is_conflict`]): read it again.
    fn update_service(&self, version: u64, spec: &ServiceSpec) -> impl Future<Output = Result<(), Error>> + Send;

    /// Puts the spec before the last update back, if the service is still at `version`.
    ///
    /// # Errors
    /// When somebody else changed it in the meantime ([`Error::is_conflict`]), or there is nothing to go back to.
    fn rollback_service(&self, name: &str, version: u64) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a service and its tasks; no error when there is none. Tasks go on to stop after that for as long as their grace.
    ///
    /// # Errors
    /// When the managers refuse.
    fn remove_service(&self, name: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Creates or updates a service; `true` when something changed.
    ///
    /// # Errors
    /// As [`ServiceApi::update_service`].
    fn ensure_service(&self, desired: &ServiceSpec) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            match self.inspect_service(&desired.name).await? {
                None => self.create_service(desired).await.map(|_| true),
                Some(current) if desired.differs_from(&current) => {
                    self.update_service(current.version, desired).await.map(|()| true)
                }
                Some(_) => Ok(false),
            }
        }
    }
}
