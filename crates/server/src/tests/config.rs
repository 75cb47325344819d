//! Config and secrets on their way to the tasks, and back with a rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{AppRole, Outcome, keys};
use futuswarm_rpc::message::{Answer, Kind, RefusalClass, Request, Value, Wait};
use futuswarm_swarm::ServiceApi as _;

use super::deaths::{FOR_EVER, dies_after};
use super::links::record;
use super::world::*;
use crate::Control;

async fn environment(world: &World) -> BTreeMap<String, String> {
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    let entry = |entry: &String| entry.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    service.spec.environment.0.iter().filter_map(entry).collect()
}

#[tokio::test(start_paused = true)]
async fn config_reaches_the_tasks_and_goes_back_with_the_code() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "2", good());
    // Before the first deployment it only waits for one.
    let first = changed(&ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", "red")])).await);
    assert_eq!((first.deployment, first.keys["COLOUR"].as_str()), (None, "added"));
    world.first_release(&control, "jane", "hello").await;
    assert_eq!(environment(&world).await["COLOUR"], "red");
    let value = "@/etc/passwd \"quoted\"\nemoji 🦀 a=b";
    let second = changed(&ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", value)])).await);
    assert_eq!(second.deployment.unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(environment(&world).await["COLOUR"], value);
    ask(&control, "jane", &deploy("hello", "hello:2", None)).await.end().unwrap();

    let rollback = Request::Rollback { app: "hello".to_owned(), to: Some(1), wait: Wait::default() };
    let back = deployment(&ask(&control, "jane", &rollback).await);
    assert_eq!((back.outcome, back.release, back.image.as_str()), (Some(Outcome::Deployed), Some(4), "hello:1"));
    assert_eq!(environment(&world).await["COLOUR"], "red", "config goes back with the code");
    // And what undoes that is a rollback, too.
    let undo = Request::Rollback { app: "hello".to_owned(), to: back.previous, wait: Wait::default() };
    assert_eq!(deployment(&ask(&control, "jane", &undo).await).image, "hello:2");
    assert_eq!(environment(&world).await["COLOUR"], value);
}

/// The jobs that are there while this is asked.
async fn jobs(world: &World, control: &Arc<Control<Memory>>, request: &Request) -> BTreeSet<String> {
    let (engine, seen) = (world.engine.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    let to = Arc::clone(&seen);
    let watch = tokio::spawn(async move {
        loop {
            let services = engine.list_services().await.unwrap();
            let names = services.into_iter().map(|service| service.spec.name);
            to.lock().unwrap().extend(names.filter(|name| name.contains('_')));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    ask(control, "jane", request).await.end().unwrap();
    watch.abort();
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[tokio::test(start_paused = true)]
async fn a_change_of_config_pulls_no_image_that_runs_already() {
    let (world, control) = World::with_hello().await;
    world.image("hello", "2", good());
    let changed = set("hello", Kind::Config, &[("COLOUR", "red")]);
    assert_eq!(jobs(&world, &control, &changed).await, BTreeSet::new());
    assert_eq!(environment(&world).await["COLOUR"], "red");
    let other = deploy("hello", "hello:2", None);
    assert_eq!(jobs(&world, &control, &other).await, BTreeSet::from(["hello_pull_3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn secrets_are_files_that_only_owners_read() {
    let (world, control) = World::with_hello().await;
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    let secret = changed(&ask(&control, "joe", &set("hello", Kind::Secrets, &[("KEY", "hush"), ("OTHER", "x")])).await);
    assert_eq!(secret.deployment.unwrap().outcome, Some(Outcome::Deployed));
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    let files: Vec<&str> = service.spec.secrets.iter().map(|secret| secret.file.as_str()).collect();
    assert_eq!(files, ["KEY", "OTHER"]);
    assert!(!format!("{:?}", service.spec.environment).contains("KEY"));
    let values =
        |show| Request::Values { app: "hello".to_owned(), kind: Kind::Secrets, show, key: None, version: None };
    let Answer::Values(names) = ask(&control, "joe", &values(false)).await.end().unwrap() else { panic!() };
    assert!(names.values.contains_key("KEY") && names.values.values().all(Option::is_none));
    let denied = ask(&control, "joe", &values(true)).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    let Answer::Values(shown) = ask(&control, "jane", &values(true)).await.end().unwrap() else { panic!() };
    assert_eq!(shown.values["KEY"].as_ref().unwrap().text(), Some("hush"));
    // A version that no service names any more goes from the Swarm.
    for value in ["1", "2", "3"] {
        ask(&control, "jane", &set("hello", Kind::Secrets, &[("KEY", value)])).await.end().unwrap();
    }
    use futuswarm_swarm::SecretApi as _;
    let left = world.engine.list_secrets(futuswarm_swarm::APP_LABEL, "hello").await.unwrap();
    assert!(left.len() <= 4, "those of the service and of the spec before it: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_manager_died_before_its_release_gets_one_when_it_is_asked_for_again() {
    let red = set("hello", Kind::Config, &[("COLOUR", "red")]);
    let mut between = 0;
    for calls in 0.. {
        let (world, survivor) = World::with_hello().await;
        let mortal = world.control("i-2", dies_after(calls, Fault::Hang(FOR_EVER)));
        let asked = tokio::spawn({
            let red = red.clone();
            async move { ask(&mortal, "jane", &red).await }
        });
        seconds(200).await;
        asked.abort();
        let (records, kind) = (world.records(Faults::none()), crate::records::Kind::Config);
        if records.app("hello").await.unwrap().unwrap().latest > 1 {
            break;
        }
        if records.values("hello", keys::DEFAULT_ENVIRONMENT, kind, None).await.unwrap().is_none() {
            continue;
        }
        between += 1;
        let again = changed(&ask(&survivor, "jane", &red).await);
        assert_eq!(again.deployment.unwrap().outcome, Some(Outcome::Deployed), "after {calls} calls");
        assert_eq!(again.keys["COLOUR"], "added", "after {calls} calls");
        assert_eq!(environment(&world).await["COLOUR"], "red", "after {calls} calls");
    }
    assert!(between > 0, "no manager died between a change and its release");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_cut_while_its_release_is_on_its_way_is_not_released_again() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    let slow = deploy("hello", "hello:1", Some("[health]\nruns = \"300s\"\n"));
    assert_eq!(deployment(&ask(&control, "jane", &slow).await).outcome, Some(Outcome::Deployed));
    let red = |detach, supersede| {
        let mut request = set("hello", Kind::Config, &[("COLOUR", "red")]);
        if let Request::Change { wait, .. } = &mut request {
            *wait = Wait { detach, supersede, ..Wait::default() };
        }
        request
    };
    let cut = tokio::spawn({
        let (control, request) = (control.clone(), red(false, false));
        async move { ask(&control, "jane", &request).await }
    });
    while record(&world, "hello").await.deploying.is_none() {
        seconds(1).await;
    }
    cut.abort();
    for (detach, supersede, outcome) in
        [(true, false, None), (true, true, None), (false, true, Some(Outcome::Deployed))]
    {
        let again = changed(&ask(&control, "jane", &red(detach, supersede)).await);
        let again = again.deployment.unwrap();
        assert_eq!((again.release, again.outcome, again.previous), (Some(2), outcome, Some(1)), "{detach} {supersede}");
    }
    assert_eq!(environment(&world).await["COLOUR"], "red");
    assert_eq!(changed(&ask(&control, "jane", &red(false, false)).await).deployment, None);
    assert_eq!(record(&world, "hello").await.latest, 2);
}

#[tokio::test(start_paused = true)]
async fn what_tasks_do_not_have_is_released_when_it_is_set_again_and_what_was_not_named_waits() {
    let (world, control) = World::with_hello().await;
    let red = [("COLOUR", "red")];
    for kind in [Kind::Config, Kind::Secrets] {
        for _ in 0..2 {
            let staged = changed(&ask(&control, "jane", &stage("hello", kind, &red)).await);
            assert_eq!(staged.deployment, None, "{kind:?}");
        }
        let released = changed(&ask(&control, "jane", &set("hello", kind, &red)).await);
        assert_eq!(released.deployment.unwrap().outcome, Some(Outcome::Deployed), "{kind:?}");
        let same = changed(&ask(&control, "jane", &set("hello", kind, &red)).await);
        assert_eq!((same.keys.len(), same.deployment), (0, None), "{kind:?}");
    }
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    assert!(service.spec.secrets.iter().any(|secret| secret.file == "COLOUR"));
    assert_eq!(environment(&world).await["COLOUR"], "red");

    ask(&control, "jane", &stage("hello", Kind::Config, &[("SHAPE", "round")])).await.end().unwrap();
    let same = changed(&ask(&control, "jane", &set("hello", Kind::Config, &red)).await);
    assert_eq!(same.deployment, None, "what was set is what runs");
    assert!(!environment(&world).await.contains_key("SHAPE"));

    let rollback = Request::Rollback { app: "hello".to_owned(), to: Some(1), wait: Wait::default() };
    assert_eq!(deployment(&ask(&control, "jane", &rollback).await).outcome, Some(Outcome::Deployed));
    assert!(!environment(&world).await.contains_key("COLOUR"));
    let back = changed(&ask(&control, "jane", &set("hello", Kind::Config, &red)).await);
    assert_eq!(back.deployment.unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(environment(&world).await["COLOUR"], "red");
}

#[tokio::test(start_paused = true)]
async fn a_file_without_a_line_replaces_nothing() {
    let (world, control) = World::with_hello().await;
    ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", "red")])).await.end().unwrap();
    let empty = |app: &str| Request::Change {
        app: app.to_owned(),
        kind: Kind::Config,
        set: Default::default(),
        unset: Default::default(),
        dotenv: Some(Value::from("# no line\n")),
        replace: true,
        stage: false,
        wait: Wait::default(),
    };
    for app in ["hello", "fresh"] {
        let refused = ask(&control, "jane", &empty(app)).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{}", refused.message);
    }
    let names = Request::Values { app: "hello".to_owned(), kind: Kind::Config, show: false, key: None, version: None };
    let Answer::Values(names) = ask(&control, "jane", &names).await.end().unwrap() else { panic!() };
    assert!(names.values.contains_key("COLOUR"));
    assert_eq!(world.records(Faults::none()).app("fresh").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let control = world.manager("i-1");
    for (key, value) in [("1A", "x"), ("A B", "x"), ("", "x"), ("A", "nul \0"), ("FUTUSWARM_X", "x")] {
        let refused = ask(&control, "jane", &set("hello", Kind::Config, &[("GOOD", "1"), (key, value)])).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage, "{key:?}");
    }
    for (key, value) in [("KEY", ""), ("a/b", "x"), (".", "x")] {
        let refused = ask(&control, "jane", &set("hello", Kind::Secrets, &[("GOOD", "1"), (key, value)])).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage, "{key:?}");
    }
    assert_eq!(world.records(Faults::none()).app("hello").await.unwrap(), None, "nor did an app begin");
    for name in ["", "Hello", "a/b", "..", "-a", "a\nb", "🦀", &"a".repeat(41)] {
        let refused = ask(&control, "jane", &set(name, Kind::Config, &[("GOOD", "1")])).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage, "{name:?}");
    }
    let unknown = ask(&control, "nobody", &Request::Whoami).await.end().unwrap_err();
    assert_eq!(unknown.class, RefusalClass::Denied);
}
