//! Who works on the images in the bucket, and the images themselves as docker-registry lays them down there.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use futuswarm_model::{Collector, PushShare, keys};
use futuswarm_retry::Policy;
use futuswarm_store::{Bucket, Entry};
use futuswarm_vault::DataKeys;

use super::documents::{Next, again, again_as};
use super::{Error, Records, random};

/// Lists of images may have many pages.
const LISTINGS: Policy = Policy {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(2),
    total: Duration::from_secs(300),
    attempt: Duration::from_secs(120),
};
/// So many blobs a push counts on within a day at most, of one app.
const MOST_BLOBS: usize = 10_000;
/// So many objects are read at once.
const AT_ONCE: usize = 16;
/// So many keys are deleted with one request.
const KEYS_PER_DELETION: usize = 1000;

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Who collects images, or did last.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn collector(&self) -> Result<Collector, Error> {
        let collector = self.documents.look::<Collector>(keys::COLLECTOR).await?;
        Ok(collector.map(|collector| collector.value).unwrap_or_default())
    }

    /// Changes the lease of who collects images. `change` is asked again, with the lease as it is then, when somebody else was faster;
    /// `false` leaves it as it is. Returns the lease, and whether it was changed.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn change_collector(
        &self,
        mut change: impl FnMut(&mut Collector) -> bool + Send,
    ) -> Result<(Collector, bool), Error> {
        let decide = |there: Option<&Collector>| {
            let mut collector = there.cloned().unwrap_or_default();
            if !change(&mut collector) {
                return Ok::<_, Error>(Next::Keep((collector, false)));
            }
            collector.stamp = random();
            Ok(Next::Write(collector.clone(), (collector, true)))
        };
        self.documents.change(keys::COLLECTOR, decide).await
    }

    /// What time it is by S3's clock, in milliseconds since 1970: when the lease was written. Ages of objects are told by that clock, and
    /// not by this node's.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn bucket_time(&self) -> Result<u64, Error> {
        self.change_collector(|_| true).await?;
        let entries = again(keys::COLLECTOR, || self.documents.store.list_entries(keys::COLLECTOR)).await?;
        let written = entries.iter().find(|entry| entry.key == keys::COLLECTOR).map(|entry| entry.modified);
        written.ok_or_else(|| futuswarm_store::Error::Vanished { key: keys::COLLECTOR.to_owned() }.into())
    }

    /// Says that images of an app are being pushed until a time, and that this push counts on these blobs. What was counted on before
    /// `forgotten` is not any more. All times are in milliseconds since 1970.
    ///
    /// # Errors
    /// When too many blobs are counted on, or the bucket does not answer.
    pub async fn share_push(
        &self,
        app: &str,
        holder: &str,
        (now, until, forgotten): (u64, u64, u64),
        blobs: &[String],
    ) -> Result<(), Error> {
        let key = keys::push(futuswarm_model::app_name(app)?);
        let decide = |there: Option<&PushShare>| {
            let mut share = there.cloned().unwrap_or_default();
            app.clone_into(&mut share.app);
            holder.clone_into(&mut share.holder);
            share.until = until.max(share.until);
            share.blobs.retain(|_, at| *at > forgotten);
            share.blobs.extend(blobs.iter().map(|digest| (digest.clone(), now)));
            if share.blobs.len() > MOST_BLOBS {
                return Err(Error::TooManyBlobs { app: app.to_owned(), most: MOST_BLOBS });
            }
            share.stamp = random();
            Ok(Next::Write(share, ()))
        };
        self.documents.change(&key, decide).await
    }

    /// What is said of pushes, of those that are over, too.
    ///
    /// # Errors
    /// When the bucket does not answer, or a document cannot be read.
    pub async fn push_shares(&self) -> Result<Vec<PushShare>, Error> {
        let shares = self.documents.list(keys::PUSHES).await?;
        self.documents.look_at_all(&shares).await
    }

    /// Deletes what is said of pushes of an app.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn forget_push(&self, app: &str) -> Result<(), Error> {
        self.documents.delete(&keys::push(app)).await
    }

    /// All objects under a prefix of the registry's part of the bucket.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list_registry(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        again_as(prefix, LISTINGS, || self.documents.store.list_entries(prefix)).await
    }

    /// The names up to the next slash after a prefix of the registry's part of the bucket.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list_registry_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        again_as(prefix, LISTINGS, || self.documents.store.list_folders(prefix)).await
    }

    /// Objects of the registry that a listing has named, by their keys; small ones, which are read whole.
    ///
    /// # Errors
    /// When the bucket does not answer, or says that one of them does not exist.
    pub async fn read_registry(&self, keys: &[String]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let bucket = self.documents.store.bucket();
        let mut all = BTreeMap::new();
        for some in keys.chunks(AT_ONCE) {
            let mut asked = Vec::new();
            for key in some {
                asked.push(again(key, move || async move {
                    let object = bucket.get(key).await?;
                    object.ok_or_else(|| futuswarm_store::Error::Vanished { key: key.clone() })
                }));
            }
            for (key, object) in some.iter().zip(join_all(asked).await) {
                all.insert(key.clone(), object?.body);
            }
        }
        Ok(all)
    }

    /// Deletes objects of the registry, as many as one request takes; returns how many of `keys` that were.
    ///
    /// # Errors
    /// When the bucket does not answer, or refuses to delete one of them.
    pub async fn delete_registry(&self, keys: &[String]) -> Result<usize, Error> {
        let some = &keys[..keys.len().min(KEYS_PER_DELETION)];
        self.documents.delete_all(some).await?;
        Ok(some.len())
    }
}
