//! Connections that do not come, end anywhere, or carry something else.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use futuswarm_rpc::message::*;
use futuswarm_rpc::{Channel, Frame, Hello};

use crate::answers::answer;
use crate::fake::{Fake, finish};

#[test]
fn what_ssh_says_is_shown_with_a_remedy() {
    for (words, part) in [
        ("jane@ssh.example.com: Permission denied (publickey).", "admin:user:add jane"),
        ("ssh: connect to host ssh.example.com port 22: Connection refused", "allowed_cidrs"),
        ("Host key verification failed.", "--host-ca"),
        ("\u{1b}[2J what\u{7}", "ssh -v"),
    ] {
        let fake = Fake::new(|_| {});
        fake.unreachable(&format!("{words}\n"));
        let said = fake.run(&["ps", "hello"]).ended(7).says(part);
        assert!(said.stderr.contains(&format!("ssh: {}", words.replace(['\u{1b}', '\u{7}'], "\u{fffd}"))), "{said:?}");
        assert!(!said.stderr.contains('\u{1b}'));
    }
    let fake = Fake::new(|_| {});
    let mut command = fake.command(&["ps", "hello"]);
    command.env("PATH", fake.work());
    finish(command, b"").ended(7).says("install the OpenSSH client");
}

#[test]
fn a_cluster_that_is_not_known_is_told() {
    let fake = Fake::without_login(|_| {});
    fake.run(&["ps", "hello"]).ended(2).says("futuswarm login");
    let fake = Fake::new(|_| {});
    fake.run(&["--cluster", "other", "ps", "hello"]).ended(4).says("\"other\" is not known (apps is)");
    let mut command = fake.command(&["ps", "hello"]);
    command.env("FUTUSWARM_CLUSTER", "other");
    finish(command, b"").ended(4);
}

#[test]
fn versions_that_do_not_fit_are_told() {
    let greet = |oldest, newest| {
        Fake::new(move |mut peer| assert!(peer.send(&Hello { oldest, newest, program: "9.0.0".to_owned() })))
    };
    greet(7, 9).run(&["ps", "hello"]).ended(8).says("get the command line of this cluster");
    greet(0, 0).run(&["ps", "hello"]).ended(8).says("the cluster is older");
    let odd = Fake::new(|mut peer| assert!(peer.send(&serde_json::json!({ "hi": 1 }))));
    odd.run(&["ps", "hello"]).ended(8);
    // An answer to something else, an event of a later version, and the value of neither is shown.
    let other = Fake::answering(|_| Ok(Answer::Done("hush".to_owned())));
    let said = other.run(&["ps", "hello"]).ended(8);
    assert!(!said.stderr.contains("hush"), "{said:?}");
    let later = Fake::new(|mut peer| {
        peer.request();
        peer.send(&serde_json::json!({ "event": "later", "secret": "hush" }));
    });
    let said = later.run(&["ps", "hello"]).ended(8);
    assert!(!said.stderr.contains("hush"), "{said:?}");
}

#[test]
fn a_banner_before_the_greeting_is_shown_and_skipped() {
    let fake = Fake::new(|mut peer| {
        peer.raw(b"Welcome \x1b[2Jto the machine\r\n");
        if let Some(request) = peer.request() {
            peer.done(answer(&request));
        }
    });
    let said = fake.run(&["app:list"]).ended(0).says("ssh: Welcome \u{fffd}[2Jto the machine");
    assert!(said.text().contains("hello"));
    let fake = Fake::new(|mut peer| while peer.raw(&[b'x'; 4096]) {});
    fake.run(&["app:list"]).ended(7).says("no greeting");
}

/// All bytes that a cluster sends for one answer.
fn whole() -> Vec<u8> {
    let frame = |message: &Event| Frame::message(message).unwrap().encode().unwrap();
    let line = LogLine {
        at: 0,
        task: "t".to_owned(),
        slot: 1,
        node: "i-1".to_owned(),
        stderr: false,
        line: "a line".to_owned(),
    };
    [
        Frame::message(&Hello::of("1")).unwrap().encode().unwrap(),
        frame(&Event::Progress { text: "reading".to_owned(), elapsed: 1, limit: None }),
        frame(&Event::Log(line)),
        frame(&Event::Done { answer: Box::new(Answer::Logs(LogsEnd { lines: 1, silent: Vec::new() })) }),
    ]
    .concat()
}

#[test]
fn a_connection_that_is_cut_anywhere_is_no_success() {
    let whole = whole();
    let steps: Vec<usize> = (0..whole.len()).step_by(13).chain([whole.len() - 1]).collect();
    for (at, code) in steps.into_iter().zip([0, 255].into_iter().cycle()) {
        let bytes = whole[..at].to_vec();
        let fake = Fake::new(move |mut peer| {
            peer.raw(&bytes);
            peer.end(code);
        });
        fake.run(&["logs", "hello"]).ended(7);
    }
    let fake = Fake::new(move |mut peer| {
        peer.raw(&whole);
    });
    assert!(fake.run(&["logs", "hello", "--plain"]).ended(0).text().contains("a line"));
}

#[test]
fn lengths_that_no_frame_has_end_the_connection() {
    for garbage in [&b"m\xff\xff\xff\xff{"[..], b"o\x00\x10\x00\x00", b"?\x00\x00\x00\x01x", b"o\x00\x00\x00\x00"] {
        let fake = Fake::new(move |mut peer| {
            peer.request();
            peer.raw(garbage);
            // It does not end by itself.
            while peer.next().is_some() {}
        });
        fake.run(&["logs", "hello"]).ended(7).says("cannot be read");
    }
}

#[test]
fn a_release_whose_answer_is_lost_can_be_looked_at() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        peer.send(&Event::Progress { text: "pulling".to_owned(), elapsed: 0, limit: None });
        peer.end(255);
    });
    let said = fake.run(&["deploy", "hello", "-i", "hello", "--json"]).ended(7).says("futuswarm watch hello");
    assert!(said.stdout.is_empty(), "nobody knows the outcome: {said:?}");
    fake.run(&["config:set", "hello", "A=1"]).ended(7).says("config:history hello");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        let line = LogLine {
            at: 0,
            task: "t".to_owned(),
            slot: 1,
            node: "i-1".to_owned(),
            stderr: false,
            line: "x".repeat(1000),
        };
        while peer.send(&Event::Log(line.clone())) {}
    });
    let mut child = fake.command(&["logs", "hello", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("1970-01-01T00:00:00Z hello.1 x"));
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn log_lines_are_documents_and_silent_nodes_are_told() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        let line = LogLine {
            at: 1,
            task: "t".to_owned(),
            slot: 2,
            node: "i-1".to_owned(),
            stderr: true,
            line: "\u{1b}[31mred\u{1b}[0m".to_owned(),
        };
        peer.send(&Event::Log(line));
        peer.chunk(Channel::Output, b"ignored");
        peer.done(Answer::Logs(LogsEnd { lines: 1, silent: vec!["i-2".to_owned()] }));
    });
    let said = fake.run(&["logs", "hello", "--json"]).ended(0).says("i-2 did not answer");
    let document = said.json();
    assert_eq!((&document["line"], &document["slot"]), (&"\u{1b}[31mred\u{1b}[0m".into(), &2.into()));
}

#[test]
fn no_colour_of_an_app_is_shown_to_who_wants_none() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        let (task, node) = ("t".to_owned(), "i-1".to_owned());
        let line = "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J".to_owned();
        peer.send(&Event::Log(LogLine { at: 0, task, slot: 1, node, stderr: false, line }));
        peer.done(Answer::Logs(LogsEnd { lines: 1, silent: Vec::new() }));
    });
    for (value, expected) in [
        (None, "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J\n"),
        (Some(""), "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J\n"),
        (Some("1"), "red \u{1b}[2J\n"),
    ] {
        let mut command = fake.command(&["logs", "hello", "--plain"]);
        command.envs(value.map(|value| ("NO_COLOR", value)));
        assert_eq!(finish(command, b"").ended(0).text(), expected, "{value:?}");
    }
    // A document is data: what an app has written is in it.
    let mut command = fake.command(&["logs", "hello", "--json"]);
    command.env("NO_COLOR", "1");
    assert!(finish(command, b"").ended(0).json()["line"].as_str().unwrap().starts_with("\u{1b}[1;31m"));
}

#[test]
fn a_restore_that_is_cut_names_the_backup_that_it_was_about() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        for text in ["takes a backup of hello", "restores 1796000000000-1f2e3d4c", "restores: 1 of 2 MB"] {
            peer.send(&Event::Progress { text: text.to_owned(), elapsed: 0, limit: None });
        }
        peer.end(255);
    });
    let said = fake.run(&["-q", "db:restore", "hello", "--confirm", "hello"]).ended(7);
    let said = said.says("hello: the backup 1796000000000-1f2e3d4c is being restored");
    said.says("`futuswarm db:restore hello --backup 1796000000000-1f2e3d4c` carries on");
}

#[test]
fn doctor_looks_at_everything_and_fails_when_something_is_wrong() {
    let fake = Fake::answering(|request| Ok(answer(request)));
    let said = fake.run(&["doctor"]).ended(0);
    assert!(said.text().contains("ok    connection"), "{said:?}");
    // One of two tasks runs.
    let said = fake.run(&["doctor", "hello", "--json"]).ended(1);
    let checks = said.json();
    let names: Vec<&str> = checks.as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["ssh", "cluster", "key", "connection", "user", "version", "app"]);
    fake.unreachable("Connection refused\n");
    let said = fake.run(&["doctor"]).ended(7);
    assert!(said.text().contains("fail  connection"), "{said:?}");
}
