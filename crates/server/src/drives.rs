//! Which releases this process drives, and what is said of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_model::Release;
use tokio::sync::watch;

/// What people are told of a release on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The release that it is about; zero before it is known.
    pub(crate) release: u64,
    pub(crate) text: String,
    /// The last lines of its release hook, once that has succeeded.
    pub(crate) hook: Vec<String>,
    /// As [`limit`] says.
    pub(crate) limit: Duration,
    pub(crate) ended: bool,
}

impl State {
    /// What is said of a release before anything was done for it.
    pub(crate) fn of(release: &Release) -> Self {
        let limit = limit(release);
        Self { release: release.number, text: "begins".to_owned(), hook: Vec::new(), limit, ended: false }
    }
}

/// How much time a release has, from the request that made it to its end.
pub(crate) fn limit(release: &Release) -> Duration {
    Duration::from_millis(release.deadline.saturating_sub(release.created_at))
}

/// Apps that this process drives: what is said of each, and whether there is more to do since its driver has looked.
#[derive(Debug, Default)]
pub(crate) struct Drives(Mutex<BTreeMap<String, (watch::Receiver<State>, bool)>>);

impl Drives {
    /// What is said of the app's release; `None` when this process does not drive one.
    pub(crate) fn state(&self, app: &str) -> Option<watch::Receiver<State>> {
        self.lock().get(app).map(|(state, _)| state.clone())
    }

    /// Notes that this process drives a release of the app; `None` when it does already, and then looks once more.
    pub(crate) fn begin(&self, app: &str) -> Option<watch::Sender<State>> {
        let mut drives = self.lock();
        if let Some((_, more)) = drives.get_mut(app) {
            *more = true;
            return None;
        }
        let (sender, receiver) = watch::channel(State::default());
        drives.insert(app.to_owned(), (receiver, false));
        Some(sender)
    }

    /// Whether the driver of an app may end: nobody has asked for more since it began, or it is of no use to go on.
    pub(crate) fn end(&self, app: &str, useless: bool) -> bool {
        let mut drives = self.lock();
        match drives.get_mut(app) {
            Some((_, more)) if *more && !useless => {
                *more = false;
                false
            }
            _ => {
                drives.remove(app);
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (watch::Receiver<State>, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
