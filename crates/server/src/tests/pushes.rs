//! Layers on their way into the registry: lines that are cut, answers that are lost, and clients that lie.

mod managers;

use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::Faults;
use futuswarm_model::keys;
use futuswarm_rpc::message::{Answer, Event, Refusal, RefusalClass, Request};
use futuswarm_rpc::{Channel, Frame, Identity};
use futuswarm_store::Bucket as _;
use serde_json::{Value, json};

use super::world::*;
use crate::Control;
use crate::push::PIECE;
use crate::registry::Registry as _;
use crate::registry::memory::digest_of;

fn layer(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Announces a layer of `hello`, whatever is sent then.
fn put(content: &[u8], length: usize) -> Request {
    Request::PutBlob { app: "hello".to_owned(), digest: digest_of(content).to_string(), length: length as u64 }
}

fn part(bytes: &[u8]) -> Vec<Frame> {
    Frame::chunks(Channel::Input, bytes).collect()
}

fn rest(bytes: &[u8]) -> Vec<Frame> {
    Frame::chunks(Channel::Input, bytes).chain([Frame::End(Channel::Input)]).collect()
}

/// Sends frames as jane, and hears everything.
async fn push(control: &Arc<Control<Memory>>, request: &Request, input: &[Frame]) -> Heard {
    heard(control, Identity::User("jane".to_owned()), request, input).await
}

/// From which byte on the server wanted the rest.
fn ready(heard: &Heard) -> Option<u64> {
    heard.events.iter().find_map(|event| match event {
        Event::Ready { offset } => Some(*offset),
        _ => None,
    })
}

/// A client that pauses after each frame, in seconds, and is gone after the last one unless it listens.
async fn by_hand(
    control: &Arc<Control<Memory>>,
    request: &Request,
    input: &[Frame],
    pause: u64,
    listens: bool,
) -> Vec<Event> {
    let (ours, serving) = connect(control);
    let (mut incoming, mut outgoing) = greet(ours, &caller("jane")).await;
    outgoing.message(request).await.unwrap();
    for frame in input {
        outgoing.frame(frame).await.unwrap();
        seconds(pause).await;
    }
    let mut events = Vec::new();
    while listens && let Some(frame) = incoming.frame().await.unwrap() {
        if let Frame::Message(body) = frame {
            events.push(serde_json::from_slice(&body).unwrap());
        }
    }
    drop((incoming, outgoing));
    let _cut = serving.await.unwrap();
    events
}

/// Pushes until the line is cut, with so many bytes of the layer sent.
async fn cut(control: &Arc<Control<Memory>>, content: &[u8], from: usize, to: usize) {
    by_hand(control, &put(content, content.len()), &part(&content[from..to]), 0, false).await;
}

async fn length(world: &World, content: &[u8]) -> Option<u64> {
    world.registry.blob_length("hello", &digest_of(content)).await.unwrap()
}

/// The times at which progress was told, in milliseconds since the request began.
fn told(events: &[Event]) -> Vec<u64> {
    let elapsed = |event: &Event| match event {
        Event::Progress { elapsed, .. } => Some(*elapsed),
        _ => None,
    };
    events.iter().filter_map(elapsed).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cut_loses_what_was_no_whole_piece_and_nothing_else() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(2 * PIECE + 400_000);
    cut(&control, &content, 0, PIECE + 300_000).await;
    cut(&control, &content, PIECE, 2 * PIECE + 300_000).await;
    assert_eq!(length(&world, &content).await, None);
    let heard = push(&control, &put(&content, content.len()), &rest(&content[2 * PIECE..])).await;
    assert_eq!(ready(&heard), Some(2 * PIECE as u64));
    heard.end().unwrap();
    assert_eq!(length(&world, &content).await, Some(content.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_sends_nothing_is_ended_and_carried_on_later() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(PIECE + 600_000);
    let request = put(&content, content.len());
    let refused = push(&control, &request, &part(&content[..PIECE + 300_000])).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::TimedOut, "{refused:?}");
    assert!(refused.message.contains("only what the cluster does not have yet is sent"), "{}", refused.message);
    let began = world.elapsed();
    let nothing = push(&control, &request, &[]).await;
    assert_eq!((ready(&nothing), nothing.end().unwrap_err().class), (Some(PIECE as u64), RefusalClass::TimedOut));
    assert!(world.elapsed() - began < Duration::from_secs(70), "{:?}", world.elapsed() - began);
    let again = push(&control, &request, &rest(&content[PIECE..])).await;
    assert_eq!(ready(&again), Some(PIECE as u64));
    again.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_piece_whose_answer_is_lost_has_the_layer_begin_anew() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(PIECE + 100_000);
    let request = put(&content, content.len());
    cut(&control, &content, 0, PIECE + 50_000).await;
    // That to the question what there is: nothing has changed, and nothing is forgotten.
    world.registry.lose_answers(&[true]);
    let refused = push(&control, &request, &rest(&content[PIECE..])).await;
    assert_eq!((ready(&refused), refused.end().unwrap_err().class), (None, RefusalClass::Unavailable));
    // And that to the last piece: whatever there is now, it is not what it was.
    world.registry.lose_answers(&[false, true]);
    let lost = push(&control, &request, &rest(&content[PIECE..])).await;
    assert_eq!(ready(&lost), Some(PIECE as u64));
    let message = lost.end().unwrap_err().message;
    assert!(message.contains("does not answer PATCH upload") && message.contains("push again"), "{message}");
    assert_eq!(length(&world, &content).await, None);
    let from_start = push(&control, &request, &rest(&content)).await;
    assert_eq!(ready(&from_start), Some(0));
    from_start.end().unwrap();
    assert_eq!(length(&world, &content).await, Some(content.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_end_failed_begins_anew() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(1000);
    let request = put(&content, content.len());
    world.registry.fail_ends(&[true]);
    let failed = push(&control, &request, &rest(&content)).await.end().unwrap_err();
    assert_eq!(failed.class, RefusalClass::Unavailable, "{failed:?}");
    assert!(failed.message.contains("refuses PUT upload") && failed.message.contains("push again"), "{failed:?}");
    let from_start = push(&control, &request, &rest(&content)).await;
    assert_eq!(ready(&from_start), Some(0));
    from_start.end().unwrap();
    assert_eq!(length(&world, &content).await, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_there_although_nobody_heard_so_is_taken() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(1000);
    let request = put(&content, content.len());
    // The answer to its only piece comes, and that to its end does not.
    world.registry.lose_answers(&[false, true]);
    push(&control, &request, &rest(&content)).await.end().unwrap();
    assert_eq!(length(&world, &content).await, Some(1000));
    let again = push(&control, &request, &[]).await;
    assert_eq!(ready(&again), None, "nothing is wanted any more");
    again.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_was_confirmed_and_not_kept_is_all_that_is_sent_again() {
    let world = World::new().await;
    let control = world.manager("i-1");
    // The registry says so to the end of the upload, or to the piece after it.
    for (more, operation) in [(0, "PUT upload"), (100_000, "PATCH upload")] {
        let content = layer(2 * PIECE + more);
        let request = put(&content, content.len());
        let input = if more == 0 { rest(&content) } else { part(&content) };
        world.registry.lose_pieces(&[false, true]);
        let refused = push(&control, &request, &input).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Unavailable, "{refused:?}");
        assert!(refused.message.contains(&format!("refuses {operation}: 404")), "{}", refused.message);
        let again = push(&control, &request, &rest(&content[PIECE..])).await;
        assert_eq!(ready(&again), Some(PIECE as u64), "{operation}");
        again.end().unwrap();
        assert_eq!(length(&world, &content).await, Some(content.len() as u64), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_cut_is_forgotten_after_a_day() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(PIECE + 100_000);
    cut(&control, &content, 0, PIECE + 50_000).await;
    world.days(1).await;
    let from_start = push(&control, &put(&content, content.len()), &rest(&content)).await;
    assert_eq!(ready(&from_start), Some(0));
    from_start.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_stalls_for_less_than_a_minute_goes_on() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(40_000);
    let frames = content.chunks(20_000).map(|bytes| Frame::Chunk(Channel::Input, bytes.to_vec()));
    let frames: Vec<Frame> = frames.chain([Frame::End(Channel::Input)]).collect();
    let events = by_hand(&control, &put(&content, content.len()), &frames, 55, true).await;
    assert!(matches!(events.last(), Some(Event::Done { .. })), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_not_what_was_announced_is_refused_and_none_of_it_is_there() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let (content, other) = (layer(1000), layer(1001));
    let chunk = |bytes: &[u8]| Frame::Chunk(Channel::Input, bytes.to_vec());
    for (request, input, reason) in [
        (put(&content, 999), part(&content), "longer than the 999 bytes"),
        (put(&content, 1001), rest(&content), "ended 1 bytes before the 1001"),
        (put(&content, 1), rest(b""), "ended 1 bytes before the 1 "),
        (put(&other, 1000), rest(&content), "what was sent is not sha256:"),
        (put(&content, 1000), vec![chunk(&content), chunk(b"x")], "longer than the 1000 bytes"),
    ] {
        let refused = push(&control, &request, &input).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{request:?}: {refused:?}");
        assert!(refused.message.contains(reason), "{}", refused.message);
        assert_eq!((length(&world, &content).await, length(&world, &other).await), (None, None), "{request:?}");
    }
    // Whoever tells the truth is not held up by it, nor sends again what has arrived of it.
    let honest = push(&control, &put(&content, 1000), &rest(b"")).await;
    assert_eq!(ready(&honest), Some(1000));
    honest.end().unwrap();
    push(&control, &put(&other, 1001), &rest(&other)).await.end().unwrap();
    assert_eq!((length(&world, &content).await, length(&world, &other).await), (Some(1000), Some(1001)));
}

/// Names an image of these parts: digest and size of each, the config first.
async fn name(control: &Arc<Control<Memory>>, parts: &[(&[u8], Value)]) -> Result<Answer, Refusal> {
    let descriptor =
        |(content, size): &(&[u8], Value)| json!({ "digest": digest_of(content).to_string(), "size": size });
    let (config, layers) = parts.split_first().unwrap();
    let layers: Vec<Value> = layers.iter().map(descriptor).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
    let manifest = json!({ "schemaVersion": 2, "config": descriptor(config), "layers": layers }).to_string();
    let request = Request::PutManifest { app: "hello".to_owned(), tag: "1".to_owned(), media_type, manifest };
    ask(control, "jane", &request).await.end()
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_taken_when_all_its_parts_are_there_and_as_long_as_it_says() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let (config, first, second): (&[u8], &[u8], &[u8]) = (b"config", b"the first layer", b"the second");
    for part in [config, first] {
        push(&control, &put(part, part.len()), &rest(part)).await.end().unwrap();
    }
    let all = |a: Value, b: Value, c: Value| vec![(config, a), (first, b), (second, c)];
    let missing = name(&control, &all(6.into(), 15.into(), 10.into())).await.unwrap_err();
    assert!(
        missing.message.contains("layer 2 of the manifest") && missing.message.contains("is not there"),
        "{missing:?}"
    );
    assert!(missing.message.contains(digest_of(second).as_str()), "{missing:?}");
    push(&control, &put(second, 10), &rest(second)).await.end().unwrap();
    for (parts, reason) in [
        (all(6.into(), 16.into(), 10.into()), "layer 1 (sha256:"),
        (all(6.into(), 15.into(), 0.into()), "layer 2 (sha256:"),
        (all(7.into(), 15.into(), 10.into()), "the config (sha256:"),
        (all(6.into(), 15.into(), Value::Null), "layer 2 of the manifest has no digest"),
        (all(6.into(), (-15).into(), 10.into()), "layer 1 of the manifest has no digest"),
        (all(6.into(), 15.into(), "10".into()), "layer 2 of the manifest has no digest"),
    ] {
        let refused = name(&control, &parts).await.unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{refused:?}");
        assert!(refused.message.contains(reason), "{reason}: {}", refused.message);
    }
    assert_eq!(world.registry.tags("hello").await.unwrap(), Vec::<String>::new());
    let named = name(&control, &all(6.into(), 15.into(), 10.into())).await.unwrap();
    assert!(matches!(named, Answer::Pushed(_)), "{named:?}");
    assert_eq!(world.registry.tags("hello").await.unwrap(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_a_million_empty_parts_is_refused_before_it_is_understood() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let many = "0,".repeat(1_000_000);
    for manifest in [format!(r#"{{"layers":[{many}0]}}"#), format!(r#"{{"annotations":{{"list":[{many}0]}}}}"#)] {
        let request = Request::PutManifest {
            app: "hello".to_owned(),
            tag: "1".to_owned(),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            manifest,
        };
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "{refused:?}");
        assert!(refused.message.contains("more than 16384 keys and values"), "{}", refused.message);
    }
    assert_eq!(world.records(Faults::none()).app("hello").await.unwrap(), None, "nothing has begun");
}

#[tokio::test(start_paused = true)]
async fn who_sends_slowly_and_who_waits_for_the_registry_is_told_so_all_the_time() {
    let world = World::new().await;
    let control = world.manager("i-1");
    // Not a kilobyte in a second, of a layer of which the registry makes much work.
    let content = layer(200_000);
    let frames: Vec<Frame> = content.chunks(20_000).map(|bytes| Frame::Chunk(Channel::Input, bytes.to_vec())).collect();
    let frames: Vec<Frame> = frames.into_iter().chain([Frame::End(Channel::Input)]).collect();
    world.registry.end_uploads_after(Duration::from_secs(300));
    let events = by_hand(&control, &put(&content, content.len()), &frames, 25, true).await;
    assert!(matches!(events.last(), Some(Event::Done { .. })), "{events:?}");
    let mut told = told(&events);
    let last = *told.last().unwrap();
    assert!(last > 480_000, "{told:?}");
    told.insert(0, 0);
    for pair in told.windows(2) {
        assert!(pair[1] - pair[0] <= 30_000, "the command line gives up after 120 s: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_name_that_nobody_has_holds_nobody_off() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let content = layer(1000);
    let find = Request::FindBlobs { app: "hello".to_owned(), digests: vec![digest_of(&content).to_string()] };
    let shares = async || world.bucket.list_entries(keys::PUSHES).await.unwrap().len();
    let there = |heard: &Heard| match heard.end().unwrap() {
        Answer::Blobs(there) => there.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((there(&ask(&control, "joe", &find).await), shares().await), (0, 0));
    // Its first layer does, and from then on the question does, too.
    push(&control, &put(&content, 1000), &rest(&content)).await.end().unwrap();
    assert_eq!((there(&ask(&control, "jane", &find).await), shares().await), (1, 1));
}
