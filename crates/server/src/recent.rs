//! Records that were read a moment ago, for questions that are asked again every few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futuswarm_model::{AppRecord, User};
use tokio::time::Instant;

use crate::Error;

/// So long a record that was read counts.
const FRESH: Duration = Duration::from_secs(4);

/// A record, or that there is none, and since when that is known.
type Read<T> = (Instant, Option<Arc<T>>);

/// Records that were read a moment ago, by their names.
#[derive(Debug)]
pub(crate) struct Recent<T>(Mutex<HashMap<String, Read<T>>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Recent<T> {
    pub(crate) async fn get(
        &self,
        name: &str,
        read: impl Future<Output = Result<Option<T>, Error>>,
    ) -> Result<Option<Arc<T>>, Error> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, record)) = known().get(name).filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(record.clone());
        }
        // Since when it counts: what is changed while it is read may not be in it.
        let at = Instant::now();
        let record = read.await?.map(Arc::new);
        let mut known = known();
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(name.to_owned(), (at, record.clone()));
        Ok(record)
    }
}

/// What was read for requests that go on.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) users: Recent<User>,
    pub(crate) apps: Recent<AppRecord>,
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_read_a_moment_ago_is_not_read_again() {
        let recent = Recent::default();
        let reads = std::sync::atomic::AtomicU32::new(0);
        let read = || async { Ok(Some(reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed))) };
        for (after, expected) in [(0, 0), (3, 0), (2, 1), (1, 1), (100, 2)] {
            sleep(Duration::from_secs(after)).await;
            assert_eq!(recent.get("jane", read()).await.unwrap().as_deref(), Some(&expected));
        }
        let failed = async { Err(Error::Missing("x".to_owned())) };
        assert!(recent.get("joe", failed).await.is_err());
        assert_eq!(recent.get("joe", read()).await.unwrap().as_deref(), Some(&3), "a failure is not kept");
    }
}
