//! Samples of what a cluster answers, and what commands make of them.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{AppRole, Failure, FailureClass, Outcome, PassphraseStep, Rotation};
use futuswarm_rpc::message::*;

use crate::fake::Fake;

#[path = "answers/commands.rs"]
mod commands;
#[path = "answers/documents.rs"]
mod documents;
#[path = "answers/words.rs"]
mod words;

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
        open: false,
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
        command_line: Some(CommandLine {
            version: "0.1.0".to_owned(),
            sha256: "0a".repeat(32),
            bytes: 6 << 20,
            url: "https://apps.example.com/cli/futuswarm".to_owned(),
        }),
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

pub fn imported(plan: bool, last: ImportOutcome) -> Imported {
    let object = |kind, folder: &str, key: &str, outcome, reason: Option<&str>| ImportedObject {
        object: format!("shop/{folder}/{key}"),
        kind,
        key: key.to_owned(),
        outcome,
        reason: reason.map(str::to_owned),
    };
    Imported {
        app: "hello".to_owned(),
        bucket: "old".to_owned(),
        plan,
        objects: vec![
            object(Kind::Config, "default", "LOG_LEVEL", ImportOutcome::Unchanged, None),
            object(Kind::Secrets, "docker-secret", "KEY", last, Some("its \u{1b}[2JHMAC")),
        ],
        config: Some("v2".to_owned()),
        secrets: Some("v1".to_owned()),
        deployment: None,
    }
}

fn backup() -> Backup {
    Backup { backup: "1796000000000-1f2e3d4c".to_owned(), at: 1_796_000_000_000, bytes: 4711 }
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
            visitors: Some(BTreeSet::from(["group:staff".to_owned()])),
            login: false,
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
        Request::Import(import) => Answer::Imported(imported(import.plan, ImportOutcome::Added)),
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
        Request::Link(link) => Answer::Link(LinkChange {
            app: link.app.clone(),
            other: link.other.clone(),
            state: if link.end { LinkState::Ended } else { LinkState::Linked },
            attached: !link.end,
            owners: Vec::new(),
            deployment: Some(deployment(Some(Outcome::Deployed))),
        }),
        Request::Links { .. } => Answer::Links(vec![
            LinkRow {
                other: "shop".to_owned(),
                state: LinkState::Waiting,
                attached: false,
                by: Some("jane".to_owned()),
                at: Some(0),
            },
            LinkRow { other: "blog".to_owned(), state: LinkState::Asked, attached: false, by: None, at: None },
        ]),
        Request::Admit(admit) => Answer::Admitted(Admitted {
            app: admit.app.clone(),
            open: admit.change == Some(AdmitChange::Open),
            visitors: Some(BTreeSet::from(["group:staff".to_owned(), "user:ada@example.com".to_owned()])),
            login: true,
            changed: admit.change.is_some(),
        }),
        Request::Login { order: LoginOrder::Show | LoginOrder::Rotate(_) } => Answer::Login(LoginState {
            domain: Some("apps.example.com".to_owned()),
            issuer: Some("https://idp.example.com".to_owned()),
            discovered_at: Some(0),
            client_secret: true,
            passphrase: Some(PassphraseState {
                step: PassphraseStep::Done,
                since: 0,
                asked: Some(Rotation::InSteps),
                free_at: 0,
            }),
            locked: 2,
        }),
        Request::Login { order } => Answer::LockedOut(LockedOut {
            visitors: BTreeSet::from(["group:staff".to_owned(), "user:ada@example.com".to_owned()]),
            login: true,
            changed: *order != LoginOrder::Locked,
        }),
        Request::Images { .. } => Answer::Images(BTreeMap::from([("1".to_owned(), "sha256:aa".to_owned())])),
        Request::CollectImages { plan, .. } => Answer::Collected(crate::cluster::collected(*plan)),
        Request::Stats => Answer::Stats(vec![crate::cluster::stats()]),
        Request::Networks => Answer::Networks(vec![crate::cluster::network(&[])]),
        Request::Database { .. } => Answer::Database(Database {
            app: "hello".to_owned(),
            database: Some("hello".to_owned()),
            server: Some("db.example.internal:5432".to_owned()),
            bytes: Some(7_500_000),
            login: Some("hello_b".to_owned()),
            logins: vec!["hello_a".to_owned(), "hello_b".to_owned()],
            created_by: Some("jane".to_owned()),
            created_at: Some(0),
            backups: vec![backup()],
        }),
        Request::CreateDatabase { .. } | Request::RotateDatabase { .. } => Answer::Changed(Changed {
            app: "hello".to_owned(),
            kind: Kind::Secrets,
            version: Some("v2".to_owned()),
            keys: BTreeMap::from([("DATABASE_URL".to_owned(), "added".to_owned())]),
            deployment: Some(deployment(Some(Outcome::Deployed))),
        }),
        Request::BackUpDatabase { .. } => Answer::Backup(backup()),
        Request::RestoreDatabase { .. } | Request::DropDatabase { .. } => Answer::Done("it is done".to_owned()),
        Request::OpenDatabase { .. } => Answer::Exited(0),
    }
}

pub fn cluster() -> Fake {
    Fake::answering(|request| Ok(answer(request)))
}
