//! `docker service` on the engine.

use bollard::models::{
    self, EndpointSpec, EndpointSpecModeEnum, Limit, NetworkAttachmentConfig, ServiceSpecMode,
    ServiceSpecModeReplicated, ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum,
    ServiceSpecRollbackConfigOrderEnum, ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum,
    ServiceSpecUpdateConfigOrderEnum, TaskSpec, TaskSpecContainerSpec, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};
use bollard::query_parameters::{ListServicesOptions, UpdateServiceOptionsBuilder};

use super::DockerEngine;
use crate::{Error, Service, ServiceApi, ServiceSpec};

const SECOND_NANOS: i64 = 1_000_000_000;

impl ServiceApi for DockerEngine {
    async fn list_services(&self) -> Result<Vec<Service>, Error> {
        let services = self.docker().await?.list_services(None::<ListServicesOptions>).await;
        let services = services.map_err(|error| Error::call("service ls", error))?;
        Ok(services.into_iter().filter_map(service).collect())
    }

    async fn inspect_service(&self, name: &str) -> Result<Option<Service>, Error> {
        let inspected = self.docker().await?.inspect_service(name, None).await;
        match inspected.map_err(|error| Error::call("service inspect", error)) {
            Ok(inspected) => {
                let incomplete = Error::Incomplete { operation: "service inspect", field: "Spec or Version" };
                service(inspected).ok_or(incomplete).map(Some)
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_service(&self, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        let created = self.docker().await?.create_service(body(spec, network_id), None).await;
        created.map_err(|error| Error::call("service create", error))?;
        Ok(())
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        let unusable = |_| Error::Incomplete { operation: "service inspect", field: "usable Version" };
        let version = i32::try_from(version).map_err(unusable)?;
        let options = UpdateServiceOptionsBuilder::default().version(version).build();
        let updated = self.docker().await?.update_service(&spec.name, body(spec, network_id), options, None).await;
        updated.map_err(|error| Error::call("service update", error))?;
        Ok(())
    }
}

/// `None` for one that lacks a name or a version.
fn service(service: models::Service) -> Option<Service> {
    let spec = service.spec?;
    let replicated = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref());
    // The engine leaves it out when it is one.
    let replicas = replicated.map(|mode| mode.replicas.and_then(|tasks| u64::try_from(tasks).ok()).unwrap_or(1));
    let template = spec.task_template.unwrap_or_default();
    let container = template.container_spec.unwrap_or_default();
    let networks = template.networks.unwrap_or_default();
    Some(Service {
        name: spec.name?,
        version: service.version.and_then(|version| version.index)?,
        image: container.image.unwrap_or_default(),
        environment: container.env.unwrap_or_default(),
        labels: spec.labels.unwrap_or_default(),
        networks: networks.into_iter().filter_map(|network| network.target).collect(),
        created_at: service.created_at.unwrap_or_default(),
        replicas,
    })
}

fn body(spec: &ServiceSpec, network_id: &str) -> models::ServiceSpec {
    models::ServiceSpec {
        name: Some(spec.name.clone()),
        labels: Some(spec.labels.clone()),
        task_template: Some(TaskSpec {
            container_spec: Some(TaskSpecContainerSpec {
                image: Some(spec.image.clone()),
                env: Some(spec.environment.clone()),
                read_only: Some(true),
                init: Some(false),
                capability_drop: Some(vec!["ALL".to_owned()]),
                ..TaskSpecContainerSpec::default()
            }),
            resources: Some(TaskSpecResources {
                limits: Some(Limit { memory_bytes: Some(spec.memory_bytes), ..Limit::default() }),
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
            replicated: Some(ServiceSpecModeReplicated { replicas: i64::try_from(spec.replicas).ok() }),
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
        ..models::ServiceSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn desired() -> ServiceSpec {
        ServiceSpec {
            name: "mainpage".to_owned(),
            image: "futuswarm/mainpage:1".to_owned(),
            environment: vec!["DOMAIN=apps.example.com".to_owned()],
            labels: HashMap::from([("com.df.port".to_owned(), "8080".to_owned())]),
            replicas: 2,
            network: "futuswarm-core".to_owned(),
            memory_bytes: 64 << 20,
        }
    }

    /// The service as the engine tells it after it was created with this body.
    fn created(spec: models::ServiceSpec) -> Service {
        let version = Some(models::ObjectVersion { index: Some(7) });
        service(models::Service { spec: Some(spec), version, ..models::Service::default() }).unwrap()
    }

    #[test]
    fn a_service_just_created_does_not_differ() {
        let desired = desired();
        assert!(!desired.differs_from(&created(body(&desired, "net"))));
        let mut pinned = body(&desired, "net");
        let container = pinned.task_template.as_mut().unwrap().container_spec.as_mut().unwrap();
        container.image = Some("futuswarm/mainpage:1@sha256:abcd".to_owned());
        assert!(!desired.differs_from(&created(pinned)), "the digest that a manager adds is not a difference");
    }

    #[test]
    fn every_field_that_may_change_is_compared() {
        let current = created(body(&desired(), "net"));
        let changes: [fn(&mut ServiceSpec); 4] = [
            |service| service.image = "futuswarm/mainpage:2".to_owned(),
            |service| service.replicas = 3,
            |service| service.environment.clear(),
            |service| drop(service.labels.insert("com.df.servicePath".to_owned(), "/".to_owned())),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut desired = desired();
            change(&mut desired);
            assert!(desired.differs_from(&current), "change {index}");
        }
    }
}
