//! Databases that a backup is restored into, and how one takes the place of what is there.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connection, MAINTENANCE};
use crate::objects::{create, drop_database, let_in, own, owner_of};
use crate::{Error, Located, Names};

/// Between two looks for connections that are in the way of a change of names.
const CUT: Duration = Duration::from_millis(200);
/// Whoever is still connected, or has connected again, after so long is not kept out by what was done.
const EMPTIED: Duration = Duration::from_secs(60);
/// What a copy has replaced earlier is dropped within this, or with what the next one replaces.
const OLDER: Duration = Duration::from_secs(30);

/// Makes an empty database for a backup, which the app's logins may connect to once it has the app's name. What a copy has replaced stays:
/// this backup may turn out not to load.
pub(crate) async fn begin(admin: &Connection, names: &Names, copy: &str) -> Result<(), Error> {
    own(admin, &names.owner()).await?;
    let beginning = names.copies();
    for database in left(admin, names).await? {
        if database.starts_with(&beginning) {
            drop_database(admin, &database).await?;
        }
    }
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
    // The backup is in place, whatever becomes of these.
    match timeout(OLDER, drop_older(admin, names, &replaced)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "databases that were replaced earlier go with the next restoring"),
        Err(_) => tracing::warn!(replaced, "databases that were replaced earlier than this are still being dropped"),
    }
    Ok(())
}

/// Drops databases whose place was taken before that of `newest`, if that is there.
async fn drop_older(admin: &Connection, names: &Names, newest: &str) -> Result<(), Error> {
    let mut older = replaced(admin, names).await?;
    let all = older.len();
    older.retain(|database| database != newest);
    if older.len() < all {
        for database in older {
            drop_database(admin, &database).await?;
        }
    }
    Ok(())
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

/// Cuts connections to these databases, but for those of the server itself: it ends these, and nobody else may. Returns whose they were.
async fn cut_once(beside: &Connection, databases: [&str; 2]) -> Result<Vec<String>, Error> {
    const CONNECTED: &str = "select rolname::text, pg_terminate_backend(pid)
        from pg_stat_activity join pg_roles on rolname = usename and not rolsuper
        where datname = $1::text or datname = $2::text";
    beside.texts("cut connections", CONNECTED, &databases).await
}

/// Cuts connections to these databases again and again.
async fn cut(beside: &Connection, databases: [&str; 2]) -> Result<Infallible, Error> {
    loop {
        cut_once(beside, databases).await?;
        sleep(CUT).await;
    }
}

/// Cuts connections to a database until there are none: one that is told to end may still finish what it does.
pub(crate) async fn empty(beside: &Connection, database: &str) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let mut roles = cut_once(beside, [database; 2]).await?;
        if roles.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= EMPTIED {
            roles.sort();
            roles.dedup();
            let (database, roles) = (database.to_owned(), roles.join(", "));
            return Err(Error::StillConnected { database, roles, seconds: EMPTIED.as_secs() });
        }
        sleep(CUT).await;
    }
}
