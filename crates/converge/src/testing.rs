//! A place for tests: nothing is there but what a test puts there.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Answer, CallError, Confirmed, Context, Key, Ledger, Mode};

/// A failure with a code as services have them; without one no answer came.
#[derive(Debug, Clone, thiserror::Error)]
#[error("CreateThing answered {}", .0.unwrap_or("nothing"))]
pub(crate) struct Failure(pub(crate) Option<&'static str>);

/// The code of a failure that no service has answered.
pub(crate) const OURS: &str = "ours";

impl CallError for Failure {
    fn answer(&self) -> Option<Answer> {
        (self.0 != Some(OURS)).then(|| Answer {
            exists: self.0.is_some_and(|code| code.ends_with("Exists")),
            is_gone: self.0.is_some_and(|code| code.ends_with("NotFound")),
            is_in_doubt: self.0.is_none(),
        })
    }
}

/// Which property of a thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Property {
    Size,
    Other,
    Finished,
    Rule(u16),
    Tag(String),
}

impl Key for Property {
    fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Size => "size".into(),
            Self::Other => "other".into(),
            Self::Finished => "finished".into(),
            Self::Rule(port) => format!("rule {port}").into(),
            Self::Tag(name) => format!("tag {name}").into(),
        }
    }

    /// Only of one it is another one than the name.
    fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Size => "Size".into(),
            other => other.name(),
        }
    }

    fn of_tag(name: &str) -> Self {
        Self::Tag(name.to_owned())
    }

    fn is_tag(&self) -> bool {
        matches!(self, Self::Tag(_))
    }
}

/// A run that is not anywhere.
pub(crate) struct Nowhere {
    ledger: Ledger,
    pub(crate) adopted: Vec<&'static str>,
    /// How often the run began afresh.
    pub(crate) afresh: Arc<AtomicUsize>,
}

pub(crate) const APPLY: Mode = Mode::Apply { plan: false };
pub(crate) const PLAN: Mode = Mode::Apply { plan: true };
pub(crate) const DESTROY: Mode = Mode::Destroy { plan: false, delete_data: true };

impl Nowhere {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(Ledger::new(mode, Box::new(|_| {})))
    }

    pub(crate) fn with(ledger: Ledger) -> Self {
        Self { ledger, adopted: Vec::new(), afresh: Arc::default() }
    }

    pub(crate) fn holding_to(self, confirmed: Confirmed) -> Self {
        Self { ledger: self.ledger.holding_to(confirmed), ..self }
    }
}

impl Context for Nowhere {
    const CONCURRENCY: usize = 4;
    type Clients = ();
    type Key = Property;
    type Error = Failure;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn place(&self) -> &str {
        "nowhere"
    }

    fn afresh(&self) -> Self {
        self.afresh.fetch_add(1, Ordering::Relaxed);
        Self { ledger: self.ledger.clone(), adopted: self.adopted.clone(), afresh: Arc::clone(&self.afresh) }
    }

    fn clients_afresh(&self, (): &()) {}

    fn is_adopted(&self, component: &str) -> bool {
        self.adopted.contains(&component)
    }
}
