//! The boundary to object storage: its operations in domain words and the errors any bucket can have.

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
    /// For conditions of writes.
    pub etag: String,
    /// For [`Bucket::get_version`]; [`UNVERSIONED`] where S3 names none.
    pub version: String,
}

/// The outcome of a read on the condition that the object is another one (`If-None-Match`).
#[derive(Debug, Clone)]
pub enum Newer {
    /// It still has that ETag.
    Same,
    /// It is this one now; `None` when there is none.
    Other(Option<Object>),
}

/// What S3 calls the version of an object that was written without versioning.
pub const UNVERSIONED: &str = "null";

/// How a state of an object is called: conditions of writes name ETags, and readers of the past name versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The same for the same content, depending on how S3 has sealed it.
    pub etag: String,
    /// Of this writing and no other.
    pub version: String,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole of it, with the prefix that was asked for.
    pub key: String,
    /// Differs when the content does, so that a listing tells what has to be read again.
    pub etag: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written by S3's clock, in milliseconds since 1970; S3 tells whole seconds.
    pub modified: u64,
}

/// One of the states that an object has had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// For [`Bucket::get_version`].
    pub version: String,
    /// Empty for a deletion.
    pub etag: String,
    /// When it was written by S3's clock, in milliseconds since 1970; S3 tells whole seconds.
    pub modified: u64,
    /// Whether there was no object from then on (a delete marker).
    pub deleted: bool,
}

/// The states of one object, newest first, out of its versions and its delete markers, each newest first.
///
/// S3 tells them apart, and times in whole seconds: of a version and a deletion in the same second the deletion counts as the later
/// one, unless the version is what is there now. Who has to know better must look into the versions.
pub(crate) fn newest_first(
    versions: Vec<Version>,
    deletions: Vec<Version>,
    exists: bool,
    limit: usize,
) -> Vec<Version> {
    let mut versions = versions.into_iter().peekable();
    let mut all: Vec<Version> = versions.next_if(|_| exists).into_iter().collect();
    for deletion in deletions {
        while let Some(version) = versions.next_if(|version| version.modified > deletion.modified) {
            all.push(version);
        }
        all.push(deletion);
    }
    all.extend(versions);
    all.truncate(limit);
    all
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is what is there now.
    Stored(Revision),
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

/// Object storage with conditional writes that keeps what was.
pub trait Bucket: Send + Sync {
    /// Reads one object.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, Error>> + Send;
    /// Reads one object unless it still has this ETag.
    fn get_if_changed(&self, key: &str, etag: &str) -> impl Future<Output = Result<Newer, Error>> + Send {
        async move {
            let object = self.get(key).await?;
            Ok(if object.as_ref().is_some_and(|object| object.etag == etag) {
                Newer::Same
            } else {
                Newer::Other(object)
            })
        }
    }
    /// Reads one object piece by piece, so that a large one is never in memory as a whole; `false` when there is none. `take` says
    /// whether it wants more. After an error it has had a part.
    fn get_in_pieces(
        &self,
        key: &str,
        take: &mut (dyn FnMut(&[u8]) -> bool + Send),
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            let Some(object) = self.get(key).await? else { return Ok(false) };
            take(&object.body);
            Ok(true)
        }
    }
    /// Reads one object as it was; `None` for a version that it never had, or that is gone.
    fn get_version(&self, key: &str, version: &str) -> impl Future<Output = Result<Option<Object>, Error>> + Send;
    /// Writes one object if `condition` holds.
    fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> impl Future<Output = Result<Put, Error>> + Send;
    /// The newest states of one object, newest first, so many at most.
    fn versions(&self, key: &str, limit: usize) -> impl Future<Output = Result<Vec<Version>, Error>> + Send;
    /// Lists all objects under a prefix, sorted by their keys.
    fn list_entries(&self, prefix: &str) -> impl Future<Output = Result<Vec<Entry>, Error>> + Send;
    /// Lists what comes up to the next slash after `prefix` in keys that have one, sorted: the names of its folders.
    fn list_folders(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
    /// Lists all keys under a prefix, sorted.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Error>> + Send {
        async move { Ok(self.list_entries(prefix).await?.into_iter().map(|entry| entry.key).collect()) }
    }
    /// Deletes one object, of which older versions stay; deleting what is not there succeeds.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), Error>> + Send;
    /// Deletes many objects, with one request per thousand; deleting what is not there succeeds.
    fn delete_all(&self, keys: &[String]) -> impl Future<Output = Result<(), Error>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str, modified: u64, deleted: bool) -> Version {
        Version { version: name.to_owned(), etag: String::new(), modified, deleted }
    }

    fn merged(versions: &[(&str, u64)], deletions: &[(&str, u64)], exists: bool, limit: usize) -> Vec<String> {
        let list = |rows: &[(&str, u64)], deleted| rows.iter().map(|(name, at)| version(name, *at, deleted)).collect();
        let all = newest_first(list(versions, false), list(deletions, true), exists, limit);
        all.into_iter().map(|version| version.version).collect()
    }

    #[test]
    fn versions_and_deletions_are_one_list() {
        assert_eq!(merged(&[("c", 9), ("b", 5), ("a", 1)], &[("y", 7), ("x", 3)], true, 9), ["c", "y", "b", "x", "a"]);
        assert_eq!(merged(&[("b", 5), ("a", 1)], &[("x", 7)], false, 9), ["x", "b", "a"]);
        // In one second.
        assert_eq!(merged(&[("c", 5), ("b", 5), ("a", 5)], &[("x", 5)], true, 9), ["c", "x", "b", "a"]);
        assert_eq!(merged(&[("b", 5), ("a", 5)], &[("x", 5)], false, 2), ["x", "b"]);
        assert_eq!(merged(&[], &[], false, 9), Vec::<String>::new());
    }
}
