//! Where Futuswarm keeps things on an operator's machine: cache, state, and the repository itself.
//!
//! Follows the XDG Base Directory Specification, with two overrides of our own so that a machine can keep the large
//! files on another disk.

use std::path::{Path, PathBuf};

/// A directory that cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the override, the XDG variable nor `HOME` is set.
    #[error("cannot tell where the {what} directory is: set {variable}, {xdg} or HOME")]
    NoHome {
        /// "cache" or "state".
        what: &'static str,
        /// For example `FUTUSWARM_CACHE`.
        variable: &'static str,
        /// For example `XDG_CACHE_HOME`.
        xdg: &'static str,
    },
    /// The current directory is not inside a clone of the repository.
    #[error(
        "{start} is not inside a clone of the futuswarm repository: run this through `cargo xtask` in the clone, or set {WORKSPACE_VARIABLE}"
    )]
    NoWorkspace {
        /// Where the search began.
        start: PathBuf,
    },
    /// The current directory is gone or unreadable.
    #[error("cannot read the current directory")]
    CurrentDirectory(#[source] std::io::Error),
}

/// Environment variable that overrides the cache directory.
pub const CACHE_VARIABLE: &str = "FUTUSWARM_CACHE";
/// Environment variable that overrides the state directory.
pub const STATE_VARIABLE: &str = "FUTUSWARM_STATE";
/// Environment variable, set by xtask, that names the root of the clone.
pub const WORKSPACE_VARIABLE: &str = "FUTUSWARM_WORKSPACE";

/// Large files that can be made again: the tools tree, package files, base trees, the emulator's virtual environment.
pub fn cache_dir() -> Result<PathBuf, Error> {
    resolve("cache", CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache", &from_environment)
}

/// What a running local cloud and the operator's keys need to survive between commands.
pub fn state_dir() -> Result<PathBuf, Error> {
    resolve("state", STATE_VARIABLE, "XDG_STATE_HOME", ".local/state", &from_environment)
}

/// The root of the clone: `FUTUSWARM_WORKSPACE`, or the nearest parent of the current directory that holds `xtask/`.
pub fn workspace_root() -> Result<PathBuf, Error> {
    if let Some(path) = from_environment(WORKSPACE_VARIABLE) {
        return Ok(path);
    }
    let start = std::env::current_dir().map_err(Error::CurrentDirectory)?;
    start.ancestors().find(|dir| is_workspace(dir)).map(Path::to_path_buf).ok_or(Error::NoWorkspace { start })
}

fn is_workspace(dir: &Path) -> bool {
    dir.join("xtask/Cargo.toml").is_file() && dir.join("images/node").is_dir()
}

fn from_environment(variable: &str) -> Option<PathBuf> {
    // An empty or relative value is treated as unset, as the XDG specification asks.
    let set = std::env::var_os(variable).map(PathBuf::from);
    // Where services start programs nobody has set HOME; the system's list of users has it all the same.
    let set = set.or_else(|| if variable == "HOME" { std::env::home_dir() } else { None });
    set.filter(|path| path.is_absolute())
}

fn resolve(
    what: &'static str,
    variable: &'static str,
    xdg: &'static str,
    under_home: &str,
    lookup: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<PathBuf, Error> {
    lookup(variable)
        .or_else(|| lookup(xdg).map(|base| base.join("futuswarm")))
        .or_else(|| lookup("HOME").map(|home| home.join(under_home).join("futuswarm")))
        .ok_or(Error::NoHome { what, variable, xdg })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(set: &[(&str, &str)]) -> Result<PathBuf, Error> {
        let lookup = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
        resolve("cache", CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache", &lookup)
    }

    #[test]
    fn the_override_wins_then_xdg_then_home() {
        let all = [(CACHE_VARIABLE, "/big"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/ada")];
        assert_eq!(cache(&all).unwrap(), PathBuf::from("/big"));
        assert_eq!(cache(&all[1..]).unwrap(), PathBuf::from("/xdg/futuswarm"));
        assert_eq!(cache(&all[2..]).unwrap(), PathBuf::from("/home/ada/.cache/futuswarm"));
    }

    #[test]
    fn nothing_set_names_the_variables_to_set() {
        let message = cache(&[]).unwrap_err().to_string();
        assert_eq!(message, "cannot tell where the cache directory is: set FUTUSWARM_CACHE, XDG_CACHE_HOME or HOME");
    }
}
