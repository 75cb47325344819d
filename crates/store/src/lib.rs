//! Typed objects in the cluster's S3 bucket, changed only by compare-and-swap on their ETag.
//!
//! S3 is the only place where configuration lives. [`Store`] speaks JSON documents and versions; [`Bucket`] is the narrow
//! boundary underneath, with S3 ([`S3Bucket`]) and memory ([`MemoryBucket`]) behind it, and failures around either
//! ([`FaultyBucket`]). What is longer than memory goes by [`Blobs`] of the same.

mod blobs;
mod bucket;
mod faults;
mod foreign;
mod memory;
mod nodes;
mod s3;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use blobs::{Blob, Blobs, Part, Upload};
pub use bucket::{Bucket, Condition, Entry, Error, Newer, Object, Put, Revision, UNVERSIONED, Version};
pub use faults::FaultyBucket;
pub use foreign::{ForeignBucket, Listed, Page, Reading};
pub use memory::MemoryBucket;
pub use nodes::{forget_nodes, node_records, recorded_instances};
pub use s3::S3Bucket;

use futuswarm_retry::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How an object is asked for again that is said not to exist although it did before.
const REREAD: Policy = Policy {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(1),
    total: Duration::from_secs(4),
    attempt: Duration::MAX,
};
/// So often, before it is an error.
const REREADS: u32 = 4;

/// A document and the version it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// As it was at this version.
    pub value: T,
    /// To be given back when it is replaced.
    pub etag: String,
    /// To read it again when it was replaced.
    pub version: String,
}

/// What came of a write on a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap<T> {
    /// It is written, and was this; perhaps by an earlier attempt, whose answer was lost.
    Applied(Revision),
    /// Somebody else was faster; this is there now. Nothing was written.
    Refused(Option<Versioned<T>>),
}

/// What came of a question for something newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News<T> {
    /// The document is as it was.
    Same,
    /// It is this now; `None` when there is none.
    Changed(Option<Versioned<T>>),
}

/// JSON documents over a bucket.
#[derive(Debug, Clone)]
pub struct Store<B> {
    bucket: B,
    /// What this process has read or written and not deleted: that it is gone takes more than one answer.
    known: Arc<Mutex<BTreeSet<String>>>,
    /// Whether nothing becomes known.
    forgetful: bool,
}

impl<B: Bucket> Store<B> {
    /// A store over `bucket`.
    pub fn new(bucket: B) -> Self {
        Self { bucket, known: Arc::default(), forgetful: false }
    }

    /// A store for documents that others delete at any time: [`Store::get`] asks once, and what is gone is gone.
    pub fn forgetful(bucket: B) -> Self {
        Self { bucket, known: Arc::default(), forgetful: true }
    }

    /// What it stores in.
    pub fn bucket(&self) -> &B {
        &self.bucket
    }

    /// The document under `key`, or `None` when there is none.
    ///
    /// An object that was there before is asked for again before it counts as gone, which is an error then: in the first
    /// 15 minutes after versioning is enabled, S3 may answer NoSuchKey for objects that exist.
    ///
    /// # Errors
    /// When the bucket does not answer, the document is not a `T`, or it was there before and is not any more.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, Error> {
        for attempt in 0.. {
            if let Some(document) = self.peek(key).await? {
                self.know(key);
                return Ok(Some(document));
            }
            if !self.known().contains(key) {
                break;
            }
            if attempt == REREADS {
                return Err(Error::Vanished { key: key.to_owned() });
            }
            tokio::time::sleep(REREAD.delay(attempt)).await;
        }
        Ok(None)
    }

    /// The document under `key`, asked for once; for what others delete at any time.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document is not a `T`.
    pub async fn peek<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, Error> {
        let Some(object) = self.bucket.get(key).await? else { return Ok(None) };
        Ok(Some(decode(key, object)?))
    }

    /// The document under `key`, unless it is still at `etag`: for what is asked for every second and changes seldom. As
    /// [`Store::get`] it does not believe the first answer that says that a document is gone.
    ///
    /// # Errors
    /// As of [`Store::get`].
    pub async fn get_if_changed<T: DeserializeOwned>(&self, key: &str, etag: Option<&str>) -> Result<News<T>, Error> {
        let Some(etag) = etag else { return Ok(News::Changed(self.get(key).await?)) };
        Ok(match self.bucket.get_if_changed(key, etag).await? {
            Newer::Same => News::Same,
            Newer::Other(Some(object)) => {
                self.know(key);
                News::Changed(Some(decode(key, object)?))
            }
            Newer::Other(None) => News::Changed(self.get(key).await?),
        })
    }

    /// The document under `key` as it was at `version`, or `None` when it never was or is gone.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document was not a `T`.
    pub async fn peek_version<T: DeserializeOwned>(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Versioned<T>>, Error> {
        let Some(object) = self.bucket.get_version(key, version).await? else { return Ok(None) };
        Ok(Some(decode(key, object)?))
    }

    /// The newest states of the document, newest first, so many at most.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        self.bucket.versions(key, limit).await
    }

    /// Writes the document whatever is there; for objects that have a single writer, such as a node's own heartbeat.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<Revision, Error> {
        match self.bucket.put(key, encode(key, value)?, Condition::None).await? {
            Put::Stored(revision) => {
                self.know(key);
                Ok(revision)
            }
            Put::Refused => Err(Error::Refused { key: key.to_owned() }),
        }
    }

    /// Writes the document if what is there is still at `etag`, or if there is nothing and `etag` is `None`.
    ///
    /// A refusal is read again before it counts: when the answer of a write is lost, the SDK sends it once more, and S3 refuses
    /// that because the first one was applied. So what different writers write must differ.
    ///
    /// # Errors
    /// When the bucket does not answer: the write may have been applied or not, and has to be read.
    pub async fn swap<T>(&self, key: &str, value: &T, etag: Option<&str>) -> Result<Swap<T>, Error>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let condition = etag.map_or(Condition::Absent, |etag| Condition::At(etag.to_owned()));
        if let Put::Stored(revision) = self.bucket.put(key, encode(key, value)?, condition).await? {
            self.know(key);
            return Ok(Swap::Applied(revision));
        }
        match self.get::<T>(key).await {
            Ok(Some(current)) if current.value == *value => {
                Ok(Swap::Applied(Revision { etag: current.etag, version: current.version }))
            }
            Ok(current) => Ok(Swap::Refused(current)),
            // Not what we write, so not ours.
            Err(Error::Malformed { .. }) => Ok(Swap::Refused(None)),
            Err(error) => Err(error),
        }
    }

    /// [`Store::swap`] where nothing is: `Some` for exactly one of any number of writers.
    ///
    /// # Errors
    /// As [`Store::swap`].
    pub async fn create<T>(&self, key: &str, value: &T) -> Result<Option<Revision>, Error>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        Ok(applied(self.swap(key, value, None).await?))
    }

    /// [`Store::swap`] of what is at `etag`; `None` when somebody else was faster.
    ///
    /// # Errors
    /// As [`Store::swap`].
    pub async fn replace<T>(&self, key: &str, value: &T, etag: &str) -> Result<Option<Revision>, Error>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        Ok(applied(self.swap(key, value, Some(etag)).await?))
    }

    /// All keys under `prefix`, sorted.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.bucket.list(prefix).await
    }

    /// All objects under `prefix` with their ETags, sorted, for who wants to know what has changed.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        self.bucket.list_entries(prefix).await
    }

    /// The names up to the next slash after `prefix`, sorted.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.bucket.list_folders(prefix).await
    }

    /// All documents under `prefix`. One that cannot be read as `T` is skipped with a warning: a single bad record must
    /// not blind the whole cluster.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Error> {
        let mut documents = Vec::new();
        for key in self.list(prefix).await? {
            match self.peek(&key).await {
                Ok(Some(document)) => documents.push(document.value),
                // Deleted between the listing and now.
                Ok(None) => {}
                Err(error @ Error::Malformed { .. }) => tracing::warn!(%error, "skipped a record"),
                Err(error) => return Err(error),
            }
        }
        Ok(documents)
    }

    /// Deletes the document; no error when there is none.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.known().remove(key);
        self.bucket.delete(key).await
    }

    /// Deletes these documents with one request per thousand; no error when there are none.
    ///
    /// # Errors
    /// When the bucket does not answer, or refuses to delete one of them.
    pub async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        let gone: BTreeSet<&String> = keys.iter().collect();
        self.known().retain(|key| !gone.contains(key));
        self.bucket.delete_all(keys).await
    }

    fn know(&self, key: &str) {
        if !self.forgetful {
            self.known().insert(key.to_owned());
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode<T: DeserializeOwned>(key: &str, object: Object) -> Result<Versioned<T>, Error> {
    let value = serde_json::from_slice(&object.body)
        .map_err(|source| Error::Malformed { key: key.to_owned(), reason: source.to_string() })?;
    Ok(Versioned { value, etag: object.etag, version: object.version })
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(value)
        .map_err(|source| Error::Malformed { key: key.to_owned(), reason: source.to_string() })
}

fn applied<T>(swap: Swap<T>) -> Option<Revision> {
    match swap {
        Swap::Applied(revision) => Some(revision),
        Swap::Refused(_) => None,
    }
}
