//! One machine: its engine's own state, and what is on its disk.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::Role;
use tokio::time::Instant;

use super::containers::FakeContainer;
use super::programs::FakeProgram;

/// An engine's own state, kept on its disk.
#[derive(Debug, Clone)]
pub(super) enum Local {
    Inactive,
    Joining(Join),
    Member { swarm: String, node: String },
    Failed { error: String },
    Locked,
}

/// A join that goes on whether or not anybody waits for it.
#[derive(Debug, Clone)]
pub(super) struct Join {
    pub(super) swarm: String,
    pub(super) role: Role,
    /// Host name of the manager that was asked, if there is such a machine.
    pub(super) manager: Option<String>,
    /// When it is through, if the Swarm has a leader by then.
    pub(super) at: Instant,
    /// When it has failed otherwise.
    pub(super) fails_at: Instant,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) address: String,
    pub(super) running: bool,
    pub(super) terminated: bool,
    pub(super) local: Local,
    pub(super) images: BTreeSet<String>,
    pub(super) containers: BTreeMap<String, FakeContainer>,
    pub(super) bridges: BTreeSet<String>,
    pub(super) programs: BTreeMap<String, FakeProgram>,
    /// Why it can pull nothing.
    pub(super) pulls_fail: Option<String>,
    /// Whether it never sends a log.
    pub(super) logs_hang: bool,
}
