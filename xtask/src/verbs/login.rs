//! The login of the private domain.

use std::path::PathBuf;

use clap::Subcommand;

use crate::process;
use crate::verbs::{Target, deploy};

/// What the login needs and no file has.
#[derive(Debug, Subcommand)]
pub enum Login {
    /// Give the client's secret, which the provider has made: it is read from standard input, at a terminal without being shown, and put into
    /// the cluster's bucket, sealed. Another one replaces it.
    #[command(after_help = "Examples:
  cargo xtask login secret prod.toml                      asks for it
  cargo xtask login secret prod.toml < secret.txt         or from a file, or from a password manager by a pipe
  cargo xtask login secret --local --json < secret.txt")]
    Secret {
        /// Cluster spec.
        #[arg(value_name = "SPEC")]
        positional: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Login {
    /// Hands over to `futuswarm-provision`; the secret goes by standard input and in no argument.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Secret { positional, target, json } = self;
        let workspace = target.begin()?;
        let spec = target.spec(&workspace, positional.as_ref())?;
        workspace.build(&["futuswarm-provision", "futuswarm-local"])?;
        let mut command = match target.local {
            true => deploy::local_provision(&workspace, &spec)?,
            false => workspace.command("futuswarm-provision"),
        };
        process::run(command.args(["login", "secret"]).arg(&spec).args(json.then_some("--json")))
    }
}
