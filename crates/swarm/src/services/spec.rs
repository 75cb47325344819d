//! A service as it should be: all that the platform asks of Swarm, and nothing that it could be made to ask by an app.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

/// Label that names the release on a service and on the containers of its tasks, so that each task tells of which release it is.
pub const RELEASE_LABEL: &str = "futuswarm.release";
/// Label that names the app on what the Swarm keeps for it: services, secrets, networks.
pub const APP_LABEL: &str = "futuswarm.app";
/// Label of nodes that the leader's agent sets to the availability zone.
pub const ZONE_LABEL: &str = "futuswarm.zone";

/// A service as it should be. An update sets every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Unique in the Swarm; tasks find each other by it.
    pub name: String,
    /// The image, by digest where it is in a registry.
    pub image: String,
    /// In the place of the image's entry point; empty to keep it.
    pub command: Vec<String>,
    /// In the place of the image's arguments; empty to keep them.
    pub args: Vec<String>,
    /// Variables of every task.
    pub environment: Environment,
    /// Labels of the service, among them `com.df.*` for the edge.
    pub labels: HashMap<String, String>,
    /// Labels of each task's container. A change of one replaces the tasks.
    pub container_labels: HashMap<String, String>,
    /// Files under `/run/secrets`.
    pub secrets: Vec<SecretFile>,
    /// What the platform itself mounts.
    pub mounts: Vec<PlatformMount>,
    /// What says that a task is healthy. Swarm calls a task running only once it is.
    pub health: HealthCheck,
    /// Limits of each task, and what a node must have left for it.
    pub resources: Resources,
    /// Labels that a node must have, with their values.
    pub placement: BTreeMap<String, String>,
    /// Label of nodes over whose values tasks are spread evenly.
    pub spread_over: Option<String>,
    /// Overlays that its tasks are on, in this order.
    pub networks: Vec<NetworkAttachment>,
    /// How many tasks, and whether they are to end.
    pub mode: Mode,
    /// What happens when a task ends.
    pub restart: RestartPolicy,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Which of Docker's default capabilities remain.
    pub capabilities: Capabilities,
    /// Whether tasks cannot write to their root file system.
    pub read_only: bool,
    /// Whether a small first process forwards signals to the program and reaps what it leaves behind.
    pub init: bool,
    /// How tasks are replaced; `None` for jobs, which managers refuse to have one.
    pub update: Option<UpdatePolicy>,
    /// How a failed update is put back; `None` for jobs.
    pub rollback: Option<UpdatePolicy>,
}

impl ServiceSpec {
    /// A service of one task with the platform's defaults: restarted for ever, healthy when its image says so, without capabilities,
    /// replaced one by one.
    #[must_use]
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            command: Vec::new(),
            args: Vec::new(),
            environment: Environment::default(),
            labels: HashMap::new(),
            container_labels: HashMap::new(),
            secrets: Vec::new(),
            mounts: Vec::new(),
            health: HealthCheck::Image,
            resources: Resources::default(),
            placement: BTreeMap::new(),
            spread_over: None,
            networks: Vec::new(),
            mode: Mode::Replicated(1),
            // No limit on attempts: a service that gave up must not need a person to come back.
            restart: RestartPolicy::Always { delay: Duration::from_secs(2) },
            stop_grace: Duration::from_secs(10),
            capabilities: Capabilities::None,
            read_only: true,
            init: false,
            update: Some(UpdatePolicy::default()),
            rollback: Some(UpdatePolicy::default()),
        }
    }

    /// Names the release on the service and on its tasks.
    #[must_use]
    pub fn with_release(mut self, release: u64) -> Self {
        self.labels.insert(RELEASE_LABEL.to_owned(), release.to_string());
        self.container_labels.insert(RELEASE_LABEL.to_owned(), release.to_string());
        self
    }

    /// A program that runs once to its end and is not started again.
    #[must_use]
    pub fn into_job(self) -> Self {
        let mode = Mode::ReplicatedJob { completions: 1, concurrent: 1 };
        Self { mode, restart: RestartPolicy::Never, update: None, rollback: None, ..self }
    }
}

/// The release that labels name.
#[must_use]
pub fn release_of(labels: &HashMap<String, String>) -> Option<u64> {
    labels.get(RELEASE_LABEL)?.parse().ok()
}

/// Variables of a task, each `NAME=value`. `Debug` shows names only: values are what somebody sealed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(pub Vec<String>);

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|entry| entry.split_once('=').map_or(entry.as_str(), |(name, _)| name));
        formatter.debug_list().entries(names).finish()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }
}

/// A secret of the Swarm as a file in a task: owned by root, readable by every process of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The Swarm's id of the secret.
    pub id: String,
    /// The Swarm's name of it, which managers check against the id.
    pub name: String,
    /// Name of the file under `/run/secrets`.
    pub file: String,
}

/// A read-only bind mount of something that the platform owns. There is no way to make one out of what an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformMount {
    source: String,
    target: &'static str,
}

impl PlatformMount {
    const PROBE: (&'static str, &'static str) = ("/usr/lib/futuswarm/probe", "/.futuswarm-probe");
    const DOWNLOADS: (&'static str, &'static str) = ("/var/lib/futuswarm/cli", "/cli");
    const PROGRAM_SECRETS: (&'static str, &'static str) = ("/run/futuswarm/programs/", "/run/secrets");
    const NODE_PROGRAMS: &'static str = "/usr";

    /// The static program that asks a task how it is; images need not have one.
    #[must_use]
    pub fn health_probe() -> Self {
        Self { source: Self::PROBE.0.to_owned(), target: Self::PROBE.1 }
    }

    /// The command line that the agent of each node has brought, for the mainpage.
    #[must_use]
    pub fn downloads() -> Self {
        Self { source: Self::DOWNLOADS.0.to_owned(), target: Self::DOWNLOADS.1 }
    }

    /// The folder with the secrets of a one-off program, which cannot have those of the Swarm; `None` for a name that could lead
    /// out of the place where such folders are.
    #[must_use]
    pub fn program_secrets(program: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let usable = !program.is_empty() && program.chars().all(plain);
        usable
            .then(|| Self { source: format!("{}{program}", Self::PROGRAM_SECRETS.0), target: Self::PROGRAM_SECRETS.1 })
    }

    /// The node's own verified programs and libraries, for a program of the platform in an image that has none. No service has it.
    #[must_use]
    pub fn node_programs() -> Self {
        Self { source: Self::NODE_PROGRAMS.to_owned(), target: Self::NODE_PROGRAMS }
    }

    /// One that an engine tells of a service; `None` when it is not the platform's.
    pub(crate) fn known(source: &str, target: &str) -> Option<Self> {
        let secrets = source.strip_prefix(Self::PROGRAM_SECRETS.0).and_then(Self::program_secrets);
        [Some(Self::health_probe()), Some(Self::downloads()), secrets]
            .into_iter()
            .flatten()
            .find(|it| it.source == source && it.target == target)
    }

    /// On the node.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// In the container.
    #[must_use]
    pub fn target(&self) -> &'static str {
        self.target
    }
}

/// What says that a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// The image's own HEALTHCHECK; without one a task is healthy when its program runs.
    Image,
    /// Nothing, whatever the image says.
    Disabled,
    /// A program in the container that ends with 0 when the task is healthy.
    Program(ProgramCheck),
}

/// How a program is asked whether a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramCheck {
    /// Program and arguments; no shell reads them.
    pub argv: Vec<String>,
    /// Between two checks once the start period is over.
    pub interval: Duration,
    /// After which an answer comes too late.
    pub timeout: Duration,
    /// So many failures in a row mean unhealthy.
    pub retries: u32,
    /// From the start of the program, in which failures do not count.
    pub start_period: Duration,
    /// Between two checks in the start period, so that a task which is up in a second is not found healthy after a whole interval.
    pub start_interval: Duration,
}

/// Limits of a task, and what is kept free for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// The kernel kills a task that uses more, in bytes; zero for no limit.
    pub memory_bytes: u64,
    /// In billionths of a processor; zero for no limit.
    pub nano_cpus: u64,
    /// So many processes and threads; zero for no limit.
    pub pids: u64,
    /// What a node must have unreserved to get a task, in bytes. Limits alone never keep Swarm from overfilling a node.
    pub reserved_memory_bytes: u64,
}

/// A network that tasks are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// Its id; its name is not unique by itself.
    pub network: String,
    /// Names on that network beside the service's own.
    pub aliases: Vec<String>,
}

impl NetworkAttachment {
    /// Without names beside the service's own.
    #[must_use]
    pub fn new(network: impl Into<String>) -> Self {
        Self { network: network.into(), aliases: Vec::new() }
    }
}

/// How many tasks a service has, and whether they are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// So many that run for ever.
    Replicated(u64),
    /// One on every node that fits.
    Global,
    /// Tasks that run once.
    ReplicatedJob {
        /// So many in all.
        completions: u64,
        /// So many at a time.
        concurrent: u64,
    },
    /// One that runs once on every node that fits.
    GlobalJob,
}

impl Mode {
    /// Whether its tasks are to end.
    #[must_use]
    pub fn is_job(self) -> bool {
        matches!(self, Self::ReplicatedJob { .. } | Self::GlobalJob)
    }
}

/// What happens when a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Another takes its place, as often as it takes.
    Always {
        /// Before the next one starts.
        delay: Duration,
    },
    /// Nothing.
    Never,
}

/// Which of Docker's default capabilities a container keeps. None can be added, and new privileges cannot be had in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capabilities {
    /// None: what the platform runs needs none.
    None,
    /// What images need that start as root and go on as somebody else (`chown`, `setuid`, low ports). Without those that reach
    /// beyond the task: raw packets could pretend to be another task of a shared network, device nodes and file capabilities are
    /// ways to more rights, and a task has no business with the kernel's audit or with another root folder.
    App,
}

impl Capabilities {
    /// As `CapabilityDrop` names them.
    #[must_use]
    pub fn dropped(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::None => &["ALL"],
            Self::App => {
                &["CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_SYS_CHROOT"]
            }
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

/// In which order a task is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The new one runs before the old one is stopped.
    StartFirst,
    /// The old one has stopped before the new one starts.
    StopFirst,
}

/// How tasks are replaced. A single task that fails ends an update, which is put back; putting back goes on whatever fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// So many at a time; zero for all at once.
    pub parallelism: u64,
    /// Of each task.
    pub order: Order,
    /// So long a new task must last after it runs; a failure in that time is one of the update.
    pub monitor: Duration,
}

impl Default for UpdatePolicy {
    /// One at a time without a gap, watched for as long as Swarm does by itself.
    fn default() -> Self {
        Self { parallelism: 1, order: Order::StartFirst, monitor: Duration::from_secs(5) }
    }
}
