//! A bucket in memory with the same conditional writes as S3, and its failures, for tests of the rules above it.

mod blobs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bucket::{Bucket, Condition, Entry, Error, Object, Put, Revision, Version, newest_first};
use crate::foreign::{ForeignBucket, Listed, Page, Reading};

/// So many writes have the same time: S3 tells whole seconds, so that what came first in one is not told.
const WRITES_PER_SECOND: u64 = 4;
/// Keys in a page of a listing, as in S3's.
const PAGE: usize = 1000;

/// Clones share one content, as clients of one bucket do.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    state: Arc<Mutex<State>>,
}

/// A state of an object: the second of its writing, and what was written; nothing for a deletion.
#[derive(Debug)]
struct Past {
    version: Version,
    object: Option<Object>,
}

#[derive(Debug, Default)]
struct State {
    /// What was written and deleted under each key, oldest first.
    past: BTreeMap<String, Vec<Past>>,
    /// Uploads that go on: their parts by number, each with its ETag.
    uploads: BTreeMap<String, BTreeMap<u32, (String, bytes::Bytes)>>,
    writes: u64,
    /// Writes and deletions so far.
    changes: u64,
    /// What is added to the time of each of them, in milliseconds.
    passed: u64,
    failures: Vec<Error>,
    /// Writes whose answer will be lost.
    lost: u32,
    /// Reads so far, and which of them say that there is nothing.
    reads: u32,
    absent_every: u32,
}

impl State {
    fn object(&self, key: &str) -> Option<&Object> {
        self.past.get(key)?.last()?.object.as_ref()
    }

    /// What is there now under a prefix.
    fn present(&self, prefix: &str) -> impl Iterator<Item = (&String, &Object)> {
        let present = self.past.iter().filter_map(|(key, past)| Some((key, past.last()?.object.as_ref()?)));
        present.filter(move |(key, _)| key.starts_with(prefix))
    }

    fn add(&mut self, key: &str, written: Option<(Vec<u8>, String)>) -> String {
        self.changes += 1;
        let version = format!("v{}", self.changes);
        let (object, etag) = match written {
            Some((body, etag)) => (Some(Object { body, etag: etag.clone(), version: version.clone() }), etag),
            None => (None, String::new()),
        };
        let modified = self.passed + self.changes / WRITES_PER_SECOND * 1000;
        let version = Version { version, etag, modified, deleted: object.is_none() };
        let name = version.version.clone();
        self.past.entry(key.to_owned()).or_default().push(Past { version, object });
        name
    }

    fn put(&mut self, key: &str, body: Vec<u8>, condition: &Condition) -> Put {
        let present = self.object(key).map(|object| &object.etag);
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
        let version = self.add(key, Some((body, etag.clone())));
        Put::Stored(Revision { etag, version })
    }

    fn delete(&mut self, key: &str) {
        // S3 makes a marker also where there is nothing; that would only lengthen lists of versions here.
        if self.object(key).is_some() {
            self.add(key, None);
        }
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

    /// Lets time pass: what is written from now on is younger by so much. Time begins with the bucket, at zero.
    pub fn advance(&self, time: Duration) {
        self.lock().passed += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
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
        Ok(state.object(key).filter(|_| !denied).cloned())
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, Error> {
        let state = self.checked()?;
        let past = state.past.get(key).and_then(|past| past.iter().find(|past| past.version.version == version));
        Ok(past.and_then(|past| past.object.clone()))
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        let mut state = self.checked()?;
        if state.lost > 0 {
            state.lost -= 1;
            let _lost = state.put(key, body.clone(), &condition);
        }
        Ok(state.put(key, body, &condition))
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        let state = self.checked()?;
        let past = state.past.get(key).map(Vec::as_slice).unwrap_or_default();
        let all = past.iter().rev().map(|past| past.version.clone());
        let (deletions, versions) = all.partition(|version| version.deleted);
        Ok(newest_first(versions, deletions, state.object(key).is_some(), limit))
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let state = self.checked()?;
        let entry = |(key, object): (&String, &Object)| Entry {
            key: key.clone(),
            etag: object.etag.clone(),
            bytes: object.body.len() as u64,
            modified: state.past.get(key).and_then(|past| past.last()).map_or(0, |past| past.version.modified),
        };
        Ok(state.present(prefix).map(entry).collect())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let state = self.checked()?;
        let folder = |key: &str| Some(key.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
        let mut folders: Vec<String> = state.present(prefix).filter_map(|(key, _)| folder(key)).collect();
        folders.dedup();
        Ok(folders)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.checked()?.delete(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        let mut state = self.checked()?;
        keys.iter().for_each(|key| state.delete(key));
        Ok(())
    }
}

/// The bucket as somebody reads it whose it is not. The mark of a page is the last key of the one before.
impl ForeignBucket for MemoryBucket {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, Error> {
        let state = self.checked()?;
        let listed = |(key, object): (&String, &Object)| Listed {
            key: key.clone(),
            length: u64::try_from(object.body.len()).unwrap_or(u64::MAX),
        };
        let rest = state.present(prefix).filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let mut objects: Vec<Listed> = rest.map(listed).take(PAGE + 1).collect();
        let is_last = objects.len() <= PAGE;
        objects.truncate(PAGE);
        let next = objects.last().filter(|_| !is_last).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    async fn read_at_most(&self, key: &str, most: u64) -> Result<Reading, Error> {
        let Some(object) = self.get(key).await? else { return Ok(Reading::Absent) };
        match u64::try_from(object.body.len()).unwrap_or(u64::MAX) {
            length if length > most => Ok(Reading::TooLong(length)),
            _ => Ok(Reading::Whole(object.body)),
        }
    }
}
