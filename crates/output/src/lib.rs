//! What the programs print: data on standard output, talk on standard error, and a quiet end when their reader has gone.
//!
//! The standard library's macros of the same names panic when nobody reads any more (`… | head`). Giving SIGPIPE its default
//! action back is no way out: the standard library writes to sockets in ways that raise it, too, so that a peer which hangs
//! up would end the whole program. Instead, each write looks at its outcome.

use std::fmt::Arguments;
use std::io::{IsTerminal as _, Write};

/// What a shell reports of a program that SIGPIPE (13) has ended: 128 + 13.
pub const READER_GONE: i32 = 141;

/// [`std::println!`] that ends the program quietly, with [`READER_GONE`], when nobody reads.
#[macro_export]
macro_rules! println {
    () => { $crate::to_stdout(::core::format_args!("\n")) };
    ($($arguments:tt)*) => { $crate::to_stdout(::core::format_args!("{}\n", ::core::format_args!($($arguments)*))) };
}

/// [`std::print!`] that ends the program quietly, with [`READER_GONE`], when nobody reads.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::to_stdout(::core::format_args!($($arguments)*)) };
}

/// [`std::eprintln!`] that ends the program quietly, with [`READER_GONE`], when nobody reads.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::to_stderr(::core::format_args!("\n")) };
    ($($arguments:tt)*) => { $crate::to_stderr(::core::format_args!("{}\n", ::core::format_args!($($arguments)*))) };
}

/// [`std::eprint!`] that ends the program quietly, with [`READER_GONE`], when nobody reads.
#[macro_export]
macro_rules! eprint {
    ($($arguments:tt)*) => { $crate::to_stderr(::core::format_args!($($arguments)*)) };
}

/// Writes data to standard output. Data that cannot be written, for example to a full disk, are a failure of the program: it
/// says so and ends with 1.
pub fn to_stdout(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    if let Err(error) = end_if_reader_gone(written) {
        to_stderr(format_args!("error: cannot write to standard output: {error}\n"));
        std::process::exit(1);
    }
}

/// Writes talk to standard error. When that is impossible for another reason than a reader who has gone, there is nowhere
/// left to say so, and the program goes on.
pub fn to_stderr(text: Arguments<'_>) {
    let _unsaid = end_if_reader_gone(std::io::stderr().lock().write_fmt(text));
}

/// Ends the program with [`READER_GONE`] when `written` failed because nobody reads; anything else is returned. For what others
/// have written to our streams, such as clap's help.
///
/// # Errors
/// Those of `written`, except a broken pipe.
pub fn end_if_reader_gone<T>(written: std::io::Result<T>) -> std::io::Result<T> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(READER_GONE),
        other => other,
    }
}

/// Whether standard error may have colours: it is a terminal, and nobody has asked for none (<https://no-color.org>).
#[must_use]
pub fn colours() -> bool {
    colours_of(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
}

fn colours_of(terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
    terminal && no_color.is_none_or(std::ffi::OsStr::is_empty)
}

/// Standard error as the writer of a log: like [`to_stderr`], and never an error, since the log's own way to report one would
/// panic.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _unsaid = end_if_reader_gone(std::io::stderr().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colours() {
        for (terminal, no_color, colours) in [
            (true, None, true),
            (true, Some(""), true),
            (true, Some("1"), false),
            (false, None, false),
            (false, Some(""), false),
        ] {
            assert_eq!(colours_of(terminal, no_color.map(std::ffi::OsStr::new)), colours, "{terminal} {no_color:?}");
        }
    }

    #[test]
    fn other_failures_of_a_write_are_returned() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(end_if_reader_gone::<()>(Err(full())).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(end_if_reader_gone(Ok(3)).unwrap(), 3);
    }
}
