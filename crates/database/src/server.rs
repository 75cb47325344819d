//! What is done to the server, over its own protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use futuswarm_retry::{Failure, Policy, retry};
use futuswarm_secret::Secret;

use crate::connection::{Connection, MAINTENANCE};
use crate::objects::{create, drop_database, has_role, let_in, logins, own, owner_of, taken};
use crate::{Databases, Endpoint, Error, Locate, Located, Login, Names, State, copies, password};

/// Any piece of work, with the looks for the server before it.
const WORK: Policy = Policy {
    first: Duration::from_millis(200),
    cap: Duration::from_secs(3),
    total: Duration::from_secs(120),
    attempt: Duration::from_secs(110),
};
/// Refusals of a connection that are about who connects, or to what: a wrong password, no such role, no right, no such database.
const NOT_ACCEPTED: [&str; 4] = ["28P01", "28000", "42501", "3D000"];
/// For a password that is good until it is another.
const FOR_EVER: &str = "infinity";

/// The server that `L` finds.
pub struct Server<L> {
    locator: L,
}

impl<L: Locate> Server<L> {
    /// The server that `locator` finds.
    pub fn new(locator: L) -> Self {
        Self { locator }
    }

    /// Works on the server until it succeeds, fails for good, or takes too long: each attempt looks for it again and begins from the
    /// beginning, since an answer that was lost says nothing of what was done.
    async fn work<T, F, Fut>(&self, what: &str, attempt: F) -> Result<T, Error>
    where
        F: Fn(Located, Connection) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let attempt = || async {
            let work = async {
                let located = self.locator.locate().await?;
                let admin = Connection::open(&located, MAINTENANCE).await?;
                attempt(located, admin).await
            };
            work.await.map_err(
                |error: Error| if error.is_transient() { Failure::Transient(error) } else { Failure::Permanent(error) },
            )
        };
        Ok(retry(what, WORK, attempt).await?)
    }
}

/// Keeps the app's logins and sessions out of its database, and returns once nobody is connected to it. A session, which acts as the owner,
/// may have opened it to everybody; that is not given back.
async fn keep_out(admin: &Connection, names: &Names) -> Result<(), Error> {
    let database = names.database();
    if owner_of(admin, database).await? != Some(names.owner()) {
        return Ok(());
    }
    own(admin, &names.owner()).await?;
    let what = format!("keep everybody out of {database}");
    admin.execute(&what, "revoke connect on database %I from public", &[database]).await?;
    let mut roles = sessions(admin, names).await?;
    roles.extend(logins(admin, names).await?.into_iter().map(|login| names.login(login)));
    for role in &roles {
        let what = format!("keep the role {role} out of {database}");
        admin.execute(&what, "revoke connect on database %I from %I", &[database, role]).await?;
    }
    copies::empty(admin, database).await
}

async fn ensure(admin: &Connection, names: &Names) -> Result<(), Error> {
    let (owner, database) = (names.owner(), names.database());
    // Nothing is made beside a database that is somebody else's.
    if owner_of(admin, database).await?.is_some_and(|other| other != owner) {
        return Err(taken(database));
    }
    const RIGHTS: &str =
        "select rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
        from pg_roles where rolname = $1::text";
    match admin.first::<bool>(&format!("tell what the role {owner} may"), RIGHTS, &[&owner]).await? {
        Some(false) => {}
        Some(true) => return Err(Error::Taken { what: format!("a role {owner:?} with rights of its own") }),
        None => admin.execute(&format!("make the role {owner}"), "create role %I nologin", &[&owner]).await?,
    }
    own(admin, &owner).await?;
    create(admin, names, database).await?;
    // Who began to drop it may have kept them out, and died.
    let_in(admin, names, database).await
}

/// Makes a role that logs in to `database` and acts as the app's owner there. It has no rights but that, so that nothing is ever its own.
async fn login(
    admin: &Connection,
    names: &Names,
    database: &str,
    role: &str,
    secret: &Secret,
    until: &str,
) -> Result<(), Error> {
    let verifier = password::verifier(secret);
    let template = match has_role(admin, role).await? {
        true => "alter role %I login noinherit password %L valid until %L",
        false => "create role %I login noinherit password %L valid until %L",
    };
    admin.execute(&format!("make the role {role}"), template, &[role, &verifier, until]).await?;
    let what = format!("let the role {role} act as {}", names.owner());
    admin.execute(&what, "grant %I to %I", &[&names.owner(), role]).await?;
    admin.execute(&what, "alter role %I set role = %L", &[role, &names.owner()]).await?;
    let what = format!("let the role {role} connect to {database}");
    admin.execute(&what, "grant connect on database %I to %I", &[database, role]).await
}

/// Cuts the connections of a role.
async fn cut(admin: &Connection, role: &str) -> Result<(), Error> {
    const CUT: &str = "select pg_terminate_backend(pid)::text from pg_stat_activity where usename = $1::text";
    admin.texts(&format!("cut connections of {role}"), CUT, &[role]).await.map(drop)
}

/// Removes a role with its connections and rights. What it has made becomes the owner's.
async fn remove(located: &Located, admin: &Connection, names: &Names, role: &str) -> Result<(), Error> {
    if !has_role(admin, role).await? {
        return Ok(());
    }
    let owner = names.owner();
    own(admin, role).await?;
    cut(admin, role).await?;
    // A session that was open while a backup took the place of its database has left what it made in the one that was replaced.
    let mut databases = copies::left(admin, names).await?;
    if owner_of(admin, names.database()).await? == Some(owner.clone()) {
        databases.push(names.database().to_owned());
    }
    let what = format!("take the rights of {role}");
    for database in databases {
        let there = Connection::open(located, &database).await?;
        let handed = format!("hand over what {role} has made");
        there.execute(&handed, "reassign owned by %I to %I", &[role, &owner]).await?;
        there.execute(&what, "drop owned by %I", &[role]).await?;
    }
    // With the rights on databases themselves, wherever it is said.
    admin.execute(&what, "drop owned by %I", &[role]).await?;
    admin.execute(&format!("remove the role {role}"), "drop role if exists %I", &[role]).await
}

/// Roles of sessions that there are.
async fn sessions(admin: &Connection, names: &Names) -> Result<Vec<String>, Error> {
    const SESSIONS: &str = "select rolname::text from pg_roles where starts_with(rolname::text, $1)";
    admin.texts("tell which sessions there are", SESSIONS, &[&names.sessions()]).await
}

async fn drop_everything(located: &Located, admin: &Connection, names: &Names) -> Result<(), Error> {
    let owner = names.owner();
    if has_role(admin, &owner).await? {
        own(admin, &owner).await?;
    }
    if owner_of(admin, names.database()).await? == Some(owner.clone()) {
        drop_database(admin, names.database()).await?;
    }
    copies::clear(admin, names).await?;
    let mut roles = sessions(admin, names).await?;
    roles.extend(Login::ALL.map(|login| names.login(login)));
    for role in roles {
        remove(located, admin, names, &role).await?;
    }
    remove(located, admin, names, &owner).await
}

async fn open_session(
    located: &Located,
    admin: &Connection,
    names: &Names,
    database: &str,
    role: &str,
    secret: &Secret,
) -> Result<(), Error> {
    const OVER: &str =
        "select rolname::text from pg_roles where starts_with(rolname::text, $1) and rolvaliduntil < now()";
    for over in admin.texts("tell which sessions are over", OVER, &[&names.sessions()]).await? {
        if let Err(error) = remove(located, admin, names, &over).await {
            tracing::warn!(%error, role = over, "the role of a session that is over stays");
        }
    }
    let tomorrow = admin.first::<String>("tell the time", "select (now() + interval '1 day')::text", &[]).await?;
    let tomorrow = tomorrow.ok_or_else(|| Error::Unreachable("it does not tell the time".to_owned()))?;
    login(admin, names, database, role, secret, &tomorrow).await?;
    for replaced in copies::replaced(admin, names).await? {
        let what = format!("let the role {role} connect to {replaced}");
        // A restoring may drop it at this moment; the session is about another one.
        if let Err(error) = admin.execute(&what, "grant connect on database %I to %I", &[&replaced, role]).await {
            tracing::warn!(%error, role, "a session does not reach a database that was replaced");
        }
    }
    Ok(())
}

/// Bytes that a database of the app takes; `None` where there is none of this name.
async fn size(admin: &Connection, names: &Names, database: &str) -> Result<Option<u64>, Error> {
    const SIZE: &str = "select pg_database_size(oid) from pg_database
        where datname = $1::text and pg_get_userbyid(datdba) = $2::text";
    let what = format!("tell the size of {database}");
    let bytes = admin.first::<i64>(&what, SIZE, &[database, &names.owner()]).await?;
    Ok(bytes.map(|bytes| u64::try_from(bytes).unwrap_or_default()))
}

/// The server's major version.
async fn major(admin: &Connection) -> Result<u32, Error> {
    // As in 170004.
    const NUMBER: &str = "select current_setting('server_version_num')";
    let number = admin.first::<String>("tell its version", NUMBER, &[]).await?;
    let number = number.and_then(|number| number.parse::<u32>().ok());
    number.map(|number| number / 10_000).ok_or_else(|| Error::Unreachable("it does not tell its version".to_owned()))
}

async fn state(admin: &Connection, names: &Names) -> Result<Option<State>, Error> {
    let Some(bytes) = size(admin, names, names.database()).await? else { return Ok(None) };
    let mut replaced = BTreeMap::new();
    for database in copies::replaced(admin, names).await? {
        if let Some(bytes) = size(admin, names, &database).await? {
            replaced.insert(database, bytes);
        }
    }
    let logins = logins(admin, names).await?.into_iter().collect();
    Ok(Some(State { bytes, logins, replaced, major: major(admin).await? }))
}

async fn accepts(endpoint: &Endpoint, names: &Names, role: &str, password: &Secret) -> Result<bool, Error> {
    match Connection::connect(endpoint, names.database(), role, password.expose()).await {
        Ok(connection) => {
            let who = connection.first::<String>("tell who we are", "select current_user::text", &[]).await?;
            Ok(who == Some(names.owner()))
        }
        Err(Error::Refused { code, .. }) if NOT_ACCEPTED.contains(&code.as_str()) => Ok(false),
        Err(error) => Err(error),
    }
}

impl<L: Locate> Databases for Server<L> {
    async fn endpoint(&self) -> Result<Endpoint, Error> {
        self.locator.endpoint().await
    }

    async fn ensure(&self, names: &Names) -> Result<(), Error> {
        let what = format!("makes the database of {}", names.database());
        self.work(&what, |_, admin| async move { ensure(&admin, names).await }).await
    }

    async fn state(&self, names: &Names) -> Result<Option<State>, Error> {
        let what = format!("looks at the database of {}", names.database());
        self.work(&what, |_, admin| async move { state(&admin, names).await }).await
    }

    async fn set_login(&self, names: &Names, which: Login, password: &Secret) -> Result<(), Error> {
        let role = &names.login(which);
        let set = |_, admin: Connection| async move {
            login(&admin, names, names.database(), role, password, FOR_EVER).await
        };
        self.work(&format!("makes the login {role}"), set).await
    }

    async fn accepts(&self, names: &Names, role: &str, password: &Secret) -> Result<bool, Error> {
        let attempt = |located: Located, _| async move { accepts(&located.endpoint, names, role, password).await };
        self.work(&format!("tries the login {role}"), attempt).await
    }

    async fn open_session(&self, names: &Names, database: &str, role: &str, password: &Secret) -> Result<(), Error> {
        let open = |located: Located, admin: Connection| async move {
            open_session(&located, &admin, names, database, role, password).await
        };
        self.work(&format!("makes the role {role}"), open).await
    }

    async fn close_session(&self, names: &Names, role: &str) -> Result<(), Error> {
        let close = |located: Located, admin: Connection| async move { remove(&located, &admin, names, role).await };
        self.work(&format!("removes the role {role}"), close).await
    }

    async fn begin_restore(&self, names: &Names, copy: &str) -> Result<(), Error> {
        let begin = |_, admin: Connection| async move { copies::begin(&admin, names, copy).await };
        self.work(&format!("makes the database {copy}"), begin).await
    }

    async fn finish_restore(&self, names: &Names, copy: &str) -> Result<(), Error> {
        let finish =
            |located: Located, admin: Connection| async move { copies::finish(&located, &admin, names, copy).await };
        self.work(&format!("puts {copy} in the place of {}", names.database()), finish).await
    }

    async fn abandon_restore(&self, names: &Names, copy: &str) -> Result<(), Error> {
        let abandon = |_, admin: Connection| async move { copies::abandon(&admin, names, copy).await };
        self.work(&format!("drops the database {copy}"), abandon).await
    }

    async fn keep_out(&self, names: &Names) -> Result<(), Error> {
        let what = format!("keeps {0} out of the database {0}", names.database());
        self.work(&what, |_, admin| async move { keep_out(&admin, names).await }).await
    }

    async fn let_in(&self, names: &Names) -> Result<(), Error> {
        let database = names.database();
        let back = |_, admin: Connection| async move {
            match owner_of(&admin, database).await? == Some(names.owner()) {
                true => let_in(&admin, names, database).await,
                false => Ok(()),
            }
        };
        self.work(&format!("lets {database} into its database again"), back).await
    }

    async fn drop_everything(&self, names: &Names) -> Result<(), Error> {
        let all = |located: Located, admin: Connection| async move { drop_everything(&located, &admin, names).await };
        self.work(&format!("drops the database of {}", names.database()), all).await
    }
}
