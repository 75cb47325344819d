//! What is being done, on standard error: one line that changes on a terminal, a line for each change elsewhere.

use std::io::IsTerminal as _;

use futuswarm_output::{eprint, eprintln};

/// The line of progress.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    terminal: bool,
    /// What was said last.
    text: String,
    /// Whether a line without an end stands on the terminal.
    open: bool,
}

impl Progress {
    /// Says nothing when it is told to be quiet; notes are said nevertheless.
    pub fn new(quiet: bool) -> Self {
        // A terminal that cannot go back to the beginning of a line is like none.
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        Self { quiet, terminal: std::io::stderr().is_terminal() && !dumb, text: String::new(), open: false }
    }

    /// What is being done now, how long that took so far, and how long it may; in milliseconds.
    pub fn step(&mut self, text: &str, elapsed: u64, limit: Option<u64>) {
        if self.quiet {
            return;
        }
        let text = super::plain(text).replace('\n', " ");
        let line = match limit {
            Some(limit) => format!("{text} ({} s of {} s)", elapsed / 1000, limit / 1000),
            None => format!("{text} ({} s)", elapsed / 1000),
        };
        if self.terminal {
            let line = match futuswarm_output::colours() {
                true => format!("\x1b[2m{line}\x1b[0m"),
                false => line,
            };
            eprint!("\r\x1b[K{line}");
            self.open = true;
        } else if text != self.text {
            eprintln!("{line}");
        }
        self.text = text;
    }

    /// Something to know that stays.
    pub fn note(&mut self, text: &str) {
        self.clear();
        eprintln!("{}", super::plain(text));
    }

    /// Takes the changing line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.open) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
