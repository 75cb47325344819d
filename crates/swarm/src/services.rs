//! Services of the Swarm.

use std::collections::HashMap;

use crate::{Error, NetworkApi};

/// A service as it should be. Only what the core services need so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Unique in the Swarm.
    pub name: String,
    /// The image, present on every node.
    pub image: String,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Labels, among them `com.df.*` for the edge.
    pub labels: HashMap<String, String>,
    /// Number of tasks.
    pub replicas: u64,
    /// Name of the overlay network that its tasks are on.
    pub network: String,
    /// Memory limit of a task, in bytes.
    pub memory_bytes: i64,
}

/// What the Swarm says of a service that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique in the Swarm.
    pub name: String,
    /// Counts the changes of the object; an update names the one that it is made from.
    pub version: u64,
    /// The image, to which a manager may have added a digest.
    pub image: String,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Labels of the service, not of its tasks.
    pub labels: HashMap<String, String>,
    /// Ids of the networks it is on, in its own order.
    pub networks: Vec<String>,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// How many tasks it should have; `None` for one on every node.
    pub replicas: Option<u64>,
}

impl ServiceSpec {
    /// Whether an update is needed to make `current` what it should be.
    #[must_use]
    pub fn differs_from(&self, current: &Service) -> bool {
        let image = current.image.split_once('@').map_or(current.image.as_str(), |(name, _)| name);
        image != self.image
            || current.labels != self.labels
            || current.environment != self.environment
            || current.replicas != Some(self.replicas)
    }
}

/// `docker service`. Managers only.
pub trait ServiceApi: NetworkApi {
    /// All services.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_services(&self) -> impl Future<Output = Result<Vec<Service>, Error>> + Send;

    /// One service, or `None` when there is none of this name.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn inspect_service(&self, name: &str) -> impl Future<Output = Result<Option<Service>, Error>> + Send;

    /// Creates a service on the network with this id.
    ///
    /// # Errors
    /// When the managers refuse.
    fn create_service(&self, spec: &ServiceSpec, network_id: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Gives the service that is at `version` another spec.
    ///
    /// # Errors
    /// When somebody else changed it in the meantime ([`Error::is_conflict`]): read it again.
    fn update_service(
        &self,
        version: u64,
        spec: &ServiceSpec,
        network_id: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Creates or updates a service; `true` when something changed.
    ///
    /// # Errors
    /// As [`ServiceApi::update_service`].
    fn ensure_service(&self, desired: &ServiceSpec) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            let network_id = self.ensure_overlay(&desired.network).await?;
            match self.inspect_service(&desired.name).await? {
                None => self.create_service(desired, &network_id).await?,
                Some(current) if desired.differs_from(&current) => {
                    self.update_service(current.version, desired, &network_id).await?;
                }
                Some(_) => return Ok(false),
            }
            Ok(true)
        }
    }
}
