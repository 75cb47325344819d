//! Typed objects in the cluster's S3 bucket, changed only by compare-and-swap on their ETag.
//!
//! S3 is the only place where configuration lives. [`Store`] speaks JSON documents and versions; [`Bucket`] is the narrow
//! boundary underneath, with S3 ([`S3Bucket`]) and memory ([`MemoryBucket`]) behind it.

mod bucket;
pub mod keys;
mod memory;
mod nodes;
mod objects;
mod s3;

pub use bucket::{Bucket, Condition, Error, Object, Put};
pub use memory::MemoryBucket;
pub use nodes::{forget_node, node_records};
pub use objects::{Genesis, ManagerRecord, NodeRecord, NodeState, Role, SealedToken, unix_millis};
pub use s3::S3Bucket;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document and the version it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The document.
    pub value: T,
    /// The ETag, to be given back when it is replaced.
    pub etag: String,
}

/// JSON documents over a bucket.
#[derive(Debug, Clone)]
pub struct Store<B> {
    bucket: B,
}

impl<B: Bucket> Store<B> {
    /// A store over `bucket`.
    pub fn new(bucket: B) -> Self {
        Self { bucket }
    }

    /// The document under `key`, or `None` when there is none.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, Error> {
        let Some(object) = self.bucket.get(key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&object.body)
            .map_err(|source| Error::Malformed { key: key.to_owned(), reason: source.to_string() })?;
        Ok(Some(Versioned { value, etag: object.etag }))
    }

    /// Writes the document whatever is there; for objects that have a single writer, such as a node's own heartbeat.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<String, Error> {
        match self.bucket.put(key, encode(key, value)?, Condition::None).await? {
            Put::Stored(etag) => Ok(etag),
            Put::Refused => Err(Error::Refused { key: key.to_owned() }),
        }
    }

    /// Writes the document only if there is none: `Some(etag)` for exactly one of any number of writers.
    pub async fn create<T: Serialize>(&self, key: &str, value: &T) -> Result<Option<String>, Error> {
        Ok(stored(self.bucket.put(key, encode(key, value)?, Condition::Absent).await?))
    }

    /// Replaces the document only if it is still at `etag`; `None` when somebody else was faster.
    pub async fn replace<T: Serialize>(&self, key: &str, value: &T, etag: &str) -> Result<Option<String>, Error> {
        Ok(stored(self.bucket.put(key, encode(key, value)?, Condition::At(etag.to_owned())).await?))
    }

    /// All keys under `prefix`, sorted.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.bucket.list(prefix).await
    }

    /// All documents under `prefix`. One that cannot be read as `T` is skipped with a warning: a single bad record must
    /// not blind the whole cluster.
    pub async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        for key in self.list(prefix).await? {
            match self.get(&key).await {
                Ok(Some(document)) => found.push(document.value),
                // Deleted between the listing and now.
                Ok(None) => {}
                Err(error @ Error::Malformed { .. }) => tracing::warn!(%error, "skipped a record"),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Deletes the document; no error when there is none.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.bucket.delete(key).await
    }
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(value)
        .map_err(|source| Error::Malformed { key: key.to_owned(), reason: source.to_string() })
}

fn stored(put: Put) -> Option<String> {
    match put {
        Put::Stored(etag) => Some(etag),
        Put::Refused => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store<MemoryBucket> {
        Store::new(MemoryBucket::default())
    }

    #[tokio::test]
    async fn only_one_of_many_creates_wins() {
        let store = store();
        let mut winners = 0;
        for writer in 0..20 {
            winners += u32::from(store.create("cluster/genesis", &writer).await.unwrap().is_some());
        }
        assert_eq!(winners, 1);
        assert_eq!(store.get::<i32>("cluster/genesis").await.unwrap().unwrap().value, 0);
    }

    #[tokio::test]
    async fn a_replacement_at_an_old_version_is_refused_and_changes_nothing() {
        let store = store();
        let first = store.put("k", &1).await.unwrap();
        let second = store.replace("k", &2, &first).await.unwrap().expect("nobody else wrote");
        assert_eq!(store.replace("k", &3, &first).await.unwrap(), None);
        assert_eq!(store.get::<i32>("k").await.unwrap().unwrap(), Versioned { value: 2, etag: second });
    }

    #[tokio::test]
    async fn one_garbled_record_does_not_hide_the_others() {
        let store = store();
        store.put("cluster/managers/i-1", &7).await.unwrap();
        store.put("cluster/managers/i-2", &"not a number").await.unwrap();
        assert_eq!(store.all::<i32>("cluster/managers/").await.unwrap(), [7]);
        let message = store.get::<i32>("cluster/managers/i-2").await.unwrap_err().to_string();
        assert!(message.starts_with("cluster/managers/i-2 in the cluster's bucket cannot be read: "), "{message}");
    }
}
