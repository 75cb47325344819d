//! What `--json` prints of each command, compared with what the reference says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futuswarm_model::{Health, Hook, Outcome, Settings, Timing};
use futuswarm_rpc::message::*;
use serde_json::Value as Json;

use super::{answer, deployment};
use crate::archive::saved;
use crate::fake::{Fake, executable, finish};

/// What is typed for each document of the reference.
const SAMPLES: &[(&str, &str)] = &[
    ("app:deploy", "deploy hello -i hello:1"),
    ("app:deploy --plan", "deploy hello -i hello:1 --plan"),
    ("app:rollback", "rollback hello"),
    ("app:scale", "scale hello 3"),
    ("app:restart", "restart hello"),
    ("app:watch", "watch hello 7"),
    ("app:list", "app:list"),
    ("acl:user:services", "acl:user:services joe"),
    ("app:inspect", "app:inspect hello"),
    ("app:ps", "ps hello"),
    ("swarm:node:location", "swarm:node:location hello"),
    ("app:logs", "logs hello"),
    ("app:releases", "releases hello"),
    ("app:why", "why hello"),
    ("app:browse", "browse hello"),
    ("app:link", "app:link hello shop"),
    ("app:unlink", "app:unlink hello shop"),
    ("app:links", "app:links hello"),
    ("app:access:list", "app:access:list hello"),
    ("app:access:add", "app:access:add hello group:staff"),
    ("app:access:rm", "app:access:rm hello group:staff"),
    ("app:open", "app:open hello --confirm hello"),
    ("app:private", "app:private hello"),
    ("app:cancel", "cancel hello"),
    ("app:remove", "app:remove hello --confirm hello"),
    ("config", "config hello --show"),
    ("config:get", "config:get hello A"),
    ("config:set", "config:set hello A=1"),
    ("config:unset", "config:unset -a hello A"),
    ("config:edit", "config:edit hello"),
    ("config:import", "config:import hello .env"),
    ("config:import --bucket", "config:import hello --bucket old"),
    ("config:history", "config:history hello"),
    ("config:diff", "config:diff -a hello v1"),
    ("secret", "secret hello --show"),
    ("secret:get", "secret:get hello A"),
    ("secret:set", "secret:set hello A=1"),
    ("secret:unset", "secret:unset -a hello A"),
    ("secret:history", "secret:history hello"),
    ("db:list", "db:list hello"),
    ("db:create", "db:create hello"),
    ("db:backup", "db:backup hello"),
    ("db:restore", "db:restore hello --confirm hello"),
    ("db:rotate", "db:rotate hello"),
    ("db:drop", "db:drop hello --confirm hello"),
    ("image:push", "image:push hello:1 --archive image.tar"),
    ("image:list", "image:list hello"),
    ("image:gc", "image:gc --plan"),
    ("acl:user:list", "acl:user:list hello"),
    ("acl:user:add", "acl:user:add joe -a hello"),
    ("acl:user:rm", "acl:user:rm joe -a hello"),
    ("tokens", "tokens hello"),
    ("tokens:create", "tokens:create ci -a hello"),
    ("tokens:revoke", "tokens:revoke ci -a hello"),
    ("users", "users"),
    ("admin:list", "admin:list"),
    ("admin:user:add", "admin:user:add joe --key joe.pub"),
    ("admin:user:set", "admin:user:set joe --admin true"),
    ("admin:user:key:set", "admin:user:key:set joe --key joe.pub"),
    ("admin:user:rm", "admin:user:rm joe"),
    ("admin:login", "admin:login"),
    ("admin:login:locked", "admin:login:locked"),
    ("admin:login:lock", "admin:login:lock user:ada@example.com"),
    ("admin:login:unlock", "admin:login:unlock user:ada@example.com"),
    ("admin:login:rotate", "admin:login:rotate"),
    ("admin:swarm:usage", "admin:swarm:usage"),
    ("admin:swarm:restart", "admin:swarm:restart --yes"),
    ("swarm:nodes", "swarm:nodes"),
    ("swarm:stats", "swarm:stats"),
    ("swarm:network:health", "swarm:network:health"),
    ("swarm:node:label:add", "swarm:node:label:add disk=ssd --node i-1"),
    ("swarm:node:label:rm", "swarm:node:label:rm disk --node i-1"),
    ("node:json", "node:json"),
    ("cli:version-check", "cli:version-check"),
    ("login", "login jane@ssh.example.com --trust-first"),
    ("whoami", "whoami"),
    ("clusters", "clusters"),
    ("clusters:use", "clusters:use apps"),
    ("doctor", "doctor hello"),
];

/// What a document is made of, as the reference writes it.
#[derive(Debug)]
enum Shape {
    /// Neither a list nor an object.
    Single,
    /// In capitals: a text, or what has a row of its own.
    Word(String),
    List(Box<Shape>),
    /// These names, and no others.
    Object(BTreeMap<String, Shape>),
    /// Names of anybody's.
    Map(Box<Shape>),
}

/// What of a shape's text was not read yet.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn takes(&mut self, c: char) -> bool {
        match self.0.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    #[track_caller]
    fn wants(&mut self, c: char) {
        assert!(self.takes(c), "{c:?} is wanted before {:?}", self.0);
    }

    fn name(&mut self) -> String {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        assert!(end > 0, "a name is wanted before {text:?}");
        self.0 = &text[end..];
        text[..end].to_owned()
    }

    fn shape(&mut self) -> Shape {
        if self.takes('[') {
            let inner = self.shape();
            self.wants(']');
            return Shape::List(Box::new(inner));
        }
        if !self.takes('{') {
            return Shape::Word(self.name());
        }
        let mut object = BTreeMap::new();
        while self.takes('"') {
            let name = self.name();
            self.wants('"');
            let shape = if self.takes(':') { self.shape() } else { Shape::Single };
            assert!(object.insert(name, shape).is_none(), "a name is there twice");
            if self.takes('}') {
                return Shape::Object(object);
            }
            self.wants(',');
        }
        self.name();
        self.wants(':');
        let inner = self.shape();
        self.wants('}');
        Shape::Map(Box::new(inner))
    }
}

fn shape(text: &str) -> Shape {
    let mut reader = Reader(text);
    let shape = reader.shape();
    assert_eq!(reader.0, "", "{text} goes on behind its end");
    shape
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Rows of the reference: names in the first cell, and one of which their document is.
fn rows() -> Vec<(Vec<String>, Vec<Shape>)> {
    let file = Path::new("../../docs/cli.md");
    let text = std::fs::read_to_string(file).unwrap();
    let section = text.split_once("\n## What `--json` prints\n").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [names, documents, _] = cells[..] else { panic!("{line} has not three cells") };
        (code(names).map(str::to_owned).collect(), code(documents).map(shape).collect())
    });
    rows.collect()
}

/// The shapes that have a name.
type Named = BTreeMap<String, Vec<Shape>>;

/// What differs between a document and its shape. What a sample does not have is no proof, and differs, too.
fn differences(shape: &Shape, document: &Json, named: &Named, at: &str) -> Vec<String> {
    let is_single = |shape: &Shape| match shape {
        Shape::Single => true,
        Shape::Word(word) => !named.contains_key(word),
        _ => false,
    };
    let nothing = |inner: &Shape, is_empty: bool| {
        (is_empty && !is_single(inner)).then(|| format!("{at}: the sample has nothing in it"))
    };
    match (shape, document) {
        (Shape::Word(word), _) if named.contains_key(word) => {
            let all: Vec<Vec<String>> =
                named[word].iter().map(|shape| differences(shape, document, named, at)).collect();
            match document.is_string() || all.iter().any(Vec::is_empty) {
                true => Vec::new(),
                false => all.concat(),
            }
        }
        (Shape::Single | Shape::Word(_), Json::Array(_) | Json::Object(_)) => {
            vec![format!("{at} is more than the reference says: {document}")]
        }
        (Shape::Single | Shape::Word(_), _) => Vec::new(),
        (Shape::List(inner), Json::Array(items)) => {
            let wrong = items.iter().flat_map(|item| differences(inner, item, named, &format!("{at}[]")));
            nothing(inner, items.is_empty()).into_iter().chain(wrong).collect()
        }
        (Shape::Map(inner), Json::Object(fields)) => {
            let wrong = fields.values().flat_map(|field| differences(inner, field, named, &format!("{at}.*")));
            nothing(inner, fields.is_empty()).into_iter().chain(wrong).collect()
        }
        (Shape::Object(names), Json::Object(fields)) => {
            let (said, there): (BTreeSet<&String>, BTreeSet<&String>) =
                (names.keys().collect(), fields.keys().collect());
            let mut wrong: Vec<String> =
                said.symmetric_difference(&there).map(|name| format!("{at}.{name} is only on one side")).collect();
            for (name, shape) in names {
                let field = fields.get(name).map(|field| differences(shape, field, named, &format!("{at}.{name}")));
                wrong.extend(field.unwrap_or_default());
            }
            wrong
        }
        (_, document) => vec![format!("{at} is {document}")],
    }
}

fn healths() -> [Health; 4] {
    let timing = Timing { interval: 5, timeout: 3, retries: 3, start: 30 };
    let port = Health::Port { timing, or_image: true };
    [Health::Http { path: "/".to_owned(), timing }, port, Health::Runs { seconds: 5 }, Health::Image]
}

/// An answer that leaves out nothing which it may have.
fn whole(answer: Answer) -> Answer {
    let failed = || Some(deployment(Some(Outcome::RolledBack)));
    match answer {
        Answer::Changed(changed) => Answer::Changed(Changed { deployment: failed(), ..changed }),
        Answer::Imported(imported) => Answer::Imported(Imported { deployment: failed(), ..imported }),
        Answer::Link(change) => Answer::Link(LinkChange { deployment: failed(), ..change }),
        Answer::App(mut app) => {
            let [health, ..] = healths();
            let release_hook = Some(Hook { command: vec!["migrate".to_owned()], timeout: 60 });
            app.settings = Some(Settings { health, release_hook, ..futuswarm_paas::settings::defaults() });
            Answer::App(app)
        }
        other => other,
    }
}

/// A cluster that answers everything, and has every part of every image.
fn cluster() -> Fake {
    Fake::new(|mut peer| {
        let Some(request) = peer.request() else { return };
        let answer = match &request {
            Request::FindBlobs { digests, .. } => Answer::Blobs(digests.iter().cloned().collect()),
            request => whole(answer(request)),
        };
        if matches!(request, Request::Logs(_)) {
            let (task, node, line) = ("t".to_owned(), "i-1".to_owned(), "a line".to_owned());
            peer.send(&Event::Log(LogLine { at: 0, task, slot: 1, node, stderr: false, line }));
        }
        peer.done(answer);
    })
}

#[test]
fn every_document_is_what_the_reference_says() {
    let (named, commands): (Vec<_>, Vec<_>) =
        rows().into_iter().partition(|(names, _)| names[0].starts_with(|c: char| c.is_ascii_uppercase()));
    let named: Named = named.into_iter().map(|(mut names, shapes)| (names.remove(0), shapes)).collect();
    let samples: BTreeMap<&str, &str> = SAMPLES.iter().copied().collect();
    let said: BTreeSet<&str> = commands.iter().flat_map(|(names, _)| names.iter().map(String::as_str)).collect();
    let typed: BTreeSet<&str> = samples.keys().copied().collect();
    assert_eq!(said, typed, "docs/cli.md has other rows than there are samples");

    let fake = cluster();
    let work = fake.work();
    std::fs::write(work.join("joe.pub"), "ssh-ed25519 AAAA joe\n").unwrap();
    std::fs::write(work.join(".env"), "A=1\n").unwrap();
    std::fs::write(work.join("image.tar"), saved(&[b"a layer"])).unwrap();
    executable(&fake.bin().join("editor"), "#!/bin/sh\necho D=4 >>\"$1\"\n");
    let mut wrong = Vec::new();
    for (names, shapes) in &commands {
        for name in names {
            let words: Vec<&str> = std::iter::once("--json").chain(samples[name.as_str()].split(' ')).collect();
            let mut command = fake.command(&words);
            command.env("VISUAL", "editor");
            let document = finish(command, b"").json();
            for shape in shapes {
                wrong.extend(differences(shape, &document, &named, name));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/cli.md:\n{}", wrong.join("\n"));
    let health = shape("HEALTH");
    for one in healths() {
        let document = serde_json::to_value(&one).unwrap();
        assert_eq!(differences(&health, &document, &named, "health"), [""; 0], "{one:?}");
    }
}

#[test]
fn what_the_reference_does_not_say_is_found() {
    let named = Named::from([("ONE".to_owned(), vec![shape("{\"x\"}"), shape("{\"y\"}")])]);
    let whole = shape("{\"a\",\"b\":{\"c\"},\"d\":[ONE],\"e\":{KEY: TEXT}}");
    let good = serde_json::json!({ "a": null, "b": { "c": 1 }, "d": [{ "x": 1 }, { "y": 1 }, "text"], "e": {} });
    assert_eq!(differences(&whole, &good, &named, "it"), [""; 0]);
    for (key, bad) in [
        ("a", serde_json::json!([])),
        ("b", serde_json::json!(null)),
        ("b", serde_json::json!({ "c": 1, "more": 1 })),
        ("b", serde_json::json!({})),
        ("d", serde_json::json!([])),
        ("d", serde_json::json!([{ "z": 1 }])),
        ("e", serde_json::json!({ "k": { "x": 1 } })),
    ] {
        let mut document = good.clone();
        document[key] = bad;
        assert!(!differences(&whole, &document, &named, "it").is_empty(), "{document}");
    }
}
