//! Releases that have ended: one record each, which is written once.

use futuswarm_model::{Release, app_name, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::documents::{Turn, Writing, in_doubt};
use super::{Error, Records};

/// So many records are asked for at once.
const BATCH: u64 = 16;

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// A release that has ended; one on its way is in the app's record.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record cannot be read.
    pub async fn release(&self, app: &str, number: u64) -> Result<Option<Release>, Error> {
        let release = self.documents.look::<Release>(&keys::release(app_name(app)?, number)).await?;
        Ok(release.map(|release| release.value))
    }

    /// Records a release that has ended, before the app's record says that it is not on its way any more. The same content again is no
    /// error, so that whoever takes a release over may record it again.
    ///
    /// # Errors
    /// When there is no such app, it never gave the number away, the number has another record, or the bucket does not answer.
    pub async fn put_release(&self, release: &Release) -> Result<(), Error> {
        let (app, number) = (release.app.as_str(), release.number);
        let record = self.need_app(app).await?;
        if number == 0 || number > record.latest {
            return Err(Error::NotItsRelease { app: app.to_owned(), number, latest: record.latest });
        }
        let key = keys::release(app, number);
        let mut writing = Writing::new(&self.documents, &key);
        let written = loop {
            match writing.turn().await? {
                Turn::Written(written) => break written,
                Turn::Decide(Some(there)) if there.value == *release => return Ok(()),
                Turn::Decide(Some(_)) => return Err(Error::ReleaseExists { app: app.to_owned(), number }),
                Turn::Decide(None) => {}
            }
            if let Some(written) = writing.write(release.clone(), (), None).await? {
                break written;
            }
        };
        let now = self.app(app).await.map_err(|error| in_doubt(&key, error))?;
        if now.is_some_and(|now| now.created_at == record.created_at) {
            return Ok(());
        }
        self.documents.take_back::<Release>(&key, &written.revision).await?;
        Err(Error::NoApp(app.to_owned()))
    }

    /// The newest releases, newest first, so many at most, also one on its way: a request for the app and one for each release.
    ///
    /// # Errors
    /// When there is no such app, or the bucket does not answer.
    pub async fn releases(&self, app: &str, limit: usize) -> Result<Vec<Release>, Error> {
        let record = self.need_app(app).await?;
        let mut releases = Vec::new();
        let mut next = record.latest;
        while next > 0 && releases.len() < limit {
            let wanted = u64::try_from(limit - releases.len()).unwrap_or(BATCH).min(BATCH);
            let last = next.saturating_sub(wanted);
            let numbers = (last + 1..=next).rev();
            let on_its_way = record.deploying.as_ref().map(|deploying| &deploying.release);
            releases
                .extend(on_its_way.filter(|release| numbers.clone().any(|number| number == release.number)).cloned());
            let ended = numbers.filter(|number| on_its_way.is_none_or(|release| release.number != *number));
            let ended: Vec<String> = ended.map(|number| keys::release(app, number)).collect();
            releases.extend(self.documents.look_at_all::<Release>(&ended).await?);
            next = last;
        }
        releases.sort_by_key(|release| std::cmp::Reverse(release.number));
        releases.truncate(limit);
        Ok(releases)
    }
}
