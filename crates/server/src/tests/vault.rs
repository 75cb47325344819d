//! KMS alone does not answer: what needs it ends with a clear error and has changed nothing, and the rest goes on.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::{Faults, Rates};
use futuswarm_rpc::message::{Answer, Kind, RefusalClass, Request};
use futuswarm_store::FaultyBucket;
use futuswarm_vault::MemoryVault;
use tokio::time::Instant;

use super::world::*;
use crate::Control;
use crate::records::Records;

/// A control service whose bucket always answers, and whose KMS does what `faults` say.
fn control(world: &World, faults: Faults) -> Arc<Control<Memory>> {
    let mut control = Arc::into_inner(world.control("i-1", Faults::none())).unwrap();
    let bucket = FaultyBucket::new(world.bucket.clone(), Faults::none());
    control.records = Records::new(bucket, MemoryVault::new(faults), "prod", "alias/managers");
    Arc::new(control)
}

fn values(kind: Kind) -> Request {
    Request::Values { app: "hello".to_owned(), kind, show: true, key: None, version: None }
}

async fn colour(control: &Arc<Control<Memory>>) -> Option<String> {
    let Answer::Values(config) = ask(control, "jane", &values(Kind::Config)).await.end().unwrap() else { panic!() };
    let value = config.values.get("COLOUR")?.as_ref()?;
    value.text().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn without_kms_nothing_is_changed_and_it_is_said_and_works_again_later() {
    let world = World::new().await;
    let faults = Faults::none();
    let control = control(&world, faults.clone());
    world.first_release(&control, "jane", "hello").await;
    ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", "red")])).await.end().unwrap();
    for away in
        [Rates { fail: 1000, ..Rates::default() }, Rates { hang: 1000, hang_millis: 3_600_000, ..Rates::default() }]
    {
        faults.set(away);
        let (writes, running) = (world.bucket.writes(), world.running().await);
        // There is a config already, which has to be opened first; of secrets there are none, so that only the new ones are sealed.
        for kind in [Kind::Config, Kind::Secrets] {
            let began = Instant::now();
            let refused = ask(&control, "jane", &set("hello", kind, &[("COLOUR", "blue")])).await.end().unwrap_err();
            assert_eq!(refused.class, RefusalClass::Unavailable, "{refused:?}");
            for words in ["hello", "nothing was changed: try again", "running apps go on"] {
                assert!(refused.message.contains(words), "{}", refused.message);
            }
            assert!(!refused.message.contains("blue"), "{}", refused.message);
            assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
        }
        let refused = ask(&control, "jane", &values(Kind::Config)).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Unavailable, "{refused:?}");
        seconds(3600).await;
        assert_eq!((world.bucket.writes(), world.running().await), (writes, running), "no document was written");
        // What needs no values is answered.
        for request in [Request::Apps, Request::App { app: "hello".to_owned() }] {
            ask(&control, "jane", &request).await.end().unwrap();
        }
        faults.set(Rates::default());
        assert_eq!(colour(&control).await.as_deref(), Some("red"));
    }
    ask(&control, "jane", &set("hello", Kind::Config, &[("COLOUR", "blue")])).await.end().unwrap();
    assert_eq!(colour(&control).await.as_deref(), Some("blue"));
}
