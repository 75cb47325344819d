//! Whose an unfinished resource is: every run leaves a locked file on its machine and the file's name in the tags of what it makes.
//!
//! A run that ends well removes its file. A file that is there and not locked belongs to a run that did not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use crate::error::{Result, file};

/// The longest that an upload may be allowed to take, in seconds.
pub const LONGEST_UPLOAD: u64 = 5 * 3600;
/// What somebody else's machine has begun before so long is dead.
pub const OLDEST_UPLOAD: Duration = Duration::from_secs(6 * 3600);
// An upload that is still allowed to run must not be taken for a dead one, and the registration after it takes time, too.
const _: () = assert!(LONGEST_UPLOAD + 1800 < OLDEST_UPLOAD.as_secs());

/// Where the locks of a machine are.
#[must_use]
pub fn run_locks(cache: &Path) -> PathBuf {
    cache.join("published/uploads")
}

/// Shows other runs on this machine that an upload or a smoke boot lives. The lock ends with the process, whichever way it ends.
#[derive(Debug)]
pub struct RunLock {
    /// What stands in the tags.
    pub id: String,
    path: PathBuf,
    _lock: File,
}

impl RunLock {
    /// Takes a new one, with its file in `dir`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn take(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(file(dir))?;
        let id = format!("{:032x}", fastrand::u128(..));
        let path = dir.join(&id);
        let lock = File::create(&path).map_err(file(&path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| file(&path)(error.into()))?;
        Ok(Self { id, path, _lock: lock })
    }

    /// Everything that carries it is good. Whoever fails only drops it: the file then tells the next run to clear up.
    pub fn end(self) {
        let _only_a_name = std::fs::remove_file(&self.path);
    }
}

/// How long ago this moment was, in seconds since 1970.
pub(crate) fn age(begun: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(begun.try_into().unwrap_or(0)))
}

/// Whether what carries this lock since `begun` is left over: its process was on this machine and is gone, or was elsewhere and
/// would have ended long ago.
pub(crate) fn is_left(dir: &Path, id: &str, begun: i64) -> bool {
    is_dead(dir, id) || age(begun) > OLDEST_UPLOAD
}

/// Whether the process with this lock was on this machine and is gone.
fn is_dead(dir: &Path, id: &str) -> bool {
    is_lock_name(id) && is_unlocked(&dir.join(id))
}

/// The id comes from a tag; as a path it must not lead anywhere else.
fn is_lock_name(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_unlocked(path: &Path) -> bool {
    let Ok(lock) = File::open(path) else { return false };
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes the locks of dead runs that are so old that nothing needs them: what carries them is left over by its age alone.
pub(crate) fn prune(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|about| about.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLDEST_UPLOAD));
        if old && entry.file_name().to_str().is_some_and(is_lock_name) && is_unlocked(&entry.path()) {
            let _only_a_name = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lives_as_long_as_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path()).unwrap();
        assert!(!is_dead(dir.path(), &lock.id), "it is held");
        assert!(!is_dead(dir.path(), "0123456789abcdef0123456789abcdef"), "it was never here");
        assert!(!is_dead(dir.path(), "../../etc/passwd"), "it is no lock");
        let left = dir.path().join("aaaabbbbccccddddaaaabbbbccccdddd");
        std::fs::write(&left, "").unwrap();
        assert!(is_dead(dir.path(), "aaaabbbbccccddddaaaabbbbccccdddd"), "its process was killed");
    }

    #[test]
    fn only_a_good_end_removes_the_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let (good, failed) = (RunLock::take(dir.path()).unwrap(), RunLock::take(dir.path()).unwrap());
        let (good_id, failed_id) = (good.id.clone(), failed.id.clone());
        good.end();
        drop(failed);
        assert!(!dir.path().join(&good_id).exists());
        assert!(is_dead(dir.path(), &failed_id), "the next run clears up behind it");
    }

    #[test]
    fn old_evidence_of_nothing_goes() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path()).unwrap();
        let (young, old) = ("a".repeat(32), "b".repeat(32));
        for name in [&young, &old] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let long_ago = SystemTime::now() - OLDEST_UPLOAD - Duration::from_secs(60);
        for name in [&old, &lock.id] {
            File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        prune(dir.path());
        assert!(!dir.path().join(&old).exists());
        assert!(dir.path().join(&young).exists() && dir.path().join(&lock.id).exists(), "it is young, or held");
    }
}
