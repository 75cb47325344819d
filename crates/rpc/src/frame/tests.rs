//! Frames survive whatever pieces they come in, and what is no frame is refused before it costs anything.

use super::*;

fn frames() -> Vec<Frame> {
    vec![
        Frame::Message(b"{}".to_vec()),
        Frame::Message(Vec::new()),
        Frame::Chunk(Channel::Input, vec![0, 255, b'm', 10]),
        Frame::Chunk(Channel::Output, vec![7; LONGEST_CHUNK]),
        Frame::Chunk(Channel::Error, b"e".to_vec()),
        Frame::End(Channel::Input),
        Frame::End(Channel::Output),
        Frame::End(Channel::Error),
        Frame::Message(vec![b'x'; 70_000]),
    ]
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.encode().unwrap()).collect()
}

#[test]
fn frames_arrive_as_they_were_sent_in_whatever_pieces() {
    let (sent, bytes) = (frames(), wire(&frames()));
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut decoder, mut arrived, mut rest) = (Decoder::default(), Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            let most = if random.bool() { 7 } else { 100_000 };
            let (piece, after) = rest.split_at(random.usize(1..=most.min(rest.len())));
            decoder.feed(piece);
            rest = after;
            while let Some(frame) = decoder.next_frame().unwrap() {
                arrived.push(frame);
            }
        }
        assert_eq!(decoder.finish(), Ok(()), "seed {seed}");
        assert!(arrived == sent, "seed {seed}");
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    for (kind, length) in
        [(b'm', LONGEST_MESSAGE + 1), (b'o', LONGEST_CHUNK + 1), (b'i', 0), (b'E', 1), (b'm', u32::MAX as usize)]
    {
        let mut decoder = Decoder::default();
        decoder.feed(&[kind]);
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.feed(&u32::try_from(length).unwrap().to_be_bytes());
        assert!(matches!(decoder.next_frame(), Err(FrameError::Length { .. })), "{kind} {length}");
        assert!(decoder.buffer.len() <= HEADER);
    }
    assert!(Frame::Message(vec![0; LONGEST_MESSAGE + 1]).encode().is_err());
    assert!(Frame::Chunk(Channel::Output, Vec::new()).encode().is_err(), "an end is said with `End`");
}

#[test]
fn what_is_no_frame_is_seen_at_its_first_byte() {
    // What a login shell, or a host that forces another command, would say.
    for other in ["Last login: Mon", "\u{1b}[0m", "bash: no such file", "HTTP/1.1 400"] {
        let mut decoder = Decoder::default();
        decoder.feed(other.as_bytes());
        let first = other.as_bytes()[0];
        assert_eq!(decoder.next_frame(), Err(FrameError::Kind(first)), "{other}");
    }
}

#[test]
fn a_stream_that_ends_within_a_frame_is_cut() {
    let whole = wire(&frames()[..3]);
    let ends: Vec<usize> = (1..=3).map(|count| wire(&frames()[..count]).len()).collect();
    for cut in 0..=whole.len() {
        let mut decoder = Decoder::default();
        decoder.feed(&whole[..cut]);
        while decoder.next_frame().unwrap().is_some() {}
        assert_eq!(decoder.finish().is_ok(), cut == 0 || ends.contains(&cut), "cut at {cut}");
    }
}

#[test]
fn random_bytes_never_panic_and_keep_nothing() {
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut decoder = Decoder::default();
        for _ in 0..random.usize(0..6) {
            let mut bytes = vec![0; random.usize(0..40)];
            random.fill(&mut bytes);
            if let (Some(first), true) = (bytes.first_mut(), random.bool()) {
                *first = *random.choice(b"mioeIOE".iter()).unwrap();
            }
            decoder.feed(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
        let _whole = decoder.finish();
        assert!(decoder.buffer.len() <= 240);
    }
}

#[test]
fn a_long_stream_is_cut_into_chunks() {
    let bytes: Vec<u8> = (0..LONGEST_CHUNK + 3).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let chunks: Vec<Frame> = Frame::chunks(Channel::Output, &bytes).collect();
    assert_eq!(chunks.len(), 2);
    assert_eq!(Frame::chunks(Channel::Output, &[]).count(), 0);
    let together: Vec<u8> = chunks
        .into_iter()
        .flat_map(|frame| match frame {
            Frame::Chunk(Channel::Output, body) => body,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(together == bytes);
}

#[test]
fn a_long_message_is_told_by_its_first_bytes_and_leaves_nothing_behind() {
    for (length, long) in [(LONGEST_CHUNK, false), (LONGEST_CHUNK + 1, true), (LONGEST_MESSAGE, true)] {
        let bytes = wire(&[Frame::Message(vec![b' '; length]), Frame::Chunk(Channel::Input, vec![7; 3])]);
        let mut decoder = Decoder::default();
        assert!(!decoder.is_long());
        let (begin, rest) = bytes.split_at(HEADER);
        decoder.feed(begin);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.is_long(), long, "{length}");
        decoder.feed(rest);
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::Message(vec![b' '; length])));
        assert!(!decoder.is_long());
        assert!(!long || decoder.buffer.capacity() <= LONGEST_CHUNK, "{}", decoder.buffer.capacity());
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::Chunk(Channel::Input, vec![7; 3])));
        assert_eq!(decoder.finish(), Ok(()));
    }
}
