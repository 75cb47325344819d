//! A service as the Engine's API writes it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, HealthConfig, Limit, Mount, MountType, NetworkAttachmentConfig, ResourceObject,
    ServiceSpec as Body, ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecModeReplicatedJob,
    ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum, ServiceSpecRollbackConfigOrderEnum,
    ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum, ServiceSpecUpdateConfigOrderEnum, TaskSpec,
    TaskSpecContainerSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecPrivileges, TaskSpecContainerSpecSecrets,
    TaskSpecPlacement, TaskSpecPlacementPreferences, TaskSpecPlacementSpread, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};

use crate::{
    HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, Resources, RestartPolicy, SecretFile, ServiceSpec,
    UpdatePolicy,
};

/// Prefix of a constraint on, or a preference of, a label of nodes.
pub(super) const NODE_LABEL: &str = "node.labels.";
/// First word of a health check that is a program and its arguments.
pub(super) const PROGRAM: &str = "CMD";
/// First word of one that switches the image's off.
pub(super) const NONE: &str = "NONE";
/// Everybody in the task may read it; its owner, root, could always.
const SECRET_MODE: u32 = 0o444;

pub(super) fn body(spec: &ServiceSpec) -> Body {
    let attachments: Vec<_> = spec.networks.iter().map(attachment).collect();
    Body {
        name: Some(spec.name.clone()),
        labels: Some(spec.labels.clone()),
        task_template: Some(TaskSpec {
            container_spec: Some(container(spec)),
            resources: Some(resources(spec.resources)),
            restart_policy: Some(restart(spec.restart)),
            placement: placement(spec),
            networks: some(attachments),
            ..TaskSpec::default()
        }),
        mode: Some(mode(spec.mode)),
        update_config: spec.update.map(update),
        rollback_config: spec.rollback.map(rollback),
        // Tasks are found by name; no VIP means no IPVS idle timeout and no leaked addresses.
        endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ports: None }),
        ..Body::default()
    }
}

fn container(spec: &ServiceSpec) -> TaskSpecContainerSpec {
    TaskSpecContainerSpec {
        image: Some(spec.image.clone()),
        labels: (!spec.container_labels.is_empty()).then(|| spec.container_labels.clone()),
        command: some(spec.command.clone()),
        args: some(spec.args.clone()),
        env: Some(spec.environment.0.clone()),
        privileges: Some(TaskSpecContainerSpecPrivileges {
            no_new_privileges: Some(true),
            ..TaskSpecContainerSpecPrivileges::default()
        }),
        read_only: Some(spec.read_only),
        mounts: some(spec.mounts.iter().map(mount).collect()),
        stop_grace_period: Some(nanos(spec.stop_grace)),
        health_check: health(&spec.health),
        secrets: some(spec.secrets.iter().map(secret).collect()),
        init: Some(spec.init),
        capability_drop: Some(spec.capabilities.dropped()),
        ..TaskSpecContainerSpec::default()
    }
}

pub(in crate::docker) fn mount(mount: &PlatformMount) -> Mount {
    Mount {
        target: Some(mount.target().to_owned()),
        source: Some(mount.source().to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn secret(secret: &SecretFile) -> TaskSpecContainerSpecSecrets {
    TaskSpecContainerSpecSecrets {
        file: Some(TaskSpecContainerSpecFile {
            name: Some(secret.file.clone()),
            uid: Some("0".to_owned()),
            gid: Some("0".to_owned()),
            mode: Some(SECRET_MODE),
        }),
        secret_id: Some(secret.id.clone()),
        secret_name: Some(secret.name.clone()),
    }
}

fn health(check: &HealthCheck) -> Option<HealthConfig> {
    match check {
        HealthCheck::Image => None,
        HealthCheck::Disabled => Some(HealthConfig { test: Some(vec![NONE.to_owned()]), ..HealthConfig::default() }),
        HealthCheck::Program(check) => Some(HealthConfig {
            test: Some([PROGRAM.to_owned()].into_iter().chain(check.argv.clone()).collect()),
            interval: Some(nanos(check.interval)),
            timeout: Some(nanos(check.timeout)),
            retries: Some(i64::from(check.retries)),
            start_period: Some(nanos(check.start_period)),
            start_interval: Some(nanos(check.start_interval)),
        }),
    }
}

fn resources(resources: Resources) -> TaskSpecResources {
    let amount = |amount: u64| (amount > 0).then(|| signed(amount));
    let reserved = amount(resources.reserved_memory_bytes);
    TaskSpecResources {
        limits: Some(Limit {
            nano_cpus: amount(resources.nano_cpus),
            memory_bytes: amount(resources.memory_bytes),
            pids: amount(resources.pids),
        }),
        reservations: reserved.map(|bytes| ResourceObject { memory_bytes: Some(bytes), ..ResourceObject::default() }),
        ..TaskSpecResources::default()
    }
}

fn restart(policy: RestartPolicy) -> TaskSpecRestartPolicy {
    let (condition, delay) = match policy {
        RestartPolicy::Always { delay } => (TaskSpecRestartPolicyConditionEnum::ANY, Some(nanos(delay))),
        RestartPolicy::Never => (TaskSpecRestartPolicyConditionEnum::NONE, None),
    };
    TaskSpecRestartPolicy { condition: Some(condition), delay, ..TaskSpecRestartPolicy::default() }
}

fn placement(spec: &ServiceSpec) -> Option<TaskSpecPlacement> {
    let constraints = spec.placement.iter().map(|(label, value)| format!("{NODE_LABEL}{label}=={value}")).collect();
    let spread = |label: &String| TaskSpecPlacementPreferences {
        spread: Some(TaskSpecPlacementSpread { spread_descriptor: Some(format!("{NODE_LABEL}{label}")) }),
    };
    let placement = TaskSpecPlacement {
        constraints: some(constraints),
        preferences: some(spec.spread_over.iter().map(spread).collect()),
        ..TaskSpecPlacement::default()
    };
    (placement != TaskSpecPlacement::default()).then_some(placement)
}

fn attachment(attachment: &NetworkAttachment) -> NetworkAttachmentConfig {
    NetworkAttachmentConfig {
        target: Some(attachment.network.clone()),
        aliases: some(attachment.aliases.clone()),
        ..NetworkAttachmentConfig::default()
    }
}

fn mode(mode: Mode) -> ServiceSpecMode {
    let empty = ServiceSpecMode::default();
    match mode {
        Mode::Replicated(tasks) => {
            ServiceSpecMode { replicated: Some(ServiceSpecModeReplicated { replicas: Some(signed(tasks)) }), ..empty }
        }
        Mode::Global => ServiceSpecMode { global: Some(HashMap::new()), ..empty },
        Mode::ReplicatedJob { completions, concurrent } => ServiceSpecMode {
            replicated_job: Some(ServiceSpecModeReplicatedJob {
                max_concurrent: Some(signed(concurrent)),
                total_completions: Some(signed(completions)),
            }),
            ..empty
        },
        Mode::GlobalJob => ServiceSpecMode { global_job: Some(HashMap::new()), ..empty },
    }
}

fn update(policy: UpdatePolicy) -> ServiceSpecUpdateConfig {
    ServiceSpecUpdateConfig {
        parallelism: Some(signed(policy.parallelism)),
        delay: None,
        failure_action: Some(ServiceSpecUpdateConfigFailureActionEnum::ROLLBACK),
        monitor: Some(nanos(policy.monitor)),
        max_failure_ratio: Some(0.0),
        order: Some(match policy.order {
            Order::StartFirst => ServiceSpecUpdateConfigOrderEnum::START_FIRST,
            Order::StopFirst => ServiceSpecUpdateConfigOrderEnum::STOP_FIRST,
        }),
    }
}

fn rollback(policy: UpdatePolicy) -> ServiceSpecRollbackConfig {
    ServiceSpecRollbackConfig {
        parallelism: Some(signed(policy.parallelism)),
        delay: None,
        // A rollback that stops in the middle leaves two versions running, and nobody goes on with it.
        failure_action: Some(ServiceSpecRollbackConfigFailureActionEnum::CONTINUE),
        monitor: Some(nanos(policy.monitor)),
        max_failure_ratio: Some(0.0),
        order: Some(match policy.order {
            Order::StartFirst => ServiceSpecRollbackConfigOrderEnum::START_FIRST,
            Order::StopFirst => ServiceSpecRollbackConfigOrderEnum::STOP_FIRST,
        }),
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The API's numbers are signed; nobody means more than that.
pub(in crate::docker) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
