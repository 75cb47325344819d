//! How many documents are in memory at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use futuswarm_store::{Bucket, Condition, Entry, Error as StoreError, Object, Put, Version};

use super::*;

/// How many older versions are being read, and the most of them at any time.
#[derive(Debug, Default)]
struct Readers {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[derive(Debug, Clone, Default)]
struct Watched {
    inner: MemoryBucket,
    readers: Arc<Readers>,
}

impl Bucket for Watched {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.inner.get(key).await
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, StoreError> {
        let now = self.readers.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.readers.most.fetch_max(now, Ordering::Relaxed);
        // All that are asked at once have begun when the first one ends.
        tokio::task::yield_now().await;
        let read = self.inner.get_version(key, version).await;
        self.readers.now.fetch_sub(1, Ordering::Relaxed);
        read
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, StoreError> {
        self.inner.put(key, body, condition).await
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, StoreError> {
        self.inner.versions(key, limit).await
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.inner.list_entries(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_folders(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.inner.delete_all(keys).await
    }
}

#[tokio::test]
async fn a_long_history_is_told_with_four_documents_in_memory() {
    let bucket = Watched::default();
    let records = Records::new(bucket.clone(), MemoryVault::new(Faults::none()), "prod", "alias/managers");
    records.create_app("hello", "jane", NOW).await.unwrap();
    for number in 1..=30_u64 {
        let change = set("N", &number.to_string());
        records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, change).await.unwrap();
    }
    let history = records.history("hello", DEFAULT, Kind::Config, 200).await.unwrap();
    let numbers: Vec<u64> = history.iter().map(|past| past.number).collect();
    assert_eq!(numbers, (1..=30).rev().collect::<Vec<u64>>());
    assert_eq!(bucket.readers.most.load(Ordering::Relaxed), 4);
    let few = records.history("hello", DEFAULT, Kind::Config, 5).await.unwrap();
    assert_eq!(few.iter().map(|past| past.number).collect::<Vec<u64>>(), [30, 29, 28, 27, 26]);
}
