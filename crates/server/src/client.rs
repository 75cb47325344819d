//! The client at the other end of a connection, as requests see it: events go out, pieces of input and notices come in.

use std::time::Duration;

use futuswarm_rpc::message::{Event, Notice};
use futuswarm_rpc::{Channel, Frame};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::refusal::Refused;

/// So many frames wait for a client that reads slowly; whoever sends more waits, too.
pub(crate) const QUEUE: usize = 16;

/// What comes from a client while its request is worked on.
#[derive(Debug)]
pub(crate) enum Input {
    /// Bytes of its input.
    Bytes(Vec<u8>),
    /// Its input has ended.
    End,
    /// A change of its terminal, or a signal.
    Notice(Notice),
}

/// The other end of a connection. Requests go on when it is gone, unless they are about nothing else.
#[derive(Debug)]
pub(crate) struct Client {
    events: mpsc::Sender<Frame>,
    input: mpsc::Receiver<Input>,
    /// Its other side goes when nothing more can come from the client.
    reading: watch::Receiver<()>,
    began: Instant,
}

impl Client {
    /// A client, what is to be sent to it, and where its input goes in.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Frame>, Reading) {
        let (events, outgoing) = mpsc::channel(QUEUE);
        let (incoming, input) = mpsc::channel(QUEUE);
        let (alive, reading) = watch::channel(());
        (Self { events, input, reading, began: Instant::now() }, outgoing, Reading { input: incoming, _alive: alive })
    }

    /// Says what is being done. Nobody waits for a client that does not read it.
    pub(crate) fn progress(&self, text: impl Into<String>, limit: Option<Duration>) {
        let elapsed = milliseconds(self.began.elapsed());
        let event = Event::Progress { text: text.into(), elapsed, limit: limit.map(milliseconds) };
        if let Ok(frame) = Frame::message(&event) {
            let _unread = self.events.try_send(frame);
        }
    }

    /// Sends an event, and waits until there is room for it.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) async fn send(&self, event: &Event) -> Result<(), Refused> {
        let frame = Frame::message(event).map_err(|error| Refused::failed(error.to_string()))?;
        self.events.send(frame).await.map_err(|_| Refused::gone())
    }

    /// What the client sends next; `None` when it is gone.
    pub(crate) async fn input(&mut self) -> Option<Input> {
        self.input.recv().await
    }

    /// Ends when the client is gone: nothing can be sent to it, or nothing more comes from it.
    pub(crate) async fn gone(&self) {
        let mut reading = self.reading.clone();
        tokio::select! {
            () = self.events.closed() => {}
            _ended = reading.changed() => {}
        }
    }

    /// Where bytes of a program go, beside whoever reads the client's input.
    pub(crate) fn output(&self) -> Output {
        Output(self.events.clone())
    }
}

/// The way to a client for what a program writes.
pub(crate) struct Output(mpsc::Sender<Frame>);

impl Output {
    /// Sends bytes of a program.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) async fn bytes(&self, channel: Channel, bytes: &[u8]) -> Result<(), Refused> {
        for chunk in Frame::chunks(channel, bytes) {
            self.0.send(chunk).await.map_err(|_| Refused::gone())?;
        }
        Ok(())
    }
}

/// Where what comes from a client goes in. When it is dropped, the client is gone.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) input: mpsc::Sender<Input>,
    _alive: watch::Sender<()>,
}

/// A time as the protocol has it.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
