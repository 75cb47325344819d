//! A line that is typed at the terminal and not shown there.

use anyhow::{Context as _, bail};
use futuswarm_output::{eprint, eprintln};
use futuswarm_vault::Secret;
use rustix::io::{read, retry_on_intr};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;

/// The terminal without echo, until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    /// Ctrl-C and Ctrl-Z type characters meanwhile: a program that they ended or stopped would leave the terminal as it is now. Ctrl-C ends
    /// the line.
    fn begin() -> anyhow::Result<Self> {
        let terminal = std::io::stdin();
        let before = tcgetattr(&terminal).context("cannot use the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        let begun = Self { before };
        // What was typed before the question was shown.
        tcsetattr(&terminal, OptionalActions::Flush, &quiet).context("cannot use the terminal")?;
        Ok(begun)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing can be done when it is gone.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Asks for a line.
///
/// # Errors
/// When there is no terminal, or Ctrl-C was typed.
pub(super) fn line(question: &str) -> anyhow::Result<Secret> {
    let quiet = Quiet::begin()?;
    eprint!("{question} ");
    let mut typed = vec![0; super::ROOM];
    // A terminal gives a line at a time. Not by way of the standard library's buffer, which would keep it.
    let length = retry_on_intr(|| read(std::io::stdin(), typed.as_mut_slice()));
    drop(quiet);
    // The line's end was not shown either.
    eprintln!();
    typed.truncate(length.context("the client's secret cannot be read from the terminal")?);
    if typed.contains(&INTERRUPT) {
        bail!("nothing was changed");
    }
    // What is no text is not said: it may be most of a secret.
    match String::from_utf8(typed) {
        Ok(typed) => Ok(Secret::new(typed)),
        Err(_) => bail!("what was typed is no text; nothing was changed"),
    }
}
