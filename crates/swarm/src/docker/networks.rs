//! `docker network` on the engine.

use std::collections::HashMap;

use bollard::models::{NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::{DockerEngine, raw};
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
            let labels = network.labels.unwrap_or_default();
            let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            let subnets =
                pools.into_iter().filter_map(|pool| pool.subnet.filter(|subnet| !subnet.is_empty())).collect();
            Some(Network { id: network.id?, name: network.name?, attachable, labels, subnets })
        };
        Ok(networks.into_iter().filter_map(network).collect())
    }

    async fn network_peers(&self, id: &str) -> Result<Option<Vec<String>>, Error> {
        let told = self.get_json("network inspect", &format!("/networks/{}", raw::encode(id))).await?;
        let peers = told["Peers"].as_array().map(|peers| {
            let addresses = peers.iter().filter_map(|peer| peer["IP"].as_str()).map(str::to_owned);
            addresses.collect::<Vec<_>>()
        });
        Ok(peers.filter(|peers| !peers.is_empty()))
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
        self.create(name, driver, &HashMap::new()).await
    }

    async fn create_overlay(&self, name: &str, labels: &HashMap<String, String>) -> Result<String, Error> {
        self.create(name, NetworkDriver::Overlay, labels).await
    }

    async fn remove_network(&self, id: &str) -> Result<(), Error> {
        let removed = self.docker().await?.remove_network(id).await;
        match removed.map_err(|error| Error::call("network rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
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

impl DockerEngine {
    async fn create(
        &self,
        name: &str,
        driver: NetworkDriver,
        labels: &HashMap<String, String>,
    ) -> Result<String, Error> {
        let (driver, attachable) = match driver {
            NetworkDriver::Bridge => ("bridge", None),
            NetworkDriver::Overlay => ("overlay", Some(true)),
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some(driver.to_owned()),
            attachable,
            labels: (!labels.is_empty()).then(|| labels.clone()),
            ..NetworkCreateRequest::default()
        };
        let created = self.docker().await?.create_network(request).await;
        Ok(created.map_err(|error| Error::call("network create", error))?.id)
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

    #[tokio::test]
    async fn one_that_is_gone_is_removed_and_one_in_use_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let gone = r#"{"message":"network n1 not found"}"#;
        let used = r#"{"message":"rpc error: code = FailedPrecondition desc = network n1 is in use by task t1"}"#;
        let attached = r#"{"message":"error while removing network: network app has active endpoints"}"#;
        let answers = vec![Answer::json(404, gone), Answer::json(400, used), Answer::json(403, attached)];
        let _told = on_socket(&socket, answers);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        engine.remove_network("n1").await.unwrap();
        for _ in 0..2 {
            assert!(engine.remove_network("n1").await.unwrap_err().is_in_use());
        }
    }
    #[tokio::test]
    async fn a_network_has_its_subnet_and_tells_its_peers_where_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listed = r#"[{"Id":"n1","Name":"app-hello","Attachable":true,"IPAM":{"Config":[{"Subnet":"10.128.3.0/24","Gateway":"10.128.3.1"}]}},
            {"Id":"n2","Name":"app-new","IPAM":{"Driver":"default","Config":null}}]"#;
        let used = r#"{"Id":"n1","Peers":[{"Name":"a1b2","IP":"10.42.0.4"},{"Name":"c3d4","IP":"10.42.1.9"}]}"#;
        let answers = vec![
            Answer::json(200, listed),
            Answer::json(200, used),
            Answer::json(200, r#"{"Id":"n2"}"#),
            Answer::json(404, r#"{"message":"network n3 not found"}"#),
        ];
        let _told = on_socket(&socket, answers);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        let networks = engine.list_networks(NetworkScope::Swarm, None).await.unwrap();
        assert_eq!((networks[0].subnets.as_slice(), networks[1].subnets.len()), (&["10.128.3.0/24".to_owned()][..], 0));
        assert_eq!(engine.network_peers("n1").await.unwrap().unwrap(), ["10.42.0.4", "10.42.1.9"]);
        assert_eq!(engine.network_peers("n2").await.unwrap(), None);
        assert!(engine.network_peers("n3").await.unwrap_err().is_not_found());
    }
}
