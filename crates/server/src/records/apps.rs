//! Records of apps: made, changed and removed with everything that is theirs.

use std::time::Duration;

use futuswarm_model::{AccessList, AppEntry, AppRecord, app_name, keys, person_name};
use futuswarm_store::{Bucket, Versioned};
use futuswarm_vault::DataKeys;
use tokio::time::Instant;

use super::documents::{Next, Turn, Writing};
use super::{Error, Records, random};

/// So long somebody else does not go on with a removal, in milliseconds.
const REMOVAL_MILLIS: u64 = 60_000;
/// After so long whoever began a removal deletes nothing more, because somebody else may have ended it and made the app again.
const REMOVAL: Duration = Duration::from_secs(30);
/// So often it is looked whether the folder of an app that is removed is empty.
const SWEEPS: u32 = 5;

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// The record of an app; `None` where there is none, or it is being removed.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record cannot be read.
    pub async fn app(&self, name: &str) -> Result<Option<AppRecord>, Error> {
        Ok(self.app_or_rest(name).await?.filter(|record| record.removing.is_none()))
    }

    /// The record of an app, also of one that is being removed.
    ///
    /// # Errors
    /// As [`Records::app`].
    pub async fn app_or_rest(&self, name: &str) -> Result<Option<AppRecord>, Error> {
        Ok(self.record(name).await?.map(|record| record.value))
    }

    async fn record(&self, name: &str) -> Result<Option<Versioned<AppRecord>>, Error> {
        self.documents.look(&keys::app(app_name(name)?)).await
    }

    /// The record of an app that is there.
    pub(super) async fn need_app(&self, name: &str) -> Result<AppRecord, Error> {
        self.app(name).await?.ok_or_else(|| Error::NoApp(name.to_owned()))
    }

    /// Makes an app, which `by` owns. What is left of one of the same name that was not removed to the end goes first.
    ///
    /// # Errors
    /// When the name is none or taken, or the bucket does not answer.
    pub async fn create_app(&self, name: &str, by: &str, now: u64) -> Result<AppRecord, Error> {
        person_name(by)?;
        match self.record(name).await?.map(|record| record.value) {
            Some(AppRecord { removing: None, .. }) => return Err(Error::AppExists(name.to_owned())),
            Some(AppRecord { removing: Some(since), .. }) if since.saturating_add(REMOVAL_MILLIS) > now => {
                return Err(Error::BeingRemoved(name.to_owned()));
            }
            Some(rest) => self.finish_removal(&rest).await?,
            None => self.documents.delete_all(&self.documents.list(&keys::app_folder(name)).await?).await?,
        }
        let record = AppRecord {
            name: name.to_owned(),
            created_by: by.to_owned(),
            created_at: now,
            access: AccessList::owned_by(by),
            latest: 0,
            release: None,
            deploying: None,
            tokens: Default::default(),
            removing: None,
            stamp: random(),
        };
        let create = |there: Option<&AppRecord>| match there {
            Some(_) => Err(Error::AppExists(name.to_owned())),
            None => Ok(Next::Write(record.clone(), ())),
        };
        self.documents.change(&keys::app(name), create).await?;
        self.follow(name).await;
        Ok(record)
    }

    /// Changes the record of an app. `change` is asked again, with the record as it is then, when somebody else was faster; what it
    /// refuses is not changed, and what it leaves as it is is not written. The row in the index and the marker of a release on its way
    /// follow.
    ///
    /// # Errors
    /// What `change` returns; when there is no such app, or the bucket does not answer.
    pub async fn change_app<T, E>(
        &self,
        name: &str,
        mut change: impl FnMut(&mut AppRecord) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        let key = keys::app(app_name(name).map_err(Error::from)?);
        let mut writing = Writing::new(&self.documents, &key);
        let written = loop {
            let base = match writing.turn().await? {
                Turn::Written(written) => break written,
                Turn::Decide(base) => base.filter(|base: &Versioned<AppRecord>| base.value.removing.is_none()),
            };
            let Some(base) = base else { return Err(Error::NoApp(name.to_owned()).into()) };
            let mut record = base.value.clone();
            let result = change(&mut record)?;
            if record == base.value {
                return Ok(result);
            }
            record.stamp = random();
            // The marker is there before the release is, and goes after it: without one nobody would look for what was left.
            if record.deploying.is_some() && base.value.deploying.is_none() {
                self.mark_pending(name).await.map_err(|error| writing.in_doubt(error))?;
            }
            let before = base.value.clone();
            if let Some(written) = writing.write(record, (result, before), Some(&base)).await? {
                break written;
            }
        };
        let (result, before) = written.result;
        if entry(&before, None) != entry(&written.value, None) {
            self.follow(name).await;
        }
        if before.deploying.is_some() && written.value.deploying.is_none() {
            self.unmark_pending(name).await;
        }
        Ok(result)
    }

    /// Removes an app with all its documents, tokens and its row in the index. A new one of its name starts with nothing of it.
    ///
    /// # Errors
    /// When there is no such app, or the bucket does not answer; then it may be removed in part, and is called again.
    pub async fn remove_app(&self, name: &str, now: u64) -> Result<(), Error> {
        let record = self.begin_removal(name, now).await?;
        self.finish_removal(&record).await.map_err(|error| {
            tracing::warn!(app = name, %error, "a removal is not finished");
            Error::RemovalUnfinished(name.to_owned())
        })
    }

    /// From now on there is no such app for anybody, and its name is not free yet. Marked as pending, so that another manager finds it
    /// when this one dies; for who has things to remove elsewhere before [`Records::finish_removal`].
    ///
    /// # Errors
    /// When there is no such app, or the bucket does not answer.
    pub async fn begin_removal(&self, name: &str, now: u64) -> Result<AppRecord, Error> {
        let key = keys::app(app_name(name)?);
        self.need_rest(name).await?;
        self.mark_pending(name).await?;
        let remove = |there: Option<&AppRecord>| {
            let record = there.ok_or_else(|| Error::NoApp(name.to_owned()))?;
            let record = AppRecord { removing: Some(now), stamp: random(), ..record.clone() };
            Ok::<_, Error>(Next::Write(record.clone(), record))
        };
        let record = self.documents.change(&key, remove).await?;
        self.follow(name).await;
        Ok(record)
    }

    async fn need_rest(&self, name: &str) -> Result<AppRecord, Error> {
        self.app_or_rest(name).await?.ok_or_else(|| Error::NoApp(name.to_owned()))
    }

    /// Deletes what an app has left: `record` as [`Records::begin_removal`] returned it.
    ///
    /// # Errors
    /// When the bucket does not answer, or it took so long that somebody else may be at it.
    pub async fn finish_removal(&self, record: &AppRecord) -> Result<(), Error> {
        let (name, began) = (&record.name, Instant::now());
        let key = keys::app(name);
        // Nobody else has taken it over, nor will have when the next request arrives.
        let still_ours = || async {
            match self.record(name).await?.map(|there| there.value) {
                Some(there) if there.stamp == record.stamp && began.elapsed() < REMOVAL => Ok(()),
                _ => Err(Error::RemovalUnfinished(name.clone())),
            }
        };
        let mut tokens: Vec<String> = record.tokens.values().map(|token| keys::app_token(&token.hash)).collect();
        for sweep in 0.. {
            let mut left = self.documents.list(&keys::app_folder(name)).await?;
            left.retain(|left| *left != key);
            left.append(&mut tokens);
            if left.is_empty() {
                break;
            }
            if sweep == SWEEPS {
                return Err(Error::RemovalUnfinished(name.clone()));
            }
            still_ours().await?;
            self.documents.delete_all(&left).await?;
        }
        still_ours().await?;
        self.documents.delete(&key).await?;
        self.follow(name).await;
        self.unmark_pending(name).await;
        Ok(())
    }
}

/// The row of an app; what its image is does not stand in the record.
pub(super) fn entry(record: &AppRecord, image: Option<String>) -> AppEntry {
    AppEntry {
        created_at: record.created_at,
        access: record.access.clone(),
        release: record.release,
        image,
        deploying: record.deploying.as_ref().map(|deploying| deploying.release.number),
    }
}
