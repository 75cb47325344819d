//! One file per verb or family of verbs.

pub mod bake;
pub mod bench;
pub mod day_two;
pub mod deploy;
pub mod image;
pub mod test;

use std::path::PathBuf;

use clap::Args;

/// Which cluster a verb is about.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Use the local cloud: virtual machines and an emulated AWS API on this machine.
    #[arg(long)]
    pub local: bool,
    /// Cluster spec [default with --local: clusters/local.toml].
    #[arg(long = "spec", value_name = "SPEC", global = false)]
    pub spec: Option<PathBuf>,
}

impl Target {
    /// The spec's path, made absolute.
    pub fn spec(&self, workspace: &crate::cargo::Workspace, positional: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
        match positional.or(self.spec.as_ref()) {
            Some(path) => Ok(std::path::absolute(path)?),
            None if self.local => Ok(workspace.root.join("clusters/local.toml")),
            None => anyhow::bail!("name a cluster spec, for example clusters/example.toml, or use --local"),
        }
    }
}
