//! Programs that are run to their end, within a deadline.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Time between two calls of the caller's `tick`.
const TICK: Duration = Duration::from_millis(250);
/// Time that a program has to clear up behind itself after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// Time in which the output of a program that has ended must end, too; a child of its own may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A program that has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be started.
    #[error("not started: {0}")]
    NotStarted(#[source] std::io::Error),
    /// It was started and cannot be waited for.
    #[error("lost: {0}")]
    Lost(#[source] std::io::Error),
    /// It was ended because it took too long.
    #[error("ended after {} s without a result", .0.as_secs_f64().round())]
    Deadline(Duration),
}

/// Runs `command` with `input` on standard input and returns its status and what it printed. `tick` is called a few times a
/// second. A program that is not done after `deadline` gets SIGTERM, and SIGKILL ten seconds later.
///
/// # Errors
/// When there is no exit status; a status that is not success is no error here.
pub fn output(
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
    tick: &mut dyn FnMut(),
) -> Result<Output, Failure> {
    let begin = Instant::now();
    let mut child = begun(command.stdin(Stdio::piped()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A program that ends before it has read everything says why itself.
        std::thread::spawn(move || stdin.write_all(&input));
    }
    until_end(child, begin, deadline, tick)
}

/// The same for a command whose standard input is settled.
///
/// # Errors
/// As of [`output`].
pub fn output_of(command: &mut Command, deadline: Duration, tick: &mut dyn FnMut()) -> Result<Output, Failure> {
    let begin = Instant::now();
    until_end(begun(command)?, begin, deadline, tick)
}

fn begun(command: &mut Command) -> Result<Child, Failure> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Failure::NotStarted)
}

fn until_end(mut child: Child, begin: Instant, deadline: Duration, tick: &mut dyn FnMut()) -> Result<Output, Failure> {
    let (send, receive) = mpsc::channel();
    let streams = [child.stdout.take().map(Stream::Out), child.stderr.take().map(Stream::Err)];
    for stream in streams.into_iter().flatten() {
        let send = send.clone();
        std::thread::spawn(move || send.send(stream.read()));
    }
    drop(send);
    let (mut stdout, mut stderr, mut open) = (Vec::new(), Vec::new(), 2);
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let mut ticked = begin;
    loop {
        // Both pipes are closed when the program ends: waiting for them costs no time, unlike asking every so often.
        match receive.recv_timeout(TICK) {
            Ok((true, bytes)) => (stdout, open) = (bytes, open - 1),
            Ok((false, bytes)) => (stderr, open) = (bytes, open - 1),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // Both are closed; only the status is missing.
            Err(mpsc::RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(2)),
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            tick();
        }
        if ended.is_none() {
            ended = child.try_wait().map_err(Failure::Lost)?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, at)) if open == 0 || at.elapsed() > LAST_WORDS => {
                return Ok(Output { status, stdout, stderr });
            }
            None if begin.elapsed() > deadline => {
                end(&mut child)?;
                return Err(Failure::Deadline(deadline));
            }
            _ => {}
        }
    }
}

enum Stream {
    Out(std::process::ChildStdout),
    Err(std::process::ChildStderr),
}

impl Stream {
    /// Everything until the end, and whether it is standard output.
    fn read(self) -> (bool, Vec<u8>) {
        let mut bytes = Vec::new();
        // What was read before a failure is still worth something.
        let (out, _end) = match self {
            Self::Out(mut pipe) => (true, pipe.read_to_end(&mut bytes)),
            Self::Err(mut pipe) => (false, pipe.read_to_end(&mut bytes)),
        };
        (out, bytes)
    }
}

fn end(child: &mut Child) -> Result<(), Failure> {
    // mmdebstrap removes its tree on SIGTERM and passes the signal on. A failure means that it has ended just now.
    let _ended = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
    let begin = Instant::now();
    while begin.elapsed() < GRACE {
        if child.try_wait().map_err(Failure::Lost)?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().map_err(Failure::Lost)?;
    child.wait().map(|_| ()).map_err(Failure::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Result<Output, Failure> {
        output(Command::new("sh").args(["-c", script]), b"words", deadline, &mut || ())
    }

    #[test]
    fn input_output_and_status_are_passed_on() {
        let output = shell("cat; echo talk >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"words"[..], &b"talk\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn more_output_than_a_pipe_holds_is_no_deadlock() {
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let output = shell(script, Duration::from_secs(60)).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_may_clear_up() {
        let mark = tempfile::NamedTempFile::new().unwrap();
        let begin = Instant::now();
        let script = format!("trap 'echo gone > {}; exit 1' TERM; sleep 600 & wait", mark.path().display());
        let mut ticks = 0;
        let result = output(Command::new("sh").args(["-c", &script]), b"", Duration::from_secs(1), &mut || ticks += 1);
        assert!(matches!(result, Err(Failure::Deadline(_))), "{result:?}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
        assert_eq!(std::fs::read_to_string(mark.path()).unwrap(), "gone\n");
        assert!(ticks >= 2, "{ticks}");
    }

    #[test]
    fn a_child_that_keeps_the_pipe_does_not_keep_us() {
        let begin = Instant::now();
        assert!(shell("sleep 15 & exit 0", Duration::from_secs(60)).unwrap().status.success());
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_so() {
        let result = output(&mut Command::new("/no/such/program"), b"", Duration::from_secs(1), &mut || ());
        assert!(matches!(result, Err(Failure::NotStarted(_))), "{result:?}");
    }
}
