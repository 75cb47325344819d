//! What is told of apps: to whom, and why a release failed; and the restart of all of them.

use std::sync::Arc;

use futuswarm_faults::Faults;
use futuswarm_model::{AppRole, FailureClass, Outcome};
use futuswarm_rpc::message::{Answer, Kind, RefusalClass, Request, Why};
use futuswarm_swarm::fake::Behaviour;
use futuswarm_swarm::{ServiceApi as _, TaskApi as _};

use super::world::*;
use crate::Control;

#[tokio::test(start_paused = true)]
async fn which_apps_somebody_else_has_is_told_of_ones_own_only() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    for (app, owner) in [("hello", "jane"), ("plans", "jane"), ("shop", "joe")] {
        records.create_app(app, owner, START).await.unwrap();
    }
    ask(&control, "jane", &grant("hello", "joe", AppRole::Viewer)).await.end().unwrap();
    let (owner, viewer) = (Some(AppRole::Owner), Some(AppRole::Viewer));
    for (asker, of, expected) in [
        ("joe", "jane", vec![("hello", owner)]),
        ("jane", "joe", vec![("hello", viewer)]),
        ("jane", "jane", vec![("hello", owner), ("plans", owner)]),
        ("root", "jane", vec![("hello", owner), ("plans", owner)]),
        ("root", "joe", vec![("hello", viewer), ("shop", owner)]),
        ("jane", "root", Vec::new()),
    ] {
        let Answer::Apps(rows) = ask(&control, asker, &Request::AppsOf { user: of.to_owned() }).await.end().unwrap()
        else {
            panic!()
        };
        let told: Vec<(&str, Option<AppRole>)> = rows.iter().map(|row| (row.app.as_str(), row.role)).collect();
        assert_eq!(told, expected, "{asker} asks for those of {of}");
    }
}

/// A release that is ended before it is healthy.
async fn cancelled(control: &Arc<Control<Memory>>) {
    let asked = tokio::spawn({
        let control = Arc::clone(control);
        async move { ask(&control, "jane", &deploy("hello", "hello:3", Some("[health]\npath = \"/\"\n"))).await }
    });
    seconds(10).await;
    ask(control, "jane", &Request::Cancel { app: "hello".to_owned() }).await.end().unwrap();
    assert_eq!(deployment(&asked.await.unwrap()).outcome, Some(Outcome::Cancelled));
}

async fn why(control: &Arc<Control<Memory>>) -> Why {
    match ask(control, "jane", &Request::Why { app: "hello".to_owned(), release: None }).await.end().unwrap() {
        Answer::Why(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_ended_is_not_what_failed_last() {
    let (world, control) = World::with_hello().await;
    world.image("hello", "2", Behaviour::exits(std::time::Duration::from_secs(1), 3));
    world.image("hello", "3", Behaviour::never_healthy());
    cancelled(&control).await;
    let none = why(&control).await;
    assert_eq!((none.release, none.outcome, none.failure), (None, None, None), "nothing has failed yet");
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    assert_eq!((failed.release, failed.outcome), (Some(3), Some(Outcome::RolledBack)), "{failed:?}");
    cancelled(&control).await;
    let told = why(&control).await;
    let class = told.failure.map(|failure| failure.class);
    assert_eq!((told.release, told.outcome, class), (Some(3), Some(Outcome::RolledBack), Some(FailureClass::Exits)));
}

#[tokio::test(start_paused = true)]
async fn every_app_that_runs_is_restarted_and_one_that_was_never_deployed_is_no_failure() {
    let (world, control) = World::with_hello().await;
    world.first_release(&control, "joe", "shop").await;
    ask(&control, "jane", &set("draft", Kind::Config, &[("COLOUR", "red")])).await.end().unwrap();
    let denied = ask(&control, "jane", &Request::RestartAll).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    assert!(denied.message.starts_with("admin:swarm:restart is not allowed"), "{}", denied.message);
    let restarted = ask(&control, "root", &Request::RestartAll).await.end().unwrap();
    assert_eq!(restarted, Answer::Done("2 apps are restarted".to_owned()));
    for app in ["hello", "shop"] {
        let service = world.engine.inspect_service(app).await.unwrap().unwrap();
        let tasks = world.engine.list_tasks(Some(app)).await.unwrap();
        assert_eq!(service.release(), Some(2), "{app}");
        assert!(tasks.len() > 1, "{app}: {tasks:?}");
    }
    assert_eq!(world.engine.inspect_service("draft").await.unwrap(), None);
}
