//! Says in the task's own log what its check was answered. The engine keeps that to itself, and only the node of the task can ask it;
//! the log is had from everywhere, by whoever asks why a task is not healthy and by the app's people.
//!
//! The check runs beside the app as the same user, so it may write where the first process of the container does. It says one line when
//! the answer has changed, and nothing of good ones: an app's log is the app's.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// What the line begins with. The control service looks for it (`crates/server/src/rollout/observe.rs`).
pub const PREFIX: &str = "futuswarm-probe: ";
/// Where the container's output goes: a pipe to the engine.
pub const OUTPUT: &str = "/proc/1/fd/1";
/// What was said last. Docker gives every container this folder in memory, also one whose root file system is read-only.
pub const SAID: &str = "/dev/shm/.futuswarm-probe";
/// A longer answer is cut: a pipe takes so many bytes at once or none (pipe(7), PIPE_BUF is 4096).
const LONGEST: usize = 1024;

/// Says an answer that was not good, unless it was said last. Nothing is said where that cannot be remembered, or nobody takes it at once:
/// a check must not wait for the log.
pub fn bad(answer: &str, output: &Path, said: &Path) {
    let mut end = answer.len().min(LONGEST);
    while !answer.is_char_boundary(end) {
        end -= 1;
    }
    let answer = answer[..end].replace(char::is_control, " ");
    if remembered(said).is_some_and(|last| last == answer) || !remember(said, &answer) {
        return;
    }
    let is_pipe = fs::metadata(output).is_ok_and(|output| output.file_type().is_fifo());
    let open = || fs::OpenOptions::new().write(true).custom_flags(flags(OFlags::NONBLOCK)).open(output);
    if let (true, Ok(mut output)) = (is_pipe, open()) {
        let _nobody_takes_it = output.write_all(format!("{PREFIX}{answer}\n").as_bytes());
    }
}

/// The next answer that is not good is said, whatever it is.
pub fn good(said: &Path) {
    let _was_not_there = fs::remove_file(said);
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

fn remembered(said: &Path) -> Option<String> {
    let file = fs::OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(said);
    let mut text = String::new();
    file.ok()?.take(LONGEST as u64 + 1).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Never through a link: the app may have put one there.
fn remember(said: &Path, answer: &str) -> bool {
    let flags = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
    let opened =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(said);
    opened.and_then(|mut file: File| file.write_all(answer.as_bytes())).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, PipeReader};
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;

    use super::*;

    struct Task {
        dir: PathBuf,
        log: BufReader<PipeReader>,
        output: PathBuf,
        _writer: std::io::PipeWriter,
    }

    impl Task {
        /// A folder, and a pipe that is opened as that of a first process is.
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("futuswarm-probe-{name}-{}", std::process::id()));
            let _old = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            let (reader, writer) = std::io::pipe().unwrap();
            let output = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
            Self { dir, log: BufReader::new(reader), output, _writer: writer }
        }

        fn bad(&self, answer: &str) {
            bad(answer, &self.output, &self.dir.join("said"));
        }

        fn line(&mut self) -> String {
            let mut line = String::new();
            self.log.read_line(&mut line).unwrap();
            line
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.dir);
        }
    }

    #[test]
    fn an_answer_is_said_once_until_there_is_another() {
        let mut task = Task::new("once");
        for answer in ["refused", "refused", "answered 503", "answered 503"] {
            task.bad(answer);
        }
        good(&task.dir.join("said"));
        task.bad("answered\n503 \u{1b}[2J");
        let lines = [task.line(), task.line(), task.line()];
        assert_eq!(
            lines,
            ["futuswarm-probe: refused\n", "futuswarm-probe: answered 503\n", "futuswarm-probe: answered 503  [2J\n"]
        );
    }

    #[test]
    fn what_cannot_be_remembered_is_not_said_and_no_link_is_followed() {
        let mut task = Task::new("link");
        let victim = task.dir.join("victim");
        fs::write(&victim, "the app's").unwrap();
        std::os::unix::fs::symlink(&victim, task.dir.join("said")).unwrap();
        task.bad("refused");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "the app's");
        fs::remove_file(task.dir.join("said")).unwrap();
        task.bad("answered 500");
        assert_eq!(task.line(), "futuswarm-probe: answered 500\n", "the first was not said");
    }

    #[test]
    fn a_full_log_stops_no_check_and_no_file_is_written_to() {
        let task = Task::new("full");
        // A pipe takes 64 KiB, and nobody reads.
        for number in 0..200 {
            task.bad(&format!("{number}: {}", "x".repeat(2000)));
        }
        let file = task.dir.join("log");
        fs::write(&file, "lines of the app").unwrap();
        bad("refused", &file, &task.dir.join("said"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "lines of the app");
    }
}
