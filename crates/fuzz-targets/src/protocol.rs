//! The protocol between the command line and the control service: frames in whatever pieces they come, and the messages in them.

use fastrand::Rng;
use futuswarm_rpc::message::{Event, Notice, Request};
use futuswarm_rpc::{Caller, Decoder, Frame, FrameError, Hello, LONGEST_CHUNK, LONGEST_MESSAGE};

use crate::{mutate, round_trip};

/// Kind and length of a frame, in bytes.
const HEADER: usize = 5;
/// How long pieces of a stream are, one after the other and again.
const PIECES: [usize; 8] = [1, 2, 3, 5, 700, 4, 64, 1];
/// JSON may write a byte as six, and defaults are written that were left out.
const LONGEST_TO_SEND: usize = LONGEST_MESSAGE / 8;

pub(crate) const WORDS: &[&[u8]] = &[
    b"m\0\0\0\x02{}",
    b"i\0\0\0\x01x",
    b"o\0\0\0\x01x",
    b"e\0\0\0\x01x",
    b"I\0\0\0\0",
    b"O\0\0\0\0",
    b"E\0\0\0\0",
    b"m\0\x80\0\0",
    b"i\0\x04\0\0",
    b"\"request\":",
    b"\"event\":",
    b"\"notice\":",
    b"\"answer\":",
    b"\"content\":",
    b"\"text\":",
    b"\"base64\":\"/wD+\"",
    b"\"app\":\"hello\"",
    b"null",
    b"[]",
    b"\\u0000",
    b"\\ud83e\\udd80",
    b"{\"user\":\"jane\",\"from\":\"::1\"}",
];

/// Frames before the end of a stream, or before what is no frame; and how it ended.
fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let end = decoder.finish();
    (frames, end)
}

/// A stream in short pieces.
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    PIECES.iter().cycle().map_while(move |most| {
        let (piece, after) = rest.split_at((*most).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A stream of frames, of either side.
pub fn protocol(data: &[u8]) -> bool {
    let (frames, end) = decoded(std::iter::once(data));
    let in_pieces = decoded(pieces(data));
    assert!(in_pieces == (frames.clone(), end.clone()), "pieces make another stream: {:?} {end:?}", in_pieces.1);
    let (mut wire, mut understood) = (Vec::new(), false);
    for frame in &frames {
        match frame {
            Frame::Message(body) => {
                assert!(body.len() <= LONGEST_MESSAGE, "{}", body.len());
                understood |= messages(body);
            }
            Frame::Chunk(_, body) => assert!((1..=LONGEST_CHUNK).contains(&body.len()), "{}", body.len()),
            Frame::End(_) => {}
        }
        match frame.encode() {
            Ok(bytes) => wire.extend(bytes),
            Err(error) => panic!("a frame that was read cannot be written: {error}"),
        }
    }
    assert!(data.starts_with(&wire), "frames are written otherwise than they were read");
    let rest = data.len() - wire.len();
    match end {
        Ok(()) => assert_eq!(rest, 0),
        Err(FrameError::Cut { have, want }) => assert!(have == rest && have < want, "{have} {want} {rest}"),
        Err(_) => assert!(rest > 0),
    }
    understood
}

/// Whether the body is a message of any kind. No two kinds need to differ: each side knows which one is due.
fn messages(body: &[u8]) -> bool {
    let request: Option<Request> = round_trip(body);
    if let Some(request) = request.as_ref().filter(|_| body.len() < LONGEST_TO_SEND) {
        assert!(Frame::message(request).is_ok(), "a request that came cannot be sent on");
    }
    let event: Option<Event> = round_trip(body);
    let others = [
        round_trip::<Caller>(body).is_some(),
        round_trip::<Hello>(body).is_some(),
        round_trip::<Notice>(body).is_some(),
    ];
    request.is_some() || event.is_some() || others.contains(&true)
}

/// Changes the body of one frame, and says its new length.
pub(crate) fn rebuild(random: &mut Rng, seed: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut parts: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut rest = seed;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let [kind, length @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).min(after.len());
        let (body, after) = after.split_at(length);
        parts.push((kind, body.to_vec()));
        rest = after;
    }
    if parts.is_empty() {
        return seed.to_vec();
    }
    let at = random.usize(..parts.len());
    match random.u8(..6) {
        0 => drop(parts.remove(at)),
        1 => parts.insert(at, parts[at].clone()),
        2 => parts[at].0 = b"mioeIOE"[random.usize(..7)],
        _ => mutate::change(random, &mut parts[at].1, words),
    }
    let mut bytes = Vec::new();
    for (kind, body) in parts {
        bytes.push(kind);
        bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(body);
    }
    bytes
}
