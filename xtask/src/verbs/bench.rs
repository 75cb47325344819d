//! `cargo xtask bench`: speed and size, as ratios against a peer or floor of the same run.

use clap::Args;

/// Measure speed and size.
#[derive(Debug, Args)]
pub struct Bench {}

impl Bench {
    /// Runs the verb.
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("nothing is measured yet")
    }
}
