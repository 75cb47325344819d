//! An S3 in memory whose requests take their time and are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futuswarm_store::{Blob, Blobs, Bucket, Condition, Entry, Error, MemoryBucket, Object, Part, Put, Upload, Version};
use tokio::time::sleep;

/// Clones share content and count.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedS3 {
    bucket: MemoryBucket,
    takes: Duration,
    requests: Arc<AtomicU32>,
}

impl SimulatedS3 {
    /// The same content behind requests that take so long.
    pub(crate) fn new(bucket: MemoryBucket, takes: Duration) -> Self {
        Self { bucket, takes, requests: Arc::default() }
    }

    /// What is behind the requests.
    pub(crate) fn content(&self) -> MemoryBucket {
        self.bucket.clone()
    }

    /// Requests since the last time this was asked.
    pub(crate) fn take_count(&self) -> u32 {
        self.requests.swap(0, Ordering::Relaxed)
    }

    async fn request(&self) -> &MemoryBucket {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        &self.bucket
    }
}

impl Bucket for SimulatedS3 {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.request().await.get(key).await
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, Error> {
        self.request().await.get_version(key, version).await
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        self.request().await.put(key, body, condition).await
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        self.request().await.versions(key, limit).await
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        self.request().await.list_entries(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.request().await.list_folders(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.request().await.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        self.request().await.delete_all(keys).await
    }
}

impl Blobs for SimulatedS3 {
    async fn begin_upload(&self, key: &str) -> Result<Upload, Error> {
        self.request().await.begin_upload(key).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part, Error> {
        self.request().await.upload_part(upload, number, body).await
    }

    async fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<(), Error> {
        self.request().await.complete_upload(upload, parts).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), Error> {
        self.request().await.abort_upload(upload).await
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, Error> {
        self.request().await.get_range(key, offset, length).await
    }

    async fn list_blobs(&self, prefix: &str) -> Result<Vec<Blob>, Error> {
        self.request().await.list_blobs(prefix).await
    }
}
