//! `docker service` of an engine in memory. Services have no tasks: what is kept is what managers say of them.

use super::{FakeEngine, refused};
use crate::{Error, Service, ServiceApi, ServiceSpec};

impl ServiceApi for FakeEngine {
    async fn list_services(&self) -> Result<Vec<Service>, Error> {
        let mut world = self.world("service ls")?;
        Ok(world.controlled(&self.hostname, "service ls")?.services.values().cloned().collect())
    }

    async fn inspect_service(&self, name: &str) -> Result<Option<Service>, Error> {
        let mut world = self.world("service inspect")?;
        Ok(world.controlled(&self.hostname, "service inspect")?.services.get(name).cloned())
    }

    async fn create_service(&self, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        let mut world = self.world("service create")?;
        let cluster = world.controlled(&self.hostname, "service create")?;
        if cluster.services.contains_key(&spec.name) {
            let message = format!(
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service {} already exists",
                spec.name
            );
            return Err(refused("service create", 409, message));
        }
        let service = service(cluster.next_version(), spec, network_id);
        cluster.services.insert(spec.name.clone(), service);
        Ok(())
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec, network_id: &str) -> Result<(), Error> {
        let mut world = self.world("service update")?;
        let cluster = world.controlled(&self.hostname, "service update")?;
        let next = cluster.next_version();
        let Some(current) = cluster.services.get_mut(&spec.name) else {
            return Err(refused("service update", 404, format!("service {} not found", spec.name)));
        };
        if current.version != version {
            return Err(refused("service update", 500, "rpc error: code = Unknown desc = update out of sequence"));
        }
        *current = service(next, spec, network_id);
        Ok(())
    }
}

fn service(version: u64, spec: &ServiceSpec, network_id: &str) -> Service {
    Service {
        name: spec.name.clone(),
        version,
        image: spec.image.clone(),
        environment: spec.environment.clone(),
        labels: spec.labels.clone(),
        networks: vec![network_id.to_owned()],
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        replicas: Some(spec.replicas),
    }
}
