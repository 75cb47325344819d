//! Databases that a backup is restored into, and how one takes the place of what is there.

use std::convert::Infallible;
use std::time::Duration;

use crate::connection::{Connection, MAINTENANCE};
use crate::server::{create, drop_database, let_in, own, owner_of};
use crate::{Error, Located, Names};

/// Between two looks for connections that are in the way of a change of names.
const CUT: Duration = Duration::from_millis(200);

/// Makes an empty database for a backup, which the app's logins may connect to once it has the app's name.
pub(crate) async fn begin(admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    own(admin, &names.owner()).await?;
    clear(admin, names).await?;
    create(admin, names, copy).await?;
    let_in(admin, names, copy).await
}

/// Databases that restoring has left: those that a backup was loaded into, and those whose place was taken.
pub(crate) async fn left(admin: &Connection, names: &Names) -> Result<Vec<String>, Error> {
    const LEFT: &str = "select datname::text from pg_database
        where (starts_with(datname::text, $1) or starts_with(datname::text, $2)) and pg_get_userbyid(datdba) = $3::text";
    let words = [&*names.copies(), &*names.replaced(), &*names.owner()];
    admin.texts("tell what restoring has left", LEFT, &words).await
}

/// Databases whose place was taken.
pub(crate) async fn replaced(admin: &Connection, names: &Names) -> Result<Vec<String>, Error> {
    let beginning = names.replaced();
    let mut left = left(admin, names).await?;
    left.retain(|database| database.starts_with(&beginning));
    Ok(left)
}

/// Drops databases that restoring has left.
pub(crate) async fn clear(admin: &Connection, names: &Names) -> Result<(), Error> {
    for left in left(admin, names).await? {
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

/// Puts the copy in the place of the app's database. What was there stays beside it: somebody has written to it while the copy was loaded.
pub(crate) async fn finish(located: &Located, admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    // It has its new name once it was put in place, also when nobody heard of it.
    if owner_of(admin, copy).await?.is_none() {
        return Ok(());
    }
    let there = owner_of(admin, names.database()).await?.is_some();
    let replaced = names.replaced_by(copy);
    let beside = Connection::open(located, MAINTENANCE).await?;
    tokio::select! {
        swapped = swap(admin, names, copy, there.then_some(&*replaced)) => swapped,
        failed = cut(&beside, [names.database(), copy]) => match failed? {},
    }
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

/// Cuts connections to these databases, but for those of the server itself: it ends these, and nobody else may. Returns whether there were
/// any.
async fn cut_once(beside: &Connection, databases: [&str; 2]) -> Result<bool, Error> {
    const CONNECTED: &str = "select pg_terminate_backend(pid)::text
        from pg_stat_activity join pg_roles on rolname = usename and not rolsuper
        where datname = $1::text or datname = $2::text";
    Ok(!beside.texts("cut connections", CONNECTED, &databases).await?.is_empty())
}

/// Cuts connections to these databases again and again.
async fn cut(beside: &Connection, databases: [&str; 2]) -> Result<Infallible, Error> {
    loop {
        cut_once(beside, databases).await?;
        tokio::time::sleep(CUT).await;
    }
}

/// Cuts connections to a database until there are none: one that is told to end may still finish what it does.
pub(crate) async fn empty(beside: &Connection, database: &str) -> Result<(), Error> {
    while cut_once(beside, [database; 2]).await? {
        tokio::time::sleep(CUT).await;
    }
    Ok(())
}
