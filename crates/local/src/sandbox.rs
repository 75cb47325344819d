//! Running a program of the tools tree as an unprivileged user, with the tree as its root folder and one folder of ours in it.
//!
//! PostgreSQL refuses to be root, and starts programs of its own that need the tree's libraries; so, other than the other
//! programs of the tree, it gets a mount namespace and a root folder. Nothing of that outlives it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::child::{self, args, command_line};
use crate::error::{Error, Result, file};
use futuswarm_local_api::place::CLUSTER_VARIABLE;

/// The name of the hidden sub-command.
pub const EXEC_SANDBOXED: &str = "exec-sandboxed";
/// Where the program finds the one folder.
pub const FOLDER: &str = "/srv";

/// Where and as whom a program runs.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The tools tree.
    pub tree: PathBuf,
    /// The folder of ours.
    pub folder: PathBuf,
    /// Network namespace.
    pub netns: PathBuf,
    /// User and group, by number: the tree's, not the host's.
    pub ids: (u32, u32),
}

impl Sandbox {
    /// The command that runs a program of the tree; its path is one inside of the tree.
    pub fn command(&self, program: &[OsString]) -> Command {
        // By the process and not by its file: `unshare` comes in between, and a rebuild replaces the file.
        let ourselves = format!("/proc/{}/exe", std::process::id());
        let mut argv = args(["unshare", "--mount", "--propagation", "private", "--", &ourselves, EXEC_SANDBOXED]);
        argv.push(std::process::id().to_string().into());
        argv.extend([self.tree.clone().into(), self.folder.clone().into()]);
        argv.extend([self.ids.0.to_string().into(), self.ids.1.to_string().into()]);
        argv.extend_from_slice(program);
        child::command(&argv, Some(&self.netns))
    }

    /// Runs a short program to its end, with `input` as its standard input, and returns what it printed.
    ///
    /// # Errors
    /// When it fails or takes longer than `deadline`.
    pub async fn run(&self, program: &[OsString], input: &str, deadline: Duration) -> Result<String> {
        let failed = |detail: String| Error::Command { command: command_line(program), detail };
        let mut command = self.command(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let work = async {
            let mut process = command.spawn().map_err(|error| error.to_string())?;
            if let Some(mut stdin) = process.stdin.take() {
                // A program that ends without reading says why itself.
                let _read = stdin.write_all(input.as_bytes()).await;
            }
            process.wait_with_output().await.map_err(|error| error.to_string())
        };
        let output = match tokio::time::timeout(deadline, work).await {
            Err(_) => return Err(failed(format!("no end within {} s", deadline.as_secs()))),
            Ok(outcome) => outcome.map_err(failed)?,
        };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, text.trim().lines().last().unwrap_or_default())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// User and group `name` of the tools tree.
///
/// # Errors
/// When the tree has no such user.
pub fn ids(tree: &Path, name: &str) -> Result<(u32, u32)> {
    let path = tree.join("etc/passwd");
    let text = std::fs::read_to_string(&path).map_err(file("cannot read", &path))?;
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name);
    let number = |index: usize| fields.as_ref()?.get(index)?.parse().ok();
    match (number(2), number(3)) {
        (Some(user), Some(group)) if user != 0 => Ok((user, group)),
        _ => Err(Error::Config(format!(
            "{} has no user {name}: delete the tools tree, it will be made again",
            path.display()
        ))),
    }
}

/// What `exec-sandboxed PARENT TREE FOLDER UID GID PROGRAM…` does, in a mount namespace of its own. Returns only when it failed.
pub fn exec(arguments: &[OsString]) -> std::io::Error {
    match confine(arguments) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

fn confine(arguments: &[OsString]) -> std::io::Result<StdCommand> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what.to_owned());
    let [parent, tree, folder, user, group, program, rest @ ..] = arguments else {
        return Err(invalid("exec-sandboxed is internal: PARENT TREE FOLDER UID GID PROGRAM ARGUMENT…"));
    };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<u32>().ok());
    let (Some(user), Some(group)) = (number(user).filter(|user| *user != 0), number(group)) else {
        return Err(invalid("not the number of an unprivileged user"));
    };
    let tree = Path::new(tree);
    rustix::mount::mount_bind(folder.as_os_str(), tree.join(FOLDER.trim_start_matches('/')))?;
    rustix::mount::mount_bind_recursive("/dev", tree.join("dev"))?;
    rustix::process::chroot(tree)?;
    std::env::set_current_dir(FOLDER)?;
    set_thread_groups(&[])?;
    set_thread_gid(rustix::process::Gid::from_raw(group))?;
    set_thread_uid(rustix::process::Uid::from_raw(user))?;
    // Becoming another user has cleared the wish of `exec-child`.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if now.as_deref() != parent.to_str() {
        return Err(invalid("the parent has ended"));
    }
    let mut command = StdCommand::new(program);
    let mark = std::env::var_os(CLUSTER_VARIABLE).map(|cluster| (CLUSTER_VARIABLE.into(), cluster));
    command.args(rest).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    command.envs::<_, OsString, OsString>(mark);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_the_tree_is_found_by_name_and_is_never_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/:\npostgres:x:100:102::/:/bin/sh\nbroken\n")
            .unwrap();
        assert_eq!(ids(dir.path(), "postgres").unwrap(), (100, 102));
        for name in ["root", "nobody", "broken"] {
            assert!(ids(dir.path(), name).unwrap_err().to_string().contains(&format!("has no user {name}")), "{name}");
        }
    }
}
