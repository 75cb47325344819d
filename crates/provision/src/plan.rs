//! What is to be done, said before it is done; in a plan, only said.

use serde::Serialize;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It did not exist.
    Create,
    /// It was different.
    Update,
    /// It is not wanted.
    Delete,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// Kind of resource.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// The changes of one run.
pub struct Plan {
    /// Whether changes are made or only listed.
    pub apply: bool,
    /// All changes so far.
    pub changes: Vec<Change>,
    /// Is told of every change before it is made.
    pub progress: Box<dyn FnMut(&Change) + Send>,
}

impl Plan {
    /// A run that tells `progress` of every change.
    pub fn new(apply: bool, progress: impl FnMut(&Change) + Send + 'static) -> Self {
        Self { apply, changes: Vec::new(), progress: Box::new(progress) }
    }

    /// Notes a change; `true` when it is to be made.
    pub fn begin(&mut self, action: Action, kind: &'static str, name: &str) -> bool {
        let change = Change { action, kind, name: name.to_owned() };
        (self.progress)(&change);
        self.changes.push(change);
        self.apply
    }
}
