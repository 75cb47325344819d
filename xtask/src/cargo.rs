//! Building the programs behind the verbs, with cargo, into the target folder that xtask itself came from.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futuswarm_output::eprintln;

use crate::machine::{self, Memory};
use crate::process;

/// The target of the static programs.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";
/// A build that took less had nothing to do, and says nothing.
const NOTHING_TO_DO: Duration = Duration::from_secs(2);
/// The locale of every program we start: one that glibc always has, and in which text is UTF-8 whatever the operator's own is.
pub const LOCALE: (&str, &str) = ("LC_ALL", "C.UTF-8");

/// The workspace and where its programs are built.
pub struct Workspace {
    /// The clone.
    pub root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the clone and the target folder.
    pub fn find() -> anyhow::Result<Self> {
        let root = futuswarm_paths::workspace_root()?;
        let exe = std::env::current_exe().context("cannot find the program that runs")?;
        // <target>/debug/xtask, or <target>/debug/deps/xtask-… in tests.
        let target = exe.ancestors().find(|dir| dir.ends_with("debug")).and_then(Path::parent);
        let target = target.with_context(|| format!("{} is in no target folder of cargo", exe.display()))?.to_owned();
        Ok(Self { root, target })
    }

    /// A cargo command in the clone.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(arguments).env("CARGO_TARGET_DIR", &self.target).env(LOCALE.0, LOCALE.1);
        // Who says how many jobs there shall be is right.
        let jobs = Memory::read().and_then(|memory| memory.jobs(self.is_compiled()));
        if let (Some(jobs), None) = (jobs, std::env::var_os("CARGO_BUILD_JOBS")) {
            command.env("CARGO_BUILD_JOBS", jobs.to_string());
        }
        // A build that is kept from another clone would look for the snapshots there.
        command.env("INSTA_WORKSPACE_ROOT", &self.root);
        // The variables that cargo sets for xtask would make it build some crates again.
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy().into_owned();
            if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST") {
                command.env_remove(key);
            }
        }
        command
    }

    /// Builds programs of the workspace. Features are those of the whole workspace, whichever program is asked for:
    /// another feature set would compile the AWS SDK again.
    pub fn build(&self, programs: &[&str]) -> anyhow::Result<()> {
        let mut command = self.cargo(&["build", "--workspace"]);
        for program in programs {
            command.args(["--bin", program]);
        }
        compile(&mut command)
    }

    /// Whether the AWS SDK, which is most of the first build, was compiled once.
    pub fn is_compiled(&self) -> bool {
        self.program("futuswarm-provision").exists()
    }

    /// Says what this machine has, and what the first build takes.
    ///
    /// # Errors
    /// When it cannot succeed here.
    pub fn announce(&self) -> anyhow::Result<()> {
        machine::announce(&self.target, self.is_compiled())
    }

    /// A program that [`Self::build`] has built, told where the clone is.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.program(program));
        command.env("FUTUSWARM_WORKSPACE", &self.root).env(LOCALE.0, LOCALE.1);
        // apt, pip and whatever else our programs start know only these; clients differ in which of the two they read first.
        let exceptions = without_proxy(["no_proxy", "NO_PROXY"].map(|key| std::env::var(key).ok()));
        command.env("no_proxy", &exceptions).env("NO_PROXY", &exceptions);
        command
    }

    /// Where a program is.
    pub fn program(&self, program: &str) -> PathBuf {
        self.target.join("debug").join(program)
    }

    /// Where the output of tests that run side by side is.
    pub fn logs(&self) -> PathBuf {
        self.target.join("suites")
    }

    /// Whether memory is for one compiler at a time.
    pub fn is_short_of_memory(&self) -> bool {
        Memory::read().and_then(|memory| memory.jobs(self.is_compiled())).is_some()
    }

    /// Builds the programs that stand alone inside the image; returns their folder.
    pub fn build_static(&self) -> anyhow::Result<PathBuf> {
        compile(&mut self.static_build())?;
        Ok(self.static_target().join(STATIC_TARGET).join("tiny"))
    }

    /// The command of [`Self::build_static`].
    pub fn static_build(&self) -> Command {
        self.static_command(&["-p", "futuswarm-initrd", "-p", "futuswarm-mainpage", "-p", "futuswarm-probe"])
    }

    fn static_command(&self, packages: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .args(["build", "--profile", "tiny", "--target", STATIC_TARGET])
            .args(packages)
            .arg("--target-dir")
            .arg(self.static_target())
            .env(LOCALE.0, LOCALE.1)
            .env("CARGO_ENCODED_RUSTFLAGS", static_flags(&self.root))
            .env_remove("RUSTFLAGS");
        command
    }

    /// Where [`Self::build_static_program`] leaves a program.
    pub fn static_program(&self, program: &str) -> PathBuf {
        self.static_target().join(STATIC_TARGET).join("tiny").join(program)
    }

    /// Builds one more static program, stripped, and returns where it is.
    ///
    /// # Errors
    /// When it does not compile; cargo has said why.
    pub fn build_static_program(&self, package: &str, program: &str) -> anyhow::Result<PathBuf> {
        compile(&mut self.static_command(&["-p", package, "--bin", program]))?;
        Ok(self.static_program(program))
    }

    fn static_target(&self) -> PathBuf {
        self.target.join("static")
    }
}

/// The operator's exceptions from proxies, and loopback: the local cloud and packages that a bake hands to apt are there.
fn without_proxy(set: [Option<String>; 2]) -> String {
    let set = set.into_iter().flatten().find(|hosts| !hosts.is_empty());
    set.into_iter().chain(["127.0.0.1,localhost".to_owned()]).collect::<Vec<_>>().join(",")
}

/// Flags of the static programs as cargo splits them: at this character and not at spaces, which a folder may have in its name.
fn static_flags(root: &Path) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static\u{1f}--remap-path-prefix=");
    flags.push(root);
    flags.push("=.");
    flags
}

/// Runs a build and shows cargo's own progress; one that has nothing to do shows nothing.
///
/// # Errors
/// When it fails; cargo has said why.
pub fn compile(command: &mut Command) -> anyhow::Result<()> {
    let started = Instant::now();
    // Whoever has told cargo to be quiet in general still wants to know why nothing happens for minutes.
    command.env("CARGO_TERM_QUIET", "false");
    if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb") {
        // Its bar is for a terminal of its own. Its last line stays only when there was something to wait for.
        process::run(command)?;
        if started.elapsed() < NOTHING_TO_DO {
            let _unerased = std::io::stderr().write_all(b"\x1b[1A\x1b[2K");
        }
        return Ok(());
    }
    let mut build = command.stderr(Stdio::piped()).spawn().context("cannot run cargo")?;
    for line in BufReader::new(build.stderr.take().context("cargo has no standard error")?).split(b'\n') {
        let line = line.context("cargo's progress")?;
        let line = String::from_utf8_lossy(&line);
        if !is_end(&line) {
            eprintln!("{line}");
        }
    }
    let status = build.wait().context("cargo")?;
    process::outcome("cargo", status)
}

/// Whether a line of cargo only says that the build has ended, which everything that follows says, too.
fn is_end(line: &str) -> bool {
    line.trim_start().starts_with("Finished `")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_spaces_is_one_flag() {
        let flags = static_flags(Path::new("/home/ada/my clones/futuswarm"));
        let flags: Vec<String> = flags.to_str().unwrap().split('\u{1f}').map(str::to_owned).collect();
        assert_eq!(flags, ["-Ctarget-feature=+crt-static", "--remap-path-prefix=/home/ada/my clones/futuswarm=."]);
    }

    #[test]
    fn loopback_is_added_to_the_exceptions_from_proxies() {
        let some = |hosts: &str| Some(hosts.to_owned());
        assert_eq!(without_proxy([None, None]), "127.0.0.1,localhost");
        assert_eq!(without_proxy([some("a.example"), some("b.example")]), "a.example,127.0.0.1,localhost");
        assert_eq!(without_proxy([some(""), some("b.example")]), "b.example,127.0.0.1,localhost");
    }

    #[test]
    fn only_the_end_of_a_build_is_left_out() {
        assert!(is_end("    Finished `dev` profile [optimized + debuginfo] target(s) in 0.22s"));
        for line in ["   Compiling aws-sdk-ec2 v1.274.0", "warning: unused variable: `Finished`", "error: x", ""] {
            assert!(!is_end(line), "{line}");
        }
    }

    #[test]
    fn programs_are_started_in_a_locale_with_utf_8() {
        let workspace = Workspace { root: "/clone".into(), target: "/target".into() };
        for command in [workspace.command("futuswarm-bake"), workspace.cargo(&["build"])] {
            let locale = command.get_envs().find(|(key, _)| *key == "LC_ALL").and_then(|(_, value)| value);
            assert_eq!(locale, Some(std::ffi::OsStr::new("C.UTF-8")), "{command:?}");
        }
    }
}
