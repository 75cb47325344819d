//! `images/node/packages.toml`, what we ask for, and `images/node/packages.lock`, what exactly we got.

use std::collections::BTreeMap;
use std::path::Path;

use futuswarm_image_format::Package;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What goes into the image, by hand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageList {
    /// Debian release, for example `trixie`.
    pub suite: String,
    /// Timestamp of every file that is newer, in seconds since 1970: makes bakes repeatable.
    pub source_date_epoch: u64,
    /// Purpose, which is for readers → names of packages.
    pub packages: BTreeMap<String, Vec<String>>,
}

impl PackageList {
    /// Reads `packages.toml`.
    ///
    /// # Errors
    /// When the file is missing or is not what it should be.
    pub fn load(path: &Path) -> Result<Self, Error> {
        parse(path)
    }

    /// All names, sorted, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.packages.values().flatten().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Everything that was installed, dependencies included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// When these were the newest, for the snapshot archive: `20261127T063000Z`.
    pub snapshot: String,
    /// Sorted by name.
    pub package: Vec<Package>,
}

impl Lock {
    /// Reads the lock, or `None` when there is none yet.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        parse(path).map(Some)
    }

    /// The text of `packages.lock`.
    ///
    /// # Errors
    /// Never for a lock that was parsed or made here.
    pub fn to_text(&self) -> Result<String, Error> {
        let body = toml::to_string(self)
            .map_err(|error| Error::Malformed { path: "packages.lock".into(), reason: error.to_string() })?;
        Ok(format!("# Written by `cargo xtask bake --update-lock`. Never by hand.\n\n{body}"))
    }

    /// What is installed and nothing else: the same for two locks that name the same packages at different times.
    #[must_use]
    pub fn content(&self) -> String {
        self.package
            .iter()
            .map(|package| format!("{} {} {}\n", package.name, package.version, package.sha256))
            .collect()
    }

    /// Those of `names` that the lock does not have.
    #[must_use]
    pub fn lacks<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let has = |name: &str| self.package.iter().any(|package| package.name == name);
        names.iter().copied().filter(|name| !has(name)).collect()
    }

    /// Packages that are in both under the same version and are not the same file.
    #[must_use]
    pub fn contradictions(&self, other: &Self) -> Vec<String> {
        let same = |ours: &&Package| {
            let theirs =
                other.package.iter().find(|theirs| (&theirs.name, &theirs.version) == (&ours.name, &ours.version));
            theirs.is_some_and(|theirs| theirs.sha256 != ours.sha256)
        };
        self.package.iter().filter(same).map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    /// In words, how `other` differs; empty when it does not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let index = |lock: &Self| -> BTreeMap<String, Package> {
            lock.package.iter().map(|package| (package.name.clone(), package.clone())).collect()
        };
        let (ours, theirs) = (index(self), index(other));
        let mut lines = Vec::new();
        for (name, package) in &ours {
            match theirs.get(name) {
                None => lines.push(format!("{name} {} is missing", package.version)),
                Some(other) if other.version != package.version => {
                    lines.push(format!("{name} is {} instead of {}", other.version, package.version));
                }
                Some(other) if other.sha256 != package.sha256 => {
                    lines.push(format!("{name} {} has another content than the locked one", package.version));
                }
                Some(_) => {}
            }
        }
        lines.extend(
            theirs.values().filter(|p| !ours.contains_key(&p.name)).map(|p| format!("{} {} is new", p.name, p.version)),
        );
        lines
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    toml::from_str(&text).map_err(|error| Error::Malformed { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str, &str)]) -> Lock {
        let package = |(name, version, sha256): &(&str, &str, &str)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            sha256: (*sha256).to_owned(),
            size: 1,
            path: format!("debian/pool/{name}_{version}_all.deb"),
        };
        Lock { snapshot: "20261127T063000Z".to_owned(), package: packages.iter().map(package).collect() }
    }

    #[test]
    fn differences_are_named_one_by_one() {
        let ours = lock(&[("a", "1", "x"), ("b", "1", "x"), ("c", "1", "x"), ("e", "1", "x")]);
        let theirs = lock(&[("a", "1", "x"), ("b", "2", "y"), ("d", "1", "x"), ("e", "1", "z")]);
        assert_eq!(
            ours.difference(&theirs),
            ["b is 2 instead of 1", "c 1 is missing", "e 1 has another content than the locked one", "d 1 is new"]
        );
        assert!(ours.difference(&ours).is_empty());
        assert_eq!(ours.contradictions(&theirs), ["e 1"]);
        assert_eq!(ours.lacks(&["a", "d", "b", "f"]), ["d", "f"]);
        let later = Lock { snapshot: "20261128T063000Z".to_owned(), ..ours.clone() };
        assert_eq!(later.content(), ours.content());
        assert_ne!(theirs.content(), ours.content());
    }

    #[test]
    fn a_lock_survives_its_own_text() {
        let ours = lock(&[("a", "1:2~deb13u1+b1", "x")]);
        assert_eq!(toml::from_str::<Lock>(&ours.to_text().unwrap()).unwrap(), ours);
    }
}
