//! What the app says of who asks it, and an echo over WebSockets (RFC 6455).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, Error, Read, Result, Write};

/// What a server appends to a client's key.
const HANDSHAKE: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Of what is said in a frame; longer ones have another form.
const LONGEST: usize = 125;

/// The head of a request.
pub struct Head {
    pub method: String,
    pub path: String,
    /// By names in small letters; every value that came under one.
    headers: BTreeMap<String, Vec<String>>,
}

impl Head {
    /// Reads a head, whatever there is of one.
    pub fn read(reader: &mut impl BufRead) -> Self {
        let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in lines.by_ref().filter_map(|line| Some(line.split_once(':')?).map(owned)) {
            headers.entry(name.to_ascii_lowercase()).or_default().push(value);
        }
        let word = |at: usize| first.split(' ').nth(at).unwrap_or_default().to_owned();
        Self { method: word(0), path: word(1), headers }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }

    /// As JSON, with how many requests were to change something.
    pub fn json(&self, posts: usize) -> String {
        let list = |values: &Vec<String>| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(",");
        let headers: Vec<String> =
            self.headers.iter().map(|(name, values)| format!("{}:[{}]", quoted(name), list(values))).collect();
        let (method, path) = (quoted(&self.method), quoted(&self.path));
        format!("{{\"method\":{method},\"path\":{path},\"posts\":{posts},\"headers\":{{{}}}}}\n", headers.join(","))
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.trim().to_owned())
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Says who asks, and then everything that it hears, until it hears the end.
pub fn echo(head: &Head, key: &str, reader: &mut impl Read, writer: &mut impl Write) -> Result<()> {
    let accept = base64(&sha1(format!("{key}{HANDSHAKE}").as_bytes()));
    write!(
        writer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    say(writer, TEXT, format!("user={}", head.header("remote-user").unwrap_or_default()).as_bytes())?;
    loop {
        match hear(reader)? {
            (TEXT, words) => say(writer, TEXT, &words)?,
            (PING, words) => say(writer, PONG, &words)?,
            (CLOSE, words) => return say(writer, CLOSE, &words),
            _ => {}
        }
    }
}

/// A frame of a client: its kind, and what it says.
fn hear(reader: &mut impl Read) -> Result<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    reader.read_exact(&mut start)?;
    let (kind, length) = (start[0] & 0x0f, usize::from(start[1] & 0x7f));
    if length > LONGEST {
        return Err(Error::other("a frame is too long for this app"));
    }
    let (mut mask, mut words) = ([0; 4], vec![0; length]);
    reader.read_exact(&mut mask)?;
    reader.read_exact(&mut words)?;
    words.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Ok((kind, words))
}

fn say(writer: &mut impl Write, kind: u8, words: &[u8]) -> Result<()> {
    let words = &words[..words.len().min(LONGEST)];
    writer.write_all(&[&[0x80 | kind, words.len() as u8][..], words].concat())
}

/// FIPS 180-4, 6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for at in 16..80 {
            words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mixed, constant): (u32, u32) = match at {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |number, at| number << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
