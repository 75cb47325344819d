//! The cache of packages: every `.deb` under its digest, fetched from whoever still has it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use futuswarm_image_format::{Package, file_sha256};

use crate::Error;
use crate::apt::{Apt, Download};
use crate::archive::{Archives, timestamps};
use crate::lock::Lock;

/// How often every source is asked for what is missing.
const ROUNDS: u32 = 3;
/// Longest time to fetch from one source.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// A source that took longer than this and gave nothing is not asked again: it does not answer at all.
const SILENCE: Duration = Duration::from_secs(10);
/// Age at which a package that no bake has used is removed.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);

/// The cache below a folder.
#[derive(Debug)]
pub struct Debs {
    dir: PathBuf,
    /// Ceiling of the pause before the second round; it doubles with every further one.
    pub pause: Duration,
}

/// Where a package may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// The mirrors of releases and security updates.
    Mirrors,
    /// The mirrors, then the snapshot archive.
    Everywhere,
}

#[derive(Debug)]
enum Source {
    Mirror,
    /// The snapshot archive, of this timestamp.
    Snapshot(String),
}

impl Source {
    fn url(&self, archives: &Archives, package: &Package) -> Option<String> {
        match self {
            Self::Mirror => archives.mirror_url(&package.path),
            Self::Snapshot(timestamp) => archives.snapshot_url(timestamp, &package.path),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mirror => write!(formatter, "the mirror"),
            Self::Snapshot(timestamp) => write!(formatter, "the snapshot archive of {timestamp}"),
        }
    }
}

impl Debs {
    /// The cache in `dir`, which need not be there.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, pause: Duration::from_secs(1) }
    }

    /// Where a package is once it has been fetched.
    #[must_use]
    pub fn path(&self, package: &Package) -> PathBuf {
        self.dir.join(format!("{}.deb", package.sha256))
    }

    /// Those packages of `lock` that are not in the cache. What is there is read and compared with its digest, and removed when
    /// it has another.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn missing<'a>(&self, lock: &'a Lock) -> Result<Vec<&'a Package>, Error> {
        let mut missing = Vec::new();
        for package in &lock.package {
            if !self.has(package)? {
                missing.push(package);
            }
        }
        Ok(missing)
    }

    fn has(&self, package: &Package) -> Result<bool, Error> {
        let path = self.path(package);
        if !path.exists() {
            return Ok(false);
        }
        if file_sha256(&path)? == package.sha256 {
            // So that it is not removed as unused; the file is good either way.
            let _mark = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(true);
        }
        std::fs::remove_file(&path).map_err(Error::file(&path))?;
        Ok(false)
    }

    /// Fetches what the cache lacks; returns what nobody has.
    ///
    /// # Errors
    /// When the cache cannot be written, or apt cannot be started.
    pub fn fetch<'a>(
        &self,
        apt: &Apt,
        archives: &Archives,
        lock: &'a Lock,
        sources: Sources,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Vec<&'a Package>, Error> {
        let mut missing = self.missing(lock)?;
        if missing.is_empty() {
            return Ok(missing);
        }
        std::fs::create_dir_all(&self.dir).map_err(Error::file(&self.dir))?;
        let work =
            tempfile::Builder::new().prefix("unfinished-").tempdir_in(&self.dir).map_err(Error::file(&self.dir))?;
        let mut remaining = vec![Source::Mirror];
        if sources == Sources::Everywhere {
            remaining.extend(timestamps(&lock.snapshot)?.map(Source::Snapshot));
        }
        for round in 0..ROUNDS {
            if round > 0 {
                // Full jitter: machines that began together do not come back together.
                std::thread::sleep(self.pause.mul_f64(f64::from(2_u32.pow(round - 1)) * (0.1 + 0.9 * fastrand::f64())));
            }
            let mut answering = Vec::new();
            for source in remaining {
                if missing.is_empty() {
                    break;
                }
                let begin = Instant::now();
                let before = missing.len();
                self.fetch_from(apt, archives, &source, &missing, work.path(), tell)?;
                missing.retain(|package| !self.path(package).exists());
                if missing.len() < before || begin.elapsed() < SILENCE {
                    answering.push(source);
                }
            }
            remaining = answering;
            if missing.is_empty() || remaining.is_empty() {
                break;
            }
        }
        Ok(missing)
    }

    fn fetch_from(
        &self,
        apt: &Apt,
        archives: &Archives,
        source: &Source,
        missing: &[&Package],
        work: &Path,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let download = |package: &&Package| {
            let path = work.join(format!("{}.deb", package.sha256));
            Some(Download { url: source.url(archives, package)?, sha256: package.sha256.clone(), path })
        };
        let downloads: Vec<Download> = missing.iter().filter_map(download).collect();
        let total: u64 = missing.iter().map(|package| package.size).sum();
        let mut tick = || {
            let sizes = downloads.iter().filter_map(|download| download.path.metadata().ok().map(|file| file.len()));
            let (has, all) = (sizes.sum::<u64>() >> 20, total.div_ceil(1 << 20));
            tell(&format!("{has} of {all} MiB from {source}"));
        };
        apt.download(&downloads, DEADLINE, &mut tick)?;
        for package in missing {
            let path = work.join(format!("{}.deb", package.sha256));
            if path.exists() && file_sha256(&path)? == package.sha256 {
                std::fs::rename(&path, self.path(package)).map_err(Error::file(&path))?;
            } else {
                // Cut short, or another file: as good as none.
                let _none = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Removes packages that no bake has used for three months, and what killed bakes left.
    pub fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = modified.and_then(|at| at.elapsed().ok()).unwrap_or_default();
            // Only disk space is at stake.
            if entry.path().extension().is_some_and(|extension| extension == "deb") {
                if age > UNUSED {
                    let _left = std::fs::remove_file(entry.path());
                }
            } else if age > DEADLINE * ROUNDS * 3 {
                let _left = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// The first of `packages` by name and version, and how many more there are.
#[must_use]
pub fn names(packages: &[&Package]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> =
        packages.iter().take(SHOWN).map(|package| format!("{} {}", package.name, package.version)).collect();
    if packages.len() > SHOWN {
        text.push(format!("and {} more", packages.len() - SHOWN));
    }
    text.join(", ")
}
