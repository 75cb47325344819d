//! A connection to the control service: `ssh` as a child process, frames over its standard input and output. It carries one request.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futuswarm_output::eprintln;
use futuswarm_rpc::message::{Answer, Event, Request};
use futuswarm_rpc::{Channel, Decoder, Frame, FrameError, Hello, agree};
use serde::Serialize;

use crate::failure::{Code, Failure, Result};
use crate::home::Cluster;
use greeting::Greeting;

mod greeting;
pub mod ssh;
#[cfg(test)]
mod tests;

pub use ssh::Trust;

/// How long a cluster may say nothing, not even how far it is, when it is asked for something that it has at hand. Whatever comes from
/// it begins this time again: a long log is searched for longer.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long nobody is waited for who would have to type something.
const GREETING_WITHOUT_PEOPLE: Duration = Duration::from_secs(60);
/// With a person, who may have to type something for a jump host, too, before the server is reached: that one waits for 30 s
/// (`LoginGraceTime` of `images/node`).
const GREETING: Duration = Duration::from_secs(150);
/// Frames that wait for being used; a reader that is slower than the cluster slows it down.
const QUEUE: usize = 16;
/// Lines of `ssh` that are kept for telling a remedy.
const WORDS: usize = 20;

/// What the cluster sends.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Event(Box<Event>),
    /// A piece of a stream.
    Chunk(Channel, Vec<u8>),
    /// The end of a stream.
    End,
}

enum Arrived {
    Frame(Frame),
    Ended(Option<String>),
}

/// The way to the cluster, which several threads may use.
#[derive(Clone)]
pub struct Sender(Arc<Mutex<Option<ChildStdin>>>);

impl Sender {
    /// Sends a message.
    pub fn message(&self, message: &impl Serialize) -> Result<()> {
        let frame = Frame::message(message).map_err(|error| Failure::usage(format!("too much at once: {error}")))?;
        self.frame(&frame)
    }

    /// Sends one frame.
    pub fn frame(&self, frame: &Frame) -> Result<()> {
        let wire = frame.encode().map_err(|error| Failure::usage(error.to_string()))?;
        let mut input = lock(&self.0);
        let written = input.as_mut().map(|input| input.write_all(&wire).and_then(|()| input.flush()));
        match written {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Failure::cut(format!("the connection to the cluster was cut: {error}"))),
            None => Err(Failure::cut("the connection to the cluster was closed")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection after the greetings.
pub struct Connection {
    cluster: Cluster,
    child: Child,
    sender: Sender,
    frames: Receiver<Arrived>,
    /// The last lines that `ssh` has written.
    words: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`Code::Unreachable`] when there is no way to the cluster, [`Code::Versions`] when it speaks another protocol.
    pub fn open(cluster: &Cluster, trust: Trust) -> Result<Self> {
        let people = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
        let mut child = Command::new("ssh")
            .args(ssh::arguments(cluster, trust, !people)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let what = "cannot run `ssh`";
                Failure::new(
                    Code::Unreachable,
                    format!("{what}: {error}; install the OpenSSH client, or put it into PATH"),
                )
            })?;
        let words = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let words = Arc::clone(&words);
            std::thread::spawn(move || listen(stderr, &words));
        }
        let (to_us, frames) = sync_channel(QUEUE);
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || read(stdout, &to_us));
        }
        let sender = Sender(Arc::new(Mutex::new(child.stdin.take())));
        let mut connection = Self { cluster: cluster.clone(), child, sender, frames, words };
        connection.greet(if people { GREETING } else { GREETING_WITHOUT_PEOPLE })?;
        Ok(connection)
    }

    fn greet(&mut self, patience: Duration) -> Result<()> {
        let ours = Hello::of(env!("CARGO_PKG_VERSION"));
        // When `ssh` has ended already, what it says counts.
        let sent = self.sender.message(&ours);
        let theirs = match self.arrived(Some(patience))? {
            Frame::Message(body) => serde_json::from_slice::<Hello>(&body).map_err(|_| {
                Failure::new(
                    Code::Versions,
                    format!(
                        "what answers at {} greets with something that no futuswarm says",
                        self.cluster.config.host
                    ),
                )
            })?,
            Frame::Chunk(..) | Frame::End(_) => return Err(self.garbled("it begins with a piece of a stream")),
        };
        agree(&ours, &theirs).map_err(|mismatch| Failure::new(Code::Versions, mismatch.to_string()))?;
        sent
    }

    /// The way to the cluster.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    fn next(&mut self, patience: Option<Duration>) -> Result<Incoming> {
        let frame = self.arrived(patience)?;
        self.incoming(frame)
    }

    /// What comes within a while, if anything.
    pub fn within(&mut self, while_: Duration) -> Result<Option<Incoming>> {
        match self.frames.recv_timeout(while_) {
            Ok(Arrived::Frame(frame)) => self.incoming(frame).map(Some),
            Ok(Arrived::Ended(reason)) => Err(self.ended(reason)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(None)),
        }
    }

    fn incoming(&self, frame: Frame) -> Result<Incoming> {
        match frame {
            Frame::Message(body) => match serde_json::from_slice(&body) {
                Ok(event) => Ok(Incoming::Event(Box::new(event))),
                // The document may have secrets in it: nothing of it is shown.
                Err(_) => Err(Failure::new(
                    Code::Versions,
                    "the cluster answered with something that this version does not know: get the command line of this cluster from its main page",
                )),
            },
            Frame::Chunk(channel, bytes) => Ok(Incoming::Chunk(channel, bytes)),
            Frame::End(_) => Ok(Incoming::End),
        }
    }

    fn arrived(&mut self, patience: Option<Duration>) -> Result<Frame> {
        let arrived = match patience {
            Some(patience) => self.frames.recv_timeout(patience),
            None => self.frames.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match arrived {
            Ok(Arrived::Frame(frame)) => Ok(frame),
            Ok(Arrived::Ended(reason)) => Err(self.ended(reason)),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(None)),
            Err(RecvTimeoutError::Timeout) => Err(self.too_late(patience.unwrap_or_default())),
        }
    }

    /// When the cluster has said nothing for so long.
    pub fn too_late(&self, patience: Duration) -> Failure {
        let (host, seconds) = (&self.cluster.config.host, patience.as_secs());
        let message = format!(
            "{host} has not answered for {seconds} s; try again, and `futuswarm doctor` looks at what is wrong"
        );
        Failure { cut: true, ..Failure::new(Code::TimedOut, message) }
    }

    fn garbled(&self, reason: &str) -> Failure {
        Failure::cut(format!("what came from {} cannot be read: {reason}; try again", self.cluster.config.host))
    }

    /// Why nothing more comes.
    fn ended(&mut self, reason: Option<String>) -> Failure {
        let status = end(&mut self.child, Duration::from_secs(2));
        // Its last words may still be on their way, and a control connection in the background may hold the pipe open.
        std::thread::sleep(Duration::from_millis(50));
        let words = lock(&self.words).join("\n");
        let host = &self.cluster.config.host;
        match (reason, status.and_then(|status| status.code())) {
            (_, Some(255)) => {
                let cluster = &self.cluster;
                Failure::cut(format!("cannot reach {} ({host}) by ssh: {}", cluster.name, ssh::remedy(&words, cluster)))
            }
            (Some(reason), _) => self.garbled(&reason),
            (None, _) => Failure::cut(format!(
                "{host} ended the connection before it answered; what was asked for may have been done: look before you try again"
            )),
        }
    }

    /// Sends the request and waits for the answer; `each` gets what comes before it.
    pub fn ask(
        mut self,
        request: &Request,
        patience: Option<Duration>,
        mut each: impl FnMut(Incoming, &Sender) -> Result<()>,
    ) -> Result<Answer> {
        self.sender.message(request)?;
        loop {
            match self.next(patience)? {
                Incoming::Event(event) => match *event {
                    Event::Done { answer } => return Ok(*answer),
                    Event::Failed(refusal) => return Err(refusal.into()),
                    event => each(Incoming::Event(Box::new(event)), &self.sender)?,
                },
                other => each(other, &self.sender)?,
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It ends by itself when its standard input does, unless it hangs. Somebody may be writing into it: then it is ended.
        match self.sender.0.try_lock() {
            Ok(mut input) => drop(input.take()),
            Err(_) => drop(self.child.kill()),
        }
        end(&mut self.child, Duration::from_millis(500));
    }
}

/// Waits for a child, and ends it when it takes too long.
fn end(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    while begin.elapsed() < patience {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(pause),
            Err(_) => break,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let _gone = child.kill();
    child.wait().ok()
}

/// Shows what `ssh` says, and keeps the end of it.
fn listen(stderr: impl std::io::Read, words: &Mutex<Vec<String>>) {
    let mut reader = std::io::BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        // A line without an end is shown in pieces.
        match reader.by_ref().take(4096).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = crate::output::plain(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        eprintln!("ssh: {line}");
        let mut words = lock(words);
        words.push(line);
        if words.len() > WORDS {
            words.remove(0);
        }
    }
}

/// Reads frames until there are no more, or nobody wants them.
fn read(mut stdout: impl std::io::Read, to_us: &SyncSender<Arrived>) {
    let (mut greeting, mut decoder) = (Greeting::default(), Decoder::default());
    let mut buffer = vec![0; 64 << 10];
    let ended = loop {
        let bytes = match stdout.read(&mut buffer) {
            Ok(0) => break greeting.finish().or_else(|| decoder.finish().err().map(|error| error.to_string())),
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => break Some(error.to_string()),
        };
        match greeting.skip(bytes) {
            Ok(rest) => decoder.feed(&rest),
            Err(reason) => break Some(reason),
        }
        if let Err(ended) = give(&mut decoder, to_us) {
            match ended {
                Some(error) => break Some(error.to_string()),
                None => return,
            }
        }
    };
    let _nobody = to_us.send(Arrived::Ended(ended));
}

/// Gives the frames that are whole; an error without a reason when nobody wants them.
fn give(decoder: &mut Decoder, to_us: &SyncSender<Arrived>) -> std::result::Result<(), Option<FrameError>> {
    while let Some(frame) = decoder.next_frame().map_err(Some)? {
        to_us.send(Arrived::Frame(frame)).map_err(|_| None)?;
    }
    Ok(())
}
