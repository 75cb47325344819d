//! The Python environment of the AWS emulator: made once per set of pins, whole or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::child::{self, argv};
use crate::error::{Error, Result, file};

/// The exact versions that are installed.
const PINS: &str = include_str!("../requirements.txt");
/// pip downloads about 60 MB; a slow line gets ten minutes.
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
/// Making an empty environment takes about three seconds.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);

/// Where the environment of the current pins is or will be.
pub fn dir(cache: &Path) -> PathBuf {
    let hash = hex::encode(Sha256::digest(PINS));
    cache.join("venv").join(&hash[..16])
}

/// The environment's interpreter; made first if there is none.
///
/// # Errors
/// When neither Debian's Python nor the one on PATH can make environments, or pip fails.
pub async fn ensure(cache: &Path) -> Result<PathBuf> {
    let dir = dir(cache);
    let python = dir.join("bin/python");
    if dir.join(".complete").exists() {
        return Ok(python);
    }
    let parent = cache.join("venv");
    std::fs::create_dir_all(&parent).map_err(file("cannot create", &parent))?;
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
