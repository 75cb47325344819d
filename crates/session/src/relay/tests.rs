//! Sessions over real sockets, with both sides ending in every order.

use std::os::unix::net::UnixListener;
use std::sync::mpsc::Sender;
use std::time::Instant;

use futuswarm_rpc::Decoder;

use super::*;

/// An input that stays open until the sender is dropped.
struct Pieces(mpsc::Receiver<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Ok(piece) = self.0.recv() else { return Ok(0) };
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

struct Heard(Sender<Vec<u8>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe.into()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Session {
    say: Sender<Vec<u8>>,
    heard: mpsc::Receiver<Vec<u8>>,
    end: mpsc::Receiver<Result<(), String>>,
}

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn jane() -> Caller {
    caller(Some("jane"), None, KEY, Some("203.0.113.7 50000 10.42.0.4 22")).unwrap()
}

/// Starts a session at a socket.
fn session(socket: &Path, grace: Duration) -> Session {
    let ((say, input), (output, heard), (sender, end)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        let deadline = Duration::from_secs(1);
        let result = relay_within(&jane(), &socket, Pieces(input), Heard(output), None, deadline, grace);
        sender.send(result.map_err(|error| error.to_string())).unwrap();
    });
    Session { say, heard, end }
}

/// Takes the next session, and what it says first.
fn accept(listener: &UnixListener) -> UnixStream {
    let (mut server, _) = listener.accept().unwrap();
    let mut first = vec![0; Frame::message(&jane()).unwrap().encode().unwrap().len()];
    server.read_exact(&mut first).unwrap();
    server
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn the_caller_goes_first_and_then_every_byte_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let session = session(&dir.path().join("s"), LONG);
    let (mut server, _) = listener.accept().unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let sent = bytes.clone();
    let mut say = Some(session.say);
    std::thread::spawn(move || {
        for piece in sent.chunks(60_000) {
            say.as_ref().unwrap().send(piece.to_vec()).unwrap();
        }
        say.take();
    });
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    let mut decoder = Decoder::default();
    let first = Frame::message(&jane()).unwrap();
    let length = first.encode().unwrap().len();
    decoder.feed(&all[..length]);
    assert_eq!(decoder.next_frame().unwrap(), Some(first));
    assert!(all[length..] == bytes, "what the client says arrives as it is");
    // The client has closed its side; what is answered still reaches it.
    server.write_all(&bytes).unwrap();
    drop(server);
    assert_eq!(session.end.recv_timeout(LONG).unwrap(), Ok(()));
    assert!(session.heard.iter().flatten().eq(bytes.iter().copied()));
}

#[test]
fn a_session_ends_with_the_control_service_and_soon_after_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let open = session(&dir.path().join("s"), LONG);
    drop(accept(&listener));
    assert_eq!(open.end.recv_timeout(LONG).unwrap(), Ok(()), "the control service ends, and the client is silent");

    let gone = session(&dir.path().join("s"), Duration::from_millis(100));
    let _server = accept(&listener);
    drop(gone.say);
    assert_eq!(
        gone.end.recv_timeout(LONG).unwrap(),
        Ok(()),
        "the client is gone, and the control service says nothing"
    );

    // Nobody reads any more: as sshd closes both pipes of a client that was cut.
    let deaf = session(&dir.path().join("s"), LONG);
    let mut server = accept(&listener);
    drop(deaf.heard);
    let written = (0..100).map(|_| server.write_all(&[0; 60_000])).find(Result::is_err);
    assert!(written.is_some(), "the control service is told that nobody reads");
    assert_eq!(deaf.end.recv_timeout(LONG).unwrap(), Ok(()));
}

#[test]
fn a_session_ends_when_nobody_reads_it_whatever_waits_on_its_way() {
    for answers in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let (reader, output) = std::io::pipe().unwrap();
        let watched = OwnedFd::from(output.try_clone().unwrap());
        let (sender, end) = mpsc::channel();
        let socket = dir.path().join("s");
        std::thread::spawn(move || {
            // More than the control service, which reads nothing, will ever take.
            let result = relay_within(&jane(), &socket, std::io::repeat(7), output, Some(watched), CONNECT, LONG);
            sender.send(result.map_err(|error| error.to_string())).unwrap();
        });
        let mut server = accept(&listener);
        server.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let full = answers.then(|| (0..1000).find(|_| server.write_all(&[7; 60_000]).is_err()));
        assert!(full.is_none_or(|full| full.is_some()), "nobody reads, so the other way is full, too");
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err(), "somebody may read it yet");
        let began = Instant::now();
        // As sshd closes both pipes of a client that was cut; the input is not read any more and tells nothing.
        drop(reader);
        assert_eq!(end.recv_timeout(LONG).unwrap(), Ok(()));
        assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
        server.set_read_timeout(Some(LONG)).unwrap();
        let mut rest = Vec::new();
        // What it has answered was read by nobody, which may be told in the place of the end.
        if let Err(error) = server.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the control service is told: {error}");
        }
        assert!(!rest.is_empty() && rest.iter().all(|byte| *byte == 7));
    }
}

#[test]
fn a_slow_reader_slows_the_client_down() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (say, input) = mpsc::sync_channel(0);
    let (output, _heard) = mpsc::channel();
    let socket = dir.path().join("s");
    std::thread::spawn(move || {
        struct Rendezvous(mpsc::Receiver<Vec<u8>>);
        impl Read for Rendezvous {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let Ok(piece) = self.0.recv() else { return Ok(0) };
                buffer[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
        }
        relay(&jane(), &socket, Rendezvous(input), Heard(output)).unwrap();
    });
    let (_server, _) = listener.accept().unwrap();
    let mut taken = 0;
    let patience = Instant::now() + Duration::from_secs(3);
    while taken < 1000 && Instant::now() < patience {
        match say.try_send(vec![0; BUFFER]) {
            Ok(()) => taken += 1,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    assert!(taken < 100, "{taken} buffers were taken although nobody reads");
}

#[test]
fn without_a_control_service_there_is_a_reason_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = session(&dir.path().join("s"), LONG).end.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(missing.contains("No such file") && missing.contains("try again in a moment"), "{missing}");
    drop(UnixListener::bind(dir.path().join("dead")).unwrap());
    let dead = session(&dir.path().join("dead"), LONG).end.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(dead.contains("Connection refused"), "{dead}");
    // One that starts a moment later is found.
    let late = session(&dir.path().join("late"), LONG);
    std::thread::sleep(Duration::from_millis(300));
    let listener = UnixListener::bind(dir.path().join("late")).unwrap();
    drop(accept(&listener));
    assert_eq!(late.end.recv_timeout(LONG).unwrap(), Ok(()));
}

#[test]
fn arguments_are_checked_again_and_the_address_is_sshds() {
    let identity =
        |user, token| caller(user, token, KEY, None).map(|caller| caller.identity).map_err(|error| error.to_string());
    assert_eq!(identity(Some("jane"), None), Ok(Identity::User("jane".to_owned())));
    let token = Identity::Token { app: "hello".to_owned(), name: "ci".to_owned() };
    assert_eq!(identity(None, Some("hello/ci")), Ok(token));
    for (user, token) in [
        (None, None),
        (Some("jane"), Some("hello/ci")),
        (Some("Jane"), None),
        (Some(""), None),
        (None, Some("hello")),
        (None, Some("hello/ci/x")),
        (None, Some("/")),
    ] {
        assert!(identity(user, token).is_err(), "{user:?} {token:?}");
    }
    assert_eq!(jane().key.as_deref(), Some(KEY));
    for key in ["", "00ff", &KEY.to_uppercase(), &format!("{KEY}0"), &KEY.replace('0', "g")] {
        assert!(caller(Some("jane"), None, key, None).is_err(), "{key:?}");
    }
    for (connection, from) in [
        (Some("203.0.113.7 50000 10.42.0.4 22"), Some("203.0.113.7")),
        (Some("2001:db8::7 50000 2001:db8::1 22"), Some("2001:db8::7")),
        (Some("UNKNOWN 65535 UNKNOWN 65535"), None),
        (Some(""), None),
        (None, None),
    ] {
        let caller = caller(Some("jane"), None, KEY, connection).unwrap();
        assert_eq!(caller.from.map(|from| from.to_string()).as_deref(), from, "{connection:?}");
    }
}
