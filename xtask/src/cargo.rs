//! Building the programs behind the verbs, with cargo, into the target folder that xtask itself came from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process;

/// The target of the static programs.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

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
        command.current_dir(&self.root).args(arguments).env("CARGO_TARGET_DIR", &self.target);
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
        let mut command = self.cargo(&["build", "--quiet", "--workspace"]);
        for program in programs {
            command.args(["--bin", program]);
        }
        if programs.iter().any(|program| *program != "futuswarm-bake") && !self.program(programs[0]).exists() {
            eprintln!(
                "building {} (the first time takes ten minutes or more: it compiles the AWS SDK)",
                programs.join(", ")
            );
        }
        process::run(&mut command)
    }

    /// A program that [`Self::build`] has built, told where the clone is.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.program(program));
        command.env("FUTUSWARM_WORKSPACE", &self.root);
        command
    }

    /// Where a program is.
    pub fn program(&self, program: &str) -> PathBuf {
        self.target.join("debug").join(program)
    }

    /// Builds the two programs that stand alone inside the image; returns their folder.
    pub fn build_static(&self) -> anyhow::Result<PathBuf> {
        let target = self.target.join("static");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .args(["build", "--quiet", "--profile", "tiny", "--target", STATIC_TARGET])
            .args(["-p", "futuswarm-initrd", "-p", "futuswarm-mainpage", "--target-dir"])
            .arg(&target)
            .env("RUSTFLAGS", format!("-Ctarget-feature=+crt-static --remap-path-prefix={}=.", self.root.display()))
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        process::run(&mut command)?;
        Ok(target.join(STATIC_TARGET).join("tiny"))
    }
}
