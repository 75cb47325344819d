//! Single databases and roles of the server: whose they are, and how one is made, opened and dropped.

use crate::connection::Connection;
use crate::{Error, Login, Names};

/// The role that owns a database; `None` where there is no such database.
pub(crate) async fn owner_of(admin: &Connection, database: &str) -> Result<Option<String>, Error> {
    const QUESTION: &str = "select pg_get_userbyid(datdba)::text from pg_database where datname = $1::text";
    admin.first(&format!("tell who owns {database}"), QUESTION, &[database]).await
}

pub(crate) async fn has_role(admin: &Connection, role: &str) -> Result<bool, Error> {
    const QUESTION: &str = "select rolname::text from pg_roles where rolname = $1::text";
    Ok(admin.first::<String>(&format!("tell whether there is a role {role}"), QUESTION, &[role]).await?.is_some())
}

/// Gives the master user the rights of a role that it has made: without them it may not give anything away in its name.
pub(crate) async fn own(admin: &Connection, role: &str) -> Result<(), Error> {
    admin.execute(&format!("let its master user act as {role}"), "grant %I to current_user", &[role]).await
}

/// Makes a database that belongs to the app's owner and is closed to everybody else.
pub(crate) async fn create(admin: &Connection, names: &Names, database: &str) -> Result<(), Error> {
    let what = format!("make the database {database}");
    match owner_of(admin, database).await? {
        Some(owner) if owner == names.owner() => {}
        Some(_) => return Err(taken(database)),
        None => admin.execute(&what, "create database %I owner %I", &[database, &names.owner()]).await?,
    }
    let what = format!("close the database {database}");
    admin.execute(&what, "revoke all on database %I from public", &[database]).await
}

pub(crate) fn taken(database: &str) -> Error {
    Error::Taken { what: format!("a database {database:?}") }
}

/// The logins of an app that there are.
pub(crate) async fn logins(admin: &Connection, names: &Names) -> Result<Vec<Login>, Error> {
    let mut there = Vec::new();
    for login in Login::ALL {
        if has_role(admin, &names.login(login)).await? {
            there.push(login);
        }
    }
    Ok(there)
}

/// Lets the app's logins connect to a database of the app.
pub(crate) async fn let_in(admin: &Connection, names: &Names, database: &str) -> Result<(), Error> {
    for login in logins(admin, names).await? {
        let role = names.login(login);
        let what = format!("let the role {role} connect to {database}");
        admin.execute(&what, "grant connect on database %I to %I", &[database, &role]).await?;
    }
    Ok(())
}

/// Drops a database, whoever is connected to it.
pub(crate) async fn drop_database(admin: &Connection, database: &str) -> Result<(), Error> {
    let what = format!("drop the database {database}");
    admin.execute(&what, "drop database if exists %I with (force)", &[database]).await
}
