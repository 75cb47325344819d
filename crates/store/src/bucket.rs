//! The boundary to object storage: five operations in domain words and the errors any bucket can have.

use std::future::Future;

/// What must hold for a write to take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// There is no object yet (`If-None-Match: *`).
    Absent,
    /// The object is still at this ETag (`If-Match`).
    At(String),
}

/// An object as read.
#[derive(Debug, Clone)]
pub struct Object {
    /// As they were written.
    pub body: Vec<u8>,
    /// Names this version of the object.
    pub etag: String,
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written, at this new ETag.
    Stored(String),
    /// The condition did not hold; nothing was written.
    Refused,
}

/// Failures of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service failed or refused.
    #[error("s3://{bucket}/{key}: {source}")]
    Service {
        /// Its name in S3.
        bucket: String,
        /// The key or prefix.
        key: String,
        /// What the service said.
        #[source]
        source: futuswarm_aws::Error,
    },
    /// The object's content is not what this version of the program writes.
    #[error("{key} in the cluster's bucket cannot be read: {reason}")]
    Malformed {
        /// As in `futuswarm_model::keys`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object that this process has read or written is said not to exist.
    #[error(
        "{key} in the cluster's bucket is said not to exist, although it was there before: S3 may say so for 15 minutes after versioning was enabled; when it lasts longer, somebody has deleted it: restore an older version of it"
    )]
    Vanished {
        /// As in `futuswarm_model::keys`.
        key: String,
    },
    /// Some of many objects could not be deleted.
    #[error("s3://{bucket}/{key}: DeleteObjects: {reason}")]
    Undeleted {
        /// Its name in S3.
        bucket: String,
        /// The first key that is still there.
        key: String,
        /// What the service said about it.
        reason: String,
    },
    /// An unconditional write was refused.
    #[error("{key} in the cluster's bucket could not be written: the condition of the write did not hold")]
    Refused {
        /// As in `futuswarm_model::keys`.
        key: String,
    },
}

impl Error {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service { source, .. } => source.is_transient(),
            Self::Vanished { .. } => true,
            Self::Malformed { .. } | Self::Undeleted { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Object storage with conditional writes.
pub trait Bucket: Send + Sync {
    /// Reads one object.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, Error>> + Send;
    /// Writes one object if `condition` holds.
    fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> impl Future<Output = Result<Put, Error>> + Send;
    /// Lists all keys under a prefix, sorted.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
    /// Deletes one object; deleting what is not there succeeds.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), Error>> + Send;
    /// Deletes many objects, with one request per thousand; deleting what is not there succeeds.
    fn delete_all(&self, keys: &[String]) -> impl Future<Output = Result<(), Error>> + Send;
}
