//! Secrets of the Swarm: kept by its managers, and given as files to the tasks that name them.

use std::collections::HashMap;

use crate::Error;

/// What the Swarm says of a secret. It never tells the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmSecret {
    /// The Swarm's id of it.
    pub id: String,
    /// Unique in the Swarm.
    pub name: String,
    /// Among them whose it is.
    pub labels: HashMap<String, String>,
    /// RFC 3339, in UTC.
    pub created_at: String,
}

/// `docker secret`. Managers only.
pub trait SecretApi: Send + Sync {
    /// Secrets that have a label of this name and value.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_secrets(&self, label: &str, value: &str) -> impl Future<Output = Result<Vec<SwarmSecret>, Error>> + Send;

    /// Makes a secret of at most 500 KiB, which never changes. Returns its id.
    ///
    /// # Errors
    /// When there is one of that name ([`Error::is_conflict`]), or the managers refuse, for example because it is too large.
    fn create_secret(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        content: &[u8],
    ) -> impl Future<Output = Result<String, Error>> + Send;

    /// Removes a secret by its id; no error when there is none.
    ///
    /// # Errors
    /// When a service names it ([`Error::is_in_use`]).
    fn remove_secret(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send;
}
