//! The list of keys that sshd's helper reads: while the bucket answers, while it denies one record, and while it is away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults, Rates};
use futuswarm_model::{AppToken, User};
use futuswarm_node_files::{LoginKeys, Logins};
use futuswarm_rpc::message::{RefusalClass, Request};
use tokio::time::Instant;

use super::people::{hash, key};
use super::world::*;
use crate::{logins, records};

/// Where a test has its list.
fn path(test: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("futuswarm-server-logins-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("logins.json")
}

/// The list as a manager keeps it whose bucket fails as `faults` say.
fn kept(world: &World, test: &str, faults: Faults) -> PathBuf {
    let path = path(test);
    tokio::spawn(logins::keep(world.control("i-1", faults), path.clone()));
    path
}

/// Takes away what a test has left.
fn clear(path: &Path) {
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn names(logins: &Logins) -> Vec<&str> {
    logins.users.keys().map(String::as_str).collect()
}

/// Makes a user with one key, or gives another key to one who is there.
async fn give(world: &World, name: &str, number: u8) {
    let keys = BTreeSet::from([key(number)]);
    let user = User { name: name.to_owned(), admin: false, groups: BTreeSet::new(), keys, created_at: START };
    let records = world.records(Faults::none());
    records.change_user::<records::Error>(name, |_| Ok(user.clone())).await.unwrap();
}

fn keys(logins: &Logins, name: &str) -> Vec<String> {
    logins.users.get(name).map(|user| user.keys.iter().cloned().collect()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_is_out_of_the_list_within_the_promised_time() {
    let (world, _control) = World::with_hello().await;
    let records = world.records(Faults::none());
    let token = AppToken {
        hash: hash(&key(9)),
        fingerprint: "SHA256:x".to_owned(),
        by: "jane".to_owned(),
        created_at: START,
        expires_at: START + 1_000_000_000,
    };
    records.put_token("hello", "ci", &token).await.unwrap();
    give(&world, "jane", 1).await;
    let path = kept(&world, "removed", Faults::none());
    seconds(1).await;
    let before = Logins::read(&path).unwrap();
    assert_eq!(names(&before), ["jane", "joe", "root"]);
    assert_eq!(before.tokens[&token.hash].app, "hello");
    records.remove_user("joe").await.unwrap();
    records.remove_token("hello", "ci").await.unwrap();
    give(&world, "jane", 2).await;
    seconds(29).await;
    let after = Logins::read(&path).unwrap();
    assert_eq!(names(&after), ["jane", "root"]);
    assert_eq!(keys(&after, "jane"), [key(2)]);
    assert!(after.tokens.is_empty() && after.written_at > before.written_at);
    clear(&path);
}

#[tokio::test(start_paused = true)]
async fn while_s3_is_away_the_list_stays_and_who_logs_in_is_told() {
    let world = World::new().await;
    let (faults, path) = (Faults::none(), path("away"));
    let control = world.control("i-1", faults.clone());
    tokio::spawn(logins::keep(Arc::clone(&control), path.clone()));
    seconds(1).await;
    let before = Logins::read(&path).unwrap();
    faults.set(Rates { fail: 1000, ..Rates::default() });
    give(&world, "kim", 3).await;
    seconds(600).await;
    assert_eq!(Logins::read(&path).unwrap(), before, "whoever got in does so still");
    let began = Instant::now();
    let refused = ask(&control, "jane", &Request::Whoami).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Unavailable);
    assert!(refused.message.contains("running apps go on"), "{}", refused.message);
    assert!(began.elapsed() <= Duration::from_secs(30), "{:?}", began.elapsed());
    faults.set(Rates::default());
    seconds(29).await;
    assert!(Logins::read(&path).unwrap().users.contains_key("kim"));
    clear(&path);
}

#[tokio::test(start_paused = true)]
async fn one_record_that_cannot_be_read_keeps_nobody_else_out_and_no_old_key_in() {
    let world = World::new().await;
    give(&world, "jane", 1).await;
    // Every 12 s a list of users, what has changed of them, and a list of tokens: at first jane, joe and root.
    let first = [Fault::None; 5];
    // Then jane, which fails, and kim.
    let second = [Fault::None, Fault::Fail, Fault::None, Fault::None];
    // Then jane again.
    let third = [Fault::None, Fault::Fail, Fault::None];
    let path = kept(&world, "one", Faults::script(first.into_iter().chain(second).chain(third)));
    seconds(1).await;
    assert_eq!(names(&Logins::read(&path).unwrap()), ["jane", "joe", "root"]);
    give(&world, "jane", 2).await;
    give(&world, "kim", 3).await;
    seconds(12).await;
    let logins = Logins::read(&path).unwrap();
    assert_eq!(names(&logins), ["jane", "joe", "kim", "root"]);
    assert_eq!(keys(&logins, "jane"), [key(1)], "once more, since the next reading is before the promised time");
    seconds(12).await;
    assert_eq!(names(&Logins::read(&path).unwrap()), ["joe", "kim", "root"], "it may be jane's no more");
    seconds(12).await;
    assert_eq!(keys(&Logins::read(&path).unwrap(), "jane"), [key(2)]);
    clear(&path);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_the_disk_counts_until_everything_was_read_once() {
    let world = World::new().await;
    let path = path("first");
    let old = Logins { written_at: 7, users: [("old".to_owned(), LoginKeys::default())].into(), ..Logins::default() };
    old.write(&path).unwrap();
    let faults = Faults::script([Fault::None, Fault::Fail]);
    tokio::spawn(logins::keep(world.control("i-1", faults), path.clone()));
    seconds(1).await;
    assert_eq!(Logins::read(&path).unwrap(), old);
    seconds(12).await;
    assert_eq!(names(&Logins::read(&path).unwrap()), ["jane", "joe", "root"]);
    clear(&path);
}
