//! Logins change when no release is on its way: whoever waits for one, or takes its place, has done what they asked for.

use std::sync::Arc;

use super::*;
use crate::Control;

/// Tasks may take ten minutes to get healthy.
const SLOW: &str = "[health]\npath = \"/\"\nstart = 600\n";

/// Begins a release that will take its time.
async fn begin(world: &World, control: &Arc<Control<Memory>>, tag: &str, behaviour: Behaviour) {
    world.image("hello", tag, behaviour);
    let Request::Deploy(mut request) = deploy("hello", &format!("hello:{tag}"), Some(SLOW)) else { panic!() };
    request.wait.detach = true;
    ask(control, "jane", &Request::Deploy(request)).await.end().unwrap();
    seconds(10).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_waits_for_the_release_that_is_on_its_way_or_takes_its_place() {
    let (world, control) = World::with_hello().await;
    begin(&world, &control, "2", Behaviour::healthy_after(Duration::from_secs(60))).await;
    let refused = ask(&control, "jane", &create()).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Locked);
    assert!(
        refused.message.contains("release 2 of hello") && refused.message.contains("--wait"),
        "{}",
        refused.message
    );
    assert!(world.databases.databases().is_empty() && listed(&world).await.created_by.is_none(), "nothing is made");
    let wait = Wait { for_lock: Some(300), ..Wait::default() };
    let made = changed(&ask(&control, "jane", &Request::CreateDatabase { app: hello(), wait }).await);
    assert_eq!(made.deployment.unwrap().outcome, Some(Outcome::Deployed));
    assert!(works(&world).await);

    begin(&world, &control, "3", Behaviour::never_healthy()).await;
    let wait = Wait { supersede: true, ..Wait::default() };
    let rotated = changed(&ask(&control, "jane", &Request::RotateDatabase { app: hello(), wait }).await);
    assert_eq!(rotated.deployment.unwrap().outcome, Some(Outcome::Deployed));
    assert_eq!(listed(&world).await.login.as_deref(), Some("hello_b"));
    let releases = Request::Releases { app: hello(), limit: 9 };
    let Answer::Releases(releases) = ask(&control, "jane", &releases).await.end().unwrap() else { panic!() };
    let outcomes: Vec<Outcome> = releases.iter().rev().map(|row| row.outcome.unwrap()).collect();
    let deployed = Outcome::Deployed;
    assert_eq!(outcomes, [deployed, deployed, deployed, Outcome::Superseded, deployed]);
}

#[tokio::test(start_paused = true)]
async fn an_app_without_a_database_is_told_so_at_once() {
    let (world, control) = World::with_hello().await;
    begin(&world, &control, "2", Behaviour::never_healthy()).await;
    let wait = Wait { supersede: true, ..Wait::default() };
    let refused = ask(&control, "jane", &Request::RotateDatabase { app: hello(), wait }).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound, "{}", refused.message);
    assert!(world.records(Faults::none()).app("hello").await.unwrap().unwrap().deploying.is_some(), "nothing is ended");
}
