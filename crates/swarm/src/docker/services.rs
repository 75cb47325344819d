//! `docker service` on the engine.

use bollard::query_parameters::UpdateServiceOptionsBuilder;
use serde_json::Value;

use super::{DockerEngine, raw};
use crate::{Error, Service, ServiceApi, ServiceSpec};

pub(super) mod body;
mod parse;
#[cfg(test)]
mod tests;

use body::body;

// Services are read as plain JSON: bollard's model has no `PreviousSpec`, and what it does not know would not be noticed.
impl ServiceApi for DockerEngine {
    async fn list_services(&self) -> Result<Vec<Service>, Error> {
        let listed = self.get_json("service ls", "/services").await?;
        Ok(listed.as_array().map(|list| list.iter().filter_map(parse::service).collect()).unwrap_or_default())
    }

    async fn inspect_service(&self, name: &str) -> Result<Option<Service>, Error> {
        let operation = "service inspect";
        match self.get_json(operation, &format!("/services/{}", raw::encode(name))).await {
            Ok(told) => {
                let incomplete = Error::Incomplete { operation, field: "Spec or Version" };
                let service = parse::service(&told).ok_or(incomplete)?;
                // The engine also takes the beginning of an id for a name (moby, `daemon/cluster/helpers.go`, `getService`), and an
                // app may be called like the beginning of another one's id.
                Ok(Some(service).filter(|service| service.spec.name == name || service.id == name))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_service(&self, spec: &ServiceSpec) -> Result<String, Error> {
        let created = self.docker().await?.create_service(body(spec), None).await;
        let created = created.map_err(|error| Error::call("service create", error))?;
        created.id.ok_or(Error::Incomplete { operation: "service create", field: "ID" })
    }

    async fn update_service(&self, version: u64, spec: &ServiceSpec) -> Result<(), Error> {
        let options = UpdateServiceOptionsBuilder::default().version(usable(version)?).build();
        let updated = self.docker().await?.update_service(&spec.name, body(spec), options, None).await;
        updated.map_err(|error| Error::call("service update", error))?;
        Ok(())
    }

    async fn rollback_service(&self, name: &str, version: u64) -> Result<(), Error> {
        let operation = "service rollback";
        // A manager checks the spec that comes with it and then does not use it.
        let told = self.get_json(operation, &format!("/services/{}", raw::encode(name))).await?;
        let incomplete = Error::Incomplete { operation, field: "Spec" };
        let spec = serde_json::from_value(told.get("Spec").cloned().unwrap_or(Value::Null)).map_err(|_| incomplete)?;
        let options = UpdateServiceOptionsBuilder::default().version(usable(version)?).rollback("previous").build();
        let updated = self.docker().await?.update_service(name, spec, options, None).await;
        updated.map_err(|error| Error::call(operation, error))?;
        Ok(())
    }

    async fn remove_service(&self, name: &str) -> Result<(), Error> {
        // By its whole id: a name could be the beginning of another one's.
        let Some(service) = self.inspect_service(name).await? else { return Ok(()) };
        let removed = self.docker().await?.delete_service(&service.id).await;
        match removed.map_err(|error| Error::call("service rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

/// bollard sends it as a shorter number than the Swarm counts in.
fn usable(version: u64) -> Result<i32, Error> {
    i32::try_from(version).map_err(|_| Error::Incomplete { operation: "service inspect", field: "usable Version" })
}
