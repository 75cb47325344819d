//! How `ssh` is called: the user's own, with what is the cluster's put before what their configuration says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};
use crate::home::{self, Cluster, KNOWN_HOSTS};

#[cfg(test)]
mod tests;

/// All hosts of a cluster have the same name for `ssh`, which their certificates are for.
pub const HOST_ALIAS: &str = "futuswarm";
/// Everybody's account; who they are says their key.
pub const ACCOUNT: &str = "futuswarm";
/// What the server is asked to run. It runs something else anyway.
const COMMAND: &str = "futuswarm";
/// Names of Unix sockets end at 104 bytes on macOS, and `ssh` makes a temporary one that is 17 longer.
const LONGEST_SOCKET: usize = 104 - 18;

/// Whose host keys are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those of the cluster's authority.
    Authority,
    /// The same, and no control connection: it would outlive a login that fails.
    Trial,
    /// Whoever answers, this time; the key goes into the file of known hosts.
    First,
}

/// What `ssh` is called with.
///
/// # Errors
/// When a path cannot be written in its configuration.
pub fn arguments(cluster: &Cluster, trust: Trust, batch: bool) -> Result<Vec<OsString>> {
    let config = &cluster.config;
    let mut all: Vec<OsString> = vec!["-T".into()];
    if let Some(file) = &config.ssh_config {
        all.extend(["-F".into(), file.into()]);
    }
    let strict = match trust {
        Trust::Authority | Trust::Trial => "yes",
        Trust::First => "accept-new",
    };
    let mut option = |name: &str, value: &str| all.extend(["-o".into(), format!("{name}={value}").into()]);
    option("HostKeyAlias", HOST_ALIAS);
    option("UserKnownHostsFile", &quoted(&cluster.folder.join(KNOWN_HOSTS))?);
    for (name, value) in [
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", strict),
        ("CheckHostIP", "no"),
        // It would write the plain keys of single hosts into our file.
        ("UpdateHostKeys", "no"),
        ("ForwardAgent", "no"),
        ("ForwardX11", "no"),
        ("ClearAllForwardings", "yes"),
        ("PermitLocalCommand", "no"),
        ("RemoteCommand", "none"),
        ("RequestTTY", "no"),
        ("EscapeChar", "none"),
        ("Compression", "no"),
        ("LogLevel", "ERROR"),
        ("ConnectTimeout", "10"),
        ("ConnectionAttempts", "2"),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "3"),
    ] {
        option(name, value);
    }
    match control_path(cluster).filter(|_| trust == Trust::Authority) {
        Some(path) => {
            option("ControlMaster", "auto");
            option("ControlPath", &quoted(&path)?);
            option("ControlPersist", "10m");
        }
        // Also against one that the user's configuration names, where another host key was accepted.
        None => {
            option("ControlMaster", "no");
            option("ControlPath", "none");
        }
    }
    if batch {
        option("BatchMode", "yes");
    }
    if let Some(identity) = &config.identity {
        option("IdentityFile", &quoted(identity)?);
        option("IdentitiesOnly", "yes");
    }
    all.extend(["-p".into(), config.port.to_string().into()]);
    all.extend(["-l".into(), ACCOUNT.into(), "--".into(), config.host.clone().into(), COMMAND.into()]);
    Ok(all)
}

/// A path as a value of ssh_config(5): it may have spaces and quotes, and its `%` are no tokens.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\0']) && !text.contains("${")).ok_or_else(|| {
        Failure::usage(format!("{}: ssh cannot be told this path (line ends, `${{` or no UTF-8)", path.display()))
    })?;
    let mut value = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => value.extend(['\\', c]),
            '%' => value.push_str("%%"),
            c => value.push(c),
        }
    }
    value.push('"');
    Ok(value)
}

/// Where the control connection's socket is: in the cluster's folder, or in a private one with a short name when that would be too
/// long for a Unix socket; `None` for no control connection.
fn control_path(cluster: &Cluster) -> Option<PathBuf> {
    let config = &cluster.config;
    // Who logs in again with another key or host must not get the connection of before.
    let mut hash = Sha256::new();
    for part in [config.user.as_bytes(), config.host.as_bytes(), &config.port.to_be_bytes()]
        .into_iter()
        .chain(config.identity.iter().map(|path| path.as_os_str().as_bytes()))
        .chain([cluster.folder.as_os_str().as_bytes()])
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let name = format!("s-{}", hex::encode(&hash.finalize()[..6]));
    let near = cluster.folder.join(&name);
    if near.as_os_str().len() <= LONGEST_SOCKET {
        return Some(near);
    }
    let user = rustix::process::geteuid().as_raw();
    let folders = [std::env::temp_dir(), PathBuf::from("/tmp")];
    folders.into_iter().map(|folder| folder.join(format!("futuswarm-{user}"))).find_map(|folder| {
        let path = folder.join(&name);
        let short = path.as_os_str().len() <= LONGEST_SOCKET;
        // Somebody else may have made a folder of this name: then there is no control connection.
        (short && home::make_private(&folder).is_ok() && home::is_private(&folder)).then_some(path)
    })
}

/// One thing to do about what `ssh` has said.
pub fn remedy(words: &str, cluster: &Cluster) -> String {
    let host = &cluster.config.host;
    let has = |text: &str| words.contains(text);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("Host key verification failed") || has("host key is known")
    {
        format!(
            "{host} does not prove that it is of this cluster; if its authority was renewed, log in again with --host-ca"
        )
    } else if has("Permission denied") || has("Too many authentication failures") {
        format!(
            "the cluster does not know your key: an admin can add it (`futuswarm admin:user:add {} --key FILE`), or say which one to offer with `futuswarm login … --identity FILE`",
            cluster.config.user
        )
    } else if has("Could not resolve hostname") {
        format!("is {host} right, and the network up? `futuswarm login` sets another host")
    } else if has("timed out") || has("refused") || has("No route to host") || has("unreachable") {
        format!(
            "is your address in `ssh.allowed_cidrs` of the cluster, and port {} of {host} open?",
            cluster.config.port
        )
    } else {
        format!("`ssh -v -p {} -l {ACCOUNT} {host}` shows more", cluster.config.port)
    }
}
