//! One file per verb or family of verbs.

pub mod bake;
pub mod bench;
pub mod cli;
pub mod deploy;
pub mod image;
pub mod login;
pub mod operate;
pub mod test;
pub mod user;

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
    /// Refuses before any work what cannot succeed: only root has a local cloud. Returns the workspace.
    ///
    /// # Errors
    /// When we are not root, or caches and state cannot be kept.
    pub fn begin(&self) -> anyhow::Result<crate::cargo::Workspace> {
        if self.local {
            crate::preconditions::root()?;
            crate::preconditions::folders()?;
        }
        crate::cargo::Workspace::find()
    }

    /// The spec's path, made absolute.
    pub fn spec(&self, workspace: &crate::cargo::Workspace, positional: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
        match positional.or(self.spec.as_ref()) {
            Some(path) => {
                // Before anything is compiled for it.
                anyhow::ensure!(path.exists(), "there is no cluster spec {}", path.display());
                Ok(std::path::absolute(path)?)
            }
            None if self.local => Ok(workspace.root.join("clusters/local.toml")),
            None => anyhow::bail!("name a cluster spec, for example clusters/example.toml, or use --local"),
        }
    }
}
