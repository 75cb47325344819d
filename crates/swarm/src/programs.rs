//! Programs that somebody runs by hand: one container on this node, outside of the Swarm's scheduler, with its input and output.

use std::collections::HashMap;

use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;

use crate::{Capabilities, Environment, Error, NetworkAttachment, PlatformMount, Resources};

/// Label of the containers that are such programs.
pub(crate) const PROGRAM_LABEL: &str = "futuswarm.program";

/// A program to run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Unique on the node.
    pub name: String,
    /// The image, present on this node.
    pub image: String,
    /// Program and arguments; no shell reads them.
    pub argv: Vec<String>,
    /// Its variables.
    pub environment: Environment,
    /// Labels of the container.
    pub labels: HashMap<String, String>,
    /// What the platform itself mounts.
    pub mounts: Vec<PlatformMount>,
    /// Attachable overlays, by id.
    pub networks: Vec<NetworkAttachment>,
    /// Its limits; nothing is reserved outside of the Swarm.
    pub resources: Resources,
    /// Which of Docker's default capabilities remain.
    pub capabilities: Capabilities,
    /// Whether it cannot write to its root file system.
    pub read_only: bool,
    /// Whether it gets a terminal. Its output is then one stream.
    pub terminal: bool,
}

/// A program that was made here and not removed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name of the container.
    pub name: String,
    /// Labels of the container.
    pub labels: HashMap<String, String>,
    /// Whether it runs.
    pub running: bool,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// A piece of a program's output, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output, or all of it for a program with a terminal.
    Stdout(Vec<u8>),
    /// Standard error.
    Stderr(Vec<u8>),
}

/// What the health check of a container says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// `None` before it has said anything that counts, and where there is no check.
    pub healthy: Option<bool>,
    /// What it printed last; empty for nothing.
    pub answer: String,
}

/// Input and output of a program.
pub struct Attached {
    /// Shutting it down is the end of the program's standard input.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Ends when the program has closed its output.
    pub output: BoxStream<'static, Result<Output, Error>>,
}

/// `docker create`, `attach`, `wait` and `kill`.
///
/// The engine's own removal of containers that have ended is not asked for: it may remove one before its exit code was read, and does
/// nothing after a crash. Nothing is removed on drop either. Whoever makes a program removes it with
/// [`crate::ContainerApi::remove_container`], and clears with [`ProgramApi::list_programs`] what a predecessor has left.
pub trait ProgramApi: Send + Sync {
    /// Makes the container of a program, which does not run yet: attach first, then [`crate::ContainerApi::start_container`].
    ///
    /// # Errors
    /// When the image is not here ([`Error::is_not_found`]), there is one of that name, or the engine refuses.
    fn create_program(&self, spec: &ProgramSpec) -> impl Future<Output = Result<(), Error>> + Send;

    /// Input and output of a program from now on.
    ///
    /// # Errors
    /// When there is none of this name.
    fn attach_program(&self, name: &str, terminal: bool) -> impl Future<Output = Result<Attached, Error>> + Send;

    /// Tells a program the size of its terminal. It must have been started.
    ///
    /// # Errors
    /// When it does not run, or has no terminal.
    fn resize_program(&self, name: &str, rows: u16, columns: u16) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sends a signal, by its name without `SIG`; no error when the program has ended.
    ///
    /// # Errors
    /// When there is no such program or signal.
    fn signal_program(&self, name: &str, signal: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits for the end of a program that was started, however long it takes, and returns its exit code. Asking again is safe.
    ///
    /// # Errors
    /// When there is none of this name, or the engine goes away.
    fn wait_program(&self, name: &str) -> impl Future<Output = Result<i64, Error>> + Send;

    /// Whether the kernel killed a container of this node because it used more memory than it may; also of a task, by its
    /// container's id. `None` when there is no such container any more.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn memory_ran_out(&self, container: &str) -> impl Future<Output = Result<Option<bool>, Error>> + Send;

    /// What the health check of a container of this node says; also of a task, by its container's id. `None` when there is no such
    /// container any more.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn last_check(&self, container: &str) -> impl Future<Output = Result<Option<CheckResult>, Error>> + Send;

    /// Programs of this node, running or not.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn list_programs(&self) -> impl Future<Output = Result<Vec<Program>, Error>> + Send;
}
