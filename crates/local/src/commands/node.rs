//! Verbs about one machine: kill, console, ssh.

use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futuswarm_tools::ToolsTree;

use crate::child::EXEC_CHILD;
use crate::config::Accel;
use crate::dnsmasq::host_argv;
use crate::error::{Error, Result, file};
use crate::network::{Network, OPERATOR};
use crate::state_dir::StateDir;
use futuswarm_local_api::VmStatus;

/// A growing console is read this often.
const FOLLOW: Duration = Duration::from_millis(200);

/// All machines of a cluster.
///
/// # Errors
/// When the cloud does not run.
pub fn machines(spec: &Path) -> Result<Vec<VmStatus>> {
    let (_, state_dir) = super::open(spec, Accel::Auto)?;
    state_dir.client().machines().map_err(state_dir.failed())
}

/// The machine that `name` means: an instance id, its unique beginning (with or without `i-`), or an address.
fn find(state_dir: &StateDir, name: &str) -> Result<VmStatus> {
    let all = state_dir.client().machines().map_err(state_dir.failed())?;
    choose(all, name)
}

fn choose(all: Vec<VmStatus>, name: &str) -> Result<VmStatus> {
    let list =
        all.iter().map(|machine| format!("{} ({})", machine.instance, machine.address)).collect::<Vec<_>>().join(", ");
    let matches = |machine: &VmStatus| {
        machine.address == name
            || (!name.is_empty()
                && (machine.instance.starts_with(name) || machine.instance.starts_with(&format!("i-{name}"))))
    };
    let mut found: Vec<VmStatus> = all.into_iter().filter(matches).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::NoSuchNode { name: name.to_owned(), list }),
        count => Err(Error::AmbiguousNode { name: name.to_owned(), count, list }),
    }
}

/// Cuts a machine's power; returns its instance id.
///
/// # Errors
/// When there is no such machine.
pub fn kill(spec: &Path, name: &str) -> Result<String> {
    let (_, state_dir) = super::open(spec, Accel::Auto)?;
    let machine = find(&state_dir, name)?;
    if state_dir.client().kill(&machine.instance).map_err(state_dir.failed())? {
        return Ok(machine.instance);
    }
    Err(Error::Config(format!("{} had ended already", machine.instance)))
}

/// Writes a machine's console to `out`; goes on until the machine is gone when `follow` is set.
///
/// # Errors
/// When there is no such machine.
pub async fn console(spec: &Path, name: &str, follow: bool, out: &mut dyn Write) -> Result<()> {
    let (_, state_dir) = super::open(spec, Accel::Auto)?;
    let machine = find(&state_dir, name)?;
    let path = state_dir.vm(&machine.instance).join("console.log");
    let mut at = 0;
    loop {
        let mut log = match std::fs::File::open(&path) {
            Ok(log) => log,
            // The folder goes with the machine.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && at > 0 => return Ok(()),
            Err(error) => return Err(file("cannot open", &path)(error)),
        };
        log.seek(SeekFrom::Start(at)).map_err(file("cannot read", &path))?;
        let mut text = Vec::new();
        at += log.read_to_end(&mut text).map_err(file("cannot read", &path))? as u64;
        // A reader that has closed its end has seen enough.
        if out.write_all(&text).and_then(|()| out.flush()).is_err() || !follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Becomes an SSH client on a machine. Returns only when that failed.
///
/// # Errors
/// When there is no such machine or SSH cannot be started.
pub fn ssh(spec: &Path, name: &str, command: &[String]) -> Result<()> {
    let (_, state_dir) = super::open(spec, Accel::Auto)?;
    let machine = find(&state_dir, name)?;
    let tools = ToolsTree::locate()?;
    let network = Network::named(&state_dir.netns());
    let exe = std::env::current_exe().map_err(Error::System)?;
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let mut ssh = Command::new(exe);
    ssh.arg(EXEC_CHILD).arg(parent.to_string()).arg(network.path()).args(host_argv(&tools, "ssh")?);
    // A machine's host key is made at its start and cannot be known; the network is this machine's own namespace.
    for option in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        "ConnectTimeout=15",
    ] {
        ssh.args(["-o", option]);
    }
    ssh.args(["-b", &OPERATOR.to_string(), "-F", "/dev/null", "-i"])
        .arg(state_dir.ssh_key())
        .arg(format!("admin@{}", machine.address))
        .args(command);
    let error = ssh.exec();
    Err(Error::Command { command: "ssh".to_owned(), detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(instance: &str, address: &str) -> VmStatus {
        VmStatus {
            instance: instance.to_owned(),
            address: address.to_owned(),
            zone: String::new(),
            image: String::new(),
            image_name: String::new(),
            group: String::new(),
            state: "running".to_owned(),
            powered_on: 0,
            pid: 0,
        }
    }

    #[test]
    fn a_node_is_named_by_id_beginning_or_address() {
        let all = || vec![machine("i-0abc", "10.42.0.4"), machine("i-0abd", "10.42.0.40")];
        for name in ["i-0abc", "0abc", "10.42.0.4"] {
            assert_eq!(choose(all(), name).unwrap().instance, "i-0abc", "{name}");
        }
        let message = choose(all(), "i-0ab").unwrap_err().to_string();
        assert!(message.starts_with("i-0ab could be 2 nodes"), "{message}");
        let message = choose(all(), "i-9").unwrap_err().to_string();
        assert_eq!(message, "there is no node i-9; there are: i-0abc (10.42.0.4), i-0abd (10.42.0.40)");
        assert!(choose(all(), "").is_err());
    }
}
