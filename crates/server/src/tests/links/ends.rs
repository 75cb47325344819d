//! Links that end: by either side, with an app, and when a name is taken again.

use super::*;

/// Removes an app, and lets somebody else have the name.
async fn taken_over(world: &World, control: &Arc<Control<Memory>>) {
    ask(control, "joe", &Request::Remove { app: "shop".to_owned() }).await.end().unwrap();
    world.image("shop", "1", good());
    let new = deployment(&ask(control, "root", &deploy("shop", "shop:1", None)).await);
    assert_eq!((new.release, new.outcome), (Some(1), Some(Outcome::Deployed)));
}

#[tokio::test(start_paused = true)]
async fn either_side_ends_it_alone_and_the_network_goes() {
    let (jane, joe) = (("jane", "hello", "shop"), ("joe", "shop", "hello"));
    for (who, other) in [(jane, joe), (joe, jane)] {
        let (world, control, _) = with_two_linked_apps().await;
        let said = changed(&ask(&control, who.0, &unlink(who.1, who.2)).await);
        assert_eq!((said.state, said.attached), (LinkState::Ended, false));
        assert_eq!(said.deployment.unwrap().outcome, Some(Outcome::Deployed));
        assert_eq!(networks(&world, who.1).await, [format!("app-{}", who.1)]);
        seconds(300).await;
        assert_eq!(networks(&world, other.1).await, [format!("app-{}", other.1)]);
        assert_eq!(shared(&world).await, BTreeSet::new(), "nobody uses it any more");
        for app in ["hello", "shop"] {
            let record = record(&world, app).await;
            assert_eq!((record.latest, record.reattach), (3, None));
            let release = control.records.release(app, 3).await.unwrap().unwrap();
            assert_eq!(release.by, format!("{} (app:unlink {} {})", who.0, who.1, who.2));
        }
        // The other one still wants it: a yes is enough, and the same network is made again.
        assert_eq!(rows(&control, other.0, other.1).await, [(other.2.to_owned(), LinkState::Waiting, false)]);
        assert_eq!(rows(&control, who.0, who.1).await, [(who.2.to_owned(), LinkState::Asked, false)]);
        assert_eq!(changed(&ask(&control, who.0, &link(who.1, who.2)).await).state, LinkState::Linked);
        seconds(60).await;
        assert_eq!(networks(&world, "hello").await[1..], networks(&world, "shop").await[1..]);
        assert_eq!(networks(&world, "hello").await.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_that_nobody_answered_is_taken_back_without_a_release() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "jane", &link("hello", "shop")).await);
    let said = changed(&ask(&control, "jane", &unlink("hello", "shop")).await);
    assert_eq!((said.state, said.deployment), (LinkState::Ended, None));
    assert_eq!(changed(&ask(&control, "joe", &link("shop", "hello")).await).state, LinkState::Waiting);
    seconds(120).await;
    assert_eq!((record(&world, "hello").await.latest, record(&world, "shop").await.latest), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_removal_of_one_ends_it_for_the_other() {
    let (world, control, _) = with_two_linked_apps().await;
    ask(&control, "joe", &Request::Remove { app: "shop".to_owned() }).await.end().unwrap();
    seconds(300).await;
    assert_eq!(networks(&world, "hello").await, ["app-hello"]);
    assert_eq!(shared(&world).await, BTreeSet::new());
    let hello = record(&world, "hello").await;
    assert_eq!((hello.links.len(), hello.latest, hello.release, hello.reattach), (0, 3, Some(3), None));
    let release = control.records.release("hello", 3).await.unwrap().unwrap();
    assert_eq!(release.by, "the removal of shop");
    assert_eq!(rows(&control, "jane", "hello").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_yes_to_an_app_is_none_to_the_next_of_its_name() {
    let (world, control, before) = with_two_linked_apps().await;
    taken_over(&world, &control).await;
    let said = changed(&ask(&control, "root", &link("shop", "hello")).await);
    assert_eq!((said.state, said.owners), (LinkState::Waiting, vec!["jane".to_owned()]));
    seconds(300).await;
    assert_eq!(networks(&world, "shop").await, ["app-shop"]);
    assert_eq!(networks(&world, "hello").await, ["app-hello"]);
    assert_eq!(rows(&control, "jane", "hello").await, [("shop".to_owned(), LinkState::Asked, false)]);
    assert_eq!(changed(&ask(&control, "jane", &link("hello", "shop")).await).state, LinkState::Linked);
    seconds(60).await;
    let after = networks(&world, "hello").await;
    assert_eq!(after[1..], networks(&world, "shop").await[1..]);
    assert_ne!(after[1], before, "nobody of the earlier app can still be on it");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_outlived_an_app_does_not_count_for_the_next_of_its_name() {
    let (world, control) = with_two_apps().await;
    changed(&ask(&control, "jane", &link("hello", "shop")).await);
    let word = record(&world, "hello").await.links["shop"].clone();
    taken_over(&world, &control).await;
    assert!(record(&world, "hello").await.links.is_empty(), "it went with the app");
    // As if it could not be taken out of the record in time.
    let left = |record: &mut AppRecord| {
        record.links.insert("shop".to_owned(), word.clone());
        Ok::<_, crate::Error>(())
    };
    control.records.change_app("hello", left).await.unwrap();
    assert_eq!(rows(&control, "jane", "hello").await, [("shop".to_owned(), LinkState::Gone, false)]);
    assert_eq!(changed(&ask(&control, "root", &link("shop", "hello")).await).state, LinkState::Waiting);
    seconds(120).await;
    assert_eq!((networks(&world, "hello").await.len(), networks(&world, "shop").await.len()), (1, 1));
    assert_eq!(rows(&control, "jane", "hello").await, [("shop".to_owned(), LinkState::Asked, false)]);
    // A yes to the new one takes its place.
    assert_eq!(changed(&ask(&control, "jane", &link("hello", "shop")).await).state, LinkState::Linked);
    assert_ne!(record(&world, "hello").await.links["shop"].life, word.life);
}

#[tokio::test(start_paused = true)]
async fn a_network_is_kept_while_somebody_is_on_it_and_who_should_not_be_is_asked_to_leave() {
    let (world, control, _) = with_two_linked_apps().await;
    // As if an engine had put an earlier specification back after everything was looked at.
    for (app, other) in [("hello", "shop"), ("shop", "hello")] {
        let forget = |record: &mut AppRecord| {
            record.links.remove(other);
            Ok::<_, crate::Error>(())
        };
        control.records.change_app(app, forget).await.unwrap();
    }
    seconds(400).await;
    for app in ["hello", "shop"] {
        assert_eq!(networks(&world, app).await, [format!("app-{app}")]);
        let release = control.records.release(app, 3).await.unwrap().unwrap();
        assert_eq!(release.by, "the platform, after the end of a link");
    }
    assert_eq!(shared(&world).await, BTreeSet::new());
    // What is only called like one of them is nobody's to remove.
    world.engine.create_overlay("link-of-somebody", &Default::default()).await.unwrap();
    seconds(200).await;
    assert_eq!(shared(&world).await.len(), 1);
}
