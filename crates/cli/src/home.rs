//! The folder of the command line: `$FUTUSWARM_HOME`, or `~/.config/futuswarm`. A folder for each cluster, and which one is current.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure, Result};

#[cfg(test)]
mod tests;

/// The folder.
#[derive(Debug, Clone)]
pub struct Home {
    /// Made when something is written into it.
    pub folder: PathBuf,
}

/// How a cluster is reached: `config.toml` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the user is called there; the account is always the same.
    pub user: String,
    /// A name or an address.
    pub host: String,
    /// Of the SSH server.
    pub port: u16,
    /// The private key to offer, when it is not one that `ssh` would offer by itself.
    pub identity: Option<PathBuf>,
    /// Another file than the user's own `~/.ssh/config`; `none` for no file.
    pub ssh_config: Option<PathBuf>,
}

/// A cluster that was logged in to.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Of its folder.
    pub name: String,
    /// With `known_hosts`.
    pub folder: PathBuf,
    /// From `config.toml`.
    pub config: Config,
}

const CONFIG: &str = "config.toml";
/// In a cluster's folder: whose host keys are believed.
pub const KNOWN_HOSTS: &str = "known_hosts";
const CURRENT: &str = "current";

impl Home {
    /// Where it is, by the environment.
    pub fn find() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("FUTUSWARM_HOME")
            .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("futuswarm")))
            .or_else(|| set("HOME").map(|folder| folder.join(".config/futuswarm")));
        let folder = folder
            .ok_or_else(|| Failure::usage("neither FUTUSWARM_HOME nor HOME says where the folder of futuswarm is"))?;
        // `ssh` runs in the same folder, and yet a relative name would be read by its own rules.
        let folder = std::path::absolute(&folder).map_err(|error| Failure::file("use", &folder, &error))?;
        Ok(Self { folder })
    }

    /// Names of the clusters, in order.
    pub fn clusters(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::file("read", &self.folder, &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| cluster_name(name).is_ok() && self.folder.join(name).join(CONFIG).is_file()).collect();
        names.sort();
        Ok(names)
    }

    /// The cluster that commands are for, if that is decided.
    pub fn current(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join(CURRENT)).ok()?;
        Some(text.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Makes a cluster the one that commands are for.
    pub fn set_current(&self, name: &str) -> Result<()> {
        self.write(&self.folder.join(CURRENT), &format!("{name}\n"))
    }

    /// Finds a cluster: the named one, else the current one, else the only one.
    pub fn cluster(&self, name: Option<&str>) -> Result<Cluster> {
        let names = self.clusters()?;
        let login = "`futuswarm login NAME@HOST --host-ca FILE` makes one known";
        let name = match (name.map(str::to_owned).or_else(|| self.current()), names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only.clone(),
            (None, []) => return Err(Failure::usage(format!("no cluster is known: {login}"))),
            (None, _) => {
                return Err(Failure::usage(format!(
                    "several clusters are known ({}): `futuswarm clusters:use NAME`, --cluster or FUTUSWARM_CLUSTER says which",
                    names.join(", ")
                )));
            }
        };
        if !names.contains(&name) {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Failure::new(
                Code::NotFound,
                format!("the cluster {name:?} is not known ({known} is): {login}"),
            ));
        }
        let folder = self.folder.join(&name);
        let file = folder.join(CONFIG);
        let text = std::fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?;
        let config = toml::from_str(&text)
            .map_err(|error| Failure::failed(format!("{} cannot be used: {error}; log in again", file.display())))?;
        Ok(Cluster { name, folder, config })
    }

    /// A folder of its own for a login that may fail.
    pub fn stage(&self) -> Result<tempfile::TempDir> {
        self.make()?;
        tempfile::Builder::new()
            .prefix(".login-")
            .tempdir_in(&self.folder)
            .map_err(|error| Failure::file("write in", &self.folder, &error))
    }

    /// Writes what a login has found.
    pub fn save(&self, name: &str, config: &Config, known_hosts: &str) -> Result<Cluster> {
        let name = cluster_name(name)?;
        let folder = self.folder.join(name);
        make_private(&folder)?;
        self.write(&folder.join(KNOWN_HOSTS), known_hosts)?;
        self.write(&folder.join(CONFIG), &config.render()?)?;
        Ok(Cluster { name: name.to_owned(), folder, config: config.clone() })
    }

    fn make(&self) -> Result<()> {
        make_private(&self.folder)
    }

    /// Replaces a file as a whole, so that a program that runs at the same time reads either the old one or the new one.
    pub fn write(&self, path: &Path, text: &str) -> Result<()> {
        self.make()?;
        let failure = |error: &std::io::Error| Failure::file("write", path, error);
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failure(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| failure(&error))?;
        file.persist(path).map_err(|error| failure(&error.error))?;
        Ok(())
    }
}

impl Config {
    /// As TOML. What JSON calls a string is one of TOML, too, but for one character that nobody may use here.
    fn render(&self) -> Result<String> {
        let quoted = |text: &str| -> Result<String> {
            if text.chars().any(char::is_control) {
                return Err(Failure::usage(format!("{text:?} has characters that no name of a host or a file has")));
            }
            serde_json::to_string(text).map_err(|error| Failure::failed(error.to_string()))
        };
        let mut text =
            format!("user = {}\nhost = {}\nport = {}\n", quoted(&self.user)?, quoted(&self.host)?, self.port);
        for (key, path) in [("identity", &self.identity), ("ssh_config", &self.ssh_config)] {
            if let Some(path) = path {
                let path = path.to_str().ok_or_else(|| {
                    Failure::usage(format!("{}: names of files have to be UTF-8 here", path.display()))
                })?;
                text.push_str(&format!("{key} = {}\n", quoted(path)?));
            }
        }
        Ok(text)
    }
}

/// The cluster that FUTUSWARM_CLUSTER names; a variable that is empty names none.
pub fn of_environment() -> Option<String> {
    let name = std::env::var_os("FUTUSWARM_CLUSTER").filter(|name| !name.is_empty())?;
    Some(name.to_string_lossy().into_owned())
}

/// Makes a folder that only its owner can look into.
pub fn make_private(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::file("make", folder, &error))
}

/// Whether nobody but its owner, who is us, can write into a folder.
pub fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(folder).is_ok_and(|data| {
        data.is_dir() && data.uid() == rustix::process::geteuid().as_raw() && data.permissions().mode() & 0o077 == 0
    })
}

/// The name of a cluster's folder here.
pub fn cluster_name(name: &str) -> Result<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 64
        && name.chars().all(inside)
        && name != CURRENT
    {
        return Ok(name);
    }
    Err(Failure::usage(format!(
        "{name:?} is no name of a cluster: letters, digits, '-', '_' and '.', at most 64; --cluster gives it another one here"
    )))
}
