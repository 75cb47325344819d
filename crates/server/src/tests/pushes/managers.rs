//! Layers that begin at one manager and go on at another: cuts, deaths, lost answers, and two who send the same layer.

use futuswarm_faults::Rates;
use futuswarm_model::PushUpload;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use super::*;
use crate::collect::daily_round;
use crate::registry::Upload;
use crate::wire::{self, Incoming, Outgoing};

/// A client whose bytes come as a test says.
struct Sender {
    incoming: Incoming<OwnedReadHalf>,
    outgoing: Outgoing<OwnedWriteHalf>,
    serving: JoinHandle<Result<(), wire::Error>>,
}

impl Sender {
    async fn begin(control: &Arc<Control<Memory>>, content: &[u8]) -> Self {
        let (ours, serving) = connect(control);
        let (incoming, mut outgoing) = greet(ours, &caller("jane")).await;
        outgoing.message(&put(content, content.len())).await.unwrap();
        Self { incoming, outgoing, serving }
    }

    /// Sends bytes, and lets them come to where they go: paused time may pass before what is on its way was read.
    async fn send(&mut self, bytes: &[u8]) {
        for frame in part(bytes) {
            self.outgoing.frame(&frame).await.unwrap();
        }
        for _ in 0..5 {
            seconds(1).await;
        }
    }

    /// The last that it hears.
    async fn end(mut self) -> Result<Answer, Refusal> {
        while let Some(frame) = self.incoming.frame().await.unwrap() {
            let Frame::Message(body) = frame else { continue };
            match serde_json::from_slice::<Event>(&body).unwrap() {
                Event::Done { answer } => return Ok(*answer),
                Event::Failed(refusal) => return Err(refusal),
                _ => {}
            }
        }
        panic!("no end")
    }

    /// Its manager dies, and says nothing to anybody.
    async fn left(self) {
        self.serving.abort();
        let _cancelled = self.serving.await;
    }
}

/// A world with two managers.
async fn managers() -> (World, Arc<Control<Memory>>, Arc<Control<Memory>>) {
    let world = World::new().await;
    let (one, other) = (world.control("i-1", Faults::none()), world.control("i-2", Faults::none()));
    (world, one, other)
}

/// How many layers on their way are known.
async fn known(world: &World) -> usize {
    world.bucket.list_entries(keys::UPLOADS).await.unwrap().len()
}

/// What is known of a layer on its way.
async fn record(world: &World, content: &[u8]) -> Option<PushUpload> {
    let digest = digest_of(content);
    world.records(Faults::none()).change_upload("hello", digest.as_str(), |_| None).await.unwrap().0
}

/// Sends the rest from a byte on to a manager, which wants it from there on.
async fn carried_on(world: &World, control: &Arc<Control<Memory>>, content: &[u8], from: usize, what: &str) {
    let heard = push(control, &put(content, content.len()), &rest(&content[from..])).await;
    assert_eq!(ready(&heard), Some(from as u64), "{what}");
    heard.end().unwrap();
    assert_eq!(length(world, content).await, Some(content.len() as u64), "{what}");
    assert_eq!(known(world).await, 0, "{what}: it is over");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_cut_anywhere_goes_on_at_another_manager() {
    let content = layer(3 * PIECE + 400_000);
    for (pieces, more) in [(0, 0), (0, 300_000), (1, 300_000), (2, 300_000), (3, 300_000)] {
        let to = pieces * PIECE + more;
        let (world, one, other) = managers().await;
        cut(&one, &content, 0, to).await;
        assert_eq!(known(&world).await, pieces.min(1), "after {to} bytes");
        carried_on(&world, &other, &content, pieces * PIECE, &format!("after {to} bytes")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_to_and_fro_between_managers() {
    let (world, one, other) = managers().await;
    let content = layer(3 * PIECE + 400_000);
    cut(&one, &content, 0, PIECE + 300_000).await;
    cut(&other, &content, PIECE, 2 * PIECE + 300_000).await;
    cut(&one, &content, 2 * PIECE, 3 * PIECE + 300_000).await;
    carried_on(&world, &other, &content, 3 * PIECE, "to and fro").await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_dies_leaves_its_uploads_to_the_others() {
    let content = layer(2 * PIECE + 400_000);
    for (to, pieces) in [(1000, 0), (PIECE + 1000, 1), (2 * PIECE + 1000, 2)] {
        let (world, one, other) = managers().await;
        let mut sender = Sender::begin(&one, &content).await;
        sender.send(&content[..to]).await;
        sender.left().await;
        // Nobody has let it go: the other manager waits until it is sure that nobody sends it.
        let held = record(&world, &content).await.is_some_and(|upload| upload.is_held(world.now()));
        assert_eq!(held, pieces > 0, "{to}");
        carried_on(&world, &other, &content, pieces * PIECE, &format!("died after {to} bytes")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_came_when_its_manager_died_has_the_layer_begin_anew() {
    let (world, one, other) = managers().await;
    let content = layer(2 * PIECE + 1000);
    cut(&one, &content, 0, PIECE + 1000).await;
    let upload = Upload::at(&record(&world, &content).await.unwrap().now).unwrap();
    world.registry.append(&upload, content[PIECE..2 * PIECE].to_vec().into()).await.unwrap();
    carried_on(&world, &other, &content, 0, "nobody knows what there is").await;
}

#[tokio::test(start_paused = true)]
async fn a_piece_whose_answer_is_lost_has_the_layer_begin_anew_at_another_manager() {
    let (world, one, other) = managers().await;
    let content = layer(2 * PIECE);
    world.registry.lose_answers(&[false, true]);
    let lost = push(&one, &put(&content, content.len()), &part(&content)).await.end().unwrap_err();
    assert_eq!(lost.class, RefusalClass::Unavailable, "{lost:?}");
    assert!(lost.message.contains("only what the cluster does not have yet"), "{lost:?}");
    carried_on(&world, &other, &content, 0, "the answer was lost").await;
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_was_confirmed_and_not_kept_is_sent_again_through_another_manager() {
    let (world, one, other) = managers().await;
    let content = layer(2 * PIECE);
    world.registry.lose_pieces(&[false, true]);
    push(&one, &put(&content, content.len()), &rest(&content)).await.end().unwrap_err();
    carried_on(&world, &other, &content, PIECE, "a piece was not kept").await;
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_bucket_that_are_lost_lose_no_upload() {
    let world = World::new().await;
    let rates = Rates { lose: 150, repeat: 50, ..Rates::default() };
    let managers = [("i-1", 3), ("i-2", 4)].map(|(node, seed)| world.control(node, Faults::seeded(seed, rates)));
    let content = layer(3 * PIECE + 400_000);
    for piece in 0..3 {
        cut(&managers[piece % 2], &content, piece * PIECE, (piece + 1) * PIECE + 300_000).await;
    }
    carried_on(&world, &managers[1], &content, 3 * PIECE, "the bucket's answers are lost").await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_cut_is_forgotten_by_all_managers_after_a_day() {
    let (world, one, other) = managers().await;
    let content = layer(PIECE + 100_000);
    cut(&one, &content, 0, PIECE + 50_000).await;
    assert_eq!(known(&world).await, 1);
    world.days(1).await;
    carried_on(&world, &other, &content, 0, "a day later").await;
    // One whose rest never comes goes with the images that nothing needs.
    let left = layer(PIECE + 100_001);
    cut(&one, &left, 0, PIECE + 50_000).await;
    assert_eq!(known(&world).await, 1);
    world.days(2).await;
    daily_round(&one).await.unwrap().unwrap();
    assert_eq!(known(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_its_app_s_and_nobody_else_s() {
    let (world, one, other) = managers().await;
    let content = layer(PIECE + 100_000);
    let request = put(&content, content.len());
    cut(&one, &content, 0, PIECE + 50_000).await;
    let denied = heard(&other, Identity::User("joe".to_owned()), &request, &[]).await;
    assert_eq!((ready(&denied), denied.end().unwrap_err().class), (None, RefusalClass::Denied));
    let Request::PutBlob { digest, length, .. } = request else { panic!() };
    let elsewhere = Request::PutBlob { app: "shop".to_owned(), digest, length };
    let from_start = heard(&other, Identity::User("joe".to_owned()), &elsewhere, &rest(&content)).await;
    assert_eq!(ready(&from_start), Some(0));
    from_start.end().unwrap();
    assert_eq!(self::length(&world, &content).await, None, "it is the other app's");
    carried_on(&world, &other, &content, PIECE, "jane comes again").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_its_manager_does_not_know_to_be_gone_is_waited_for() {
    let (world, one, other) = managers().await;
    let content = layer(PIECE + 100_000);
    let mut silent = Sender::begin(&one, &content).await;
    silent.send(&content[..PIECE + 1000]).await;
    let began = world.elapsed();
    carried_on(&world, &other, &content, PIECE, "its line is dead").await;
    assert!(world.elapsed() - began > Duration::from_secs(30), "{:?}", world.elapsed() - began);
    assert_eq!(silent.end().await.unwrap_err().class, RefusalClass::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn of_two_who_come_at_once_one_carries_the_upload_on_and_the_other_one_has_it_then() {
    let (world, one, other) = managers().await;
    let content = layer(PIECE + 100_000);
    cut(&one, &content, 0, PIECE + 50_000).await;
    world.registry.end_uploads_after(Duration::from_secs(5));
    let (request, input) = (put(&content, content.len()), rest(&content[PIECE..]));
    let (first, second) = tokio::join!(push(&one, &request, &input), push(&other, &request, &input));
    first.end().unwrap();
    second.end().unwrap();
    let mut wanted = [ready(&first), ready(&second)];
    wanted.sort_unstable();
    assert_eq!(wanted, [None, Some(PIECE as u64)]);
    assert_eq!((length(&world, &content).await, known(&world).await), (Some(content.len() as u64), 0));
}

#[tokio::test(start_paused = true)]
async fn a_push_to_which_bytes_come_keeps_its_upload_and_another_push_sends_its_own() {
    let (world, _one, other) = managers().await;
    let content = layer(1000);
    let digest = digest_of(&content).to_string();
    // Another manager has another half of it.
    let records = world.records(Faults::none());
    let now = world.now();
    let begun = world.registry.begin("hello").await.unwrap();
    let held = |bytes: usize, until: u64| {
        let mut place = begun.place();
        place.offset = bytes as u64;
        let (node, holder, stamp) = ("i-9".to_owned(), "somebody".to_owned(), String::new());
        PushUpload { now: place, before: None, node, holder, until, at: now, stamp }
    };
    records.change_upload("hello", &digest, |_| Some(held(400, now + 60_000))).await.unwrap();
    let (request, input) = (put(&content, content.len()), rest(&content));
    let going_on = async {
        seconds(10).await;
        records.change_upload("hello", &digest, |_| Some(held(500, now + 70_000))).await.unwrap();
    };
    let (from_start, ()) = tokio::join!(push(&other, &request, &input), going_on);
    assert_eq!(ready(&from_start), Some(0));
    from_start.end().unwrap();
    let theirs = record(&world, &content).await.unwrap();
    assert_eq!((theirs.holder.as_str(), theirs.now.offset), ("somebody", 500), "nobody has touched it");
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_cannot_say_that_it_sends_an_upload_stops_before_another_one_goes_on() {
    let world = World::new().await;
    let faults = Faults::none();
    let (one, other) = (world.control("i-1", faults.clone()), world.control("i-2", Faults::none()));
    let content = layer(2 * PIECE);
    let mut sender = Sender::begin(&one, &content).await;
    sender.send(&content[..PIECE + 1000]).await;
    let until = record(&world, &content).await.unwrap().until;
    faults.set(Rates { fail: 1000, ..Rates::default() });
    // Its client still sends.
    sender.send(&content[PIECE + 1000..PIECE + 30_000]).await;
    let stopped = sender.end().await.unwrap_err();
    assert_eq!(stopped.class, RefusalClass::Unavailable, "{stopped:?}");
    assert!(stopped.message.contains("has lost the upload of the layer"), "{stopped:?}");
    assert!(world.now() < until, "another manager may have it since {until}, and it is {}", world.now());
    carried_on(&world, &other, &content, PIECE, "the bucket was away from its manager").await;
}
