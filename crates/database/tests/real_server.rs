//! Everything that is done to a server, on a real PostgreSQL of the tools tree: over TLS on loopback, with a master user as on RDS, and
//! with PostgreSQL's own programs.

#[path = "real_server/postgres.rs"]
mod postgres;
#[path = "real_server/proxy.rs"]
mod proxy;

use futuswarm_database::{
    Databases as _, Endpoint, Error, Login, MAJOR, Names, Server, dump, password, restore, script,
};
use futuswarm_secret::Secret;

use postgres::{Ended, Fixed, Postgres};

/// Those of the app `shop`.
const DATABASES: &str = "select string_agg(datname, ' ' order by datname) from pg_database where datname ~ 'shop'";

/// A role's way in, for programs.
struct Way<'a> {
    postgres: &'a Postgres,
    database: &'a str,
    role: &'a str,
    password: &'a Secret,
}

impl Way<'_> {
    /// What SQL answers.
    fn says(&self, sql: &str) -> Ended {
        self.postgres.run(&script(&self.postgres.endpoint(), self.database, self.role, self.password), sql.as_bytes())
    }

    /// The one value that a question has.
    fn value(&self, question: &str) -> String {
        self.says(&format!("\\pset format unaligned\n\\pset tuples_only\n{question};\n")).good_text()
    }
}

#[tokio::test]
async fn an_app_has_a_database_of_its_own_and_two_logins() {
    let postgres = Postgres::start();
    let server = Server::new(postgres.locator());
    let (names, secret) = (Names::of("my-shop"), password().unwrap());
    assert_eq!(server.state(&names).await.unwrap(), None);
    for _ in 0..2 {
        server.ensure(&names).await.unwrap();
        server.set_login(&names, Login::A, &secret).await.unwrap();
    }
    let first = Way { postgres: &postgres, database: "my-shop", role: "my-shop_a", password: &secret };
    first.says("create table items (name text); insert into items values ('one');").good();
    assert_eq!(first.value("select tableowner from pg_tables where tablename = 'items'"), "my-shop_owner");
    assert!(server.accepts(&names, "my-shop_a", &secret).await.unwrap());
    assert!(!server.accepts(&names, "my-shop_a", &Secret::new("wrong".to_owned())).await.unwrap());
    assert!(!server.accepts(&names, "my-shop_b", &secret).await.unwrap(), "there is none yet");

    // The second login, while the first goes on.
    let other_secret = password().unwrap();
    server.set_login(&names, Login::B, &other_secret).await.unwrap();
    let second = Way { role: "my-shop_b", password: &other_secret, ..first };
    second.says("insert into items values ('two'); alter table items add column at int;").good();
    assert_eq!(first.value("select count(*) from items"), "2");
    let state = server.state(&names).await.unwrap().unwrap();
    assert_eq!(state.logins, [Login::A, Login::B].into());
    assert_eq!((state.major, state.replaced.len()), (MAJOR, 0));
    assert!(state.bytes > 1 << 20, "{} bytes", state.bytes);

    // Another app reaches nothing of it, and a login has no rights but its owner's.
    let other = Names::of("other");
    server.ensure(&other).await.unwrap();
    server.set_login(&other, Login::A, &secret).await.unwrap();
    let stranger = Way { role: "other_a", ..first };
    let denied = stranger.says("select 1");
    assert!(denied.stderr.contains("permission denied for database"), "{denied:?}");
    for forbidden in ["create role more login", "create database more", "set role none; create table mine (x int)"] {
        let denied = first.says(forbidden);
        assert!(denied.stderr.contains("permission denied"), "{forbidden}: {denied:?}");
    }

    for _ in 0..2 {
        server.drop_everything(&names).await.unwrap();
        server.drop_everything(&other).await.unwrap();
    }
    assert_eq!(postgres.admin("select count(*) from pg_database where datname not like 'template%'"), "1");
    assert_eq!(postgres.admin("select count(*) from pg_roles where rolname ~ 'shop|other'"), "0");
}

#[tokio::test]
async fn a_session_leaves_nothing_but_what_it_made_for_the_app() {
    let postgres = Postgres::start();
    let server = Server::new(postgres.locator());
    let (names, secret) = (Names::of("shop"), password().unwrap());
    server.ensure(&names).await.unwrap();
    let role = names.session("jane", "1f");
    for _ in 0..2 {
        server.open_session(&names, "shop", &role, &secret).await.unwrap();
    }
    let session = Way { postgres: &postgres, database: "shop", role: &role, password: &secret };
    assert_eq!(session.value("select session_user || ' as ' || current_user"), "shop_u_jane_1f as shop_owner");
    // What would be in the way of removing the role: rights that it was given, and something of its own.
    session.says("create table notes (x int); grant select on notes to \"shop_u_jane_1f\"").good();
    session.says("set role none; select lo_create(4711)").good();
    // It has gone on for more than a day.
    let old = names.session("joe", "2e");
    server.open_session(&names, "shop", &old, &secret).await.unwrap();
    postgres.admin("alter role \"shop_u_joe_2e\" valid until '2001-01-01'");
    let mut long = postgres.spawn(&script(&postgres.endpoint(), "shop", &role, &secret), b"select pg_sleep(600);\n");
    postgres.until("select count(*) > 0 from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()");
    let later = names.session("jane", "3d");
    server.open_session(&names, "shop", &later, &secret).await.unwrap();
    assert_eq!(postgres.admin("select count(*) from pg_roles where rolname = 'shop_u_joe_2e'"), "0");
    for _ in 0..2 {
        server.close_session(&names, &role).await.unwrap();
    }
    assert!(!long.wait().unwrap().success(), "its connection was cut");
    let session = Way { role: &later, ..session };
    assert_eq!(session.value("select count(*) from pg_largeobject_metadata"), "1");
    assert_eq!(session.value("select tableowner from pg_tables where tablename = 'notes'"), "shop_owner");
    server.close_session(&names, &later).await.unwrap();
    assert_eq!(postgres.admin("select count(*) from pg_roles where rolname like 'shop\\_u\\_%'"), "0");
    // A script ends at the first statement that fails.
    server.open_session(&names, "shop", &later, &secret).await.unwrap();
    let broken = Way { role: &later, ..session }.says("select 1/0; select 'never';");
    assert_eq!(broken.code, Some(3), "{broken:?}");
    assert!(!broken.stdout.contains("never"));
    server.drop_everything(&names).await.unwrap();
}

#[tokio::test]
async fn a_backup_takes_the_place_of_what_is_there_or_changes_nothing() {
    let postgres = Postgres::start();
    let (server, endpoint) = (Server::new(postgres.locator()), postgres.endpoint());
    let (names, secret) = (Names::of("shop"), password().unwrap());
    server.ensure(&names).await.unwrap();
    server.set_login(&names, Login::A, &secret).await.unwrap();
    let app = Way { postgres: &postgres, database: "shop", role: "shop_a", password: &secret };
    app.says("create table items (id serial primary key, name text); create extension pg_trgm;").good();
    app.says("insert into items (name) select 'item ' || n from generate_series(1, 5000) n").good();
    let role = names.session("jane", "1f");
    server.open_session(&names, "shop", &role, &secret).await.unwrap();
    // A role that will not be there any more is in the backup.
    app.says("grant select on items to \"shop_u_jane_1f\"").good();
    let backup = postgres.run(&dump(&endpoint, "shop", &role, &secret), b"");
    backup.good();
    server.close_session(&names, &role).await.unwrap();
    assert!(backup.bytes.starts_with(b"PGDMP"));

    app.says("drop table items; create table later (x int);").good();
    let load = async |copy: &str, bytes: &[u8]| {
        let role = names.session("jane", copy);
        server.begin_restore(&names, copy).await.unwrap();
        server.open_session(&names, copy, &role, &secret).await.unwrap();
        let ended = postgres.run(&restore(&endpoint, copy, &role, &secret), bytes);
        server.close_session(&names, &role).await.unwrap();
        ended
    };
    // One that is cut changes nothing.
    let copy = names.copy("2e");
    let cut = load(&copy, &backup.bytes[..backup.bytes.len() / 2]).await;
    assert_ne!(cut.code, Some(0), "{cut:?}");
    assert_eq!(app.value("select count(*) from pg_tables where tablename = 'later'"), "1");

    // The whole one, while somebody is connected, the app writes, and a copy of before is still there.
    let copy = names.copy("3d");
    load(&copy, &backup.bytes).await.good();
    app.says("insert into later values (7)").good();
    let during = names.session("joe", "9f");
    server.open_session(&names, "shop", &during, &secret).await.unwrap();
    Way { role: &during, ..app }.says("set role none; select lo_create(4711)").good();
    let mut long = postgres.spawn(&script(&endpoint, "shop", "shop_a", &secret), b"select pg_sleep(600);\n");
    postgres.until("select count(*) > 0 from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()");
    for _ in 0..2 {
        server.finish_restore(&names, &copy).await.unwrap();
    }
    assert!(!long.wait().unwrap().success(), "its connection was cut");
    assert_eq!(app.value("select count(*) || max(name) from items"), "5000item 999");
    assert_eq!(app.value("select count(*) from pg_tables where tablename = 'later'"), "0");
    app.says("insert into items (name) values ('after')").good();
    assert!(server.accepts(&names, "shop_a", &secret).await.unwrap());

    // What was there is still there, with what was written last. A session reaches it, and what one has left in it is in nobody's way.
    let there = || postgres.admin(DATABASES);
    assert_eq!(there(), "shop shop_o_3d");
    let state = server.state(&names).await.unwrap().unwrap();
    assert_eq!(state.replaced.keys().collect::<Vec<_>>(), ["shop_o_3d"]);
    assert!(state.replaced["shop_o_3d"] > 1 << 20, "{state:?}");
    let later = names.session("jane", "6a");
    server.open_session(&names, "shop", &later, &secret).await.unwrap();
    let session = Way { role: &later, ..app };
    assert_eq!(session.value("select 1;\n\\connect shop_o_3d\nselect x from later"), "7");
    for role in [&during, &later] {
        server.close_session(&names, role).await.unwrap();
    }
    assert_eq!(postgres.admin("select count(*) from pg_roles where rolname like 'shop\\_u\\_%'"), "0");

    server.begin_restore(&names, &names.copy("4c")).await.unwrap();
    assert_eq!(there(), "shop shop_o_3d shop_r_4c", "until the next one is in place");
    server.abandon_restore(&names, &names.copy("4c")).await.unwrap();
    assert_eq!(there(), "shop shop_o_3d", "one that does not load takes nothing away");
    server.begin_restore(&names, &names.copy("5b")).await.unwrap();
    assert_eq!(there(), "shop shop_o_3d shop_r_5b");
    for _ in 0..2 {
        server.finish_restore(&names, &names.copy("5b")).await.unwrap();
        assert_eq!(there(), "shop shop_o_5b");
    }
    server.drop_everything(&names).await.unwrap();
    assert_eq!(postgres.admin("select count(*) from pg_database where datname ~ 'shop'"), "0");
}

#[tokio::test]
async fn who_is_kept_out_writes_nothing_more_until_they_are_let_in_again() {
    let postgres = Postgres::start();
    let (server, endpoint) = (Server::new(postgres.locator()), postgres.endpoint());
    let (names, secret) = (Names::of("shop"), password().unwrap());
    server.ensure(&names).await.unwrap();
    for login in Login::ALL {
        server.set_login(&names, login, &secret).await.unwrap();
    }
    let app = Way { postgres: &postgres, database: "shop", role: "shop_a", password: &secret };
    app.says("create table items (x int); grant connect on database shop to public").good();
    let open = names.session("jane", "1f");
    server.open_session(&names, "shop", &open, &secret).await.unwrap();
    let mut long = postgres.spawn(&script(&endpoint, "shop", "shop_b", &secret), b"select pg_sleep(600);\n");
    postgres.until("select count(*) > 0 from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()");
    for _ in 0..2 {
        server.keep_out(&names).await.unwrap();
    }
    let connected = "select count(*) from pg_stat_activity where datname = 'shop' and usename is not null";
    assert_eq!(postgres.admin(connected), "0");
    assert!(!long.wait().unwrap().success(), "its connection was cut");
    for role in ["shop_a", "shop_b", open.as_str()] {
        let denied = Way { role, ..app }.says("insert into items values (1)");
        assert!(denied.stderr.contains("permission denied for database"), "{role}: {denied:?}");
    }
    assert!(!server.accepts(&names, "shop_a", &secret).await.unwrap());
    // Whoever takes the last backup comes later, and is let in.
    let last = names.session("jane", "2e");
    server.open_session(&names, "shop", &last, &secret).await.unwrap();
    postgres.run(&dump(&endpoint, "shop", &last, &secret), b"").good();
    server.close_session(&names, &last).await.unwrap();

    for again in 0..2 {
        // By who has kept them out, or by who asks for the database again.
        match again {
            0 => server.let_in(&names).await.unwrap(),
            _ => server.ensure(&names).await.unwrap(),
        }
        for login in Login::ALL {
            assert!(server.accepts(&names, &names.login(login), &secret).await.unwrap(), "{login}");
        }
        server.keep_out(&names).await.unwrap();
    }
    // Where there is no database, nobody is kept out of any.
    server.drop_everything(&names).await.unwrap();
    server.keep_out(&names).await.unwrap();
    server.let_in(&names).await.unwrap();
    assert_eq!(postgres.admin("select count(*) from pg_roles where rolname ~ 'shop'"), "0");
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_touched() {
    let postgres = Postgres::start();
    let server = Server::new(postgres.locator());
    for app in ["postgres", "template1"] {
        let refused = server.ensure(&Names::of(app)).await.unwrap_err();
        assert!(matches!(refused, Error::Taken { .. }), "{app}: {refused}");
        server.drop_everything(&Names::of(app)).await.unwrap();
    }
    assert_eq!(
        postgres.admin("select count(*) from pg_roles where rolname like '%\\_owner' and rolname !~ '^pg_'"),
        "0"
    );
    postgres.admin("create role shop_owner login");
    let refused = server.ensure(&Names::of("shop")).await.unwrap_err();
    assert!(refused.to_string().contains("shop_owner"), "{refused}");
    assert_eq!(postgres.admin("select count(*) from pg_database where datname = 'shop'"), "0");
}

#[tokio::test]
async fn answers_that_are_lost_at_any_moment_leave_a_whole_database() {
    let postgres = Postgres::start();
    let (mut made, mut cut) = (0, 0);
    // The first connection breaks after so many bytes of the server, the next ones do not.
    for bytes in (1200..2700).step_by(75) {
        let proxy = proxy::Proxy::start(postgres.endpoint(), bytes).await;
        let server = Server::new(Fixed { endpoint: proxy.endpoint(), ..postgres.locator() });
        let (names, secret) = (Names::of(&format!("shop{bytes}")), password().unwrap());
        server.ensure(&names).await.unwrap();
        cut += usize::from(proxy.has_cut());
        server.set_login(&names, Login::A, &secret).await.unwrap();
        made += usize::from(server.accepts(&names, &names.login(Login::A), &secret).await.unwrap());
        server.drop_everything(&names).await.unwrap();
    }
    assert_eq!(made, 20);
    assert!(cut > 8, "only {cut} connections were cut: the bytes are to be chosen again");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_said_after_a_while() {
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
    let server = Server::new(Fixed { endpoint, user: "futuswarm".to_owned(), password: "hush".to_owned() });
    let error = server.ensure(&Names::of("shop")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("makes the database of shop") && text.contains("attempts"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}
