//! Why a request is not done, in the classes of the protocol. Details of the inside go to the journal, not to the client.

use std::fmt;

use futuswarm_paas::access::Denied;
use futuswarm_rpc::message::{Refusal, RefusalClass};

/// A request that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    class: RefusalClass,
    message: String,
}

impl Refused {
    pub(crate) fn new(class: RefusalClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(RefusalClass::Usage, message.to_string())
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(RefusalClass::NotFound, message)
    }

    /// Everything else.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(RefusalClass::Failed, message)
    }

    /// Something that is needed for it does not answer.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(RefusalClass::Unavailable, message)
    }

    /// Nobody waits for it any more.
    pub(crate) fn gone() -> Self {
        Self::failed("the client is gone")
    }

    /// The same, after what was done in spite of it.
    pub(crate) fn after(self, done: &str) -> Self {
        Self { message: format!("{done}: {}", self.message), ..self }
    }

    /// The word of its class, for the audit.
    pub(crate) fn word(&self) -> &'static str {
        match self.class {
            RefusalClass::Usage => "usage",
            RefusalClass::Denied => "denied",
            RefusalClass::NotFound => "not_found",
            RefusalClass::Locked => "locked",
            RefusalClass::TimedOut => "timed_out",
            RefusalClass::Unavailable => "unavailable",
            RefusalClass::Failed => "failed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { class: refused.class, message: refused.message }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::new(RefusalClass::Denied, denied.to_string())
    }
}
