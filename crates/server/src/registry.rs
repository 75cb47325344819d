//! The image registry on this node's loopback: what is asked of it, in the words of the OCI distribution specification.
//!
//! Each app has a repository of its own, named as the app. Nobody but managers writes to the registry's part of the bucket, and nobody
//! reaches this registry but programs of the node.

mod http;
pub(crate) mod layout;
pub(crate) mod manifests;
pub mod memory;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use futuswarm_model::UploadPlace;
pub use http::HttpRegistry;

/// The longest manifest (OCI distribution specification, "Pushing Manifests": registries should take at least 4 MiB).
pub(crate) const LONGEST_MANIFEST: usize = 4 << 20;

/// `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// A digest as it is written; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (hex.len() == 64 && hex.chars().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A manifest as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Of its bytes.
    pub digest: Digest,
    /// As it was named when it was pushed.
    pub media_type: String,
    /// Byte for byte.
    pub body: Bytes,
}

/// An upload that has begun: where the registry wants the rest, and from which byte on. docker-registry 2.8 answers 404 to any method when it
/// has more or fewer bytes than the place says (distribution's `registry/handlers/blobupload.go`); the upload stays, and goes on at the
/// place that says what there is. The place is good at the registry of any manager: they sign places with the same secret (`registry.rs`
/// of the agent), and what they know of an upload is in S3, from where they read it for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Path and query on the registry.
    location: String,
    /// So many bytes are there.
    pub offset: u64,
}

impl Upload {
    /// An upload at a place that a registry has named before; `None` for what is no path.
    pub(crate) fn at(place: &UploadPlace) -> Option<Self> {
        let UploadPlace { location, offset } = place;
        location.starts_with('/').then(|| Self { location: location.clone(), offset: *offset })
    }

    /// Where it is, in words that another manager reads.
    pub(crate) fn place(&self) -> UploadPlace {
        UploadPlace { location: self.location.clone(), offset: self.offset }
    }
}

/// Failures of the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not answer.
    #[error("the registry of this node does not answer {operation}: {reason}")]
    Unreachable {
        /// In the words of its API.
        operation: &'static str,
        /// What the connection says.
        reason: String,
    },
    /// It refuses.
    #[error("the registry of this node refuses {operation}: {status} {reason}")]
    Refused {
        /// In the words of its API.
        operation: &'static str,
        /// The status of its answer.
        status: u16,
        /// What it says.
        reason: String,
    },
    /// Its answer is not what its API says.
    #[error("the registry of this node answers {operation} without {what}")]
    Incomplete {
        /// In the words of its API.
        operation: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

/// What is asked of a registry, whichever it is.
pub trait Registry: Clone + Send + Sync + 'static {
    /// How many bytes a blob has; `None` when the app's repository has none of this digest.
    ///
    /// # Errors
    /// When the registry does not answer.
    fn blob_length(&self, app: &str, digest: &Digest) -> impl Future<Output = Result<Option<u64>, Error>> + Send;

    /// Whether the app's repository has a blob.
    ///
    /// # Errors
    /// When the registry does not answer.
    fn has_blob(&self, app: &str, digest: &Digest) -> impl Future<Output = Result<bool, Error>> + Send {
        async move { self.blob_length(app, digest).await.map(|length| length.is_some()) }
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// When the registry does not answer, or takes no more.
    fn begin(&self, app: &str) -> impl Future<Output = Result<Upload, Error>> + Send;

    /// An upload as the registry has it now; `None` when it has forgotten it, or has more or less of it than was told.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses: docker-registry 2.8 does so for ever once the end of an upload has failed.
    fn resume(&self, upload: &Upload) -> impl Future<Output = Result<Option<Upload>, Error>> + Send;

    /// Appends a piece, and says where the rest goes then.
    ///
    /// # Errors
    /// When the registry does not answer or refuses. It may have any part of the piece; [`Registry::resume`] tells whether it has none.
    fn append(&self, upload: &Upload, piece: Bytes) -> impl Future<Output = Result<Upload, Error>> + Send;

    /// Ends an upload: the registry compares the digest, and the repository has the blob.
    ///
    /// # Errors
    /// When the bytes have another digest, or the registry does not answer.
    fn finish(&self, upload: &Upload, digest: &Digest) -> impl Future<Output = Result<(), Error>> + Send;

    /// Names a manifest, whose blobs have to be there.
    ///
    /// # Errors
    /// When one is not there, or the registry does not answer.
    fn put_manifest(
        &self,
        app: &str,
        reference: &str,
        media_type: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<Digest, Error>> + Send;

    /// A manifest by tag or digest; `None` when there is none.
    ///
    /// # Errors
    /// When the registry does not answer.
    fn manifest(&self, app: &str, reference: &str) -> impl Future<Output = Result<Option<Manifest>, Error>> + Send;

    /// A small blob as a whole, such as an image's config; `None` when there is none.
    ///
    /// # Errors
    /// When the registry does not answer, or it is longer than a manifest may be.
    fn blob(&self, app: &str, digest: &Digest) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Tags of a repository; none when there is no repository.
    ///
    /// # Errors
    /// When the registry does not answer.
    fn tags(&self, app: &str) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
}
