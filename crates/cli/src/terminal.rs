//! The terminal in raw mode, as long as a program of the cluster has it. It is put back on every way out.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use futuswarm_rpc::message::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::{Failure, Result};

/// How it was. Behind a lock that everybody reaches, since a signal's thread has to put it back, too.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, until this is dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Begins raw mode: keys come one by one, and Ctrl-C is a key.
    pub fn begin() -> Result<Self> {
        let stdin = std::io::stdin();
        let failure = |error: rustix::io::Errno| Failure::failed(format!("cannot use the terminal: {error}"));
        let before = tcgetattr(&stdin).map_err(failure)?;
        let mut raw = before.clone();
        raw.make_raw();
        // First how it was: whatever comes now puts it back.
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let begun = Self(());
        tcsetattr(&stdin, OptionalActions::Drain, &raw).map_err(failure)?;
        Ok(begun)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back, if it is in raw mode.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Nothing can be done when it is gone.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Flush, &before);
    }
}

/// Whether somebody sits at both ends.
pub fn is_here() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// What a program sees of the terminal.
pub fn describe() -> Terminal {
    let (rows, columns) = size().unwrap_or((24, 80));
    let kind = std::env::var("TERM").ok().filter(|kind| !kind.is_empty());
    Terminal { kind: kind.unwrap_or_else(|| "dumb".to_owned()), rows, columns }
}

/// Height and width, when it has them.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
