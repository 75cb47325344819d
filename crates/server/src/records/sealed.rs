//! Config and secrets of an app: sealed documents, of which every version is kept.

use std::fmt;

use futuswarm_model::{app_name, keys};
use futuswarm_store::{Bucket, Revision, Versioned};
use futuswarm_vault::{DataKeys, DocumentContext, Head, SealedDocument, document};
use serde::{Deserialize, Serialize};

use super::documents::{Turn, Writing, again, in_doubt};
use super::{Error, Records, Values};

/// What is sealed says with which version of the program it was made, for one that reads it differently.
const FORMAT: Format = Format::One;
/// So many versions of a document are looked through, a request for each thousand.
const LIFE: usize = 20_000;
/// So many versions are in memory at once to tell a history: each may hold all secrets of an app, and only its head is kept.
const TOLD_AT_ONCE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "1")]
    One,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: Format,
    values: Values,
}

/// What is sealed of these values, as bytes.
///
/// # Errors
/// When they are no JSON, which no values are.
pub fn write_content(values: &Values) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Content { format: FORMAT, values: values.clone() })
}

/// The values in what [`write_content`] has written, and in every document that was opened.
///
/// # Errors
/// When it is something else.
pub fn read_content(bytes: &[u8]) -> Result<Values, serde_json::Error> {
    Ok(serde_json::from_slice::<Content>(bytes)?.values)
}

/// Which of an app's documents is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Environment variables.
    Config,
    /// Files under `/run/secrets`.
    Secrets,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Config => "config",
            Self::Secrets => "secrets",
        })
    }
}

/// A version of a document, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// All of them.
    pub values: Values,
    /// Who made it and when, which the seal covers, too.
    pub head: Head,
    /// Names it in releases and in later questions.
    pub version: String,
}

/// What a change of a document has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesChange {
    /// Those that the change was decided on.
    pub before: Values,
    /// What counts now; `None` where there was no document and none was needed.
    pub after: Option<Document>,
}

/// A version of a document as its history tells it. It is as the bucket says: only opening proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Counts the versions, from 1.
    pub number: u64,
    /// For [`Records::values`].
    pub version: String,
    /// A user or token.
    pub by: String,
    /// When it was made, in milliseconds since 1970.
    pub at: u64,
}

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// The values that count, or those of an older version: one read and one request to KMS, and one more for an older version. `None`
    /// where there are none. The app itself is not asked for.
    ///
    /// # Errors
    /// When bucket or KMS do not answer, the document is another than it should be, or it has no such version.
    pub async fn values(
        &self,
        app: &str,
        environment: &str,
        kind: Kind,
        version: Option<&str>,
    ) -> Result<Option<Document>, Error> {
        let (key, context) = self.place(app, environment, kind)?;
        let sealed = match version {
            None => self.documents.look(&key).await?,
            Some(version) => Some(self.older(&key, &context, version).await?),
        };
        let Some(sealed) = sealed else { return Ok(None) };
        let values = self.open(&context, &sealed.value).await?;
        Ok(Some(Document { values, head: sealed.value.head, version: sealed.version }))
    }

    /// Changes the values, all of it or nothing. `change` is asked again, with the values as they are then, when somebody else was
    /// faster; values that it leaves as they are are not written.
    ///
    /// # Errors
    /// What `change` returns; when there is no such app, bucket or KMS do not answer, or the document is another than it should be.
    pub async fn change_values<E: From<Error> + Send>(
        &self,
        app: &str,
        environment: &str,
        kind: Kind,
        who: &str,
        now: u64,
        mut change: impl FnMut(&Values) -> Result<Values, E> + Send,
    ) -> Result<ValuesChange, E> {
        let (key, context) = self.place(app, environment, kind)?;
        let record = self.need_app(app).await?;
        let mut writing = Writing::new(&self.documents, &key);
        let written = loop {
            let base: Option<Versioned<SealedDocument>> = match writing.turn().await? {
                Turn::Written(written) => break written,
                Turn::Decide(base) => base,
            };
            let before = match &base {
                Some(base) => self.open(&context, &base.value).await.map_err(|error| writing.in_doubt(error))?,
                None => Values::new(),
            };
            let after = change(&before)?;
            if after == before {
                let document = |base: Versioned<SealedDocument>| Document {
                    values: after,
                    head: base.value.head,
                    version: base.version,
                };
                return Ok(ValuesChange { before, after: base.map(document) });
            }
            let version = base.as_ref().map_or(1, |base| base.value.head.version.saturating_add(1));
            let head = Head { version, changed_by: who.to_owned(), changed_at: now };
            let content = Content { format: FORMAT, values: after };
            let seal = || document::seal(&self.data_keys, &self.key, &context, head.clone(), &content);
            let sealed = again(&context.to_string(), seal).await.map_err(|error| writing.in_doubt(error))?;
            if let Some(written) = writing.write(sealed, (before, content.values), base.as_ref()).await? {
                break written;
            }
        };
        let same = self.still_the_same(&record.name, record.created_at, &key, &written.revision).await;
        same.map_err(|error| in_doubt(&key, error))?;
        let (before, values) = written.result;
        let after = Document { values, head: written.value.head, version: written.revision.version };
        Ok(ValuesChange { before, after: Some(after) })
    }

    /// Takes back what was just written if the app was removed meanwhile: another one of its name must not begin with it.
    async fn still_the_same(&self, app: &str, since: u64, key: &str, revision: &Revision) -> Result<(), Error> {
        if self.app(app).await?.is_some_and(|record| record.created_at == since) {
            return Ok(());
        }
        self.documents.take_back::<SealedDocument>(key, revision).await?;
        Err(Error::NoApp(app.to_owned()))
    }

    /// The versions of a document, newest first, so many at most, and none from before the app was made.
    ///
    /// # Errors
    /// When the bucket does not answer, or a version cannot be read.
    pub async fn history(&self, app: &str, environment: &str, kind: Kind, limit: usize) -> Result<Vec<Past>, Error> {
        let (key, _) = self.place(app, environment, kind)?;
        // Deletions of earlier apps of the name stand in between.
        let all = self.documents.versions(&key, limit.saturating_mul(2).saturating_add(16)).await?;
        if all.first().is_none_or(|newest| newest.deleted) {
            return Ok(Vec::new());
        }
        let versions: Vec<&str> =
            all.iter().filter(|version| !version.deleted).map(|version| version.version.as_str()).take(limit).collect();
        let mut history: Vec<Past> = Vec::new();
        for some in versions.chunks(TOLD_AT_ONCE) {
            for document in self.documents.look_at_versions::<SealedDocument>(&key, some).await? {
                let head = document.value.head;
                // Versions are counted from 1 in each app: what does not count down is an earlier one's.
                if history.last().is_some_and(|newer| newer.number != head.version.saturating_add(1)) {
                    return Ok(history);
                }
                history.push(Past {
                    number: head.version,
                    version: document.version,
                    by: head.changed_by,
                    at: head.changed_at,
                });
            }
        }
        Ok(history)
    }

    /// A version that the document has had since the app was made.
    async fn older(
        &self,
        key: &str,
        context: &DocumentContext,
        version: &str,
    ) -> Result<Versioned<SealedDocument>, Error> {
        let none = || Error::NoVersion { what: context.to_string(), version: version.to_owned() };
        let all = self.documents.versions(key, LIFE).await?;
        let newer = all.iter().position(|one| one.version == version && !one.deleted).ok_or_else(none)?;
        let document = self.documents.look_version::<SealedDocument>(key, version).await?;
        if !all.iter().take(newer).any(|one| one.deleted) {
            return Ok(document);
        }
        // It may have been deleted in the second in which it was written, or before: the numbers say which.
        let newest = all.first().filter(|newest| !newest.deleted).ok_or_else(none)?;
        let newest = self.documents.look_version::<SealedDocument>(key, &newest.version).await?;
        let newer = all.iter().take(newer).filter(|one| !one.deleted).count();
        let newer = u64::try_from(newer).unwrap_or(u64::MAX);
        let count = newest.value.head.version;
        if newer < count && document.value.head.version.saturating_add(newer) == count {
            return Ok(document);
        }
        Err(none())
    }

    async fn open(&self, context: &DocumentContext, sealed: &SealedDocument) -> Result<Values, Error> {
        let open = || document::open::<Content>(&self.data_keys, &self.key, context, sealed);
        Ok(again(&context.to_string(), open).await?.values)
    }

    fn place(&self, app: &str, environment: &str, kind: Kind) -> Result<(String, DocumentContext), Error> {
        let (app, environment) = (app_name(app)?, app_name(environment)?);
        let key = match kind {
            Kind::Config => keys::config(app, environment),
            Kind::Secrets => keys::secrets(app, environment),
        };
        let context = DocumentContext {
            cluster: self.cluster.clone(),
            app: app.to_owned(),
            environment: environment.to_owned(),
            kind: kind.to_string(),
        };
        Ok((key, context))
    }
}
