//! What ends the program without success: its exit code, and what to say.

use futuswarm_rpc::message::{Refusal, RefusalClass};

/// The exit codes besides 0, as `docs/cli.md` documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 1: it was tried.
    Failed,
    /// 2: what was asked for makes no sense.
    Usage,
    /// 3: the cluster does not let this user.
    Denied,
    /// 4: there is no such app, release, key, image, ….
    NotFound,
    /// 5: somebody else is changing the same.
    Locked,
    /// 6: too late.
    TimedOut,
    /// 7: no connection, or none any more.
    Unreachable,
    /// 8: command line and cluster do not understand each other.
    Versions,
}

impl Code {
    /// As the shell sees it.
    pub fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            Self::Locked => 5,
            Self::TimedOut => 6,
            Self::Unreachable => 7,
            Self::Versions => 8,
        }
    }
}

/// Ends the program, unless somebody can do better.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides the exit code.
    pub code: Code,
    /// What happened, where, and what to do next.
    pub message: String,
    /// Whether a connection that was there ended too early. What was asked for may have been done.
    pub cut: bool,
}

/// Of nearly everything here.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// With a message that says what happened and what to do next.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cut: false }
    }

    /// Of [`Code::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// Of [`Code::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// Of a connection that ended too early.
    pub fn cut(message: impl Into<String>) -> Self {
        Self { code: Code::Unreachable, message: message.into(), cut: true }
    }

    /// Of a file or a folder on this machine.
    pub fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("cannot {what} {}: {error}", path.display()))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.class {
            RefusalClass::Failed | RefusalClass::Unavailable => Code::Failed,
            RefusalClass::Usage => Code::Usage,
            RefusalClass::Denied => Code::Denied,
            RefusalClass::NotFound => Code::NotFound,
            RefusalClass::Locked => Code::Locked,
            RefusalClass::TimedOut => Code::TimedOut,
        };
        Self::new(code, crate::text::plain(&refusal.message))
    }
}
