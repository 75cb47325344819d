//! Documents with retries: reading them, and changing one of them so that nobody's change is lost and none is made twice.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::join_all;
use futuswarm_retry::{Failure, Policy, retry};
use futuswarm_store::{Bucket, Revision, Store, Swap, Version, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Error;

/// Calls that may be made any number of times.
const CALLS: Policy = Policy {
    first: Duration::from_millis(50),
    cap: Duration::from_secs(1),
    total: Duration::from_secs(20),
    attempt: Duration::from_secs(10),
};
/// A change, with everything that is read and written for it.
const CHANGES: Policy = Policy {
    first: Duration::from_millis(20),
    cap: Duration::from_secs(1),
    total: Duration::from_secs(40),
    attempt: Duration::from_secs(10),
};
/// So many requests at once.
const AT_ONCE: usize = 16;
/// So far back it is looked for a write whose answer was lost.
const LOOKED_BACK: usize = 100;

/// The bucket's documents.
#[derive(Debug, Clone)]
pub(super) struct Documents<B> {
    pub(super) store: Store<B>,
}

/// Makes a call until it succeeds, fails for good, or takes too long.
pub(super) async fn again<T, E, F, Fut>(what: &str, call: F) -> Result<T, Error>
where
    E: Into<Error>,
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    again_as(what, CALLS, call).await
}

/// [`again`], with another patience.
pub(super) async fn again_as<T, E, F, Fut>(what: &str, policy: Policy, call: F) -> Result<T, Error>
where
    E: Into<Error>,
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let attempt = || async {
        call().await.map_err(|error| {
            let error = error.into();
            if error.is_transient() { Failure::Transient(error) } else { Failure::Permanent(error) }
        })
    };
    Ok(retry(what, policy, attempt).await?)
}

/// What no answer means once something was written: perhaps it was.
pub(super) fn in_doubt(key: &str, error: Error) -> Error {
    match error {
        Error::Unavailable(last) => Error::Undecided { key: key.to_owned(), last },
        error => error,
    }
}

impl<B: Bucket> Documents<B> {
    /// The document, or `None` where there is none. That is not believed before a listing says so, too: in the minutes after versioning
    /// was enabled, S3 may deny what is there.
    pub(super) async fn look<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, Error> {
        again(key, || async {
            if let Some(document) = self.store.peek(key).await? {
                return Ok(Some(document));
            }
            match self.store.list_entries(key).await?.iter().any(|entry| entry.key == key) {
                true => Err(futuswarm_store::Error::Vanished { key: key.to_owned() }),
                false => Ok(None),
            }
        })
        .await
    }

    /// The document as it was at a version that a listing has named.
    pub(super) async fn look_version<T: DeserializeOwned>(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Versioned<T>, Error> {
        again(key, || async {
            let document = self.store.peek_version(key, version).await?;
            document.ok_or_else(|| futuswarm_store::Error::Vanished { key: key.to_owned() })
        })
        .await
    }

    /// Many documents in the order of their keys; those that are not there are left out.
    pub(super) async fn look_at_all<T: DeserializeOwned>(&self, keys: &[String]) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for some in keys.chunks(AT_ONCE) {
            let mut asked = Vec::new();
            for key in some {
                asked.push(self.look::<T>(key));
            }
            for document in join_all(asked).await {
                all.extend(document?.map(|document| document.value));
            }
        }
        Ok(all)
    }

    /// Many older versions of one document, which a listing has named, in the order given.
    pub(super) async fn look_at_versions<T: DeserializeOwned>(
        &self,
        key: &str,
        versions: &[&str],
    ) -> Result<Vec<Versioned<T>>, Error> {
        let mut all = Vec::new();
        for some in versions.chunks(AT_ONCE) {
            let mut asked = Vec::new();
            for version in some {
                asked.push(self.look_version::<T>(key, version));
            }
            for document in join_all(asked).await {
                all.push(document?);
            }
        }
        Ok(all)
    }

    pub(super) async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        again(key, || self.store.versions(key, limit)).await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        again(prefix, || self.store.list(prefix)).await
    }

    pub(super) async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        again(prefix, || self.store.list_folders(prefix)).await
    }

    /// Writes whatever is there; for documents that nobody changes.
    pub(super) async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<Revision, Error> {
        again(key, || self.store.put(key, value)).await.map_err(|error| in_doubt(key, error))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        again(key, || self.store.delete(key)).await.map_err(|error| in_doubt(key, error))
    }

    pub(super) async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        let Some(first) = keys.first() else { return Ok(()) };
        again(first, || self.store.delete_all(keys)).await.map_err(|error| in_doubt(first, error))
    }

    /// Deletes a document if it is still at this version.
    pub(super) async fn take_back<T: DeserializeOwned>(&self, key: &str, revision: &Revision) -> Result<(), Error> {
        match self.look::<T>(key).await? {
            Some(document) if document.version == revision.version => self.delete(key).await,
            _ => Ok(()),
        }
    }
}

/// One change of one document: it is read, decided on, and written on the condition that it is still what was read; again and again,
/// until it is written.
///
/// An answer that is lost is no refusal: the write may have been applied, and somebody else may have written after that. So what was
/// written is looked for among the versions before the change is decided on again. For that, what different writers write must differ.
pub(super) struct Writing<'a, B, T, R> {
    documents: &'a Documents<B>,
    key: &'a str,
    open: Vec<Attempt<T, R>>,
    /// Whether making the change twice is as good as making it once, so that nobody has to look into the past.
    repeatable: bool,
    began: Instant,
    attempts: u32,
    /// The last failure that left it open whether the write was applied; `None` after a refusal.
    failure: Option<String>,
}

/// A write of which it is not known whether it was applied.
struct Attempt<T, R> {
    value: T,
    result: R,
    /// The version that it was to replace; `None` for nothing.
    base: Option<String>,
}

/// A write that was applied.
pub(super) struct Written<T, R> {
    pub(super) value: T,
    /// What the change was decided with.
    pub(super) result: R,
    pub(super) revision: Revision,
}

/// What is to be done next.
pub(super) enum Turn<T, R> {
    /// To decide on what is there.
    Decide(Option<Versioned<T>>),
    /// Nothing: an earlier write was applied.
    Written(Written<T, R>),
}

impl<'a, B: Bucket, T, R> Writing<'a, B, T, R>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    pub(super) fn new(documents: &'a Documents<B>, key: &'a str) -> Self {
        let (open, began) = (Vec::new(), Instant::now());
        Self { documents, key, open, repeatable: false, began, attempts: 0, failure: None }
    }

    /// For a change that is decided on again from other documents, however often that happens.
    pub(super) fn repeatable(documents: &'a Documents<B>, key: &'a str) -> Self {
        Self { repeatable: true, ..Self::new(documents, key) }
    }

    /// Reads the document.
    pub(super) async fn turn(&mut self) -> Result<Turn<T, R>, Error> {
        let turn = self.look().await;
        turn.map_err(|error| self.in_doubt(error))
    }

    /// What a failure means now.
    pub(super) fn in_doubt(&self, error: Error) -> Error {
        if self.open.is_empty() { error } else { in_doubt(self.key, error) }
    }

    async fn look(&mut self) -> Result<Turn<T, R>, Error> {
        let current = self.documents.look::<T>(self.key).await?;
        let Some(base) = self.open.first().map(|attempt| attempt.base.clone()) else {
            return Ok(Turn::Decide(current));
        };
        if let Some(current) = &current
            && let Some(written) = self.ours(current)
        {
            return Ok(Turn::Written(written));
        }
        let version = current.as_ref().map(|current| current.version.clone());
        if version == base {
            return Ok(Turn::Decide(current));
        }
        let past = match self.repeatable {
            true => Vec::new(),
            false => self.documents.versions(self.key, LOOKED_BACK).await?,
        };
        for past in past {
            if Some(&past.version) == base.as_ref() {
                break;
            }
            if past.deleted || Some(&past.version) == version.as_ref() {
                continue;
            }
            match self.documents.look_version::<T>(self.key, &past.version).await {
                Ok(past) => {
                    if let Some(written) = self.ours(&past) {
                        return Ok(Turn::Written(written));
                    }
                }
                // Not what we write, so not ours.
                Err(Error::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // What they were to replace is not there any more, so they cannot be applied later either.
        self.open.clear();
        Ok(Turn::Decide(current))
    }

    fn ours(&mut self, there: &Versioned<T>) -> Option<Written<T, R>> {
        let at = self.open.iter().position(|attempt| attempt.value == there.value)?;
        let Attempt { value, result, .. } = self.open.swap_remove(at);
        let revision = Revision { etag: there.etag.clone(), version: there.version.clone() };
        Some(Written { value, result, revision })
    }

    /// Writes `value` in the place of `base`; `None` where [`Writing::turn`] has to be asked what came of it.
    pub(super) async fn write(
        &mut self,
        value: T,
        result: R,
        base: Option<&Versioned<T>>,
    ) -> Result<Option<Written<T, R>>, Error> {
        let etag = base.map(|base| base.etag.as_str());
        let swap = tokio::time::timeout(CHANGES.attempt, self.documents.store.swap(self.key, &value, etag)).await;
        self.failure = match swap {
            Ok(Ok(Swap::Applied(revision))) => return Ok(Some(Written { value, result, revision })),
            Ok(Ok(Swap::Refused(_))) => None,
            Ok(Err(error)) if error.is_transient() => Some(error.to_string()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => Some(format!("no answer within {} s", CHANGES.attempt.as_secs())),
        };
        let version = base.map(|base| base.version.clone());
        self.open.retain(|attempt| attempt.base == version);
        self.open.push(Attempt { value, result, base: version });
        let delay = CHANGES.delay(self.attempts);
        self.attempts += 1;
        if self.began.elapsed() + delay > CHANGES.total {
            return self.end().await.map(Some);
        }
        tracing::debug!(key = self.key, attempts = self.attempts, failure = self.failure, "will read it again");
        tokio::time::sleep(delay).await;
        Ok(None)
    }
}

impl<B: Bucket, T, R> Writing<'_, B, T, R>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    /// A last look at what came of it.
    async fn end(&mut self) -> Result<Written<T, R>, Error> {
        let looked = self.turn().await;
        let (key, attempts) = (self.key.to_owned(), self.attempts);
        match looked {
            Ok(Turn::Written(written)) => Ok(written),
            Ok(Turn::Decide(_)) if self.open.is_empty() => Err(Error::Busy { key, attempts }),
            Ok(Turn::Decide(_)) => {
                let last = self.failure.take().unwrap_or_else(|| "the bucket refuses the write".to_owned());
                Err(Error::Undecided { key, last })
            }
            Err(error) => Err(error),
        }
    }
}

/// What a decision makes of a document.
pub(super) enum Next<T, R> {
    /// This, in its place.
    Write(T, R),
    /// Nothing: it stays as it is.
    Keep(R),
}

impl<B: Bucket> Documents<B> {
    /// Changes a document as `decide` says of what is there, which is asked again when somebody else was faster.
    pub(super) async fn change<T, R, E>(
        &self,
        key: &str,
        mut decide: impl FnMut(Option<&T>) -> Result<Next<T, R>, E> + Send,
    ) -> Result<R, E>
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
        E: From<Error>,
    {
        let mut writing = Writing::new(self, key);
        loop {
            let base = match writing.turn().await? {
                Turn::Written(written) => return Ok(written.result),
                Turn::Decide(base) => base,
            };
            let (value, result) = match decide(base.as_ref().map(|base| &base.value))? {
                Next::Keep(result) => return Ok(result),
                Next::Write(value, result) => (value, result),
            };
            if let Some(written) = writing.write(value, result, base.as_ref()).await? {
                return Ok(written.result);
            }
        }
    }
}
