//! Tasks that answer with their service's name, their address, and what they were asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the handshake of the example in RFC 6455 is answered with: HAProxy compares it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(super) struct Tasks {
    /// All listen on one port, each at an address of its own.
    pub(super) port: u16,
    pub(super) addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// The heads of all requests that reached any of them.
    pub(super) seen: Arc<Mutex<Vec<String>>>,
}

pub(super) fn start(tasks: &[(&str, u8)]) -> Tasks {
    // Of this process alone: tests run beside each other.
    let second = fastrand::u8(1..250);
    let first = TcpListener::bind((Ipv4Addr::new(127, second, 0, 1), 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let (mut first, mut last, mut addresses) = (Some(first), 0, BTreeMap::<String, Vec<Ipv4Addr>>::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    for (service, count) in tasks {
        for _ in 0..*count {
            last += 1;
            let address = Ipv4Addr::new(127, second, 0, last);
            let listener = first.take().unwrap_or_else(|| TcpListener::bind((address, port)).unwrap());
            addresses.entry((*service).to_owned()).or_default().push(address);
            let (name, seen) = (format!("{service} {address}"), Arc::clone(&seen));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (name, seen) = (name.clone(), Arc::clone(&seen));
                    std::thread::spawn(move || {
                        let _closed = answer(stream, &name, &seen);
                    });
                }
            });
        }
    }
    Tasks { port, addresses, seen }
}

/// A request says how it wants to be answered: `X-Answer: NAME: VALUE` is a header of the answer, `X-Wait` the milliseconds until then.
/// What comes in chunks is sent back as it came.
fn answer(mut stream: TcpStream, name: &str, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut read = Vec::new();
    let Some(end) = until(&mut stream, &mut read, b"\r\n\r\n")? else { return Ok(()) };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut rest = read.split_off(end + 4);
    seen.lock().unwrap().push(head.clone());
    if values(&head, "upgrade").next() == Some("websocket") {
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
        stream.write_all(format!("{accepted}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n").as_bytes())?;
        loop {
            stream.write_all(&rest)?;
            rest.resize(4096, 0);
            let length = stream.read(&mut rest)?;
            if length == 0 {
                return Ok(());
            }
            rest.truncate(length);
        }
    }
    let mut body = format!("{name}\n{head}\n");
    if values(&head, "transfer-encoding").next().is_some() {
        until(&mut stream, &mut rest, b"0\r\n\r\n")?;
        body.push_str(&format!("\n{}", String::from_utf8_lossy(&rest)));
    }
    let length = values(&head, "content-length").next().and_then(|length| length.parse().ok()).unwrap_or(0);
    while rest.len() < length && more(&mut stream, &mut rest)? {}
    let wait = values(&head, "x-wait").next().and_then(|wait| wait.parse().ok()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(wait));
    let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    values(&head, "x-answer").for_each(|line| text.push_str(&format!("{line}\r\n")));
    stream.write_all(format!("{text}\r\n{body}").as_bytes())
}

/// The values of all headers of this name; HAProxy writes names in small letters.
pub(super) fn values<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    head.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Reads until these bytes have come, and returns where they are; `None` when the stream ends before.
fn until(stream: &mut TcpStream, read: &mut Vec<u8>, end: &[u8]) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(at) = read.windows(end.len()).position(|window| window == end) {
            return Ok(Some(at));
        }
        if !more(stream, read)? {
            return Ok(None);
        }
    }
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut some = [0; 4096];
    let length = stream.read(&mut some)?;
    read.extend(&some[..length]);
    Ok(length > 0)
}
