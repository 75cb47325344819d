//! The client at the other end of a connection, as requests see it: events go out, pieces of input and notices come in.

use std::time::Duration;

use futuswarm_rpc::message::{Event, Notice};
use futuswarm_rpc::{Channel, Frame, FrameError};
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

/// The other end of a connection. Requests go on when it is gone, unless they are about nothing else. For them it is gone, too, once
/// the request is to end.
#[derive(Debug)]
pub(crate) struct Client {
    events: mpsc::Sender<Frame>,
    input: mpsc::Receiver<Input>,
    /// Its other side goes when nothing more can come from the client.
    reading: watch::Receiver<()>,
    /// Why the request is to end.
    ending: watch::Receiver<Option<Refused>>,
    began: Instant,
}

/// What a connection is made of beside its client.
pub(crate) struct Ends {
    /// What is to be sent to the client.
    pub(crate) outgoing: mpsc::Receiver<Frame>,
    /// Where what comes from it goes in.
    pub(crate) reading: Reading,
    /// Ends its request.
    pub(crate) ending: Ending,
}

impl Client {
    /// A client, and the other ends of all that it holds.
    pub(crate) fn new() -> (Self, Ends) {
        let (events, outgoing) = mpsc::channel(QUEUE);
        let (incoming, input) = mpsc::channel(QUEUE);
        let (alive, reading) = watch::channel(());
        let (sender, ending) = watch::channel(None);
        let client = Self { events, input, reading, ending, began: Instant::now() };
        let reading = Reading { input: incoming, _alive: alive };
        (client, Ends { outgoing, reading, ending: Ending(sender) })
    }

    /// Why the request is to end; `None` while it may go on.
    pub(crate) fn ended(&self) -> Option<Refused> {
        self.ending.borrow().clone()
    }

    /// Ends with the reason when the request is to end. That the client is gone is none: most requests go on without it.
    pub(crate) async fn ending(&self) -> Refused {
        let mut ending = self.ending.clone();
        let reason = ending.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Whether there is somebody for whom the request is worked on.
    ///
    /// # Errors
    /// When the client is gone, or the request is to end.
    pub(crate) fn still_there(&self) -> Result<(), Refused> {
        let is_gone = self.events.is_closed() || self.reading.has_changed().is_err() || self.ended().is_some();
        if is_gone { Err(Refused::gone()) } else { Ok(()) }
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
        self.still_there()?;
        tokio::select! {
            sent = self.events.send(frame) => sent.map_err(|_| Refused::gone()),
            () = is_to_end(self.ending.clone()) => Err(Refused::gone()),
        }
    }

    /// Sends the last event, also when the request was ended. An answer that no frame can hold is a refusal that says so.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) async fn finish(&self, event: &Event) -> Result<(), Refused> {
        let frame = match Frame::message(event) {
            Err(FrameError::Length { length, most, .. }) => {
                let refused = Refused::failed(format!(
                    "the answer is {length} bytes long, and {most} fit: ask for less, for example for one key by its name, or with `--limit`"
                ));
                Frame::message(&Event::Failed(refused.into()))
            }
            frame => frame,
        };
        let frame = frame.map_err(|error| Refused::failed(error.to_string()))?;
        self.events.send(frame).await.map_err(|_| Refused::gone())
    }

    /// What the client sends next; `None` when it is gone.
    pub(crate) async fn input(&mut self) -> Option<Input> {
        let ending = self.ending.clone();
        tokio::select! {
            input = self.input.recv() => input,
            () = is_to_end(ending) => None,
        }
    }

    /// Ends when the client is gone: nothing can be sent to it, or nothing more comes from it.
    pub(crate) async fn gone(&self) {
        let mut reading = self.reading.clone();
        tokio::select! {
            () = self.events.closed() => {}
            _ended = reading.changed() => {}
            () = is_to_end(self.ending.clone()) => {}
        }
    }

    /// Where bytes of a program go, beside whoever reads the client's input.
    pub(crate) fn output(&self) -> Output {
        Output(self.events.clone())
    }
}

/// Ends when a request is to end, and never when nobody can end it any more.
async fn is_to_end(mut ending: watch::Receiver<Option<Refused>>) {
    if ending.wait_for(Option::is_some).await.is_err() {
        std::future::pending().await
    }
}

/// Ends a request from outside of it.
#[derive(Debug)]
pub(crate) struct Ending(watch::Sender<Option<Refused>>);

impl Ending {
    /// Has the request end for this reason; the first reason counts.
    pub(crate) fn end(&self, reason: Refused) {
        self.0.send_if_modified(|ending| ending.is_none() && ending.replace(reason).is_none());
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
