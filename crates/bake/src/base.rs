//! The Debian packages as one tar, made by mmdebstrap and cached under the digest of what was asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::inputs::{Inputs, file_sha256};
use crate::lock::{Lock, Package, Wanted};
use crate::run::run;

/// The base tree and what is in it.
#[derive(Debug, Clone)]
pub struct Base {
    /// The tar.
    pub tar: PathBuf,
    /// Its packages.
    pub lock: Lock,
    /// What is newer than the lock says, in one line each; empty when the lock was met.
    pub drift: Vec<String>,
}

/// What to do about the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockPolicy {
    /// Take exactly what it says, or fail.
    Exact,
    /// When Debian no longer serves what it says, take today's packages. The lock itself stays. A mirror keeps only the
    /// newest version of a package, and a rehearsal must not fail because a kernel was mended; what is published must be exact.
    AllowNewer,
    /// Make it anew.
    Update,
}

/// The base tree of the lock, from the cache or from Debian; the second value says whether the cache had it.
///
/// # Errors
/// When Debian no longer serves what the lock names, or mmdebstrap fails.
pub fn base(inputs: &Inputs, policy: LockPolicy, cache: &Path) -> Result<(Base, bool), Error> {
    let wanted = inputs.wanted()?;
    let locked = if policy == LockPolicy::Update { None } else { Lock::load(&inputs.lock_path())? };
    let Some(locked) = locked else {
        let (tar, lock) = bootstrap(inputs, &wanted, None, cache)?;
        std::fs::write(inputs.lock_path(), lock.to_text()?).map_err(Error::file(inputs.lock_path()))?;
        let tar = keep(&tar, &cache_path(cache, &wanted, &lock)?)?;
        return Ok((Base { tar, lock, drift: Vec::new() }, false));
    };
    let path = cache_path(cache, &wanted, &locked)?;
    if path.exists() {
        return Ok((Base { tar: path, lock: locked, drift: Vec::new() }, true));
    }
    let newer = path.with_extension("newer.tar");
    let newer_lock = path.with_extension("newer.lock");
    if policy == LockPolicy::AllowNewer
        && newer.exists()
        && let Some(lock) = Lock::load(&newer_lock)?
    {
        return Ok((Base { tar: newer, drift: locked.difference(&lock), lock }, true));
    }
    let reason = match bootstrap(inputs, &wanted, Some(&locked), cache) {
        Ok((tar, lock)) => {
            let difference = locked.difference(&lock);
            // The versions were met, so a difference is another content under the same version: never accepted.
            if !difference.is_empty() {
                return Err(Error::Lock(difference.join(", ")));
            }
            let tar = keep(&tar, &path)?;
            return Ok((Base { tar, lock, drift: Vec::new() }, false));
        }
        Err(Error::Lock(reason)) => reason,
        Err(error) => return Err(error),
    };
    if policy != LockPolicy::AllowNewer {
        return Err(Error::Lock(reason));
    }
    let (tar, lock) = bootstrap(inputs, &wanted, None, cache)?;
    let drift = locked.difference(&lock);
    if let Some(same_version) = drift.iter().find(|line| line.contains("another content")) {
        return Err(Error::Lock(same_version.clone()));
    }
    std::fs::write(&newer_lock, lock.to_text()?).map_err(Error::file(&newer_lock))?;
    let tar = keep(&tar, &newer)?;
    Ok((Base { tar, lock, drift }, false))
}

fn cache_path(cache: &Path, wanted: &Wanted, lock: &Lock) -> Result<PathBuf, Error> {
    let mut hash = Sha256::new();
    hash.update(format!("{wanted:?}{:?}", CUSTOMIZE));
    hash.update(lock.to_text()?);
    Ok(cache.join("base").join(format!("{}.tar", &hex::encode(hash.finalize())[..16])))
}

fn keep(unfinished: &Path, path: &Path) -> Result<PathBuf, Error> {
    std::fs::rename(unfinished, path).map_err(Error::file(path))?;
    Ok(path.to_owned())
}

/// Commands inside the new tree, run by mmdebstrap in its own chroot. Constant text: nothing is put into it.
const CUSTOMIZE: &[&str] = &[
    // The one account that people log in with; its key comes from the agent, its password is locked.
    r#"chroot "$1" useradd --uid 1000 --create-home --shell /bin/bash --groups docker,sudo,systemd-journal admin"#,
];

fn bootstrap(inputs: &Inputs, wanted: &Wanted, lock: Option<&Lock>, cache: &Path) -> Result<(PathBuf, Lock), Error> {
    let dir = cache.join("base");
    let debs = dir.join(format!("unfinished.{}.debs", std::process::id()));
    let tar = dir.join(format!("unfinished.{}.tar", std::process::id()));
    std::fs::create_dir_all(&debs).map_err(Error::file(&debs))?;
    let include: Vec<String> = match lock {
        None => wanted.names().into_iter().map(str::to_owned).collect(),
        // Every package by its version: apt then installs exactly these or says which one is gone.
        Some(lock) => lock.package.iter().map(|package| format!("{}={}", package.name, package.version)).collect(),
    };
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--variant=essential", "--format=tar", "--skip=essential/unlink,cleanup/apt/cache"])
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args(["doc", "man", "locale", "info"].map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")))
        .args(CUSTOMIZE.iter().map(|hook| format!("--customize-hook={hook}")))
        .arg(format!("--customize-hook=sync-out /var/cache/apt/archives {}", debs.display()))
        .arg(format!("--include={}", include.join(",")))
        .arg(&wanted.suite)
        .arg(&tar)
        .args(inputs.mirror.as_deref())
        .env("SOURCE_DATE_EPOCH", wanted.source_date_epoch.to_string())
        // We bring our own initrd; building Debian's would cost seconds and is thrown away.
        .env("INITRD", "No");
    let result = run("mmdebstrap", &mut command).and_then(|_| read_debs(&debs));
    // The archives are only needed for their digests.
    let _left = std::fs::remove_dir_all(&debs);
    match result {
        Ok(lock) => Ok((tar, lock)),
        Err(error) => {
            let _left = std::fs::remove_file(&tar);
            match (lock, error) {
                (Some(_), Error::Program { tail, .. }) if tail.contains("was not found") => Err(Error::Lock(tail)),
                (_, error) => Err(error),
            }
        }
    }
}

/// Name, version and digest of every archive in `dir`.
fn read_debs(dir: &Path) -> Result<Lock, Error> {
    let mut package = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::file(dir))? {
        let path = entry.map_err(Error::file(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (name, version) = parse_deb_name(name)
            .ok_or_else(|| Error::Malformed { path: path.clone(), reason: "not the name of a package".to_owned() })?;
        package.push(Package { name, version, sha256: file_sha256(&path)? });
    }
    package.sort();
    Ok(Lock { package })
}

/// `docker.io_26.1.5+dfsg1-9_amd64.deb` → name and version; apt writes the colon of an epoch as `%3a`.
fn parse_deb_name(file: &str) -> Option<(String, String)> {
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let valid = parts.next().is_some() && parts.next().is_none() && !name.is_empty();
    valid.then(|| (name.to_owned(), version.replace("%3a", ":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_archives_are_taken_apart() {
        assert_eq!(
            parse_deb_name("iptables_1%3a1.8.11-2_amd64.deb"),
            Some(("iptables".to_owned(), "1:1.8.11-2".to_owned()))
        );
        for bad in ["partial", "a.deb", "a_1.deb", "a_1_amd64_x.deb", "_1_amd64.deb"] {
            assert_eq!(parse_deb_name(bad), None, "{bad}");
        }
    }
}
