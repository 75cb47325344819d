//! Databases that a backup is restored into, and how one takes the place of what is there.

use std::convert::Infallible;
use std::time::Duration;

use crate::connection::{Connection, MAINTENANCE};
use crate::server::{create, drop_database, logins, own, owner_of};
use crate::{Error, Located, Names};

/// Between two looks for connections that are in the way of a change of names.
const CUT: Duration = Duration::from_millis(200);

/// Makes an empty database for a backup, which the app's logins may connect to once it has the app's name.
pub(crate) async fn begin(admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    own(admin, &names.owner()).await?;
    clear(admin, names).await?;
    create(admin, names, copy).await?;
    for login in logins(admin, names).await? {
        let role = names.login(login);
        let what = format!("let the role {role} connect to {copy}");
        admin.execute(&what, "grant connect on database %I to %I", &[copy, &role]).await?;
    }
    Ok(())
}

/// Drops databases that restoring has left.
pub(crate) async fn clear(admin: &Connection, names: &Names) -> Result<(), Error> {
    const LEFT: &str = "select datname::text from pg_database
        where (starts_with(datname::text, $1) or starts_with(datname::text, $2)) and pg_get_userbyid(datdba) = $3::text";
    let words = [&*names.copies(), &*names.replaced(), &*names.owner()];
    for left in admin.texts("tell what restoring has left", LEFT, &words).await? {
        drop_database(admin, &left).await?;
    }
    Ok(())
}

/// Drops a copy that will not be used.
pub(crate) async fn abandon(admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    match owner_of(admin, copy).await? == Some(names.owner()) {
        true => drop_database(admin, copy).await,
        false => Ok(()),
    }
}

/// Puts the copy in the place of the app's database, and drops what was there.
pub(crate) async fn finish(located: &Located, admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    let replaced = names.replaced_by(copy);
    // It has its new name once it was put in place, also when nobody heard of it.
    if owner_of(admin, copy).await?.is_some() {
        let there = owner_of(admin, names.database()).await?.is_some();
        let beside = Connection::open(located, MAINTENANCE).await?;
        tokio::select! {
            swapped = swap(admin, names, copy, there.then_some(&*replaced)) => swapped?,
            failed = cut(&beside, [names.database(), copy]) => match failed? {},
        }
    }
    drop_database(admin, &replaced).await
}

/// Both names change at once. To change one, the server keeps newcomers out of the database and waits five seconds for those who are in.
async fn swap(admin: &Connection, names: &Names, copy: &str, replaced: Option<&str>) -> Result<(), Error> {
    const RENAME: &str = "alter database %I rename to %I";
    let what = format!("put {copy} in the place of {}", names.database());
    admin.plainly(&what, "begin").await?;
    if let Some(replaced) = replaced {
        admin.execute(&what, RENAME, &[names.database(), replaced]).await?;
    }
    admin.execute(&what, RENAME, &[copy, names.database()]).await?;
    admin.plainly(&what, "commit").await
}

/// Cuts connections to these databases again and again, but for those of the server itself: it ends these, and nobody else may.
async fn cut(beside: &Connection, databases: [&str; 2]) -> Result<Infallible, Error> {
    const CONNECTED: &str = "select pg_terminate_backend(pid)::text
        from pg_stat_activity join pg_roles on rolname = usename and not rolsuper
        where datname = $1::text or datname = $2::text";
    loop {
        beside.texts("cut connections", CONNECTED, &databases).await?;
        tokio::time::sleep(CUT).await;
    }
}
