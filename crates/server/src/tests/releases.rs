//! Releases from the request to the tasks, with everything that can become of them.

use std::time::Duration;

use futuswarm_model::{AppRole, FailureClass, Outcome};
use futuswarm_rpc::message::{Answer, Event, Kind, RefusalClass, Request, Wait};
use futuswarm_swarm::fake::Behaviour;
use futuswarm_swarm::{ServiceApi as _, TaskApi as _};

use super::world::*;

#[tokio::test(start_paused = true)]
async fn the_first_deployment_of_a_name_owns_it_and_runs() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let digest = world.image("hello", "latest", good());
    let heard = ask(&control, "jane", &deploy("hello", "hello", Some("replicas = 2\nmemory = \"64 MiB\""))).await;
    let deployed = deployment(&heard);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed), "{deployed:?}");
    assert_eq!((deployed.release, deployed.url.as_str()), (Some(1), "https://hello.apps.example.com"));
    assert!(heard.events.iter().any(|event| matches!(event, Event::Progress { .. })));
    let Answer::App(app) = ask(&control, "jane", &Request::App { app: "hello".to_owned() }).await.end().unwrap() else {
        panic!()
    };
    assert_eq!((app.row.running, app.row.replicas, app.digest), (2, 2, Some(digest)));
    let services = world.engine.list_services().await.unwrap();
    assert_eq!(services.len(), 1, "the jobs of the release are gone: {services:?}");

    // Nobody else may do anything with it, and an admin may.
    let refused = ask(&control, "joe", &deploy("hello", "hello", None)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Denied, "{refused:?}");
    assert!(refused.message.contains("ask an owner (jane)"), "{}", refused.message);
    let Answer::Apps(apps) = ask(&control, "joe", &Request::Apps).await.end().unwrap() else { panic!() };
    assert_eq!(apps, []);
    let Answer::Apps(apps) = ask(&control, "root", &Request::Apps).await.end().unwrap() else { panic!() };
    assert_eq!((apps.len(), apps[0].running, apps[0].release), (1, 2, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn the_same_again_is_unchanged_and_a_restart_is_not() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "latest", good());
    ask(&control, "jane", &deploy("hello", "hello", None)).await.end().unwrap();
    let again = deployment(&ask(&control, "jane", &deploy("hello", "hello", None)).await);
    assert_eq!((again.outcome, again.release), (Some(Outcome::Unchanged), Some(2)));
    let tasks = world.engine.list_tasks(Some("hello")).await.unwrap();
    assert_eq!(tasks.len(), 1, "nothing was replaced: {tasks:?}");
    let restart = Request::Restart { app: "hello".to_owned(), wait: Wait::default() };
    let restarted = deployment(&ask(&control, "jane", &restart).await);
    assert_eq!(restarted.outcome, Some(Outcome::Deployed));
    let tasks = world.engine.list_tasks(Some("hello")).await.unwrap();
    assert!(tasks.len() > 1, "{tasks:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_put_back_with_the_reason_and_the_last_lines() {
    let (world, control) = World::with_hello().await;
    let bad = Behaviour::exits(std::time::Duration::from_secs(1), 3).with_log(["no database", "giving up"]);
    world.image("hello", "2", bad);
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    assert_eq!((failed.outcome, failed.previous), (Some(Outcome::RolledBack), Some(1)));
    let failure = failed.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Exits, "{failure:?}");
    assert_eq!(failure.log, ["no database", "giving up"]);
    seconds(30).await;
    assert_eq!(world.running().await, [Some(1)]);
    let why = Request::Why { app: "hello".to_owned(), release: None };
    let Answer::Why(why) = ask(&control, "jane", &why).await.end().unwrap() else { panic!() };
    assert_eq!((why.release, why.failure.unwrap().class), (Some(2), FailureClass::Exits));
    let releases = Request::Releases { app: "hello".to_owned(), limit: 10 };
    let Answer::Releases(releases) = ask(&control, "jane", &releases).await.end().unwrap() else { panic!() };
    let shown: Vec<(u64, bool)> = releases.iter().map(|row| (row.release, row.current)).collect();
    assert_eq!(shown, [(2, false), (1, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_again_and_again_is_told_soon_at_its_first_release() {
    // Also one that ends with 0, and in a Swarm that keeps so few tasks that never three are seen that have ended.
    for (code, words) in [(0, "ended with the code 0, and an app has to go on"), (3, "ended with the code 3")] {
        for kept in [3, 5] {
            let world = World::new().await;
            let control = world.manager("i-1");
            world.swarm.keep_tasks(kept);
            let ends = Behaviour::exits(Duration::from_secs(1), code).with_log(["hello, world"]);
            // Before it listens.
            world.image("hello", "1", Behaviour { healthy: None, ..ends });
            let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", None)).await);
            let failure = failed.failure.unwrap();
            assert_eq!((failed.outcome, failure.class), (Some(Outcome::Failed), FailureClass::Exits), "{failure:?}");
            assert!(failure.reason.ends_with(words), "{code}, {kept}: {failure:?}");
            assert_eq!(failure.log, ["hello, world"], "{code}, {kept}");
            assert!(world.elapsed() < Duration::from_secs(60), "{code}, {kept}: {:?}", world.elapsed());
            assert_eq!(world.engine.inspect_service("hello").await.unwrap(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_release_whose_program_ends_with_0_is_put_back_and_told() {
    let (world, control) = World::with_hello().await;
    world.image("hello", "2", Behaviour::exits(Duration::from_secs(1), 0).with_log(["hello, world"]));
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    let failure = failed.failure.unwrap();
    assert_eq!((failed.outcome, failure.class), (Some(Outcome::RolledBack), FailureClass::Exits), "{failure:?}");
    assert_eq!(failure.reason, "the program ended with the code 0, and an app has to go on");
    assert_eq!(failure.log, ["hello, world"]);
    assert!(failed.seconds < 60, "it took {} s", failed.seconds);
    seconds(30).await;
    assert_eq!(world.running().await, [Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn config_that_a_rollback_put_aside_does_not_come_back_with_a_restart_or_more_tasks() {
    let (world, control) = World::with_hello().await;
    for colour in ["good", "bad"] {
        ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", colour)])).await.end().unwrap();
    }
    let colour = async || {
        let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
        service.spec.environment.0.into_iter().find(|entry| entry.starts_with("COLOUR=")).unwrap()
    };
    let (app, wait) = ("hello".to_owned(), Wait::default());
    let rollback = Request::Rollback { app: app.clone(), to: None, wait: wait.clone() };
    let heard = ask(&control, "jane", &rollback).await;
    assert_eq!(deployment(&heard).outcome, Some(Outcome::Deployed));
    assert_eq!(colour().await, "COLOUR=good");
    let is_told = |event: &Event| matches!(event, Event::Note { text } if text.contains("version 2 stays the latest"));
    assert_eq!(heard.events.iter().filter(|event| is_told(event)).count(), 1, "{:?}", heard.events);
    let restart = Request::Restart { app: app.clone(), wait: wait.clone() };
    for request in [restart, Request::Scale { app, replicas: 2, wait }] {
        let again = deployment(&ask(&control, "jane", &request).await);
        assert_eq!((again.outcome, colour().await.as_str()), (Some(Outcome::Deployed), "COLOUR=good"), "{request:?}");
    }
    ask(&control, "jane", &deploy("hello", "hello:1", None)).await.end().unwrap();
    assert_eq!(colour().await, "COLOUR=bad", "the next deployment takes what counts");
    // One that changes neither has nothing to say.
    let same = Request::Rollback { app: "hello".to_owned(), to: Some(3), wait: Wait::default() };
    assert!(!ask(&control, "jane", &same).await.events.iter().any(is_told));
}

#[tokio::test(start_paused = true)]
async fn a_port_for_the_edge_that_is_not_the_apps_is_refused() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    let file = |port: u32| format!("port = 8080\n[edge]\n\"com.df.port\" = \"{port}\"\n");
    let refused = ask(&control, "jane", &deploy("hello", "hello:1", Some(&file(9000)))).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage);
    assert!(refused.message.contains("com.df.port") && refused.message.contains("8080"), "{}", refused.message);
    assert_eq!(world.records(futuswarm_faults::Faults::none()).app("hello").await.unwrap(), None, "no app begins");
    let same = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", Some(&file(8080)))).await);
    assert_eq!(same.outcome, Some(Outcome::Deployed));
}

#[tokio::test(start_paused = true)]
async fn labels_that_the_edge_does_not_honour_are_told_by_the_deployment() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    let file = |label: &str, value: &str| format!("[edge]\n\"com.df.{label}\" = \"{value}\"\n");
    for (label, value, told) in [
        ("users", "ada:hunter2", "com.df.users is refused"),
        ("servicePath", "api", "each beginning with /"),
        ("httpsonly", "true", "it is written com.df.httpsOnly"),
        ("port.2", "8000", "without a gap"),
        ("redirectFromDomain", "other.apps.example.com", "is the platform's to set"),
    ] {
        let refused = ask(&control, "jane", &deploy("hello", "hello:1", Some(&file(label, value)))).await;
        let refused = refused.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{label}");
        assert!(refused.message.contains(told) && !refused.message.contains("hunter2"), "{}", refused.message);
    }
    assert_eq!(world.records(futuswarm_faults::Faults::none()).app("hello").await.unwrap(), None, "no app begins");
    let good = deploy("hello", "hello:1", Some(&file("httpsOnly", "true")));
    assert_eq!(deployment(&ask(&control, "jane", &good).await).outcome, Some(Outcome::Deployed));
    let labels = world.engine.inspect_service("hello").await.unwrap().unwrap().spec.labels;
    assert_eq!(labels["com.df.httpsOnly"], "true");
}

#[tokio::test(start_paused = true)]
async fn labels_that_are_not_docker_flow_proxys_are_checked_by_the_deployment_and_reach_the_service() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    let file = |label: &str, value: &str| format!("[edge]\n\"com.futuswarm.{label}\" = \"{value}\"\n");
    for (label, value, told) in [
        ("maintenance", "maybe", "it is `true` or `false`"),
        ("Maintenance", "true", "it is written com.futuswarm.maintenance"),
        ("canary", "10", "the edge does not know it"),
        ("maintenance.2", "true", "without a gap"),
        ("connections", "3001", "it is a number of requests at the same time, 1 to 3000"),
        ("bodySize", "1 TiB", "from 1 KiB to 100 GiB"),
    ] {
        let refused = ask(&control, "jane", &deploy("hello", "hello:1", Some(&file(label, value)))).await;
        let refused = refused.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{label}");
        assert!(refused.message.contains(told), "{}", refused.message);
    }
    let good = deploy("hello", "hello:1", Some(&file("maintenance", "true")));
    assert_eq!(deployment(&ask(&control, "jane", &good).await).outcome, Some(Outcome::Deployed));
    let labels = world.engine.inspect_service("hello").await.unwrap().unwrap().spec.labels;
    assert_eq!(labels["com.futuswarm.maintenance"], "true");
}

#[tokio::test(start_paused = true)]
async fn an_app_whose_labels_would_be_refused_today_goes_on() {
    let (world, control) = World::with_hello().await;
    let records = world.records(futuswarm_faults::Faults::none());
    let mut before = records.release("hello", 1).await.unwrap().unwrap();
    let labels = [("com.df.users", "ada:x"), ("com.df.redirectFromDomain", "other.apps.example.com")];
    before.settings.edge_labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    records.store().put(&futuswarm_model::keys::release("hello", 1), &before).await.unwrap();
    let (app, wait) = ("hello".to_owned(), Wait::default());
    for request in [
        Request::Restart { app: app.clone(), wait: wait.clone() },
        Request::Scale { app: app.clone(), replicas: 2, wait: wait.clone() },
        deploy("hello", "hello:1", None),
        Request::Rollback { app, to: Some(1), wait },
    ] {
        let heard = ask(&control, "jane", &request).await;
        assert!(heard.end().is_ok(), "{request:?}: {:?}", heard.end());
    }
    let labels = world.engine.inspect_service("hello").await.unwrap().unwrap().spec.labels;
    assert!(labels.keys().all(|label| !label.contains("redirectFromDomain")), "{labels:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_or_for_something_else_changes_nothing() {
    let (world, control) = World::with_hello().await;
    world.registry.push("hello", "arm", "arm64");
    for (image, class) in [("hello:9", FailureClass::ImageMissing), ("hello:arm", FailureClass::ImagePlatform)] {
        let failed = deployment(&ask(&control, "jane", &deploy("hello", image, None)).await);
        assert_eq!(failed.outcome, Some(Outcome::Failed), "{image}");
        assert_eq!(failed.failure.unwrap().class, class);
    }
    let foreign = ask(&control, "jane", &deploy("hello", "other:1", None)).await.end().unwrap_err();
    assert_eq!(foreign.class, RefusalClass::Usage);
    assert_eq!(world.engine.inspect_service("hello").await.unwrap().unwrap().release(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_second_deployment_is_told_who_holds_the_lock_or_waits() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", Behaviour::healthy_after(std::time::Duration::from_secs(20)));
    let first = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:1", None)).await }
    });
    seconds(5).await;
    let locked = ask(&control, "root", &deploy("hello", "hello:1", None)).await.end().unwrap_err();
    assert_eq!(locked.class, RefusalClass::Locked);
    assert!(locked.message.contains("release 1 of hello is on its way") && locked.message.contains("by jane"));
    let Request::Deploy(mut waiting) = deploy("hello", "hello:1", Some("replicas = 2")) else { panic!() };
    waiting.wait.for_lock = Some(300);
    let second = deployment(&ask(&control, "root", &Request::Deploy(waiting)).await);
    assert_eq!((second.outcome, second.release), (Some(Outcome::Deployed), Some(2)));
    assert_eq!(deployment(&first.await.unwrap()).outcome, Some(Outcome::Deployed));
}

#[tokio::test(start_paused = true)]
async fn a_release_on_its_way_is_one_row_of_the_list() {
    let (world, control) = World::with_hello().await;
    world.image("hello", "2", Behaviour::healthy_after(std::time::Duration::from_secs(20)));
    let second = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:2", None)).await }
    });
    seconds(5).await;
    for (limit, expected) in [(9, vec![(2, None), (1, Some(Outcome::Deployed))]), (1, vec![(2, None)])] {
        let releases = Request::Releases { app: "hello".to_owned(), limit };
        let Answer::Releases(rows) = ask(&control, "jane", &releases).await.end().unwrap() else { panic!() };
        let shown: Vec<(u64, Option<Outcome>)> = rows.iter().map(|row| (row.release, row.outcome)).collect();
        assert_eq!(shown, expected);
    }
    assert_eq!(deployment(&second.await.unwrap()).outcome, Some(Outcome::Deployed));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_cancelled_is_put_back() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    world.image("hello", "2", Behaviour::never_healthy());
    ask(&control, "jane", &deploy("hello", "hello:1", Some("[health]\npath = \"/\"\n"))).await.end().unwrap();
    let second = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:2", Some("[health]\npath = \"/\"\n"))).await }
    });
    seconds(10).await;
    ask(&control, "jane", &Request::Cancel { app: "hello".to_owned() }).await.end().unwrap();
    assert_eq!(deployment(&second.await.unwrap()).outcome, Some(Outcome::Cancelled));
    seconds(30).await;
    assert_eq!(world.engine.inspect_service("hello").await.unwrap().unwrap().release(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_app_leaves_nothing_to_the_next_of_its_name() {
    let (world, control) = World::with_hello().await;
    ask(&control, "jane", &grant("hello", "joe", AppRole::Owner)).await.end().unwrap();
    ask(&control, "joe", &Request::Remove { app: "hello".to_owned() }).await.end().unwrap();
    assert_eq!(world.engine.inspect_service("hello").await.unwrap(), None);
    let gone = ask(&control, "jane", &Request::App { app: "hello".to_owned() }).await.end().unwrap_err();
    assert_eq!(gone.class, RefusalClass::NotFound, "{gone:?}");
    let new = deployment(&ask(&control, "joe", &deploy("hello", "hello:1", None)).await);
    assert_eq!(new.release, Some(1));
    let denied = ask(&control, "jane", &Request::App { app: "hello".to_owned() }).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied, "rows do not come back with the name");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_removed_leaves_no_rights_to_the_next_of_their_name() {
    let (world, control) = World::with_hello().await;
    world.first_release(&control, "joe", "other").await;
    ask(&control, "jane", &grant("hello", "joe", AppRole::Owner)).await.end().unwrap();
    let removed = ask(&control, "root", &Request::RemoveUser { name: "joe".to_owned() }).await.end().unwrap();
    let Answer::Done(said) = removed else { panic!() };
    assert!(said.contains("nobody owns other any more: "), "{said}");
    assert_eq!(ask(&control, "joe", &Request::Whoami).await.end().unwrap_err().class, RefusalClass::Denied);
    let again = Request::PutUser { name: "joe".to_owned(), create: true, keys: None, admin: None, groups: None };
    ask(&control, "root", &again).await.end().unwrap();
    let denied = ask(&control, "joe", &Request::App { app: "hello".to_owned() }).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    let own = ask(&control, "root", &Request::RemoveUser { name: "root".to_owned() }).await.end().unwrap_err();
    assert_eq!(own.class, RefusalClass::Usage);
}
