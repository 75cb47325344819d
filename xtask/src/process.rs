//! Running the programs behind the verbs; their output is ours. No deadline: our own programs have theirs, and a shell has none.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;

/// A program ended with a failure that it has already explained.
#[derive(Debug)]
pub struct Failed {
    /// What to exit with.
    pub code: u8,
    program: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} failed with exit code {}", self.program, self.code)
    }
}

impl std::error::Error for Failed {}

/// Runs a program with our standard streams.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = name(command);
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    outcome(&program, status)
}

/// What a program's exit status means for us.
pub fn outcome(program: &str, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    // A program that a signal has ended has no exit code, and has said nothing: a shell adds 128 to the signal's number.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failed { code, program: program.to_owned() }.into())
}

/// Runs a program and returns its standard output; its talk stays on our standard error.
pub fn capture(command: &mut Command) -> anyhow::Result<String> {
    let program = name(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {program}"))?;
    outcome(&program, output.status)?;
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something that is not text"))
}

/// Whether a program is on PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
