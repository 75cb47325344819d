//! The service on a node: its clients, its socket, and the tasks beside it.

use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_aws::SdkConfig;
use futuswarm_database::{Rds, Server};
use futuswarm_model::AuditEntry;
use futuswarm_store::S3Bucket;
use futuswarm_swarm::{DockerEngine, LocalState, SwarmApi as _};
use futuswarm_vault::KmsVault;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::audit::Audited;
use crate::control::{Facts, Tools};
use crate::import::OldBuckets;
use crate::records::Records;
use crate::registry::HttpRegistry;
use crate::{Clock, Control, Error, Platform, SystemClock, collect, logins, rollout, run as programs, serve};

/// Between two looks whether the node manages its Swarm already.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// So many lines of the audit wait for the bucket.
pub(crate) const AUDITS: usize = 1000;
/// So many times a line is tried to be written, with its own retries each time.
const AUDIT_ATTEMPTS: u32 = 10;
/// When the service stops, what requests have left behind is cleared for so long, and lines of the audit are written for so long. With
/// the end of requests it is less than the unit's `TimeoutStopSec`.
const LAST: Duration = Duration::from_secs(5);

/// Where things are on the node, and which cluster's it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the service knows of its cluster and its node.
    pub facts: Facts,
    /// Name of the cluster's S3 bucket.
    pub bucket: String,
    /// KMS key (alias) for what only managers may open.
    pub manager_key: String,
    /// Identifier of the cluster's RDS instance, whether there is one or not.
    pub database: String,
    /// What PostgreSQL's programs run in.
    pub tools: Tools,
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
    type Databases = Server<Rds>;
    type Clock = SystemClock;
    type Old = OldBuckets;
}

/// Runs the service until it is told to stop (SIGTERM), or the node is no manager any more; requests that go on are ended in order then.
/// `ready` is called once its socket is there.
///
/// # Errors
/// When its socket cannot be made; everything else is tried again.
pub async fn run(options: Options, sdk: &SdkConfig, ready: impl FnOnce()) -> Result<(), Error> {
    let engine = DockerEngine::new(&options.docker_socket);
    while !is_manager(&engine).await {
        if !options.mark.exists() {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
    let bucket = S3Bucket::new(sdk, &options.bucket);
    let records = Records::new(bucket, KmsVault::new(sdk), &options.facts.cluster, &options.manager_key);
    let (audits, lines) = mpsc::channel(AUDITS);
    let control = Arc::new(Control::<Aws> {
        records,
        engine,
        registry: HttpRegistry::new(&options.registry),
        clock: SystemClock,
        old: OldBuckets::new(sdk.clone()),
        facts: options.facts,
        drives: Default::default(),
        shares: Default::default(),
        databases: Server::new(Rds::new(sdk, &options.database)),
        tools: options.tools,
        connections: Default::default(),
        audits,
        programs: options.programs,
    });
    if let Err(error) = programs::clear(&control, &control.programs).await {
        tracing::warn!(%error, "programs of a service before this one are still there");
    }
    let failed = |error: std::io::Error| Error::Start { what: "the handler of SIGTERM", reason: error.to_string() };
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let listener = listen(&options.socket)?;
    let (no_more, last) = oneshot::channel();
    let auditing = tokio::spawn(audit(Arc::clone(&control), lines, last));
    tokio::spawn(logins::keep(Arc::clone(&control), options.logins));
    tokio::spawn(rollout::search(Arc::clone(&control)));
    tokio::spawn(collect::daily(Arc::clone(&control)));
    ready();
    tracing::info!(version = control.program(), "answers requests");
    let stop = async {
        tokio::select! {
            _signal = terminated.recv() => tracing::info!("is told to stop"),
            () = gone(&options.mark) => tracing::info!("this node is no manager any more"),
        }
    };
    serve::accept(Arc::clone(&control), listener, options.uids, stop).await;
    // Programs whose request did not end in time.
    match timeout(LAST, programs::clear(&control, &control.programs)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "programs may be left, which the next start removes"),
        Err(_) => tracing::warn!("programs may be left, which the next start removes: the engine takes too long"),
    }
    let _gone = no_more.send(());
    if timeout(LAST, auditing).await.is_err() {
        tracing::warn!("some lines of the audit are in the journal only: the bucket takes too long");
    }
    Ok(())
}

/// Ends when the file is gone.
async fn gone(mark: &Path) {
    while mark.exists() {
        sleep(POLL_INTERVAL).await;
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

/// Writes the audit to the bucket, line by line; once there is to be no more, until none waits.
pub(crate) async fn audit<P: Platform>(
    control: Arc<Control<P>>,
    mut lines: mpsc::Receiver<Audited>,
    mut last: oneshot::Receiver<()>,
) {
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            _no_more = &mut last => None,
        };
        let Some(line) = line else { return };
        keep(&control, &line.row(control.clock.unix_millis())).await;
    }
}

/// Writes a line of the audit to the bucket, or all of it to the journal in the end.
async fn keep<P: Platform>(control: &Control<P>, line: &AuditEntry) {
    for attempt in 1..=AUDIT_ATTEMPTS {
        match control.records.audit(line).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, attempt, "a line of the audit is not in the bucket yet"),
        }
        sleep(POLL_INTERVAL).await;
    }
    tracing::warn!(?line, "a line of the audit is in the journal only: the bucket has not taken it");
}
