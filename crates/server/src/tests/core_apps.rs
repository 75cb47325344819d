//! Names of the platform's own services: nobody begins an app of such a name, and admins read what they write.

use futuswarm_faults::Faults;
use futuswarm_rpc::message::{Answer, Kind, Logs, RefusalClass, Request, Wait};
use futuswarm_swarm::{ServiceApi as _, ServiceSpec};

use super::world::*;

const NAME: &str = "mainpage";

#[tokio::test(start_paused = true)]
async fn nothing_takes_the_place_of_a_service_of_the_platform() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.image("hello", "1", good());
    world.engine.create_service(&ServiceSpec::new(NAME, "mainpage")).await.unwrap();
    let before = world.engine.inspect_service(NAME).await.unwrap().unwrap().spec;
    let digest = format!("sha256:{}", "a".repeat(64));
    let app = || NAME.to_owned();
    for request in [
        deploy(NAME, "hello:1", None),
        Request::FindBlobs { app: app(), digests: vec![digest.clone()] },
        Request::PutBlob { app: app(), digest, length: 1 },
        set(NAME, Kind::Config, &[("COLOUR", "red")]),
        set(NAME, Kind::Secrets, &[("KEY", "hush")]),
        Request::Scale { app: app(), replicas: 0, wait: Wait::default() },
        Request::Remove { app: app() },
    ] {
        for user in ["root", "jane"] {
            let refused = ask(&control, user, &request).await.end().unwrap_err();
            assert_eq!(refused.class, RefusalClass::Denied, "{user}: {request:?}");
            assert!(refused.message.contains("choose another name for an app"), "{user}: {}", refused.message);
        }
    }
    assert_eq!(world.records(Faults::none()).app(NAME).await.unwrap(), None);
    assert_eq!(world.engine.inspect_service(NAME).await.unwrap().unwrap().spec, before);
}

#[tokio::test(start_paused = true)]
async fn admins_read_what_a_service_of_the_platform_writes() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.engine.create_service(&ServiceSpec::new(NAME, "mainpage")).await.unwrap();
    let logs = Request::Logs(Logs { app: NAME.to_owned(), ..Logs::default() });
    assert!(matches!(ask(&control, "root", &logs).await.end(), Ok(Answer::Logs(_))));
    let denied = ask(&control, "jane", &logs).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    // Whoever follows is asked again whether they may.
    let follow = Request::Logs(Logs { app: NAME.to_owned(), follow: true, ..Logs::default() });
    let following = tokio::spawn(async move { ask(&control, "root", &follow).await.end() });
    seconds(60).await;
    assert!(!following.is_finished());
    following.abort();
}
