//! What is observed of a release: the image, the nodes, the run of the hook, and the service with its tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is observed of a release and its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Milliseconds since 1970.
    pub now: u64,
    /// The image in the registry.
    pub image: Image,
    /// All nodes of the Swarm, by their host names, as far as they are a place for tasks of the app.
    pub places: BTreeMap<String, Place>,
    /// When a node was last seen away that may return, in milliseconds since 1970; zero for never.
    pub away_at: u64,
    /// Those of them on which tasks of the app may run, and how far the image is there.
    pub nodes: BTreeMap<String, Pull>,
    /// The run of the release hook.
    pub hook: HookRun,
    /// The app's service.
    pub service: Option<Service>,
    /// What edges have of it. Looked for once [`super::awaits_edges`] says so.
    pub edges: Edges,
}

/// What the edges of the cluster have of what a release asks of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edges {
    /// Nothing is asked of them, or there are none.
    NotAsked,
    /// It cannot be found out.
    Unknown {
        /// Why not.
        reason: String,
    },
    /// The routes that all of them read do not say it.
    Unpublished {
        /// Why something of it is not served; `None` when nothing was refused.
        refused: Option<String>,
    },
    /// The routes say it, and the edges of these nodes do not serve it yet.
    Published {
        /// Host names of the nodes.
        behind: BTreeSet<String>,
    },
}

/// A node of the Swarm as a place for tasks of the app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Why it takes no tasks now; `None` when it does.
    pub away: Option<Away>,
    /// Labels that the app asks for and that it does not have, as in `disk=ssd`.
    pub lacks: Vec<String>,
    /// All its memory for tasks, in bytes; zero where nobody knows.
    pub memory: u64,
    /// So much of that is reserved for no task; `None` where it was not counted.
    pub free: Option<u64>,
}

impl Place {
    /// Whether tasks of the app may run there, however large they are.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.away.is_none() && self.lacks.is_empty()
    }

    /// Whether it takes no tasks for a reason that may pass without anybody doing anything.
    #[must_use]
    pub fn may_return(&self) -> bool {
        matches!(self.away, Some(Away::Down | Away::Disconnected | Away::Unknown))
    }
}

/// Why a node takes no tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// Somebody had its tasks moved to others.
    Drained,
    /// Somebody had it keep its tasks and take no more.
    Paused,
    /// The Swarm has not heard from it for too long. It may come back, or another be made in its place.
    Down,
    /// It has ended its session with the Swarm.
    Disconnected,
    /// The Swarm's leader has not heard from it. So is every node for a moment when the leader changes.
    Unknown,
}

impl fmt::Display for Away {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Drained => "drained",
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Disconnected => "disconnected",
            Self::Unknown => "not connected yet",
        })
    }
}

/// An image in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// It was not looked for yet.
    Unknown,
    /// There is none of this name.
    Missing,
    /// It is for another platform.
    OtherPlatform {
        /// The platforms that it is for, as in `linux/arm64`.
        has: String,
    },
    /// It is there.
    Present {
        /// Digest of its manifest.
        digest: String,
        /// Whether it has a HEALTHCHECK that is not switched off.
        has_health_check: bool,
    },
}

/// How far an image is on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull {
    /// Not asked for.
    Absent,
    /// On its way.
    Running,
    /// There.
    Done,
    /// It could not be pulled.
    Failed {
        /// What the engine said.
        reason: String,
        /// What room there was for it; `None` where nobody knows.
        room: Option<Room>,
    },
}

/// The room on a node's disk against the size of an image, in bytes. The Swarm does not say that a disk was full: a task whose pull has
/// failed for that reason says that there is no such image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What the node can still write, by its last heartbeat.
    pub free: u64,
    /// All layers as they are in the registry, packed.
    pub image: u64,
}

/// How far a release hook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookRun {
    /// Not begun.
    Absent,
    /// No node has taken it.
    Waiting {
        /// Since when, in milliseconds since 1970.
        since: u64,
        /// The Swarm's words on why none does.
        error: String,
    },
    /// It runs, since so many milliseconds since 1970.
    Running {
        /// Since when.
        since: u64,
        /// Its last lines, once it has taken longer than it may.
        log: Vec<String>,
    },
    /// It has ended.
    Ended {
        /// Its exit code.
        code: i64,
        /// Its last lines.
        log: Vec<String>,
    },
    /// It could not be started.
    Rejected {
        /// What the engine said.
        reason: String,
    },
}

/// A Swarm service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The Swarm's version of it, which grows with every change.
    pub version: u64,
    /// The release that its label names; `None` when somebody else made it.
    pub release: Option<u64>,
    /// Whether its specification is what the release wants, label aside.
    pub is_as_wanted: bool,
    /// Whether it has the image of the release already, for tasks on nodes with the same labels.
    pub has_image: bool,
    /// What its last update is doing.
    pub update: Update,
    /// Its tasks, also those that have ended, as far as the Swarm keeps them or whoever looks remembers them.
    pub tasks: Vec<Task>,
}

/// What the last update of a service is doing, in Swarm's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Nothing: it never had one, or it has completed.
    Idle,
    /// It replaces tasks.
    Updating,
    /// It stopped, and nobody goes on with it.
    Paused,
    /// It puts the specification before it back.
    RollingBack,
    /// It has put it back.
    RolledBack,
}

/// A Swarm task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The release that its own specification names.
    pub release: Option<u64>,
    /// What it does.
    pub state: TaskState,
    /// Whether the Swarm wants it to run. One that has ended by itself is not wanted any more either: another takes its place.
    pub is_wanted: bool,
    /// The Swarm's or the engine's words on what went wrong; empty for nothing.
    pub error: String,
    /// Its last lines.
    pub log: Vec<String>,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It has no node yet.
    Pending {
        /// Since when, in milliseconds since 1970.
        since: u64,
    },
    /// Its container is being made.
    Starting,
    /// Its container runs.
    Running {
        /// Since when, in milliseconds since 1970.
        since: u64,
        /// What its health check says; `None` before it said anything.
        healthy: Option<bool>,
        /// What the check answered last; empty for nothing.
        answer: String,
    },
    /// It has ended by itself, or was killed although it was wanted.
    Ended {
        /// Exit code of its program.
        code: Option<i64>,
        /// The kernel killed it because it used more memory than it may.
        out_of_memory: bool,
        /// What its health check was answered last, when it was ended because of that; empty where nobody knows.
        unhealthy: Option<String>,
    },
    /// It was stopped because it was not wanted any more, or went with its service or its node.
    Stopped {
        /// Since when, in milliseconds since 1970.
        since: u64,
    },
    /// The engine could not start it.
    Rejected,
}

impl TaskState {
    /// Whether nothing of it runs any more, or ever will.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Stopped { .. } | Self::Rejected)
    }
}
