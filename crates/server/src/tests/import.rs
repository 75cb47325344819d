//! Config and secrets out of the old tool's bucket: what is taken, what is not, who may, and what becomes of it when calls fail.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futuswarm_faults::{Fault, Faults, Rates};
use futuswarm_model::{Outcome, keys};
use futuswarm_rpc::message::{Answer, Import, ImportOutcome, Imported, ImportedObject, Kind, RefusalClass, Request};
use futuswarm_store::{Bucket as _, Condition, Store};
use futuswarm_swarm::ServiceApi as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::world::*;

/// The key that `golden.py` has made data keys for.
const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef";

/// Objects that another implementation of the old form has written.
#[derive(Deserialize)]
struct Golden {
    name: String,
    body: String,
    value: String,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("../../../vault/src/legacy/golden.json")).unwrap()
}

/// The first of them, with a field changed.
fn with(field: &str, value: impl Into<Value>) -> String {
    let mut body: Value = serde_json::from_str(&golden()[0].body).unwrap();
    body[field] = value.into();
    body.to_string()
}

async fn put(world: &World, key: &str, body: &str) {
    world.old.put(key, body.as_bytes().to_vec(), Condition::None).await.unwrap();
}

/// A world whose specification names the old bucket, in which the golden objects are.
async fn world() -> World {
    let world = World::new().await;
    let specification = json!({ "cluster": "prod", "import": { "bucket": "old", "key": ARN } });
    Store::new(world.bucket.clone()).put(keys::SPEC, &specification).await.unwrap();
    for one in golden() {
        put(&world, &one.name, &one.body).await;
    }
    world
}

fn imported(heard: &Heard) -> Imported {
    match heard.end().unwrap() {
        Answer::Imported(imported) => imported,
        other => panic!("{other:?}"),
    }
}

fn outcomes(imported: &Imported) -> Vec<(&str, Kind, ImportOutcome)> {
    imported.objects.iter().map(|object| (object.key.as_str(), object.kind, object.outcome)).collect()
}

async fn values(control: &std::sync::Arc<crate::Control<Memory>>, kind: Kind) -> BTreeMap<String, Vec<u8>> {
    let request = Request::Values { app: "hello".to_owned(), kind, show: true, key: None, version: None };
    let Answer::Values(values) = ask(control, "root", &request).await.end().unwrap() else { panic!() };
    values.values.into_iter().map(|(key, value)| (key, value.unwrap().bytes().to_vec())).collect()
}

fn value_of(name: &str) -> Vec<u8> {
    let one = golden().into_iter().find(|one| one.name == name).unwrap();
    STANDARD.decode(one.value).unwrap()
}

#[tokio::test(start_paused = true)]
async fn config_and_secrets_come_out_as_the_old_tool_put_them_in() {
    let world = world().await;
    let control = world.manager("i-1");
    let before = world.old.writes();
    let first = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    use ImportOutcome::{Added, Unchanged};
    assert_eq!(
        outcomes(&first),
        [
            ("CERTIFICATE", Kind::Secrets, Added),
            ("EMPTY", Kind::Config, Added),
            ("GREETING", Kind::Config, Added),
            ("LOG_LEVEL", Kind::Config, Added),
            ("LONG", Kind::Config, Added),
            ("KEYSTORE", Kind::Secrets, Added),
        ]
    );
    assert_eq!(first.objects[5].object, "hello/docker-secret/KEYSTORE");
    assert_eq!(first.deployment, None, "there is nothing yet to be deployed again");
    let config = values(&control, Kind::Config).await;
    for key in ["EMPTY", "GREETING", "LOG_LEVEL", "LONG"] {
        assert_eq!(config[key], value_of(&format!("hello/default/{key}")), "{key}");
    }
    let secrets = values(&control, Kind::Secrets).await;
    assert_eq!(secrets["KEYSTORE"], (0..=255).collect::<Vec<u8>>());
    assert_eq!(secrets["CERTIFICATE"], value_of("hello/default/CERTIFICATE"));
    assert_eq!((config.len(), secrets.len()), (4, 2));

    let again = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert!(again.objects.iter().all(|object| object.outcome == Unchanged), "{:?}", again.objects);
    assert_eq!((again.config, again.secrets), (first.config, first.secrets), "each was one change, and this is none");
    let history = Request::History { app: "hello".to_owned(), kind: Kind::Config, limit: 10 };
    let Answer::History(history) = ask(&control, "root", &history).await.end().unwrap() else { panic!() };
    assert_eq!((history.len(), history[0].by.as_str()), (1, "root"));
    assert_eq!(world.old.writes(), before, "the old bucket is only read");
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_the_same_and_changes_nothing() {
    let world = world().await;
    let control = world.manager("i-1");
    let plan = imported(&ask(&control, "root", &Request::Import(Import { plan: true, ..wish("hello") })).await);
    assert!(plan.plan && plan.config.is_none());
    let unknown = Request::App { app: "hello".to_owned() };
    assert_eq!(ask(&control, "root", &unknown).await.end().unwrap_err().class, RefusalClass::NotFound);
    let done = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert_eq!(plan.objects, done.objects);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_runs_gets_a_release_with_them_unless_it_is_staged() {
    let world = world().await;
    let control = world.manager("i-1");
    world.first_release(&control, "jane", "hello").await;
    let own = stage("hello", Kind::Config, &[("LOG_LEVEL", "info"), ("OWN", "1")]);
    ask(&control, "jane", &own).await.end().unwrap();
    let staged = imported(&ask(&control, "root", &Request::Import(Import { stage: true, ..wish("hello") })).await);
    assert_eq!(staged.deployment, None);
    let level = staged.objects.iter().find(|object| object.key == "LOG_LEVEL").unwrap();
    assert_eq!(level.outcome, ImportOutcome::Changed);
    put(&world, "hello/default/MORE", &golden()[0].body).await;
    let released = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert_eq!(released.deployment.unwrap().outcome, Some(Outcome::Deployed));
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    for entry in ["LOG_LEVEL=debug", "MORE=debug", "OWN=1"] {
        assert!(service.spec.environment.0.contains(&entry.to_owned()), "{entry}");
    }
    let files: Vec<&str> = service.spec.secrets.iter().map(|secret| secret.file.as_str()).collect();
    assert_eq!(files, ["CERTIFICATE", "KEYSTORE"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_imported_without_a_release_gets_one_by_the_same_import_again() {
    let world = world().await;
    let control = world.manager("i-1");
    world.first_release(&control, "jane", "hello").await;
    // Docker's secrets are files, and are called as files are.
    put(&world, "hello/docker-secret/tls.key", &golden()[5].body).await;
    let staged = imported(&ask(&control, "root", &Request::Import(Import { stage: true, ..wish("hello") })).await);
    assert_eq!(staged.deployment, None);
    assert!(staged.objects.iter().all(|object| object.outcome == ImportOutcome::Added), "{:?}", staged.objects);
    let again = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert!(again.objects.iter().all(|object| object.outcome == ImportOutcome::Unchanged), "{:?}", again.objects);
    assert_eq!(again.deployment.unwrap().outcome, Some(Outcome::Deployed));
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    let files: Vec<&str> = service.spec.secrets.iter().map(|secret| secret.file.as_str()).collect();
    assert_eq!(files, ["CERTIFICATE", "KEYSTORE", "tls.key"]);
    let once_more = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert_eq!(once_more.deployment, None, "tasks have all of it");
}

#[tokio::test(start_paused = true)]
async fn another_service_and_environment_are_named() {
    let world = world().await;
    let control = world.manager("i-1");
    put(&world, "old-shop/staging/LOG_LEVEL", &golden()[0].body).await;
    put(&world, "old-shop/staging-2/OTHER", &golden()[0].body).await;
    put(&world, "old-shop/docker-secret/KEY", &golden()[5].body).await;
    let staging = Import {
        prefix: Some("/old-shop/".to_owned()),
        environment: Some("staging".to_owned()),
        key_arn: Some(ARN.to_owned()),
        ..wish("hello")
    };
    let found = imported(&ask(&control, "root", &Request::Import(staging)).await);
    let found: Vec<&str> = found.objects.iter().map(|object| object.object.as_str()).collect();
    assert_eq!(found, ["old-shop/docker-secret/KEY", "old-shop/staging/LOG_LEVEL"]);
    let only = Import { environment: Some("docker-secret".to_owned()), plan: true, ..wish("hello") };
    let found = imported(&ask(&control, "root", &Request::Import(only)).await);
    assert_eq!(outcomes(&found), [("KEYSTORE", Kind::Secrets, ImportOutcome::Added)]);
    let nothing = Import { prefix: Some("nobody".to_owned()), ..wish("hello") };
    let refused = ask(&control, "root", &Request::Import(nothing)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound, "{refused:?}");
    assert!(refused.message.contains("s3://old/nobody/default/"), "{}", refused.message);
    for (prefix, environment) in [("", "default"), ("/", "default"), ("a", ""), ("a", "b/c"), ("a\nb", "default")] {
        let (prefix, environment) = (Some(prefix.to_owned()), Some(environment.to_owned()));
        let refused = ask(&control, "root", &Request::Import(Import { prefix, environment, ..wish("hello") })).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage);
    }
}

#[tokio::test(start_paused = true)]
async fn only_admins_may_and_only_from_what_the_specification_names() {
    let world = world().await;
    let control = world.manager("i-1");
    world.first_release(&control, "jane", "hello").await;
    // Their own app, but whose objects those in the bucket are, nobody can say.
    let denied = ask(&control, "jane", &Request::Import(wish("hello"))).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied, "{denied:?}");
    assert!(denied.message.starts_with("config:import is not allowed: only admins may"), "{}", denied.message);
    for (wrong, part) in [
        (Import { bucket: "other".to_owned(), ..wish("hello") }, "may read the bucket old and not \"other\""),
        (
            Import { key_arn: Some("arn:aws:kms:x:1:key/2".to_owned()), ..wish("hello") },
            "may use the key arn:aws:kms:eu",
        ),
        (wish("Not An App"), "small letters"),
    ] {
        let refused = ask(&control, "root", &Request::Import(wrong)).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains(part), "{}", refused.message);
    }
    Store::new(world.bucket.clone()).put(keys::SPEC, &json!({ "cluster": "prod" })).await.unwrap();
    let refused = ask(&control, "root", &Request::Import(wish("hello"))).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage);
    assert!(refused.message.contains("write `[import]`"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_changed_or_something_else_stays_and_the_others_are_taken() {
    let world = world().await;
    let control = world.manager("i-1");
    let other_key = with("key", STANDARD.encode([b"arn:aws:kms:eu-west-1:1:key/2\n".as_slice(), &[7; 64]].concat()));
    for (key, body) in [
        ("hello/default/BAD_HMAC", with("hmac", "00".repeat(32))),
        ("hello/default/BAD_TAG", with("tag", STANDARD.encode([0; 16]))),
        ("hello/default/BAD_KEY", other_key),
        ("hello/default/NO_OBJECT", "[]".to_owned()),
        ("hello/default/HUGE", "x".repeat((1 << 20) + 1)),
        ("hello/default/grouped/NESTED", golden()[0].body.clone()),
        ("hello/default/with-dash", golden()[0].body.clone()),
        // Marks of folders, and another service that begins alike.
        ("hello/default/", String::new()),
        ("hello/default/grouped/", String::new()),
        ("hello2/default/LOG_LEVEL", golden()[0].body.clone()),
    ] {
        put(&world, key, &body).await;
    }
    let heard = ask(&control, "root", &Request::Import(wish("hello"))).await;
    let said = imported(&heard);
    let refused: BTreeMap<&str, &str> = said
        .objects
        .iter()
        .filter(|object| object.outcome == ImportOutcome::NotTaken)
        .map(|object| (object.key.as_str(), object.reason.as_deref().unwrap()))
        .collect();
    for (key, part) in [
        ("BAD_HMAC", "its HMAC is that of something else"),
        ("BAD_TAG", "its tag is that of something else"),
        ("BAD_KEY", "a data key of the old tool with key arn:aws:kms:eu-west-1"),
        ("NO_OBJECT", "it is no JSON of the old tool"),
        ("HUGE", "it has 1048577 bytes"),
        ("grouped/NESTED", "no name of an environment variable"),
        ("with-dash", "no name of an environment variable"),
    ] {
        assert!(refused[key].contains(part), "{key}: {}", refused[key]);
    }
    assert_eq!((refused.len(), said.objects.len()), (7, 13));
    assert_eq!(values(&control, Kind::Config).await.len(), 4, "the good ones are there");
    // Nothing that is said on the way has a value in it.
    assert!(!format!("{heard:?}").contains("debug"));
}

#[tokio::test(start_paused = true)]
async fn more_than_a_page_of_objects_is_read() {
    let world = world().await;
    let control = world.manager("i-1");
    for index in 0..2100 {
        put(&world, &format!("many/default/K{index:04}"), &golden()[0].body).await;
    }
    let many = Import { prefix: Some("many".to_owned()), ..wish("hello") };
    let said = imported(&ask(&control, "root", &Request::Import(many.clone())).await);
    assert_eq!(said.objects.len(), 2100);
    assert_eq!(values(&control, Kind::Config).await.len(), 2100);
    for index in 2100..5001 {
        put(&world, &format!("many/default/K{index:04}"), "").await;
    }
    let refused = ask(&control, "root", &Request::Import(many)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage);
    assert!(refused.message.contains("more than 5000 objects"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_tried_again_and_ends_no_other() {
    // Short trouble is not even seen.
    let mut world = world().await;
    world.old_faults = Faults::seeded(7, Rates { fail: 100, lose: 100, delay_millis: 300, ..Rates::default() });
    let control = world.manager("i-1");
    let said = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert!(said.objects.iter().all(|object| object.outcome == ImportOutcome::Added), "{:?}", said.objects);

    // An object that is gone when it is read, between a listing and the next.
    let mut world = self::world().await;
    world.old_faults = Faults::script([Fault::None, Fault::None, Fault::Absent]);
    let control = world.manager("i-1");
    let said = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    let gone: Vec<&ImportedObject> =
        said.objects.iter().filter(|object| object.outcome == ImportOutcome::NotTaken).collect();
    assert_eq!(gone.len(), 1, "{:?}", said.objects);
    assert!(gone[0].reason.as_ref().unwrap().contains("was deleted"), "{gone:?}");

    // Nobody answers once the objects are listed: each says so, and nothing was changed.
    let mut world = self::world().await;
    let away = [Fault::None; 2].into_iter().chain(std::iter::repeat_n(Fault::Fail, 10_000));
    world.old_faults = Faults::script(away);
    let control = world.manager("i-1");
    let said = imported(&ask(&control, "root", &Request::Import(wish("hello"))).await);
    assert!(said.objects.iter().all(|object| object.outcome == ImportOutcome::NotTaken), "{:?}", said.objects);
    assert!(said.objects[0].reason.as_ref().unwrap().contains("gave up after"), "{:?}", said.objects[0]);
    let unknown = Request::App { app: "hello".to_owned() };
    assert_eq!(ask(&control, "root", &unknown).await.end().unwrap_err().class, RefusalClass::NotFound);

    // Nobody answers at all.
    let mut world = self::world().await;
    world.old_faults = Faults::script(std::iter::repeat_n(Fault::Fail, 10_000));
    let control = world.manager("i-1");
    let refused = ask(&control, "root", &Request::Import(wish("hello"))).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Unavailable);
    assert!(refused.message.contains("the old bucket cannot be listed"), "{}", refused.message);
}
