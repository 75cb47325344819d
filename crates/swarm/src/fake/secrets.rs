//! `docker secret` of an engine in memory.

use std::collections::HashMap;
use std::fmt;

use tokio::time::Instant;

use super::{FakeEngine, clock, refused};
use crate::{Error, SecretApi, SwarmSecret};

/// The most that managers take, in bytes.
const LARGEST: usize = 500 << 10;

pub(super) struct FakeSecret {
    pub(super) told: SwarmSecret,
    pub(super) content: Vec<u8>,
}

impl fmt::Debug for FakeSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told.fmt(formatter)
    }
}

impl SecretApi for FakeEngine {
    async fn list_secrets(&self, label: &str, value: &str) -> Result<Vec<SwarmSecret>, Error> {
        let mut world = self.world("secret ls")?;
        let secrets = world.controlled(&self.hostname, "secret ls")?.secrets.values();
        let has = |secret: &&SwarmSecret| secret.labels.get(label).is_some_and(|its| its == value);
        Ok(secrets.map(|secret| &secret.told).filter(has).cloned().collect())
    }

    async fn create_secret(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        content: &[u8],
    ) -> Result<String, Error> {
        let operation = "secret create";
        let mut world = self.world(operation)?;
        let (id, created_at) = (world.new_id("secret-"), clock::text(world.began, Instant::now()));
        let cluster = world.controlled(&self.hostname, operation)?;
        if content.is_empty() || content.len() > LARGEST {
            let message =
                "rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes";
            return Err(refused(operation, 400, message));
        }
        if cluster.secrets.values().any(|secret| secret.told.name == name) {
            let message = format!("rpc error: code = AlreadyExists desc = secret {name} already exists");
            return Err(refused(operation, 409, message));
        }
        let told = SwarmSecret { id: id.clone(), name: name.to_owned(), labels: labels.clone(), created_at };
        cluster.secrets.insert(id.clone(), FakeSecret { told, content: content.to_vec() });
        Ok(id)
    }

    async fn remove_secret(&self, id: &str) -> Result<(), Error> {
        let mut world = self.world("secret rm")?;
        let cluster = world.controlled(&self.hostname, "secret rm")?;
        let Some(secret) = cluster.secrets.get(id) else { return Ok(()) };
        let named = |spec: &crate::ServiceSpec| spec.secrets.iter().any(|file| file.id == id);
        if let Some(service) = cluster.services.values().find(|service| named(&service.spec)) {
            let (secret, service) = (&secret.told.name, &service.spec.name);
            let message = format!(
                "rpc error: code = InvalidArgument desc = secret '{secret}' is in use by the following service: {service}"
            );
            return Err(refused("secret rm", 400, message));
        }
        cluster.secrets.remove(id);
        Ok(())
    }
}
