//! Links beside everything else that is done with an app: deployments, rollbacks, programs, and apps that are busy or broken.

use std::time::Duration;

use futuswarm_rpc::message::Kind;
use futuswarm_swarm::ProgramApi as _;
use futuswarm_swarm::fake::{Behaviour, FakeImage, Script};
use tokio::time::Instant;

use super::*;

fn rollback(app: &str, to: Option<u64>) -> Request {
    Request::Rollback { app: app.to_owned(), to, wait: Wait::default() }
}

/// Lets new tasks of the image that `shop` runs with do this.
fn becomes(world: &World, behaviour: Behaviour) {
    world.image("shop", "1", behaviour);
}

#[tokio::test(start_paused = true)]
async fn deployments_keep_what_is_linked_and_rollbacks_bring_nothing_back() {
    let (world, control, shared_network) = with_two_linked_apps().await;
    let linked = ["app-hello".to_owned(), shared_network];
    let again = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", None)).await);
    assert_eq!(again.outcome, Some(Outcome::Unchanged), "the networks are what they should be");
    let second = deployment(&ask(&control, "jane", &deploy("hello", "hello:2", None)).await);
    assert_eq!((second.outcome, second.release), (Some(Outcome::Deployed), Some(4)));
    assert_eq!(networks(&world, "hello").await, linked);
    // The release before is the one that was deployed, and not the one that only joined a network; both say the same.
    let back = deployment(&ask(&control, "jane", &rollback("hello", None)).await);
    assert_eq!((back.outcome, back.image.as_str()), (Some(Outcome::Deployed), "hello:1"));
    assert_eq!(networks(&world, "hello").await, linked, "release 1 was made before there was a link");

    changed(&ask(&control, "jane", &unlink("hello", "shop")).await);
    for to in [1, 2, 4] {
        let back = deployment(&ask(&control, "jane", &rollback("hello", Some(to))).await);
        assert!(back.outcome.is_some_and(Outcome::is_good), "{back:?}");
        assert_eq!(networks(&world, "hello").await, ["app-hello"], "release {to} ran with a link that has ended since");
    }
    let failing = Behaviour::exits(Duration::from_secs(1), 1);
    world.image("hello", "3", failing);
    let failed = deployment(&ask(&control, "jane", &deploy("hello", "hello:3", None)).await);
    assert_eq!(failed.outcome, Some(Outcome::RolledBack));
    assert_eq!(networks(&world, "hello").await, ["app-hello"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_release_takes_with_it_is_not_what_waits_for_the_next_one() {
    let (world, control) = with_two_apps().await;
    let staged = stage("hello", Kind::Config, &[("COLOUR", "red")]);
    ask(&control, "jane", &staged).await.end().unwrap();
    changed(&ask(&control, "jane", &link("hello", "shop")).await);
    changed(&ask(&control, "joe", &link("shop", "hello")).await);
    seconds(60).await;
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    assert_eq!(service.spec.networks.len(), 2);
    let environment = &service.spec.environment.0;
    assert!(!environment.iter().any(|entry| entry.starts_with("COLOUR=")), "somebody else's yes releases no config");
}

#[tokio::test(start_paused = true)]
async fn programs_that_somebody_runs_are_on_the_same_networks() {
    let (world, control, _) = with_two_linked_apps().await;
    let script = Script { lasts: Duration::from_secs(30), ..Script::default() };
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    world.swarm.push(&service.spec.image, FakeImage { script, ..FakeImage::from(good()) });
    let run = Request::Run { app: "hello".to_owned(), argv: vec!["sh".to_owned()], terminal: None };
    let running = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &run).await }
    });
    seconds(10).await;
    let programs = world.engine.list_programs().await.unwrap();
    let program = world.swarm.program("i-1", &programs[0].name).unwrap();
    assert_eq!(program.spec.networks, service.spec.networks);
    assert_eq!(program.spec.networks.len(), 2);
    assert!(matches!(running.await.unwrap().end(), Ok(Answer::Exited(0))));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_other_app() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "jane", &link("hello", "shop")).await);
    // One is busy for two minutes when the other one says yes.
    world.image("hello", "3", Behaviour::healthy_after(Duration::from_secs(120)));
    let busy = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:3", Some("[health]\npath = \"/\"\n"))).await }
    });
    seconds(10).await;
    let began = Instant::now();
    let said = changed(&ask(&control, "joe", &link("shop", "hello")).await);
    assert!(said.attached && began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(deployment(&busy.await.unwrap()).outcome, Some(Outcome::Deployed));
    seconds(200).await;
    assert_eq!(networks(&world, "hello").await.len(), 2, "it follows once it is free");
    // An own release is waited for, and not forever.
    let busy = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &Request::Restart { app: "hello".to_owned(), wait: Wait::default() }).await }
    });
    seconds(10).await;
    let Request::Link(mut impatient) = unlink("hello", "shop") else { panic!() };
    impatient.wait.for_lock = Some(5);
    let said = changed(&ask(&control, "jane", &Request::Link(impatient)).await);
    assert_eq!((said.state, said.attached, said.deployment), (LinkState::Ended, true, None));
    busy.await.unwrap().end().unwrap();
    seconds(400).await;
    assert_eq!((networks(&world, "hello").await.len(), networks(&world, "shop").await.len()), (1, 1));
    assert_eq!(shared(&world).await, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_hangs_is_ended_for_a_link_that_takes_its_place() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "joe", &link("shop", "hello")).await);
    world.image("hello", "3", Behaviour::never_healthy());
    let hanging = tokio::spawn({
        let control = control.clone();
        async move { ask(&control, "jane", &deploy("hello", "hello:3", Some("[health]\npath = \"/\"\n"))).await }
    });
    seconds(15).await;
    let service = world.engine.inspect_service("hello").await.unwrap().unwrap();
    assert_eq!(service.release(), Some(2), "tasks are being replaced");
    let Request::Link(mut superseding) = link("hello", "shop") else { panic!() };
    superseding.wait.supersede = true;
    let said = changed(&ask(&control, "jane", &Request::Link(superseding)).await);
    let hanging = deployment(&hanging.await.unwrap());
    assert_eq!((hanging.outcome, hanging.failure), (Some(Outcome::Superseded), None));
    // What is put back is put on the networks that the links say by now: no release of its own is left to make.
    assert_eq!((said.state, said.attached, said.deployment), (LinkState::Linked, true, None));
    seconds(60).await;
    let hello = record(&world, "hello").await;
    assert_eq!((hello.latest, hello.release, hello.reattach), (2, Some(1), None));
    assert_eq!(networks(&world, "hello").await[1..], networks(&world, "shop").await[1..]);
    assert_eq!(networks(&world, "hello").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_release_in_its_hook_is_ended_for_a_link_also_of_who_does_not_wait() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "joe", &link("shop", "hello")).await);
    let digest = world.registry.push("hello", "3", "amd64");
    let job = Behaviour::never_healthy();
    world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), FakeImage { job, ..FakeImage::from(good()) });
    let with_hook = "[release]\ncommand = [\"migrate\"]\n";
    for (detach, expected) in [(true, 3), (false, 6)] {
        let hanging = tokio::spawn({
            let control = control.clone();
            async move { ask(&control, "jane", &deploy("hello", "hello:3", Some(with_hook))).await }
        });
        seconds(15).await;
        let Some(on_its_way) = record(&world, "hello").await.deploying.map(|deploying| deploying.release) else {
            panic!("it has ended: {:?}", deployment(&hanging.await.unwrap()))
        };
        assert_eq!((on_its_way.number + 1, &on_its_way.progress), (expected, &Progress::Preparing), "{on_its_way:?}");
        let Request::Link(mut superseding) = link("hello", "shop") else { panic!() };
        superseding.wait = Wait { detach, for_lock: Some(1), supersede: true };
        let said = changed(&ask(&control, "jane", &Request::Link(superseding)).await);
        let hanging = deployment(&hanging.await.unwrap());
        assert_eq!((hanging.outcome, hanging.failure), (Some(Outcome::Superseded), None));
        match detach {
            true => assert_eq!((said.attached, said.deployment), (false, None)),
            // One second was asked for: to end another release takes its time.
            false => assert!(said.attached && said.deployment.is_some_and(|own| own.release == Some(expected))),
        }
        seconds(60).await;
        assert_eq!(networks(&world, "hello").await.len(), 2);
        changed(&ask(&control, "jane", &unlink("hello", "shop")).await);
        seconds(60).await;
        assert_eq!(networks(&world, "hello").await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_the_number_of_the_release() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "jane", &link("hello", "shop")).await);
    let Request::Link(mut detached) = link("shop", "hello") else { panic!() };
    detached.wait.detach = true;
    let said = changed(&ask(&control, "joe", &Request::Link(detached)).await);
    let own = said.deployment.unwrap();
    assert_eq!((said.state, said.attached), (LinkState::Linked, false));
    assert_eq!((own.release, own.outcome), (Some(2), None));
    seconds(60).await;
    assert_eq!(networks(&world, "shop").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_cannot_follow_holds_up_nobody_and_is_not_tried_for_ever() {
    let (world, control) = with_two_apps().await;
    becomes(&world, Behaviour::exits(Duration::from_secs(1), 1));
    changed(&ask(&control, "joe", &link("shop", "hello")).await);
    let said = changed(&ask(&control, "jane", &link("hello", "shop")).await);
    assert_eq!((said.state, said.attached), (LinkState::Linked, true));
    seconds(5 * 3600).await;
    let shop = record(&world, "shop").await;
    assert_eq!((shop.latest, shop.release, shop.reattach), (6, Some(1), None), "five releases were tried");
    assert_eq!(networks(&world, "shop").await, ["app-shop"]);
    assert_eq!(rows(&control, "joe", "shop").await, [("hello".to_owned(), LinkState::Linked, false)]);
    // It says so to who asks, and a deployment that works brings it there.
    let failed = changed(&ask(&control, "joe", &link("shop", "hello")).await);
    assert_eq!(failed.deployment.unwrap().outcome, Some(Outcome::RolledBack));
    becomes(&world, good());
    let deployed = deployment(&ask(&control, "joe", &deploy("shop", "shop:1", None)).await);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed));
    assert_eq!(networks(&world, "shop").await.len(), 2);
    seconds(30).await;
    assert_eq!(record(&world, "shop").await.reattach, None);
}

#[tokio::test(start_paused = true)]
async fn an_ended_link_that_an_update_put_back_is_left_as_soon_as_the_app_can() {
    let (world, control, _) = with_two_linked_apps().await;
    becomes(&world, Behaviour::exits(Duration::from_secs(1), 1));
    let said = changed(&ask(&control, "joe", &unlink("shop", "hello")).await);
    assert_eq!((said.state, said.attached), (LinkState::Ended, true), "the Swarm has put its tasks back");
    assert_eq!(said.deployment.unwrap().outcome, Some(Outcome::RolledBack));
    seconds(6 * 3600).await;
    assert_eq!(networks(&world, "hello").await, ["app-hello"], "the other one has left, so nothing is reached");
    let shop = record(&world, "shop").await;
    assert!(shop.reattach.is_some() && (7..=15).contains(&shop.latest), "{} {:?}", shop.latest, shop.reattach);
    assert_eq!(shared(&world).await.len(), 1);
    becomes(&world, good());
    seconds(2 * 3600).await;
    assert_eq!(networks(&world, "shop").await, ["app-shop"]);
    assert_eq!((record(&world, "shop").await.reattach, shared(&world).await), (None, BTreeSet::new()));
}
