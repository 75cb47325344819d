//! Releases: outcomes, progress, and what is on which stream.

use futuswarm_model::Outcome;
use futuswarm_rpc::message::*;

use crate::answers::{answer, deployment};
use crate::fake::{Fake, finish};

fn ending(outcome: Option<Outcome>) -> Fake {
    Fake::answering(move |_| Ok(Answer::Deployment(deployment(outcome))))
}

#[test]
fn outcomes_decide_the_exit_code_and_the_document() {
    for (outcome, code, name) in [
        (Some(Outcome::Deployed), 0, "deployed"),
        (Some(Outcome::Unchanged), 0, "unchanged"),
        (Some(Outcome::RolledBack), 1, "rolled_back"),
        (Some(Outcome::Failed), 1, "failed"),
        (Some(Outcome::Cancelled), 1, "cancelled"),
        (Some(Outcome::Superseded), 1, "superseded"),
        (Some(Outcome::TimedOut), 6, "timed_out"),
        (None, 0, "pending"),
    ] {
        let fake = ending(outcome);
        let said = fake.run(&["deploy", "hello", "-i", "hello:1", "--json"]).ended(code);
        let failed = outcome.is_some_and(|outcome| !outcome.is_good());
        assert_eq!(
            said.json(),
            serde_json::json!({
                "app": "hello", "release": 7, "image": "hello:1", "url": "https://hello.apps.example.com", "outcome": name,
                "seconds": 12, "reason": failed.then_some("the program ends with code 3"),
            })
        );
        let said = fake.run(&["deploy", "hello", "-i", "hello:1"]).ended(code);
        match failed {
            true => {
                assert!(said.stdout.is_empty(), "{said:?}");
                let said =
                    said.says("the program ends with code 3").says("panic: no database").says("look at its last lines");
                if outcome != Some(Outcome::Superseded) {
                    said.says("nothing to undo");
                }
            }
            false => assert_eq!(said.text(), "https://hello.apps.example.com\n"),
        }
    }
}

#[test]
fn a_rollback_says_how_to_undo_it() {
    ending(Some(Outcome::Deployed))
        .run(&["rollback", "hello", "3"])
        .ended(0)
        .says("`futuswarm rollback hello 6` undoes it");
}

#[test]
fn what_is_typed_is_what_is_asked_for() {
    let fake = Fake::answering(|request| Ok(answer(request)));
    std::fs::write(fake.work().join("other.toml"), "image = \"x\"\n").unwrap();
    for line in [
        &["deploy", "hello", "-i", "hello", "-t", "3", "--wait", "60"][..],
        &["app:deploy", "-n", "hello", "-i", "@sha256:aa", "--detach", "-f", "other.toml"],
        &["deploy", "hello", "-t", "4", "--async"],
        &["rollback", "hello"],
        &["rollback", "hello", "12"],
        &["scale", "0", "-a", "hello"],
    ] {
        fake.run(line).ended(0);
    }
    let wait = |detach, for_lock| Wait { detach, for_lock, supersede: false };
    let deploy = |image: &str, app_file: Option<&str>, wait| {
        let (image, app_file) = (Some(image.to_owned()), app_file.map(str::to_owned));
        Request::Deploy(Deploy { app: "hello".to_owned(), image, app_file, plan: false, wait })
    };
    let rollback = |to| Request::Rollback { app: "hello".to_owned(), to, wait: Wait::default() };
    assert_eq!(
        fake.requests(),
        [
            deploy("hello:3", None, wait(false, Some(60))),
            deploy("@sha256:aa", Some("image = \"x\"\n"), wait(true, None)),
            deploy("hello:4", None, wait(true, None)),
            rollback(None),
            rollback(Some(12)),
            Request::Scale { app: "hello".to_owned(), replicas: 0, wait: Wait::default() },
        ]
    );
    fake.run(&["scale", "hello"]).ended(2);
    fake.run(&["scale", "hello", "-1"]).ended(2);
    fake.run(&["scale", "hello", "many"]).ended(2);
}

#[test]
fn a_release_is_watched_by_its_number_in_any_place() {
    let fake = Fake::answering(|request| Ok(answer(request)));
    for line in [
        &["watch", "hello"][..],
        &["watch", "hello", "7", "--json"],
        &["app", "watch", "7", "-a", "hello"],
        &["watch", "hello", "--release", "7"],
        &["watch", "hello", "7", "--release", "7"],
    ] {
        fake.run(line).ended(0);
    }
    let watch = |release| Request::Watch { app: "hello".to_owned(), release };
    assert_eq!(fake.requests(), [watch(None), watch(Some(7)), watch(Some(7)), watch(Some(7)), watch(Some(7))]);
    fake.run(&["watch", "hello", "7", "--release", "8"]).ended(2).says("7 or 8?");
    fake.run(&["watch", "hello", "7", "8"]).ended(2);
}

#[test]
fn who_is_refused_gets_a_document_too() {
    for (class, code, outcome) in [
        (RefusalClass::Locked, 5, "locked"),
        (RefusalClass::Denied, 3, "refused"),
        (RefusalClass::Usage, 2, "refused"),
        (RefusalClass::TimedOut, 6, "timed_out"),
        (RefusalClass::Unavailable, 1, "failed"),
    ] {
        let fake = Fake::answering(move |_| Err((class, "joe is deploying release 8")));
        let said = fake.run(&["deploy", "hello", "-i", "hello:1", "--json"]).ended(code).says("joe is deploying");
        let document = said.json();
        assert_eq!(
            (&document["outcome"], &document["reason"]),
            (&outcome.into(), &"joe is deploying release 8".into())
        );
        assert_eq!(document["image"], "hello:1");
    }
}

#[test]
fn progress_is_on_standard_error_in_whole_lines_without_a_terminal() {
    let serve = |mut peer: crate::fake::Peer| {
        if peer.request().is_none() {
            return;
        }
        for (text, elapsed) in [("pulling", 1000), ("pulling", 2000), ("waiting for\nhealth \u{1b}[2J", 9000)] {
            peer.send(&Event::Progress { text: text.to_owned(), elapsed, limit: Some(300_000) });
        }
        peer.send(&Event::Note { text: "the image is large".to_owned() });
        peer.done(Answer::Deployment(deployment(Some(Outcome::Deployed))));
    };
    for no_color in ["", "1"] {
        let fake = Fake::new(serve);
        let mut command = fake.command(&["deploy", "hello", "-i", "hello"]);
        command.env("NO_COLOR", no_color).env("TERM", "xterm");
        let said = finish(command, b"").ended(0);
        assert_eq!(said.text(), "https://hello.apps.example.com\n");
        let expected = "pulling (1 s of 300 s)\nwaiting for health \u{fffd}[2J (9 s of 300 s)\nthe image is large\n";
        assert!(said.stderr.starts_with(expected), "{said:?}");
    }
    let said = Fake::new(serve).run(&["-q", "deploy", "hello", "-i", "hello"]).ended(0);
    assert!(!said.stderr.contains("pulling") && said.stderr.contains("the image is large"), "{said:?}");
}

#[test]
fn who_stops_waiting_is_told_that_the_release_goes_on() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        peer.send(&Event::Note { text: "up".to_owned() });
        while peer.next().is_some() {}
    });
    let mut child = fake.command(&["deploy", "hello", "-i", "hello"]).spawn().unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut up).unwrap();
    let kill = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("futuswarm watch hello"), "{output:?}");
}
