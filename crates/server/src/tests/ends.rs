//! Requests that are ended: because their asker may not ask any more, takes too much, or the service stops.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::Faults;
use futuswarm_model::{AppRole, AppToken};
use futuswarm_rpc::message::{Answer, Kind, Logs, RefusalClass, Request, Value, Wait};
use futuswarm_rpc::{Caller, Channel, Frame, Identity};
use futuswarm_swarm::ProgramApi as _;
use futuswarm_swarm::fake::{FakeImage, Script};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::people::{alter, hash, key, put};
use super::world::*;
use crate::registry::memory::digest_of;
use crate::{Control, serve};

/// jane's app, whose programs run for a day; joe deploys it.
async fn world() -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.manager("i-1");
    let digest = world.registry.push("hello", "1", "amd64");
    let script = Script { lasts: Duration::from_secs(80_000), ..Script::default() };
    let image = FakeImage { script, ..FakeImage::from(good()) };
    world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), image);
    ask(&control, "jane", &deploy("hello", "hello:1", None)).await.end().unwrap();
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    (world, control)
}

fn revoke(who: &str) -> Request {
    Request::Revoke { app: "hello".to_owned(), principal: who.parse().unwrap() }
}

fn run() -> Request {
    Request::Run { app: "hello".to_owned(), argv: vec!["sleep".to_owned()], terminal: None }
}

fn follow() -> Request {
    Request::Logs(Logs { app: "hello".to_owned(), follow: true, ..Logs::default() })
}

fn caller(user: &str, key: Option<&str>) -> Caller {
    Caller { identity: Identity::User(user.to_owned()), key: key.map(hash), from: None }
}

/// Asks in a task of its own, since it goes on.
fn asks(control: &Arc<Control<Memory>>, caller: Caller, request: Request) -> JoinHandle<Heard> {
    let control = Arc::clone(control);
    tokio::spawn(async move { heard_as(&control, caller, &request, &[]).await })
}

/// Both requests that go on end within the promised time, and the program is gone.
async fn both_end(world: &World, requests: Vec<JoinHandle<Heard>>, class: RefusalClass) -> Vec<String> {
    let began = Instant::now();
    let mut reasons = Vec::new();
    for request in requests {
        let refusal = request.await.unwrap().end().unwrap_err();
        assert_eq!(refusal.class, class, "{refusal:?}");
        reasons.push(refusal.message);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
    reasons
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_taken_away_ends_what_goes_on_with_it() {
    let (world, control) = world().await;
    let going = vec![asks(&control, caller("joe", None), run()), asks(&control, caller("joe", None), follow())];
    let owners = asks(&control, caller("jane", None), follow());
    seconds(120).await;
    assert_eq!(world.engine.list_programs().await.unwrap().len(), 1, "it goes on as long as the role does");
    // Who may only look may not run; and may look.
    ask(&control, "jane", &grant("hello", "joe", AppRole::Viewer)).await.end().unwrap();
    seconds(30).await;
    let finished: Vec<bool> = going.iter().map(JoinHandle::is_finished).collect();
    assert_eq!(finished, [true, false]);
    ask(&control, "jane", &revoke("joe")).await.end().unwrap();
    let reasons = both_end(&world, going, RefusalClass::Denied).await;
    assert!(reasons[0].contains("app:run is not allowed") && reasons[1].contains("app:logs"), "{reasons:?}");
    assert!(!owners.is_finished(), "others go on");
    // With the app the rest ends.
    ask(&control, "root", &Request::Remove { app: "hello".to_owned() }).await.end().unwrap();
    both_end(&world, vec![owners], RefusalClass::NotFound).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_away_ends_what_it_opened_and_opens_nothing_more() {
    let (world, control) = world().await;
    let (old, new) = (key(1), key(2));
    ask(&control, "root", &put("joe", Some(&[old.clone(), new.clone()]), None)).await.end().unwrap();
    let going =
        vec![asks(&control, caller("joe", Some(&old)), run()), asks(&control, caller("joe", Some(&old)), follow())];
    let others = asks(&control, caller("joe", Some(&new)), follow());
    seconds(60).await;
    ask(&control, "root", &alter("joe", Some(std::slice::from_ref(&new)), None)).await.end().unwrap();
    // A connection of SSH that stays open asks on.
    let refused = heard_as(&control, caller("joe", Some(&old)), &Request::Whoami, &[]).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Denied);
    assert!(refused.message.contains("none of joe's any more"), "{}", refused.message);
    both_end(&world, going, RefusalClass::Denied).await;
    assert!(!others.is_finished(), "the other key is still theirs");
    ask(&control, "root", &Request::RemoveUser { name: "joe".to_owned() }).await.end().unwrap();
    both_end(&world, vec![others], RefusalClass::Denied).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_what_it_opened() {
    let (world, control) = world().await;
    let records = world.records(Faults::none());
    let token = |number: u8, seconds: u64| AppToken {
        hash: hash(&key(number)),
        fingerprint: "SHA256:x".to_owned(),
        by: "jane".to_owned(),
        created_at: world.now(),
        expires_at: world.now() + seconds * 1000,
    };
    let caller = |name: &str, number: u8| Caller {
        identity: Identity::Token { app: "hello".to_owned(), name: name.to_owned() },
        key: Some(hash(&key(number))),
        from: None,
    };
    records.put_token("hello", "ci", &token(1, 10_000)).await.unwrap();
    records.put_token("hello", "cd", &token(2, 300)).await.unwrap();
    let (ci, cd) = (asks(&control, caller("ci", 1), follow()), asks(&control, caller("cd", 2), follow()));
    seconds(60).await;
    let revoke = Request::RevokeToken { app: "hello".to_owned(), name: "ci".to_owned() };
    ask(&control, "jane", &revoke).await.end().unwrap();
    // Another one of the same name has another key.
    records.put_token("hello", "ci", &token(3, 10_000)).await.unwrap();
    both_end(&world, vec![ci], RefusalClass::Denied).await;
    seconds(200).await;
    assert!(!cd.is_finished());
    seconds(60).await;
    assert!(cd.is_finished(), "it has expired");
    assert!(cd.await.unwrap().end().unwrap_err().message.contains("expired"));
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_goes_on_while_the_bucket_is_away() {
    let (world, _) = world().await;
    let rates = futuswarm_faults::Rates { fail: 1000, ..Default::default() };
    let faults = Faults::none();
    let control = world.control("i-1", faults.clone());
    let follows = asks(&control, caller("joe", None), follow());
    seconds(20).await;
    faults.set(rates);
    seconds(300).await;
    assert!(!follows.is_finished());
    faults.set(Default::default());
    ask(&control, "jane", &revoke("joe")).await.end().unwrap();
    both_end(&world, vec![follows], RefusalClass::Denied).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_ends_programs_in_order_and_says_why() {
    let (world, control) = world().await;
    let dir = std::env::temp_dir().join(format!("futuswarm-server-stop-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let socket = dir.join("s");
    let _old = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let uid = std::fs::metadata(&socket).unwrap().uid();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopping = async {
        let _told = stopped.await;
    };
    let serving = tokio::spawn(serve::accept(Arc::clone(&control), listener, vec![uid], stopping));
    let mut going = Vec::new();
    for request in [run(), follow()] {
        let stream = UnixStream::connect(&socket).await.unwrap();
        going.push(tokio::spawn(async move { converse(stream, caller("joe", None), &request, &[]).await }));
    }
    seconds(60).await;
    let programs = world.engine.list_programs().await.unwrap();
    assert!(programs[0].running && !serving.is_finished(), "{programs:?}");
    let began = Instant::now();
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let reasons = both_end(&world, going, RefusalClass::Unavailable).await;
    assert!(reasons.iter().all(|reason| reason.contains("stops")), "{reasons:?}");
    assert!(UnixStream::connect(&socket).await.is_err(), "nobody listens any more");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_cannot_take_all_places() {
    let (_world, control) = world().await;
    let mut going: Vec<_> = (0..32).map(|_| asks(&control, caller("joe", None), follow())).collect();
    seconds(10).await;
    let refused = ask(&control, "joe", &Request::Whoami).await.end().unwrap_err();
    assert!(refused.message.contains("joe has 32 requests open"), "{}", refused.message);
    ask(&control, "jane", &Request::Whoami).await.end().unwrap();
    going.pop().unwrap().abort();
    seconds(10).await;
    ask(&control, "joe", &Request::Whoami).await.end().unwrap();
    // Programs have a limit of their own, which is lower.
    let _programs: Vec<_> = (0..8).map(|_| asks(&control, caller("jane", None), run())).collect();
    seconds(10).await;
    let refused = ask(&control, "jane", &run()).await.end().unwrap_err();
    assert!(refused.message.contains("jane has 8 programs"), "{}", refused.message);
}

fn blob(app: &str, content: &[u8]) -> Request {
    Request::PutBlob {
        app: app.to_owned(),
        digest: digest_of(content).to_string(),
        length: u64::try_from(content.len()).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn who_pushes_first_owns_the_name_before_a_byte_is_kept() {
    let (world, control) = world().await;
    let content = vec![7; 100_000];
    let input: Vec<Frame> = Frame::chunks(Channel::Input, &content).chain([Frame::End(Channel::Input)]).collect();
    let caller = |user| caller(user, None);
    heard_as(&control, caller("joe"), &blob("new", &content), &input).await.end().unwrap();
    let app = world.records(Faults::none()).app("new").await.unwrap().unwrap();
    assert_eq!(app.created_by, "joe");
    let refused = heard_as(&control, caller("jane"), &blob("new", &content), &input).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Denied);
    // What is in a repository is told to nobody before it is theirs.
    let find = |app: &str| Request::FindBlobs { app: app.to_owned(), digests: vec![digest_of(&content).to_string()] };
    let Answer::Blobs(there) = ask(&control, "joe", &find("new")).await.end().unwrap() else { panic!() };
    assert_eq!(there.len(), 1);
    ask(&control, "joe", &Request::Remove { app: "new".to_owned() }).await.end().unwrap();
    let Answer::Blobs(there) = ask(&control, "jane", &find("new")).await.end().unwrap() else { panic!() };
    assert!(there.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fits_no_frame_is_a_refusal_that_says_so() {
    let (_world, control) = world().await;
    for half in 0..2 {
        let secret = |at| (format!("KEY_{half}_{at}"), Value::from(vec![0xff; 500 << 10]));
        let change = Request::Change {
            app: "hello".to_owned(),
            kind: Kind::Secrets,
            set: (0..8).map(secret).collect(),
            unset: Default::default(),
            dotenv: None,
            replace: false,
            stage: true,
            wait: Wait::default(),
        };
        ask(&control, "jane", &change).await.end().unwrap();
    }
    let values = |key: Option<&str>| Request::Values {
        app: "hello".to_owned(),
        kind: Kind::Secrets,
        show: true,
        key: key.map(str::to_owned),
        version: None,
    };
    let refused = ask(&control, "jane", &values(None)).await.end().unwrap_err();
    assert!(refused.message.contains("8388608 fit: ask for less"), "{}", refused.message);
    let Answer::Values(one) = ask(&control, "jane", &values(Some("KEY_1_7"))).await.end().unwrap() else { panic!() };
    assert_eq!(one.values.len(), 1);
}
