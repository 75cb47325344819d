//! Sessions that are cut at any byte, also while nothing more is taken from them: nothing is left of them, and what they began is whole or
//! never was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::Faults;
use futuswarm_model::Outcome;
use futuswarm_rpc::message::{Answer, Kind, Request};
use futuswarm_rpc::{Channel, Frame, Hello, Identity, LONGEST_CHUNK};
use futuswarm_swarm::ProgramApi as _;
use futuswarm_swarm::fake::{FakeImage, Script};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::world::*;
use crate::limits::{Place, What};
use crate::registry::memory::digest_of;
use crate::{Control, Refused, wire};

/// Pieces of input: so many that, of a program that reads nothing, some of them stay on the connection.
const PIECES: usize = 40;
/// Bytes of each.
const PIECE: usize = 8 << 10;

/// jane's app, whose programs read nothing and run for a day.
async fn world() -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.manager("i-1");
    let script = Script { lasts: Duration::from_secs(80_000), ..Script::default() };
    for tag in ["1", "2"] {
        let digest = world.registry.push("hello", tag, "amd64");
        let image = FakeImage { script: script.clone(), ..FakeImage::from(good()) };
        world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), image);
    }
    let first = deployment(&ask(&control, "jane", &deploy("hello", "hello:1", None)).await);
    assert_eq!(first.outcome, Some(Outcome::Deployed));
    (world, control)
}

fn jane() -> Identity {
    Identity::User("jane".to_owned())
}

fn run() -> Request {
    Request::Run { app: "hello".to_owned(), argv: vec!["sleep".to_owned()], terminal: None }
}

fn digest() -> String {
    digest_of(&[7; PIECES * PIECE]).to_string()
}

/// What a session says: who it is, its greeting, the request, and pieces of input.
fn frames(request: &Request) -> Vec<Vec<u8>> {
    let messages = [Frame::message(&caller("jane")), Frame::message(&Hello::of("test")), Frame::message(request)];
    let pieces = std::iter::repeat_n(Frame::Chunk(Channel::Input, vec![7; PIECE]), PIECES);
    messages.into_iter().map(Result::unwrap).chain(pieces).map(|frame| frame.encode().unwrap()).collect()
}

/// Where it is cut: within each of the first frames and after it, and after all of them.
fn prefixes(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut sent: Vec<u8> = Vec::new();
    for frame in &frames[..4] {
        for part in [&frame[..3], &frame[..frame.len() / 2], &frame[..]] {
            prefixes.push([&sent[..], part].concat());
        }
        sent.extend_from_slice(frame);
    }
    prefixes.push(frames.concat());
    prefixes
}

/// Says this over a connection of its own, as far as it is taken.
async fn say(control: &Arc<Control<Memory>>, bytes: &[u8]) -> (UnixStream, JoinHandle<Result<(), wire::Error>>) {
    let (mut ours, serving) = connect(control);
    let _full = timeout(Duration::from_secs(5), ours.write_all(bytes)).await;
    (ours, serving)
}

async fn each_cut(request: &Request) {
    let frames = frames(request);
    let begun: usize = frames[..3].iter().map(Vec::len).sum();
    for sent in prefixes(&frames) {
        for later in [0, 5] {
            let (world, control) = world().await;
            let (session, serving) = say(&control, &sent).await;
            seconds(later).await;
            drop(session);
            seconds(600).await;
            let cut = format!("cut after {} of {begun} bytes and {later} s", sent.len());
            assert!(serving.is_finished(), "{cut}: the request goes on");
            nothing_is_left(&world, &control, sent.len() >= begun, &cut).await;
        }
    }
}

/// Whatever was asked for: `whole` says whether all of the request has come.
async fn nothing_is_left(world: &World, control: &Arc<Control<Memory>>, whole: bool, cut: &str) {
    assert_eq!(world.engine.list_programs().await.unwrap(), [], "{cut}");
    for (what, most) in [(What::Connection, 32), (What::Upload, 4), (What::Program, 8), (What::LongRequest, 2)] {
        let places: Result<Vec<Place>, Refused> =
            (0..most).map(|_| control.connections.limits.take(what, &jane())).collect();
        assert!(places.is_ok(), "{cut}: {places:?}");
    }
    let record = world.records(Faults::none()).app("hello").await.unwrap().unwrap();
    assert_eq!(record.deploying, None, "{cut}");
    let running: BTreeSet<Option<u64>> = world.running().await.into_iter().collect();
    assert_eq!(running, BTreeSet::from([record.release]), "{cut}");
    let values = Request::Values { app: "hello".to_owned(), kind: Kind::Config, show: true, key: None, version: None };
    let Answer::Values(config) = ask(control, "jane", &values).await.end().unwrap() else { panic!() };
    let keys: Vec<&str> = config.values.keys().map(String::as_str).collect();
    assert!(keys.is_empty() || (whole && keys == ["ONE", "TWO"]), "{cut}: {keys:?}");
    let find = Request::FindBlobs { app: "hello".to_owned(), digests: vec![digest()] };
    let Answer::Blobs(there) = ask(control, "jane", &find).await.end().unwrap() else { panic!() };
    assert!(there.is_empty(), "{cut}");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_config_that_is_cut_is_made_as_a_whole_or_not_at_all() {
    each_cut(&set("hello", Kind::Config, &[("ONE", "1"), ("TWO", "2")])).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_cut_comes_to_its_end_or_never_begins() {
    each_cut(&deploy("hello", "hello:2", None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_reads_nothing_ends_with_its_session() {
    each_cut(&run()).await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_cut_is_not_there_and_takes_no_place() {
    let length = u64::try_from(PIECES * PIECE).unwrap();
    each_cut(&Request::PutBlob { app: "hello".to_owned(), digest: digest(), length }).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_too_long_to_be_a_notice_ends_what_goes_on() {
    let (world, control) = world().await;
    let long = Frame::Message(vec![b' '; LONGEST_CHUNK + 1]).encode().unwrap();
    let said = [frames(&run())[..3].concat(), long].concat();
    let (_session, serving) = say(&control, &said).await;
    seconds(60).await;
    assert!(serving.is_finished());
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
}
