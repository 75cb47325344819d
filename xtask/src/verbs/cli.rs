//! The developers' command line.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use futuswarm_output::println;

use crate::cargo::Workspace;

/// The program's package and name.
const PACKAGE: &str = "futuswarm-cli";
const PROGRAM: &str = "futuswarm";

/// Build the developers' command line as one static program, and print its path.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask cli
  cargo xtask cli --output ~/.local/bin")]
pub struct Cli {
    /// Copy the program into this folder, which is made when it is not there.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// The program to offer for download: built when it is wanted, and brought up to date when it was built here before, since whoever built
/// it wants the one of this clone. `None` otherwise: it takes a minute that a first deployment does not have.
///
/// # Errors
/// When it does not compile.
pub fn to_offer(workspace: &Workspace, wanted: bool) -> anyhow::Result<Option<PathBuf>> {
    if !wanted && !workspace.static_program(PROGRAM).exists() {
        return Ok(None);
    }
    build(workspace).map(Some)
}

/// Builds the program and returns where it is.
///
/// # Errors
/// When it does not compile.
pub fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    workspace.build_static_program(PACKAGE, PROGRAM)
}

impl Cli {
    /// Builds the program, static, for this machine's architecture, and says where it is.
    pub fn run(self) -> anyhow::Result<()> {
        let built = build(&Workspace::find()?)?;
        let path = match &self.output {
            None => built,
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
                let path = std::path::absolute(dir.join(PROGRAM))?;
                // Beside the old one and then in its place: a program that runs cannot be written to.
                let new = path.with_extension("new");
                std::fs::copy(&built, &new).with_context(|| format!("cannot write {}", new.display()))?;
                std::fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))?;
                path
            }
        };
        println!("{}", path.display());
        Ok(())
    }
}
