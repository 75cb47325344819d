//! The Debian packages as one tar: which ones, from where, and mmdebstrap's part, cached under the digest of what went in.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::apt::Apt;
use crate::archive::{Archives, now};
use crate::debs::{Debs, Sources, names};
use crate::inputs::{lock_path, package_list_path};
use crate::lock::{Lock, PackageList};
use crate::repository;
use crate::run::run_within;

/// Longest time for mmdebstrap, which installs from this machine; it takes about a minute on two cores.
const DEADLINE: Duration = Duration::from_secs(20 * 60);
/// Beginning of the names of folders that are used while a base is made.
const UNFINISHED: &str = "futuswarm-bake-";
/// Age at which such a folder was left by a bake that was killed.
const ABANDONED: Duration = Duration::from_secs(2 * 3600);

/// The base tree and what is in it.
#[derive(Debug, Clone)]
pub struct Base {
    /// A tar in the cache; bakes only read it.
    pub tar: PathBuf,
    /// Exactly what is installed in it.
    pub lock: Lock,
    /// How it differs from the lock, in one line for each package; empty when the lock was met.
    pub drift: Vec<String>,
}

/// What to do about the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockPolicy {
    /// Take exactly what it says, or fail.
    Exact,
    /// When neither a mirror nor the snapshot archive has what it says, take today's packages. The lock itself stays. A
    /// rehearsal must not fail because a kernel was fixed; what is published must be exact.
    AllowNewer,
    /// Write it again, from today's packages.
    Update,
}

/// What mmdebstrap is given.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Exactly these packages, all of which are in the cache.
    pub lock: Lock,
    /// How they differ from the lock of the repository, in one line for each package.
    pub drift: Vec<String>,
}

/// The base tree of the lock of the image in `images`, from the cache or made now; the second value says whether the cache had it.
///
/// # Errors
/// When the lock cannot be met, or mmdebstrap fails.
pub fn base(
    images: &Path,
    policy: LockPolicy,
    archives: &Archives,
    cache: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<(Base, bool), Error> {
    let list = PackageList::load(&package_list_path(images))?;
    let locked = match (Lock::load(&lock_path(images)), policy) {
        // It is made again, so what was wrong with it does not matter.
        (Err(Error::Malformed { .. }), LockPolicy::Update) => None,
        (lock, _) => lock?,
    };
    let dir = cache.join("base");
    std::fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    // The newer packages that a rehearsal went on with stay the same until the lock changes.
    let (mut newer, mut stood_in) = (None, None);
    if let (Some(locked), true) = (&locked, policy != LockPolicy::Update) {
        asked_for(locked, &list)?;
        let path = tar_path(&dir, &list, locked);
        if path.exists() {
            return Ok((Base { tar: path, lock: locked.clone(), drift: Vec::new() }, true));
        }
        let record = path.with_extension("newer.lock");
        if let (LockPolicy::AllowNewer, Some(lock)) = (policy, Lock::load(&record)?) {
            let tar = tar_path(&dir, &list, &lock);
            if tar.exists() {
                return Ok((Base { tar, drift: locked.difference(&lock), lock }, true));
            }
            stood_in = Some(Choice { drift: locked.difference(&lock), lock });
        }
        newer = Some(record);
    }
    let work = workshop()?;
    let debs = Debs::new(cache.join("debs"));
    debs.sweep();
    let choice = match stand_in_again(stood_in, locked.as_ref(), &debs)? {
        Some(choice) => choice,
        None => choose(work.path(), &list, locked.as_ref(), policy, archives, &debs, tell)?,
    };
    let tar = work.path().join("base.tar");
    install(work.path(), &list, &choice.lock, &debs, &tar, tell)?;
    let path = tar_path(&dir, &list, &choice.lock);
    keep(&tar, &path)?;
    let text = choice.lock.to_text()?;
    match newer {
        None if locked.as_ref() != Some(&choice.lock) => write_whole(&lock_path(images), &text)?,
        Some(newer) if !choice.drift.is_empty() => write_whole(&newer, &text)?,
        _ => {}
    }
    Ok((Base { tar: path, lock: choice.lock, drift: choice.drift }, false))
}

/// Decides which packages are installed, and brings them into the cache of packages. `work` is a folder for what is needed
/// meanwhile.
///
/// # Errors
/// When there is no lock that can be met, and `policy` does not let today's packages stand in, or those cannot be had either.
pub fn choose(
    work: &Path,
    list: &PackageList,
    locked: Option<&Lock>,
    policy: LockPolicy,
    archives: &Archives,
    debs: &Debs,
    tell: &mut dyn FnMut(&str),
) -> Result<Choice, Error> {
    archives.check()?;
    let mut unmet = None;
    if let (Some(locked), true) = (locked, policy != LockPolicy::Update) {
        asked_for(locked, list)?;
        // No network is needed when all are here, and no keyring: the lock has the digests.
        if debs.missing(locked)?.is_empty() {
            return Ok(Choice { lock: locked.clone(), drift: Vec::new() });
        }
        let apt = Apt::new(&work.join("apt"), archives, &list.suite)?;
        let missing = debs.fetch(&apt, archives, locked, Sources::Everywhere, tell)?;
        if missing.is_empty() {
            return Ok(Choice { lock: locked.clone(), drift: Vec::new() });
        }
        let reason = format!(
            "neither {} nor {} (snapshot {}) gave {} of its {} packages: {}",
            archives.mirror,
            archives.snapshot,
            locked.snapshot,
            missing.len(),
            locked.package.len(),
            names(&missing)
        );
        if policy == LockPolicy::Exact {
            return Err(Error::Lock(reason));
        }
        unmet = Some(reason);
    }
    let today = today(work, list, archives, debs, tell);
    let lock = match (today, unmet) {
        (Ok(lock), _) => lock,
        (Err(error), None) => return Err(error),
        (Err(error), Some(reason)) => {
            return Err(Error::Lock(format!("{reason}; and today's packages cannot be taken instead: {error}")));
        }
    };
    let Some(locked) = locked else { return Ok(Choice { lock, drift: Vec::new() }) };
    // Under the same version there is the same content, for ever: Debian promises it, and we hold it to that.
    let contradictions = locked.contradictions(&lock);
    if !contradictions.is_empty() {
        return Err(Error::Lock(format!("another content than the locked one: {}", contradictions.join(", "))));
    }
    match policy {
        // A lock that says the same stays as it is: its snapshot is as good as today's.
        LockPolicy::Update if locked.package == lock.package => Ok(Choice { lock: locked.clone(), drift: Vec::new() }),
        LockPolicy::Update => Ok(Choice { lock, drift: Vec::new() }),
        LockPolicy::Exact | LockPolicy::AllowNewer => Ok(Choice { drift: locked.difference(&lock), lock }),
    }
}

/// The packages that stood in for the locked ones in an earlier rehearsal, when they can do so again: all of them are in the cache, so
/// that no network is needed for them either, and the locked ones are not here again.
///
/// # Errors
/// When the cache cannot be read.
pub fn stand_in_again(stood_in: Option<Choice>, locked: Option<&Lock>, debs: &Debs) -> Result<Option<Choice>, Error> {
    let here = |lock: &Lock| Ok::<_, Error>(debs.missing(lock)?.is_empty());
    let Some(choice) = stood_in else { return Ok(None) };
    let again = here(&choice.lock)? && !locked.map_or(Ok(false), here)?;
    Ok(again.then_some(choice))
}

/// Today's packages, in the cache.
fn today(
    work: &Path,
    list: &PackageList,
    archives: &Archives,
    debs: &Debs,
    tell: &mut dyn FnMut(&str),
) -> Result<Lock, Error> {
    let apt = Apt::new(&work.join("apt"), archives, &list.suite)?;
    // Before the indexes are read, so that a later snapshot has all that they name.
    let snapshot = now()?;
    apt.update(&mut || tell("reading Debian's indexes"))?;
    let lock = Lock { snapshot, package: apt.resolve(archives, &list.names())? };
    let missing = debs.fetch(&apt, archives, &lock, Sources::Mirrors, tell)?;
    if missing.is_empty() {
        return Ok(lock);
    }
    Err(Error::Mirror(format!("{} names what it does not serve: {}", archives.mirror, names(&missing))))
}

/// A package that was added to the list, and not to the lock, would silently not be there.
fn asked_for(locked: &Lock, list: &PackageList) -> Result<(), Error> {
    let lacks = locked.lacks(&list.names());
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Error::Lock(format!("packages.toml asks for {}, which it does not have", lacks.join(", "))))
}

fn tar_path(dir: &Path, list: &PackageList, lock: &Lock) -> PathBuf {
    let mut hash = Sha256::new();
    // The text that caches were filled under; it does not follow the names of the code.
    let PackageList { suite, source_date_epoch, packages } = list;
    hash.update(format!(
        "Wanted {{ suite: {suite:?}, source_date_epoch: {source_date_epoch:?}, packages: {packages:?} }}{CUSTOMIZE:?}"
    ));
    hash.update(lock.content());
    dir.join(format!("{}.tar", &hex::encode(hash.finalize())[..16]))
}

/// A folder for what is needed meanwhile; what killed bakes left is removed. It is not in the cache, because mmdebstrap of an
/// ordinary user works as another one, who may not look into home folders.
fn workshop() -> Result<tempfile::TempDir, Error> {
    let temporary = std::env::temp_dir();
    sweep(&temporary);
    let work = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&temporary).map_err(Error::file(&temporary))?;
    let tmp = work.path().join("tmp");
    std::fs::create_dir(&tmp).map_err(Error::file(&tmp))?;
    for (path, mode) in [(work.path(), 0o755), (&tmp, 0o1777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::file(path))?;
    }
    Ok(work)
}

fn sweep(temporary: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        let abandoned = entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && age.is_some_and(|age| age > ABANDONED)
            // Whatever is mounted there is somebody's.
            && !mounts.contains(&*path.to_string_lossy());
        if abandoned {
            // Only disk space is at stake; another user's stays.
            let _left = std::fs::remove_dir_all(&path);
        }
    }
}

/// Moves a finished file to its place, which may be on another file system, so that it appears whole or not at all.
fn keep(finished: &Path, path: &Path) -> Result<(), Error> {
    if std::fs::rename(finished, path).is_ok() {
        return Ok(());
    }
    let near = path.with_extension(format!("unfinished.{}", std::process::id()));
    std::fs::copy(finished, &near).map_err(Error::file(&near))?;
    std::fs::rename(&near, path).map_err(Error::file(path))
}

fn write_whole(path: &Path, text: &str) -> Result<(), Error> {
    let near = path.with_extension(format!("unfinished.{}", std::process::id()));
    std::fs::write(&near, text).map_err(Error::file(&near))?;
    std::fs::rename(&near, path).map_err(Error::file(path))
}

/// Commands inside the new tree, run by mmdebstrap in its own chroot. Constant text: nothing is put into it.
const CUSTOMIZE: &[&str] = &[
    // The account that operators log in with; its key comes from the agent, its password is locked.
    r#"chroot "$1" useradd --uid 1000 --create-home --shell /bin/bash --groups docker,sudo,systemd-journal admin"#,
    // Everybody else's (`futuswarm_node_files::ACCOUNT`): sshd hands the forced command to its shell. Its home is a folder that exists,
    // since sshd complains to the client otherwise, and in which nobody but root writes.
    r#"chroot "$1" useradd --uid 1001 --no-create-home --home-dir / --shell /bin/sh futuswarm"#,
    // sshd asks as this one whose a key is. It has nothing to do with sessions, and owns nothing.
    r#"chroot "$1" useradd --uid 1002 --no-create-home --home-dir / --shell /usr/sbin/nologin futuswarm-keys"#,
];

/// Has mmdebstrap install exactly the packages of `lock`, from this machine, into a tar.
fn install(
    work: &Path,
    list: &PackageList,
    lock: &Lock,
    debs: &Debs,
    tar: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    tell("making an archive of the packages");
    let source = repository::make(&work.join("archive"), &list.suite, lock, &|package| debs.path(package))?;
    let include: Vec<&str> = lock.package.iter().map(|package| package.name.as_str()).collect();
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--variant=essential", "--format=tar"])
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args(["doc", "man", "locale", "info"].map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")))
        .args(CUSTOMIZE.iter().map(|hook| format!("--customize-hook={hook}")))
        .arg(format!("--customize-hook=copy-out /var/lib/dpkg/status {}", quoted(work)?))
        .arg(format!("--include={}", include.join(",")))
        .arg(&list.suite)
        .arg(tar)
        .arg(source)
        .env("TMPDIR", work.join("tmp"))
        .env("SOURCE_DATE_EPOCH", list.source_date_epoch.to_string())
        // We bring our own initrd; building Debian's would cost seconds and is thrown away.
        .env("INITRD", "No");
    let begin = Instant::now();
    let packages = lock.package.len();
    run_within("mmdebstrap", &mut command, b"", DEADLINE, &mut || {
        tell(&format!("mmdebstrap installs {packages} packages: {} s", begin.elapsed().as_secs()));
    })?;
    let status = work.join("status");
    let text = std::fs::read_to_string(&status).map_err(Error::file(&status))?;
    let differs = compare(&text, lock);
    if differs.is_empty() {
        Ok(())
    } else {
        Err(Error::Lock(format!("after the installation, {}", differs.join(", "))))
    }
}

/// A word for mmdebstrap's own hooks, which are taken apart as a shell does.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['\'', '\n']));
    let text = text.ok_or_else(|| Error::Malformed {
        path: path.to_owned(),
        reason: "a folder of this name cannot be worked in; set TMPDIR to another".to_owned(),
    })?;
    Ok(format!("'{text}'"))
}

/// How dpkg's list of what is installed differs from the lock, in words.
fn compare(status: &str, lock: &Lock) -> Vec<String> {
    let installed = |stanza: &str| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let whole = field("Status")? == "install ok installed";
        whole.then_some((field("Package")?.to_owned(), field("Version")?.to_owned()))
    };
    let has: BTreeSet<_> = status.split("\n\n").filter_map(installed).collect();
    let locked: BTreeSet<_> =
        lock.package.iter().map(|package| (package.name.clone(), package.version.clone())).collect();
    let missing = locked.difference(&has).map(|(name, version)| format!("{name} {version} is not there"));
    missing.chain(has.difference(&locked).map(|(name, version)| format!("{name} {version} is there, too"))).collect()
}

#[cfg(test)]
mod tests {
    use futuswarm_image_format::Package;

    use super::*;

    #[test]
    fn what_is_installed_is_compared_with_the_lock() {
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            sha256: String::new(),
            size: 0,
            path: String::new(),
        };
        let lock = Lock { snapshot: String::new(), package: vec![package("a", "1"), package("b", "1:2")] };
        let entry = |name: &str, status: &str, version: &str| {
            format!("Package: {name}\nStatus: {status}\nDescription: x\n Version: 9\nVersion: {version}\n")
        };
        let good = [entry("a", "install ok installed", "1"), entry("b", "install ok installed", "1:2")].join("\n");
        assert!(compare(&good, &lock).is_empty());
        let half = good.replacen("ok installed", "ok half-configured", 1);
        assert_eq!(compare(&half, &lock), ["a 1 is not there"]);
        let other = [good.replace("1:2", "1:3"), entry("c", "install ok installed", "1")].join("\n");
        assert_eq!(compare(&other, &lock), ["b 1:2 is not there", "b 1:3 is there, too", "c 1 is there, too"]);
    }

    #[test]
    fn words_of_hooks_are_quoted() {
        assert_eq!(quoted(Path::new("/tmp/a b")).unwrap(), "'/tmp/a b'");
        assert!(quoted(Path::new("/tmp/it's")).is_err());
    }
}
