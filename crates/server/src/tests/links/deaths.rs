//! A manager dies at every call of a link or of its end, before it was made or right after, and answers that fail or are lost.

use std::iter;

use futuswarm_faults::{Fault, Faults, Rates};

use super::super::deaths::{FOR_EVER, dies_after};
use super::*;

/// What must hold once everything is through, whatever has happened on the way. A marker may be left without reason: who dies between a
/// record and its marker takes none away, and the record says that there is nothing to do.
async fn settled(world: &World, context: &str) {
    let records = world.records(Faults::none());
    let (hello, shop) = (record(world, "hello").await, record(world, "shop").await);
    let linked = futuswarm_paas::links::are_linked(&hello, &shop);
    let shared = shared(world).await;
    assert_eq!(shared.len(), usize::from(linked), "{context}: {shared:?}");
    for app in [&hello, &shop] {
        let name = &app.name;
        let expected: Vec<String> = iter::once(format!("app-{name}")).chain(shared.iter().cloned()).collect();
        assert_eq!(networks(world, name).await, expected, "{context}");
        assert_eq!((&app.deploying, &app.reattach), (&None, &None), "{context}: {name}");
        for number in 1..=app.latest {
            let release = records.release(name, number).await.unwrap().unwrap();
            let Progress::Ended { outcome, .. } = release.progress else { panic!("{context}: {release:?}") };
            assert!(outcome.is_good(), "{context}: {name} {number} {outcome}");
        }
        let service = world.engine.inspect_service(name).await.unwrap().unwrap();
        assert_eq!(service.release(), app.release, "{context}: {name}");
    }
    let services = world.engine.list_services().await.unwrap();
    let mut services: Vec<&str> = services.iter().map(|service| service.spec.name.as_str()).collect();
    services.sort_unstable();
    assert_eq!(services, ["hello", "shop"], "{context}: no orphan is left");
}

/// Has a manager that dies after so many calls do it, while another one lives. `false` when it needed fewer.
async fn dies(calls: usize, last: Fault, end: bool) -> bool {
    let world = World::new().await;
    let survivor = world.manager("i-9");
    let request = match end {
        true => {
            two_linked_apps(&world, &survivor).await;
            unlink("shop", "hello")
        }
        false => {
            two_apps(&world, &survivor).await;
            changed(&ask(&survivor, "jane", &link("hello", "shop")).await);
            link("shop", "hello")
        }
    };
    let mortal = world.control("i-1", dies_after(calls, last));
    let asked = tokio::spawn(async move { ask(&mortal, "joe", &request).await });
    // Longer than two leases, the pauses between searches, and the releases of both apps.
    seconds(900).await;
    let died = match asked.is_finished() {
        true => asked.await.unwrap().end().is_err(),
        false => {
            asked.abort();
            true
        }
    };
    settled(&world, &format!("{last:?} after {calls} calls")).await;
    if !died {
        assert_eq!(shared(&world).await.is_empty(), end);
    }
    died
}

async fn at_every_call(end: bool) {
    // `FUTUSWARM_KILL_STEP=1` takes all of them.
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(5);
    for (first, last) in [(0, Fault::Hang(FOR_EVER)), (2, Fault::Stall(FOR_EVER))] {
        let mut calls = first;
        while dies(calls, last, end).await {
            calls += step;
            assert!(calls < 3000, "it never gets to its end");
        }
        assert!(calls > 20, "it was killed at {calls} calls only");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_manager_dies_anywhere_is_made_or_was_never_asked_for() {
    at_every_call(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_ended_by_a_manager_that_dies_anywhere_is_ended_for_both() {
    at_every_call(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_dies_anywhere_leaves_the_other_app_without_the_link() {
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(5);
    let mut calls = 0;
    loop {
        let world = World::new().await;
        let survivor = world.manager("i-9");
        two_linked_apps(&world, &survivor).await;
        let mortal = world.control("i-1", dies_after(calls, Fault::Hang(FOR_EVER)));
        let remove = Request::Remove { app: "shop".to_owned() };
        let asked = tokio::spawn(async move { ask(&mortal, "joe", &remove).await });
        seconds(900).await;
        let died = !asked.is_finished() || asked.await.unwrap().end().is_err();
        let records = world.records(Faults::none());
        match records.app("shop").await.unwrap() {
            // It died before it was known that the app is to go.
            Some(_) => assert_eq!(networks(&world, "hello").await.len(), 2, "after {calls} calls"),
            None => {
                assert_eq!(networks(&world, "hello").await, ["app-hello"], "after {calls} calls");
                assert_eq!(shared(&world).await, BTreeSet::new(), "after {calls} calls");
                let hello = record(&world, "hello").await;
                assert_eq!((hello.links.len(), hello.reattach), (0, None), "after {calls} calls");
            }
        }
        if !died {
            break;
        }
        calls += step;
        assert!(calls < 1000, "it never gets to its end");
    }
    assert!(calls > 10, "it was killed at {calls} calls only");
}

#[tokio::test(start_paused = true)]
async fn lost_and_failed_answers_end_as_what_both_say() {
    let rates = Rates { fail: 60, lose: 60, repeat: 30, delay_millis: 400, ..Default::default() };
    let (mut linked, mut refused) = (0, 0);
    for seed in 0..20 {
        let world = World::new().await;
        two_apps(&world, &world.control("i-9", Faults::none())).await;
        let faults = Faults::seeded(seed, rates);
        let control = world.control("i-1", faults.clone());
        tokio::spawn(crate::rollout::search(control.clone()));
        for (user, request) in [
            ("jane", link("hello", "shop")),
            ("joe", link("shop", "hello")),
            ("jane", unlink("hello", "shop")),
            ("jane", link("hello", "shop")),
        ] {
            refused += u32::from(ask(&control, user, &request).await.end().is_err());
        }
        seconds(1800).await;
        // What is left of a fault is seen to without one.
        faults.set(Rates::default());
        seconds(300).await;
        settled(&world, &format!("seed {seed}")).await;
        linked += u32::from(!shared(&world).await.is_empty());
    }
    assert!(linked > 10 && refused < 40, "{linked} of 20 were linked, {refused} of 80 requests refused");
}
