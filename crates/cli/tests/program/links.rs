//! Links between apps, and the one environment that an app has.

use futuswarm_model::Outcome;
use futuswarm_rpc::message::*;

use crate::answers::{answer, cluster, deployment};
use crate::fake::Fake;

#[test]
fn a_link_that_one_app_wants_says_who_has_to_agree_and_how() {
    let change = |state, attached, deployment| LinkChange {
        app: "hello".to_owned(),
        other: "shop".to_owned(),
        state,
        attached,
        owners: vec!["joe".to_owned(), "@ops".to_owned()],
        deployment,
    };
    let waiting = change(LinkState::Waiting, false, None);
    let fake = Fake::answering(move |_| Ok(Answer::Link(waiting.clone())));
    let said = fake.run(&["app:link", "hello", "shop", "--wait", "5"]).ended(0);
    assert!(said.text().contains("an owner of shop (joe, @ops) has to agree with `futuswarm app:link shop hello`"));
    let wait = Wait { detach: false, for_lock: Some(5), supersede: false };
    let asked = Link { app: "hello".to_owned(), other: "shop".to_owned(), end: false, wait };
    assert_eq!(fake.requests(), [Request::Link(asked)]);
    // The app's own release decides the exit code: what was wanted is kept.
    let failed = change(LinkState::Linked, false, Some(deployment(Some(Outcome::RolledBack))));
    let fake = Fake::answering(move |_| Ok(Answer::Link(failed.clone())));
    let said = fake.run(&["app:link", "hello", "shop"]).ended(1).says("the program ends with code 3");
    assert!(said.text().contains("not on the network that both share yet"), "{said:?}");
    assert!(said.stderr.contains("tried again by itself"), "{said:?}");
    // Names are looked at before anybody is asked.
    let asked = fake.requests().len();
    for words in [&["app:link", "hello"][..], &["app:link", "hello", "Shop"], &["app:unlink", "hello", "a/b"]] {
        fake.run(words).ended(2);
    }
    fake.run(&["app:link", "hello", "shop", "third"]).ended(2);
    assert_eq!(fake.requests().len(), asked);
}

#[test]
fn both_sides_of_a_link_may_take_the_place_of_a_release() {
    let fake = cluster();
    fake.run(&["app:link", "hello", "shop", "--supersede"]).ended(0);
    fake.run(&["app", "unlink", "-a", "hello", "shop", "--supersede", "--wait", "60"]).ended(0);
    let asked = |end, for_lock| {
        let wait = Wait { detach: false, for_lock, supersede: true };
        Request::Link(Link { app: "hello".to_owned(), other: "shop".to_owned(), end, wait })
    };
    assert_eq!(fake.requests(), [asked(false, None), asked(true, Some(60))]);
}

#[test]
fn the_other_app_of_a_link_is_suggested_too() {
    let fake = Fake::answering(|request| match request {
        Request::Apps => Ok(answer(request)),
        _ => Err((RefusalClass::NotFound, "there is no such app")),
    });
    fake.run(&["app:link", "hello", "helo"]).ended(4).says("did you mean hello?");
    fake.run(&["app:link", "helo", "other"]).ended(4).says("did you mean hello?");
    let said = fake.run(&["app:link", "hello", "other"]).ended(4);
    assert!(!said.stderr.contains("did you mean"), "{said:?}");
}

#[test]
fn the_one_environment_may_be_named_and_no_other_is_ignored() {
    let fake = Fake::answering(|request| Ok(answer(request)));
    for words in [
        &["ps", "hello", "-e", "default"][..],
        &["-e", "default", "app", "ps", "hello"],
        &["--env=default", "config", "hello"],
        &["config:set", "hello", "A=1", "--env", "default"],
    ] {
        fake.run(words).ended(0);
    }
    let asked = fake.requests().len();
    for words in [
        &["deploy", "hello", "-i", "hello", "-e", "staging"][..],
        &["--env", "production", "ps", "hello"],
        &["config:set", "hello", "A=1", "-e", ""],
        &["secret:set", "hello", "A=1", "-e", "Default"],
    ] {
        fake.run(words).ended(2).says("an app has one environment, `default`").says("`hello-staging`");
    }
    assert_eq!(fake.requests().len(), asked, "nothing is asked for under another environment");
}
