//! Removals that break off, are slow, or meet the next app of their name.

use std::iter;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{Outcome, keys};
use futuswarm_rpc::message::{Kind, RefusalClass, Request};
use futuswarm_store::Bucket as _;
use futuswarm_swarm::fake::Behaviour;
use futuswarm_swarm::{APP_LABEL, NetworkApi as _, NetworkScope, SecretApi as _, ServiceApi as _, TaskApi as _};

use super::world::*;

const SLOW: Duration = Duration::from_secs(200);
const REPOSITORY: &str = "registry/docker/registry/v2/repositories/hello/_manifests/tags/1/current/link";

fn remove() -> Request {
    Request::Remove { app: "hello".to_owned() }
}

async fn networks(world: &World) -> Vec<String> {
    let networks = world.engine.list_networks(NetworkScope::Swarm, Some("app-")).await.unwrap();
    networks.into_iter().map(|network| network.name).collect()
}

/// Jane's app with everything that an app can leave behind.
async fn janes(world: &World) {
    let control = world.manager("i-9");
    world.first_release(&control, "jane", "hello").await;
    ask(&control, "jane", &set("hello", Kind::Secrets, &[("KEY", "jane's")])).await.end().unwrap();
    ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", "jane's")])).await.end().unwrap();
    world.records(Faults::none()).store().put(REPOSITORY, &"sha256:1").await.unwrap();
}

/// Removes jane's app by a manager one of whose calls is slow, and lets joe take the name meanwhile. `false` when the removal made fewer
/// calls.
async fn is_slow_at(calls: usize, fault: Fault) -> bool {
    let world = World::new().await;
    janes(&world).await;
    let survivor = world.manager("i-8");
    let faults = Faults::script(iter::repeat_n(Fault::None, calls).chain([fault]));
    let slow = world.control("i-1", faults.clone());
    let removing = tokio::spawn(async move { ask(&slow, "jane", &remove()).await });
    // Others go on with what somebody has left.
    seconds(100).await;
    assert_eq!(world.bucket.list(REPOSITORY).await.unwrap(), Vec::<String>::new(), "images, call {calls}");
    world.image("hello", "2", good());
    let joes = deployment(&ask(&survivor, "joe", &deploy("hello", "hello:2", None)).await);
    assert_eq!((joes.outcome, joes.release), (Some(Outcome::Deployed), Some(1)), "call {calls}: {joes:?}");
    ask(&survivor, "joe", &set("hello", Kind::Secrets, &[("KEY", "joe's")])).await.end().unwrap();
    world.records(Faults::none()).store().put(REPOSITORY, &"sha256:2").await.unwrap();

    seconds(600).await;
    let waits = (0..=calls).any(|_| faults.draw() == fault);
    assert!(removing.is_finished(), "call {calls}");
    let _done_or_left_to_others = removing.await.unwrap().end();
    let records = world.records(Faults::none());
    let app = records.app("hello").await.unwrap().unwrap();
    assert_eq!((app.created_by.as_str(), app.release), ("joe", Some(2)), "call {calls}");
    let service = world.engine.inspect_service("hello").await.unwrap();
    assert_eq!(service.and_then(|service| service.release()), Some(2), "the service of the new app, call {calls}");
    let tasks = world.engine.list_tasks(Some("hello")).await.unwrap();
    let running = tasks.iter().filter(|task| task.is_wanted() && !task.state.is_over()).count();
    assert_eq!(running, 1, "call {calls}");
    let secrets = world.engine.list_secrets(APP_LABEL, "hello").await.unwrap();
    assert_eq!(secrets.len(), 1, "call {calls}: {secrets:?}");
    let values = records.values("hello", keys::DEFAULT_ENVIRONMENT, crate::records::Kind::Secrets, None).await;
    assert_eq!(values.unwrap().unwrap().values["KEY"].text(), Some("joe's"), "call {calls}");
    let config = records.values("hello", keys::DEFAULT_ENVIRONMENT, crate::records::Kind::Config, None).await;
    assert_eq!(config.unwrap(), None, "call {calls}");
    assert_eq!(world.bucket.list(REPOSITORY).await.unwrap().len(), 1, "the images of the new app, call {calls}");
    assert_eq!(networks(&world).await, ["app-hello"], "call {calls}");
    !waits
}

async fn at_every_call(fault: Fault) {
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(2);
    let mut calls = 1;
    while is_slow_at(calls, fault).await {
        calls += step;
        assert!(calls < 500, "it never gets to its end");
    }
    assert!(calls > 10, "it makes {calls} calls only");
}

#[tokio::test(start_paused = true)]
async fn a_removal_whose_call_is_made_late_takes_nothing_from_the_next_app_of_the_name() {
    at_every_call(Fault::Delay(SLOW, Duration::ZERO)).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_answered_late_takes_nothing_from_the_next_app_of_the_name() {
    at_every_call(Fault::Delay(Duration::ZERO, SLOW)).await;
}

#[tokio::test(start_paused = true)]
async fn who_wants_the_name_ends_the_removal_that_somebody_has_left() {
    let world = World::new().await;
    // Nobody searches: who is asked for the name does it.
    let control = world.control("i-1", Faults::none());
    world.first_release(&control, "jane", "hello").await;
    ask(&control, "jane", &set("hello", Kind::Secrets, &[("KEY", "jane's")])).await.end().unwrap();
    world.records(Faults::none()).begin_removal("hello", world.now()).await.unwrap();
    let early = ask(&control, "joe", &deploy("hello", "hello:1", None)).await.end().unwrap_err();
    assert_eq!(early.class, RefusalClass::Locked, "{early:?}");
    assert!(world.engine.inspect_service("hello").await.unwrap().is_some(), "somebody may be at it");
    seconds(61).await;
    // The images of the app before it go with that one, so his own is pushed once the name is his.
    let gone = deployment(&ask(&control, "joe", &deploy("hello", "hello:1", None)).await);
    assert_eq!((gone.outcome, gone.release), (Some(Outcome::Failed), Some(1)));
    world.image("hello", "1", good());
    let joes = deployment(&ask(&control, "joe", &deploy("hello", "hello:1", None)).await);
    assert_eq!((joes.outcome, joes.release), (Some(Outcome::Deployed), Some(2)));
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    assert_eq!((service.release(), service.spec.secrets.len()), (Some(2), 0));
    assert_eq!(world.engine.list_secrets(APP_LABEL, "hello").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn an_app_with_a_release_on_its_way_is_not_removed() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", Behaviour::healthy_after(Duration::from_secs(20)));
    let first = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:1", None)).await }
    });
    seconds(5).await;
    let refused = ask(&control, "jane", &remove()).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Locked);
    assert!(refused.message.contains("release 1 of hello is on its way"), "{}", refused.message);
    assert_eq!(deployment(&first.await.unwrap()).outcome, Some(Outcome::Deployed));
    ask(&control, "jane", &remove()).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_network_goes_once_slow_tasks_have_ended() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", Behaviour { stops: Duration::from_secs(90), ..good() });
    ask(&control, "jane", &deploy("hello", "hello:1", Some("stop_grace = \"2m\""))).await.end().unwrap();
    world.first_release(&control, "jane", "other").await;
    ask(&control, "jane", &remove()).await.end().unwrap();
    assert_eq!(networks(&world).await, ["app-hello", "app-other"], "its tasks have not ended");
    seconds(200).await;
    assert_eq!(networks(&world).await, ["app-other"]);
}
