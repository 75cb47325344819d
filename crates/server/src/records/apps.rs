//! Records of apps: made and changed.

use futuswarm_model::{AppEntry, AppRecord, app_name, keys, person_name};
use futuswarm_store::{Bucket, Versioned};
use futuswarm_vault::DataKeys;

use super::documents::{Next, Turn, Writing};
use super::removals::new;
use super::{Error, Records, random};

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

    /// Makes an app, which `by` owns. One of the same name that is not removed to the end goes first, by whoever does it
    /// ([`Records::take_removal`]): it has more than documents.
    ///
    /// # Errors
    /// When the name is none, taken, or not free yet, or the bucket does not answer.
    pub async fn create_app(&self, name: &str, by: &str, now: u64) -> Result<AppRecord, Error> {
        person_name(by)?;
        match self.app_or_rest(name).await?.map(|record| record.removing) {
            Some(None) => return Err(Error::AppExists(name.to_owned())),
            Some(Some(_)) => return Err(Error::BeingRemoved(name.to_owned())),
            None if self.documents.list(&keys::app_folder(app_name(name)?)).await?.is_empty() => {}
            // Somebody wrote a document just when its app was removed, and did not live to take it back.
            None => self.clear_rest(name, by, now).await?,
        }
        let record = new(name, by, now);
        let create = |there: Option<&AppRecord>| match there {
            Some(_) => Err(Error::AppExists(name.to_owned())),
            None => Ok(Next::Write(record.clone(), ())),
        };
        self.documents.change(&keys::app(name), create).await?;
        self.follow(name).await;
        Ok(record)
    }

    /// Changes the record of an app. `change` is asked again, with the record as it is then, when somebody else was faster; what it
    /// refuses is not changed, and what it leaves as it is is not written. The row in the index and the marker of an app for which
    /// there is something to do follow.
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
            // The marker is there before what there is to do, and goes after it: without one nobody would look for what was left.
            if record.is_pending() && !base.value.is_pending() {
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
        if before.is_pending() && !written.value.is_pending() {
            self.unmark_pending(name).await;
        }
        Ok(result)
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
        links: record.links.iter().map(|(name, link)| (name.clone(), link.life)).collect(),
        open: record.admission.open,
    }
}
