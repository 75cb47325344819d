//! Which pushes this process has written down, so that nobody collects images meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a push is waited for that says nothing more.
pub(crate) const SHARE: Duration = Duration::from_secs(300);

/// Pushes that this process has written down, by app: so that most requests of a push write nothing.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<BTreeMap<String, Share>>);

#[derive(Debug)]
struct Share {
    written: Instant,
    blobs: BTreeSet<String>,
}

impl Share {
    fn is_good(&self) -> bool {
        self.written.elapsed() < SHARE / 2
    }
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Share>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is written down, for long enough, that a push of the app counts on these blobs.
    pub(crate) fn cover(&self, app: &str, blobs: &[String]) -> bool {
        let shares = self.lock();
        let share = shares.get(app).filter(|share| share.is_good());
        share.is_some_and(|share| blobs.iter().all(|blob| share.blobs.contains(blob)))
    }

    pub(crate) fn note(&self, app: &str, written: Instant, blobs: &[String]) {
        let mut shares = self.lock();
        shares.retain(|_, share| share.is_good());
        let share = shares.entry(app.to_owned()).or_insert_with(|| Share { written, blobs: BTreeSet::new() });
        share.written = written;
        share.blobs.extend(blobs.iter().cloned());
    }
}
