//! Images that nothing needs go, and nothing else, whatever dies, is lost, or goes on at the same time.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults, Rates};
use futuswarm_model::{FailureClass, Outcome, TokenRecord, keys};
use futuswarm_rpc::message::{Answer, Collected, Refusal, RefusalClass, Request, Wait};
use futuswarm_store::{Bucket as _, Condition};
use futuswarm_swarm::ServiceApi as _;

use super::deaths::{FOR_EVER, dies_after};
use super::world::*;
use crate::Control;
use crate::collect::daily_round;
use crate::registry::manifests::named_blobs;
use crate::registry::memory::digest_of;
use crate::registry::{Digest, Registry as _, layout};

fn gc(app: Option<&str>, plan: bool, wait: Option<u32>) -> Request {
    Request::CollectImages { app: app.map(str::to_owned), keep: Some(2), plan, wait }
}

async fn collected(control: &Arc<Control<Memory>>, user: &str, request: &Request) -> Result<Collected, Refusal> {
    match ask(control, user, request).await.end()? {
        Answer::Collected(collected) => Ok(collected),
        other => panic!("{other:?}"),
    }
}

/// Four releases of hello, whose images share a layer with each other and with the one image of blog; all of them old.
async fn shop() -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.control("i-1", Faults::none());
    for number in 1..=4 {
        let own = format!("layer {number}");
        world.image_of("hello", &number.to_string(), &["base", &own]);
        let deployed = ask(&control, "jane", &deploy("hello", &format!("hello:{number}"), None)).await;
        assert_eq!(deployment(&deployed).outcome, Some(Outcome::Deployed));
        // What was pushed shortly before a deployment may have been pushed for the next one.
        world.pass(3600).await;
    }
    world.image_of("blog", "1", &["base", "blog"]);
    ask(&control, "joe", &deploy("blog", "blog:1", None)).await.end().unwrap();
    world.days(3).await;
    (world, control)
}

/// Every image that a tag or a release in use names can be pulled. Returns the tags of hello that name one.
async fn whole(world: &World, story: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for app in ["hello", "blog"] {
        for tag in world.registry.tags(app).await.unwrap() {
            let Some(manifest) = world.registry.manifest(app, &tag).await.unwrap() else { continue };
            for blob in named_blobs(&manifest.body) {
                let there = world.registry.has_blob(app, &Digest::parse(&blob).unwrap()).await.unwrap();
                assert!(there, "{story}: {app}:{tag} misses {blob}");
            }
            tags.extend((app == "hello").then_some(tag));
        }
        let service = world.engine.inspect_service(app).await.unwrap().unwrap();
        let digest = service.spec.image.split_once('@').unwrap().1.to_owned();
        assert!(world.registry.manifest(app, &digest).await.unwrap().is_some(), "{story}: what {app} runs is gone");
    }
    tags
}

async fn blobs(world: &World) -> usize {
    let entries = world.bucket.list_entries(keys::REGISTRY).await.unwrap();
    entries.iter().filter(|entry| entry.key.ends_with("/data")).count()
}

#[tokio::test(start_paused = true)]
async fn what_no_release_needs_goes_and_what_is_shared_stays() {
    let (world, control) = shop().await;
    // Old, and never deployed: somebody may still want to.
    world.image_of("hello", "next", &["base", "next"]);
    world.days(2).await;
    let before = blobs(&world).await;
    let planned = collected(&control, "root", &gc(None, true, None)).await.unwrap();
    assert_eq!(blobs(&world).await, before, "a plan deletes nothing");
    assert_eq!(whole(&world, "planned").await.len(), 5);
    let done = collected(&control, "root", &gc(None, false, None)).await.unwrap();
    assert_eq!(Collected { plan: false, ..planned }, done, "what was planned is what was done");

    let hello = &done.repositories[0];
    assert_eq!((done.repositories.len(), hello.repository.as_str(), hello.tags.len()), (1, "hello", 2));
    // Of each image its manifest, its config and its own layer.
    assert_eq!((hello.images.len(), hello.layers, done.blobs), (2, 4, 6));
    assert_eq!((blobs(&world).await, done.kept_blobs), (before - 6, (before - 6) as u64));
    assert!(done.bytes > 0 && done.broken.is_empty(), "{done:?}");
    assert_eq!(whole(&world, "done").await, ["3", "4", "next"]);
    assert!(world.registry.has_blob("blog", &digest_of(b"base")).await.unwrap());
    for gone in [b"layer 1", b"layer 2"] {
        assert!(!world.registry.has_blob("hello", &digest_of(gone)).await.unwrap());
    }
    let again = collected(&control, "root", &gc(None, false, None)).await.unwrap();
    assert_eq!((again.blobs, again.repositories.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_owner_clears_their_own_app_and_nobody_elses() {
    let (world, control) = shop().await;
    for (user, app) in [("jane", None), ("joe", None), ("joe", Some("hello"))] {
        let denied = collected(&control, user, &gc(app, false, None)).await.unwrap_err();
        assert_eq!(denied.class, RefusalClass::Denied, "{user} {app:?}");
    }
    // Garbage of nobody, and old tags of blog.
    world.registry.push_layers("left", "1", "amd64", &["left"]);
    world.image_of("blog", "0", &["old"]);
    world.days(1).await;
    ask(&control, "joe", &deploy("blog", "blog:1", None)).await.end().unwrap();
    world.days(2).await;
    let mine = collected(&control, "jane", &gc(Some("hello"), false, None)).await.unwrap();
    assert_eq!((mine.repositories.len(), mine.blobs), (1, 6), "{mine:?}");
    let rest = collected(&control, "root", &gc(None, false, None)).await.unwrap();
    let names: Vec<&str> = rest.repositories.iter().map(|one| one.repository.as_str()).collect();
    assert_eq!((names, rest.blobs), (vec!["blog", "left"], 6), "{rest:?}");
    whole(&world, "both").await;
    let unknown = collected(&control, "jane", &gc(Some("nothing"), false, None)).await.unwrap_err();
    assert_eq!(unknown.class, RefusalClass::NotFound);
    let nonsense = Request::CollectImages { app: None, keep: Some(0), plan: true, wait: None };
    assert_eq!(collected(&control, "root", &nonsense).await.unwrap_err().class, RefusalClass::Usage);
}

fn find(app: &str, layers: &[&str]) -> Request {
    let digests = layers.iter().map(|layer| digest_of(layer.as_bytes()).to_string()).collect();
    Request::FindBlobs { app: app.to_owned(), digests }
}

#[tokio::test(start_paused = true)]
async fn a_push_keeps_the_collector_away_and_what_it_was_told_of_for_a_day() {
    let (world, control) = shop().await;
    let Answer::Blobs(there) = ask(&control, "jane", &find("hello", &["base", "layer 1", "new"])).await.end().unwrap()
    else {
        panic!()
    };
    assert_eq!(there.len(), 2);
    // Another manager, which knows nothing of it but what is in the bucket.
    let other = world.control("i-2", Faults::none());
    let locked = collected(&other, "root", &gc(None, false, None)).await.unwrap_err();
    assert_eq!(locked.class, RefusalClass::Locked);
    assert!(locked.message.contains("images of hello are being pushed"), "{}", locked.message);
    assert_eq!(whole(&world, "locked").await.len(), 4);
    // It waits for the end of the lease, and what was promised stays.
    let began = tokio::time::Instant::now();
    let waited = collected(&other, "root", &gc(None, false, Some(900))).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(200), "{:?}", began.elapsed());
    assert_eq!((waited.blobs, waited.repositories[0].tags.len()), (5, 2), "{waited:?}");
    assert!(world.registry.has_blob("hello", &digest_of(b"layer 1")).await.unwrap());
    assert!(!world.registry.has_blob("hello", &digest_of(b"layer 2")).await.unwrap());
    // The push ends late, and is whole.
    world.image_of("hello", "late", &["base", "layer 1"]);
    whole(&world, "late").await;
    world.days(2).await;
    ask(&control, "jane", &deploy("hello", "hello:4", None)).await.end().unwrap();
    let later = collected(&other, "root", &gc(None, false, None)).await.unwrap();
    assert!(later.repositories[0].tags.contains("late") && later.blobs == 3, "{later:?}");
    assert_eq!(world.bucket.list_entries(keys::PUSHES).await.unwrap().len(), 0, "a push of long ago is forgotten");
}

/// Has somebody collect for so long who does nothing.
async fn occupy(world: &World, seconds: u64) {
    let until = START + u64::try_from(world.elapsed().as_millis()).unwrap() + seconds * 1000;
    let taken = |collector: &mut futuswarm_model::Collector| {
        (collector.epoch, collector.since, collector.until) = (collector.epoch + 1, until - seconds * 1000, until);
        "root".clone_into(&mut collector.by);
        "i-7".clone_into(&mut collector.holder);
        true
    };
    world.records(Faults::none()).change_collector(taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pushes_and_deployments_wait_for_who_collects() {
    let (world, control) = shop().await;
    occupy(&world, 20).await;
    let second = collected(&control, "root", &gc(None, false, None)).await.unwrap_err();
    assert!(second.message.contains("root, on i-7") && second.class == RefusalClass::Locked, "{}", second.message);
    let began = tokio::time::Instant::now();
    ask(&control, "jane", &find("hello", &["base"])).await.end().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    occupy(&world, 30).await;
    world.image_of("hello", "5", &["five"]);
    let began = tokio::time::Instant::now();
    let deployed = deployment(&ask(&control, "jane", &deploy("hello", "hello:5", None)).await);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed));
    assert!(began.elapsed() >= Duration::from_secs(25), "{:?}", began.elapsed());
    occupy(&world, 600).await;
    let refused = ask(&control, "joe", &find("blog", &["base"])).await.end().unwrap_err();
    assert!(refused.class == RefusalClass::Locked && refused.message.contains("push again"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_image_is_gone_fails_before_it_changes_anything() {
    let (world, control) = shop().await;
    collected(&control, "root", &gc(None, false, None)).await.unwrap();
    let rollback = |to| Request::Rollback { app: "hello".to_owned(), to: Some(to), wait: Wait::default() };
    let failed = deployment(&ask(&control, "jane", &rollback(1)).await);
    let failure = failed.failure.unwrap();
    assert_eq!((failed.outcome, failure.class), (Some(Outcome::Failed), FailureClass::ImageMissing));
    assert!(failure.reason.contains("not in the registry any more"), "{failure:?}");
    assert_eq!(world.engine.inspect_service("hello").await.unwrap().unwrap().release(), Some(4));
    assert_eq!(deployment(&ask(&control, "jane", &rollback(3)).await).outcome, Some(Outcome::Deployed));
}

#[tokio::test(start_paused = true)]
async fn who_dies_at_any_call_leaves_garbage_and_never_a_tag_without_its_blobs() {
    let step = std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(3);
    for (first, last) in [(0, Fault::Hang(FOR_EVER)), (1, Fault::Stall(FOR_EVER))] {
        let (mut calls, mut died) = (first, true);
        while died {
            let (world, _) = shop().await;
            let mortal = world.control("i-1", dies_after(calls, last));
            let asked = tokio::spawn(async move { ask(&mortal, "root", &gc(None, false, None)).await });
            seconds(600).await;
            died = !asked.is_finished() || asked.await.unwrap().end().is_err();
            let story = format!("killed after {calls} calls ({last:?})");
            whole(&world, &story).await;
            let survivor = world.control("i-9", Faults::none());
            collected(&survivor, "root", &gc(None, false, Some(300))).await.unwrap();
            assert_eq!(whole(&world, &story).await, ["3", "4"], "{story}");
            // Four manifests and configs, those of both releases of hello and of blog, and their layers.
            assert_eq!(blobs(&world).await, 3 + 3 + 4, "{story}: garbage is left");
            calls += step;
        }
        assert!(calls > 20, "it was killed at {calls} calls only");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_and_failed_answers_end_no_image() {
    let rates = Rates { fail: 40, lose: 60, repeat: 30, absent: 10, delay_millis: 400, ..Rates::default() };
    let mut done = 0;
    for seed in 0..15 {
        let (world, _) = shop().await;
        let control = world.control("i-1", Faults::seeded(seed, rates));
        let push = tokio::spawn({
            let control = world.control("i-2", Faults::seeded(seed + 100, rates));
            async move { ask(&control, "jane", &find("hello", &["base", "layer 1"])).await.end() }
        });
        done += u32::from(collected(&control, "root", &gc(None, false, Some(600))).await.is_ok());
        let told = push.await.unwrap();
        whole(&world, &format!("seed {seed}")).await;
        if let Ok(Answer::Blobs(there)) = told {
            for digest in there.iter().map(|digest| Digest::parse(digest).unwrap()) {
                assert!(world.registry.has_blob("hello", &digest).await.unwrap(), "seed {seed}: {digest} was promised");
            }
        }
    }
    assert!(done > 5, "of 15 only {done} came to their end");
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_the_lease_deletes_nothing_more() {
    let (world, _) = shop().await;
    // A change is three requests, and given up after ten seconds.
    let slow = world.control("i-1", Faults::seeded(3, Rates { delay_millis: 3_000, ..Rates::default() }));
    let asked = tokio::spawn(async move { collected(&slow, "root", &gc(None, false, None)).await });
    let records = world.records(Faults::none());
    while records.collector().await.unwrap().until == 0 {
        assert!(!asked.is_finished(), "it ended without a lease: {:?}", asked.await);
        seconds(1).await;
    }
    occupy(&world, 900).await;
    let lost = asked.await.unwrap().unwrap_err();
    assert!(lost.message.contains("somebody else may work on the images by now"), "{}", lost.message);
    assert_eq!(records.collector().await.unwrap().holder, "i-7", "the lease of another is left alone");
    whole(&world, "lost").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stops_everything() {
    let (world, control) = shop().await;
    let strange = "not a manifest";
    let digest = digest_of(strange.as_bytes());
    for (key, body) in [(layout::blob(digest.as_str()), strange), (layout::manifest("blog", digest.as_str()), "")] {
        world.bucket.put(&key, body.as_bytes().to_vec(), Condition::None).await.unwrap();
    }
    world.days(2).await;
    let before = blobs(&world).await;
    let refused = collected(&control, "root", &gc(None, false, None)).await.unwrap_err();
    assert!(refused.message.contains("it is no manifest"), "{}", refused.message);
    assert_eq!(blobs(&world).await, before);
    // A manifest whose content is gone names nothing, and is told.
    world.bucket.delete(&layout::blob(digest.as_str())).await.unwrap();
    let service = world.engine.inspect_service("blog").await.unwrap().unwrap();
    let runs = service.spec.image.split_once('@').unwrap().1.to_owned();
    world.bucket.delete(&layout::blob(&runs)).await.unwrap();
    let done = collected(&control, "root", &gc(None, false, None)).await.unwrap();
    assert_eq!(done.broken, [format!("blog@{runs}")]);
    for (app, layer) in [("hello", b"layer 4".as_slice()), ("blog", b"blog".as_slice())] {
        assert!(world.registry.has_blob(app, &digest_of(layer)).await.unwrap(), "{app}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_a_day_the_leader_collects_and_nobody_else() {
    let (world, leader) = shop().await;
    let other = world.control("i-2", Faults::none());
    assert_eq!(daily_round(&other).await.unwrap(), None, "i-2 is a worker");
    // With the usual number of releases nothing of hello goes, and that counts as done.
    assert_eq!(daily_round(&leader).await.unwrap().unwrap().blobs, 0);
    assert_eq!(daily_round(&leader).await.unwrap(), None);
    world.registry.push_layers("left", "1", "amd64", &["left"]);
    world.days(2).await;
    let collected = daily_round(&leader).await.unwrap().unwrap();
    assert_eq!((collected.blobs, collected.repositories.len()), (3, 1));
    assert_eq!(daily_round(&leader).await.unwrap(), None);
    whole(&world, "daily").await;
}

#[tokio::test(start_paused = true)]
async fn once_a_day_keys_of_no_token_are_forgotten() {
    let world = World::new().await;
    let leader = world.control("i-1", Faults::none());
    let records = world.records(Faults::none());
    let left = TokenRecord { app: "gone".to_owned(), name: "ci".to_owned(), expires_at: u64::MAX };
    records.store().put(&keys::app_token(&"a".repeat(64)), &left).await.unwrap();
    world.days(1).await;
    daily_round(&leader).await.unwrap().unwrap();
    assert_eq!(records.store().list(keys::TOKENS).await.unwrap(), [""; 0]);
}
