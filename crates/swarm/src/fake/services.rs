//! `docker service` of an engine in memory.

use tokio::time::Instant;

use super::state::FakeService;
use super::swarm::FakeCluster;
use super::{FakeEngine, clock, refused};
use crate::{Error, Service, ServiceApi, ServiceSpec, TaskState, UpdateState, UpdateStatus};

impl FakeCluster {
    /// What managers check of a spec.
    fn check(&self, operation: &'static str, spec: &ServiceSpec) -> Result<(), Error> {
        let invalid =
            |reason: String| Err(refused(operation, 400, format!("rpc error: code = InvalidArgument desc = {reason}")));
        if let Some(one) = spec.networks.iter().find(|one| !self.networks.contains_key(&one.network)) {
            return Err(refused(operation, 404, format!("network {} not found", one.network)));
        }
        if let Some(file) = spec
            .secrets
            .iter()
            .find(|file| self.secrets.get(&file.id).is_none_or(|secret| secret.told.name != file.name))
        {
            return invalid(format!("secret not found: {}", file.name));
        }
        if spec.mode.is_job() && (spec.update.is_some() || spec.rollback.is_some()) {
            return invalid("update options are not supported for jobs".to_owned());
        }
        Ok(())
    }

    /// The service of this name or id that is still at a version.
    fn at(&mut self, operation: &'static str, name: &str, version: u64) -> Result<&mut FakeService, Error> {
        let named = self.services.iter().find(|(known, service)| *known == name || service.id == name);
        let Some(key) = named.map(|(known, _)| known.clone()) else {
            return Err(refused(operation, 404, format!("service {name} not found")));
        };
        match self.services.get_mut(&key) {
            Some(service) if service.version == version => Ok(service),
            _ => Err(refused(operation, 500, "rpc error: code = Unknown desc = update out of sequence")),
        }
    }
}

impl ServiceApi for FakeEngine {
    async fn list_services(&self) -> Result<Vec<Service>, Error> {
        let mut world = self.world("service ls")?;
        let began = world.began;
        let cluster = world.controlled(&self.hostname, "service ls")?;
        Ok(cluster.services.values().map(|service| service.told(began)).collect())
    }

    async fn inspect_service(&self, name: &str) -> Result<Option<Service>, Error> {
        let mut world = self.world("service inspect")?;
        let began = world.began;
        let services = &world.controlled(&self.hostname, "service inspect")?.services;
        let found = services.get(name).or_else(|| services.values().find(|service| service.id == name));
        Ok(found.map(|service| service.told(began)))
    }

    async fn create_service(&self, spec: &ServiceSpec) -> Result<String, Error> {
        let mut world = self.world("service create")?;
        let id = world.new_id("service-");
        let cluster = world.controlled(&self.hostname, "service create")?;
        if cluster.services.contains_key(&spec.name) {
            let message = format!(
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service {} already exists",
                spec.name
            );
            return Err(refused("service create", 409, message));
        }
        cluster.check("service create", spec)?;
        let (version, now) = (cluster.next_version(), Instant::now());
        let (spec, created, updated) = (spec.clone(), now, now);
        let service =
            FakeService { id: id.clone(), version, spec, previous: None, status: None, update: None, created, updated };
        cluster.services.insert(service.spec.name.clone(), service);
        world.settle();
        Ok(id)
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec) -> Result<(), Error> {
        let operation = "service update";
        let mut world = self.world(operation)?;
        let cluster = world.controlled(&self.hostname, operation)?;
        cluster.check(operation, spec)?;
        let next = cluster.next_version();
        let service = cluster.at(operation, &spec.name, version)?;
        service.previous = Some(std::mem::replace(&mut service.spec, spec.clone()));
        (service.version, service.status, service.update) = (next, None, None);
        service.updated = Instant::now();
        world.settle();
        Ok(())
    }

    async fn rollback_service(&self, name: &str, version: u64) -> Result<(), Error> {
        let operation = "service rollback";
        let mut world = self.world(operation)?;
        let began = world.began;
        let cluster = world.controlled(&self.hostname, operation)?;
        let next = cluster.next_version();
        let service = cluster.at(operation, name, version)?;
        let Some(previous) = service.previous.take() else {
            let message =
                format!("rpc error: code = FailedPrecondition desc = service {name} does not have a previous spec");
            return Err(refused(operation, 400, message));
        };
        service.previous = Some(std::mem::replace(&mut service.spec, previous));
        (service.version, service.update, service.updated) = (next, None, Instant::now());
        service.status = Some(UpdateStatus {
            state: UpdateState::RollbackStarted,
            message: "manually requested rollback".to_owned(),
            started_at: clock::text(began, Instant::now()),
            completed_at: String::new(),
        });
        world.settle();
        Ok(())
    }

    async fn remove_service(&self, name: &str) -> Result<(), Error> {
        let mut world = self.world("service rm")?;
        let cluster = world.controlled(&self.hostname, "service rm")?;
        let named = cluster.services.iter().find(|(known, service)| *known == name || service.id == name);
        let Some(key) = named.map(|(known, _)| known.clone()) else { return Ok(()) };
        if let Some(service) = cluster.services.remove(&key) {
            let tasks = cluster.tasks.values_mut().filter(|task| task.service == service.id);
            tasks.for_each(|task| task.desired = TaskState::Remove);
        }
        world.settle();
        Ok(())
    }
}
