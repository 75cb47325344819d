//! `cargo xtask bake`: builds the programs that go into the image, then hands over to the image pipeline.

use std::ffi::OsString;

use clap::Args;

use crate::cargo::Workspace;
use crate::{host, preconditions, process};

/// The arguments are the pipeline's own; its `--help` has them.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Bake {
    /// Passed on to the image pipeline; see `cargo xtask bake --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bake {
    /// Builds the programs of the image, and hands over to `futuswarm-bake`.
    pub fn run(self) -> anyhow::Result<()> {
        let workspace = Workspace::find()?;
        if self.arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            workspace.build(&["futuswarm-bake"])?;
            return process::run(workspace.command("futuswarm-bake").arg("--help"));
        }
        preconditions::folders()?;
        workspace.announce()?;
        host::prepare(true)?;
        bake(&workspace, &self.arguments)
    }
}

/// Builds the programs and bakes.
pub fn bake(workspace: &Workspace, arguments: &[OsString]) -> anyhow::Result<()> {
    workspace.build(&["futuswarm-bake", "futuswarm-node"])?;
    let standalone = workspace.build_static()?;
    process::run(
        workspace
            .command("futuswarm-bake")
            .env("FUTUSWARM_NODE_BINARY", workspace.program("futuswarm-node"))
            .env("FUTUSWARM_INIT_BINARY", standalone.join("futuswarm-init"))
            .env("FUTUSWARM_MAINPAGE_BINARY", standalone.join("futuswarm-mainpage"))
            .env("FUTUSWARM_PROBE_BINARY", standalone.join("futuswarm-probe"))
            .args(arguments),
    )
}
