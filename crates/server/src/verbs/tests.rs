//! Every request with the command that it is, the verb that is asked for it, and what it is asked of.

use std::collections::BTreeSet;

use futuswarm_model::{AppRole, Principal, Rotation};
use futuswarm_rpc::message::{Deploy, Logs, Terminal, Value, Wait};

use super::Subject::{App, Cluster, ForApp};
use super::*;
use crate::tests::world::wish;

/// A request, and what is to be made of it.
type Sample = (Request, &'static str, Option<Verb>, Subject<'static>);

/// Samples of every variant. The patterns are a match, too: a variant that is new does not compile before there is a sample of it.
macro_rules! samples {
    ($($variant:pat => [$($sample:expr),+ $(,)?],)+) => {
        fn samples() -> Vec<(&'static str, Vec<Sample>)> {
            vec![$((stringify!($variant), vec![$($sample),+])),+]
        }

        fn variant(request: &Request) -> &'static str {
            match request {
                $($variant => stringify!($variant),)+
            }
        }
    };
}

const HELLO: Subject<'static> = App("hello");

fn hello() -> String {
    "hello".to_owned()
}

fn wait() -> Wait {
    Wait::default()
}

fn group() -> Principal {
    Principal::Group("ops".to_owned())
}

fn terminal() -> Option<Terminal> {
    Some(Terminal { kind: "xterm".to_owned(), rows: 24, columns: 80 })
}

fn values(kind: Kind, show: bool, key: Option<&str>) -> Request {
    Request::Values { app: hello(), kind, show, key: key.map(str::to_owned), version: None }
}

fn change(kind: Kind, set: &[&str], unset: &[&str], dotenv: Option<&str>) -> Request {
    Request::Change {
        app: hello(),
        kind,
        set: set.iter().map(|key| ((*key).to_owned(), Value::from("1"))).collect(),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
        dotenv: dotenv.map(Value::from),
        replace: false,
        stage: false,
        wait: wait(),
    }
}

fn put(create: bool, keys: Option<Vec<String>>) -> Request {
    Request::PutUser { name: "joe".to_owned(), create, keys, admin: Some(true), groups: None }
}

fn link(end: bool) -> Request {
    Request::Link(Link { app: hello(), other: "shop".to_owned(), end, wait: wait() })
}

fn entries() -> BTreeSet<String> {
    BTreeSet::from(["group:staff".to_owned()])
}

fn admit(change: Option<AdmitChange>) -> Request {
    Request::Admit(Admit { app: hello(), change })
}

fn login(order: LoginOrder) -> Request {
    Request::Login { order }
}

fn label(value: Option<&str>) -> Request {
    Request::LabelNode { node: "i-1".to_owned(), label: "disk".to_owned(), value: value.map(str::to_owned) }
}

fn collect(app: Option<String>) -> Request {
    Request::CollectImages { app, keep: None, plan: false, wait: None }
}

fn deploy() -> Deploy {
    Deploy { app: hello(), image: None, app_file: None, plan: false, wait: wait() }
}

samples! {
    Request::Whoami => [(Request::Whoami, "whoami", None, Cluster)],
    Request::Apps => [(Request::Apps, "app:list", Some(Verb::ListApps), Cluster)],
    Request::App { .. } => [(Request::App { app: hello() }, "app:inspect", Some(Verb::Inspect), HELLO)],
    Request::Deploy(_) => [(Request::Deploy(deploy()), "app:deploy", Some(Verb::Deploy), HELLO)],
    Request::Rollback { .. } => [
        (Request::Rollback { app: hello(), to: None, wait: wait() }, "app:rollback", Some(Verb::Rollback), HELLO),
    ],
    Request::Scale { .. } => [
        (Request::Scale { app: hello(), replicas: 2, wait: wait() }, "app:scale", Some(Verb::Scale), HELLO),
    ],
    Request::Restart { .. } => [
        (Request::Restart { app: hello(), wait: wait() }, "app:restart", Some(Verb::Restart), HELLO),
    ],
    Request::Cancel { .. } => [(Request::Cancel { app: hello() }, "app:cancel", Some(Verb::Deploy), HELLO)],
    Request::Watch { .. } => [
        (Request::Watch { app: hello(), release: None }, "app:watch", Some(Verb::Releases), HELLO),
    ],
    Request::Releases { .. } => [
        (Request::Releases { app: hello(), limit: 9 }, "app:releases", Some(Verb::Releases), HELLO),
    ],
    Request::Why { .. } => [(Request::Why { app: hello(), release: None }, "app:why", Some(Verb::Why), HELLO)],
    Request::Remove { .. } => [(Request::Remove { app: hello() }, "app:remove", Some(Verb::Remove), HELLO)],
    Request::Values { .. } => [
        // Values are read by who may read values, and names by more.
        (values(Kind::Config, false, None), "config", Some(Verb::ListConfig), HELLO),
        (values(Kind::Config, true, None), "config", Some(Verb::ReadConfig), HELLO),
        (values(Kind::Config, true, Some("A")), "config:get", Some(Verb::ReadConfig), HELLO),
        (values(Kind::Secrets, false, None), "secret", Some(Verb::ListSecrets), HELLO),
        (values(Kind::Secrets, true, None), "secret", Some(Verb::ReadSecrets), HELLO),
        (values(Kind::Secrets, true, Some("A")), "secret:get", Some(Verb::ReadSecrets), HELLO),
    ],
    Request::Change { .. } => [
        (change(Kind::Config, &["A"], &[], None), "config:set", Some(Verb::WriteConfig), HELLO),
        (change(Kind::Config, &["A"], &["B"], None), "config:set", Some(Verb::WriteConfig), HELLO),
        (change(Kind::Config, &[], &[], Some("A=1")), "config:set", Some(Verb::WriteConfig), HELLO),
        (change(Kind::Config, &[], &["A"], None), "config:unset", Some(Verb::WriteConfig), HELLO),
        (change(Kind::Secrets, &["A"], &[], None), "secret:set", Some(Verb::WriteSecrets), HELLO),
        (change(Kind::Secrets, &[], &["A"], None), "secret:unset", Some(Verb::WriteSecrets), HELLO),
    ],
    Request::Import(_) => [
        (Request::Import(wish("hello")), "config:import", Some(Verb::ImportConfig), ForApp("hello")),
    ],
    Request::History { .. } => [
        (
            Request::History { app: hello(), kind: Kind::Config, limit: 9 },
            "config:history", Some(Verb::ListConfig), HELLO,
        ),
        (
            Request::History { app: hello(), kind: Kind::Secrets, limit: 9 },
            "secret:history", Some(Verb::ListSecrets), HELLO,
        ),
    ],
    Request::CompareVersions { .. } => [
        (
            Request::CompareVersions { app: hello(), kind: Kind::Config, from: "1".to_owned(), to: None },
            "config:diff", Some(Verb::ListConfig), HELLO,
        ),
        (
            Request::CompareVersions { app: hello(), kind: Kind::Secrets, from: "1".to_owned(), to: None },
            "config:diff", Some(Verb::ListSecrets), HELLO,
        ),
    ],
    Request::Logs(_) => [
        (Request::Logs(Logs { app: hello(), ..Logs::default() }), "app:logs", Some(Verb::Logs), HELLO),
    ],
    Request::Run { .. } => [
        (Request::Run { app: hello(), argv: Vec::new(), terminal: None }, "app:run", Some(Verb::Run), HELLO),
        (Request::Run { app: hello(), argv: Vec::new(), terminal: terminal() }, "app:shell", Some(Verb::Shell), HELLO),
    ],
    Request::Access { .. } => [(Request::Access { app: hello() }, "acl:user:list", Some(Verb::ListAccess), HELLO)],
    Request::Grant { .. } => [
        (
            Request::Grant { app: hello(), principal: group(), role: AppRole::Viewer },
            "acl:user:add", Some(Verb::ChangeAccess), HELLO,
        ),
    ],
    Request::Revoke { .. } => [
        (Request::Revoke { app: hello(), principal: group() }, "acl:user:rm", Some(Verb::ChangeAccess), HELLO),
    ],
    Request::AppsOf { .. } => [
        (Request::AppsOf { user: "joe".to_owned() }, "acl:user:services", Some(Verb::ListAccessOfUser), Cluster),
    ],
    Request::Users { .. } => [
        (Request::Users { admins: true }, "admin:list", Some(Verb::ListAdmins), Cluster),
        (Request::Users { admins: false }, "users", Some(Verb::ChangeUsers), Cluster),
    ],
    Request::PutUser { .. } => [
        (put(true, Some(Vec::new())), "admin:user:add", Some(Verb::ChangeUsers), Cluster),
        (put(false, Some(Vec::new())), "admin:user:key:set", Some(Verb::ChangeUsers), Cluster),
        (put(false, None), "admin:user:set", Some(Verb::ChangeUsers), Cluster),
    ],
    Request::RemoveUser { .. } => [
        (Request::RemoveUser { name: "joe".to_owned() }, "admin:user:rm", Some(Verb::ChangeUsers), Cluster),
    ],
    Request::Tokens { .. } => [(Request::Tokens { app: hello() }, "tokens", Some(Verb::Tokens), HELLO)],
    Request::CreateToken { .. } => [
        (
            Request::CreateToken { app: hello(), name: "ci".to_owned(), key: String::new(), days: 1 },
            "tokens:create", Some(Verb::Tokens), HELLO,
        ),
    ],
    Request::RevokeToken { .. } => [
        (Request::RevokeToken { app: hello(), name: "ci".to_owned() }, "tokens:revoke", Some(Verb::Tokens), HELLO),
    ],
    Request::Nodes => [(Request::Nodes, "swarm:nodes", Some(Verb::ListNodes), Cluster)],
    Request::LabelNode { .. } => [
        (label(Some("ssd")), "swarm:node:label:add", Some(Verb::LabelNodes), Cluster),
        (label(None), "swarm:node:label:rm", Some(Verb::LabelNodes), Cluster),
    ],
    Request::Audit { .. } => [(Request::Audit { limit: 9 }, "admin:swarm:usage", Some(Verb::ReadAudit), Cluster)],
    Request::RestartAll => [(Request::RestartAll, "admin:swarm:restart", Some(Verb::RestartAll), Cluster)],
    Request::FindBlobs { .. } => [
        (Request::FindBlobs { app: hello(), digests: Vec::new() }, "image:push", Some(Verb::PushImage), HELLO),
    ],
    Request::PutBlob { .. } => [
        (
            Request::PutBlob { app: hello(), digest: String::new(), length: 1 },
            "image:push", Some(Verb::PushImage), HELLO,
        ),
    ],
    Request::PutManifest { .. } => [
        (
            Request::PutManifest {
                app: hello(),
                tag: "1".to_owned(),
                media_type: String::new(),
                manifest: String::new(),
            },
            "image:push", Some(Verb::PushImage), HELLO,
        ),
    ],
    Request::Link(_) => [
        (link(false), "app:link", Some(Verb::Link), HELLO),
        (link(true), "app:unlink", Some(Verb::Link), HELLO),
    ],
    Request::Links { .. } => [(Request::Links { app: hello() }, "app:links", Some(Verb::ListLinks), HELLO)],
    Request::Admit(_) => [
        (admit(None), "app:access:list", Some(Verb::ListVisitors), HELLO),
        (admit(Some(AdmitChange::Add(entries()))), "app:access:add", Some(Verb::ChangeVisitors), HELLO),
        (admit(Some(AdmitChange::Everybody)), "app:access:add", Some(Verb::ChangeVisitors), HELLO),
        (admit(Some(AdmitChange::Remove(entries()))), "app:access:rm", Some(Verb::ChangeVisitors), HELLO),
        (admit(Some(AdmitChange::Open)), "app:open", Some(Verb::ChangeVisitors), HELLO),
        (admit(Some(AdmitChange::Private)), "app:private", Some(Verb::ChangeVisitors), HELLO),
    ],
    Request::Login { .. } => [
        (login(LoginOrder::Show), "admin:login", Some(Verb::InspectLogin), Cluster),
        (login(LoginOrder::Locked), "admin:login:locked", Some(Verb::InspectLogin), Cluster),
        (login(LoginOrder::Lock(entries())), "admin:login:lock", Some(Verb::LockOut), Cluster),
        (login(LoginOrder::Unlock(entries())), "admin:login:unlock", Some(Verb::LockOut), Cluster),
        (login(LoginOrder::Rotate(Rotation::InSteps)), "admin:login:rotate", Some(Verb::RotateLogin), Cluster),
        (login(LoginOrder::Rotate(Rotation::AtOnce)), "admin:login:rotate", Some(Verb::RotateLogin), Cluster),
    ],
    Request::Images { .. } => [(Request::Images { app: hello() }, "image:list", Some(Verb::ListImages), HELLO)],
    Request::CollectImages { .. } => [
        (collect(None), "image:gc", Some(Verb::CollectImages), Cluster),
        (collect(Some(hello())), "image:gc", Some(Verb::CollectAppImages), HELLO),
    ],
    Request::Stats => [(Request::Stats, "swarm:stats", Some(Verb::Usage), Cluster)],
    Request::Networks => [(Request::Networks, "swarm:network:health", Some(Verb::NetworkHealth), Cluster)],
    Request::Database { .. } => [(Request::Database { app: hello() }, "db:list", Some(Verb::ListDatabases), HELLO)],
    Request::CreateDatabase { .. } => [
        (Request::CreateDatabase { app: hello(), wait: wait() }, "db:create", Some(Verb::CreateDatabase), HELLO),
    ],
    Request::RotateDatabase { .. } => [
        (Request::RotateDatabase { app: hello(), wait: wait() }, "db:rotate", Some(Verb::RotateDatabase), HELLO),
    ],
    Request::BackUpDatabase { .. } => [
        (Request::BackUpDatabase { app: hello() }, "db:backup", Some(Verb::BackUpDatabase), HELLO),
    ],
    Request::RestoreDatabase { .. } => [
        (
            Request::RestoreDatabase { app: hello(), backup: None, without_backup: false },
            "db:restore", Some(Verb::RestoreDatabase), HELLO,
        ),
    ],
    Request::OpenDatabase { .. } => [
        (Request::OpenDatabase { app: hello(), terminal: None }, "db:psql", Some(Verb::OpenDatabase), HELLO),
        (Request::OpenDatabase { app: hello(), terminal: terminal() }, "db:psql", Some(Verb::OpenDatabase), HELLO),
    ],
    Request::DropDatabase { .. } => [
        (Request::DropDatabase { app: hello(), without_backup: false }, "db:drop", Some(Verb::DropDatabase), HELLO),
    ],
}

#[test]
fn every_request_is_told_by_its_own_command_and_decided_by_its_verb() {
    for (variant_of, samples) in samples() {
        for (request, name, expected, subject) in samples {
            assert_eq!(variant(&request), variant_of);
            assert_eq!(command(&request), name);
            let expected = expected.map(|verb| Command { verb, name });
            assert_eq!(verb(&request), (expected, subject), "{request:?}");
        }
    }
}

#[test]
fn whatever_the_audit_and_refusals_name_can_be_looked_up() {
    let file = std::path::Path::new("../../docs/cli.md");
    let reference = std::fs::read_to_string(file).unwrap();
    let is_there = |name: &str| reference.contains(&format!("\n### `{name}`\n"));
    for (request, name, ..) in samples().into_iter().flat_map(|(_, samples)| samples) {
        assert!(is_there(name), "{request:?} is said to be {name}");
    }
    // A verb alone is told, too, when a right was lost while somebody waited. Who collects is told which of both they may not.
    for verb in Verb::ALL.iter().filter(|verb| **verb != Verb::CollectAppImages) {
        assert!(is_there(verb.command()), "{verb:?} is said to be {}", verb.command());
    }
}
