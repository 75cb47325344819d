//! The service on a node: its clients, its socket, and the tasks beside it.

use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_aws::SdkConfig;
use futuswarm_store::S3Bucket;
use futuswarm_swarm::{DockerEngine, LocalState, SwarmApi as _};
use futuswarm_vault::KmsVault;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::audit::Audited;
use crate::control::Facts;
use crate::records::Records;
use crate::registry::HttpRegistry;
use crate::{Clock, Control, Error, Platform, SystemClock, logins, rollout, run as programs, serve};

/// Between two looks whether the node manages its Swarm already.
const LOOK: Duration = Duration::from_secs(3);
/// So many lines of the audit wait for the bucket.
const AUDITS: usize = 1000;
/// So many times a line is tried to be written, with its own retries each time.
const AUDIT_ATTEMPTS: u32 = 10;

/// Where things are on the node, and which cluster's it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the service knows of its cluster and its node.
    pub facts: Facts,
    /// Name of the cluster's S3 bucket.
    pub bucket: String,
    /// KMS key (alias) for what only managers may open.
    pub manager_key: String,
    /// The engine's socket.
    pub docker_socket: String,
    /// The node's registry, as in `http://127.0.0.1:5000`.
    pub registry: String,
    /// Where the service listens ([`futuswarm_node_files::CONTROL_SOCKET`]).
    pub socket: PathBuf,
    /// The list of keys that may log in ([`futuswarm_node_files::LOGINS`]).
    pub logins: PathBuf,
    /// A folder in memory for the secrets of one-off programs.
    pub programs: PathBuf,
    /// Users of the node who may connect: that of sessions, and root.
    pub uids: Vec<u32>,
    /// The service ends when this is gone: the node is no manager any more.
    pub mark: PathBuf,
}

/// A manager of AWS, or of the local cloud.
struct Aws(PhantomData<()>);

impl Platform for Aws {
    type Bucket = S3Bucket;
    type Keys = KmsVault;
    type Engine = DockerEngine;
    type Registry = HttpRegistry;
    type Clock = SystemClock;
}

/// Runs the service until its process ends. `ready` is called once its socket is there.
///
/// # Errors
/// When its socket cannot be made; everything else is tried again.
pub async fn run(options: Options, sdk: &SdkConfig, ready: impl FnOnce()) -> Result<(), Error> {
    let engine = DockerEngine::new(&options.docker_socket);
    while !is_manager(&engine).await {
        if !options.mark.exists() {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    let bucket = S3Bucket::new(sdk, &options.bucket);
    let records = Records::new(bucket, KmsVault::new(sdk), &options.facts.cluster, &options.manager_key);
    let (audits, lines) = mpsc::channel(AUDITS);
    let control = Arc::new(Control::<Aws> {
        records,
        engine,
        registry: HttpRegistry::new(&options.registry),
        clock: SystemClock,
        facts: options.facts,
        drives: rollout::Drives::default(),
        uploads: Default::default(),
        audits,
        programs: options.programs,
    });
    if let Err(error) = programs::clear(&control, &control.programs).await {
        tracing::warn!(%error, "programs of a service before this one are still there");
    }
    let listener = listen(&options.socket)?;
    tokio::spawn(audit(Arc::clone(&control), lines));
    tokio::spawn(logins::keep(Arc::clone(&control), options.logins));
    tokio::spawn(rollout::search(Arc::clone(&control)));
    ready();
    tracing::info!(version = control.program(), "answers requests");
    tokio::select! {
        () = serve::accept(control, listener, options.uids) => {}
        () = gone(&options.mark) => tracing::info!("this node is no manager any more"),
    }
    Ok(())
}

/// Ends when the file is gone.
async fn gone(mark: &Path) {
    while mark.exists() {
        sleep(LOOK).await;
    }
}

async fn is_manager(engine: &DockerEngine) -> bool {
    matches!(engine.membership().await, Ok(membership) if membership.controls && membership.state == LocalState::Active)
}

/// The socket, in the place of one that a service before this one has left.
fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |error: std::io::Error| Error::Start {
        what: "the control socket",
        reason: format!("{}: {error}", path.display()),
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The unit's group may connect. Whoever does is asked for their user, too; the mode only keeps others from trying.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Writes the audit to the bucket, line by line.
async fn audit<P: Platform>(control: Arc<Control<P>>, mut lines: mpsc::Receiver<Audited>) {
    while let Some(line) = lines.recv().await {
        let entry = line.row(control.clock.unix_millis());
        for attempt in 0..AUDIT_ATTEMPTS {
            match control.records.audit(&entry).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, attempt, "a line of the audit is not in the bucket yet"),
            }
            sleep(LOOK).await;
        }
    }
}
