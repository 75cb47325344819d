//! Frames: a kind, a length, and so many bytes. Every length has a limit that is checked before anything is kept for it.

#[cfg(test)]
mod tests;

/// The longest message in bytes: a config value of 1 MiB, each of whose bytes JSON may write as six (`\u0000`), and the rest.
pub const LONGEST_MESSAGE: usize = 8 << 20;
/// The longest piece of a stream in bytes.
pub const LONGEST_CHUNK: usize = 256 << 10;
/// Kind and length.
const HEADER: usize = 5;

/// Whose bytes a piece of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// What a program reads, or what is sent to the cluster.
    Input,
    /// What a program writes to its standard output, or what the cluster sends.
    Output,
    /// What a program writes to its standard error.
    Error,
}

/// One frame. On the wire: one byte for the kind, four for the length of what follows (big endian), and that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A JSON document, at most [`LONGEST_MESSAGE`] bytes.
    Message(Vec<u8>),
    /// A piece of a stream, 1 to [`LONGEST_CHUNK`] bytes.
    Chunk(Channel, Vec<u8>),
    /// The end of a stream.
    End(Channel),
}

/// What is no frame. The connection cannot be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte of a frame is not a kind.
    #[error("a frame begins with the byte {0:#04x}, which is no kind of frame: the other side speaks something else")]
    Kind(u8),
    /// A frame is longer, or shorter, than its kind may be.
    #[error("a frame of kind {kind:#04x} says that it is {length} bytes long; {least} to {most} are allowed")]
    Length {
        /// Its first byte.
        kind: u8,
        /// What it says of its length, in bytes.
        length: usize,
        /// The fewest bytes of its kind.
        least: usize,
        /// The most bytes of its kind.
        most: usize,
    },
    /// A message cannot be written as JSON.
    #[error("a message cannot be written: {0}")]
    Json(String),
    /// The stream ended within a frame.
    #[error("the connection ended within a frame: {have} of its {want} bytes arrived")]
    Cut {
        /// Bytes that arrived.
        have: usize,
        /// Bytes that it has, as far as it said.
        want: usize,
    },
}

const MESSAGE: u8 = b'm';
const CHUNKS: [(u8, Channel); 3] = [(b'i', Channel::Input), (b'o', Channel::Output), (b'e', Channel::Error)];

fn kind(channel: Channel) -> u8 {
    match channel {
        Channel::Input => b'i',
        Channel::Output => b'o',
        Channel::Error => b'e',
    }
}

impl Frame {
    /// The frame of a message.
    ///
    /// # Errors
    /// When it is longer than a message may be, or is no JSON.
    pub fn message(message: &impl serde::Serialize) -> Result<Self, FrameError> {
        let body = serde_json::to_vec(message).map_err(|error| FrameError::Json(error.to_string()))?;
        check(MESSAGE, body.len())?;
        Ok(Self::Message(body))
    }

    /// Pieces of a stream that are as long as they may be; none for no bytes.
    pub fn chunks(channel: Channel, bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks(LONGEST_CHUNK).map(move |chunk| Self::Chunk(channel, chunk.to_vec()))
    }

    /// The frame as it goes over the wire.
    ///
    /// # Errors
    /// When it is longer than its kind may be, or an empty chunk.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let (kind, body): (u8, &[u8]) = match self {
            Self::Message(body) => (MESSAGE, body),
            Self::Chunk(channel, body) => (kind(*channel), body),
            // A chunk without bytes: an end is said by whoever has nothing more.
            Self::End(channel) => (kind(*channel).to_ascii_uppercase(), &[]),
        };
        check(kind, body.len())?;
        let mut wire = Vec::with_capacity(HEADER + body.len());
        wire.push(kind);
        // The check holds it far below what fits.
        wire.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        wire.extend(body);
        Ok(wire)
    }

    fn decode(kind: u8, body: Vec<u8>) -> Self {
        let channel = |byte: u8| CHUNKS.iter().find(|(kind, _)| *kind == byte).map(|(_, channel)| *channel);
        match (channel(kind), channel(kind.to_ascii_lowercase())) {
            (Some(channel), _) => Self::Chunk(channel, body),
            (None, Some(channel)) => Self::End(channel),
            (None, None) => Self::Message(body),
        }
    }
}

/// Whether a frame of this kind may be so long.
fn check(kind: u8, length: usize) -> Result<(), FrameError> {
    let (least, most) = match kind {
        MESSAGE => (0, LONGEST_MESSAGE),
        b'i' | b'o' | b'e' => (1, LONGEST_CHUNK),
        b'I' | b'O' | b'E' => (0, 0),
        _ => return Err(FrameError::Kind(kind)),
    };
    match (least..=most).contains(&length) {
        true => Ok(()),
        false => Err(FrameError::Length { kind, length, least, most }),
    }
}

/// Takes bytes in whatever pieces they come, and gives frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out as frames.
    done: usize,
}

impl Decoder {
    /// Takes bytes in. It keeps at most what it is given and one frame.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes have to come first.
    ///
    /// # Errors
    /// When what came is no frame. Nothing can be read after that.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.done..];
        let Some((kind, length)) = header(rest)? else { return Ok(None) };
        let Some(body) = rest.get(HEADER..HEADER + length) else { return Ok(None) };
        let frame = Frame::decode(kind, body.to_vec());
        self.done += HEADER + length;
        if length > LONGEST_CHUNK {
            // A connection may go on for a day after one long message, and is not to keep the memory of it.
            self.buffer = self.buffer.split_off(self.done);
            self.done = 0;
        }
        Ok(Some(frame))
    }

    /// Whether the frame that has begun is longer than any piece of a stream: whoever reads many connections lets few of those in at once.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(header(&self.buffer[self.done..]), Ok(Some((_, length))) if length > LONGEST_CHUNK)
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// When a frame has begun and is not whole.
    pub fn finish(&self) -> Result<(), FrameError> {
        let rest = &self.buffer[self.done..];
        match (rest.len(), header(rest)?) {
            (0, _) => Ok(()),
            (have, header) => Err(FrameError::Cut { have, want: HEADER + header.map_or(0, |(_, length)| length) }),
        }
    }
}

/// Kind and length of a frame that begins with `bytes`; `None` when they are too few to say. A wrong kind is seen at its first byte.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !matches!(kind, b'm' | b'i' | b'o' | b'e' | b'I' | b'O' | b'E') {
        return Err(FrameError::Kind(*kind));
    }
    let Some(length) = bytes.get(1..HEADER).and_then(|length| <[u8; 4]>::try_from(length).ok()) else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    check(*kind, length)?;
    Ok(Some((*kind, length)))
}
