//! Frames over a pair of byte streams, with a deadline for each that is sent.

use std::time::Duration;

use futuswarm_rpc::{Decoder, Frame, FrameError, LONGEST_CHUNK, MOST_PARTS, has_few_parts};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::unix::OwnedReadHalf;
use tokio::time::sleep;

/// Who does not take a frame for so long is gone: SSH on the way buffers far more than one.
const SEND_DEADLINE: Duration = Duration::from_secs(60);
/// So many bytes are read at once.
const READ: usize = 64 << 10;
/// Between two looks whether the other side of a connection is still there that nothing is read from.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A connection that cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is not what it should be.
    #[error("a message cannot be read: {0}")]
    Message(String),
    /// The other side is gone, or the connection broke.
    #[error("the connection ended: {0}")]
    Ended(String),
    /// A message would take far more memory than it is long.
    #[error("it has more than {} words, keys and other values: ask for less at once", MOST_PARTS)]
    Parts,
    /// [`Incoming::long_message`] reads it.
    #[error("a message is longer than {} bytes, and none of that length is let in here", LONGEST_CHUNK)]
    Long,
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct Incoming<R> {
    reader: R,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Whether messages are read that are longer than any piece of a stream.
    long: bool,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, decoder: Decoder::default(), buffer: vec![0; READ], long: true }
    }

    /// Reads no message of more than [`LONGEST_CHUNK`] bytes before it is let in: many at once would be more than the service's memory.
    pub(crate) fn guarded(reader: R) -> Self {
        Self { long: false, ..Self::new(reader) }
    }

    /// The next frame; `None` at an orderly end. It may be dropped at any time, and nothing that came is lost.
    pub(crate) async fn frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            if !self.long && self.decoder.is_long() {
                return Err(Error::Long);
            }
            let count = self.reader.read(&mut self.buffer).await.map_err(|error| Error::Ended(error.to_string()))?;
            if count == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
            self.decoder.feed(&self.buffer[..count]);
        }
    }

    /// The next frame, which has to be a message.
    pub(crate) async fn message<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        match self.frame().await? {
            Some(Frame::Message(body)) => read(&body),
            Some(_) => Err(Error::Message("a piece of a stream came in its place".to_owned())),
            None => Err(Error::Ended("before a message".to_owned())),
        }
    }

    /// The next frame, which has to be a message, however long it is.
    pub(crate) async fn long_message<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.long = true;
        let message = self.message().await;
        self.long = false;
        message
    }

    /// Reads to the end and keeps nothing: who still writes does not read what they are told.
    pub(crate) async fn drain(&mut self) {
        while self.reader.read(&mut self.buffer).await.is_ok_and(|count| count > 0) {}
    }
}

impl Incoming<OwnedReadHalf> {
    /// Ends when the other side has closed the connection, also while nothing is read from it: its end comes after all that it has sent.
    pub(crate) async fn gone(&self) {
        while let Ok(ready) = self.reader.ready(Interest::WRITABLE).await
            && !ready.is_write_closed()
        {
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// A message out of its frame. What is wrong is told by place and kind, never with what it says: it may be a secret.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    if !has_few_parts(body) {
        return Err(Error::Parts);
    }
    serde_json::from_slice(body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "it is none that this version knows",
            _ => "it is no JSON",
        };
        Error::Message(format!("{kind}, at byte {}", error.column()))
    })
}

/// The writing half.
#[derive(Debug)]
pub(crate) struct Outgoing<W> {
    writer: W,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer }
    }

    pub(crate) async fn frame(&mut self, frame: &Frame) -> Result<(), Error> {
        let bytes = frame.encode()?;
        let ended = |error: std::io::Error| Error::Ended(error.to_string());
        let sent = async {
            self.writer.write_all(&bytes).await.map_err(ended)?;
            self.writer.flush().await.map_err(ended)
        };
        let late = || Error::Ended(format!("nothing was read for {} s", SEND_DEADLINE.as_secs()));
        tokio::time::timeout(SEND_DEADLINE, sent).await.map_err(|_| late())?
    }

    pub(crate) async fn message(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.frame(&Frame::message(message)?).await
    }
}
