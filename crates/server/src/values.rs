//! Requests about an app's config and secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futuswarm_model::{Progress, Release, keys};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_paas::config::{self, ConfigError, dotenv};
use futuswarm_rpc::message::{Answer, Changed, Deployment, Kind, Request, Value, Values, Version, Wait};

use crate::client::Client;
use crate::clock::Clock as _;
use crate::records;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, deploy};

#[cfg(test)]
mod tests;

/// The longest secret (Swarm's limit, 500 KiB).
const LONGEST_SECRET: usize = 500 << 10;
/// The longest name of a secret (Docker's limit), in bytes.
const LONGEST_SECRET_KEY: usize = 64;
/// All secrets of an app together, so that one document stays one that is read at once.
const LARGEST_SECRETS: usize = 8 << 20;
/// The most versions that are shown at once.
const MOST_VERSIONS: u32 = 200;

/// Values of a document by their keys, opened.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

impl From<Kind> for records::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Config => Self::Config,
            Kind::Secrets => Self::Secrets,
        }
    }
}

/// Names, and values where they are wanted.
pub(crate) async fn show<P: Platform>(
    control: &Control<P>,
    app: &str,
    kind: Kind,
    show: bool,
    key: Option<&str>,
    version: Option<&str>,
) -> Result<Answer, Refused> {
    control.existing(app).await?;
    let document = control.document(app, kind, version).await?;
    let (version, mut content) = document.map_or((None, Content::new()), |(version, content)| (Some(version), content));
    if let Some(key) = key {
        let value = content.remove(key);
        let value = value.ok_or_else(|| Refused::not_found(format!("{app} has no {} {key}", word(kind))))?;
        content = Content::from([(key.to_owned(), value)]);
    }
    let values = content.into_iter().map(|(key, value)| (key, show.then(|| Value::from(value)))).collect();
    Ok(Answer::Values(Values { app: app.to_owned(), kind, version, values }))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Config => "config key",
        Kind::Secrets => "secret",
    }
}

/// What is to be set and removed.
struct Change {
    set: Content,
    unset: BTreeSet<String>,
    /// Whether keys that are not set are removed.
    replace: bool,
}

impl Change {
    /// Keys that it is about; `None` for all that there are.
    fn named(&self) -> Option<BTreeSet<String>> {
        (!self.replace).then(|| self.set.keys().chain(&self.unset).cloned().collect())
    }

    /// Whether it can be made at all. What cannot be made begins no app.
    fn check(&self, app: &str, kind: Kind) -> Result<(), Refused> {
        match (self.set.is_empty(), self.replace) {
            (true, true) => {
                let command = if kind == Kind::Config { "config" } else { "secret" };
                Err(Refused::usage(format!(
                    "there is no KEY=value line in what was read, and with `--replace` every key would be removed; nothing was changed: `futuswarm {command}:unset -a {app} KEY` removes keys"
                )))
            }
            (true, false) if self.unset.is_empty() => Err(Refused::usage("nothing was said to be set or removed")),
            _ => with(kind, &Content::new(), &self.set).map(drop),
        }
    }
}

/// Changes a document, and makes a release with it unless the app has none or it shall wait for the next.
pub(crate) async fn change<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    request: Request,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let Request::Change { app, kind, set, unset, dotenv, replace, stage, wait } = request else {
        return Err(Refused::usage("this is no change of a config"));
    };
    let change = Change { set: content(set, dotenv)?, unset, replace };
    change.check(&app, kind)?;
    let verb = match kind {
        Kind::Config => Verb::WriteConfig,
        Kind::Secrets => Verb::WriteSecrets,
    };
    let is_new = match change.set.is_empty() {
        // Where there is no app, there is nothing to be removed from one.
        true => control.existing(&app).await.map(|_| false)?,
        false => control.begin(&app, actor, verb, client).await?,
    };
    let written = write(control, actor, &app, kind, &change).await;
    let Written { version, mut keys } = written.map_err(|refused| not_set(refused, is_new, &app, kind))?;
    // Tasks may be without what was set earlier: its manager died before there was a release, or it was staged, or put back.
    if keys.is_empty() && !stage {
        keys = behind(control, &app, kind, change.named().as_ref()).await?;
    }
    let deployment = match stage || keys.is_empty() {
        true => None,
        false => release(control, actor, verb, &app, wait, client).await?,
    };
    Ok(Answer::Changed(Changed { app, kind, version, keys, deployment }))
}

/// Why values are not set, which says so when the app was made for them.
pub(crate) fn not_set(refused: Refused, is_new: bool, app: &str, kind: Kind) -> Refused {
    let kind = records::Kind::from(kind);
    match is_new {
        true => refused.after(&format!("{app} is a new app now, and setting its {kind} has failed")),
        false => refused,
    }
}

/// How keys differ between what the app runs with and what counts now, of those that are named or of all. None do where it has no release.
pub(crate) async fn behind<P: Platform>(
    control: &Control<P>,
    app: &str,
    kind: Kind,
    named: Option<&BTreeSet<String>>,
) -> Result<BTreeMap<String, String>, Refused> {
    let record = control.existing(app).await?;
    let Some(release) = deploy::current(control, Some(&record)).await? else { return Ok(BTreeMap::new()) };
    let runs = match kind {
        Kind::Config => release.config,
        Kind::Secrets => release.secrets,
    };
    let (version, counts) = control.document(app, kind, None).await?.unzip();
    if version == runs {
        return Ok(BTreeMap::new());
    }
    let runs = match runs {
        Some(version) => control.opened(app, kind, &version).await?,
        None => Content::new(),
    };
    let mut keys = differences(&runs, &counts.unwrap_or_default());
    keys.retain(|key, _| named.is_none_or(|named| named.contains(key)));
    Ok(keys)
}

/// What a change of a document has come to.
pub(crate) struct Written {
    /// The version that counts now.
    pub(crate) version: Option<String>,
    /// Keys and how they changed.
    pub(crate) keys: BTreeMap<String, String>,
}

/// Sets values of an app that is there, all of them or none, and leaves its other values as they are.
pub(crate) async fn set<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    kind: Kind,
    set: Content,
) -> Result<Written, Refused> {
    write(control, actor, app, kind, &Change { set, unset: BTreeSet::new(), replace: false }).await
}

async fn write<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    kind: Kind,
    change: &Change,
) -> Result<Written, Refused> {
    let (by, now) = (actor.to_string(), control.clock.unix_millis());
    let changed = control.records.change_values(app, keys::DEFAULT_ENVIRONMENT, kind.into(), &by, now, |before| {
        let after = changed(kind, &bytes(before), change)?;
        Ok::<_, Refused>(after.into_iter().map(|(key, value)| (key, value.into())).collect())
    });
    let changed = changed.await?;
    let (version, after) = match changed.after {
        Some(document) => (Some(document.version), bytes(&document.values)),
        None => (None, Content::new()),
    };
    Ok(Written { version, keys: differences(&bytes(&changed.before), &after) })
}

/// A release of what the app runs with and the values that count now; `None` for an app that has no release yet.
pub(crate) async fn release<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    wait: Wait,
    client: &mut Client,
) -> Result<Option<Deployment>, Refused> {
    let record = control.existing(app).await?;
    if record.release.is_none() {
        return Ok(None);
    }
    let wait = Wait { for_lock: wait.for_lock.or(Some(PATIENCE)), ..wait };
    let kept = |refused: Refused| {
        refused.after(&format!(
            "what was changed is kept, and tasks of {app} get it with the next deployment or change, or when the same command is given again"
        ))
    };
    let under_way = match record.deploying {
        Some(deploying) => brings_values(control, &deploying.release).await.map_err(kept)?.then_some(deploying.release),
        None => None,
    };
    let released = match under_way {
        // Its own, after a request that was cut, or one that was begun since: another one would only replace all tasks once more.
        Some(release) if wait.detach => Ok(deploy::deployment(control, &release, record.release)),
        Some(release) => deploy::watch(control, app, release.number, record.release, client).await,
        None => deploy::with_values(control, actor, verb, app, &wait, client).await,
    };
    released.map(Some).map_err(kept)
}

/// Whether a release that is on its way has the values that count now, and is not about to be put back.
async fn brings_values<P: Platform>(control: &Control<P>, release: &Release) -> Result<bool, Refused> {
    let goes_on =
        matches!(release.progress, Progress::Preparing | Progress::Updating { .. } | Progress::Announcing { .. });
    if !goes_on || release.cancelled || release.superseded {
        return Ok(false);
    }
    Ok(release.config == control.version(&release.app, Kind::Config).await?
        && release.secrets == control.version(&release.app, Kind::Secrets).await?)
}

/// A change is made already when its release has to wait for another: so many seconds, since nobody wants to say it again.
const PATIENCE: u32 = 900;

fn content(set: BTreeMap<String, Value>, dotenv: Option<Value>) -> Result<Content, Refused> {
    let mut content: Content = set.into_iter().map(|(key, value)| (key, value.bytes().to_vec())).collect();
    if let Some(file) = dotenv {
        let text = file.text().ok_or_else(|| Refused::usage("the file of KEY=value lines is not UTF-8"))?;
        let lines = |errors: Vec<dotenv::DotenvError>| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Refused::usage(format!("the file of KEY=value lines cannot be used:\n{}", lines.join("\n")))
        };
        for (key, value) in dotenv::parse(text).map_err(lines)? {
            // What was said beside the file counts.
            content.entry(key).or_insert_with(|| value.into_bytes());
        }
    }
    Ok(content)
}

fn changed(kind: Kind, before: &Content, change: &Change) -> Result<Content, Refused> {
    let kept = |key: &String| !change.unset.contains(key) && (!change.replace || change.set.contains_key(key));
    let mut after: Content =
        before.iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    after.extend(change.set.clone());
    match kind {
        Kind::Config => check_config(&change.set, &after)?,
        Kind::Secrets => check_secrets(&change.set, &after)?,
    }
    Ok(after)
}

/// What a document would be with these values set, if it may be that.
pub(crate) fn with(kind: Kind, before: &Content, set: &Content) -> Result<Content, Refused> {
    changed(kind, before, &Change { set: set.clone(), unset: BTreeSet::new(), replace: false })
}

/// Why a value cannot be set, in words that it is not in.
pub(crate) fn problem(kind: Kind, key: &str, value: &[u8]) -> Option<String> {
    let one = Content::from([(key.to_owned(), value.to_vec())]);
    with(kind, &Content::new(), &one).err().map(|refused| refused.to_string())
}

fn check_config(set: &Content, after: &Content) -> Result<(), Refused> {
    for (key, value) in set {
        config::check_key(key).map_err(Refused::usage)?;
        if std::str::from_utf8(value).is_err() {
            return Err(Refused::usage(format!(
                "{key}: the value is not UTF-8; `futuswarm secret:set` takes any bytes and makes a file of them"
            )));
        }
    }
    let text = |content: &Content| -> config::Values {
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        content.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    };
    let change = config::Change { set: text(set), unset: BTreeSet::new() };
    config::changed(&text(after), &change).map_err(Refused::usage)?;
    Ok(())
}

/// Secrets are files under `/run/secrets`, and may be called as Docker's secrets are. No name leads out of the folder, is hidden in it, or
/// looks like an option.
fn check_secret_key(key: &str) -> Result<(), Refused> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_in_bounds = (1..=LONGEST_SECRET_KEY).contains(&key.len());
    if !is_in_bounds || key.starts_with(['.', '-']) || !key.chars().all(inside) {
        return Err(Refused::usage(format!(
            "{key:?} is no name of a secret, which is a file: letters, digits, '_', '.' and '-', at most {LONGEST_SECRET_KEY}, not beginning with '.' or '-'"
        )));
    }
    match config::check_key(key) {
        // It need not be a variable's.
        Ok(()) | Err(ConfigError::Key(_)) => Ok(()),
        Err(reserved) => Err(Refused::usage(reserved)),
    }
}

pub(crate) fn check_secrets(set: &Content, after: &Content) -> Result<(), Refused> {
    for (key, value) in set {
        check_secret_key(key)?;
        if value.is_empty() {
            return Err(Refused::usage(format!(
                "{key}: a secret cannot be empty, as the Swarm keeps none of no bytes"
            )));
        }
        if value.len() > LONGEST_SECRET {
            return Err(Refused::usage(format!(
                "{key}: a secret of {} bytes is too long; {LONGEST_SECRET} fit",
                value.len()
            )));
        }
    }
    let length: usize = after.iter().map(|(key, value)| key.len() + value.len()).sum();
    match length <= LARGEST_SECRETS {
        true => Ok(()),
        false => {
            Err(Refused::usage(format!("all secrets together would be {length} bytes long; {LARGEST_SECRETS} fit")))
        }
    }
}

pub(crate) fn differences(before: &Content, after: &Content) -> BTreeMap<String, String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let difference = |key: &String| match (before.get(key), after.get(key)) {
        (None, Some(_)) => Some("added"),
        (Some(_), None) => Some("removed"),
        (before, after) => (before != after).then_some("changed"),
    };
    keys.into_iter().filter_map(|key| Some((key.clone(), difference(key)?.to_owned()))).collect()
}

/// Versions of a document.
pub(crate) async fn history<P: Platform>(
    control: &Control<P>,
    app: &str,
    kind: Kind,
    limit: u32,
) -> Result<Answer, Refused> {
    control.existing(app).await?;
    let limit = limit.clamp(1, MOST_VERSIONS) as usize;
    let past = control.records.history(app, keys::DEFAULT_ENVIRONMENT, kind.into(), limit).await;
    let version =
        |past: records::Past| Version { number: past.number, version: past.version, by: past.by, at: past.at };
    Ok(Answer::History(past.map_err(Error::from)?.into_iter().map(version).collect()))
}

/// Keys that differ between two versions.
pub(crate) async fn compare<P: Platform>(
    control: &Control<P>,
    app: &str,
    kind: Kind,
    from: &str,
    to: Option<&str>,
) -> Result<Answer, Refused> {
    control.existing(app).await?;
    let (_, before) = control.document(app, kind, Some(from)).await?.unwrap_or_default();
    let (_, after) = control.document(app, kind, to).await?.unwrap_or_default();
    Ok(Answer::KeyDifferences(differences(&before, &after)))
}

impl<P: Platform> Control<P> {
    /// The version of a document that counts now.
    pub(crate) async fn version(&self, app: &str, kind: Kind) -> Result<Option<String>, Refused> {
        let past = self.records.history(app, keys::DEFAULT_ENVIRONMENT, kind.into(), 1).await.map_err(Error::from)?;
        Ok(past.into_iter().next().map(|past| past.version))
    }

    /// A document, opened, with its version; `None` where there is none, which for a version that was named is a refusal.
    pub(crate) async fn document(
        &self,
        app: &str,
        kind: Kind,
        version: Option<&str>,
    ) -> Result<Option<(String, Content)>, Refused> {
        let found = self.records.values(app, keys::DEFAULT_ENVIRONMENT, kind.into(), version).await;
        let found = found.map_err(Error::from)?;
        if let (None, Some(version)) = (&found, version) {
            return Err(Refused::not_found(format!(
                "{app} has no version {version} of its {}; `futuswarm config:history` lists them",
                word(kind)
            )));
        }
        Ok(found.map(|document| (document.version, bytes(&document.values))))
    }

    /// A version that a release names.
    pub(crate) async fn opened(&self, app: &str, kind: Kind, version: &str) -> Result<Content, Error> {
        let found = self.records.values(app, keys::DEFAULT_ENVIRONMENT, kind.into(), Some(version)).await?;
        let found = found.ok_or_else(|| Error::Missing(format!("version {version} of the {} of {app}", word(kind))))?;
        Ok(bytes(&found.values))
    }
}

pub(crate) fn bytes(values: &records::Values) -> Content {
    values.iter().map(|(key, value)| (key.clone(), value.bytes().to_vec())).collect()
}
