//! Logging in: what is believed, what is kept, and that nothing is kept of a login that fails.

use futuswarm_rpc::message::*;

use crate::answers::whoami;
use crate::fake::{Fake, Peer, finish};

const CA: &str = "ssh-ed25519 AAAAC3Nz";

fn serve(name: &'static str) -> impl Fn(Peer) + Send + Sync + 'static {
    move |mut peer| match peer.request() {
        Some(Request::Whoami) => peer.done(Answer::Whoami(whoami(name))),
        other => panic!("{other:?}"),
    }
}

fn option<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    let prefix = format!("{name}=");
    argv.iter().find_map(|word| word.strip_prefix(prefix.as_str()))
}

#[test]
fn a_login_keeps_the_authority_and_uses_it() {
    let fake = Fake::without_login(serve("jane"));
    std::fs::write(fake.work().join("ca.pub"), format!("{CA} the cluster\n")).unwrap();
    std::fs::write(fake.work().join("my key"), "").unwrap();
    let words = ["login", "jane@ssh.example.com:2222", "--host-ca", "ca.pub", "--identity", "my key"];
    let said = fake.run(&words).ended(0).says("apps is the current cluster now");
    assert!(said.text().contains("apps.example.com"));
    let folder = fake.home().join("apps");
    let known = std::fs::read_to_string(folder.join("known_hosts")).unwrap();
    assert_eq!(known, format!("@cert-authority futuswarm {CA}\n"));
    let argvs = fake.argvs();
    let [argv] = &argvs[..] else { panic!("{argvs:?}") };
    assert_eq!(option(argv, "StrictHostKeyChecking"), Some("yes"));
    assert_eq!(option(argv, "BatchMode"), Some("yes"), "nobody is there to be asked");
    assert_eq!(option(argv, "ControlPath"), Some("none"), "of what was not checked yet");
    assert_eq!(argv[argv.len() - 7..], ["-p", "2222", "-l", "futuswarm", "--", "ssh.example.com", "futuswarm"]);
    // From now on over a control connection.
    assert_eq!(fake.run(&["whoami", "--json"]).ended(0).json()["name"], "jane");
    let argvs = fake.argvs();
    let later = argvs.iter().find(|argv| option(argv, "ControlMaster") == Some("auto")).unwrap();
    assert!(option(later, "IdentityFile").unwrap().contains("my key"));
    assert!(option(later, "UserKnownHostsFile").unwrap().contains("\\\"folder\\\""));
    assert_eq!(fake.run(&["clusters", "--json"]).ended(0).json()[0]["current"], true);
}

#[test]
fn trust_first_takes_the_authority_from_the_cluster_and_then_checks_it() {
    let fake = Fake::without_login(serve("jane"));
    fake.run(&["login", "jane@ssh.example.com", "--trust-first", "--cluster", "mine"]).ended(0);
    let known = std::fs::read_to_string(fake.home().join("mine/known_hosts")).unwrap();
    assert_eq!(known, format!("@cert-authority futuswarm {CA}\n"));
    let mut strict: Vec<String> =
        fake.argvs().iter().map(|argv| option(argv, "StrictHostKeyChecking").unwrap().to_owned()).collect();
    strict.sort();
    assert_eq!(strict, ["accept-new", "yes"]);
}

#[test]
fn nothing_is_kept_of_a_login_that_fails() {
    let other = Fake::without_login(serve("joe"));
    std::fs::write(other.work().join("ca.pub"), CA).unwrap();
    other.run(&["login", "jane@h", "--host-ca", "ca.pub"]).ended(3).says("the one of joe, and not of jane");
    let unreachable = Fake::without_login(|_| {});
    std::fs::write(unreachable.work().join("ca.pub"), CA).unwrap();
    unreachable.unreachable("Host key verification failed.\n");
    unreachable.run(&["login", "jane@h", "--host-ca", "ca.pub"]).ended(7);
    std::fs::write(unreachable.work().join("bad.pub"), "hello\n").unwrap();
    unreachable.run(&["login", "jane@h", "--host-ca", "bad.pub"]).ended(2).says("no public key");
    unreachable.run(&["login", "jane@h", "--host-ca", "gone.pub"]).ended(2);
    unreachable.run(&["login", "jane", "--trust-first"]).ended(2);
    unreachable.run(&["login", "jane@h"]).ended(2);
    unreachable.run(&["login", "jane@h", "--trust-first", "--identity", "gone"]).ended(2).says("there is no key");
    for fake in [other, unreachable] {
        let left: Vec<_> = std::fs::read_dir(fake.home()).map(|entries| entries.collect()).unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn another_key_than_that_of_the_login_is_told() {
    Fake::new(serve("joe")).run(&["whoami"]).ended(3).says("as joe, and you have logged in as jane");
}

#[test]
fn one_of_several_clusters_is_used() {
    let fake = Fake::new(serve("jane"));
    std::fs::create_dir(fake.home().join("other")).unwrap();
    std::fs::copy(fake.home().join("apps/config.toml"), fake.home().join("other/config.toml")).unwrap();
    fake.run(&["whoami"]).ended(2).says("apps, other");
    fake.run(&["clusters:use", "other"]).ended(0);
    fake.run(&["whoami"]).ended(0);
    fake.run(&["clusters", "use", "third"]).ended(4);
    assert!(fake.run(&["clusters"]).ended(0).text().contains("other*"));
}

#[test]
fn a_login_keeps_a_cluster_under_its_own_name_whatever_the_environment_names() {
    let fake = Fake::without_login(serve("jane"));
    let other = fake.home().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let config = "user = \"joe\"\nhost = \"elsewhere.example.com\"\nport = 22\n";
    std::fs::write(other.join("config.toml"), config).unwrap();
    std::fs::write(other.join("known_hosts"), "@cert-authority futuswarm ssh-ed25519 OTHER\n").unwrap();
    let with = |words: &[&str], named: &str| {
        let mut command = fake.command(words);
        command.env("FUTUSWARM_CLUSTER", named);
        finish(command, b"")
    };
    let said = with(&["login", "jane@ssh.example.com", "--trust-first"], "other").ended(0);
    said.says("apps is the current cluster now")
        .says("note: commands are for other as long as FUTUSWARM_CLUSTER names it");
    assert_eq!(std::fs::read_to_string(other.join("config.toml")).unwrap(), config);
    assert!(std::fs::read_to_string(other.join("known_hosts")).unwrap().contains("OTHER"));
    assert!(fake.home().join("apps/config.toml").is_file());
    // What is typed is meant, here and everywhere; a variable that is empty is none.
    with(&["login", "jane@ssh.example.com", "--trust-first", "--cluster", "third"], "other").ended(0);
    assert!(fake.home().join("third/config.toml").is_file());
    with(&["whoami"], "").ended(0);
    with(&["whoami"], "fourth").ended(4);
    with(&["whoami", "--cluster", "apps"], "fourth").ended(0);
}

#[test]
fn the_cluster_that_was_chosen_is_a_document_too() {
    let fake = Fake::new(serve("jane"));
    let document = fake.run(&["clusters:use", "apps", "--json"]).ended(0).json();
    assert_eq!(document, fake.run(&["clusters", "--json"]).ended(0).json()[0]);
    assert_eq!((&document["name"], &document["current"]), (&"apps".into(), &true.into()));
}
