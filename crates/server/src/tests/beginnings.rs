//! What begins an app and what does not, and what is said of it.

use std::iter;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::keys;
use futuswarm_rpc::message::{Event, Kind, RefusalClass, Request, Wait};

use super::world::*;

fn digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

fn notes(heard: &Heard) -> Vec<&str> {
    let mut notes = Vec::new();
    for event in &heard.events {
        if let Event::Note { text } = event {
            notes.push(text.as_str());
        }
    }
    notes
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_begins_no_app() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let blob = |digest: &str, length| Request::PutBlob { app: "fresh".to_owned(), digest: digest.to_owned(), length };
    for request in [blob("", 1), blob("sha256:00", 1), blob(&digest(), u64::MAX)] {
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{request:?}: {}", refused.message);
    }
    let unset = Request::Change {
        app: "fresh".to_owned(),
        kind: Kind::Config,
        set: Default::default(),
        unset: ["A".to_owned()].into(),
        dotenv: None,
        replace: false,
        stage: false,
        wait: Wait::default(),
    };
    assert_eq!(ask(&control, "jane", &unset).await.end().unwrap_err().class, RefusalClass::NotFound);
    assert_eq!(world.records(Faults::none()).app("fresh").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_once_its_app_was_made_says_so() {
    let mut said = 0;
    for calls in 0.. {
        let world = World::new().await;
        let away = iter::repeat_n(Fault::None, calls).chain(iter::repeat_n(Fault::Fail, 10_000));
        let control = world.control("i-1", Faults::script(away));
        let end = ask(&control, "jane", &set("fresh", Kind::Config, &[("COLOUR", "red")])).await.end();
        let Err(refused) = end else { break };
        let (records, kind) = (world.records(Faults::none()), crate::records::Kind::Config);
        let is_there = records.app("fresh").await.unwrap().is_some();
        let is_set = records.values("fresh", keys::DEFAULT_ENVIRONMENT, kind, None).await.unwrap().is_some();
        if is_there && !is_set {
            said += 1;
            let beginning = "fresh is a new app now, and setting its config has failed: ";
            assert!(refused.message.starts_with(beginning), "after {calls} calls: {}", refused.message);
        }
    }
    assert!(said > 0, "nothing failed between the app and its config");
}

#[tokio::test(start_paused = true)]
async fn who_begins_an_app_with_almost_the_name_of_their_own_is_told() {
    let (world, control) = World::with_hello().await;
    let begun = |user: &'static str, app: &'static str| {
        let control = control.clone();
        async move {
            let heard = ask(&control, user, &set(app, Kind::Config, &[("COLOUR", "red")])).await;
            heard.end().unwrap();
            heard
        }
    };
    let slip = begun("jane", "helo").await;
    let said = notes(&slip);
    assert!(said[0].contains("there is hello, too") && said[0].contains("`futuswarm app:remove helo`"), "{said:?}");
    assert_eq!(said.len(), 1);
    for (user, app) in [("jane", "helo"), ("jane", "hello-staging"), ("jane", "hello2"), ("joe", "hellos")] {
        let heard = begun(user, app).await;
        assert!(notes(&heard).is_empty(), "{user}, {app}: {:?}", heard.events);
    }
    // A push is told before it sends anything.
    let find = Request::FindBlobs { app: "hallo".to_owned(), digests: vec![digest()] };
    let push = ask(&control, "jane", &find).await;
    push.end().unwrap();
    assert!(notes(&push)[0].contains("there is hello, too"), "{:?}", push.events);
    assert_eq!(world.records(Faults::none()).app("hallo").await.unwrap(), None);
}
