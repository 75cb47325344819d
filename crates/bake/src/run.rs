//! Running a program to its end, within a deadline, with its last words in the error.

use std::process::Command;
use std::time::Duration;

use futuswarm_tools::child;

use crate::Error;

/// Lines of a failed program's output that go into the error.
const TAIL_LINES: usize = 6;
/// Longest time for a program that works on files of this machine; the slowest takes a few seconds.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Runs `command` and returns what it printed on standard output.
///
/// # Errors
/// When it cannot be started, does not end with success, or is not done after ten minutes.
pub fn run(name: &str, command: &mut Command) -> Result<Vec<u8>, Error> {
    run_with_input(name, command, b"")
}

/// Like [`run`], with `input` on standard input.
///
/// # Errors
/// Those of [`run`].
pub fn run_with_input(name: &str, command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Error> {
    run_within(name, command, input, DEADLINE, &mut || ())
}

/// Like [`run_with_input`], with a deadline of the caller's, and `tick` called a few times a second.
///
/// # Errors
/// When it cannot be started, does not end with success, or is not done after `deadline`.
pub fn run_within(
    name: &str,
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
    tick: &mut dyn FnMut(),
) -> Result<Vec<u8>, Error> {
    let output = child::output(command, input, deadline, tick)
        .map_err(|failure| Error::Unfinished { program: name.to_owned(), failure })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ");
    Err(Error::Program { program: name.to_owned(), status: output.status.to_string(), tail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_returned_and_failures_carry_the_last_words() {
        assert_eq!(run_with_input("cat", &mut Command::new("cat"), b"hello").unwrap(), b"hello");
        let message = run("ls", Command::new("ls").arg("/no/such/folder")).unwrap_err().to_string();
        assert!(message.starts_with("ls failed (exit status: 2); its last words: "), "{message}");
        assert!(message.contains("/no/such/folder"), "{message}");
        let message = run("nothing", &mut Command::new("/no/such/program")).unwrap_err().to_string();
        assert!(message.starts_with("nothing was not started: "), "{message}");
        let mut hangs = Command::new("sleep");
        let error = run_within("sleep", hangs.arg("60"), b"", Duration::from_millis(300), &mut || ()).unwrap_err();
        assert_eq!(error.to_string(), "sleep was ended after 0 s without a result");
    }
}
