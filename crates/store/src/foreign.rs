//! A bucket that is somebody else's: its objects are listed page by page and read up to a length, and nothing is ever written.

use std::future::Future;

use crate::bucket::Error;

/// An object in a page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The whole of it, with the prefix that was asked for.
    pub key: String,
    /// In bytes.
    pub length: u64,
}

/// A part of a listing: S3 tells a thousand keys at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys.
    pub objects: Vec<Listed>,
    /// For the page after it; `None` when it is the last.
    pub next: Option<String>,
}

/// What came of reading an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// All of it.
    Whole(Vec<u8>),
    /// There is none, or not any more.
    Absent,
    /// It is longer than was wanted; its length in bytes. Nothing of it was read.
    TooLong(u64),
}

/// Reads objects that others own.
pub trait ForeignBucket: Send + Sync {
    /// Lists objects under a prefix; `after` is what the page before said.
    fn page(&self, prefix: &str, after: Option<&str>) -> impl Future<Output = Result<Page, Error>> + Send;
    /// Reads one object of at most so many bytes.
    fn read_at_most(&self, key: &str, most: u64) -> impl Future<Output = Result<Reading, Error>> + Send;
}
