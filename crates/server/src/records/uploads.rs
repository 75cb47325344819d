//! Layers of which a part is in the registry: where it is, and who sends the rest.

use std::time::Duration;

use futuswarm_model::{PushUpload, app_name, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::documents::{Next, again};
use super::{Error, Records, random};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Changes what is known of an app's layer on its way. `change` is asked again, with what is known then, when somebody else was faster;
    /// `None` leaves it as it is. Returns what is known, and whether it was changed.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn change_upload(
        &self,
        app: &str,
        digest: &str,
        mut change: impl FnMut(Option<&PushUpload>) -> Option<PushUpload> + Send,
    ) -> Result<(Option<PushUpload>, bool), Error> {
        let key = keys::upload(app_name(app)?, digest);
        let decide = |there: Option<&PushUpload>| {
            let Some(mut upload) = change(there) else {
                return Ok::<_, Error>(Next::Keep((there.cloned(), false)));
            };
            upload.stamp = random();
            Ok(Next::Write(upload.clone(), (Some(upload), true)))
        };
        self.documents.change(&key, decide).await
    }

    /// Deletes what is known of a layer on its way, if `holder` has it still.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn end_upload(&self, app: &str, digest: &str, holder: &str) -> Result<(), Error> {
        let key = keys::upload(app_name(app)?, digest);
        match self.documents.look::<PushUpload>(&key).await? {
            Some(upload) if upload.value.holder == holder => self.documents.delete(&key).await,
            _ => Ok(()),
        }
    }

    /// Forgets layers on their way of which nothing was written for so long; returns how many these were.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn forget_uploads(&self, age: Duration) -> Result<usize, Error> {
        let entries = again(keys::UPLOADS, || self.documents.store.list_entries(keys::UPLOADS)).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let (now, age) = (self.bucket_time().await?, u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let old = entries.into_iter().filter(|entry| entry.modified.saturating_add(age) <= now);
        let old: Vec<String> = old.map(|entry| entry.key).collect();
        for key in &old {
            self.documents.delete(key).await?;
        }
        Ok(old.len())
    }
}
