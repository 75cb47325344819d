//! Who gets in at the socket, and how much of them at once.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use futuswarm_rpc::message::{Answer, Event, Kind, Refusal, RefusalClass, Request};
use futuswarm_rpc::{Frame, Hello, LONGEST_MESSAGE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::world::*;
use crate::{Control, serve, wire};

#[tokio::test(start_paused = true)]
async fn a_user_of_the_node_who_is_no_session_gets_no_answer() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let dir = std::env::temp_dir().join(format!("futuswarm-server-intake-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for listed in [true, false] {
        let socket = dir.join(format!("{listed}"));
        let _old = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let ours = std::fs::metadata(&socket).unwrap().uid();
        let others = vec![ours.wrapping_add(1), ours.wrapping_add(2)];
        let uids = if listed { [others, vec![ours]].concat() } else { others };
        let serving = tokio::spawn(serve::accept(Arc::clone(&control), listener, uids, std::future::pending()));
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        if listed {
            let heard = converse(stream, caller("jane"), &Request::Whoami, &[]).await;
            assert!(matches!(heard.end(), Ok(Answer::Whoami(_))));
        } else {
            assert_eq!(stream.read(&mut [0; 100]).await.unwrap(), 0, "nothing but the end");
            // Also when it says who it is as a session does.
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            let said = [Frame::message(&caller("root")), Frame::message(&Hello::of("test"))];
            for frame in said {
                let _closed = stream.write_all(&frame.unwrap().encode().unwrap()).await;
            }
            assert!(!matches!(stream.read(&mut [0; 100]).await, Ok(1..)));
        }
        serving.abort();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Begins a request of the greatest length, and sends no more than a part of it.
async fn stalls(control: &Arc<Control<Memory>>, user: &str) -> (UnixStream, JoinHandle<Result<(), wire::Error>>) {
    let (mut ours, serving) = connect(control);
    let begin = [Frame::message(&caller(user)), Frame::message(&Hello::of("test"))];
    let mut said: Vec<u8> = begin.into_iter().flat_map(|frame| frame.unwrap().encode().unwrap()).collect();
    said.extend(&Frame::Message(vec![b' '; LONGEST_MESSAGE]).encode().unwrap()[..300 << 10]);
    let _full = timeout(Duration::from_secs(1), ours.write_all(&said)).await;
    (ours, serving)
}

/// Asks for something that takes more than 256 KiB to say, and goes when it is answered.
async fn asks_at_length(control: &Arc<Control<Memory>>, user: &str) -> Result<Answer, Refusal> {
    let (ours, serving) = connect(control);
    let (mut incoming, mut outgoing) = greet(ours, &caller(user)).await;
    let long = "x".repeat(400 << 10);
    outgoing.message(&stage("hello", Kind::Secrets, &[("LONG", long.as_str())])).await.unwrap();
    let end = loop {
        match incoming.message::<Event>().await.unwrap() {
            Event::Done { answer } => break Ok(*answer),
            Event::Failed(refusal) => break Err(refusal),
            _ => {}
        }
    };
    drop((incoming, outgoing));
    let _too_late_for_more = serving.await.unwrap();
    end
}

#[tokio::test(start_paused = true)]
async fn a_request_of_millions_of_empty_parts_is_refused_before_it_is_understood() {
    let (_world, control) = World::with_hello().await;
    let run = |words: usize| Request::Run { app: "hello".to_owned(), argv: vec![String::new(); words], terminal: None };
    let keys: Vec<String> = (0..10_000).map(|key| format!("K{key}")).collect();
    let entries: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
    for request in [run((LONGEST_MESSAGE - 100) / 3), stage("hello", Kind::Config, &entries)] {
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage, "as it is for a list that is too long: {refused:?}");
        assert!(refused.message.contains("more than 16384 words, keys and other values"), "{}", refused.message);
    }
    let words = ask(&control, "jane", &run(5000)).await.end().unwrap_err();
    assert_eq!(words.class, RefusalClass::Usage, "{words:?}");
    // Others are answered as before.
    ask(&control, "jane", &Request::Whoami).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn few_long_requests_are_read_at_once_and_the_others_wait_or_are_told() {
    let (_world, control) = World::with_hello().await;
    asks_at_length(&control, "jane").await.unwrap();
    let mut stalled = Vec::new();
    for user in ["joe", "joe", "joe"] {
        stalled.push(stalls(&control, user).await);
    }
    // One person does not take the turns of all.
    asks_at_length(&control, "jane").await.unwrap();
    for _ in 0..2 {
        stalled.push(stalls(&control, "jane").await);
    }
    let began = Instant::now();
    ask(&control, "jane", &Request::Whoami).await.end().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "short ones do not wait");
    let (own, all) = tokio::join!(asks_at_length(&control, "jane"), asks_at_length(&control, "root"));
    let (own, all) = (own.unwrap_err(), all.unwrap_err());
    assert!(own.message.contains("jane has 2 requests of more than 256 KiB"), "{}", own.message);
    assert!(all.message.contains("this manager has 4 requests of more than 256 KiB"), "{}", all.message);
    assert_eq!(all.class, RefusalClass::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    // Whoever does not go on is cut, and then it is the turn of others.
    seconds(30).await;
    assert!(stalled.iter().all(|(_, serving)| serving.is_finished()));
    for user in ["jane", "root"] {
        asks_at_length(&control, user).await.unwrap();
    }
}
