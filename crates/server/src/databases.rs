//! Requests about an app's database.
//!
//! What there is on the server is made and removed step by step, and each step may be repeated: whatever breaks off is finished by asking
//! for it again. Whoever changes something holds a lease in the app's record meanwhile ([`lease`]), so that what one has told the server
//! and written into the secrets is not mixed with what another has. The record names the database from before it is made until after it is
//! dropped; as long as it does, the app is not removed.

mod backups;
mod ending;
mod free;
mod lease;
mod parts;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_database::{DATABASE_KEYS, Databases as _, Login, Names, USER_KEY, password, variables};
use futuswarm_model::{AppRecord, keys};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Changed, Database, Event, Kind, Wait};
use futuswarm_secret::Secret;
use tokio::time::timeout;

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::values::{self, Content};
use crate::{Control, Error, Platform, deploy, records};

pub(crate) use backups::{back_up, restore};
pub(crate) use ending::end;
pub(crate) use session::open;

use free::until_free;
use lease::{Claim, leased};

/// So long the server is looked at for somebody who wants to see what there is. Their command line waits for two minutes.
const GLANCE: Duration = Duration::from_secs(15);

/// The words of a record that names no database.
fn none(app: &str) -> Refused {
    Refused::not_found(format!("{app} has no database: `futuswarm db:create {app}` makes one"))
}

/// Eight hexadecimal digits that tell names apart. Nothing is protected by them.
fn random() -> String {
    format!("{:08x}", fastrand::u32(..))
}

/// What the server says within a while. It may be away: that keeps nobody from seeing what is in the bucket.
async fn glance<T>(
    client: &Client,
    asked: impl Future<Output = Result<T, futuswarm_database::Error>>,
) -> Result<Option<T>, Refused> {
    let why = match timeout(GLANCE, asked).await {
        Ok(Ok(said)) => return Ok(Some(said)),
        Ok(Err(futuswarm_database::Error::NoServer)) => return Ok(None),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the database server has not answered for {} s", GLANCE.as_secs()),
    };
    let text = format!("what is on the server is not shown, and backups are in the bucket: {why}");
    client.send(&Event::Note { text }).await?;
    Ok(None)
}

/// What an app has, and its backups.
pub(crate) async fn show<P: Platform>(
    control: &Control<P>,
    record: AppRecord,
    client: &Client,
) -> Result<Answer, Refused> {
    let names = Names::of(&record.name);
    let endpoint = glance(client, control.databases.endpoint()).await?;
    let server = endpoint.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port));
    let state = match (&record.database, &server) {
        (Some(_), Some(_)) => glance(client, control.databases.state(&names)).await?.flatten(),
        _ => None,
    };
    for (replaced, bytes) in state.iter().flat_map(|state| &state.replaced) {
        let text = format!(
            "what the last db:restore has replaced is kept as {replaced} ({} MB) until the next db:restore or db:drop: `\\connect {replaced}` in `futuswarm db:psql {}` reaches it",
            bytes.div_ceil(1_000_000),
            record.name
        );
        client.send(&Event::Note { text }).await?;
    }
    let login = in_secrets(control, &record.name, &names).await?.map(|login| names.login(login));
    let logins = state.iter().flat_map(|state| state.logins.iter().map(|login| names.login(*login)));
    Ok(Answer::Database(Database {
        database: state.as_ref().map(|_| names.database().to_owned()),
        bytes: state.as_ref().map(|state| state.bytes),
        logins: logins.collect(),
        server,
        login,
        created_by: record.database.as_ref().map(|database| database.by.clone()),
        created_at: record.database.as_ref().map(|database| database.created_at),
        backups: backups::list(control, &record).await?,
        app: record.name,
    }))
}

/// The app's login that a document names.
fn login_in(names: &Names, content: &Content) -> Option<Login> {
    content.get(USER_KEY).and_then(|role| names.login_of(std::str::from_utf8(role).ok()?))
}

/// The login in the secrets that count.
async fn in_secrets<P: Platform>(control: &Control<P>, app: &str, names: &Names) -> Result<Option<Login>, Refused> {
    let document = control.document(app, Kind::Secrets, None).await?;
    Ok(document.and_then(|(_, content)| login_in(names, &content)))
}

/// Makes a database with a login, and tells the app.
pub(crate) async fn create<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    wait: Wait,
    client: &mut Client,
) -> Result<Answer, Refused> {
    client.progress("looks for the database server", None);
    // Asked before anything is marked: where there is no server, there is no database to be dropped later.
    control.databases.endpoint().await.map_err(Error::from)?;
    refuse_strangers(&Names::of(app), &secrets(control, app).await?)?;
    until_free(control, actor, Verb::CreateDatabase, app, &wait, client).await?;
    let claim = Claim { app, actor, verb: Verb::CreateDatabase, begins: true };
    let keys = leased(control, claim, async {
        let names = Names::of(app);
        client.progress(format!("makes the database of {app}"), None);
        let made = control.databases.ensure(&names).await;
        if let Err(futuswarm_database::Error::Taken { .. }) = &made {
            // Nothing was made, nor ever will be under this name.
            unmark(control, app).await?;
        }
        made.map_err(Error::from)?;
        give(control, actor, app, &names, false).await
    });
    let keys = keys.await?;
    release(control, actor, Verb::CreateDatabase, app, keys, wait, client).await
}

/// Gives the app another login with another password. The one that its tasks have stays good until the next time.
pub(crate) async fn rotate<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    wait: Wait,
    client: &mut Client,
) -> Result<Answer, Refused> {
    if control.existing(app).await?.database.is_none() {
        return Err(none(app));
    }
    until_free(control, actor, Verb::RotateDatabase, app, &wait, client).await?;
    let claim = Claim { app, actor, verb: Verb::RotateDatabase, begins: false };
    let keys = leased(control, claim, async {
        let names = Names::of(app);
        client.progress(format!("makes another login of {app}"), None);
        control.databases.state(&names).await.map_err(Error::from)?.ok_or_else(|| none(app))?;
        give(control, actor, app, &names, true).await
    });
    let keys = keys.await?;
    release(control, actor, Verb::RotateDatabase, app, keys, wait, client).await
}

/// What the secrets are that count; nothing where there are none.
async fn secrets<P: Platform>(control: &Control<P>, app: &str) -> Result<Content, Refused> {
    Ok(control.document(app, Kind::Secrets, None).await?.map(|(_, content)| content).unwrap_or_default())
}

/// Keys of another database, which somebody has set by hand, are not written over.
fn refuse_strangers(names: &Names, content: &Content) -> Result<(), Refused> {
    let there = DATABASE_KEYS.into_iter().find(|key| content.contains_key(*key));
    match (there, login_in(names, content)) {
        (Some(key), None) => Err(Refused::usage(format!(
            "{app} has the secret {key} already, and it is not of a database that was made here: keep its value elsewhere, remove it with `futuswarm secret:unset -a {app} {key} --stage`, and try again",
            app = names.database()
        ))),
        _ => Ok(()),
    }
}

/// Makes a login that no task has, and writes it into the app's secrets. Without `always`, one that is there and works is kept. Returns
/// how keys have changed.
async fn give<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    names: &Names,
    always: bool,
) -> Result<BTreeMap<String, String>, Refused> {
    let record = control.existing(app).await?;
    // Somebody may have made one since it was waited for the last.
    if let Some(deploying) = &record.deploying {
        return Err(free::on_its_way(&deploying.release));
    }
    let endpoint = control.databases.endpoint().await.map_err(Error::from)?;
    let content = secrets(control, app).await?;
    refuse_strangers(names, &content)?;
    let now = login_in(names, &content);
    if let (Some(login), false) = (now, always) {
        let word = |key: &str| content.get(key).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        let (role, there) = (names.login(login), Secret::new(word("DB_PASS").to_owned()));
        let same = variables(&endpoint, names, login, &there).iter().all(|(key, value)| word(key) == value);
        if same && control.databases.accepts(names, &role, &there).await.map_err(Error::from)? {
            return Ok(BTreeMap::new());
        }
    }
    // Tasks that run may have another one than the secrets that count: a release that failed was put back.
    let runs = match deploy::current(control, Some(&record)).await?.and_then(|release| release.secrets) {
        Some(version) => login_in(names, &control.opened(app, Kind::Secrets, &version).await?),
        None => None,
    };
    let login = runs.or(now).map_or(Login::A, Login::other);
    let secret = password().map_err(Error::from)?;
    control.databases.set_login(names, login, &secret).await.map_err(Error::from)?;
    if !control.databases.accepts(names, &names.login(login), &secret).await.map_err(Error::from)? {
        return Err(Refused::failed(format!(
            "the server has made the login {}, and does not let it in: look at its log; nothing of {app} was changed",
            names.login(login)
        )));
    }
    let values: Content = variables(&endpoint, names, login, &secret)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into_bytes()))
        .collect();
    let changed = change_secrets(control, actor, app, |before| {
        refuse_strangers(names, &values::bytes(before))?;
        let mut after = values::bytes(before);
        after.extend(values.clone());
        values::check_secrets(&values, &after)?;
        Ok(after.into_iter().map(|(key, value)| (key, value.into())).collect())
    });
    changed.await
}

/// Changes the secrets that count; returns how keys have changed.
async fn change_secrets<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    change: impl FnMut(&records::Values) -> Result<records::Values, Refused> + Send,
) -> Result<BTreeMap<String, String>, Refused> {
    let (by, at) = (actor.to_string(), control.clock.unix_millis());
    let kind = records::Kind::Secrets;
    let changed = control.records.change_values(app, keys::DEFAULT_ENVIRONMENT, kind, &by, at, change).await?;
    let after = changed.after.map(|document| values::bytes(&document.values)).unwrap_or_default();
    Ok(values::differences(&values::bytes(&changed.before), &after))
}

/// Makes a release with the secrets that count, unless the app runs with this way to its database, or with nothing.
async fn release<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    keys: BTreeMap<String, String>,
    wait: Wait,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let version = control.version(app, Kind::Secrets).await?;
    let own: BTreeSet<String> = DATABASE_KEYS.into_iter().map(str::to_owned).collect();
    let deployment = match values::behind(control, app, Kind::Secrets, Some(&own)).await?.is_empty() {
        true => None,
        false => values::release(control, actor, verb, app, wait, client).await?,
    };
    Ok(Answer::Changed(Changed { app: app.to_owned(), kind: Kind::Secrets, version, keys, deployment }))
}

/// The app has no database from now on.
async fn unmark<P: Platform>(control: &Control<P>, app: &str) -> Result<(), Refused> {
    let unmarked = control.records.change_app(app, |record: &mut AppRecord| {
        record.database = None;
        Ok::<_, Refused>(())
    });
    unmarked.await
}
