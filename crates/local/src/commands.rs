//! The verbs of `futuswarm-local`: start and stop the daemon, and ask it.

pub mod doctor;
pub mod node;
pub mod ports;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::{Accel, CloudConfig, Extent};
use crate::control;
use crate::daemon::{self, CloudInfo};
use crate::error::{Error, Result, file};
use crate::front::faults::Progress;
use crate::layout::{Layout, read_json};

/// Making the Python environment is the slow part, the first time.
const START_DEADLINE: Duration = Duration::from_secs(900);
/// Killing machines and removing the namespace takes a second.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Variable in the environment of the daemon and all its children: the cluster's name.
const CLUSTER_MARK: &str = "FUTUSWARM_LOCAL_CLUSTER";
const POLL: Duration = Duration::from_millis(100);

/// Settings and files of the cluster in a spec.
///
/// # Errors
/// When the spec has problems, or is not that of a local cluster.
pub fn open(spec: &Path, accel: Accel) -> Result<(CloudConfig, Layout)> {
    let config = CloudConfig::load(spec, accel)?;
    let layout = Layout::of(&config.cluster)?;
    Ok((config, layout))
}

/// Starts the daemon unless it runs already; returns when everything answers. `extent` says what there is behind the API.
///
/// # Errors
/// When it does not start, or one with other settings runs.
pub async fn up(spec: &Path, accel: Accel, extent: Extent) -> Result<CloudInfo> {
    let (config, layout) = open(spec, accel)?;
    let _command = layout.command_lock()?;
    if layout.daemon_lock()?.is_none() {
        return match (read_json::<CloudConfig>(&layout.config())?, read_json(&layout.cloud())?) {
            (Some(running), Some(cloud)) if same_place(&running, &config) => Ok(cloud),
            (Some(_), Some(_)) => Err(Error::Config(format!(
                "the local cloud {} runs with other settings under [local] or [network]; run `cargo xtask destroy-cluster --local` first",
                config.cluster
            ))),
            _ => wait_until_up(&layout, None).await,
        };
    }
    std::fs::create_dir_all(&layout.dir).map_err(file("cannot create", &layout.dir))?;
    let log = std::fs::File::create(layout.log()).map_err(file("cannot create", &layout.log()))?;
    let errors = log.try_clone().map_err(file("cannot use", &layout.log()))?;
    let exe = std::env::current_exe().map_err(|error| Error::Config(error.to_string()))?;
    let accel = serde_json::to_value(accel).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
    // A process group of its own: Ctrl-C in the terminal is for the command that was typed, not for the cloud.
    let mut daemon = Command::new(exe);
    // The account is the emulator's, whatever the operator's own profile says.
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("AWS_")) {
        daemon.env_remove(key);
    }
    let daemon = daemon
        .args(["daemon", "--accel", &accel, "--spec"])
        .arg(spec)
        .args((extent == Extent::Api).then_some("--api-only"))
        .args((extent == Extent::Databases).then_some("--no-machines"))
        // Every child inherits it, so that whoever looks for leftovers finds them all.
        .env(CLUSTER_MARK, &config.cluster)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(|error| Error::Config(format!("cannot start the daemon: {error}")))?;
    wait_until_up(&layout, Some(daemon)).await
}

/// Sizes of machines may change while the cloud runs; ports and addresses may not.
fn same_place(running: &CloudConfig, wanted: &CloudConfig) -> bool {
    let place = |config: &CloudConfig| {
        (config.region.clone(), config.network, config.api_port, config.http_port, config.https_port)
    };
    place(running) == place(wanted)
}

async fn wait_until_up(layout: &Layout, mut daemon: Option<std::process::Child>) -> Result<CloudInfo> {
    let started = Instant::now();
    let failed = |layout: &Layout| {
        let text = std::fs::read_to_string(layout.log()).unwrap_or_default();
        let reason = text.trim().lines().last().unwrap_or("it said nothing").to_owned();
        Error::NotStarted { reason, log: layout.log() }
    };
    while started.elapsed() < START_DEADLINE {
        if let Some(cloud) = read_json(&layout.cloud())? {
            return Ok(cloud);
        }
        let ended = match &mut daemon {
            Some(daemon) => daemon.try_wait().ok().flatten().is_some(),
            None => layout.daemon_lock()?.is_some(),
        };
        if ended {
            return Err(failed(layout));
        }
        tokio::time::sleep(POLL).await;
    }
    Err(failed(layout))
}

/// What the running cloud says of itself.
///
/// # Errors
/// When it does not run.
pub fn cloud(spec: &Path) -> Result<CloudInfo> {
    let (config, layout) = open(spec, Accel::Auto)?;
    let running = layout.daemon_lock()?.is_none();
    match read_json(&layout.cloud())? {
        Some(cloud) if running => Ok(cloud),
        _ => Err(Error::NotRunning { cluster: config.cluster }),
    }
}

/// Stops the daemon, whatever state it is in, and removes every trace of the cloud. Returns whether there was one.
///
/// # Errors
/// When something cannot be removed.
pub async fn down(spec: &Path) -> Result<bool> {
    let (_, layout) = open(spec, Accel::Auto)?;
    let _command = layout.command_lock()?;
    let mut lock = layout.daemon_lock()?;
    let existed = lock.is_none() || layout.dir.exists();
    if lock.is_none() {
        let asked: Result<()> = control::call(&layout, "POST", "/shutdown", "").await;
        if let Err(error) = asked {
            tracing::debug!(%error, "the daemon did not listen; ending its process");
            end_process(&layout, rustix::process::Signal::TERM);
        }
        let started = Instant::now();
        while lock.is_none() && started.elapsed() < STOP_DEADLINE {
            tokio::time::sleep(POLL).await;
            lock = layout.daemon_lock()?;
        }
        if lock.is_none() {
            end_process(&layout, rustix::process::Signal::KILL);
            tokio::time::sleep(POLL * 5).await;
            lock = layout.daemon_lock()?;
        }
    }
    let Some(_lock) = lock else {
        return Err(Error::Config(format!(
            "the daemon of the local cloud {} does not end; see {}",
            layout.cluster,
            layout.log().display()
        )));
    };
    daemon::clean(&layout).await?;
    match std::fs::remove_dir_all(&layout.dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(file("cannot remove", &layout.dir)(error)),
    }
    Ok(existed)
}

/// Ends the daemon by the process id it has left; it holds its lock, so that id is its own.
fn end_process(layout: &Layout, signal: rustix::process::Signal) {
    let pid = std::fs::read_to_string(layout.pid()).ok().and_then(|pid| pid.trim().parse().ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _already_gone = rustix::process::kill_process(pid, signal);
    }
}

/// The daemon itself, in the foreground.
///
/// # Errors
/// See [`daemon::run`].
pub async fn run_daemon(spec: &Path, accel: Accel, extent: Extent) -> Result<()> {
    let (config, layout) = open(spec, accel)?;
    daemon::run(config, layout, extent).await
}

/// Makes the next answers of the metadata service fail; `faults` is its JSON form.
///
/// # Errors
/// When the cloud does not run or does not understand.
pub async fn inject(spec: &Path, faults: &str) -> Result<()> {
    let (_, layout) = open(spec, Accel::Auto)?;
    control::call(&layout, "POST", "/faults", faults).await
}

/// Makes the next calls of the AWS API fail; `faults` is their JSON form. Without it only says how far the last have come.
///
/// # Errors
/// When the cloud does not run or does not understand.
pub async fn inject_api(spec: &Path, faults: Option<&str>) -> Result<Progress> {
    let (_, layout) = open(spec, Accel::Auto)?;
    if let Some(faults) = faults {
        control::call::<()>(&layout, "POST", "/api-faults", faults).await?;
    }
    control::call(&layout, "GET", "/api-faults", "").await
}
