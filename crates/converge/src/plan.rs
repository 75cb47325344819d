//! What is to be done or was done, for people and as JSON, which is an interface.

use std::fmt;

use serde::Serialize;

use crate::Difference;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It does not exist.
    Create,
    /// It is different.
    Update,
    /// It is not desired.
    Delete,
}

/// What is, or would be, done to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is done to it.
    pub action: Action,
    /// [`crate::Resource::kind`].
    pub kind: &'static str,
    /// [`crate::Resource::name`].
    pub name: String,
    /// [`crate::Resource::component`]; `part` in JSON.
    #[serde(rename = "part")]
    pub component: String,
    /// Of a deletion none.
    pub differences: Vec<Difference>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.action {
            Action::Create => '+',
            Action::Update => '~',
            Action::Delete => '-',
        };
        write!(formatter, "{mark} {} {}", self.kind, self.name)
    }
}

/// What happens while a run goes on, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A change is started; in a plan it is only listed.
    Started(&'a Change),
    /// A change was made.
    Finished(&'a Change, std::time::Duration),
    /// A change failed; the error comes at the end.
    Failed(&'a Change),
    /// Something that somebody has to know or do.
    Note(&'a str),
}

/// The outcome of a run that went well.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// In the order in which they were made, or would be.
    pub changes: Vec<Change>,
    /// What somebody has to know or do.
    pub notes: Vec<String>,
}

impl Report {
    /// How many changes there are of one kind of action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }
}
