//! The login as a whole: what is typed, what is asked for, and what is said when it is wrong.

use std::collections::BTreeSet;

use futuswarm_model::Rotation;
use futuswarm_rpc::message::*;

use crate::answers::{answer, cluster};
use crate::fake::Fake;

fn entries(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn each_spelling_asks_for_the_same() {
    let fake = cluster();
    let mut expected = Vec::new();
    let both = || entries(&["group:Staff of A", "user:ada@example.com"]);
    for (words, order) in [
        (&["admin:login"][..], LoginOrder::Show),
        (&["admin", "login", "locked"], LoginOrder::Locked),
        (&["admin:login:lock", "user:ada@example.com", "group:Staff of A"], LoginOrder::Lock(both())),
        (&["admin", "login:unlock", "group:Staff of A", "user:ada@example.com"], LoginOrder::Unlock(both())),
        (&["admin", "login", "rotate"], LoginOrder::Rotate(Rotation::InSteps)),
        (&["admin:login:rotate", "--now", "--confirm", "everybody"], LoginOrder::Rotate(Rotation::AtOnce)),
    ] {
        fake.run(words).ended(0);
        expected.push(Request::Login { order });
    }
    assert_eq!(fake.requests(), expected);
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    let fake = cluster();
    for (words, part) in [
        (&["admin:login:lock"][..], "user:NAME|group:NAME"),
        (&["admin:login:lock", "ada@example.com"], "did you mean user:ada@example.com?"),
        (&["admin:login:lock", "everybody"], "everybody cannot be locked out"),
        (&["admin:login:unlock", "@staff"], "did you mean group:staff?"),
        (&["admin:login:rotate", "--now"], "without a terminal it takes `--confirm everybody`"),
        (&["admin:login:rotate", "--now", "--confirm", "yes"], "nothing was done"),
        (&["admin:login:rotate", "--confirm", "everybody"], "--now"),
        (&["admin", "login", "lok", "user:ada"], "admin:login"),
    ] {
        fake.run(words).ended(2).says(part);
    }
    assert!(fake.requests().is_empty());
}

#[test]
fn who_is_not_locked_out_is_told_with_the_one_who_was_meant() {
    let fake = Fake::answering(|request| match request {
        Request::Login { order: LoginOrder::Unlock(_) } => {
            Err((RefusalClass::NotFound, "user:adda@example.com is not locked out"))
        }
        request => Ok(answer(request)),
    });
    let said = fake.run(&["admin:login:unlock", "group:staff", "user:adda@example.com"]).ended(4);
    said.says("not locked out; did you mean user:ada@example.com?");
}
