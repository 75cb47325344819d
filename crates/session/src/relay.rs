//! The forced command: bytes from sshd to the control service and back, with who it is in front.

#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use futuswarm_model::{app_name, person_name};
use futuswarm_rpc::{Caller, Frame, Identity};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// A socket's backlog empties in milliseconds, and a control service that starts again is there within this.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// A control service that does not read the first hundred bytes within this is stuck.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// A client that has closed its side gets what the control service still says for so long.
const GRACE: Duration = Duration::from_secs(5);
/// What is on its way in one direction, in bytes; who reads slowly slows the writer down.
const BUFFER: usize = 64 << 10;

/// Why there is no session. The client's user reads these.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The arguments are not what sshd's helper writes.
    #[error("{0}")]
    Arguments(String),
    /// Nobody listens.
    #[error(
        "the control service of this node does not answer ({}: {reason}); it is starting, or this node is no manager: try again in a moment",
        socket.display()
    )]
    Unavailable {
        /// Where it should listen.
        socket: PathBuf,
        /// What the kernel says.
        reason: String,
    },
}

/// Who speaks, out of the arguments of the forced command and sshd's `SSH_CONNECTION` (`ADDRESS PORT ADDRESS PORT`).
///
/// # Errors
/// When the arguments are not those of [`crate::line`].
pub fn caller(
    user: Option<&str>,
    token: Option<&str>,
    key: &str,
    connection: Option<&str>,
) -> Result<Caller, SessionError> {
    let wrong = |error: futuswarm_model::NameError| SessionError::Arguments(error.to_string());
    let identity = match (user, token.map(|token| token.split_once('/'))) {
        (Some(name), None) => Identity::User(person_name(name).map_err(wrong)?.to_owned()),
        (None, Some(Some((app, name)))) => Identity::Token {
            app: app_name(app).map_err(wrong)?.to_owned(),
            name: person_name(name).map_err(wrong)?.to_owned(),
        },
        _ => return Err(SessionError::Arguments("either --user NAME or --token APP/NAME is needed".to_owned())),
    };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if key.len() != 64 || !key.bytes().all(is_digit) {
        return Err(SessionError::Arguments(
            "--key is the SHA-256 of a public key in 64 hexadecimal digits".to_owned(),
        ));
    }
    let from = connection.and_then(|connection| connection.split(' ').next()).and_then(|address| address.parse().ok());
    Ok(Caller { identity, key: Some(key.to_owned()), from })
}

/// Passes bytes both ways until one side ends: a client that has closed its side is gone, and gets what is still said for a moment. It
/// ends, too, when nobody reads the process's standard output any more: as long as the control service neither reads nor writes, nothing
/// else tells that sshd has cut the client off. When this returns, threads may still wait; the process is to end.
///
/// # Errors
/// When there is no control service, or no standard output. That the connection breaks later is an end like any other.
pub fn relay(
    caller: &Caller,
    socket: &Path,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> Result<(), SessionError> {
    let watched = std::io::stdout().as_fd().try_clone_to_owned();
    let watched = watched.map_err(|error| SessionError::Arguments(format!("sshd gave no standard output: {error}")))?;
    relay_within(caller, socket, input, output, Some(watched), CONNECT, GRACE)
}

fn relay_within(
    caller: &Caller,
    socket: &Path,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    watched: Option<OwnedFd>,
    connect_deadline: Duration,
    grace: Duration,
) -> Result<(), SessionError> {
    let unavailable = |reason: String| SessionError::Unavailable { socket: socket.to_owned(), reason };
    let failed = |error: std::io::Error| unavailable(error.to_string());
    let frame = Frame::message(caller).and_then(|frame| frame.encode());
    let frame = frame.map_err(|error| SessionError::Arguments(error.to_string()))?;
    let mut stream = connect(socket, connect_deadline).map_err(unavailable)?;
    stream.set_write_timeout(Some(FIRST_FRAME)).map_err(failed)?;
    stream.write_all(&frame).map_err(failed)?;
    stream.set_write_timeout(None).map_err(failed)?;

    let (ended, ends) = mpsc::channel();
    if let Some(watched) = watched {
        let (both, reader) = (stream.try_clone().map_err(failed)?, ended.clone());
        std::thread::spawn(move || {
            if unread(&watched).is_ok() {
                let _nobody_waits = reader.send(Side::Reader);
                // The control service sees it at once, whatever the other two wait for.
                let _gone = both.shutdown(Shutdown::Both);
            }
        });
    }
    let (to_server, from_server) = (stream.try_clone().map_err(failed)?, stream);
    let upward = ended.clone();
    std::thread::spawn(move || {
        copy(input, &to_server);
        // The control service sees the end of the client. It may be gone already.
        let _gone = to_server.shutdown(Shutdown::Write);
        let _nobody_waits = upward.send(Side::Client);
    });
    std::thread::spawn(move || {
        copy(&from_server, output);
        let _gone = from_server.shutdown(Shutdown::Both);
        let _nobody_waits = ended.send(Side::Server);
    });
    if let Ok(Side::Client) = ends.recv() {
        // Its end, or the end of the time for it.
        let _ended = ends.recv_timeout(grace);
    }
    Ok(())
}

/// Which side has nothing more to say.
enum Side {
    Client,
    Server,
    /// Whoever read the output is gone, and the client with them.
    Reader,
}

/// Waits until nobody can read any more what is written to a pipe or socket. It writes nothing for that.
fn unread(output: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        // Errors and hang-ups are told without being asked for.
        match poll(&mut [PollFd::new(output, PollFlags::empty())], None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Connects within a deadline. The kernel lets a connection wait for room in the backlog without end, so it is tried in a thread.
fn connect(socket: &Path, deadline: Duration) -> Result<UnixStream, String> {
    let (sender, receiver) = mpsc::channel();
    let path = socket.to_owned();
    std::thread::spawn(move || {
        // The control service may be starting again: the socket is not there yet, or nobody listens on it yet.
        let attempts = deadline.as_millis() / PAUSE.as_millis();
        for attempt in 0..=attempts {
            let result = UnixStream::connect(&path);
            let again = matches!(&result, Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused));
            if !again || attempt == attempts {
                let _nobody_waits = sender.send(result);
                return;
            }
            std::thread::sleep(PAUSE);
        }
    });
    match receiver.recv_timeout(deadline + Duration::from_secs(1)) {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it takes no connection within {} s", deadline.as_secs())),
    }
}

/// Copies until either end has ended. Whatever ends it, there is nothing more to be passed on.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
