//! What the Engine's API tells of a service, in our words, and what these do not have.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    self, HealthConfig, ServiceSpecMode, ServiceSpecRollbackConfigOrderEnum, ServiceSpecUpdateConfigOrderEnum,
    ServiceUpdateStatusStateEnum as State, TaskSpecContainerSpec, TaskSpecContainerSpecSecrets, TaskSpecPlacement,
    TaskSpecResources, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum,
};
use serde_json::Value;

use super::body::{NODE_LABEL, NONE, PROGRAM, body};
use crate::{
    Capabilities, Environment, HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, ProgramCheck, Resources,
    RestartPolicy, SecretFile, Service, ServiceSpec, UpdatePolicy, UpdateState, UpdateStatus,
};

/// `None` for one that lacks a name or a version.
pub(super) fn service(told: &Value) -> Option<Service> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (spec, foreign) = parse(named_as_documented(told["Spec"].clone()))?;
    Some(Service {
        id: text(&told["ID"]),
        version: told["Version"]["Index"].as_u64()?,
        spec,
        foreign,
        update: serde_json::from_value(told["UpdateStatus"].clone()).ok().and_then(update_status),
        // bollard's model of a service has no place for it.
        previous_labels: told["PreviousSpec"].is_object().then(|| labels(&told["PreviousSpec"]["Labels"])),
        created_at: text(&told["CreatedAt"]),
        updated_at: text(&told["UpdatedAt"]),
    })
}

fn labels(told: &Value) -> HashMap<String, String> {
    serde_json::from_value(told.clone()).unwrap_or_default()
}

fn update_status(status: models::ServiceUpdateStatus) -> Option<UpdateStatus> {
    Some(UpdateStatus {
        state: match status.state? {
            State::UPDATING => UpdateState::Updating,
            State::PAUSED => UpdateState::Paused,
            State::COMPLETED => UpdateState::Completed,
            State::ROLLBACK_STARTED => UpdateState::RollbackStarted,
            State::ROLLBACK_PAUSED => UpdateState::RollbackPaused,
            State::ROLLBACK_COMPLETED => UpdateState::RollbackCompleted,
            State::EMPTY => return None,
        },
        message: status.message.unwrap_or_default(),
        started_at: status.started_at.unwrap_or_default(),
        completed_at: status.completed_at.unwrap_or_default(),
    })
}

/// A spec, and the options that it cannot say: those that are missing when it is written again.
fn parse(told: Value) -> Option<(ServiceSpec, Vec<String>)> {
    let name = told["Name"].as_str()?.to_owned();
    let Ok(model) = serde_json::from_value::<models::ServiceSpec>(told.clone()) else {
        // Somebody's service with something newer than our client; its name and labels still count for the edge.
        let spec = ServiceSpec { labels: labels(&told["Labels"]), ..ServiceSpec::new(name, "") };
        return Some((spec, vec!["Spec".to_owned()]));
    };
    let spec = typed(name, model);
    let written = serde_json::to_value(body(&spec)).unwrap_or_default();
    let mut foreign = Vec::new();
    compare("", &bare(told), &bare(written), &mut foreign);
    Some((spec, foreign))
}

/// The engine takes the documented `HealthCheck`, whatever its case, and itself writes `Healthcheck`, which bollard does not know.
fn named_as_documented(mut spec: Value) -> Value {
    if let Some(container) = spec.pointer_mut("/TaskTemplate/ContainerSpec").and_then(Value::as_object_mut)
        && let Some(check) = container.remove("Healthcheck")
    {
        container.insert("HealthCheck".to_owned(), check);
    }
    spec
}

fn typed(name: String, model: models::ServiceSpec) -> ServiceSpec {
    let template = model.task_template.unwrap_or_default();
    let container: TaskSpecContainerSpec = template.container_spec.unwrap_or_default();
    let (placement, spread_over) = placement(template.placement.unwrap_or_default());
    let networks = template.networks.unwrap_or_default().into_iter().filter_map(|network| {
        Some(NetworkAttachment { network: network.target?, aliases: network.aliases.unwrap_or_default() })
    });
    let mounts = container.mounts.unwrap_or_default();
    let known = |mount: &models::Mount| PlatformMount::known(mount.source.as_deref()?, mount.target.as_deref()?);
    let dropped = container.capability_drop.unwrap_or_default();
    ServiceSpec {
        name,
        image: container.image.unwrap_or_default(),
        command: container.command.unwrap_or_default(),
        args: container.args.unwrap_or_default(),
        environment: Environment(container.env.unwrap_or_default()),
        labels: model.labels.unwrap_or_default(),
        container_labels: container.labels.unwrap_or_default(),
        secrets: container.secrets.unwrap_or_default().into_iter().filter_map(secret).collect(),
        mounts: mounts.iter().filter_map(known).collect(),
        health: health(container.health_check),
        resources: resources(template.resources.unwrap_or_default()),
        placement,
        spread_over,
        networks: networks.collect(),
        mode: mode(model.mode.unwrap_or_default()),
        restart: restart(template.restart_policy.unwrap_or_default()),
        stop_grace: duration(container.stop_grace_period),
        capabilities: if dropped == Capabilities::App.dropped() { Capabilities::App } else { Capabilities::None },
        read_only: container.read_only.unwrap_or(false),
        init: container.init.unwrap_or(false),
        update: model.update_config.map(|config| UpdatePolicy {
            parallelism: amount(config.parallelism),
            order: match config.order {
                Some(ServiceSpecUpdateConfigOrderEnum::START_FIRST) => Order::StartFirst,
                _ => Order::StopFirst,
            },
            monitor: duration(config.monitor),
        }),
        rollback: model.rollback_config.map(|config| UpdatePolicy {
            parallelism: amount(config.parallelism),
            order: match config.order {
                Some(ServiceSpecRollbackConfigOrderEnum::START_FIRST) => Order::StartFirst,
                _ => Order::StopFirst,
            },
            monitor: duration(config.monitor),
        }),
    }
}

fn secret(secret: TaskSpecContainerSpecSecrets) -> Option<SecretFile> {
    Some(SecretFile { id: secret.secret_id?, name: secret.secret_name?, file: secret.file?.name? })
}

fn health(config: Option<HealthConfig>) -> HealthCheck {
    let config = config.unwrap_or_default();
    let test = config.test.unwrap_or_default();
    match test.split_first() {
        Some((word, _)) if word == NONE => HealthCheck::Disabled,
        Some((word, argv)) if word == PROGRAM => HealthCheck::Program(ProgramCheck {
            argv: argv.to_vec(),
            interval: duration(config.interval),
            timeout: duration(config.timeout),
            retries: u32::try_from(amount(config.retries)).unwrap_or(u32::MAX),
            start_period: duration(config.start_period),
            start_interval: duration(config.start_interval),
        }),
        _ => HealthCheck::Image,
    }
}

fn resources(told: TaskSpecResources) -> Resources {
    let limits = told.limits.unwrap_or_default();
    Resources {
        memory_bytes: amount(limits.memory_bytes),
        nano_cpus: amount(limits.nano_cpus),
        pids: amount(limits.pids),
        reserved_memory_bytes: amount(told.reservations.and_then(|reserved| reserved.memory_bytes)),
    }
}

fn placement(told: TaskSpecPlacement) -> (BTreeMap<String, String>, Option<String>) {
    let label = |constraint: String| {
        let (label, value) = constraint.strip_prefix(NODE_LABEL)?.split_once("==")?;
        Some((label.to_owned(), value.to_owned()))
    };
    let constraints = told.constraints.unwrap_or_default().into_iter().filter_map(label).collect();
    let spread = told
        .preferences
        .unwrap_or_default()
        .into_iter()
        .find_map(|preference| preference.spread?.spread_descriptor?.strip_prefix(NODE_LABEL).map(str::to_owned));
    (constraints, spread)
}

fn mode(told: ServiceSpecMode) -> Mode {
    // The engine may leave the number out when it is one.
    let number = |number: Option<i64>| number.map_or(1, |number| amount(Some(number)));
    if told.global.is_some() {
        Mode::Global
    } else if told.global_job.is_some() {
        Mode::GlobalJob
    } else if let Some(job) = told.replicated_job {
        Mode::ReplicatedJob { completions: number(job.total_completions), concurrent: number(job.max_concurrent) }
    } else {
        Mode::Replicated(number(told.replicated.and_then(|mode| mode.replicas)))
    }
}

fn restart(told: TaskSpecRestartPolicy) -> RestartPolicy {
    match told.condition {
        Some(TaskSpecRestartPolicyConditionEnum::NONE) => RestartPolicy::Never,
        _ => RestartPolicy::Always { delay: duration(told.delay) },
    }
}

fn amount(told: Option<i64>) -> u64 {
    told.and_then(|amount| u64::try_from(amount).ok()).unwrap_or_default()
}

fn duration(nanos: Option<i64>) -> Duration {
    Duration::from_nanos(amount(nanos))
}

/// Without what is as good as absent, and what counts for something else: the mode is all typed, a forced update says nothing of how
/// a service should be, and the other two are what engines add.
fn bare(mut spec: Value) -> Value {
    let mut remove = |path: &str, key: &str| spec.pointer_mut(path).and_then(Value::as_object_mut)?.remove(key);
    for (path, key) in [
        ("", "Mode"),
        ("/TaskTemplate", "ForceUpdate"),
        ("/TaskTemplate", "Runtime"),
        ("/TaskTemplate/ContainerSpec", "Isolation"),
    ] {
        let _what_it_was = remove(path, key);
    }
    prune(spec)
}

fn prune(value: Value) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, prune(value)));
            Value::Object(fields.filter(|(_, value)| !is_nothing(value)).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(prune).collect()),
        // 0 and 0.0 are gone; what is left is a ratio, or a whole number however it is written.
        other => other,
    }
}

fn compare(path: &str, told: &Value, written: &Value, foreign: &mut Vec<String>) {
    if told == written {
        return;
    }
    let (Value::Object(told), Value::Object(written)) = (told, written) else {
        foreign.push(path.to_owned());
        return;
    };
    let keys: std::collections::BTreeSet<&String> = told.keys().chain(written.keys()).collect();
    for key in keys {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (told.get(key), written.get(key)) {
            (Some(told), Some(written)) => compare(&below, told, written, foreign),
            _ => foreign.push(below),
        }
    }
}
