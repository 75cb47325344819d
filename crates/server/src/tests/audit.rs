//! The audit from requests to lines in the bucket and back, and what of it is in the journal.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use futuswarm_faults::{Faults, Rates};
use futuswarm_model::{AuditEntry, keys};
use futuswarm_paas::access::Verb;
use futuswarm_rpc::message::{Answer, Kind, Logs, RefusalClass, Request, Wait};
use futuswarm_rpc::{Caller, Hello, Identity};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::world::*;
use crate::audit::Audited;
use crate::verbs::Subject;
use crate::wire::Outgoing;
use crate::{Control, serve, start};

/// Stands in no line, whatever becomes of the request that has it.
const VALUE: &str = "correct-horse-battery";

/// A manager that writes its audit to the bucket as the service does, for as long as there is the sender.
fn auditing(world: &World, faults: Faults) -> (Arc<Control<Memory>>, oneshot::Sender<()>) {
    let (audits, lines) = mpsc::channel(start::AUDITS);
    let (running, last) = oneshot::channel();
    let control = Arc::into_inner(world.control("i-1", faults)).unwrap();
    let control = Arc::new(Control { audits, ..control });
    tokio::spawn(start::audit(Arc::clone(&control), lines, last));
    (control, running)
}

/// Lines of requests, the oldest first. Releases have lines of their own.
async fn lines(world: &World) -> Vec<AuditEntry> {
    let mut lines = world.records(Faults::none()).audits(100).await.unwrap();
    lines.retain(|line| !line.verb.starts_with("release "));
    lines.reverse();
    lines
}

fn told(line: &AuditEntry) -> (&str, &str, Option<&str>, &str) {
    (line.who.as_str(), line.verb.as_str(), line.app.as_deref(), line.outcome.as_str())
}

fn jane() -> Caller {
    Caller { identity: Identity::User("jane".to_owned()), key: None, from: None }
}

/// A request that has ended.
fn ended(app: &str) -> Audited {
    let mut audited = Audited::begin(Some(Verb::Deploy.into()), Subject::App(app), &jane());
    audited.end(None, 7);
    audited
}

/// What is written to the journal by this thread.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// The fields of one line.
struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Journal {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_told_by_its_command_and_never_with_a_value() {
    let (world, _) = World::with_hello().await;
    let (control, _running) = auditing(&world, Faults::none());
    let hello = || "hello".to_owned();
    let asked = [
        ("jane", stage("hello", Kind::Config, &[("COLOUR", VALUE)]), "config:set", Some("hello"), "done"),
        ("joe", stage("hello", Kind::Config, &[("COLOUR", VALUE)]), "config:set", Some("hello"), "denied"),
        ("jane", stage("hello", Kind::Secrets, &[("KEY", VALUE)]), "secret:set", Some("hello"), "done"),
        ("jane", stage("hello", Kind::Config, &[("NO KEY", VALUE)]), "config:set", Some("hello"), "usage"),
        (
            "jane",
            Request::Scale { app: hello(), replicas: 1_000_000, wait: Wait::default() },
            "app:scale",
            Some("hello"),
            "usage",
        ),
        (
            "jane",
            Request::Revoke { app: hello(), principal: "jane".parse().unwrap() },
            "acl:user:rm",
            Some("hello"),
            "usage",
        ),
        ("jane", Request::Cancel { app: hello() }, "app:cancel", Some("hello"), "not_found"),
        ("root", Request::RemoveUser { name: "nobody".to_owned() }, "admin:user:rm", None, "not_found"),
    ];
    let mut expected = Vec::new();
    for (who, request, verb, app, outcome) in &asked {
        let ended = ask(&control, who, request).await.end();
        assert_eq!(ended.is_ok(), *outcome == "done", "{ended:?}");
        expected.push((*who, *verb, *app, *outcome));
        seconds(1).await;
    }
    let lines = lines(&world).await;
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), expected);
    let records = world.records(Faults::none());
    let store = records.store();
    for key in store.list(keys::AUDIT).await.unwrap() {
        let line = store.peek::<serde_json::Value>(&key).await.unwrap().unwrap().value.to_string();
        assert!(!line.contains(VALUE), "{line}");
    }
    // As an admin reads them, and nobody else.
    let Answer::Audit(newest) = ask(&control, "root", &Request::Audit { limit: 2 }).await.end().unwrap() else {
        panic!()
    };
    assert!(newest.iter().eq(lines.iter().rev().take(2)), "{newest:?}");
    let denied = ask(&control, "jane", &Request::Audit { limit: 2 }).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    assert!(denied.message.starts_with("admin:swarm:usage is not allowed"), "{}", denied.message);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_is_told_by_the_command_that_they_typed() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.records(Faults::none()).create_app("hello", "jane", START).await.unwrap();
    let name = || "joe".to_owned();
    for (request, command) in [
        (Request::Revoke { app: "hello".to_owned(), principal: "jane".parse().unwrap() }, "acl:user:rm"),
        (Request::Cancel { app: "hello".to_owned() }, "app:cancel"),
        (Request::RevokeToken { app: "hello".to_owned(), name: "ci".to_owned() }, "tokens:revoke"),
        (Request::RemoveUser { name: name() }, "admin:user:rm"),
        (
            Request::PutUser { name: name(), create: false, keys: None, admin: Some(true), groups: None },
            "admin:user:set",
        ),
    ] {
        let refused = ask(&control, "joe", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Denied);
        assert!(refused.message.starts_with(&format!("{command} is not allowed")), "{}", refused.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_understands_is_told_with_who_sent_it() {
    let world = World::new().await;
    let (control, _running) = auditing(&world, Faults::none());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_reader, writer) = ours.into_split();
    let mut outgoing = Outgoing::new(writer);
    outgoing.message(&jane()).await.unwrap();
    outgoing.message(&Hello::of("test")).await.unwrap();
    outgoing.message(&serde_json::json!({ "request": "of-a-later-version", "value": VALUE })).await.unwrap();
    serve::connection(&control, theirs).await.unwrap();
    seconds(1).await;
    let lines = lines(&world).await;
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), [("jane", "unknown", None, "usage")]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_waits_for_the_bucket_has_the_time_of_its_request() {
    let world = World::new().await;
    let faults = Faults::none();
    let (control, _running) = auditing(&world, faults.clone());
    faults.set(Rates { fail: 1000, ..Rates::default() });
    let asked = world.now();
    for app in ["hello", "shop"] {
        control.audit(ended(app));
    }
    seconds(60).await;
    assert_eq!(lines(&world).await, []);
    faults.set(Rates::default());
    seconds(60).await;
    let lines = lines(&world).await;
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.at.abs_diff(asked) <= 1), "asked at {asked}: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_the_bucket_never_takes_is_in_the_journal_as_a_whole() {
    let journal = Journal::default();
    let _journal = tracing::subscriber::set_default(journal.clone());
    let world = World::new().await;
    let (control, _running) = auditing(&world, Faults::seeded(1, Rates { fail: 1000, ..Rates::default() }));
    control.audit(ended("hello"));
    seconds(1000).await;
    let given_up = journal.with("in the journal only");
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    for part in ["jane", "app:deploy", "hello", "done"] {
        assert!(given_up[0].contains(part), "{part} is not in {}", given_up[0]);
    }
    assert_eq!(lines(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_in_the_journal_from_its_beginning() {
    let journal = Journal::default();
    let _journal = tracing::subscriber::set_default(journal.clone());
    let (_world, control) = World::with_hello().await;
    let follow = Request::Logs(Logs { app: "hello".to_owned(), follow: true, ..Logs::default() });
    let going = tokio::spawn({
        let control = Arc::clone(&control);
        async move { ask(&control, "root", &follow).await }
    });
    seconds(5).await;
    assert!(!going.is_finished());
    // All that is left of it when its manager dies now.
    let begun = journal.with("a request begins");
    let is_it = |line: &&String| ["root", "app:logs", "hello"].iter().all(|part| line.contains(part));
    assert_eq!(begun.iter().filter(is_it).count(), 1, "{begun:?}");
    going.abort();
}
