//! `docker network` on the engine.

use std::collections::HashMap;

use bollard::models::{NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::DockerEngine;
use crate::{Error, Network, NetworkApi, NetworkDriver, NetworkScope};

impl NetworkApi for DockerEngine {
    async fn list_networks(&self, scope: NetworkScope, name: Option<&str>) -> Result<Vec<Network>, Error> {
        let scope = match scope {
            NetworkScope::Local => "local",
            NetworkScope::Swarm => "swarm",
        };
        let mut filters = HashMap::from([("scope", vec![scope])]);
        filters.extend(name.map(|name| ("name", vec![name])));
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = self.docker().await?.list_networks(Some(options)).await;
        let networks = networks.map_err(|error| Error::call("network ls", error))?;
        let network = |network: bollard::models::Network| {
            let attachable = network.attachable.unwrap_or(false);
            Some(Network { id: network.id?, name: network.name?, attachable })
        };
        Ok(networks.into_iter().filter_map(network).collect())
    }

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        let inspected = self.docker().await?.inspect_network(name, None::<InspectNetworkOptions>).await;
        match inspected.map_err(|error| Error::call("network inspect", error)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create_network(&self, name: &str, driver: NetworkDriver) -> Result<String, Error> {
        let (driver, attachable) = match driver {
            NetworkDriver::Bridge => ("bridge", None),
            NetworkDriver::Overlay => ("overlay", Some(true)),
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some(driver.to_owned()),
            attachable,
            ..NetworkCreateRequest::default()
        };
        let created = self.docker().await?.create_network(request).await;
        Ok(created.map_err(|error| Error::call("network create", error))?.id)
    }

    async fn connect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        let connected = self.docker().await?.connect_network(network, request).await;
        connected.map_err(|error| Error::call("network connect", error))
    }

    async fn disconnect_network(&self, network: &str, container: &str) -> Result<(), Error> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        let disconnected = self.docker().await?.disconnect_network(network, request).await;
        match disconnected.map_err(|error| Error::call("network disconnect", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use futuswarm_testkit::answers::{Answer, on_socket};

    use super::*;

    #[tokio::test]
    async fn an_overlay_is_looked_for_by_its_name_and_only_the_very_same_counts() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listed = r#"[{"Id":"1","Name":"core-2","Attachable":true},{"Id":"2","Name":"core","Attachable":true}]"#;
        let told = on_socket(&socket, vec![Answer::json(200, listed)]);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        assert_eq!(engine.ensure_overlay("core").await.unwrap(), "2");
        let asked = told.recv().unwrap();
        let query = asked.split(' ').nth(1).unwrap();
        assert!(query.contains("%22name%22%3A%5B%22core%22%5D") && query.contains("%22scope%22"), "{query}");
    }
}
