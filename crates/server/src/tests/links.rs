//! Links between apps, from what their owners say to the networks of their tasks, and back.

mod deaths;
mod ends;
mod releases;

use std::collections::BTreeSet;
use std::sync::Arc;

use futuswarm_model::{AppRecord, AppRole, Link as Word, Outcome, Progress};
use futuswarm_rpc::message::{Answer, Link, LinkChange, LinkRow, LinkState, RefusalClass, Request, Wait};
use futuswarm_swarm::{NetworkApi as _, NetworkScope, ServiceApi as _};

use super::world::*;
use crate::Control;
use crate::links::{Settled, settle};

pub(super) fn link(app: &str, other: &str) -> Request {
    Request::Link(Link { app: app.to_owned(), other: other.to_owned(), end: false, wait: Wait::default() })
}

pub(super) fn unlink(app: &str, other: &str) -> Request {
    Request::Link(Link { app: app.to_owned(), other: other.to_owned(), end: true, wait: Wait::default() })
}

#[track_caller]
pub(super) fn changed(heard: &Heard) -> LinkChange {
    match heard.end().unwrap() {
        Answer::Link(change) => change,
        other => panic!("{other:?}"),
    }
}

/// What links an app has: the other app, how it stands, and whether tasks are on the network.
async fn rows(control: &Arc<Control<Memory>>, user: &str, app: &str) -> Vec<(String, LinkState, bool)> {
    let Answer::Links(rows) = ask(control, user, &Request::Links { app: app.to_owned() }).await.end().unwrap() else {
        panic!()
    };
    rows.into_iter().map(|LinkRow { other, state, attached, .. }| (other, state, attached)).collect()
}

/// Names of the networks of an app's service, in their order.
pub(super) async fn networks(world: &World, app: &str) -> Vec<String> {
    let known = world.engine.list_networks(NetworkScope::Swarm, None).await.unwrap();
    let service = world.engine.inspect_service(app).await.unwrap().unwrap();
    let name = |id: &str| known.iter().find(|network| network.id == id).unwrap().name.clone();
    service.spec.networks.iter().map(|attachment| name(&attachment.network)).collect()
}

/// Names of the networks that linked apps share, whoever is on them.
pub(super) async fn shared(world: &World) -> BTreeSet<String> {
    let known = world.engine.list_networks(NetworkScope::Swarm, Some("link-")).await.unwrap();
    known.into_iter().map(|network| network.name).collect()
}

pub(super) async fn record(world: &World, app: &str) -> AppRecord {
    world.records(futuswarm_faults::Faults::none()).app(app).await.unwrap().unwrap()
}

/// `hello` of jane and `shop` of joe, each with one release.
pub(super) async fn two_apps(world: &World, control: &Arc<Control<Memory>>) {
    for (app, user) in [("hello", "jane"), ("shop", "joe")] {
        world.first_release(control, user, app).await;
        world.image(app, "2", good());
    }
}

/// A world with a manager, and [`two_apps`].
pub(super) async fn with_two_apps() -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.manager("i-1");
    two_apps(&world, &control).await;
    (world, control)
}

/// Both apps want the link, and are on the network that they share.
pub(super) async fn two_linked_apps(world: &World, control: &Arc<Control<Memory>>) -> String {
    two_apps(world, control).await;
    changed(&ask(control, "jane", &link("hello", "shop")).await);
    assert_eq!(changed(&ask(control, "joe", &link("shop", "hello")).await).state, LinkState::Linked);
    seconds(60).await;
    let shared = shared(world).await.into_iter().next().unwrap();
    assert_eq!(networks(world, "hello").await, ["app-hello", &shared]);
    assert_eq!(networks(world, "shop").await, ["app-shop", &shared]);
    shared
}

/// A world with a manager, [`two_linked_apps`], and the network that they share.
pub(super) async fn with_two_linked_apps() -> (World, Arc<Control<Memory>>, String) {
    let world = World::new().await;
    let control = world.manager("i-1");
    let shared = two_linked_apps(&world, &control).await;
    (world, control, shared)
}

#[tokio::test(start_paused = true)]
async fn one_side_changes_nothing_and_both_share_a_network_in_either_order() {
    let (jane, joe) = (("jane", "hello", "shop"), ("joe", "shop", "hello"));
    for (first, second) in [(jane, joe), (joe, jane)] {
        let (world, control) = with_two_apps().await;
        let said = changed(&ask(&control, first.0, &link(first.1, first.2)).await);
        assert_eq!((said.state, said.attached, said.deployment), (LinkState::Waiting, false, None));
        assert_eq!(said.owners, [second.0], "whose yes is missing");
        seconds(300).await;
        for app in ["hello", "shop"] {
            assert_eq!(networks(&world, app).await, [format!("app-{app}")]);
            let record = record(&world, app).await;
            assert_eq!((record.latest, record.reattach), (1, None));
        }
        assert_eq!(shared(&world).await, BTreeSet::new());
        assert_eq!(rows(&control, first.0, first.1).await, [(first.2.to_owned(), LinkState::Waiting, false)]);
        assert_eq!(rows(&control, second.0, second.1).await, [(second.2.to_owned(), LinkState::Asked, false)]);

        let said = changed(&ask(&control, second.0, &link(second.1, second.2)).await);
        assert_eq!((said.state, said.attached), (LinkState::Linked, true));
        let own = said.deployment.unwrap();
        assert_eq!((own.app.as_str(), own.release, own.outcome), (second.1, Some(2), Some(Outcome::Deployed)));
        seconds(60).await;
        let shared = shared(&world).await;
        let name = shared.first().unwrap();
        assert_eq!(shared.len(), 1);
        let records = world.records(futuswarm_faults::Faults::none());
        for app in ["hello", "shop"] {
            assert_eq!(networks(&world, app).await, [format!("app-{app}"), name.clone()]);
            let release = records.release(app, 2).await.unwrap().unwrap();
            assert_eq!(release.by, format!("{} (app:link {} {})", second.0, second.1, second.2), "who completed it");
            assert_eq!((release.of, release.image), (Some(1), format!("{app}:1")));
            let record = record(&world, app).await;
            assert_eq!((record.latest, record.release, record.reattach), (2, Some(2), None), "and no more releases");
            let service = world.engine.inspect_service(app).await.unwrap().unwrap();
            assert!(service.spec.networks.iter().all(|attachment| attachment.aliases.is_empty()), "{service:?}");
        }
        assert!(records.pending().await.unwrap().is_empty());
        assert_eq!(rows(&control, first.0, first.1).await, [(first.2.to_owned(), LinkState::Linked, true)]);
        // To ask again changes nothing.
        let again = changed(&ask(&control, first.0, &link(first.1, first.2)).await);
        assert_eq!((again.state, again.attached, again.deployment), (LinkState::Linked, true, None));
        // Who completed it is found under both apps.
        let audited = world.audited.lock().unwrap();
        for app in [first.1, second.1] {
            let is_line = |line: &&futuswarm_model::AuditEntry| {
                line.who == second.0 && line.verb == "app:link" && line.app.as_deref() == Some(app)
            };
            assert_eq!(audited.iter().filter(is_line).count(), 1, "{app}: {audited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_linked_is_refused_and_changes_nothing() {
    let (world, control) = with_two_apps().await;
    let before = (record(&world, "hello").await, record(&world, "shop").await);
    for (user, app, other, class, part) in [
        // As for everything else that is asked of an app: whether it is there is no secret, and what it is is.
        ("joe", "hello", "shop", RefusalClass::Denied, "ask an owner (jane)"),
        ("joe", "hello", "nothing", RefusalClass::Denied, "ask an owner (jane)"),
        ("joe", "nothing", "hello", RefusalClass::NotFound, "there is no app nothing"),
        ("jane", "hello", "nothing", RefusalClass::NotFound, "there is no app nothing"),
        ("jane", "hello", "hello", RefusalClass::Usage, "reaches itself"),
        ("jane", "hello", "Shop", RefusalClass::Usage, "no such name"),
        ("jane", "hello", "", RefusalClass::Usage, "no such name"),
        ("jane", "hello", "shop\nx", RefusalClass::Usage, "no such name"),
        ("jane", "hello", "mainpage", RefusalClass::Denied, "only admins"),
        ("jane", "hello", "edge", RefusalClass::Denied, "only admins"),
        ("root", "hello", "mainpage", RefusalClass::NotFound, "there is no app mainpage"),
    ] {
        let refused = ask(&control, user, &link(app, other)).await.end().unwrap_err();
        assert_eq!(refused.class, class, "{user} {app} {other:?}: {refused:?}");
        assert!(refused.message.contains(part), "{user} {app} {other:?}: {refused:?}");
    }
    let refused = ask(&control, "jane", &unlink("hello", "shop")).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound, "{refused:?}");
    assert_eq!((record(&world, "hello").await, record(&world, "shop").await), before);
    // Whoever may look may see the links, and not change them; a token may neither.
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    assert_eq!(rows(&control, "joe", "hello").await, []);
    for request in [link("hello", "shop"), unlink("hello", "shop")] {
        assert_eq!(ask(&control, "joe", &request).await.end().unwrap_err().class, RefusalClass::Denied);
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_has_no_more_links_than_it_may() {
    let (_world, control) = with_two_apps().await;
    let fill = |record: &mut AppRecord| {
        for other in 0..futuswarm_paas::links::MOST_LINKS {
            record.links.insert(format!("app{other}"), Word { life: 1, by: "jane".to_owned(), at: 1 });
        }
        Ok::<_, crate::Error>(())
    };
    control.records.change_app("hello", fill).await.unwrap();
    let refused = ask(&control, "jane", &link("hello", "shop")).await.end().unwrap_err();
    assert!(refused.class == RefusalClass::Usage && refused.message.contains("20 links"), "{refused:?}");
    let gone = rows(&control, "jane", "hello").await;
    assert!(gone.len() == 20 && gone.iter().all(|(_, state, _)| *state == LinkState::Gone), "{gone:?}");
    assert_eq!(changed(&ask(&control, "jane", &unlink("hello", "app7")).await).state, LinkState::Ended);
    assert_eq!(changed(&ask(&control, "jane", &link("hello", "shop")).await).state, LinkState::Waiting);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_runs_nothing_comes_onto_the_network_with_its_first_release() {
    let (world, control) = World::with_hello().await;
    control.records.create_app("shop", "joe", START).await.unwrap();
    ask(&control, "jane", &link("hello", "shop")).await.end().unwrap();
    let said = changed(&ask(&control, "joe", &link("shop", "hello")).await);
    assert_eq!((said.state, said.attached, said.deployment), (LinkState::Linked, false, None));
    seconds(60).await;
    assert_eq!(networks(&world, "hello").await.len(), 2);
    assert!(matches!(settle(&control, "shop").await.unwrap(), Settled::Done), "nothing is left to do for it");
    world.first_release(&control, "joe", "shop").await;
    assert_eq!(networks(&world, "shop").await[1..], networks(&world, "hello").await[1..]);
}

#[tokio::test(start_paused = true)]
async fn three_apps_share_two_networks_and_none_with_the_third() {
    let (world, control, first) = with_two_linked_apps().await;
    world.first_release(&control, "joe", "blog").await;
    ask(&control, "joe", &link("blog", "shop")).await.end().unwrap();
    assert_eq!(changed(&ask(&control, "joe", &link("shop", "blog")).await).state, LinkState::Linked);
    seconds(60).await;
    let second = networks(&world, "blog").await[1].clone();
    assert_ne!(first, second);
    let on: BTreeSet<String> = networks(&world, "shop").await.into_iter().collect();
    assert_eq!(on, BTreeSet::from(["app-shop".to_owned(), first.clone(), second]));
    assert_eq!(networks(&world, "hello").await, ["app-hello".to_owned(), first]);
    let ended = |release: &futuswarm_model::Release| {
        matches!(release.progress, Progress::Ended { outcome: Outcome::Deployed, .. })
    };
    let records = world.records(futuswarm_faults::Faults::none());
    for app in ["hello", "shop", "blog"] {
        assert!(records.releases(app, 10).await.unwrap().iter().all(ended), "{app}");
    }
}
