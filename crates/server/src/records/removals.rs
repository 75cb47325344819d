//! Removals of apps: whoever removes one holds its name, deletes what it has left, and frees the name last.
//!
//! Deletions name keys, so one that arrives late would hit the next app of the name. The record of an app that is being removed says when
//! somebody was last at it. Whoever deletes has renewed that a moment ago, and nobody else goes on before this moment and the longest call
//! after it are over; so all that was begun under one hold has arrived, or never will, before there is another.

use std::time::Duration;

use futuswarm_model::{Admission, AppRecord, app_name, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;
use tokio::time::Instant;

use super::documents::Next;
use super::{Error, Records, random};

/// So long after somebody was last at a removal nobody else goes on with it, in milliseconds.
const LEFT_MILLIS: u64 = 60_000;
/// So long after it was renewed a removal deletes. With a call that is made until its own deadline (20 s, and 10 s for its last attempt)
/// that is over before somebody else may begin, also where two clocks differ by some seconds.
const FRESH: Duration = Duration::from_secs(20);
/// So often it is renewed before each deletion: a bucket that takes longer than [`FRESH`] for it is left alone.
const RENEWALS: u32 = 3;
/// So often it is looked whether the folder of an app that is removed is empty.
const SWEEPS: u32 = 5;
/// So many keys are deleted under one hold.
const BATCH: usize = 1000;

/// The right to delete what an app has left. Its record has it: who has lost it is told so by the next call.
#[derive(Debug)]
pub struct Removal {
    record: AppRecord,
    /// When it was renewed, by the clock of this process and in milliseconds since 1970.
    renewed: Instant,
    at: u64,
}

impl Removal {
    /// The app that is being removed.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.record.name
    }

    /// As it was when the removal began, or was taken over.
    pub(crate) fn record(&self) -> &AppRecord {
        &self.record
    }

    fn now(&self) -> u64 {
        self.at.saturating_add(u64::try_from(self.renewed.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn is_left(since: u64, now: u64) -> bool {
    since.saturating_add(LEFT_MILLIS) <= now
}

/// The record of an app that somebody removes, at `now`.
fn held(record: &AppRecord, now: u64) -> AppRecord {
    AppRecord { removing: Some(now), stamp: random(), ..record.clone() }
}

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Removes an app with all its documents, tokens and its row in the index. A new one of its name starts with nothing of it.
    ///
    /// # Errors
    /// As [`Records::begin_removal`]; when the bucket does not answer, it may be removed in part, and is carried on with later.
    pub async fn remove_app(&self, name: &str, now: u64) -> Result<(), Error> {
        let removal = self.begin_removal(name, now).await?;
        self.finish_removal(removal).await.map_err(|error| {
            tracing::warn!(app = name, %error, "a removal is not finished");
            Error::RemovalUnfinished(name.to_owned())
        })
    }

    /// From now on (milliseconds since 1970) there is no such app for anybody, and its name is not free yet. Marked as pending, so that
    /// another manager finds it when this one dies; for who has things to remove elsewhere before [`Records::finish_removal`].
    ///
    /// # Errors
    /// When there is no such app, it has a database still, a release of it is on its way, somebody is removing it, or the bucket does
    /// not answer.
    pub async fn begin_removal(&self, name: &str, now: u64) -> Result<Removal, Error> {
        let key = keys::app(app_name(name)?);
        let renewed = Instant::now();
        without_database(&self.app_or_rest(name).await?.ok_or_else(|| Error::NoApp(name.to_owned()))?)?;
        self.mark_pending(name).await?;
        let remove = |there: Option<&AppRecord>| {
            let there = there.ok_or_else(|| Error::NoApp(name.to_owned()))?;
            without_database(there)?;
            // Here and not before: a release that begins at the same moment would be driven on after its app is gone.
            if let Some(deploying) = &there.deploying {
                return Err(Error::OnItsWay { app: name.to_owned(), number: deploying.release.number });
            }
            if there.removing.is_some_and(|since| !is_left(since, now)) {
                return Err(Error::BeingRemoved(name.to_owned()));
            }
            let record = held(there, now);
            Ok(Next::Write(record.clone(), record))
        };
        let record = self.marked(name, self.documents.change(&key, remove).await).await?;
        self.follow(name).await;
        Ok(Removal { record, renewed, at: now })
    }

    /// What came of a change for which an app was marked: the marker goes when nothing was changed.
    async fn marked<T>(&self, name: &str, changed: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &changed
            && !matches!(error, Error::Undecided { .. } | Error::Unavailable(_))
        {
            self.unmark_pending(name).await;
        }
        changed
    }

    /// Goes on with a removal that somebody has left; `None` where there is none, or somebody is at it.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn take_removal(&self, name: &str, now: u64) -> Result<Option<Removal>, Error> {
        let key = keys::app(app_name(name)?);
        let renewed = Instant::now();
        let take = |there: Option<&AppRecord>| {
            let left = there.filter(|there| there.removing.is_some_and(|since| is_left(since, now)));
            Ok::<_, Error>(match left.map(|there| held(there, now)) {
                Some(record) => Next::Write(record.clone(), Some(record)),
                None => Next::Keep(None),
            })
        };
        let record = self.documents.change(&key, take).await?;
        Ok(record.map(|record| Removal { record, renewed, at: now }))
    }

    /// Makes sure that a removal is still ours, and stays so for a moment. What was found before this call is the removed app's: the
    /// name was not free meanwhile.
    ///
    /// # Errors
    /// When somebody else goes on with it, or the bucket does not answer in time.
    pub async fn hold_removal(&self, removal: &mut Removal) -> Result<(), Error> {
        for _ in 0..RENEWALS {
            let there = self.app_or_rest(removal.app()).await?;
            if there.is_none_or(|there| there.stamp != removal.record.stamp) {
                break;
            }
            if removal.renewed.elapsed() < FRESH {
                return Ok(());
            }
            self.renew(removal).await?;
        }
        Err(Error::RemovalUnfinished(removal.app().to_owned()))
    }

    async fn renew(&self, removal: &mut Removal) -> Result<(), Error> {
        let (now, renewed) = (removal.now(), Instant::now());
        let stamp = &removal.record.stamp;
        let renew = |there: Option<&AppRecord>| {
            let ours = there.filter(|there| there.stamp == *stamp);
            let record = held(ours.ok_or_else(|| Error::RemovalUnfinished(removal.app().to_owned()))?, now);
            Ok::<_, Error>(Next::Write(record.clone(), record))
        };
        let record = self.documents.change(&keys::app(removal.app()), renew).await?;
        *removal = Removal { record, renewed, at: now };
        Ok(())
    }

    /// Deletes objects that are the removed app's, also outside of its folder.
    ///
    /// # Errors
    /// As [`Records::hold_removal`]; some of them may be gone.
    pub async fn delete_in_removal(&self, removal: &mut Removal, keys: &[String]) -> Result<(), Error> {
        for some in keys.chunks(BATCH) {
            self.hold_removal(removal).await?;
            self.documents.delete_all(some).await?;
        }
        Ok(())
    }

    /// Deletes the documents that an app has left, and frees its name.
    ///
    /// # Errors
    /// As [`Records::hold_removal`]; then somebody goes on with it later.
    pub async fn finish_removal(&self, mut removal: Removal) -> Result<(), Error> {
        let name = removal.app().to_owned();
        let key = keys::app(&name);
        // Before the name is free: what edges know of the app must not be the next one's.
        if removal.record.admission != Admission::default() || removal.record.unpublished.is_some() {
            self.publish_admission(&name).await?;
        }
        let tokens = removal.record.tokens.values();
        let mut tokens: Vec<String> = tokens.map(|token| keys::app_token(&token.hash)).collect();
        for sweep in 0.. {
            let mut left = self.documents.list(&keys::app_folder(&name)).await?;
            left.retain(|left| *left != key);
            left.append(&mut tokens);
            if left.is_empty() {
                break;
            }
            if sweep == SWEEPS {
                return Err(Error::RemovalUnfinished(name));
            }
            self.delete_in_removal(&mut removal, &left).await?;
        }
        self.hold_removal(&mut removal).await?;
        self.documents.delete(&key).await?;
        self.follow(&name).await;
        self.unmark_pending(&name).await;
        Ok(())
    }

    /// Deletes what is in the folder of a name that no app has, under the name's own record: somebody else may be about to make the app.
    pub(super) async fn clear_rest(&self, name: &str, by: &str, now: u64) -> Result<(), Error> {
        let renewed = Instant::now();
        let record = held(&new(name, by, now), now);
        self.mark_pending(name).await?;
        let hold = |there: Option<&AppRecord>| match there {
            Some(_) => Err(Error::AppExists(name.to_owned())),
            None => Ok(Next::Write(record.clone(), ())),
        };
        self.marked(name, self.documents.change(&keys::app(name), hold).await).await?;
        self.finish_removal(Removal { record, renewed, at: now }).await
    }
}

/// Whether an app may go: its data go by themselves with nobody's word.
fn without_database(record: &AppRecord) -> Result<(), Error> {
    match (&record.database, record.removing) {
        (Some(_), None) => Err(Error::HasDatabase(record.name.clone())),
        _ => Ok(()),
    }
}

/// The record of an app that `by` makes.
pub(super) fn new(name: &str, by: &str, now: u64) -> AppRecord {
    AppRecord { stamp: random(), ..AppRecord::new(name, by, now) }
}
