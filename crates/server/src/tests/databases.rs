//! Databases of apps: made, rotated, backed up, restored, opened and dropped, with what breaks off in between.

mod lasting;
mod waits;

use std::iter;
use std::time::Duration;

use futuswarm_database::{DATABASE_KEYS, Databases as _, Names};
use futuswarm_faults::{Fault, Faults};
use futuswarm_model::Outcome;
use futuswarm_rpc::message::{Answer, Backup, Database, Kind, RefusalClass, Request, Terminal, Wait};
use futuswarm_rpc::{Channel, Frame, Identity};
use futuswarm_secret::Secret;
use futuswarm_swarm::fake::{Behaviour, FakeImage, Script};
use futuswarm_swarm::{Output, PlatformMount, ProgramApi as _, ServiceApi as _};

use super::world::*;

const DUMP: &[u8] = b"PGDMP and so on";

fn hello() -> String {
    "hello".to_owned()
}

fn create() -> Request {
    Request::CreateDatabase { app: hello(), wait: Wait::default() }
}

fn rotate() -> Request {
    Request::RotateDatabase { app: hello(), wait: Wait::default() }
}

fn restore(backup: Option<&str>) -> Request {
    Request::RestoreDatabase { app: hello(), backup: backup.map(str::to_owned), without_backup: false }
}

fn end() -> Request {
    Request::DropDatabase { app: hello(), without_backup: false }
}

fn remove() -> Request {
    Request::Remove { app: hello() }
}

fn secret(key: &str, value: &str) -> Request {
    set("hello", Kind::Secrets, &[(key, value)])
}

fn backup(heard: &Heard) -> Backup {
    match heard.end().unwrap() {
        Answer::Backup(backup) => backup,
        other => panic!("{other:?}"),
    }
}

async fn listed(world: &World) -> Database {
    match ask(&world.control("i-1", Faults::none()), "jane", &Request::Database { app: hello() }).await.end().unwrap() {
        Answer::Database(database) => database,
        other => panic!("{other:?}"),
    }
}

/// Whether the secrets that count open the database.
async fn works(world: &World) -> bool {
    let records = world.records(Faults::none());
    let kind = crate::records::Kind::Secrets;
    let document = records.values("hello", futuswarm_model::keys::DEFAULT_ENVIRONMENT, kind, None).await.unwrap();
    let Some(document) = document else { return false };
    let word = |key: &str| document.values.get(key).and_then(|value| value.text()).unwrap_or_default().to_owned();
    if !DATABASE_KEYS.into_iter().all(|key| document.values.contains_key(key)) {
        return false;
    }
    let url = format!("postgresql://{}:{}@db.example.internal:5432/hello?", word("DB_USER"), word("DB_PASS"));
    assert!(word("DATABASE_URL").starts_with(&url));
    let secret = Secret::new(word("DB_PASS"));
    world.databases.accepts(&Names::of("hello"), &word("DB_USER"), &secret).await.unwrap()
}

/// What every program of PostgreSQL does from now on.
fn programs(world: &World, script: Script) {
    world.swarm.push("edge", FakeImage { script, ..FakeImage::default() });
}

fn dumps() -> Script {
    Script { output: vec![Output::Stdout(DUMP.to_vec())], echoes: true, ..Script::default() }
}

fn fails() -> Script {
    Script { output: vec![Output::Stderr(b"no such disk".to_vec())], code: 1, ..Script::default() }
}

/// A world with an app of jane's that runs and has a database.
async fn with_database() -> World {
    let (world, control) = World::with_hello().await;
    assert_eq!(changed(&ask(&control, "jane", &create()).await).deployment.unwrap().outcome, Some(Outcome::Deployed));
    programs(&world, dumps());
    world
}

#[tokio::test(start_paused = true)]
async fn a_database_is_made_with_a_release_that_knows_the_way_to_it() {
    let world = World::new().await;
    let control = world.manager("i-1");
    assert_eq!(ask(&control, "jane", &create()).await.end().unwrap_err().class, RefusalClass::NotFound);
    world.first_release(&control, "jane", "hello").await;
    assert_eq!(ask(&control, "joe", &create()).await.end().unwrap_err().class, RefusalClass::Denied);
    assert!(world.databases.databases().is_empty());

    let heard = ask(&control, "jane", &create()).await;
    let made = changed(&heard);
    assert_eq!(made.deployment.as_ref().unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(made.keys.keys().map(String::as_str).collect::<Vec<_>>(), DATABASE_KEYS);
    assert!(works(&world).await);
    assert!(!format!("{:?}", heard.events).contains("postgresql://"), "nothing of it is printed");
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    assert!(service.spec.secrets.iter().any(|secret| secret.file == "DATABASE_URL"));
    let database = listed(&world).await;
    assert_eq!(database.database.as_deref(), Some("hello"));
    assert_eq!(database.server.as_deref(), Some("db.example.internal:5432"));
    assert_eq!((database.login.as_deref(), database.logins), (Some("hello_a"), vec!["hello_a".to_owned()]));
    assert_eq!((database.created_by.as_deref(), database.backups), (Some("jane"), vec![]));

    // The same again changes nothing.
    let again = changed(&ask(&control, "jane", &create()).await);
    assert_eq!((again.keys.len(), again.deployment, again.version), (0, None, made.version));
}

#[tokio::test(start_paused = true)]
async fn without_a_server_there_is_nothing_to_be_dropped_later() {
    let world = World::new().await;
    let control = world.manager("i-1");
    ask(&control, "jane", &secret("KEY", "x")).await.end().unwrap();
    world.databases.take_away();
    let refused = ask(&control, "jane", &create()).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound);
    assert!(refused.message.contains("[rds]"), "{}", refused.message);
    assert_eq!((listed(&world).await.server, listed(&world).await.created_by), (None, None));
    ask(&control, "jane", &remove()).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_the_servers_own_is_refused_and_the_app_can_go() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.first_release(&control, "jane", "postgres").await;
    let request = Request::CreateDatabase { app: "postgres".to_owned(), wait: Wait::default() };
    let refused = ask(&control, "jane", &request).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage, "{}", refused.message);
    ask(&control, "jane", &Request::Remove { app: "postgres".to_owned() }).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_way_to_a_database_is_not_written_over() {
    let world = World::new().await;
    let control = world.manager("i-1");
    ask(&control, "jane", &secret("DATABASE_URL", "postgresql://elsewhere/x")).await.end().unwrap();
    let refused = ask(&control, "jane", &create()).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage);
    assert!(
        refused.message.contains("DATABASE_URL") && !refused.message.contains("elsewhere/x"),
        "{}",
        refused.message
    );
    assert!(world.databases.databases().is_empty() && listed(&world).await.created_by.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_breaks_off_anywhere_is_finished_by_asking_again() {
    let mut broken = 0;
    for calls in 0.. {
        let world = World::new().await;
        ask(&world.control("i-1", Faults::none()), "jane", &secret("KEY", "x")).await.end().unwrap();
        // An answer is lost, and nothing answers from then on.
        let rest = iter::once(Fault::Lose).chain(iter::repeat_n(Fault::Fail, 10_000));
        let script = iter::repeat_n(Fault::None, calls).chain(rest);
        let faults = Faults::script(script);
        let first = ask(&world.control("i-1", faults.clone()), "jane", &create()).await.end();
        broken += usize::from(first.is_err());
        if first.is_ok() && faults.draw() != Fault::Fail {
            // It needed fewer calls.
            break;
        }
        // A lease that could not be given back is over.
        seconds(200).await;
        let second = ask(&world.control("i-2", Faults::none()), "jane", &create()).await.end();
        assert!(second.is_ok(), "after {calls} calls: {second:?}");
        assert!(works(&world).await, "after {calls} calls");
        assert_eq!(world.databases.databases(), ["hello".to_owned()].into(), "after {calls} calls");
    }
    assert!(broken > 10, "only {broken} creations broke off");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_takes_the_login_that_nothing_runs_with() {
    let world = with_database().await;
    let control = world.manager("i-1");
    assert_eq!(changed(&ask(&control, "jane", &rotate()).await).deployment.unwrap().outcome, Some(Outcome::Deployed));
    let database = listed(&world).await;
    assert_eq!(database.login.as_deref(), Some("hello_b"));
    assert_eq!(database.logins, ["hello_a", "hello_b"], "who has the first one goes on");
    assert!(works(&world).await);

    // Its release is put back: tasks run with the second login, and the secrets have the first.
    let image = world.engine.inspect_service("hello").await.unwrap().unwrap().spec.image;
    world.swarm.push(&image, Behaviour::exits(Duration::from_secs(1), 3));
    let failed = changed(&ask(&control, "jane", &rotate()).await).deployment.unwrap();
    assert_eq!(failed.outcome, Some(Outcome::RolledBack), "{failed:?}");
    assert_eq!(listed(&world).await.login.as_deref(), Some("hello_a"));
    world.swarm.push(&image, good());
    let again = changed(&ask(&control, "jane", &rotate()).await);
    assert_eq!(again.deployment.unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(listed(&world).await.login.as_deref(), Some("hello_a"), "not the one that tasks had");
    assert!(works(&world).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_changes_what_somebody_else_is_changing() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let image = world.image("hello", "2", Behaviour::never_healthy());
    assert!(image.starts_with("sha256:"));
    let Request::Deploy(mut request) = deploy("hello", "hello:2", None) else { panic!() };
    request.wait.detach = true;
    ask(&control, "jane", &Request::Deploy(request)).await.end().unwrap();
    let refused = ask(&control, "jane", &rotate()).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Locked, "{}", refused.message);
    ask(&control, "jane", &Request::Cancel { app: hello() }).await.end().unwrap();
    seconds(300).await;

    // A restoring goes on for longer than a lease; it is renewed.
    programs(&world, Script { lasts: Duration::from_secs(1000), ..dumps() });
    let restoring = tokio::spawn({
        let control = control.clone();
        ask(&control, "jane", &Request::BackUpDatabase { app: hello() }).await.end().unwrap();
        async move { ask(&control, "jane", &restore(None)).await.end() }
    });
    seconds(800).await;
    for request in [rotate(), end(), create(), restore(None)] {
        let refused = ask(&world.control("i-2", Faults::none()), "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Locked, "{request:?}: {}", refused.message);
        assert!(refused.message.contains("jane is changing"), "{}", refused.message);
    }
    restoring.await.unwrap().unwrap();
    ask(&control, "jane", &rotate()).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn backups_are_whole_or_not_there_and_come_back() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let missing = ask(&control, "jane", &restore(None)).await.end().unwrap_err();
    assert_eq!(missing.class, RefusalClass::NotFound);
    let first = backup(&ask(&control, "jane", &Request::BackUpDatabase { app: hello() }).await);
    assert_eq!(first.bytes, DUMP.len() as u64);
    seconds(10).await;

    programs(&world, fails());
    let failed = ask(&control, "jane", &Request::BackUpDatabase { app: hello() }).await.end().unwrap_err();
    assert!(failed.message.contains("no such disk") && failed.message.contains("code 1"), "{}", failed.message);
    assert_eq!(listed(&world).await.backups, std::slice::from_ref(&first));
    assert_eq!(world.bucket.unfinished_uploads(), 0);
    // What is there is not lost, since no backup of it can be taken.
    let failed = ask(&control, "jane", &restore(Some(&first.backup))).await.end().unwrap_err();
    assert!(failed.message.contains("pg_dump"), "{}", failed.message);
    let careless = Request::RestoreDatabase { app: hello(), backup: None, without_backup: true };
    let failed = ask(&control, "jane", &careless).await.end().unwrap_err();
    assert!(failed.message.contains("pg_restore") && failed.message.contains("no such disk"), "{}", failed.message);
    assert!(world.databases.restored().is_empty());
    assert_eq!(world.databases.databases(), [hello()].into(), "the copy is gone");

    programs(&world, dumps());
    let unknown = ask(&control, "jane", &restore(Some("../../apps/hello/secrets"))).await.end().unwrap_err();
    assert_eq!(unknown.class, RefusalClass::NotFound);
    ask(&control, "jane", &restore(Some(&first.backup))).await.end().unwrap();
    assert_eq!(world.databases.restored(), ["hello"]);
    let backups = listed(&world).await.backups;
    assert_eq!(backups.len(), 2, "what was there before is one, too: {backups:?}");
    assert_eq!(backups[1], first, "the newest first");
    let left: Vec<String> = world.databases.roles().into_iter().filter(|role| role.contains("_u_")).collect();
    assert!(left.is_empty() && works(&world).await, "{left:?}");
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn an_app_goes_after_its_database_and_the_next_of_its_name_has_no_backups() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let refused = ask(&control, "jane", &remove()).await.end().unwrap_err();
    assert!(refused.message.contains("db:drop hello"), "{}", refused.message);
    assert!(world.engine.inspect_service("hello").await.unwrap().is_some(), "nothing was removed");
    programs(&world, fails());
    let refused = ask(&control, "jane", &end()).await.end().unwrap_err();
    assert!(refused.message.contains("pg_dump"), "{}", refused.message);
    assert!(works(&world).await, "without a backup nothing is dropped");

    programs(&world, dumps());
    let Answer::Done(line) = ask(&control, "jane", &end()).await.end().unwrap() else { panic!() };
    let database = listed(&world).await;
    assert!(line.contains(&database.backups[0].backup), "{line}");
    assert_eq!((database.created_by, database.login), (None, None));
    assert!(world.databases.databases().is_empty() && world.databases.roles().is_empty());
    let gone = ask(&control, "jane", &rotate()).await.end().unwrap_err();
    assert_eq!(gone.class, RefusalClass::NotFound);
    // Its keys are gone from the secrets, and others are not.
    ask(&control, "jane", &secret("KEY", "x")).await.end().unwrap();
    ask(&control, "jane", &remove()).await.end().unwrap();
    seconds(120).await;
    world.first_release(&control, "joe", "hello").await;
    let Answer::Database(next) = ask(&control, "joe", &Request::Database { app: hello() }).await.end().unwrap() else {
        panic!()
    };
    assert_eq!(next.backups, []);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_taken_away_keeps_no_app() {
    let world = with_database().await;
    let control = world.manager("i-1");
    world.databases.take_away();
    let Answer::Done(line) = ask(&control, "jane", &end()).await.end().unwrap() else { panic!() };
    assert!(line.contains("no backup was taken"), "{line}");
    ask(&control, "jane", &remove()).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn psql_runs_as_a_role_of_the_users_own_that_ends_with_it() {
    let world = with_database().await;
    let control = world.manager("i-1");
    let open = |terminal| Request::OpenDatabase { app: hello(), terminal };
    assert_eq!(ask(&control, "joe", &open(None)).await.end().unwrap_err().class, RefusalClass::Denied);
    programs(&world, Script { echoes: true, lasts: Duration::from_secs(60), code: 3, ..Script::default() });
    let session = tokio::spawn({
        let control = control.clone();
        let terminal = Terminal { kind: "xterm".to_owned(), rows: 25, columns: 80 };
        let input = [Frame::Chunk(Channel::Input, b"select 1;\n".to_vec()), Frame::End(Channel::Input)];
        async move { heard(&control, Identity::User("jane".to_owned()), &open(Some(terminal)), &input).await }
    });
    seconds(30).await;
    let name = world.engine.list_programs().await.unwrap().remove(0).name;
    let view = world.swarm.program("i-1", &name).unwrap();
    let spec = &view.spec;
    assert!(spec.argv[0].ends_with("/psql") && spec.terminal && spec.read_only, "{spec:?}");
    assert_eq!((&spec.image[..], &spec.mounts[..]), ("edge", &[PlatformMount::node_programs()][..]));
    assert_eq!((view.sizes.as_slice(), spec.networks.len()), (&[(25, 80)][..], 1));
    let of = |name: &str| spec.environment.0.iter().find_map(|entry| entry.strip_prefix(&format!("{name}=")));
    let (role, password) = (of("PGUSER").unwrap(), of("PGPASSWORD").unwrap());
    assert!(role.starts_with("hello_u_jane_"), "{role}");
    assert!(!spec.argv.iter().any(|word| word.contains(password)), "{:?}", spec.argv);
    assert!(world.databases.accepts(&Names::of("hello"), role, &Secret::new(password.to_owned())).await.unwrap());

    let ended = session.await.unwrap();
    assert_eq!(ended.end().unwrap(), Answer::Exited(3));
    assert_eq!(ended.output, b"select 1;\n");
    assert!(!world.databases.roles().contains(role), "its role is gone");
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
}
