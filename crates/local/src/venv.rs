//! The Python environment of the AWS emulator: made once per set of pins, whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::child::{self, argv};
use crate::error::{Error, Result, file};

/// The exact versions that are installed.
const PINS: &str = include_str!("../requirements.txt");
/// pip downloads about 60 MB; a slow line gets ten minutes.
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
/// Making an empty environment takes about three seconds.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// Whoever makes the environment is through by then, or has ended without it.
const TURN_DEADLINE: Duration = Duration::from_secs(900);
/// How often somebody who waits for his turn looks.
const LOOK: Duration = Duration::from_millis(200);

/// Where the environment of the current pins is or will be.
pub fn dir(cache: &Path) -> PathBuf {
    let hash = hex::encode(Sha256::digest(PINS));
    cache.join("venv").join(&hash[..16])
}

/// The environment's interpreter; made first if there is none.
///
/// # Errors
/// When neither Debian's Python nor the one on PATH can make environments, pip fails, or another local cloud does not come to an
/// end with it.
pub async fn ensure(cache: &Path) -> Result<PathBuf> {
    let dir = dir(cache);
    let python = dir.join("bin/python");
    if dir.join(".complete").exists() {
        return Ok(python);
    }
    let parent = cache.join("venv");
    std::fs::create_dir_all(&parent).map_err(file("cannot create", &parent))?;
    // One at a time: another local cloud that starts now would take what is half made for left over, and remove it.
    let _turn = turn(&dir.with_extension("lock"), TURN_DEADLINE).await?;
    if dir.join(".complete").exists() {
        return Ok(python);
    }
    // A virtual environment contains its own path, so it is made in place; the mark that it is whole comes last.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(file("cannot remove the unfinished", &dir))?;
    }
    tracing::info!(folder = %dir.display(), "making the Python environment of the AWS emulator");
    create(&dir).await?;
    let pins = dir.join("requirements.txt");
    std::fs::write(&pins, PINS).map_err(file("cannot write", &pins))?;
    let mut install = argv([python.as_os_str()]);
    install.extend(argv(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet", "-r"]));
    install.push(pins.into());
    child::run(&install, None, INSTALL_DEADLINE).await?;
    let mark = dir.join(".complete");
    std::fs::write(&mark, "").map_err(file("cannot write", &mark))?;
    Ok(python)
}

/// Waits until nobody else makes the environment. The kernel ends a turn with the process that has it.
async fn turn(lock: &Path, deadline: Duration) -> Result<File> {
    let taken = File::create(lock).map_err(file("cannot create", lock))?;
    let start = tokio::time::Instant::now();
    loop {
        match rustix::fs::flock(&taken, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(taken),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < deadline => tokio::time::sleep(LOOK).await,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Config(format!(
                    "another local cloud has made the Python environment of the AWS emulator for {} s ({}): end it, or wait for it, and run the command again",
                    deadline.as_secs(),
                    lock.display()
                )));
            }
            Err(error) => return Err(file("cannot lock", lock)(error.into())),
        }
    }
}

/// Tries Debian's Python first: one from elsewhere on PATH may be a shim that wants a project.
async fn create(dir: &Path) -> Result<()> {
    let mut last = String::new();
    for python in ["/usr/bin/python3", "python3"] {
        let mut words = argv([python, "-m", "venv"]);
        words.push(dir.into());
        match child::run(&words, None, CREATE_DEADLINE).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(file("cannot remove the unfinished", dir))?;
        }
    }
    Err(Error::Config(format!(
        "no Python can make environments: {last}; install one with `apt-get install python3-venv`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_second_waits_and_takes_what_the_first_has_made() {
        let cache = tempfile::tempdir().unwrap();
        let dir = dir(cache.path());
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        let half = dir.join("bin/half-made");
        std::fs::write(&half, "").unwrap();
        let first = turn(&dir.with_extension("lock"), Duration::ZERO).await.unwrap();
        let (path, mark) = (cache.path().to_owned(), dir.join(".complete"));
        let second = tokio::spawn(async move { ensure(&path).await });
        tokio::time::sleep(LOOK * 3).await;
        assert!(half.exists() && !second.is_finished(), "what is half made is left alone");
        std::fs::write(&mark, "").unwrap();
        drop(first);
        assert_eq!(second.await.unwrap().unwrap(), dir.join("bin/python"));
        assert!(half.exists(), "nothing was made twice");
    }

    #[tokio::test]
    async fn a_turn_that_never_ends_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("x.lock");
        let first = turn(&lock, Duration::ZERO).await.unwrap();
        let late = turn(&lock, LOOK).await.unwrap_err().to_string();
        assert!(late.contains("another local cloud") && late.contains("x.lock"), "{late}");
        drop(first);
        assert!(turn(&lock, Duration::ZERO).await.is_ok());
    }
}
