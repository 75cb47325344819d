//! What commands take beside their names: apps, confirmations, keys; and what is said when it is wrong or refused.

use std::collections::BTreeSet;

use futuswarm_rpc::message::*;

use super::{answer, cluster};
use crate::fake::Fake;

#[test]
fn each_class_of_refusal_has_its_exit_code() {
    for (class, code) in [
        (RefusalClass::Failed, 1),
        (RefusalClass::Unavailable, 1),
        (RefusalClass::Usage, 2),
        (RefusalClass::Denied, 3),
        (RefusalClass::NotFound, 4),
        (RefusalClass::Locked, 5),
        (RefusalClass::TimedOut, 6),
    ] {
        let fake = Fake::answering(move |request| match request {
            Request::Apps => Ok(answer(request)),
            _ => Err((class, "no: \u{1b}[2J look elsewhere")),
        });
        let said = fake.run(&["releases", "hello"]).ended(code).says("error: no: \u{fffd}[2J look elsewhere");
        assert!(said.stdout.is_empty());
    }
}

#[test]
fn a_name_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let fake = Fake::answering(|request| match request {
        Request::Apps => Ok(answer(request)),
        _ => Err((RefusalClass::NotFound, "there is no app helo")),
    });
    fake.run(&["ps", "helo"]).ended(4).says("there is no app helo; did you mean hello?");
    fake.run(&["app", "delpoy", "hello"]).ended(2).says("app:deploy");
    fake.run(&["delpoy", "hello"]).ended(2).says("deploy");
    fake.run(&["app"]).ended(2).says("app:deploy");
    let help = fake.run(&["app", "--help"]).ended(0);
    assert!(help.text().contains("app:inspect"));
    fake.run(&[]).ended(2);
}

#[test]
fn the_app_comes_from_the_environment_or_the_folder() {
    let fake = cluster();
    fake.run(&["ps"]).ended(2).says("which app?");
    std::fs::write(fake.work().join("app.toml"), "app = \"shop\"\nport = 80\n").unwrap();
    fake.run(&["ps"]).ended(0);
    let mut command = fake.command(&["ps"]);
    command.env("FUTUSWARM_APP", "hello");
    crate::fake::finish(command, b"").ended(0);
    fake.run(&["deploy", "-i", "shop:2"]).ended(0);
    fake.run(&["deploy", "other", "-i", "x"]).ended(0).says("does not name other");
    let requests = fake.requests();
    assert_eq!(requests[..2], [Request::App { app: "shop".to_owned() }, Request::App { app: "hello".to_owned() }]);
    let files: Vec<Option<&str>> = requests[2..]
        .iter()
        .map(|request| match request {
            Request::Deploy(deploy) => deploy.app_file.as_deref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(files, [Some("app = \"shop\"\nport = 80\n"), None]);
}

#[test]
fn an_app_file_in_the_folder_that_cannot_be_read_is_an_error_and_not_passed_over() {
    let fake = cluster();
    std::fs::write(fake.work().join("app.toml"), "app = \"hello\"\nmemory = 1 GiB\n").unwrap();
    for words in [&["ps"][..], &["deploy"], &["deploy", "hello", "-i", "hello:2"], &["deploy", "-f", "app.toml"]] {
        fake.run(words).ended(2).says("error: app.toml, line 2: ");
    }
    assert!(fake.requests().is_empty(), "nothing is deployed without the settings that the file was to bring");
    // What it does not matter for goes on, and who looks at everything is told.
    fake.run(&["ps", "hello"]).ended(0);
    let said = fake.run(&["doctor"]).ended(1);
    assert!(said.text().contains("fail  app: app.toml, line 2: "), "{said:?}");
}

#[test]
fn doctor_refuses_an_app_that_nothing_can_be_called() {
    let fake = cluster();
    fake.run(&["doctor", "Bad Name"]).ended(2).says("the app: ");
    fake.run(&["doctor", "-a", "Bad"]).ended(2);
    fake.run(&["doctor", "hello", "-a", "shop"]).ended(2).says("hello or shop");
    assert!(fake.requests().is_empty());
    let mut command = fake.command(&["doctor"]);
    command.env("FUTUSWARM_APP", "Bad Name");
    let said = crate::fake::finish(command, b"").ended(1);
    assert!(said.text().contains("fail  app: the app: ") && said.text().contains("ok    connection"), "{said:?}");
}

#[test]
fn what_cannot_be_undone_is_not_done_without_its_name() {
    let fake = cluster();
    fake.run(&["app:remove", "hello"]).ended(2).says("--confirm hello");
    fake.run(&["app:remove", "hello", "--confirm", "shop"]).ended(2).says("nothing was done");
    fake.run(&["admin:swarm:restart"]).ended(2);
    fake.run(&["db:drop", "hello"]).ended(2).says("--confirm hello");
    fake.run(&["db:restore", "hello", "--confirm", "shop"]).ended(2).says("nothing was done");
    fake.run(&["db:drop:postgres", "-n", "hello", "--password", "x"]).ended(2).says("not needed any more");
    fake.run(&["db:restore", "hello", "--confirm", "hello", "--password", "x"]).ended(2).says("not needed any more");
    assert!(fake.requests().is_empty());
}

#[test]
fn a_token_is_a_key_pair_whose_private_half_stays_here() {
    let fake = cluster();
    let folder = fake.work();
    let said = fake.run(&["tokens:create", "ci", "-a", "hello", "--days", "30"]).ended(0).says("shown once");
    assert!(said.text().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"), "{said:?}");
    match &fake.requests()[..] {
        [Request::CreateToken { app, name, key, days: 30 }] => {
            assert_eq!((app.as_str(), name.as_str()), ("hello", "ci"));
            assert!(key.starts_with("ssh-ed25519 ") && key.lines().count() == 1, "{key}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "no key is left behind");
    let document = fake.run(&["tokens:create", "ci", "-a", "hello", "--json"]).ended(0).json();
    assert_eq!((&document["app"], &document["expires_at"]), (&"hello".into(), &1_800_000_000_000_u64.into()));
    fake.run(&["tokens:create", "-a", "hello", "a b"]).ended(2);
}

#[test]
fn users_are_made_with_their_public_keys() {
    let fake = cluster();
    std::fs::write(fake.work().join("joe.pub"), "ssh-ed25519 AAAA joe\n").unwrap();
    std::fs::write(fake.work().join("joe"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    fake.run(&["admin", "user", "add", "joe", "--key", "joe.pub", "--group", "dev", "--admin"]).ended(0);
    // As the old command line has it.
    fake.run(&["admin:user:key:set", "--user", "joe", "--key", "joe.pub"]).ended(0);
    fake.run(&["admin:user:add", "joe", "--key", "joe"]).ended(2).says("private key");
    fake.run(&["admin:user:add", "Joe!", "--key", "joe.pub"]).ended(2);
    let keys = Some(vec!["ssh-ed25519 AAAA joe".to_owned()]);
    let name = "joe".to_owned();
    let groups = Some(BTreeSet::from(["dev".to_owned()]));
    let expected = [
        Request::PutUser { name: name.clone(), create: true, keys: keys.clone(), admin: Some(true), groups },
        Request::PutUser { name, create: false, keys, admin: None, groups: None },
    ];
    assert_eq!(fake.requests(), expected);
}
