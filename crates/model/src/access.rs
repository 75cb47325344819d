//! Who may do what with an app: its access list in the bucket, and the users that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody may do with an app. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppRole {
    /// Reads its state and its logs, and no value of its config.
    Viewer,
    /// Deploys it, sets and reads its config, and runs programs in it.
    Deployer,
    /// Decides who else may, reads its secrets, and removes it.
    Owner,
}

impl fmt::Display for AppRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Owner => "owner",
        })
    }
}

/// Whom a row of an access list names; in text `NAME` for a user and `@NAME` for a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// One person.
    User(String),
    /// Everybody whose user record names the group.
    Group(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => formatter.write_str(name),
            Self::Group(name) => write!(formatter, "@{name}"),
        }
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.to_string()
    }
}

impl FromStr for Principal {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some(group) => Ok(Self::Group(person_name(group)?.to_owned())),
            None => Ok(Self::User(person_name(text)?.to_owned())),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// The name as it was given.
    pub name: String,
    /// What would be right.
    pub rule: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is no such name: {}", self.name, self.rule)
    }
}

impl std::error::Error for NameError {}

/// The longest name of a user or group, as of Linux users (useradd(8)).
const LONGEST_PERSON: usize = 32;
/// The longest name of an app: with a suffix of ours it is a Swarm service's name and a DNS label, which end at 63.
const LONGEST_APP: usize = 40;

/// The name of a user or group: small letters, digits, `.`, `_` and `-`, beginning with a letter.
///
/// # Errors
/// When it is something else.
pub fn person_name(name: &str) -> Result<&str, NameError> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inside);
    if fits && name.len() <= LONGEST_PERSON {
        return Ok(name);
    }
    let rule = "small letters, digits, '.', '_' and '-', at most 32, beginning with a letter";
    Err(NameError { name: name.to_owned(), rule })
}

/// The name of an app, which is a label of its host name: small letters, digits and `-`, beginning with a letter.
///
/// # Errors
/// When it is something else.
pub fn app_name(name: &str) -> Result<&str, NameError> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && name.chars().all(inside);
    if fits && name.len() <= LONGEST_APP {
        return Ok(name);
    }
    let rule = "small letters, digits and '-', at most 40, beginning with a letter and not ending with '-'";
    Err(NameError { name: name.to_owned(), rule })
}

/// The rows of an app's access list. Who is in none of them may do nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessList(BTreeMap<Principal, AppRole>);

impl AccessList {
    /// The list of a new app: its maker owns it.
    #[must_use]
    pub fn owned_by(user: &str) -> Self {
        Self(BTreeMap::from([(Principal::User(user.to_owned()), AppRole::Owner)]))
    }

    /// Rows in the order of their names, users before groups.
    pub fn rows(&self) -> impl Iterator<Item = (&Principal, AppRole)> {
        self.0.iter().map(|(principal, role)| (principal, *role))
    }

    /// What a person may do here: the highest of their own row and those of their groups.
    #[must_use]
    pub fn role(&self, user: &str, groups: &BTreeSet<String>) -> Option<AppRole> {
        let is_theirs = |principal: &Principal| match principal {
            Principal::User(name) => name == user,
            Principal::Group(name) => groups.contains(name),
        };
        self.0.iter().filter(|(principal, _)| is_theirs(principal)).map(|(_, role)| *role).max()
    }

    /// Puts a row in, in the place of one that the principal had.
    ///
    /// # Errors
    /// When the list would be without an owner.
    pub fn grant(&mut self, principal: Principal, role: AppRole) -> Result<(), LastOwner> {
        let mut rows = self.0.clone();
        rows.insert(principal, role);
        self.replace(rows)
    }

    /// Takes a row out; `false` when there is none.
    ///
    /// # Errors
    /// When it is the last owner's.
    pub fn revoke(&mut self, principal: &Principal) -> Result<bool, LastOwner> {
        let mut rows = self.0.clone();
        match rows.remove(principal) {
            None => return Ok(false),
            Some(AppRole::Owner) => self.replace(rows)?,
            // Whoever else owns the app or not, it changes nothing about that.
            Some(AppRole::Viewer | AppRole::Deployer) => self.0 = rows,
        }
        Ok(true)
    }

    /// Takes out the row of somebody who is no user any more: the next one of that name must not have it. `true` when nobody owns the app
    /// from then on, so that only admins can say who may do what with it.
    pub fn forget(&mut self, principal: &Principal) -> bool {
        self.0.remove(principal) == Some(AppRole::Owner) && !is_owned(&self.0)
    }

    fn replace(&mut self, rows: BTreeMap<Principal, AppRole>) -> Result<(), LastOwner> {
        if !is_owned(&rows) {
            return Err(LastOwner);
        }
        self.0 = rows;
        Ok(())
    }
}

fn is_owned(rows: &BTreeMap<Principal, AppRole>) -> bool {
    rows.values().any(|role| *role == AppRole::Owner)
}

/// The change would leave the app without an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastOwner;

impl fmt::Display for LastOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an app has an owner: make somebody else one first")
    }
}

impl std::error::Error for LastOwner {}

/// A person under `users/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// As in the key of the record.
    pub name: String,
    /// Whether they may do everything, with every app.
    #[serde(default)]
    pub admin: bool,
    /// Groups that access lists may name.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Public keys as in `authorized_keys`: algorithm and base64, without options and comment.
    #[serde(default)]
    pub keys: BTreeSet<String>,
    /// When the record was made, in milliseconds since 1970.
    pub created_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_nothing_else() {
        for name in ["a", "hello", "a-1", "x0"] {
            assert_eq!(app_name(name), Ok(name));
        }
        let long = "a".repeat(41);
        for name in
            ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a b", "a\n", "ä", "a/b", "..", "a\0", "🦀", long.as_str()]
        {
            assert_eq!(app_name(name).unwrap_err().name, name);
        }
        for name in ["", "-a", "Root", "a/b", "a b", "a\nb", "@a", "a:b", "\"a"] {
            assert!(person_name(name).is_err(), "{name:?}");
        }
        assert_eq!(person_name("jane.doe"), Ok("jane.doe"));
    }

    #[test]
    fn principals_are_written_as_people_write_them() {
        for text in ["jane", "@ops"] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!(principal.to_string(), text);
            assert_eq!(serde_json::to_string(&principal).unwrap(), format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Principal>(&format!("{text:?}")).unwrap(), principal);
        }
        for text in ["", "@", "@@ops", "a b"] {
            assert!(text.parse::<Principal>().is_err(), "{text:?}");
            assert!(serde_json::from_str::<Principal>(&format!("{text:?}")).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_highest_row_counts_and_nobody_is_in_by_default() {
        let mut list = AccessList::owned_by("jane");
        list.grant("@ops".parse().unwrap(), AppRole::Viewer).unwrap();
        list.grant("joe".parse().unwrap(), AppRole::Deployer).unwrap();
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(list.role("jane", &groups(&["ops"])), Some(AppRole::Owner));
        assert_eq!(list.role("joe", &groups(&["ops"])), Some(AppRole::Deployer));
        assert_eq!(list.role("ann", &groups(&["ops"])), Some(AppRole::Viewer));
        // A group of one's own name is not oneself.
        assert_eq!(list.role("ann", &groups(&["jane", "dev"])), None);
        assert_eq!(AccessList::default().role("jane", &groups(&[])), None);
    }

    #[test]
    fn the_last_owner_stays() {
        let mut list = AccessList::owned_by("jane");
        let jane: Principal = "jane".parse().unwrap();
        let before = list.clone();
        assert_eq!(list.revoke(&jane), Err(LastOwner));
        assert_eq!(list.grant(jane.clone(), AppRole::Deployer), Err(LastOwner));
        assert_eq!(list, before, "a refused change changes nothing");
        list.grant("@ops".parse().unwrap(), AppRole::Owner).unwrap();
        assert_eq!(list.revoke(&jane), Ok(true));
        assert_eq!(list.revoke(&jane), Ok(false));
    }

    #[test]
    fn a_row_that_is_no_owners_goes_where_nobody_owns_the_app_too() {
        let mut list = AccessList::owned_by("jane");
        list.grant("ann".parse().unwrap(), AppRole::Viewer).unwrap();
        assert!(list.forget(&"jane".parse().unwrap()));
        assert_eq!(list.revoke(&"joe".parse().unwrap()), Ok(false));
        assert_eq!(list.revoke(&"ann".parse().unwrap()), Ok(true));
        assert_eq!(list, AccessList::default());
    }

    #[test]
    fn who_is_no_user_any_more_has_no_row_whatever_is_left() {
        let mut list = AccessList::owned_by("jane");
        list.grant("joe".parse().unwrap(), AppRole::Owner).unwrap();
        list.grant("ann".parse().unwrap(), AppRole::Viewer).unwrap();
        for (name, leaves_nobody) in [("joe", false), ("joe", false), ("jane", true), ("ann", false)] {
            assert_eq!(list.forget(&name.parse().unwrap()), leaves_nobody, "{name}");
        }
        assert_eq!(list, AccessList::default());
        assert_eq!(list.grant("ann".parse().unwrap(), AppRole::Viewer), Err(LastOwner));
        list.grant("ann".parse().unwrap(), AppRole::Owner).unwrap();
    }
}
