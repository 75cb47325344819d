//! How many requests it takes, which is what it costs in time.

use std::sync::atomic::{AtomicU32, Ordering};

use futuswarm_model::{AppRecord, keys};
use futuswarm_store::{Bucket, Condition, Entry, Object, Put, Version};
use futuswarm_vault::{DataKey, DocumentContext};

use super::*;

/// What was asked for: reads, writes, lists, and requests to KMS.
#[derive(Debug, Clone, Default)]
struct Counts(Arc<[AtomicU32; 4]>);

impl Counts {
    fn add(&self, at: usize) {
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> [u32; 4] {
        [0, 1, 2, 3].map(|at: usize| self.0[at].swap(0, Ordering::Relaxed))
    }
}

#[derive(Debug, Clone)]
struct Counted<T> {
    inner: T,
    counts: Counts,
}

type StoreError = futuswarm_store::Error;

impl<B: Bucket> Bucket for Counted<B> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.counts.add(0);
        self.inner.get(key).await
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, StoreError> {
        self.counts.add(0);
        self.inner.get_version(key, version).await
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, StoreError> {
        self.counts.add(1);
        self.inner.put(key, body, condition).await
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, StoreError> {
        self.counts.add(2);
        self.inner.versions(key, limit).await
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.counts.add(2);
        self.inner.list_entries(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.counts.add(2);
        self.inner.list_folders(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.counts.add(1);
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.counts.add(1);
        self.inner.delete_all(keys).await
    }
}

impl<K: DataKeys> DataKeys for Counted<K> {
    async fn generate(
        &self,
        key: &str,
        context: &DocumentContext,
    ) -> Result<(DataKey, String), futuswarm_vault::Error> {
        self.counts.add(3);
        self.inner.generate(key, context).await
    }

    async fn open_data_key(
        &self,
        key: &str,
        context: &DocumentContext,
        sealed: &str,
    ) -> Result<DataKey, futuswarm_vault::Error> {
        self.counts.add(3);
        self.inner.open_data_key(key, context, sealed).await
    }
}

fn counted(bucket: &MemoryBucket) -> (Counts, Records<Counted<MemoryBucket>, Counted<MemoryVault>>) {
    let counts = Counts::default();
    let bucket = Counted { inner: bucket.clone(), counts: counts.clone() };
    let vault = Counted { inner: MemoryVault::new(Faults::none()), counts: counts.clone() };
    (counts, Records::new(bucket, vault, "prod", "alias/managers"))
}

#[tokio::test]
async fn a_config_of_a_hundred_keys_takes_one_read_and_one_request_to_kms() {
    let (counts, records) = counted(&MemoryBucket::default());
    records.create_app("hello", "jane", NOW).await.unwrap();
    let hundred = |_: &Values| {
        Ok::<_, Error>((0..100).map(|key| (format!("KEY_{key}"), Value::from("value"))).collect::<Values>())
    };
    counts.take();
    records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, hundred).await.unwrap();
    assert_eq!(counts.take(), [3, 1, 1, 1], "the app before and after; no document, which a listing confirms");
    let read = records.values("hello", DEFAULT, Kind::Config, None).await.unwrap().unwrap();
    assert_eq!((read.values.len(), counts.take()), (100, [1, 0, 0, 1]));
    records.values("hello", DEFAULT, Kind::Config, Some(&read.version)).await.unwrap().unwrap();
    assert_eq!(counts.take(), [1, 0, 1, 1]);
    records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, set("A", "b")).await.unwrap();
    assert_eq!(counts.take(), [3, 1, 0, 2]);
}

#[tokio::test]
async fn a_thousand_apps_with_five_releases_are_listed_with_one_read() {
    let bucket = MemoryBucket::default();
    let store = Store::new(bucket.clone());
    for app in 0..1000 {
        let name = format!("app{app:03}");
        let record = AppRecord { latest: 5, release: Some(5), stamp: random(), ..AppRecord::new(&name, "jane", NOW) };
        store.put(&keys::app(&name), &record).await.unwrap();
        for number in 1..=5 {
            store.put(&keys::release(&name, number), &release(&name, number)).await.unwrap();
        }
    }
    let (counts, records) = counted(&bucket);
    records.rebuild_index().await.unwrap();
    assert_eq!(counts.take(), [2002, 1, 3, 0], "once for every app and its release");
    let began = std::time::Instant::now();
    let apps = records.apps().await.unwrap();
    assert_eq!((apps.len(), apps["app999"].image.as_deref()), (1000, Some("app999:5")));
    assert_eq!(counts.take(), [1, 0, 0, 0]);
    assert!(began.elapsed().as_millis() < 300, "{:?}", began.elapsed());
    // One more, and its releases.
    records.create_app("hello", "jane", NOW).await.unwrap();
    let [reads, writes, lists, _] = counts.take();
    assert!(reads <= 4 && writes == 2 && lists <= 3, "{reads} {writes} {lists}");
    records.releases("app007", 5).await.unwrap();
    assert_eq!(counts.take(), [6, 0, 0, 0]);
}

#[tokio::test]
async fn renewing_a_lease_takes_a_read_and_a_write() {
    let (counts, records) = counted(&MemoryBucket::default());
    records.create_app("hello", "jane", NOW).await.unwrap();
    let begin = |record: &mut AppRecord| {
        let release = release("hello", 1);
        record.latest = 1;
        record.deploying = Some(futuswarm_model::Deploying { release, holder: "i-1".to_owned(), epoch: 1, until: NOW });
        Ok::<_, Error>(())
    };
    records.change_app("hello", begin).await.unwrap();
    counts.take();
    let renew = |record: &mut AppRecord| {
        record.deploying.as_mut().unwrap().until += 10_000;
        Ok::<_, Error>(())
    };
    records.change_app("hello", renew).await.unwrap();
    assert_eq!(counts.take(), [1, 1, 0, 0]);
}
