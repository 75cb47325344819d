//! Who may use an app: everybody who can log in, those on a list, or the whole world.

use std::collections::BTreeSet;
use std::fmt;

/// A line of an allow-list, written `user:ada@example.com` or `group:staff`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// By what the provider says in the claim that names users.
    User(String),
    /// By what the provider says in the claim that names groups.
    Group(String),
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(formatter, "user:{name}"),
            Self::Group(name) => write!(formatter, "group:{name}"),
        }
    }
}

/// Who is let through to an app of the private domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody who can log in.
    #[default]
    Everybody,
    /// Those on the list; with an empty one nobody.
    Only(BTreeSet<Entry>),
    /// The world, without a login.
    Open,
}

/// An app, or whatever else has a host of the private domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct App {
    /// Checked at each request, WebSockets at their handshake.
    pub access: Access,
    /// Whether pages of other apps of the domain may make requests that change something, and open WebSockets.
    pub siblings: bool,
}
