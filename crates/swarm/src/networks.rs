//! Networks: bridges of one node and overlays of the whole Swarm.

use std::collections::HashMap;

use crate::Error;

/// Where a network exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkScope {
    /// On one node.
    Local,
    /// On every node that needs it; managers keep it.
    Swarm,
}

/// What carries a network's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkDriver {
    /// A bridge on this node.
    Bridge,
    /// VXLAN between nodes. What we make is attachable: the edge is a plain container, which may join only such networks.
    Overlay,
}

/// What the engine says of a network that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The engine's id of it.
    pub id: String,
    /// The name, which is not unique by itself.
    pub name: String,
    /// Whether a container that is no task may join it.
    pub attachable: bool,
    /// Labels, which tell whose it is.
    pub labels: HashMap<String, String>,
    /// Where its addresses come from, as in `10.128.3.0/24`; empty where the engine does not say.
    pub subnets: Vec<String>,
}

/// `docker network`.
pub trait NetworkApi: Send + Sync {
    /// The networks of a scope; with a `name` only those whose name contains it, as Docker's filter does.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn list_networks(
        &self,
        scope: NetworkScope,
        name: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Network>, Error>> + Send;

    /// Addresses of the nodes that this one exchanges packets of an overlay with, itself among them; `None` when this node has no task
    /// or container on it, and so knows none.
    ///
    /// # Errors
    /// When the engine does not answer, or there is no such network ([`Error::is_not_found`]).
    fn network_peers(&self, id: &str) -> impl Future<Output = Result<Option<Vec<String>>, Error>> + Send;

    /// Whether this node knows a network of this name.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn network_exists(&self, name: &str) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Makes a network. Returns its id.
    ///
    /// # Errors
    /// When the engine, or for an overlay a manager, refuses.
    fn create_network(&self, name: &str, driver: NetworkDriver) -> impl Future<Output = Result<String, Error>> + Send;

    /// Makes an attachable overlay network with labels, for one app. Returns its id.
    ///
    /// # Errors
    /// When there is one of that name ([`Error::is_conflict`]), or a manager refuses.
    fn create_overlay(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
    ) -> impl Future<Output = Result<String, Error>> + Send;

    /// Removes a network by its id; no error when there is none.
    ///
    /// # Errors
    /// When a service, a task that has not gone yet, or a container is on it ([`Error::is_in_use`]).
    fn remove_network(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Attaches a running container to a network, by name or id. On a worker this asks the managers for the network.
    ///
    /// # Errors
    /// When the network does not exist or is not attachable.
    fn connect_network(&self, network: &str, container: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes a container off a network; no error when either is gone.
    ///
    /// # Errors
    /// When the engine refuses.
    fn disconnect_network(&self, network: &str, container: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes a bridge network on this node unless there is one.
    ///
    /// # Errors
    /// When the engine refuses.
    fn ensure_bridge(&self, name: &str) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            if !self.network_exists(name).await? {
                self.create_network(name, NetworkDriver::Bridge).await?;
            }
            Ok(())
        }
    }

    /// The id of an attachable overlay network, created if there is none.
    ///
    /// # Errors
    /// When the managers refuse.
    fn ensure_overlay(&self, name: &str) -> impl Future<Output = Result<String, Error>> + Send {
        async move {
            let networks = self.list_networks(NetworkScope::Swarm, Some(name)).await?;
            match networks.into_iter().find(|network| network.name == name) {
                Some(network) => Ok(network.id),
                None => self.create_network(name, NetworkDriver::Overlay).await,
            }
        }
    }
}
