//! A bucket in memory with the same conditional writes as S3, for tests of the rules above it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bucket::{Bucket, Condition, Error, Object, Put};

/// Clones share one content, as clients of one bucket do.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    writes: u64,
    failures: Vec<Error>,
}

impl MemoryBucket {
    /// Makes the next operations fail with these errors, the last of the list first.
    pub fn fail_next(&self, failures: Vec<Error>) {
        self.lock().failures = failures;
    }

    /// A throttling answer as S3 gives it, for [`MemoryBucket::fail_next`].
    #[must_use]
    pub fn slow_down(operation: &'static str) -> Error {
        Error::Service {
            bucket: "memory".to_owned(),
            key: String::new(),
            source: futuswarm_aws::Failure {
                operation,
                code: Some("SlowDown".to_owned()),
                message: "please reduce your request rate".to_owned(),
                request_id: None,
                status: Some(503),
            }
            .into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.lock();
        match state.failures.pop() {
            Some(failure) => Err(failure),
            None => Ok(state),
        }
    }
}

impl Bucket for MemoryBucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        Ok(self.checked()?.objects.get(key).cloned())
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        let mut state = self.checked()?;
        let present = state.objects.get(key).map(|object| object.etag.clone());
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => present.is_none(),
            Condition::At(etag) => present == Some(etag),
        };
        if !holds {
            return Ok(Put::Refused);
        }
        state.writes += 1;
        let etag = format!("\"{}\"", state.writes);
        state.objects.insert(key.to_owned(), Object { body, etag: etag.clone() });
        Ok(Put::Stored(etag))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.checked()?.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.checked()?.objects.remove(key);
        Ok(())
    }
}
