//! What an app is: the settings of `app.toml`, as a release keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything about an app that a deployment may change, without its image, config and secrets. Each field has the value that counts,
/// whether it was given or not, so that an update sets every one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Program and arguments in the place of the image's; empty for the image's own.
    pub command: Vec<String>,
    /// The port on which its tasks listen.
    pub port: u16,
    /// So many tasks.
    pub replicas: u32,
    /// A task that uses more is killed; in bytes.
    pub memory: u64,
    /// A task gets no more; in thousandths of a processor.
    pub cpu_millis: u32,
    /// What says that a task is healthy.
    pub health: Health,
    /// Runs once before a release, in its image and with its config; `None` for nothing.
    pub release_hook: Option<Hook>,
    /// Variables of every task that are no secret; config wins over them.
    pub env: BTreeMap<String, String>,
    /// Labels that a node must have to run its tasks.
    pub placement: BTreeMap<String, String>,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_grace: u32,
    /// Whether new tasks start before the old ones stop.
    pub update_order: UpdateOrder,
    /// What `app.toml` once said about the login, without any effect. Always `false` now: the app's record says it
    /// ([`crate::Admission`]), and older programs read no release without it.
    pub open: bool,
    /// What it asks of the edge besides host and port: `com.df.*`.
    pub edge_labels: BTreeMap<String, String>,
    /// Whether tasks may write to their root file system.
    pub read_only: bool,
}

/// What says that a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Health {
    /// An answer of 200 to 399 to a GET of this path at the app's port.
    Http {
        /// Begins with a slash.
        path: String,
        /// How it is asked.
        timing: Timing,
    },
    /// A task accepts TCP connections at the app's port.
    Port {
        /// How it is asked.
        timing: Timing,
        /// Nobody has said what counts: where the image has a HEALTHCHECK, that does ([`crate::Release::health`]).
        #[serde(default)]
        or_image: bool,
    },
    /// The HEALTHCHECK of the image.
    Image,
    /// It has run for so many seconds.
    Runs {
        /// Of one task, from the start of its program.
        seconds: u32,
    },
}

/// How often and how patiently a task's health is asked for, in seconds and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Seconds between two questions.
    pub interval: u32,
    /// Seconds until an answer comes too late.
    pub timeout: u32,
    /// So many bad answers in a row mean unhealthy.
    pub retries: u32,
    /// Seconds from the start in which bad answers do not count.
    pub start: u32,
}

/// A program that runs once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Seconds until it is stopped and the release has failed.
    pub timeout: u32,
}

/// In which order tasks are replaced, in Swarm's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new task is healthy before the old one is stopped.
    StartFirst,
    /// The old task has stopped before the new one starts.
    StopFirst,
}
