//! Where packages come from: Debian's mirrors, which have the newest versions, and its snapshot archive, which has all.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use time::format_description::{BorrowedFormatItem, parse_borrowed};
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use crate::Error;

/// The archive of releases, as the snapshot archive calls it; first part of a package's path in the lock.
const RELEASES: &str = "debian";
/// The archive of security updates, as the snapshot archive calls it.
const SECURITY: &str = "debian-security";
/// How apt writes a path: everything but what RFC 3986 calls unreserved, and the slashes between its parts.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// The timestamps of the snapshot archive, in UTC.
const TIMESTAMP: &str = "[year][month][day]T[hour][minute][second]Z";

/// The addresses of Debian's archives, and the keys that sign them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    /// A mirror of the archive of releases.
    pub mirror: String,
    /// A mirror of the archive of security updates.
    pub security: String,
    /// The snapshot archive; `archive/ARCHIVE/TIMESTAMP/` is added.
    pub snapshot: String,
    /// The keys that sign the indexes of both mirrors. What the snapshot archive serves is compared with the lock's digests.
    pub keyring: PathBuf,
}

impl Default for Archives {
    fn default() -> Self {
        Self {
            mirror: "http://deb.debian.org/debian".to_owned(),
            security: "http://security.debian.org/debian-security".to_owned(),
            // Not over HTTPS, as the others: what counts is the signature, or the digest of the lock.
            snapshot: "http://snapshot.debian.org".to_owned(),
            keyring: PathBuf::from("/usr/share/keyrings/debian-archive-keyring.gpg"),
        }
    }
}

impl Archives {
    /// Whether the addresses can be used.
    ///
    /// # Errors
    /// When one is no URL that apt knows, or has a password in it.
    pub fn check(&self) -> Result<(), Error> {
        for (what, url) in [("mirror", &self.mirror), ("security mirror", &self.security), ("snapshot", &self.snapshot)]
        {
            let rest = ["http://", "https://", "file://"].iter().find_map(|scheme| url.strip_prefix(scheme));
            let Some(rest) = rest.filter(|_| !url.contains(|c: char| c.is_whitespace() || c.is_control())) else {
                return Err(Error::Address(format!(
                    "{what} {url:?}: write it as http://HOST/PATH, https:// or file://"
                )));
            };
            // It would be seen in the list of processes. Not repeated here for the same reason.
            if rest.split('/').next().is_some_and(|host| host.contains('@')) {
                let advice = "put user and password into apt's auth.conf(5) and leave them out of the address";
                return Err(Error::Address(format!("{what}: {advice}")));
            }
        }
        Ok(())
    }

    /// apt's list of sources for `suite`: the release, its updates, and its security updates.
    #[must_use]
    pub fn sources(&self, suite: &str) -> String {
        let (mirror, security) = (trimmed(&self.mirror), trimmed(&self.security));
        format!("deb {mirror} {suite} main\ndeb {mirror} {suite}-updates main\ndeb {security} {suite}-security main\n")
    }

    /// Where the mirrors have a package of the lock; `None` when its archive is unknown.
    #[must_use]
    pub fn mirror_url(&self, path: &str) -> Option<String> {
        let (archive, rest) = path.split_once('/')?;
        let base = match archive {
            RELEASES => &self.mirror,
            SECURITY => &self.security,
            _ => return None,
        };
        Some(format!("{}/{}", trimmed(base), encode(rest)))
    }

    /// Where the snapshot archive has a package of the lock.
    #[must_use]
    pub fn snapshot_url(&self, timestamp: &str, path: &str) -> Option<String> {
        let (archive, rest) = path.split_once('/')?;
        Some(format!("{}/archive/{archive}/{timestamp}/{}", trimmed(&self.snapshot), encode(rest)))
    }

    /// The path, for the lock, of what a mirror has at `url`; the reverse of [`Self::mirror_url`].
    #[must_use]
    pub fn path_of(&self, url: &str) -> Option<String> {
        // One may be a part of the other: the longer one is meant.
        let mut bases = [(RELEASES, trimmed(&self.mirror)), (SECURITY, trimmed(&self.security))];
        bases.sort_by_key(|(_, base)| std::cmp::Reverse(base.len()));
        bases.iter().find_map(|(archive, base)| {
            let rest = url.strip_prefix(base)?.strip_prefix('/')?;
            Some(format!("{archive}/{}", percent_decode_str(rest).decode_utf8().ok()?))
        })
    }
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// A path as a part of a URL.
pub(crate) fn encode(path: &str) -> String {
    utf8_percent_encode(path, ENCODED).to_string()
}

/// This moment as the snapshot archive writes it.
pub(crate) fn now() -> Result<String, Error> {
    format_timestamp(OffsetDateTime::now_utc())
}

/// The timestamps under which the snapshot archive is asked for what a lock of `timestamp` names. It answers with its last copy
/// of the mirrors before a timestamp, and copies them every few hours: what had just come to the mirror when the lock was written
/// is only in the copy after that, so that of a day later is asked, too.
///
/// # Errors
/// When `timestamp` is none.
pub(crate) fn timestamps(timestamp: &str) -> Result<[String; 2], Error> {
    let at = PrimitiveDateTime::parse(timestamp, &format()?)
        .map_err(|_| Error::Lock(format!("its snapshot {timestamp:?} is no timestamp like 20261127T063000Z")))?;
    Ok([timestamp.to_owned(), format_timestamp(at.assume_utc() + Duration::DAY)?])
}

fn format() -> Result<Vec<BorrowedFormatItem<'static>>, Error> {
    parse_borrowed::<2>(TIMESTAMP).map_err(|error| Error::Lock(format!("{TIMESTAMP}: {error}")))
}

fn format_timestamp(at: OffsetDateTime) -> Result<String, Error> {
    at.format(&format()?).map_err(|error| Error::Lock(format!("{at} cannot be written as a timestamp: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_belong_together() {
        let archives = Archives::default();
        let cases = [
            (
                "debian/pool/main/libz/libzstd/libzstd1_1.5.7+dfsg-1_amd64.deb",
                "http://deb.debian.org/debian/pool/main/libz/libzstd/libzstd1_1.5.7%2Bdfsg-1_amd64.deb",
            ),
            (
                "debian-security/pool/updates/main/r/runc/runc_1~a_amd64.deb",
                "http://security.debian.org/debian-security/pool/updates/main/r/runc/runc_1~a_amd64.deb",
            ),
        ];
        for (path, url) in cases {
            assert_eq!(archives.mirror_url(path).as_deref(), Some(url));
            assert_eq!(archives.path_of(url).as_deref(), Some(path));
            // As apt writes it.
            assert_eq!(archives.path_of(&url.replace("%2B", "%2b")).as_deref(), Some(path));
        }
        assert_eq!(
            archives
                .snapshot_url("20261124T000000Z", "debian-security/pool/updates/main/r/runc/runc_1_amd64.deb")
                .unwrap(),
            "http://snapshot.debian.org/archive/debian-security/20261124T000000Z/pool/updates/main/r/runc/runc_1_amd64.deb"
        );
        assert_eq!(archives.mirror_url("elsewhere/pool/a.deb"), None);
        assert_eq!(archives.path_of("http://deb.debian.org/debian-ports/pool/a.deb"), None);
    }

    #[test]
    fn one_mirror_may_be_inside_the_other() {
        let mirror = "http://mirror.example.org/".to_owned();
        let security = "http://mirror.example.org/debian-security/".to_owned();
        let archives = Archives { mirror, security, ..Archives::default() };
        let of = |url: &str| archives.path_of(url).unwrap();
        assert_eq!(of("http://mirror.example.org/debian-security/pool/a.deb"), "debian-security/pool/a.deb");
        assert_eq!(of("http://mirror.example.org/pool/a.deb"), "debian/pool/a.deb");
    }

    #[test]
    fn addresses_that_cannot_be_used_are_refused_without_repeating_a_password() {
        assert!(Archives::default().check().is_ok());
        for bad in ["deb.debian.org/debian", "ftp://a/b", "http://a/b trixie", "http://user:hunter2@a/b", ""] {
            let error = Archives { mirror: bad.to_owned(), ..Archives::default() }.check().unwrap_err().to_string();
            assert!(error.contains("mirror") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_snapshot_of_a_day_later_is_asked_too() {
        assert_eq!(timestamps("20261231T235959Z").unwrap(), ["20261231T235959Z", "20270101T235959Z"]);
        assert_eq!(now().unwrap().len(), "20261231T235959Z".len());
        for bad in ["", "2026", "20261332T000000Z", "20261231T235959", "../../x"] {
            assert!(timestamps(bad).is_err(), "{bad}");
        }
    }
}
