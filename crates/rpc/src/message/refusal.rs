//! Why something was not done, in classes that decide exit codes.

use serde::{Deserialize, Serialize};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its kind, which decides the exit code.
    pub class: RefusalClass,
    /// What happened, where, and what to do next.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalClass {
    /// What was asked for makes no sense: a name, a key, a value, a file.
    Usage,
    /// The asker may not.
    Denied,
    /// There is no such app, release, key, user, token or node.
    NotFound,
    /// Somebody else is changing the same.
    Locked,
    /// It took too long.
    TimedOut,
    /// Something that the cluster needs for it does not answer.
    Unavailable,
    /// Everything else.
    Failed,
}

impl RefusalClass {
    /// The exit code of the command line (`docs/cli.md`).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::Unavailable => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            Self::Locked => 5,
            Self::TimedOut => 6,
        }
    }
}
