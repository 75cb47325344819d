//! An app's config: names and values that its tasks get as environment, changed many at a time, and shown without their values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub mod dotenv;
#[cfg(test)]
mod tests;

/// The longest value in bytes with its name and `=`: Linux takes no longer string of an environment (execve(2), `MAX_ARG_STRLEN`).
pub const LONGEST_ENTRY: usize = 128 << 10;
/// The most bytes of all values together: the environment is a part of the service's specification, which Swarm's managers send
/// each other in one message of at most 4 MiB, and Linux takes a quarter of the stack's limit, 2 MiB, for all strings.
pub const LARGEST_CONFIG: usize = 1 << 20;
/// Names that the platform gives to each task itself.
const RESERVED: &str = "FUTUSWARM_";

/// Names and values.
pub type Values = BTreeMap<String, String>;

/// What is to be changed, all of it or nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Set to these values.
    pub set: Values,
    /// Removed; no error when one is not there.
    pub unset: BTreeSet<String>,
}

// Values of a config are as good as secrets: what prints a change prints its names.
impl fmt::Debug for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&String> = self.set.keys().collect();
        formatter.debug_struct("Change").field("set", &set).field("unset", &self.unset).finish()
    }
}

/// What cannot be in a config. It names keys and lengths, and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// A key that is no name of an environment variable.
    Key(String),
    /// A key that only the platform sets.
    Reserved(String),
    /// A value with a byte 0, which no environment can hold.
    Nul(String),
    /// A value that is too long; its length in bytes.
    Long(String, usize),
    /// All values together are too long; their length in bytes.
    Large(usize),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                formatter,
                "{key:?} is no name of an environment variable: letters, digits and '_', not beginning with a digit"
            ),
            Self::Reserved(key) => write!(formatter, "{key}: names that begin with {RESERVED} are set by the platform"),
            Self::Nul(key) => write!(
                formatter,
                "{key}: the value has a byte 0, which an environment cannot hold; `futuswarm secret:set` makes a file of it"
            ),
            Self::Long(key, length) => write!(
                formatter,
                "{key}: {length} bytes are too long for an environment, which takes {LONGEST_ENTRY} with the name; `futuswarm secret:set` makes a file of it"
            ),
            Self::Large(length) => write!(
                formatter,
                "all values together would be {length} bytes long; {LARGEST_CONFIG} fit; `futuswarm secret:set` makes files of long ones"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Whether a key is a name of an environment variable (POSIX.1-2017, Base Definitions 8.1, with small letters).
///
/// # Errors
/// When it is something else.
pub fn check_key(key: &str) -> Result<(), ConfigError> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(inside) {
        return Err(ConfigError::Key(key.to_owned()));
    }
    match key.starts_with(RESERVED) {
        true => Err(ConfigError::Reserved(key.to_owned())),
        false => Ok(()),
    }
}

fn check(key: &str, value: &str) -> Result<(), ConfigError> {
    check_key(key)?;
    if value.contains('\0') {
        return Err(ConfigError::Nul(key.to_owned()));
    }
    check_length(key, value)
}

/// Whether Linux takes a name and its value as one string of an environment.
///
/// # Errors
/// When they are too long.
pub(crate) fn check_length(key: &str, value: &str) -> Result<(), ConfigError> {
    match key.len() + 1 + value.len() {
        length if length < LONGEST_ENTRY => Ok(()),
        _ => Err(ConfigError::Long(key.to_owned(), value.len())),
    }
}

/// The values after a change.
///
/// # Errors
/// When a key or a value cannot be used; then nothing is changed.
pub fn changed(before: &Values, change: &Change) -> Result<Values, ConfigError> {
    for (key, value) in &change.set {
        check(key, value)?;
    }
    let mut after = before.clone();
    after.retain(|key, _| !change.unset.contains(key));
    after.extend(change.set.iter().map(|(key, value)| (key.clone(), value.clone())));
    let length: usize = after.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    match length {
        length if length <= LARGEST_CONFIG => Ok(after),
        length => Err(ConfigError::Large(length)),
    }
}

/// How a key differs between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only the later one has it.
    Added,
    /// Its values differ.
    Changed,
    /// Only the earlier one has it.
    Removed,
}

/// The keys that differ, in order.
#[must_use]
pub fn differences(before: &Values, after: &Values) -> BTreeMap<String, Difference> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let difference = |key: &String| match (before.get(key), after.get(key)) {
        (None, Some(_)) => Some(Difference::Added),
        (Some(_), None) => Some(Difference::Removed),
        (before, after) if before != after => Some(Difference::Changed),
        _ => None,
    };
    keys.into_iter().filter_map(|key| Some((key.clone(), difference(key)?))).collect()
}
