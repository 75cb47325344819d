//! What could be typed to the old command line, and what it asks for now.

use futuswarm_model::{AppRole, Principal, unix_millis};
use futuswarm_rpc::Hello;
use futuswarm_rpc::message::*;

use crate::answers::cluster;
use crate::fake::Fake;

fn hello() -> String {
    "hello".to_owned()
}

fn values(kind: Kind, key: Option<&str>) -> Request {
    Request::Values { app: hello(), kind, show: key.is_some(), key: key.map(str::to_owned), version: None }
}

fn change(kind: Kind, set: &[(&str, &str)], unset: &[&str]) -> Request {
    Request::Change {
        app: hello(),
        kind,
        set: set.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect(),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
        dotenv: None,
        replace: false,
        stage: false,
        wait: Wait::default(),
    }
}

fn label(value: Option<&str>) -> Request {
    Request::LabelNode { node: "i-1".to_owned(), label: "ssd".to_owned(), value: value.map(str::to_owned) }
}

#[test]
fn each_old_spelling_asks_for_what_it_means_now() {
    let fake = cluster();
    std::fs::write(fake.work().join("keystore.p12"), "a store").unwrap();
    let sh = ["sh", "-c", "id"].map(str::to_owned);
    let detached = Wait { detach: true, ..Wait::default() };
    let joe: Principal = "joe".parse().unwrap();
    let lines = [
        ("app:list -n hello", Request::App { app: hello() }),
        ("app:inspect -n hello", Request::App { app: hello() }),
        ("app:restart -n hello --async", Request::Restart { app: hello(), wait: detached }),
        ("app:run -n hello --action id", Request::Run { app: hello(), argv: sh.to_vec(), terminal: None }),
        ("config -n hello", values(Kind::Config, None)),
        ("config:get KEY -n hello", values(Kind::Config, Some("KEY"))),
        ("config:set KEY=a OTHER=b -n hello", change(Kind::Config, &[("KEY", "a"), ("OTHER", "b")], &[])),
        ("config:unset KEY -n hello", change(Kind::Config, &[], &["KEY"])),
        ("secret -n hello", values(Kind::Secrets, None)),
        ("secret:get KEYSTORE -n hello", values(Kind::Secrets, Some("KEYSTORE"))),
        ("secret:set KEYSTORE=@keystore.p12 -n hello", change(Kind::Secrets, &[("KEYSTORE", "a store")], &[])),
        ("secret:unset KEYSTORE -n hello", change(Kind::Secrets, &[], &["KEYSTORE"])),
        ("db:create:postgres -n hello", Request::CreateDatabase { app: hello(), wait: Wait::default() }),
        ("acl:user:list -n hello", Request::Access { app: hello() }),
        ("acl:user:add joe -n hello", Request::Grant { app: hello(), principal: joe.clone(), role: AppRole::Deployer }),
        ("acl:user:rm joe -n hello", Request::Revoke { app: hello(), principal: joe }),
        ("acl:user:services joe", Request::AppsOf { user: "joe".to_owned() }),
        ("admin:user:rm --user joe", Request::RemoveUser { name: "joe".to_owned() }),
        ("swarm:node:location -n hello", Request::App { app: hello() }),
        ("swarm:node:label:add ssd --node i-1", label(Some("true"))),
        ("swarm:node:label:rm ssd --node i-1", label(None)),
    ];
    for (line, expected) in &lines {
        fake.run(&line.split(' ').collect::<Vec<_>>()).ended(0);
        assert_eq!(fake.requests().last(), Some(expected), "{line}");
    }
    assert_eq!(fake.requests().len(), lines.len());
}

#[test]
fn logs_since_a_time_and_with_a_text_are_asked_for_by_their_old_options() {
    let fake = cluster();
    let hours = 2 * 3_600_000;
    let before = unix_millis() - hours;
    fake.run(&["app:logs", "-n", "hello", "--start", "2h", "--filter", "ERROR"]).ended(0);
    let after = unix_millis() - hours;
    match &fake.requests()[..] {
        [Request::Logs(Logs { app, since: Some(since), grep: Some(grep), follow: false, .. })] => {
            assert_eq!((app.as_str(), grep.as_str()), ("hello", "ERROR"));
            assert!((before..=after).contains(since), "{since}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_version_check_says_whether_program_and_cluster_understand_each_other() {
    let fake = cluster();
    let said = fake.run(&["cli:version-check"]).ended(0);
    assert!(said.text().contains("the version of apps"), "{said:?}");
    let document = fake.run(&["cli:version-check", "--json"]).ended(0).json();
    assert_eq!((&document["fits"], &document["cluster_version"]), (&true.into(), &"0.1.0".into()));
    let later = Fake::new(|mut peer| assert!(peer.send(&Hello { oldest: 7, newest: 9, program: "9.0.0".to_owned() })));
    later.run(&["cli:version-check"]).ended(8).says("get the command line of this cluster");
}
