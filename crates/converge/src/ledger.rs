//! What one run has noted: ids of what exists, changes, and what somebody has to know; and what it is held to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Change, Confirmed, Event, Mode, Report, UNKNOWN};

/// Is told what happens.
pub type Listener = Box<dyn Fn(Event<'_>) + Send + Sync>;

/// The notes of one run; clones share them.
#[derive(Clone)]
pub struct Ledger {
    mode: Mode,
    ids: Arc<Mutex<BTreeMap<String, String>>>,
    report: Arc<Mutex<Report>>,
    /// Outside of it nothing is changed, if there is one.
    confirmed: Option<Arc<Confirmed>>,
    listener: Arc<Listener>,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(mode: Mode, listener: Listener) -> Self {
        let listener = Arc::new(listener);
        Self { mode, ids: Arc::default(), report: Arc::default(), confirmed: None, listener }
    }

    /// Holds the run to changes that somebody has confirmed: any other one stops it.
    #[must_use]
    pub fn holding_to(mut self, confirmed: Confirmed) -> Self {
        self.confirmed = Some(Arc::new(confirmed));
        self
    }

    /// What this run does.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The id of a component that was observed or made in this run.
    #[must_use]
    pub fn id(&self, component: &str) -> Option<String> {
        lock(&self.ids).get(component).cloned()
    }

    /// The id of a component for a comparison; in a plan it may not exist yet.
    #[must_use]
    pub fn id_or_unknown(&self, component: &str) -> String {
        self.id(component).unwrap_or_else(|| UNKNOWN.to_owned())
    }

    /// Replaces an id that was noted before.
    pub fn note_id(&self, component: impl Into<String>, id: impl Into<String>) {
        lock(&self.ids).insert(component.into(), id.into());
    }

    /// So that nothing is made that depends on it.
    pub fn forget_id(&self, component: &str) {
        lock(&self.ids).remove(component);
    }

    /// Something that somebody has to know or do.
    pub fn note(&self, text: String) {
        self.tell(Event::Note(&text));
        lock(&self.report).notes.push(text);
    }

    /// What was done so far; begins again with nothing.
    #[must_use]
    pub fn take_report(&self) -> Report {
        std::mem::take(&mut *lock(&self.report))
    }

    pub(crate) fn note_change(&self, change: Change) {
        lock(&self.report).changes.push(change);
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        (self.listener)(event);
    }

    /// # Errors
    /// With the change, when somebody has confirmed changes and this is none of them.
    pub(crate) fn refuse_unconfirmed(&self, change: &Change) -> Result<(), Vec<String>> {
        match self.confirmed.as_ref().map(|confirmed| confirmed.check(change)) {
            Some(Err(change)) => Err(vec![format!("{change}: it was not shown")]),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
