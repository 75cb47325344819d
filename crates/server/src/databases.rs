//! Requests about an app's database.
//!
//! What there is on the server is made and removed step by step, and each step may be repeated: whatever breaks off is finished by asking
//! for it again. Whoever changes something holds a lease in the app's record meanwhile ([`lease`]), so that what one has told the server
//! and written into the secrets is not mixed with what another has. The record names the database from before it is made until after it is
//! dropped; as long as it does, the app is not removed.

mod backups;
mod lease;
mod parts;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

use futuswarm_database::{DATABASE_KEYS, Databases as _, Login, Names, USER_KEY, password, variables};
use futuswarm_model::{AppRecord, keys};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Changed, Database, Kind, RefusalClass, Wait};
use futuswarm_secret::Secret;

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::values::{self, Content};
use crate::{Control, Error, Platform, deploy, records};

pub(crate) use backups::{back_up, restore};
pub(crate) use session::open;

use lease::{Claim, leased};

/// The words of a record that names no database.
fn none(app: &str) -> Refused {
    Refused::not_found(format!("{app} has no database: `futuswarm db:create {app}` makes one"))
}

/// Eight hexadecimal digits that tell names apart. Nothing is protected by them.
fn random() -> String {
    format!("{:08x}", fastrand::u32(..))
}

/// What an app has, and its backups.
pub(crate) async fn show<P: Platform>(control: &Control<P>, record: AppRecord) -> Result<Answer, Refused> {
    use futuswarm_database::Error as E;
    let names = Names::of(&record.name);
    let server = match control.databases.endpoint().await {
        Ok(endpoint) => Some(format!("{}:{}", endpoint.host, endpoint.port)),
        Err(E::NoServer | E::NotAvailable { .. }) => None,
        Err(error) => return Err(Error::from(error).into()),
    };
    let state = match (&record.database, &server) {
        (Some(_), Some(_)) => control.databases.state(&names).await.map_err(Error::from)?,
        _ => None,
    };
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
    if let Some(deploying) = &record.deploying {
        return Err(Refused::new(
            RefusalClass::Locked,
            format!(
                "release {} of {app} is on its way, and which login its tasks have is not known before its end: try again then",
                deploying.release.number
            ),
        ));
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

/// Makes a release with the secrets that count, unless the app runs with them or with nothing.
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
    let record = control.existing(app).await?;
    let deployment = match deploy::current(control, Some(&record)).await? {
        Some(runs) if runs.secrets != version => values::release(control, actor, verb, app, wait, client).await?,
        _ => None,
    };
    Ok(Answer::Changed(Changed { app: app.to_owned(), kind: Kind::Secrets, version, keys, deployment }))
}

/// Ends a database: a last backup, the keys in the secrets, what the server has, and the record's word of it, in this order.
pub(crate) async fn end<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    safely: bool,
    client: &mut Client,
) -> Result<Answer, Refused> {
    use futuswarm_database::Error as E;
    let (app, names) = (&record.name, Names::of(&record.name));
    let claim = Claim { app, actor, verb: Verb::DropDatabase, begins: false };
    leased(control, claim, async {
        let state = match control.databases.state(&names).await {
            // Somebody has taken the server away, with everything on it.
            Err(E::NoServer) => None,
            state => Some(state.map_err(Error::from)?),
        };
        let backup = match &state {
            Some(Some(_)) if safely => Some(backups::take(control, actor, record, &names, client).await?.backup),
            _ => None,
        };
        client.progress(format!("drops the database of {app}"), None);
        forget(control, actor, app, &names).await?;
        if state.is_some() {
            control.databases.drop_everything(&names).await.map_err(Error::from)?;
        }
        unmark(control, app).await?;
        let backup = backup.map_or("no backup was taken".to_owned(), |name| format!("its last backup is {name}"));
        Ok(Answer::Done(format!(
            "the database of {app} is dropped, and {backup}; tasks have the way to it until the next release"
        )))
    })
    .await
}

/// The app has no database from now on.
async fn unmark<P: Platform>(control: &Control<P>, app: &str) -> Result<(), Refused> {
    let unmarked = control.records.change_app(app, |record: &mut AppRecord| {
        record.database = None;
        Ok::<_, Refused>(())
    });
    unmarked.await
}

/// Takes the way to the database out of the secrets. Tasks keep what they have: a release without it might not start, and would put back
/// one that has it.
async fn forget<P: Platform>(control: &Control<P>, actor: &Actor, app: &str, names: &Names) -> Result<(), Refused> {
    let changed = change_secrets(control, actor, app, |before| {
        let mut after = before.clone();
        if login_in(names, &values::bytes(before)).is_some() {
            after.retain(|key, _| !DATABASE_KEYS.contains(&key.as_str()));
        }
        Ok(after)
    });
    changed.await.map(drop)
}
