//! Samples of what a cluster answers, and what every command makes of them.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{AppRole, Failure, FailureClass, Outcome};
use futuswarm_rpc::message::*;

use crate::fake::Fake;

pub fn deployment(outcome: Option<Outcome>) -> Deployment {
    let good = outcome.is_none_or(Outcome::is_good);
    Deployment {
        app: "hello".to_owned(),
        release: Some(7),
        image: "hello:1".to_owned(),
        url: "https://hello.apps.example.com".to_owned(),
        outcome,
        seconds: 12,
        failure: (!good).then(failure),
        previous: Some(6),
    }
}

pub fn failure() -> Failure {
    Failure {
        class: FailureClass::Exits,
        reason: "the program ends with code 3".to_owned(),
        remedy: "look at its last lines".to_owned(),
        log: vec!["panic: no database".to_owned(), "bye".to_owned()],
    }
}

fn row() -> AppRow {
    AppRow {
        app: "hello".to_owned(),
        url: "https://hello.apps.example.com".to_owned(),
        release: Some(7),
        image: Some("hello:1".to_owned()),
        role: Some(AppRole::Owner),
        running: 1,
        replicas: 2,
        deploying: None,
    }
}

pub fn whoami(name: &str) -> Whoami {
    Whoami {
        name: name.to_owned(),
        token_of: None,
        admin: false,
        groups: BTreeSet::from(["dev".to_owned()]),
        cluster: "apps".to_owned(),
        domain: "apps.example.com".to_owned(),
        node: "i-1".to_owned(),
        version: "0.1.0".to_owned(),
        host_ca: "ssh-ed25519 AAAAC3Nz cluster".to_owned(),
    }
}

pub fn values(show: bool, pairs: &[(&str, &[u8])]) -> Values {
    let value = |value: &[u8]| show.then(|| Value::from(value.to_vec()));
    Values {
        app: "hello".to_owned(),
        kind: Kind::Config,
        version: Some("v1".to_owned()),
        values: pairs.iter().map(|(key, bytes)| ((*key).to_owned(), value(bytes))).collect(),
    }
}

/// What a whole cluster would answer.
pub fn answer(request: &Request) -> Answer {
    let user = || UserRow {
        name: "joe".to_owned(),
        admin: false,
        groups: BTreeSet::from(["dev".to_owned()]),
        keys: vec!["SHA256:abc".to_owned()],
    };
    let token = || TokenRow {
        name: "ci".to_owned(),
        key: "SHA256:abc".to_owned(),
        by: "jane".to_owned(),
        expires_at: 1_800_000_000_000,
    };
    match request {
        Request::Whoami => Answer::Whoami(whoami("jane")),
        Request::Apps | Request::AppsOf { .. } => Answer::Apps(vec![row()]),
        Request::App { .. } => Answer::App(Box::new(App {
            row: row(),
            digest: Some("sha256:aa".to_owned()),
            settings: None,
            config: Some("v1".to_owned()),
            secrets: None,
            created_by: "jane".to_owned(),
            created_at: 0,
            tasks: vec![TaskRow {
                id: "t1".to_owned(),
                slot: 1,
                release: Some(7),
                node: Some("i-1".to_owned()),
                state: "running".to_owned(),
                desired: "running".to_owned(),
                since: 0,
                error: "a\nb\u{1b}[2J".to_owned(),
            }],
        })),
        Request::Deploy(deploy) if deploy.plan => Answer::Plan(Plan {
            app: "hello".to_owned(),
            new: false,
            changes: vec![PlannedChange { name: "port".to_owned(), before: "80".to_owned(), after: "8000".to_owned() }],
        }),
        Request::Deploy(_)
        | Request::Rollback { .. }
        | Request::Scale { .. }
        | Request::Restart { .. }
        | Request::Watch { .. } => Answer::Deployment(deployment(Some(Outcome::Deployed))),
        Request::Cancel { .. } | Request::Remove { .. } | Request::RemoveUser { .. } | Request::RestartAll => {
            Answer::Done("it is done".to_owned())
        }
        Request::Releases { .. } => Answer::Releases(vec![ReleaseRow {
            release: 7,
            image: "hello:1".to_owned(),
            digest: None,
            config: None,
            secrets: None,
            of: Some(5),
            by: "jane".to_owned(),
            created_at: 0,
            outcome: Some(Outcome::Deployed),
            current: true,
            reason: None,
        }]),
        Request::Why { .. } => Answer::Why(Why {
            app: "hello".to_owned(),
            release: Some(8),
            outcome: Some(Outcome::RolledBack),
            failure: Some(failure()),
        }),
        Request::Values { show, key, .. } => Answer::Values(match key {
            Some(key) => values(*show, &[(key, "a value \"🦀\"".as_bytes())]),
            None => values(*show, &[("A", b"1"), ("B", "x \"\n= 🦀".as_bytes()), ("C", &[0xff, 0])]),
        }),
        Request::Change { .. } => Answer::Changed(Changed {
            app: "hello".to_owned(),
            kind: Kind::Config,
            version: Some("v2".to_owned()),
            keys: BTreeMap::from([("A".to_owned(), "changed".to_owned())]),
            deployment: Some(deployment(Some(Outcome::Deployed))),
        }),
        Request::History { .. } => {
            Answer::History(vec![Version { number: 2, version: "v2".to_owned(), by: "jane".to_owned(), at: 0 }])
        }
        Request::CompareVersions { .. } => {
            Answer::KeyDifferences(BTreeMap::from([("A".to_owned(), "removed".to_owned())]))
        }
        Request::Logs(_) => Answer::Logs(LogsEnd { lines: 0, silent: vec!["i-2".to_owned()] }),
        Request::Run { .. } => Answer::Exited(0),
        Request::Access { .. } | Request::Grant { .. } | Request::Revoke { .. } => {
            Answer::Access(vec![AccessRow { principal: "@ops".parse().unwrap(), role: AppRole::Viewer }])
        }
        Request::Users { .. } => Answer::Users(vec![user()]),
        Request::PutUser { .. } => Answer::User(user()),
        Request::Tokens { .. } | Request::CreateToken { .. } | Request::RevokeToken { .. } => {
            Answer::Tokens(vec![token()])
        }
        Request::Nodes | Request::LabelNode { .. } => Answer::Nodes(vec![NodeRow {
            name: "i-1".to_owned(),
            role: "manager".to_owned(),
            state: "ready".to_owned(),
            availability: "active".to_owned(),
            leader: true,
            address: "10.0.0.1".to_owned(),
            labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
            engine: "26.1.5".to_owned(),
            tasks: 3,
        }]),
        Request::Audit { .. } => Answer::Audit(vec![AuditEntry {
            at: 0,
            who: "jane".to_owned(),
            verb: "app:deploy".to_owned(),
            app: Some("hello".to_owned()),
            outcome: "done".to_owned(),
            milliseconds: 5,
            from: "198.51.100.7".to_owned(),
        }]),
        Request::FindBlobs { .. } => Answer::Blobs(BTreeSet::new()),
        Request::PutBlob { .. } => Answer::Done(String::new()),
        Request::PutManifest { manifest, .. } => Answer::Pushed(futuswarm_cli::archive::digest(manifest.as_bytes())),
        Request::Images { .. } => Answer::Images(BTreeMap::from([("1".to_owned(), "sha256:aa".to_owned())])),
    }
}

fn cluster() -> Fake {
    Fake::answering(|request| Ok(answer(request)))
}

/// Every command that asks one thing: what it asks, as JSON names it, and words of what it prints for people.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("whoami", "whoami", "apps.example.com"),
    ("cli version-check", "whoami", "is the version"),
    ("app list", "apps", "not all tasks run"),
    ("acl:user:services joe", "apps-of", "hello"),
    ("app:inspect hello", "app", "sha256:aa"),
    ("ps hello", "app", "hello.1"),
    ("swarm node location -n hello", "app", "i-1"),
    ("open hello", "app", "https://hello.apps.example.com"),
    ("deploy hello -i hello:1 --plan", "deploy", "8000"),
    ("deploy hello -i hello:1", "deploy", "https://hello.apps.example.com"),
    ("app restart hello", "restart", "https://hello.apps.example.com"),
    ("scale hello 3", "scale", "https://hello.apps.example.com"),
    ("rollback hello", "rollback", "https://hello.apps.example.com"),
    ("watch hello", "watch", "https://hello.apps.example.com"),
    ("cancel hello", "cancel", "it is done"),
    ("app:remove hello --confirm hello", "remove", "it is done"),
    ("releases hello", "releases", "(of 5)"),
    ("why hello", "why", "look at its last lines"),
    ("config hello", "values", "KEY"),
    ("config hello --show", "values", "B=\"x \\\"\\n= 🦀\""),
    ("config:get hello A", "values", "a value \"🦀\""),
    ("config:set hello A=1", "change", "changed"),
    ("config:unset -a hello A", "change", "changed"),
    ("config:history hello", "history", "v2"),
    ("config:diff -a hello v1", "compare-versions", "removed"),
    ("secret hello", "values", "KEY"),
    ("secret:set hello A=1", "change", "changed"),
    ("secret:unset -a hello A", "change", "changed"),
    ("secret:history hello", "history", "v2"),
    ("acl user list -a hello", "access", "@ops"),
    ("acl:user:add joe -a hello --role viewer", "grant", "@ops"),
    ("acl:user:rm @ops -a hello", "revoke", "@ops"),
    ("tokens hello", "tokens", "ci"),
    ("tokens:revoke ci -a hello", "revoke-token", "ci"),
    ("users", "users", "SHA256:abc"),
    ("admin:list", "users", "SHA256:abc"),
    ("admin:user:set joe --admin true", "put-user", "SHA256:abc"),
    ("admin:user:rm joe", "remove-user", "it is done"),
    ("admin:swarm:usage", "audit", "198.51.100.7"),
    ("admin:swarm:restart --yes", "restart-all", "it is done"),
    ("swarm:nodes", "nodes", "manager (leader)"),
    ("swarm:node:label:add disk=ssd --node i-1", "label-node", "disk=ssd"),
    ("swarm:node:label:rm disk --node i-1", "label-node", "disk=ssd"),
    ("image:list hello", "images", "sha256:aa"),
];

#[test]
fn every_command_asks_for_what_it_says_and_shows_the_answer() {
    for (line, asked, part) in COMMANDS {
        let fake = cluster();
        let words: Vec<&str> = line.split(' ').collect();
        let said = fake.run(&words).ended(0);
        assert!(said.text().contains(part), "{line}: {part:?} is not in {said:?}");
        assert!(!said.text().contains('\u{1b}'), "{line}: {said:?}");
        let requests = fake.requests();
        assert_eq!(requests.len(), 1, "{line}: {requests:?}");
        assert_eq!(serde_json::to_value(&requests[0]).unwrap()["request"], *asked, "{line}");
    }
}

#[test]
fn every_command_prints_one_document_when_asked_to() {
    for (line, ..) in COMMANDS {
        let fake = cluster();
        let mut words = vec!["--json"];
        words.extend(line.split(' '));
        let said = fake.run(&words).ended(0);
        let document = said.json();
        // What is not made of several answers is the answer's own document.
        let wanted = serde_json::to_value(answer(&fake.requests()[0])).unwrap();
        if document != wanted["content"] {
            let own = [
                "deploy hello -i hello:1",
                "app restart",
                "scale",
                "rollback",
                "watch",
                "why",
                "open",
                "ps",
                "swarm node",
                "cli",
                "cancel",
                "app:remove",
                "admin:user:rm",
                "admin:swarm:restart",
            ];
            assert!(own.iter().any(|own| line.starts_with(own)), "{line}: {document} is not {wanted}");
        }
    }
}

#[test]
fn a_node_is_a_line_of_json() {
    let said = cluster().run(&["node", "json"]).ended(0);
    let lines: Vec<&str> = said.text().lines().collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines[0]).unwrap()["name"], "i-1");
}

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
fn what_cannot_be_undone_is_not_done_without_its_name() {
    let fake = cluster();
    fake.run(&["app:remove", "hello"]).ended(2).says("--confirm hello");
    fake.run(&["app:remove", "hello", "--confirm", "shop"]).ended(2).says("nothing was done");
    fake.run(&["admin:swarm:restart"]).ended(2);
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
