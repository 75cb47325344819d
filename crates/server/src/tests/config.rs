//! Config and secrets on their way to the tasks, and back with a rollback.

use std::collections::BTreeMap;

use futuswarm_model::{AppRole, Outcome};
use futuswarm_rpc::message::{Answer, Kind, RefusalClass, Request, Wait};
use futuswarm_swarm::ServiceApi as _;

use super::world::*;

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
async fn nonsense_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let control = world.manager("i-1");
    for (key, value) in [("1A", "x"), ("A B", "x"), ("", "x"), ("A", "nul \0"), ("FUTUSWARM_X", "x")] {
        let refused = ask(&control, "jane", &set("hello", Kind::Config, &[("GOOD", "1"), (key, value)])).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage, "{key:?}");
    }
    for name in ["", "Hello", "a/b", "..", "-a", "a\nb", "🦀", &"a".repeat(41)] {
        let refused = ask(&control, "jane", &set(name, Kind::Config, &[("GOOD", "1")])).await;
        assert_eq!(refused.end().unwrap_err().class, RefusalClass::Usage, "{name:?}");
    }
    let unknown = ask(&control, "nobody", &Request::Whoami).await.end().unwrap_err();
    assert_eq!(unknown.class, RefusalClass::Denied);
}
