//! Objects that are longer than memory: written in parts, read in pieces.

use bytes::Bytes;

use crate::bucket::Error;

/// An upload that has begun. There is no object before it is completed, and none of what was sent is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Of the object that it will be.
    pub key: String,
    /// What S3 calls it.
    pub id: String,
}

/// A part that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1; the object is its parts in the order of their numbers.
    pub number: u32,
    /// For the completion.
    pub etag: String,
}

/// A long object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The whole of it, with the prefix that was asked for.
    pub key: String,
    /// In bytes.
    pub length: u64,
}

/// Object storage for what is longer than memory. Each call may be made again: a part that is sent twice is one part, and an upload that was
/// completed stays so.
pub trait Blobs: Send + Sync {
    /// No object is there before [`Blobs::complete_upload`]; what is never ended costs its parts.
    fn begin_upload(&self, key: &str) -> impl Future<Output = Result<Upload, Error>> + Send;
    /// Sends a part; each but the last has 5 MiB at least (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
    fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        body: Bytes,
    ) -> impl Future<Output = Result<Part, Error>> + Send;
    /// Makes the object of its parts.
    fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> impl Future<Output = Result<(), Error>> + Send;
    /// Ends an upload without an object; no error when there is none.
    fn abort_upload(&self, upload: &Upload) -> impl Future<Output = Result<(), Error>> + Send;
    /// So many bytes from an offset on, fewer at the end; `None` when there is no such object, or it is not longer than the offset.
    fn get_range(
        &self,
        key: &str,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Error>> + Send;
    /// Long objects under a prefix, sorted by their keys.
    fn list_blobs(&self, prefix: &str) -> impl Future<Output = Result<Vec<Blob>, Error>> + Send;
}
