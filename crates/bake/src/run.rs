//! Running a program to its end, with its last words in the error.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::Error;

/// Lines of a failed program's output that go into the error.
const TAIL_LINES: usize = 6;

/// Runs `command` and returns what it printed on standard output.
///
/// # Errors
/// When it cannot be started or does not end with success.
pub fn run(name: &str, command: &mut Command) -> Result<Vec<u8>, Error> {
    run_with_input(name, command, b"")
}

/// Like [`run`], with `input` on standard input.
///
/// # Errors
/// When it cannot be started or does not end with success.
pub fn run_with_input(name: &str, command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |status: String, tail: String| Error::Program { program: name.to_owned(), status, tail };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("not started".to_owned(), error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why itself.
        let _closed = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| failed("lost".to_owned(), error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ");
    Err(failed(output.status.to_string(), tail))
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
        assert!(message.starts_with("nothing failed (not started)"), "{message}");
    }
}
