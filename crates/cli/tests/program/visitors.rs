//! Who may open an app: what is typed, what is asked for, and what is said when it is wrong.

use std::collections::BTreeSet;

use futuswarm_rpc::message::*;

use crate::answers::{answer, cluster};
use crate::fake::Fake;

fn entries(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|entry| (*entry).to_owned()).collect()
}

fn admit(change: Option<AdmitChange>) -> Request {
    Request::Admit(Admit { app: "hello".to_owned(), change })
}

#[test]
fn each_spelling_asks_for_the_same() {
    let fake = cluster();
    let both = || Some(AdmitChange::Add(entries(&["group:Staff of A", "user:ada@example.com"])));
    let mut expected = Vec::new();
    for (words, change) in [
        (&["app:access:add", "hello", "user:ada@example.com", "group:Staff of A"][..], both()),
        (&["app", "access", "add", "group:Staff of A", "user:ada@example.com", "-a", "hello"], both()),
        (&["app", "access:add", "-n", "hello", "hello", "user:ada@example.com", "group:Staff of A"], both()),
        (&["app:access:add", "hello", "everybody"], Some(AdmitChange::Everybody)),
        (&["app:access:rm", "hello", "group:staff"], Some(AdmitChange::Remove(entries(&["group:staff"])))),
        (&["app", "access", "list", "--app", "hello"], None),
        (&["app:open", "hello", "--confirm", "hello"], Some(AdmitChange::Open)),
        (&["app", "private", "hello"], Some(AdmitChange::Private)),
    ] {
        fake.run(words).ended(0);
        expected.push(admit(change));
    }
    assert_eq!(fake.requests(), expected);
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    let fake = cluster();
    for (words, part) in [
        (&["app:access:add", "hello"][..], "whom?"),
        (&["app:access:add", "user:ada"], "which app?"),
        (&["app:access:add", "hello", "ada@example.com"], "did you mean user:ada@example.com?"),
        (&["app:access:add", "ada", "-a", "hello"], "did you mean user:ada?"),
        (&["app:access:add", "hello", "users:ada"], "did you mean user:ada?"),
        (&["app:access:add", "hello", "group:staff", "everybody"], "everybody stands alone"),
        (&["app:access:rm", "hello", "everybody"], "everybody is on no list"),
        (&["app:access:rm", "Hello", "user:ada"], "no such name"),
        (&["app", "access", "ad", "hello", "user:ada"], "app:access:add"),
        (&["app", "access"], "app:access:add"),
        (&["app:open", "hello"], "without a terminal it takes `--confirm hello`"),
        (&["app:open", "hello", "--confirm", "shop"], "nothing was done"),
        (&["app:open", "hello", "--print"], "--print"),
    ] {
        fake.run(words).ended(2).says(part);
    }
    assert!(fake.requests().is_empty());
}

#[test]
fn who_is_not_on_the_list_is_told_with_the_one_who_was_meant() {
    let fake = Fake::answering(|request| match request {
        Request::Admit(Admit { change: Some(_), .. }) => Err((RefusalClass::NotFound, "user:adda is not on the list")),
        request => Ok(answer(request)),
    });
    let words = ["app:access:rm", "hello", "group:staff", "user:adda@example.com"];
    fake.run(&words).ended(4).says("not on the list; did you mean user:ada@example.com?");
    let said = fake.run(&["app:access:rm", "hello", "zzz:", "-a", "hello"]).ended(2);
    assert!(!said.stderr.contains("did you mean"), "{said:?}");
    // The app that is meant comes first.
    let fake = Fake::answering(|request| match request {
        Request::Apps => Ok(answer(request)),
        _ => Err((RefusalClass::NotFound, "there is no app helo")),
    });
    fake.run(&["app:access:rm", "helo", "group:staff"]).ended(4).says("there is no app helo; did you mean hello?");
    fake.run(&["app:access:list", "helo"]).ended(4).says("there is no app helo; did you mean hello?");
}

#[test]
fn that_the_cluster_has_no_login_is_part_of_the_answer() {
    let fake = Fake::answering(|request| {
        Ok(match answer(request) {
            Answer::Admitted(admitted) => Answer::Admitted(Admitted { login: false, ..admitted }),
            other => other,
        })
    });
    for words in [
        &["app:access:list", "hello"][..],
        &["app:access:add", "hello", "group:staff"],
        &["app:access:rm", "hello", "group:staff"],
        &["app:open", "hello", "--confirm", "hello"],
        &["app:private", "hello"],
    ] {
        let said = fake.run(words).ended(0);
        assert!(said.text().contains("This cluster has no login yet"), "{words:?}: {said:?}");
        let said = fake.run(&[&["--json"][..], words].concat()).ended(0);
        assert_eq!(said.json()["login"], false, "{words:?}");
    }
    let said = fake.run(&["app:inspect", "hello"]).ended(0);
    assert!(said.text().contains("group:staff (the cluster has no login yet: the world)"), "{said:?}");
}
