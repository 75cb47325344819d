//! Services and the networks they live on.

use std::collections::HashMap;

use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, Limit, NetworkAttachmentConfig, NetworkCreateRequest, ServiceSpec,
    ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum,
    ServiceSpecRollbackConfigOrderEnum, ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum,
    ServiceSpecUpdateConfigOrderEnum, TaskSpec, TaskSpecContainerSpec, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};
use bollard::query_parameters::{ListNetworksOptionsBuilder, ListServicesOptions, UpdateServiceOptionsBuilder};

use crate::{Engine, Error};

const SECOND_NANOS: i64 = 1_000_000_000;

/// A service as it should be. Only what the core services need so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedService {
    /// Its name.
    pub name: String,
    /// The image, present on every node.
    pub image: String,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Labels, among them `com.df.*` for the edge.
    pub labels: HashMap<String, String>,
    /// Number of tasks.
    pub replicas: i64,
    /// The overlay network it is on.
    pub network: String,
    /// Memory limit of a task, in bytes.
    pub memory_bytes: i64,
}

/// A service as it is.
#[derive(Debug, Clone)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Ids of the networks it is on, in its own order.
    pub networks: Vec<String>,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// How many tasks it should have; `None` for one on every node.
    pub tasks: Option<u64>,
}

/// An overlay network as it is.
#[derive(Debug, Clone)]
pub struct OverlayView {
    /// Its name.
    pub name: String,
    /// Whether a container that is no task may join it.
    pub attachable: bool,
}

impl WantedService {
    fn spec(&self, network_id: &str) -> ServiceSpec {
        ServiceSpec {
            name: Some(self.name.clone()),
            labels: Some(self.labels.clone()),
            task_template: Some(TaskSpec {
                container_spec: Some(TaskSpecContainerSpec {
                    image: Some(self.image.clone()),
                    env: Some(self.environment.clone()),
                    read_only: Some(true),
                    init: Some(false),
                    capability_drop: Some(vec!["ALL".to_owned()]),
                    ..TaskSpecContainerSpec::default()
                }),
                resources: Some(TaskSpecResources {
                    limits: Some(Limit { memory_bytes: Some(self.memory_bytes), ..Limit::default() }),
                    ..TaskSpecResources::default()
                }),
                // No limit on attempts: a service that gave up must not need a person to come back.
                restart_policy: Some(TaskSpecRestartPolicy {
                    condition: Some(TaskSpecRestartPolicyConditionEnum::ANY),
                    delay: Some(2 * SECOND_NANOS),
                    ..TaskSpecRestartPolicy::default()
                }),
                networks: Some(vec![NetworkAttachmentConfig {
                    target: Some(network_id.to_owned()),
                    ..NetworkAttachmentConfig::default()
                }]),
                ..TaskSpec::default()
            }),
            mode: Some(ServiceSpecMode {
                replicated: Some(ServiceSpecModeReplicated { replicas: Some(self.replicas) }),
                ..ServiceSpecMode::default()
            }),
            update_config: Some(ServiceSpecUpdateConfig {
                parallelism: Some(1),
                failure_action: Some(ServiceSpecUpdateConfigFailureActionEnum::ROLLBACK),
                order: Some(ServiceSpecUpdateConfigOrderEnum::START_FIRST),
                ..ServiceSpecUpdateConfig::default()
            }),
            rollback_config: Some(ServiceSpecRollbackConfig {
                parallelism: Some(1),
                failure_action: Some(ServiceSpecRollbackConfigFailureActionEnum::CONTINUE),
                order: Some(ServiceSpecRollbackConfigOrderEnum::START_FIRST),
                ..ServiceSpecRollbackConfig::default()
            }),
            // Tasks are found by name; no VIP means no IPVS idle timeout and no leaked addresses.
            endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ports: None }),
            ..ServiceSpec::default()
        }
    }

    fn differs_from(&self, current: &ServiceSpec) -> bool {
        let template = current.task_template.as_ref();
        let container = template.and_then(|template| template.container_spec.as_ref());
        // A manager may have added a digest to the image's name.
        let image = container.and_then(|container| container.image.as_deref()).unwrap_or_default();
        let image = image.split_once('@').map_or(image, |(name, _)| name);
        let replicas = current.mode.as_ref().and_then(|mode| mode.replicated.as_ref()?.replicas);
        image != self.image
            || current.labels.as_ref() != Some(&self.labels)
            || container.and_then(|container| container.env.clone()).unwrap_or_default() != self.environment
            || replicas != Some(self.replicas)
    }
}

impl Engine {
    /// All services. Managers only.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    pub async fn services(&self) -> Result<Vec<ServiceView>, Error> {
        let services = self.docker.list_services(None::<ListServicesOptions>).await;
        let services = services.map_err(|error| Error::call("service ls", error))?;
        Ok(services
            .into_iter()
            .filter_map(|service| {
                let spec = service.spec?;
                let replicated = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref());
                // The engine leaves it out when it is one.
                let tasks =
                    replicated.map(|mode| mode.replicas.and_then(|tasks| u64::try_from(tasks).ok()).unwrap_or(1));
                let networks = spec.task_template.and_then(|template| template.networks).unwrap_or_default();
                Some(ServiceView {
                    name: spec.name?,
                    labels: spec.labels.unwrap_or_default(),
                    networks: networks.into_iter().filter_map(|network| network.target).collect(),
                    created_at: service.created_at.unwrap_or_default(),
                    tasks,
                })
            })
            .collect())
    }

    /// Creates or updates a service; `true` when something changed.
    ///
    /// # Errors
    /// When the managers refuse, or somebody else changed it in the meantime ([`Error::is_conflict`]): look again.
    pub async fn ensure_service(&self, wanted: &WantedService) -> Result<bool, Error> {
        let network_id = self.ensure_overlay(&wanted.network).await?;
        let spec = wanted.spec(&network_id);
        let current = match self.docker.inspect_service(&wanted.name, None).await {
            Ok(current) => current,
            Err(error) => {
                let error = Error::call("service inspect", error);
                if !error.is_not_found() {
                    return Err(error);
                }
                let created = self.docker.create_service(spec, None).await;
                created.map_err(|error| Error::call("service create", error))?;
                return Ok(true);
            }
        };
        let incomplete = |field| Error::Incomplete { operation: "service inspect", field };
        if !wanted.differs_from(&current.spec.ok_or_else(|| incomplete("Spec"))?) {
            return Ok(false);
        }
        let version = current.version.and_then(|version| version.index).ok_or_else(|| incomplete("Version"))?;
        let version = i32::try_from(version).map_err(|_| incomplete("usable Version"))?;
        let options = UpdateServiceOptionsBuilder::default().version(version).build();
        let updated = self.docker.update_service(&wanted.name, spec, options, None).await;
        updated.map_err(|error| Error::call("service update", error))?;
        Ok(true)
    }

    /// The id of an attachable overlay network, created if there is none.
    ///
    /// # Errors
    /// When the managers refuse.
    pub async fn ensure_overlay(&self, name: &str) -> Result<String, Error> {
        if let Some(id) = self.network_id(name, "swarm").await? {
            return Ok(id);
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("overlay".to_owned()),
            // The edge is a plain container, which may join only attachable networks.
            attachable: Some(true),
            ..NetworkCreateRequest::default()
        };
        let created = self.docker.create_network(request).await;
        Ok(created.map_err(|error| Error::call("network create", error))?.id)
    }
}

impl Engine {
    /// All overlay networks of the Swarm by id.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn overlays(&self) -> Result<HashMap<String, OverlayView>, Error> {
        let filters = HashMap::from([("scope", vec!["swarm"])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await;
        let networks = networks.map_err(|error| Error::call("network ls", error))?;
        let view = |network: bollard::models::Network| {
            let attachable = network.attachable.unwrap_or(false);
            Some((network.id?, OverlayView { name: network.name?, attachable }))
        };
        Ok(networks.into_iter().filter_map(view).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> WantedService {
        WantedService {
            name: "mainpage".to_owned(),
            image: "futuswarm/mainpage:1".to_owned(),
            environment: vec!["DOMAIN=apps.example.com".to_owned()],
            labels: HashMap::from([("com.df.port".to_owned(), "8080".to_owned())]),
            replicas: 2,
            network: "futuswarm-core".to_owned(),
            memory_bytes: 64 << 20,
        }
    }

    #[test]
    fn a_service_just_created_does_not_differ() {
        let wanted = wanted();
        assert!(!wanted.differs_from(&wanted.spec("net")));
        let mut pinned = wanted.spec("net");
        let container = pinned.task_template.as_mut().unwrap().container_spec.as_mut().unwrap();
        container.image = Some("futuswarm/mainpage:1@sha256:abcd".to_owned());
        assert!(!wanted.differs_from(&pinned), "the digest that a manager adds is not a difference");
    }

    #[test]
    fn every_field_that_may_change_is_seen() {
        let current = wanted().spec("net");
        let changes: [fn(&mut WantedService); 4] = [
            |service| service.image = "futuswarm/mainpage:2".to_owned(),
            |service| service.replicas = 3,
            |service| service.environment.clear(),
            |service| drop(service.labels.insert("com.df.servicePath".to_owned(), "/".to_owned())),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut wanted = wanted();
            change(&mut wanted);
            assert!(wanted.differs_from(&current), "change {index}");
        }
    }
}
