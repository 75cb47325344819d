//! Values on their way: whatever is in them, they arrive as they are.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;

use futuswarm_model::Outcome;
use futuswarm_rpc::message::*;

use crate::answers::{answer, deployment, values};
use crate::fake::{Fake, executable, finish};

fn cluster() -> Fake {
    Fake::answering(|request| Ok(answer(request)))
}

fn set_of(fake: &Fake) -> std::collections::BTreeMap<String, Value> {
    match fake.requests().pop().unwrap() {
        Request::Change { set, .. } => set,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_arrive_as_they_are() {
    let fake = cluster();
    let odd = "quote \" ' newline \n = @/etc/passwd 🦀 $HOME `id`";
    std::fs::write(fake.work().join("blob"), [0, 0xff, b'\n']).unwrap();
    let line = format!("ODD={odd}");
    let words = ["secret:set", "hello", &line, "BLOB=@blob", "AT=@@jane", "FILE_LIKE=/etc/passwd", "EMPTY=", "-q"];
    fake.run(&words).ended(0);
    let set = set_of(&fake);
    assert_eq!(set["ODD"].text(), Some(odd));
    assert_eq!(set["BLOB"].bytes(), [0, 0xff, b'\n']);
    assert_eq!(set["AT"].text(), Some("@jane"));
    assert_eq!(set["FILE_LIKE"].text(), Some("/etc/passwd"));
    assert_eq!(set["EMPTY"].bytes(), b"");
    // An argument that is no UTF-8.
    let mut command = fake.command(&["config:set", "hello"]);
    command.arg(std::ffi::OsStr::from_bytes(b"RAW=\xff\xfe"));
    finish(command, b"").ended(0);
    assert_eq!(set_of(&fake)["RAW"].bytes(), [0xff, 0xfe]);
}

#[test]
fn a_dash_is_a_value_and_only_one_behind_an_at_sign_reads_standard_input() {
    let fake = cluster();
    fake.run_with(&["config:set", "hello", "ACCESS_LOG=-", "ERROR_LOG=-"], b"of standard input").ended(0);
    let set = set_of(&fake);
    assert_eq!((set["ACCESS_LOG"].text(), set["ERROR_LOG"].text()), (Some("-"), Some("-")));
    for command in ["config:set", "secret:set"] {
        fake.run_with(&[command, "hello", "KEY=@-"], b"of standard input\n").ended(0);
        assert_eq!(set_of(&fake)["KEY"].text(), Some("of standard input\n"), "{command}");
    }
    // Whoever pipes a secret as before is not left with a dash in its place.
    let before = fake.requests().len();
    fake.run_with(&["secret:set", "hello", "KEY=-"], b"of standard input").ended(2).says("`KEY=@-` does");
    assert_eq!(fake.requests().len(), before);
    fake.run_with(&["secret:set", "hello", "KEY=@-"], b"-").ended(0);
    assert_eq!(set_of(&fake)["KEY"].text(), Some("-"));
}

#[test]
fn an_edit_that_changes_nothing_has_its_document() {
    let fake = cluster();
    let mut command = fake.command(&["config:edit", "hello", "--json"]);
    command.env("VISUAL", "true");
    let document = finish(command, b"").ended(0).json();
    let expected =
        serde_json::json!({ "app": "hello", "kind": "config", "version": "v1", "keys": {}, "deployment": null });
    assert_eq!(document, expected);
}

#[test]
fn a_value_of_a_mebibyte_arrives_and_one_of_five_is_refused_here() {
    let fake = cluster();
    let long: Vec<u8> = (0..1 << 20).map(|at| (at % 256) as u8).collect();
    fake.run_with(&["secret:set", "hello", "LONG=@-"], &long).ended(0);
    assert_eq!(set_of(&fake)["LONG"].bytes(), long);
    // What JSON has to escape sixfold.
    fake.run_with(&["secret:set", "hello", "LONG=@-"], &vec![1; 1 << 20]).ended(0);
    fake.run_with(&["secret:set", "hello", "LONG=@-"], &vec![1; 3 << 20]).ended(2).says("too much at once");
    fake.run_with(&["secret:set", "hello", "LONG=@-"], &vec![b'x'; 5 << 20]).ended(2).says("no value");
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn a_dotenv_file_is_sent_as_it_is() {
    let fake = cluster();
    fake.run_with(&["config:set", "hello", "-"], b"A=1\nB='x'\n").ended(0);
    fake.run_with(&["config:import", "hello", "-", "--replace", "--stage"], b"A=1\n").ended(0);
    std::fs::write(fake.work().join(".env"), "C=3\n").unwrap();
    fake.run(&["config:import", "hello", ".env"]).ended(0);
    fake.run(&["config:import", "hello", "gone"]).ended(2).says("cannot read gone");
    let texts: Vec<(String, bool, bool)> = fake
        .requests()
        .into_iter()
        .map(|request| match request {
            Request::Change { dotenv, replace, stage, .. } => {
                (dotenv.unwrap().text().unwrap().to_owned(), replace, stage)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("A=1\nB='x'\n", false, false), ("A=1\n", true, true), ("C=3\n", false, false)];
    assert_eq!(texts, expected.map(|(text, replace, stage)| (text.to_owned(), replace, stage)));
}

#[test]
fn no_value_is_shown_where_it_was_not_asked_for() {
    let fake = cluster();
    let said = fake.run(&["config:set", "hello", "A=hush-hush"]).ended(0);
    assert!(!said.stderr.contains("hush") && !said.text().contains("hush"), "{said:?}");
    let said = fake.run(&["secret:set", "hello", "A=hush-hush"]).ended(0).says("KEY=@- reads it from standard input");
    assert!(!said.stderr.contains("hush"), "{said:?}");
    assert!(fake.argvs().iter().flatten().all(|word| !word.contains("hush")));
}

#[test]
fn a_secret_is_written_byte_for_byte() {
    let fake = Fake::answering(|_| Ok(Answer::Values(values(true, &[("KEY", &[0, 0xff, b'\n', b'x'])]))));
    assert_eq!(fake.run(&["secret:get", "hello", "KEY"]).ended(0).stdout, [0, 0xff, b'\n', b'x']);
    assert_eq!(fake.run(&["config:get", "hello", "KEY"]).ended(0).stdout, [0, 0xff, b'\n', b'x', b'\n']);
    let document = fake.run(&["secret:get", "hello", "KEY", "--json"]).ended(0).json();
    assert_eq!(document["values"]["KEY"]["base64"], "AP8KeA==");
    fake.run(&["secret:get", "hello", "OTHER"]).ended(4);
}

#[test]
fn an_edit_sends_the_difference() {
    let fake = cluster();
    let editor = fake.bin().join("an editor");
    let script = "#!/bin/sh\nsed -i 's/^A=.*/A=new/; /^B=/d' \"$2\"\necho D=4 >>\"$2\"\nstat -c %a \"$2\" >mode\n";
    executable(&editor, script);
    let link = fake.bin().join("ed");
    std::os::unix::fs::symlink(&editor, &link).unwrap();
    let mut command = fake.command(&["config:edit", "hello"]);
    command.env("EDITOR", "ed --wait");
    finish(command, b"").ended(0);
    match fake.requests().pop().unwrap() {
        Request::Change { set, unset, replace: false, dotenv: None, .. } => {
            assert_eq!(set.keys().collect::<Vec<_>>(), ["A", "D"]);
            assert_eq!(unset, BTreeSet::from(["B".to_owned()]), "C is no text, and stays");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(fake.work().join("mode")).unwrap().trim(), "600");
    let before = fake.requests().len();
    let mut command = fake.command(&["config:edit", "hello"]);
    command.env("VISUAL", "true");
    finish(command, b"").ended(0).says("nothing has changed");
    let mut command = fake.command(&["config:edit", "hello"]);
    command.env("VISUAL", "false");
    finish(command, b"").ended(1).says("nothing was changed");
    let mut command = fake.command(&["config:edit", "hello"]);
    command.env("VISUAL", "no-such-editor");
    finish(command, b"").ended(2).says("set VISUAL or EDITOR");
    assert!(fake.requests()[before..].iter().all(|request| matches!(request, Request::Values { .. })));
}

#[test]
fn a_change_whose_release_fails_says_that_the_values_stay() {
    let fake = Fake::answering(|request| {
        let Answer::Changed(mut changed) = answer(request) else { panic!("{request:?}") };
        changed.deployment = Some(deployment(Some(Outcome::RolledBack)));
        Ok(Answer::Changed(changed))
    });
    fake.run(&["config:set", "hello", "A=1"]).ended(1).says("ends with code 3").says("new values are kept");
    assert_eq!(fake.run(&["config:set", "hello", "A=1", "--json"]).ended(1).json()["keys"]["A"], "changed");
}

#[test]
fn the_old_bucket_is_the_clusters_to_read_and_what_was_not_taken_is_a_failure() {
    let fake = cluster();
    let said =
        fake.run(&["config", "import", "hello", "--bucket", "old", "--prefix", "shop", "-e", "staging"]).ended(0);
    assert!(said.text().contains("shop/default/LOG_LEVEL") && said.text().contains("unchanged"), "{said:?}");
    said.says("1 added, 1 unchanged");
    fake.run(&["config:import", "--bucket", "old", "-a", "hello", "--plan", "--key-arn", "arn:x"])
        .ended(0)
        .says("nothing was changed, since this is a plan");
    let requests = fake.requests();
    match &requests[..] {
        [Request::Import(first), Request::Import(second)] => {
            assert_eq!((first.app.as_str(), first.bucket.as_str(), first.plan), ("hello", "old", false));
            assert_eq!((first.prefix.as_deref(), first.environment.as_deref()), (Some("shop"), Some("staging")));
            assert_eq!((second.key_arn.as_deref(), second.plan), (Some("arn:x"), true));
        }
        other => panic!("{other:?}"),
    }
    let fake = Fake::answering(|request| match request {
        Request::Import(_) => Ok(Answer::Imported(crate::answers::imported(false, ImportOutcome::NotTaken))),
        _ => Ok(answer(request)),
    });
    let said = fake.run(&["config:import", "hello", "--bucket", "old"]).ended(1).says("1 unchanged, 1 not taken");
    assert!(said.text().contains("its \u{fffd}[2JHMAC"), "{said:?}");
    // A file and a bucket are two commands.
    for words in [
        &["config:import", "hello", ".env", "--bucket", "old"][..],
        &["config:import", "hello", "--bucket", "old", "--replace"],
        &["config:import", "hello", ".env", "--prefix", "shop"],
        &["config:import", "hello", ".env", "-e", "staging"],
        &["config:import"],
    ] {
        fake.run(words).ended(2);
    }
    assert_eq!(fake.requests().len(), 1);
}
