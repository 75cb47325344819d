//! How long a cluster is waited for.

use super::*;
use crate::home::Config;

/// A connection whose frames the test sends, and whose `ssh` is a program that reads its input to the end.
fn connection() -> (SyncSender<Arrived>, Connection) {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let (to_us, frames) = sync_channel(QUEUE);
    let config = Config { user: "jane".to_owned(), host: "h".to_owned(), port: 22, identity: None, ssh_config: None };
    let cluster = Cluster { name: "apps".to_owned(), folder: "/nowhere".into(), config };
    let sender = Sender(Arc::new(Mutex::new(child.stdin.take())));
    (to_us, Connection { cluster, child, sender, frames, words: Arc::default() })
}

#[test]
fn whatever_comes_is_a_sign_of_life_and_silence_is_none() {
    let (to_us, busy) = connection();
    let give = |to_us: &SyncSender<Arrived>, event: &Event| {
        to_us.send(Arrived::Frame(Frame::message(event).unwrap())).unwrap();
    };
    std::thread::spawn(move || {
        // All together later than anybody waits for the first.
        for step in 0..8 {
            std::thread::sleep(Duration::from_millis(300));
            give(&to_us, &Event::Progress { text: "looking".to_owned(), elapsed: 300 * step, limit: None });
        }
        give(&to_us, &Event::Done { answer: Box::new(Answer::Done("found".to_owned())) });
    });
    let (mut seen, begin) = (0, Instant::now());
    let answer = busy.ask(&Request::Apps, Some(Duration::from_secs(2)), |_, _| {
        seen += 1;
        Ok(())
    });
    assert_eq!((answer.unwrap(), seen), (Answer::Done("found".to_owned()), 8));
    assert!(begin.elapsed() > Duration::from_secs(2));

    let (_to_us, silent) = connection();
    let late = silent.ask(&Request::Apps, Some(Duration::from_millis(50)), |_, _| Ok(())).unwrap_err();
    assert_eq!((late.code, late.cut), (Code::TimedOut, true), "{late}");
}
