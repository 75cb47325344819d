//! `docker service ps` on the engine.

use std::collections::HashMap;

use bollard::models;
use bollard::query_parameters::ListTasksOptionsBuilder;

use serde_json::Value;

use super::DockerEngine;
use crate::{Attachment, Error, Resources, Task, TaskApi, TaskState};

impl TaskApi for DockerEngine {
    async fn list_tasks(&self, service: Option<&str>) -> Result<Vec<Task>, Error> {
        let filters: HashMap<&str, Vec<&str>> = service.map(|service| ("service", vec![service])).into_iter().collect();
        let options = ListTasksOptionsBuilder::default().filters(&filters).build();
        match self.docker().await?.list_tasks(Some(options)).await.map_err(|error| Error::call("service ps", error)) {
            Ok(tasks) => Ok(tasks.into_iter().filter_map(task).collect()),
            // A service that is gone has no tasks.
            Err(error) if service.is_some() && error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn list_attachments(&self) -> Result<Vec<Attachment>, Error> {
        // bollard's model of a task has no place for its networks.
        let told = self.get_json("service ps", "/tasks").await?;
        Ok(told.as_array().into_iter().flatten().flat_map(attachments).collect())
    }
}

fn attachments(task: &Value) -> Vec<Attachment> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let Some(id) = text(&task["ID"]) else { return Vec::new() };
    let told = serde_json::from_value(task["Status"]["State"].clone()).ok();
    let state = state(told);
    let attachment = |told: &Value| {
        Some(Attachment {
            task: id.clone(),
            service: text(&task["ServiceID"]),
            node: text(&task["NodeID"]),
            state,
            network: text(&told["Network"]["ID"])?,
            addresses: told["Addresses"].as_array().into_iter().flatten().filter_map(text).collect(),
        })
    };
    task["NetworksAttachments"].as_array().into_iter().flatten().filter_map(attachment).collect()
}

fn resources(told: Option<models::TaskSpecResources>) -> Resources {
    let amount = |amount: Option<i64>| amount.and_then(|amount| u64::try_from(amount).ok()).unwrap_or_default();
    let told = told.unwrap_or_default();
    let (limits, reservations) = (told.limits.unwrap_or_default(), told.reservations.unwrap_or_default());
    Resources {
        memory_bytes: amount(limits.memory_bytes),
        nano_cpus: amount(limits.nano_cpus),
        pids: amount(limits.pids),
        reserved_memory_bytes: amount(reservations.memory_bytes),
    }
}

/// `None` for one without an id or a service, as attachments of plain containers to a network are.
fn task(task: models::Task) -> Option<Task> {
    let status = task.status.unwrap_or_default();
    let container = status.container_status.unwrap_or_default();
    let spec = task.spec.unwrap_or_default();
    let resources = resources(spec.resources);
    let spec = spec.container_spec.unwrap_or_default();
    let state = state(status.state);
    Some(Task {
        id: task.id?,
        service: task.service_id.filter(|id| !id.is_empty())?,
        slot: task.slot.and_then(|slot| u64::try_from(slot).ok()).unwrap_or_default(),
        node: task.node_id.filter(|id| !id.is_empty()),
        state,
        desired: self::state(task.desired_state),
        created_at: task.created_at.unwrap_or_default(),
        since: status.timestamp.unwrap_or_default(),
        message: status.message.unwrap_or_default(),
        error: status.err.unwrap_or_default(),
        container: container.container_id.filter(|id| !id.is_empty()),
        // An engine says 0 of programs that run, too.
        exit_code: container.exit_code.filter(|_| state.is_over()),
        image: spec.image.unwrap_or_default(),
        container_labels: spec.labels.unwrap_or_default(),
        resources,
    })
}

fn state(told: Option<models::TaskState>) -> TaskState {
    use models::TaskState as Told;
    match told {
        Some(Told::PENDING | Told::ALLOCATED) => TaskState::Pending,
        Some(Told::ASSIGNED) => TaskState::Assigned,
        Some(Told::ACCEPTED) => TaskState::Accepted,
        Some(Told::PREPARING) => TaskState::Preparing,
        Some(Told::READY) => TaskState::Ready,
        Some(Told::STARTING) => TaskState::Starting,
        Some(Told::RUNNING) => TaskState::Running,
        Some(Told::COMPLETE) => TaskState::Complete,
        Some(Told::SHUTDOWN) => TaskState::Shutdown,
        Some(Told::FAILED) => TaskState::Failed,
        Some(Told::REJECTED) => TaskState::Rejected,
        Some(Told::REMOVE) => TaskState::Remove,
        Some(Told::ORPHANED) => TaskState::Orphaned,
        Some(Told::NEW) | None => TaskState::New,
    }
}

#[cfg(test)]
mod tests;
