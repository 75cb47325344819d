//! What goes on for long or breaks off: no data is lost by it, nobody is left without their database, and whoever may not any more ends.

use std::sync::Arc;

use futuswarm_model::AppRole;
use futuswarm_rpc::message::Event;
use futuswarm_store::Bucket as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::Control;

/// Asks in a task of its own, since it goes on.
fn asks(control: &Arc<Control<Memory>>, user: &'static str, request: Request) -> JoinHandle<Heard> {
    let control = Arc::clone(control);
    tokio::spawn(async move { ask(&control, user, &request).await })
}

fn take() -> Request {
    Request::BackUpDatabase { app: hello() }
}

fn revoke(who: &str) -> Request {
    Request::Revoke { app: hello(), principal: who.parse().unwrap() }
}

fn slow(seconds: u64) -> Script {
    Script { lasts: Duration::from_secs(seconds), ..dumps() }
}

fn notes(heard: &Heard) -> Vec<&str> {
    let texts = heard.events.iter().filter_map(|event| match event {
        Event::Note { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn done(heard: &Heard) -> String {
    match heard.end().unwrap() {
        Answer::Done(said) => said,
        other => panic!("{other:?}"),
    }
}

/// Databases whose place a restored one has taken.
fn replaced(world: &World) -> Vec<String> {
    world.databases.databases().into_iter().filter(|name| name.starts_with("hello_o_")).collect()
}

/// Nothing is left of programs, their roles and uploads.
async fn assert_tidy(world: &World) {
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
    assert_eq!(world.bucket.unfinished_uploads(), 0);
    let sessions: Vec<String> = world.databases.roles().into_iter().filter(|role| role.contains("_u_")).collect();
    assert!(sessions.is_empty(), "{sessions:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_restored_backup_replaces_is_kept_until_the_next() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let first = backup(&ask(&control, "jane", &take()).await);
    let mut before = Vec::new();
    for _ in 0..2 {
        let said = done(&ask(&control, "jane", &restore(Some(&first.backup))).await);
        let kept = replaced(&world);
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert!(said.contains(&kept[0]) && kept != before, "{said}");
        before = kept;
    }
    let heard = ask(&control, "jane", &Request::Database { app: hello() }).await;
    let shown = notes(&heard);
    assert!(shown.len() == 1 && shown[0].contains(&format!("\\connect {}", before[0])), "{shown:?}");
    // One that does not load takes nothing away.
    programs(&world, fails());
    let careless = Request::RestoreDatabase { app: hello(), backup: None, without_backup: true };
    let refused = ask(&control, "jane", &careless).await.end().unwrap_err();
    assert!(refused.message.contains("pg_restore"), "{}", refused.message);
    assert_eq!(replaced(&world), before);
    programs(&world, dumps());
    ask(&control, "jane", &end()).await.end().unwrap();
    assert!(world.databases.databases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_restoring_again_is_of_the_same_backup() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let first = backup(&ask(&control, "jane", &take()).await);
    seconds(10).await;
    // The backup of what is there is taken, and the one that was meant does not load.
    programs(&world, slow(60));
    let broken = asks(&control, "jane", restore(None));
    seconds(30).await;
    programs(&world, fails());
    let broken = broken.await.unwrap();
    let refused = broken.end().unwrap_err();
    assert!(refused.message.contains("pg_restore"), "{}", refused.message);
    let told = broken.events.iter().find_map(|event| match event {
        Event::Progress { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(told, Some(format!("restores {}", first.backup).as_str()), "before anything else");
    let backups = listed(&world).await.backups;
    assert!(backups.len() == 2 && backups[0].backup.ends_with("-before-restore"), "{backups:?}");

    programs(&world, dumps());
    let said = done(&ask(&control, "jane", &restore(None)).await);
    assert!(said.contains(&format!("at the backup {};", first.backup)), "{said}");
    let said = done(&ask(&control, "jane", &restore(Some(&backups[0].backup))).await);
    assert!(said.contains(&format!("at the backup {};", backups[0].backup)), "by its name: {said}");
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_was_only_taken_for_safety_is_restored_by_its_name_only() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let first = backup(&ask(&control, "jane", &take()).await);
    ask(&control, "jane", &restore(None)).await.end().unwrap();
    let record = world.records(Faults::none()).app("hello").await.unwrap().unwrap();
    let key = futuswarm_model::keys::app_backup("hello", record.created_at, &first.backup);
    world.bucket.delete(&key).await.unwrap();
    let refused = ask(&control, "jane", &restore(None)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound);
    assert!(refused.message.contains("--backup"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn on_a_server_of_another_version_nothing_is_begun_that_cannot_be_finished() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let first = backup(&ask(&control, "jane", &take()).await);
    for major in [16, 18] {
        world.databases.set_major(major);
        for request in [take(), restore(None), end()] {
            let refused = ask(&control, "jane", &request).await.end().unwrap_err();
            assert_eq!(refused.class, RefusalClass::Failed);
            let told = &refused.message;
            assert!(told.contains(&format!("PostgreSQL {major}")) && told.contains("engine_version"), "{told}");
            assert_eq!(told.contains("--without-backup"), request == end(), "{told}");
        }
        assert!(works(&world).await);
        assert_eq!(listed(&world).await.backups, std::slice::from_ref(&first));
    }
    let careless = Request::DropDatabase { app: hello(), without_backup: true };
    ask(&control, "jane", &careless).await.end().unwrap();
    assert!(world.databases.databases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_writes_while_the_last_backup_is_taken_and_everybody_does_when_it_fails() {
    let world = with_database().await;
    let control = world.manager("i-1");
    ask(&control, "jane", &grant("hello", "joe", AppRole::Owner)).await.end().unwrap();
    programs(&world, slow(600));
    let dropped = asks(&control, "joe", end());
    seconds(60).await;
    assert!(!works(&world).await, "the app is kept out");
    // Who drops it loses the right to.
    ask(&control, "jane", &revoke("joe")).await.end().unwrap();
    assert_eq!(dropped.await.unwrap().end().unwrap_err().class, RefusalClass::Denied);
    assert!(works(&world).await, "the app is let in again");
    assert_tidy(&world).await;
    assert_eq!(listed(&world).await.backups, []);

    // A manager that dies meanwhile lets nobody in again.
    world.databases.keep_out(&Names::of("hello")).await.unwrap();
    assert!(!works(&world).await);
    assert_eq!(changed(&ask(&control, "jane", &create()).await).keys.len(), 0);
    assert!(works(&world).await, "asked for again, it is as it was");

    let dropped = asks(&control, "jane", end());
    seconds(300).await;
    assert!(!works(&world).await);
    dropped.await.unwrap().end().unwrap();
    assert!(world.databases.databases().is_empty());
    assert_eq!(listed(&world).await.backups.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_opens_a_database_that_is_being_dropped_and_everybody_one_that_is_restored() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let psql = || Request::OpenDatabase { app: hello(), terminal: None };
    let sessions = || world.databases.roles().into_iter().filter(|role| role.contains("_u_")).count();
    ask(&control, "jane", &take()).await.end().unwrap();
    programs(&world, slow(100));
    let restored = asks(&control, "jane", restore(None));
    seconds(10).await;
    let input = [Frame::End(Channel::Input)];
    let opened = heard(&control, Identity::User("jane".to_owned()), &psql(), &input).await;
    assert_eq!(opened.end().unwrap(), Answer::Exited(0));
    restored.await.unwrap().end().unwrap();

    // It is asked for before it is dropped, and its role is made once it is.
    programs(&world, slow(600));
    world.databases.set_silent(true);
    let early = asks(&control, "jane", psql());
    seconds(5).await;
    let dropped = asks(&control, "jane", end());
    seconds(5).await;
    world.databases.set_silent(false);
    seconds(60).await;
    let late = ask(&control, "jane", &psql()).await;
    for heard in [early.await.unwrap(), late] {
        let refused = heard.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Locked, "{}", refused.message);
        assert!(refused.message.contains("jane is dropping the database of hello"), "{}", refused.message);
    }
    assert_eq!(sessions(), 1, "that of the last backup");
    dropped.await.unwrap().end().unwrap();
    let gone = ask(&control, "jane", &psql()).await.end().unwrap_err();
    assert_eq!(gone.class, RefusalClass::NotFound);
    assert_tidy(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_told_and_no_app_is_hurt() {
    let world = with_database().await;
    let control = world.manager("i-1");
    world.first_release(&control, "jane", "shop").await;
    world.image("hello", "2", good());
    backup(&ask(&control, "jane", &take()).await);
    world.databases.set_silent(true);
    let psql = Request::OpenDatabase { app: hello(), terminal: None };
    let first = Request::CreateDatabase { app: "shop".to_owned(), wait: Wait::default() };
    for request in [first.clone(), create(), rotate(), psql, take(), restore(None), end()] {
        let input = [Frame::End(Channel::Input)];
        let heard = heard(&control, Identity::User("jane".to_owned()), &request, &input).await;
        let refused = heard.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Unavailable, "{request:?}: {}", refused.message);
        assert!(refused.message.contains("running apps go on"), "{request:?}: {}", refused.message);
    }
    // Apps run, and are deployed, without it.
    assert_eq!(world.running().await.len(), 1);
    let deployed = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed), "{deployed:?}");
    world.databases.set_silent(false);
    // What was begun is asked for again.
    seconds(300).await;
    assert!(works(&world).await, "the app's password is what it was");
    for request in [first, rotate()] {
        assert_eq!(
            changed(&ask(&control, "jane", &request).await).deployment.unwrap().outcome,
            Some(Outcome::Deployed)
        );
    }
    assert!(works(&world).await);
    assert_tidy(&world).await;
}

#[tokio::test(start_paused = true)]
async fn backups_are_listed_while_the_server_is_away() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let first = backup(&ask(&control, "jane", &take()).await);
    world.databases.set_silent(true);
    let heard = ask(&control, "jane", &Request::Database { app: hello() }).await;
    let Answer::Database(shown) = heard.end().unwrap() else { panic!() };
    assert_eq!((shown.backups, shown.database, shown.created_by.as_deref()), (vec![first], None, Some("jane")));
    let told = notes(&heard);
    assert!(told.len() == 1 && told[0].contains("has not answered for 15 s"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backup_ends_with_the_role_of_who_takes_it_and_not_with_their_connection() {
    let world = with_database().await;
    let control = world.manager("i-1");
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    programs(&world, slow(1000));
    let cut = asks(&control, "joe", take());
    seconds(60).await;
    cut.abort();
    seconds(1000).await;
    let backups = listed(&world).await.backups;
    assert_eq!(backups.len(), 1, "it was carried on with");

    let ended = asks(&control, "joe", take());
    seconds(60).await;
    assert_eq!(world.engine.list_programs().await.unwrap().len(), 1);
    ask(&control, "jane", &revoke("joe")).await.end().unwrap();
    let began = Instant::now();
    assert_eq!(ended.await.unwrap().end().unwrap_err().class, RefusalClass::Denied);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_tidy(&world).await;
    assert_eq!(listed(&world).await.backups, backups);
}
