//! What the Swarm should run for a release: service, release hook, and the jobs that pull its image. Pure, so that an update and the
//! question whether one is needed cannot disagree.

use std::collections::HashMap;
use std::time::Duration;

use futuswarm_model::{Health, Release, Settings, Timing, UpdateOrder};
use futuswarm_swarm::{
    APP_LABEL, Capabilities, Environment, HealthCheck, Mode, NetworkAttachment, Order, PlatformMount, ProgramCheck,
    Resources, RestartPolicy, SecretFile, ServiceSpec, UpdatePolicy, ZONE_LABEL,
};

#[cfg(test)]
mod tests;

/// Where every node reaches the registry: its own loopback.
pub(crate) const REGISTRY: &str = "127.0.0.1:5000";
/// What the platform tells every task, in the way of other platforms: programs written for those find their port.
const PORT: &str = "PORT";
/// Processes and threads of a task. Far more than a program has, and far fewer than would hurt its neighbours.
const PIDS: u64 = 4096;
/// What pulling an image takes: the probe ends at once.
const PULL_MEMORY: u64 = 32 << 20;
/// How long a new task is watched that says by itself when it is healthy.
const MONITOR: Duration = Duration::from_secs(5);
/// While a task starts it is asked often: a deployment should not wait for the end of an interval.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// What a release runs with, beside its own record.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Variables of its config.
    pub(crate) config: Environment,
    /// Its secrets, as the Swarm has them.
    pub(crate) secrets: Vec<SecretFile>,
    /// Ids of its networks, its own first: that is the one on which the edge reaches it.
    pub(crate) networks: Vec<String>,
    /// The cluster's domain.
    pub(crate) domain: String,
}

/// Where an app is served.
pub(crate) fn host(app: &str, domain: &str) -> String {
    format!("{app}.{domain}")
}

/// The image of a release as every node can pull it; `None` before its digest is known.
pub(crate) fn image(release: &Release) -> Option<String> {
    let digest = release.digest.as_ref()?;
    Some(format!("{REGISTRY}/{}@{digest}", release.app))
}

/// Names of jobs have a character that names of apps do not, so that no app can be called as one.
pub(crate) fn hook_name(app: &str, release: u64) -> String {
    format!("{app}_hook_{release}")
}

/// As [`hook_name`].
pub(crate) fn pull_name(app: &str, release: u64) -> String {
    format!("{app}_pull_{release}")
}

/// The app that a job's name belongs to, and the release; `None` for what is no job of ours.
pub(crate) fn job_of(service: &str) -> Option<(&str, u64)> {
    let mut words = service.splitn(3, '_');
    let (app, kind, release) = (words.next()?, words.next()?, words.next()?);
    matches!(kind, "hook" | "pull").then(|| Some((app, release.parse().ok()?)))?
}

/// What names of apps' networks begin with.
pub(crate) const NETWORK: &str = "app-";

/// The network of an app, on which it is alone with the edge.
pub(crate) fn network_name(app: &str) -> String {
    format!("{NETWORK}{app}")
}

/// The service of a release; `None` before its digest is known.
pub(crate) fn service(release: &Release, content: &Content) -> Option<ServiceSpec> {
    let settings = &release.settings;
    let spec = task(release, content, release.app.clone())?;
    let monitor = match release.health() {
        Health::Runs { seconds } => Duration::from_secs(u64::from(*seconds)),
        Health::Http { .. } | Health::Port { .. } | Health::Image => MONITOR,
    };
    let order = match settings.update_order {
        UpdateOrder::StartFirst => Order::StartFirst,
        UpdateOrder::StopFirst => Order::StopFirst,
    };
    let policy = UpdatePolicy { parallelism: 1, order, monitor };
    let spec = ServiceSpec {
        labels: labels(release, &content.domain),
        command: settings.command.clone(),
        health: health(release),
        mounts: match release.health() {
            Health::Http { .. } | Health::Port { .. } => vec![PlatformMount::health_probe()],
            Health::Image | Health::Runs { .. } => Vec::new(),
        },
        mode: Mode::Replicated(settings.replicas.into()),
        restart: RestartPolicy::Always { delay: Duration::from_secs(2) },
        update: Some(policy),
        rollback: Some(policy),
        ..spec
    };
    Some(spec.with_release(release.number))
}

/// The release hook as a job that runs once; `None` where there is none, or before the digest is known.
pub(crate) fn hook(release: &Release, content: &Content) -> Option<ServiceSpec> {
    let hook = release.settings.release_hook.as_ref()?;
    let spec = task(release, content, hook_name(&release.app, release.number))?;
    let spec = ServiceSpec { command: hook.command.clone(), health: HealthCheck::Disabled, ..spec };
    Some(spec.with_release(release.number).into_job())
}

/// A job on every node where tasks may run. It runs nothing of the image, which may have no program at all, but a node cannot start it
/// without pulling the image first.
pub(crate) fn pull(release: &Release) -> Option<ServiceSpec> {
    let spec = ServiceSpec {
        command: vec![PlatformMount::health_probe().target().to_owned(), "pulled".to_owned()],
        mounts: vec![PlatformMount::health_probe()],
        labels: app_label(&release.app),
        health: HealthCheck::Disabled,
        resources: Resources { memory_bytes: PULL_MEMORY, pids: PIDS, ..Resources::default() },
        placement: release.settings.placement.clone(),
        ..ServiceSpec::new(pull_name(&release.app, release.number), image(release)?)
    };
    Some(ServiceSpec { mode: Mode::GlobalJob, ..spec.with_release(release.number).into_job() })
}

/// What all tasks of a release have in common.
fn task(release: &Release, content: &Content, name: String) -> Option<ServiceSpec> {
    let settings = &release.settings;
    let aliases = |network: &String| NetworkAttachment::new(network.clone());
    Some(ServiceSpec {
        environment: environment(release, content),
        labels: app_label(&release.app),
        container_labels: app_label(&release.app),
        secrets: content.secrets.clone(),
        resources: Resources {
            memory_bytes: settings.memory,
            nano_cpus: u64::from(settings.cpu_millis) * 1_000_000,
            pids: PIDS,
            reserved_memory_bytes: settings.memory,
        },
        placement: settings.placement.clone(),
        spread_over: Some(ZONE_LABEL.to_owned()),
        networks: content.networks.iter().map(aliases).collect(),
        stop_grace: Duration::from_secs(settings.stop_grace.into()),
        capabilities: Capabilities::App,
        read_only: settings.read_only,
        init: true,
        ..ServiceSpec::new(name, image(release)?)
    })
}

fn app_label(app: &str) -> HashMap<String, String> {
    HashMap::from([(APP_LABEL.to_owned(), app.to_owned())])
}

/// The platform's variables, then those of `app.toml`, then config: the later wins.
fn environment(release: &Release, content: &Content) -> Environment {
    let platform = [
        ("FUTUSWARM_APP".to_owned(), release.app.clone()),
        ("FUTUSWARM_URL".to_owned(), format!("https://{}", host(&release.app, &content.domain))),
        (PORT.to_owned(), release.settings.port.to_string()),
    ];
    let mut entries: Vec<(String, String)> = platform.into();
    let settings = release.settings.env.clone();
    let config = content.config.0.iter().filter_map(|entry| entry.split_once('='));
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in settings.into_iter().chain(config) {
        entries.retain(|(known, _)| *known != name);
        entries.push((name, value));
    }
    entries.sort();
    entries.into_iter().collect()
}

fn labels(release: &Release, domain: &str) -> HashMap<String, String> {
    let mut labels = app_label(&release.app);
    labels.extend(edge_labels(&release.app, &release.settings, domain));
    labels
}

/// What the edge reads. The host is the platform's to say: whoever could say it would get the visitors of another app.
pub(crate) fn edge_labels(app: &str, settings: &Settings, domain: &str) -> HashMap<String, String> {
    let edge = [
        ("servicePath", "/".to_owned()),
        ("notify", "true".to_owned()),
        ("distribute", "false".to_owned()),
        ("port", settings.port.to_string()),
    ];
    let mut labels: HashMap<String, String> = edge.map(|(name, value)| (format!("com.df.{name}"), value)).into();
    let own = settings.edge_labels.iter().filter(|(name, _)| !is_reserved(name));
    labels.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    labels.insert("com.df.serviceDomain".to_owned(), host(app, domain));
    labels
}

/// Labels that only the platform sets: which hosts an app is served at or led to from, also in their indexed forms, and whether it is.
pub(crate) fn is_reserved(label: &str) -> bool {
    let reserved = ["com.df.serviceDomain", "com.df.redirectFromDomain", "com.df.notify", "com.df.distribute"];
    reserved.iter().any(|name| label.starts_with(name))
}

fn health(release: &Release) -> HealthCheck {
    let (word, path, timing) = match release.health() {
        Health::Http { path, timing } => ("http", Some(path.clone()), timing),
        Health::Port { timing, .. } => ("port", None, timing),
        Health::Image | Health::Runs { .. } => return HealthCheck::Image,
    };
    let Timing { interval, timeout, retries, start } = *timing;
    let probe = PlatformMount::health_probe().target().to_owned();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let words = [probe, word.to_owned(), release.settings.port.to_string()];
    HealthCheck::Program(ProgramCheck {
        argv: words.into_iter().chain(path).chain([timeout.to_string()]).collect(),
        interval: seconds(interval),
        // A second more than the probe takes itself, so that it says what it waited for.
        timeout: seconds(timeout + 1),
        retries,
        start_period: seconds(start),
        start_interval: START_INTERVAL.min(seconds(interval)),
    })
}
