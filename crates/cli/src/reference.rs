//! What is made out of the commands' definitions: `docs/cli.md`, and completions for shells.

use clap::CommandFactory as _;

use crate::arguments::Arguments;
use crate::failure::Result;
use crate::output;

#[cfg(test)]
mod apps;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod tests;

/// Prints the script for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "futuswarm", &mut script);
    output::bytes(&script)?;
    Ok(0)
}
