//! Streams of frames: what a client sends, and what the control service sends, one of each kind that differs in its form.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{Failure, FailureClass, Outcome, Principal};
use futuswarm_paas::settings::defaults;
use futuswarm_rpc::message::{
    Answer, App, AppRow, Deploy, Deployment, Event, Kind, LogLine, Logs, Notice, Refusal, RefusalClass, Request,
    TaskRow, Terminal, Value, Values, Wait,
};
use futuswarm_rpc::{Caller, Channel, Frame, Hello, Identity};
use serde::Serialize;

#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    fn frame(mut self, frame: &Frame) -> Self {
        match frame.encode() {
            Ok(bytes) => self.0.extend(bytes),
            Err(error) => panic!("a seed is no frame: {error}"),
        }
        self
    }

    fn message(self, message: &impl Serialize) -> Self {
        match Frame::message(message) {
            Ok(frame) => self.frame(&frame),
            Err(error) => panic!("a seed is no message: {error}"),
        }
    }

    fn chunk(self, channel: Channel, bytes: &[u8]) -> Self {
        self.frame(&Frame::Chunk(channel, bytes.to_vec()))
    }
}

pub(super) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let requests = [
        ("whoami", Request::Whoami),
        ("deploy", deploy()),
        ("change", change()),
        ("logs", logs()),
        ("grant", grant()),
        ("user", user()),
        ("push", push()),
    ];
    let mut all: Vec<(&'static str, Vec<u8>)> =
        requests.into_iter().map(|(name, request)| (name, client().message(&request).0)).collect();
    all.extend([("run", run()), ("answers", answers()), ("deployment", deployment()), ("refusal", refusal())]);
    all
}

fn word(text: &str) -> String {
    text.to_owned()
}

/// What comes before a request.
fn client() -> Stream {
    let identity = Identity::Token { app: word("hello"), name: word("ci") };
    let (key, from) = (Some("0a".repeat(32)), Some(core::net::Ipv4Addr::new(203, 0, 113, 7).into()));
    Stream::default().message(&Caller { identity, key, from }).message(&hello())
}

/// Not of this build: the seed would change with its version.
fn hello() -> Hello {
    Hello { oldest: 1, newest: 3, program: word("0.1.0") }
}

fn deploy() -> Request {
    Request::Deploy(Deploy {
        app: word("hello"),
        image: Some(word("hello:1")),
        app_file: Some(word("port = 80\n[env]\nA = \"b\"\n")),
        plan: true,
        wait: Wait { detach: true, for_lock: Some(60), ..Wait::default() },
    })
}

fn change() -> Request {
    let set = [("TEXT", Value::from(word("quote \" line \n nul \0 🦀"))), ("BYTES", Value::from(vec![0xff, 0, 0xfe]))];
    Request::Change {
        app: word("hello"),
        kind: Kind::Secrets,
        set: set.map(|(key, value)| (word(key), value)).into(),
        unset: BTreeSet::from([word("OLD")]),
        dotenv: Some(Value::from(word("A=1\nB='2'\n"))),
        replace: true,
        stage: true,
        wait: Wait::default(),
    }
}

fn logs() -> Request {
    Request::Logs(Logs {
        app: word("hello"),
        follow: true,
        since: Some(1_796_000_000_000),
        tail: Some(100),
        task: Some(word("2")),
        previous: true,
        grep: Some(word("GET /")),
    })
}

fn grant() -> Request {
    Request::Grant {
        app: word("hello"),
        principal: Principal::Group(word("ops")),
        role: futuswarm_model::AppRole::Deployer,
    }
}

fn user() -> Request {
    Request::PutUser {
        name: word("jane"),
        create: true,
        keys: Some(vec![word("ssh-ed25519 AAAA jane")]),
        admin: None,
        groups: Some(BTreeSet::from([word("ops"), word("web")])),
    }
}

fn push() -> Request {
    Request::PutManifest {
        app: word("hello"),
        tag: word("1"),
        media_type: word("application/vnd.oci.image.manifest.v1+json"),
        manifest: word("{\"schemaVersion\":2}"),
    }
}

/// A program at a terminal, from the client's side.
fn run() -> Vec<u8> {
    let terminal = Some(Terminal { kind: word("xterm"), rows: 24, columns: 80 });
    let run = Request::Run { app: word("hello"), argv: vec![word("sh"), word("-c"), word("")], terminal };
    client()
        .message(&run)
        .chunk(Channel::Input, b"ls\n")
        .message(&Notice::Resize { rows: 25, columns: 81 })
        .message(&Notice::Signal { name: word("INT") })
        .frame(&Frame::End(Channel::Input))
        .0
}

/// The same from the other side, and one of each event.
fn answers() -> Vec<u8> {
    let line = LogLine { at: 7, task: word("t1"), slot: 1, node: word("i-1"), stderr: true, line: word("GET / 🦀") };
    let values = [(word("A"), Some(Value::from(vec![0xff]))), (word("B"), None)];
    let values = Values { app: word("hello"), kind: Kind::Config, version: Some(word("v1")), values: values.into() };
    Stream::default()
        .message(&hello())
        .message(&Event::Progress { text: word("starts"), elapsed: 5, limit: Some(9) })
        .message(&Event::Note { text: word("something to know") })
        .message(&Event::Ready { offset: 0 })
        .message(&Event::Log(line))
        .chunk(Channel::Output, b"out")
        .chunk(Channel::Error, b"err")
        .frame(&Frame::End(Channel::Output))
        .frame(&Frame::End(Channel::Error))
        .message(&Event::Done { answer: Box::new(Answer::Exited(-7)) })
        .message(&Event::Done { answer: Box::new(Answer::Values(values)) })
        .message(&Event::Done {
            answer: Box::new(Answer::KeyDifferences(BTreeMap::from([(word("A"), word("added"))]))),
        })
        .message(&Event::Done { answer: Box::new(Answer::App(Box::new(app()))) })
        .0
}

fn app() -> App {
    let row = AppRow {
        app: word("hello"),
        url: word("https://hello.apps.example.com"),
        release: Some(2),
        image: Some(word("hello:1")),
        role: None,
        running: 1,
        replicas: 2,
        deploying: None,
        open: false,
    };
    let task = TaskRow {
        id: word("t1"),
        slot: 1,
        release: Some(2),
        node: None,
        state: word("failed"),
        desired: word("shutdown"),
        since: 7,
        error: word("task: non-zero exit (3)"),
    };
    App {
        row,
        visitors: Some(BTreeSet::from([word("group:staff")])),
        login: true,
        digest: None,
        settings: Some(defaults()),
        config: Some(word("v1")),
        secrets: None,
        created_by: word("jane"),
        created_at: 1,
        tasks: vec![task],
    }
}

fn deployment() -> Vec<u8> {
    let failure = Failure {
        class: FailureClass::Exits,
        reason: word("it ended with the code 3"),
        remedy: word("see its log"),
        log: vec![word("cannot find the database"), String::new()],
    };
    let deployment = Deployment {
        app: word("hello"),
        release: Some(3),
        image: word("hello:2"),
        url: word("https://hello.apps.example.com"),
        outcome: Some(Outcome::RolledBack),
        seconds: 12,
        failure: Some(failure),
        previous: Some(2),
    };
    Stream::default().message(&hello()).message(&Event::Done { answer: Box::new(Answer::Deployment(deployment)) }).0
}

fn refusal() -> Vec<u8> {
    let refusal = Refusal { class: RefusalClass::Denied, message: word("you may not") };
    Stream::default().message(&hello()).message(&Event::Failed(refusal)).0
}
