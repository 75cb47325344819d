//! What the rehearsal of the login needs beside the tools tree: Chromium, in a tree of its own since it is larger than all other programs
//! together, and packages of npm. Only the suite that needs them fetches them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::{Error, ToolsTree, child, file};

/// The browser, `certutil` to say whom it trusts, and letters for its screenshots.
const PACKAGES: &[&str] = &["chromium", "libnss3-tools", "fonts-dejavu-core"];
/// What npm reads; the lock has a hash of every package.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// npm fetches about 5 MB; a slow line gets ten minutes.
const NPM_DEADLINE: Duration = Duration::from_secs(600);

/// The tree with the browser, which needs it as its root folder: `e2e/provider/chromium.sh`. Made first if there is none, which takes some
/// minutes and 1 GB. `tick` is called a few times a second while it is made.
///
/// # Errors
/// As of [`ToolsTree::ensure`].
pub fn tree(mirror: Option<&str>, tick: &mut dyn FnMut()) -> Result<ToolsTree, Error> {
    ToolsTree::ensure_with(PACKAGES, mirror, tick)
}

/// The folder `node_modules` of the npm package in `sources`, in the cache; made first if there is none, by the host's own npm. Nothing that
/// a package brings is run for that.
///
/// # Errors
/// When npm is not installed, fails, or takes longer than ten minutes.
pub fn npm_packages(cache: &Path, sources: &Path) -> Result<PathBuf, Error> {
    npm_packages_by(OsStr::new("npm"), cache, sources)
}

fn npm_packages_by(npm: &OsStr, cache: &Path, sources: &Path) -> Result<PathBuf, Error> {
    let (mut hash, mut files) = (Sha256::new(), Vec::new());
    for name in NPM_FILES {
        let path = sources.join(name);
        let content = std::fs::read(&path).map_err(file(&path))?;
        hash.update(&content);
        files.push((name, content));
    }
    let parent = cache.join("npm");
    let dir = parent.join(&hex::encode(hash.finalize())[..16]);
    let packages = dir.join("node_modules");
    if packages.is_dir() {
        return Ok(packages);
    }
    // Under another name until it is whole, as a tree.
    let unfinished = parent.join(format!("unfinished.{}", std::process::id()));
    std::fs::create_dir_all(&unfinished).map_err(file(&unfinished))?;
    for (name, content) in files {
        let path = unfinished.join(name);
        std::fs::write(&path, content).map_err(file(&path))?;
    }
    let installed = install(npm, &unfinished).and_then(|()| match std::fs::rename(&unfinished, &dir) {
        // Somebody else was faster with the same packages.
        Err(_) if packages.is_dir() => Ok(()),
        renamed => renamed.map_err(file(&dir)),
    });
    // What is left of a failure is only disk space.
    let _left = std::fs::remove_dir_all(&unfinished);
    installed.map(|()| packages)
}

fn install(npm: &OsStr, dir: &Path) -> Result<(), Error> {
    let failed = |detail: String| Error::Program { program: npm.into(), detail };
    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(dir).stdin(Stdio::null());
    match child::output_of(&mut command, NPM_DEADLINE, &mut || ()) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(format!("{}: {}", output.status, crate::last_words(&output.stderr)))),
        Err(child::Failure::NotStarted(error)) => Err(Error::NoNpm(error)),
        Err(failure) => Err(failed(failure.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(lock: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in NPM_FILES {
            std::fs::write(folder.path().join(name), lock).unwrap();
        }
        folder
    }

    fn by(npm: &str, cache: &Path, sources: &Path) -> Result<PathBuf, Error> {
        npm_packages_by(OsStr::new(npm), cache, sources)
    }

    #[test]
    fn packages_that_are_there_are_taken_and_those_of_another_lock_are_not() {
        let (cache, one, other) = (tempfile::tempdir().unwrap(), sources("one"), sources("other"));
        let packages = by("true", cache.path(), one.path()).unwrap();
        assert!(packages.with_file_name("package-lock.json").exists(), "npm was given the lock");
        std::fs::create_dir(&packages).unwrap();
        // A program that would fail is not run.
        assert_eq!(by("false", cache.path(), one.path()).unwrap(), packages);
        assert!(by("false", cache.path(), other.path()).is_err());
    }

    #[test]
    fn a_failure_is_told_and_leaves_nothing() {
        let (cache, sources) = (tempfile::tempdir().unwrap(), sources("one"));
        let absent = by("/nowhere/npm", cache.path(), sources.path()).unwrap_err().to_string();
        assert!(absent.contains("npm") && absent.contains("apt-get install"), "{absent}");
        let failed = by("false", cache.path(), sources.path()).unwrap_err().to_string();
        assert!(failed.starts_with("`false` failed: exit status: 1"), "{failed}");
        assert_eq!(std::fs::read_dir(cache.path().join("npm")).unwrap().count(), 0);
        std::fs::remove_file(sources.path().join("package-lock.json")).unwrap();
        let unlocked = by("true", cache.path(), sources.path()).unwrap_err().to_string();
        assert!(unlocked.contains("package-lock.json"), "{unlocked}");
    }
}
