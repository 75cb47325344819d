//! The first users of a cluster.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::process;
use crate::verbs::{Target, deploy};

/// People who may use a cluster.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Let a person in with an SSH key: makes their record, or adds the key to it.
    #[command(after_help = "Examples:
  cargo xtask user add jane --key ~/.ssh/id_ed25519.pub --admin --local
  cargo xtask user add jane --key jane.pub --spec clusters/example.toml")]
    Add {
        /// Small letters, digits, '.', '_' and '-', beginning with a letter.
        name: String,
        /// File with the public key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Allow everything with every app.
        #[arg(long)]
        admin: bool,
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

impl User {
    /// Writes the user's record by `futuswarm-provision`: no control service has to run, and no user has to exist.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Add { name, key, admin, positional, target, json } = self;
        // Before anything is compiled for it; the program that is built reads and checks it.
        let key = std::fs::canonicalize(&key).with_context(|| format!("the public key {}", key.display()))?;
        let workspace = target.begin()?;
        let spec = target.spec(&workspace, positional.as_ref())?;
        workspace.build(&["futuswarm-provision", "futuswarm-local"])?;
        let mut command = match target.local {
            true => deploy::local_provision(&workspace, &spec)?,
            false => workspace.command("futuswarm-provision"),
        };
        command.args(["user", "add"]).arg(&spec).arg(&name).arg("--key").arg(&key);
        process::run(command.args(admin.then_some("--admin")).args(json.then_some("--json")))
    }
}
