//! The verbs of `futuswarm-local`: start and stop the daemon, and ask it.

pub mod doctor;
pub mod node;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futuswarm_local_api::faults::{self, Progress};
use futuswarm_local_api::place::CLUSTER_VARIABLE;
use futuswarm_local_api::{CloudInfo, metadata_faults};

use crate::config::{Accel, CloudConfig, Mode, PORT_KEYS};
use crate::daemon;
use crate::error::{Error, Result, file};
use crate::ports::{self, Moved};
use crate::state_dir::{StateDir, read_json};

/// Making the Python environment is the slow part, the first time.
const START_DEADLINE: Duration = Duration::from_secs(900);
/// Killing machines and removing the namespace takes a second.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Settings and files of the cluster in a spec.
///
/// # Errors
/// When the spec has problems, or is not that of a local cluster.
pub fn open(spec: &Path, accel: Accel) -> Result<(CloudConfig, StateDir)> {
    let config = CloudConfig::load(spec, accel)?;
    let state_dir = StateDir::of(&config.cluster)?;
    Ok((config, state_dir))
}

/// A cloud that runs, and the ports that it was given just now instead of the usual ones.
#[derive(Debug)]
pub struct Up {
    /// What it says of itself.
    pub cloud: CloudInfo,
    /// Empty when it ran already.
    pub moved: Vec<Moved>,
}

/// Starts the daemon unless it runs already; returns when everything answers. `mode` says what there is behind the API.
///
/// # Errors
/// When it does not start, a port that the spec sets is taken, or one with other settings runs.
pub async fn up(spec: &Path, accel: Accel, mode: Mode) -> Result<Up> {
    let (config, state_dir) = open(spec, accel)?;
    let _command = state_dir.command_lock()?;
    if state_dir.daemon_lock()?.is_none() {
        return match (read_json::<CloudConfig>(&state_dir.config())?, read_json(&state_dir.cloud())?) {
            (Some(running), Some(cloud)) if same_place(&running, &config) => Ok(Up { cloud, moved: Vec::new() }),
            (Some(_), Some(_)) => Err(Error::Config(format!(
                "the local cloud {} runs with other settings under [local] or [network]; run `cargo xtask destroy-cluster --local` first",
                config.cluster
            ))),
            _ => Ok(Up { cloud: wait_until_up(&state_dir, None).await?, moved: Vec::new() }),
        };
    }
    let (ports, moved) = ports::choose(config.ports(), |key| config.set_ports.contains(key), ports::is_free);
    for (port, key) in ports.into_iter().zip(PORT_KEYS) {
        daemon::check_port(port, key)?;
    }
    std::fs::create_dir_all(&state_dir.dir).map_err(file("cannot create", &state_dir.dir))?;
    let log = std::fs::File::create(state_dir.log()).map_err(file("cannot create", &state_dir.log()))?;
    let errors = log.try_clone().map_err(file("cannot use", &state_dir.log()))?;
    let exe = std::env::current_exe().map_err(Error::System)?;
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
        .args((mode == Mode::Api).then_some("--api-only"))
        .args((mode == Mode::Databases).then_some("--no-machines"))
        .arg("--ports")
        .args([ports.map(|port| port.to_string()).join(",")])
        // Every child inherits it, so that whoever looks for leftovers finds them all.
        .env(CLUSTER_VARIABLE, &state_dir.dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(|error| Error::Config(format!("cannot start the daemon: {error}")))?;
    Ok(Up { cloud: wait_until_up(&state_dir, Some(daemon)).await?, moved })
}

/// Sizes of machines may change while the cloud runs; addresses and ports that the spec sets may not.
fn same_place(running: &CloudConfig, desired: &CloudConfig) -> bool {
    let ports = running.ports().into_iter().zip(desired.ports()).zip(PORT_KEYS);
    let same_ports =
        ports.into_iter().all(|((running, port), key)| running == port || !desired.set_ports.contains(key));
    same_ports && running.region == desired.region && running.network == desired.network
}

async fn wait_until_up(state_dir: &StateDir, mut daemon: Option<std::process::Child>) -> Result<CloudInfo> {
    let started = Instant::now();
    let failed = |state_dir: &StateDir| {
        let text = std::fs::read_to_string(state_dir.log()).unwrap_or_default();
        let reason = text.trim().lines().last().unwrap_or("it said nothing").to_owned();
        Error::NotStarted { reason, log: state_dir.log() }
    };
    while started.elapsed() < START_DEADLINE {
        if let Some(cloud) = read_json(&state_dir.cloud())? {
            return Ok(cloud);
        }
        let ended = match &mut daemon {
            Some(daemon) => daemon.try_wait().ok().flatten().is_some(),
            None => state_dir.daemon_lock()?.is_some(),
        };
        if ended {
            return Err(failed(state_dir));
        }
        tokio::time::sleep(POLL).await;
    }
    Err(failed(state_dir))
}

/// What the running cloud says of itself.
///
/// # Errors
/// When it does not run.
pub fn cloud(spec: &Path) -> Result<CloudInfo> {
    let (config, state_dir) = open(spec, Accel::Auto)?;
    let running = state_dir.daemon_lock()?.is_none();
    match read_json(&state_dir.cloud())? {
        Some(cloud) if running => Ok(cloud),
        _ => Err(Error::NotRunning { cluster: config.cluster }),
    }
}

/// Stops the daemon, whatever state it is in, and removes every trace of the cloud. Returns whether there was one.
///
/// # Errors
/// When something cannot be removed.
pub async fn down(spec: &Path) -> Result<bool> {
    let (_, state_dir) = open(spec, Accel::Auto)?;
    let _command = state_dir.command_lock()?;
    let mut lock = state_dir.daemon_lock()?;
    let existed = lock.is_none() || state_dir.dir.exists();
    if lock.is_none() {
        if let Err(error) = state_dir.client().shutdown() {
            tracing::debug!(%error, "the daemon did not listen; ending its process");
            end_process(&state_dir, rustix::process::Signal::TERM);
        }
        let started = Instant::now();
        while lock.is_none() && started.elapsed() < STOP_DEADLINE {
            tokio::time::sleep(POLL).await;
            lock = state_dir.daemon_lock()?;
        }
        if lock.is_none() {
            end_process(&state_dir, rustix::process::Signal::KILL);
            tokio::time::sleep(POLL * 5).await;
            lock = state_dir.daemon_lock()?;
        }
    }
    let Some(_lock) = lock else {
        return Err(Error::Config(format!(
            "the daemon of the local cloud {} does not end; see {}",
            state_dir.cluster,
            state_dir.log().display()
        )));
    };
    daemon::clean(&state_dir).await?;
    match std::fs::remove_dir_all(&state_dir.dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(file("cannot remove", &state_dir.dir)(error)),
    }
    Ok(existed)
}

/// Ends the daemon by the process id it has left; it holds its lock, so that id is its own.
fn end_process(state_dir: &StateDir, signal: rustix::process::Signal) {
    let pid = std::fs::read_to_string(state_dir.pid()).ok().and_then(|pid| pid.trim().parse().ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _already_gone = rustix::process::kill_process(pid, signal);
    }
}

/// The daemon itself, in the foreground. `ports` are those that [`up`] has chosen, in the order of [`PORT_KEYS`].
///
/// # Errors
/// See [`daemon::run`].
pub async fn run_daemon(spec: &Path, accel: Accel, mode: Mode, ports: Option<[u16; 4]>) -> Result<()> {
    let (config, state_dir) = open(spec, accel)?;
    let ports = ports.unwrap_or(config.ports());
    daemon::run(config.with_ports(ports), state_dir, mode).await
}

/// Makes the next answers of the metadata service fail; `faults` is its JSON form.
///
/// # Errors
/// When the cloud does not run or does not understand.
pub fn inject(spec: &Path, faults: &str) -> Result<()> {
    let (_, state_dir) = open(spec, Accel::Auto)?;
    let rules = metadata_faults::parse(faults.as_bytes())?;
    state_dir.client().set_metadata_faults(&rules).map_err(state_dir.failed())
}

/// Records the requests of the AWS API at the end of a file, or ceases to.
///
/// # Errors
/// When the cloud does not run, or the file cannot be opened.
pub fn record(spec: &Path, path: Option<&Path>) -> Result<()> {
    let (_, state_dir) = open(spec, Accel::Auto)?;
    // The daemon's folder is another one than the caller's.
    let path = path.map(|path| std::path::absolute(path).map_err(file("cannot find", path))).transpose()?;
    state_dir.client().record(path.as_deref()).map_err(state_dir.failed())
}

/// Makes the next calls of the AWS API fail; `faults` is their JSON form. Without it only says how far the last have come.
///
/// # Errors
/// When the cloud does not run or does not understand.
pub fn inject_api(spec: &Path, faults: Option<&str>) -> Result<Progress> {
    let (_, state_dir) = open(spec, Accel::Auto)?;
    if let Some(faults) = faults {
        let rules = faults::parse(faults.as_bytes())?;
        state_dir.client().set_api_faults(&rules).map_err(state_dir.failed())?;
    }
    state_dir.client().api_faults().map_err(state_dir.failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_that_got_other_ports_than_the_usual_ones_is_found_again() {
        let text = include_str!("../../../clusters/local.toml");
        let config = |text: &str| CloudConfig::parse("x.toml", text, Accel::Tcg).unwrap();
        let running = config(text).with_ports([4567, 8081, 8444, 2223]);
        assert!(same_place(&running, &config(text)));
        assert!(same_place(&running, &config(&text.replace("# api_port = 4566 ", "api_port = 4567 "))));
        assert!(!same_place(&running, &config(&text.replace("# api_port = 4566 ", "api_port = 4566 "))));
        assert!(!same_place(&running, &config(&text.replace("10.42.0.0/16", "10.43.0.0/16"))));
    }
}
