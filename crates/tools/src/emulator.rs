//! The Python environment of the AWS emulator: made once per set of pins, whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::{Error, child, file};

/// The exact versions that are installed.
const PINS: &str = include_str!("../requirements.txt");
/// pip downloads about 60 MB; a slow line gets ten minutes.
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
/// Making an empty environment takes about three seconds.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// Whoever makes the environment is through by then, or has ended without it.
const TURN_DEADLINE: Duration = Duration::from_secs(900);
/// How often somebody who waits for his turn polls.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Where the environment of the current pins is or will be, below the cache folder.
#[must_use]
pub fn dir(cache: &Path) -> PathBuf {
    let hash = hex::encode(Sha256::digest(PINS));
    cache.join("venv").join(&hash[..16])
}

/// The environment's interpreter, if the environment is whole.
#[must_use]
pub fn installed(cache: &Path) -> Option<PathBuf> {
    let dir = dir(cache);
    mark(&dir).exists().then(|| dir.join("bin/python"))
}

/// The environment's interpreter; made first if there is none, which takes half a minute.
///
/// # Errors
/// When neither Debian's Python nor the one on PATH can make environments, pip fails, or somebody else who makes it does not come
/// to an end.
pub fn ensure(cache: &Path) -> Result<PathBuf, Error> {
    if let Some(python) = installed(cache) {
        return Ok(python);
    }
    let dir = dir(cache);
    let parent = cache.join("venv");
    std::fs::create_dir_all(&parent).map_err(file(&parent))?;
    // One at a time: somebody who starts now would take what is half made for left over, and remove it.
    let turn = turn(&dir.with_extension("lock"), TURN_DEADLINE)?;
    if let Some(python) = installed(cache) {
        return Ok(python);
    }
    // A virtual environment contains its own path, so it is made in place; the mark that it is whole comes last.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(file(&dir))?;
    }
    create(&dir, &turn)?;
    let python = dir.join("bin/python");
    let pins = dir.join("requirements.txt");
    std::fs::write(&pins, PINS).map_err(file(&pins))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet", "-r"]).arg(&pins);
    run(&mut install, &turn, INSTALL_DEADLINE)?;
    let mark = mark(&dir);
    std::fs::write(&mark, "").map_err(file(&mark))?;
    Ok(python)
}

fn mark(dir: &Path) -> PathBuf {
    dir.join(".complete")
}

/// Waits until nobody else makes the environment. The kernel ends a turn with the last process that has its file open.
fn turn(lock: &Path, deadline: Duration) -> Result<File, Error> {
    let taken = File::create(lock).map_err(file(lock))?;
    let start = Instant::now();
    loop {
        match rustix::fs::flock(&taken, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(taken),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < deadline => std::thread::sleep(POLL_INTERVAL),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Turn { lock: lock.to_owned(), seconds: deadline.as_secs() });
            }
            Err(error) => return Err(file(lock)(error.into())),
        }
    }
}

/// Tries Debian's Python first: one from elsewhere on PATH may be a shim that wants a project.
fn create(dir: &Path, turn: &File) -> Result<(), Error> {
    let mut last = String::new();
    for python in ["/usr/bin/python3", "python3"] {
        match run(Command::new(python).args(["-m", "venv"]).arg(dir), turn, CREATE_DEADLINE) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(file(dir))?;
        }
    }
    Err(Error::NoPython(last))
}

/// Runs a program that reads nothing. It has the turn's file for its standard input, so that the turn lasts until it has ended,
/// even when we are killed.
fn run(command: &mut Command, turn: &File, deadline: Duration) -> Result<(), Error> {
    let program = PathBuf::from(command.get_program());
    let failed = |detail: String| Error::Program { program: program.clone(), detail };
    command.stdin(Stdio::from(turn.try_clone().map_err(file(&program))?));
    let output = child::output_of(command, deadline, &mut || ()).map_err(|failure| failed(failure.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!("{}: {}", output.status, crate::last_words(&output.stderr))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_waits_and_takes_what_the_first_has_made() {
        let cache = tempfile::tempdir().unwrap();
        let dir = dir(cache.path());
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        let half = dir.join("bin/half-made");
        std::fs::write(&half, "").unwrap();
        let first = turn(&dir.with_extension("lock"), Duration::ZERO).unwrap();
        let path = cache.path().to_owned();
        let second = std::thread::spawn(move || ensure(&path));
        std::thread::sleep(POLL_INTERVAL * 3);
        assert!(half.exists() && !second.is_finished(), "what is half made is left alone");
        std::fs::write(mark(&dir), "").unwrap();
        drop(first);
        assert_eq!(second.join().unwrap().unwrap(), dir.join("bin/python"));
        assert!(half.exists(), "nothing was made twice");
    }

    #[test]
    fn a_turn_that_never_ends_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("x.lock");
        let first = turn(&lock, Duration::ZERO).unwrap();
        let late = turn(&lock, POLL_INTERVAL).unwrap_err().to_string();
        assert!(late.contains("somebody else") && late.contains("x.lock"), "{late}");
        drop(first);
        assert!(turn(&lock, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_turn_lasts_as_long_as_the_program_that_it_was_for() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("x.lock");
        let first = turn(&lock, Duration::ZERO).unwrap();
        let mut orphan = Command::new("sleep").arg("600").stdin(first.try_clone().unwrap()).spawn().unwrap();
        drop(first);
        assert!(turn(&lock, Duration::ZERO).is_err(), "whoever began it is gone, the program is not");
        orphan.kill().unwrap();
        orphan.wait().unwrap();
        assert!(turn(&lock, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let first = turn(&folder.path().join("x.lock"), Duration::ZERO).unwrap();
        let mut command = Command::new("sh");
        let error =
            run(command.args(["-c", "echo no such package >&2; exit 3"]), &first, POLL_INTERVAL * 50).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: exit status: 3: no such package");
    }
}
