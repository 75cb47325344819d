//! What somebody at a terminal says while a program runs: another size of it, and signals.

use std::time::Duration;

use futuswarm_rpc::Frame;
use futuswarm_rpc::message::{Answer, Event, Notice, Request, Terminal};
use futuswarm_swarm::ProgramApi as _;
use futuswarm_swarm::fake::{FakeImage, Script};
use tokio::net::unix::OwnedReadHalf;

use super::world::*;
use crate::wire::Incoming;

/// The next event but those of progress.
async fn event(incoming: &mut Incoming<OwnedReadHalf>) -> Event {
    loop {
        match incoming.frame().await.unwrap() {
            Some(Frame::Message(body)) => match serde_json::from_slice(&body).unwrap() {
                Event::Progress { .. } => {}
                event => return event,
            },
            Some(_) => {}
            None => panic!("it has hung up"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_and_signals_reach_the_program_in_their_order() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let digest = world.registry.push("hello", "1", "amd64");
    let script = Script { lasts: Duration::from_secs(80_000), ..Script::default() };
    let image = FakeImage { script, ..FakeImage::from(good()) };
    world.swarm.push(&format!("127.0.0.1:5000/hello@{digest}"), image);
    ask(&control, "jane", &deploy("hello", "hello:1", None)).await.end().unwrap();

    let (ours, serving) = connect(&control);
    let (mut incoming, mut outgoing) = greet(ours, &caller("jane")).await;
    let terminal = Some(Terminal { kind: "xterm".to_owned(), rows: 24, columns: 80 });
    let run = Request::Run { app: "hello".to_owned(), argv: vec!["top".to_owned()], terminal };
    outgoing.message(&run).await.unwrap();
    assert_eq!(event(&mut incoming).await, Event::Ready { offset: 0 });
    let program = world.engine.list_programs().await.unwrap().remove(0).name;

    outgoing.message(&Notice::Resize { rows: 40, columns: 132 }).await.unwrap();
    outgoing.message(&Notice::Resize { rows: 41, columns: 133 }).await.unwrap();
    // One that the engine does not know is told, and ends nothing.
    outgoing.message(&Notice::Signal { name: "NONSENSE".to_owned() }).await.unwrap();
    let Event::Note { text } = event(&mut incoming).await else { panic!() };
    assert!(text.contains("SIGNONSENSE"), "{text}");
    let seen = world.swarm.program("i-1", &program).unwrap();
    assert_eq!(seen.sizes, [(24, 80), (40, 132), (41, 133)]);
    assert_eq!((seen.signals.len(), seen.code), (0, None));

    outgoing.message(&Notice::Signal { name: "INT".to_owned() }).await.unwrap();
    let Event::Done { answer } = event(&mut incoming).await else { panic!() };
    assert_eq!(*answer, Answer::Exited(130));
    drop((incoming, outgoing));
    serving.await.unwrap().unwrap();
    assert_eq!(world.engine.list_programs().await.unwrap(), []);
}
