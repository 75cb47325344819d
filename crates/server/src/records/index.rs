//! The index of all apps, which follows from their records, and the markers of apps that somebody is at.

use std::collections::BTreeSet;

use futuswarm_model::{AppEntry, AppIndex, AppRecord, Release, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::apps::entry;
use super::documents::{Turn, Writing};
use super::{Error, Records};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// All apps by their names, with one request. An index that is not there, or is no index, is made again first.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn apps(&self) -> Result<AppIndex, Error> {
        match self.documents.look::<AppIndex>(keys::APP_INDEX).await {
            Ok(Some(index)) if self.behind().is_empty() => Ok(index.value),
            Ok(Some(_)) => self.catch_up(BTreeSet::new()).await,
            Ok(None) => self.rebuild_index().await,
            Err(error @ Error::Unreadable { .. }) => {
                tracing::warn!(%error, "the index of apps is made again");
                self.rebuild_index().await
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the index out of the apps' own records. For who has reason to doubt it; nothing has to be stopped for that.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record of an app cannot be read.
    pub async fn rebuild_index(&self) -> Result<AppIndex, Error> {
        if let Err(Error::Unreadable { .. }) = self.documents.look::<AppIndex>(keys::APP_INDEX).await {
            self.documents.delete(keys::APP_INDEX).await?;
        }
        let mut writing = Writing::repeatable(&self.documents, keys::APP_INDEX);
        loop {
            // The index before the records: who changes one of them later brings the index up to date after us.
            let base = match writing.turn().await? {
                Turn::Written(written) => return Ok(written.value),
                Turn::Decide(base) => base,
            };
            let names = self.documents.list_folders(keys::APPS).await?;
            let records: Vec<String> = names.iter().map(|name| keys::app(name)).collect();
            let mut index = AppIndex::new();
            for record in self.documents.look_at_all::<AppRecord>(&records).await? {
                if record.removing.is_none() {
                    let known = base.as_ref().and_then(|base| base.value.get(&record.name));
                    index.insert(record.name.clone(), self.row(&record, known).await?);
                }
            }
            if base.as_ref().is_some_and(|base| base.value == index) {
                return Ok(index);
            }
            if let Some(written) = writing.write(index, (), base.as_ref()).await? {
                return Ok(written.value);
            }
        }
    }

    /// Brings the row of an app up to date. When that fails it is tried again with the next one, and before the next list.
    pub(super) async fn follow(&self, name: &str) {
        if let Err(error) = self.catch_up(BTreeSet::from([name.to_owned()])).await {
            tracing::warn!(app = name, %error, "the index of apps is behind");
        }
    }

    /// Brings the rows of these apps up to date, and those that are behind.
    async fn catch_up(&self, mut names: BTreeSet<String>) -> Result<AppIndex, Error> {
        names.append(&mut self.behind());
        let caught_up = self.bring_up_to_date(&names).await;
        if caught_up.is_err() {
            self.behind().extend(names);
        }
        caught_up
    }

    async fn bring_up_to_date(&self, names: &BTreeSet<String>) -> Result<AppIndex, Error> {
        let mut writing = Writing::repeatable(&self.documents, keys::APP_INDEX);
        loop {
            let base = match writing.turn().await {
                Ok(Turn::Written(written)) => return Ok(written.value),
                Ok(Turn::Decide(Some(base))) => base,
                Ok(Turn::Decide(None)) | Err(Error::Unreadable { .. }) => return self.rebuild_index().await,
                Err(error) => return Err(error),
            };
            let mut index = base.value.clone();
            for name in names {
                // Read after the index: of two who are at it at once, the later one has seen the newest record.
                match self.app(name).await? {
                    Some(record) => {
                        let row = self.row(&record, index.get(name)).await?;
                        index.insert(name.clone(), row);
                    }
                    None => drop(index.remove(name)),
                }
            }
            if index == base.value {
                return Ok(index);
            }
            if let Some(written) = writing.write(index, (), Some(&base)).await? {
                return Ok(written.value);
            }
        }
    }

    /// A row; its image is that of the row before where the release is the same, and else its release is asked for.
    async fn row(&self, record: &AppRecord, known: Option<&AppEntry>) -> Result<AppEntry, Error> {
        let Some(number) = record.release else { return Ok(entry(record, None)) };
        let known = known.filter(|known| known.release == Some(number) && known.created_at == record.created_at);
        if let Some(image) = known.and_then(|known| known.image.clone()) {
            return Ok(entry(record, Some(image)));
        }
        let release = self.documents.look::<Release>(&keys::release(&record.name, number)).await?;
        Ok(entry(record, release.map(|release| release.value.image)))
    }

    /// Apps that somebody is at: with a release on its way, with networks to be looked at, or being removed. A name may be there without
    /// reason, if whoever was at it has just ended; the app's record says so.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn pending(&self) -> Result<BTreeSet<String>, Error> {
        let markers = self.documents.list(keys::PENDING).await?;
        let mut names: BTreeSet<String> =
            markers.iter().filter_map(|key| key.strip_prefix(keys::PENDING)).map(str::to_owned).collect();
        let index = self.apps().await?;
        names.extend(index.into_iter().filter(|(_, row)| row.deploying.is_some()).map(|(name, _)| name));
        Ok(names)
    }

    pub(super) async fn mark_pending(&self, name: &str) -> Result<(), Error> {
        self.documents.put(&keys::pending(name), &name).await?;
        Ok(())
    }

    /// Takes the marker away, and puts it back if somebody has begun in between: they would not be found otherwise.
    pub(super) async fn unmark_pending(&self, name: &str) {
        let unmarked = async {
            self.documents.delete(&keys::pending(name)).await?;
            match self.app_or_rest(name).await? {
                Some(record) if record.is_pending() || record.removing.is_some() => self.mark_pending(name).await,
                _ => Ok(()),
            }
        };
        if let Err(error) = unmarked.await {
            tracing::warn!(app = name, %error, "the marker of a release on its way may be wrong");
        }
    }
}
