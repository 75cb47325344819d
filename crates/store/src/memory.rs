//! A bucket in memory with the same conditional writes as S3, and its failures, for tests of the rules above it.

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
    /// Writes whose answer will be lost.
    lost: u32,
    /// Reads so far, and which of them say that there is nothing.
    reads: u32,
    absent_every: u32,
}

impl State {
    fn put(&mut self, key: &str, body: Vec<u8>, condition: &Condition) -> Put {
        let present = self.objects.get(key).map(|object| &object.etag);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => present.is_none(),
            Condition::At(etag) => present == Some(etag),
        };
        if !holds {
            return Put::Refused;
        }
        self.writes += 1;
        let etag = format!("\"{}\"", self.writes);
        self.objects.insert(key.to_owned(), Object { body, etag: etag.clone() });
        Put::Stored(etag)
    }
}

impl MemoryBucket {
    /// Makes the next operations fail with these errors, the last of the list first.
    pub fn fail_next(&self, failures: Vec<Error>) {
        self.lock().failures = failures;
    }

    /// Loses the answers of the next so many writes: each is applied, and sent again, as an SDK does that got no answer.
    pub fn lose_answers(&self, writes: u32) {
        self.lock().lost = writes;
    }

    /// Lets one read in so many say that the object does not exist, as S3 may in the first minutes after versioning was
    /// enabled (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/manage-versioning-examples.html>); 0 for none.
    pub fn deny_every(&self, reads: u32) {
        self.lock().absent_every = reads;
    }

    /// How many writes were applied.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
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
        let mut state = self.checked()?;
        state.reads += 1;
        let denied = state.absent_every > 0 && state.reads.is_multiple_of(state.absent_every);
        Ok(state.objects.get(key).filter(|_| !denied).cloned())
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        let mut state = self.checked()?;
        if state.lost > 0 {
            state.lost -= 1;
            let _lost = state.put(key, body.clone(), &condition);
        }
        Ok(state.put(key, body, &condition))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.checked()?.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.checked()?.objects.remove(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        let mut state = self.checked()?;
        state.objects.retain(|key, _| !keys.contains(key));
        Ok(())
    }
}
