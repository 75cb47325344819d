//! Starting programs that cannot outlive us.
//!
//! Every program is started through this binary's own hidden sub-command `exec-child`, which enters a network namespace if
//! asked to, asks the kernel to kill it when its parent's thread ends, and then becomes the program. That is done in a
//! process of its own because code between fork and exec would need `unsafe`. The signal comes when the parent *thread*
//! ends, so children are started from the daemon's only thread.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Result};

/// The name of the hidden sub-command.
pub const EXEC_CHILD: &str = "exec-child";

/// An argument list: the program and its arguments.
pub type Argv = Vec<OsString>;

/// A command line as people read it, for messages.
pub fn command_line(argv: &[OsString]) -> String {
    argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// An argument list from anything that looks like words.
pub fn args<I, S>(words: I) -> Argv
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    words.into_iter().map(Into::into).collect()
}

/// The command that starts `argv` as a child which dies with us, in the namespace at `netns` if given.
pub fn command(argv: &[OsString], netns: Option<&Path>) -> Command {
    // Not current_exe(): a rebuild replaces that file while the daemon runs; this link keeps naming the one we are.
    let mut command = Command::new("/proc/self/exe");
    command.arg(EXEC_CHILD).arg(std::process::id().to_string());
    match netns {
        Some(path) => command.arg(path),
        None => command.arg("-"),
    };
    command.args(argv).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What `exec-child PARENT NETNS|- ARGV…` does. Returns only when it failed.
pub fn exec(arguments: &[OsString]) -> std::io::Error {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what.to_owned());
    let [parent, netns, program, rest @ ..] = arguments else {
        return invalid("exec-child is internal: PARENT NETNS PROGRAM ARGUMENT…");
    };
    if netns != "-" {
        let entered = std::fs::File::open(netns).and_then(|namespace| {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).map_err(Into::into)
        });
        if let Err(error) = entered {
            return error;
        }
    }
    if let Err(errno) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return errno.into();
    }
    // The parent may have ended before the kernel knew of our wish.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if now.as_deref() != parent.to_str() {
        return invalid("the parent has ended");
    }
    StdCommand::new(program).args(rest).exec()
}

/// Runs a short program to its end and returns what it printed.
///
/// # Errors
/// When it cannot be run, fails, or takes longer than `deadline`; the end of its standard error is in the message.
pub async fn run(argv: &[OsString], netns: Option<&Path>, deadline: Duration) -> Result<String> {
    let failed = |detail: String| Error::Command { command: command_line(argv), detail };
    let output = match tokio::time::timeout(deadline, command(argv, netns).output()).await {
        Err(_) => return Err(failed(format!("no end within {} s", deadline.as_secs()))),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = text.trim().lines().rev().take(4).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join(" | ");
        return Err(failed(format!("{}: {tail}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
