//! Whom the login of the private domain lets through to an app: what the app's record says of it, and what all edges read.
//!
//! The control service refuses what the login (`futuswarm-sso`) would refuse to render, by the rules here: a list that does not pass there
//! could be kept, and never count. Tests of the control service hold both against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An e-mail address has no more (RFC 5321).
const USER_BYTES: usize = 254;
/// Names of LDAP have up to this.
const GROUP_BYTES: usize = 256;
/// The login's list of an app has so many lines,
const LINES: usize = 4;
/// and so much fits into each of them.
const LINE_BYTES: usize = 1000;
/// For the claim that each name is looked up in, and a colon. `preferred_username` has 18; which claims a cluster has may change, and
/// the lists stay.
const CLAIM_BYTES: usize = 24;
/// So much of what was typed is shown in a message.
const SHOWN: usize = 80;

/// Somebody who may be on an app's list, by what the login's provider says of them; in text `user:NAME` and `group:NAME`. They are no
/// users of the command line, who have roles ([`crate::Principal`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Visitor {
    /// To the letter as in the claim that names users.
    User(String),
    /// To the letter as in the claim that names groups.
    Group(String),
}

impl Visitor {
    fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Group(name) => name,
        }
    }

    /// How much of a line of the login's list it takes: percent-encoded where it has a character with another meaning there, and then in
    /// quotes.
    fn bytes(&self) -> usize {
        let name = self.name().as_bytes();
        let encoded = match name.iter().all(is_plain) {
            true => name.len(),
            false => QUOTES + name.iter().map(encoded).sum::<usize>(),
        };
        CLAIM_BYTES + encoded
    }

    /// The same of the list of who is locked out, where a user is a regular expression that knows no capitals.
    pub(crate) fn locked_bytes(&self) -> usize {
        let Self::User(name) = self else { return self.bytes() };
        let escaped = |byte: &u8| match byte.is_ascii_alphanumeric() {
            true => 1,
            false => encoded(&b'\\') + encoded(byte),
        };
        let around = "(?i)^$".bytes().map(|byte| encoded(&byte)).sum::<usize>();
        CLAIM_BYTES + QUOTES + around + name.as_bytes().iter().map(escaped).sum::<usize>()
    }
}

/// Around a word that has to be encoded.
const QUOTES: usize = 2 * "%22".len();

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:@=,".contains(byte)
}

/// What a character of a word in quotes takes.
fn encoded(byte: &u8) -> usize {
    match *byte {
        _ if is_plain(byte) => 1,
        b'"' | b'\\' => 2 * "%22".len(),
        _ => "%22".len(),
    }
}

/// Whether the login has room for a list of words that take so many bytes each, under this key.
pub(crate) fn fit(key: &str, words: impl Iterator<Item = usize>) -> bool {
    // The key with a number behind it, a space, and the line's end.
    let room = LINE_BYTES.saturating_sub(key.len() + "+0".len() + " ".len() + "\n".len());
    let (mut lines, mut left) = (0, 0);
    for word in words {
        let needed = word + "%20".len();
        if needed > left {
            (lines, left) = (lines + 1, room);
        }
        if needed > left || lines > LINES {
            return false;
        }
        left -= needed;
    }
    true
}

impl fmt::Display for Visitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(formatter, "user:{name}"),
            Self::Group(name) => write!(formatter, "group:{name}"),
        }
    }
}

impl From<Visitor> for String {
    fn from(visitor: Visitor) -> Self {
        visitor.to_string()
    }
}

impl FromStr for Visitor {
    type Err = VisitorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |reason| Err(VisitorError { text: text.chars().take(SHOWN).collect(), reason });
        let (visitor, longest) = match text.split_once(':') {
            Some(("user", name)) => (Self::User(name.to_owned()), USER_BYTES),
            Some(("group", name)) => (Self::Group(name.to_owned()), GROUP_BYTES),
            _ => return refused("it is neither user:NAME nor group:NAME"),
        };
        let name = visitor.name();
        if name.is_empty() {
            return refused("it has no name behind the colon");
        }
        if name.len() > longest {
            return refused("no user's or group's name is so long (254 and 256 bytes)");
        }
        if name.chars().any(char::is_control) {
            return refused("it has a control character");
        }
        if name.starts_with('~') {
            return refused("it begins with ~, behind which the login reads a regular expression");
        }
        match &visitor {
            // Others cannot sign in: to list them would promise something.
            Self::User(name) if !name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>".contains(&byte)) => {
                refused("names of users are ASCII without spaces, \", < and >")
            }
            Self::User(name) if name == "-" => refused("it stands for nobody"),
            Self::Group(name) if name.trim() != name => refused("the group begins or ends with a space"),
            _ => Ok(visitor),
        }
    }
}

impl TryFrom<String> for Visitor {
    type Error = VisitorError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Nobody who could be on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorError {
    /// The beginning of what was given.
    pub text: String,
    /// Said of it.
    pub reason: &'static str,
}

impl fmt::Display for VisitorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} can be on no list: {}", self.text, self.reason)
    }
}

impl std::error::Error for VisitorError {}

/// Whom an app admits. It is a fact of the app's record and no part of releases: no deployment and no rollback changes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The world, without a login. The list is kept meanwhile, and does not count.
    #[serde(default)]
    pub open: bool,
    /// Of those who can log in only these, and nobody where it is empty; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<Visitor>>,
}

impl Admission {
    /// Whether the login has room for the list of an app with this host.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        fit(host, self.only.iter().flatten().map(Visitor::bytes))
    }
}

/// What every edge with a login reads, under [`crate::keys::ADMISSIONS`]: whom the apps admit. It follows from the apps' own records, and
/// a control service writes it, by compare-and-swap, before it answers who has changed one of them.
///
/// For who reads it:
///
/// - A GET with `If-None-Match` once a second is what a change being live within 2 s takes, and as many for [`crate::Locked`]. That is
///   2,592,000 requests a month for each edge, which S3 charges for whether anything has changed or not: with 20 edges 51.8 million, $20.74 at $0.0004 for 1,000.
/// - An app that is not in it admits everybody who can log in; which apps there are is told by the routes. While the document itself is
///   not there, or cannot be read, nobody knows of any list: what was read last counts, and who has read none yet lets nobody in.
/// - An entry may be more than a cluster's login takes, which may change later: a `group:…` where the provider tells no groups. Such an
///   app is to be rendered with an empty list and to be named, so that all others are rendered as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admissions {
    /// By the names of the apps; those that admit everybody who can log in are left out.
    #[serde(default)]
    pub apps: BTreeMap<String, Admission>,
}

impl Admissions {
    /// Whom an app of this name admits.
    #[must_use]
    pub fn of(&self, app: &str) -> Admission {
        self.apps.get(app).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(visitors: impl IntoIterator<Item = String>) -> Admission {
        Admission { open: false, only: Some(visitors.into_iter().map(|text| text.parse().unwrap()).collect()) }
    }

    #[test]
    fn visitors_are_written_as_people_write_them() {
        for text in ["user:ada@example.com", "group:staff", "group:CN=Staff, OU=A", "group:a:b", "user:user:x"] {
            let visitor: Visitor = text.parse().unwrap();
            assert_eq!(visitor.to_string(), text);
            assert_eq!(serde_json::to_string(&visitor).unwrap(), format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Visitor>(&format!("{text:?}")).unwrap(), visitor);
        }
    }

    #[test]
    fn what_could_be_nobody_or_somebody_else_is_refused() {
        let long = format!("user:{}", "a".repeat(255));
        for text in [
            "",
            "ada",
            "ada@example.com",
            "@ops",
            "User:ada",
            "user:",
            "group:",
            "user:a b",
            "user:a\nb",
            "user:ä",
            "user:\"a\"",
            "user:<a>",
            "user:-",
            "user:~a",
            "group:~.*",
            "group: a",
            "group:a ",
            "group:a\tb",
            "group:a\0",
            "everybody",
            &long,
        ] {
            let refused = text.parse::<Visitor>().unwrap_err();
            assert!(refused.to_string().len() < 300 && !refused.to_string().contains(['\n', '\0']), "{refused}");
            assert!(serde_json::from_value::<Visitor>(text.into()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_list_has_room_for_some_dozens_and_for_no_hundreds() {
        let host = "hello.apps.example.com";
        let people = |count: usize| only((0..count).map(|number| format!("user:someone.{number:03}@example.com")));
        assert!(people(60).fits(host) && !people(200).fits(host));
        // Each character that has to be encoded takes three times the room.
        let groups = |count: usize| only((0..count).map(|number| format!("group:{number:03}{}", "ä".repeat(100))));
        assert!(groups(4).fits(host) && !groups(5).fits(host));
        assert!(!only([format!("group:{}", "\"".repeat(256))]).fits(host), "one that is too long for a line");
        assert!(only([]).fits(host) && Admission::default().fits(host));
    }

    #[test]
    fn who_is_not_named_is_admitted_by_the_login_and_by_nothing_else() {
        let mut all = Admissions::default();
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"apps":{}}"#);
        all.apps.insert("hello".to_owned(), only(["group:staff".to_owned()]));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"{"apps":{"hello":{"open":false,"only":["group:staff"]}}}"#);
        assert_eq!(serde_json::from_str::<Admissions>(&text).unwrap(), all);
        assert_eq!(all.of("shop"), Admission { open: false, only: None });
        // Lists that a newer version adds are not for this one to pass over; what is said beside the lists may be.
        assert!(serde_json::from_str::<Admissions>(r#"{"apps":{},"locked":[]}"#).is_ok());
        assert!(serde_json::from_str::<Admissions>(r#"{"apps":{"hello":{"open":false,"deny":[]}}}"#).is_err());
    }
}
