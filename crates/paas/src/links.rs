//! Links between apps: two share a network when the records of both say so. What one of them says counts for the other app as it was
//! then, and not for a later app of its name.

use std::fmt;

use futuswarm_model::{AppEntry, AppRecord, Link};

use crate::access::CORE_APPS;

/// The most links of an app, agreed or not: each is a network of every one of its tasks.
pub const MOST_LINKS: usize = 20;
/// Names by which containers of the platform are found on apps' networks; like core apps they are the admins' to link.
const PLATFORM: [&str; 2] = ["edge", "futuswarm-edge"];
/// So many releases are made to bring an app onto a network, if they fail; the next deployment brings it there anyway.
const MOST_ATTEMPTS: u32 = 5;
/// Between a release that failed to change the networks of an app and the next one, in milliseconds; doubled each time.
const FIRST_PAUSE: u64 = 60_000;
/// The longest such pause.
const LONGEST_PAUSE: u64 = 3_600_000;

/// Why two apps cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkError {
    /// They are one.
    Itself(String),
    /// One of them is the platform's, and who asks is no admin.
    Platform(String),
    /// The app has as many as it may have.
    TooMany(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself(app) => write!(formatter, "{app} reaches itself without a link: name another app"),
            Self::Platform(app) => write!(formatter, "{app} is the platform's, and only admins link apps with it"),
            Self::TooMany(app) => write!(
                formatter,
                "{app} has {MOST_LINKS} links, and no app has more; `futuswarm app:links {app}` lists them, and `futuswarm app:unlink {app} OTHER` ends one"
            ),
        }
    }
}

impl std::error::Error for LinkError {}

/// Whether somebody may ask for a link between two names at all.
///
/// # Errors
/// When both are the same, or one is the platform's and who asks is no `admin`.
pub fn check(app: &str, other: &str, admin: bool) -> Result<(), LinkError> {
    if app == other {
        return Err(LinkError::Itself(app.to_owned()));
    }
    match [app, other].into_iter().find(|name| CORE_APPS.contains(name) || PLATFORM.contains(name)) {
        Some(name) if !admin => Err(LinkError::Platform(name.to_owned())),
        _ => Ok(()),
    }
}

/// Notes in an app's record that it wants a link; `true` when it did not want it before. What it said of an earlier app of that name
/// is replaced.
///
/// # Errors
/// When it has as many as it may have.
pub fn want(record: &mut AppRecord, other: &str, link: Link) -> Result<bool, LinkError> {
    let known = record.links.get(other);
    if known.is_some_and(|known| known.life == link.life) {
        return Ok(false);
    }
    if known.is_none() && record.links.len() >= MOST_LINKS {
        return Err(LinkError::TooMany(record.name.clone()));
    }
    record.links.insert(other.to_owned(), link);
    Ok(true)
}

/// Whether an app wants a link with the other one, and not with an earlier app of its name.
#[must_use]
pub fn wants(record: &AppRecord, other: &AppRecord) -> bool {
    record.name != other.name && record.links.get(&other.name).is_some_and(|link| link.life == other.created_at)
}

/// Whether two apps share a network.
#[must_use]
pub fn are_linked(one: &AppRecord, other: &AppRecord) -> bool {
    one.removing.is_none() && other.removing.is_none() && wants(one, other) && wants(other, one)
}

/// The same by rows of the index, which may be behind the records.
#[must_use]
pub fn rows_are_linked((one, first): (&str, &AppEntry), (other, second): (&str, &AppEntry)) -> bool {
    let wants = |row: &AppEntry, name: &str, life: u64| row.links.get(name) == Some(&life);
    one != other && wants(first, other, second.created_at) && wants(second, one, first.created_at)
}

/// What to do about an app whose tasks are not on the networks that its links say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A release, now.
    Now,
    /// A release, but not yet.
    Later,
    /// Nothing more: the next deployment does it.
    Never,
}

/// What to do at `now` (milliseconds since 1970) after so many `attempts`, and not before a time. To leave a network, which somebody
/// does not want to share any more, is tried for ever.
#[must_use]
pub fn attempt(attempts: u32, not_before: u64, leaves: bool, now: u64) -> Attempt {
    if !leaves && attempts >= MOST_ATTEMPTS {
        Attempt::Never
    } else if now < not_before {
        Attempt::Later
    } else {
        Attempt::Now
    }
}

/// Until when the next attempt waits, in milliseconds since 1970, when so many were made and the last one ends or begins at `now`.
#[must_use]
pub fn pause(attempts: u32, now: u64) -> u64 {
    let doublings = attempts.saturating_sub(1).min(16);
    now.saturating_add((FIRST_PAUSE << doublings).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests;
