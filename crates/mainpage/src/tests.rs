//! The page and the download over loopback, with visitors who are slow and an agent who replaces the program meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use super::*;
use crate::http::MOST_DOWNLOADS;

/// More than the buffers of a connection on loopback take.
const LARGE: u64 = 48 << 20;

struct Server {
    folder: PathBuf,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("futuswarm-mainpage-{name}.{}", std::process::id()));
        let _not_there = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::new(Site::new("apps.example.com", "<task>", folder.clone()));
        std::thread::spawn(move || accept(&listener, &site));
        Self { folder, address }
    }

    /// Sends a request and reads nothing yet.
    fn ask(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("{request}\r\nhost: apps.example.com\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    fn get(&self, request: &str) -> String {
        let mut text = Vec::new();
        self.ask(request).read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _disk_space_only = std::fs::remove_dir_all(&self.folder);
    }
}

/// Offers a program, as the agent does: the program first, and then what names it.
fn offer(folder: &Path, version: &str, digit: &str, content: &[u8]) {
    let digest = digit.repeat(64);
    std::fs::write(folder.join(&digest), content).unwrap();
    std::fs::write(folder.join("new"), format!("{version} {digest} {}\n", content.len())).unwrap();
    std::fs::rename(folder.join("new"), folder.join("release")).unwrap();
}

/// Whether nothing of a page is left to be said.
fn is_filled_in(page: &str) -> bool {
    !["domain", "task", "download", "version", "sha256", "mib"].iter().any(|word| page.contains(&format!("{{{word}}}")))
}

#[test]
fn pages_and_refusals() {
    let server = Server::start("pages");
    let page = server.get("GET / HTTP/1.1");
    assert!(page.contains("NAME.apps.example.com") && page.contains("&lt;task&gt;") && is_filled_in(&page), "{page}");
    assert!(!page.contains("/cli/"), "{page}");
    for (request, status) in [
        ("GET / HTTP/1.1", "200 OK"),
        ("GET /?from=mail HTTP/1.1", "200 OK"),
        ("HEAD /status HTTP/1.1", "200 OK"),
        ("GET /other HTTP/1.1", "404 Not Found"),
        ("GET /cli/futuswarm HTTP/1.1", "404 Not Found"),
        ("GET /cli/futuswarm.sha256 HTTP/1.1", "404 Not Found"),
        ("GET /cli/release HTTP/1.1", "404 Not Found"),
        ("GET /cli/../release HTTP/1.1", "404 Not Found"),
        ("POST / HTTP/1.1", "405 Method Not Allowed"),
        ("", "405 Method Not Allowed"),
    ] {
        let answer = server.get(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
    }
    assert!(server.get("HEAD / HTTP/1.1").ends_with("\r\n\r\n"));
}

#[test]
fn what_is_offered_is_on_the_page_and_comes_with_its_checksum() {
    let server = Server::start("offered");
    offer(&server.folder, "0.1.0", "a", b"\x7fELF, say");
    let page = server.get("GET / HTTP/1.1");
    assert!(page.contains("futuswarm 0.1.0</a>") && page.contains(&"a".repeat(64)) && is_filled_in(&page), "{page}");
    let program = server.get("GET /cli/futuswarm HTTP/1.1");
    assert!(program.starts_with("HTTP/1.1 200 OK\r\n") && program.ends_with("\r\n\r\n\x7fELF, say"), "{program}");
    assert!(program.contains("content-length: 9\r\n") && program.contains("filename=\"futuswarm\""), "{program}");
    let head = server.get("HEAD /cli/futuswarm HTTP/1.1");
    assert!(head.contains("content-length: 9\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let checksum = server.get("GET /cli/futuswarm.sha256 HTTP/1.1");
    assert!(checksum.ends_with(&format!("\r\n\r\n{}  futuswarm\n", "a".repeat(64))), "{checksum}");
    // Named, and not there as a whole.
    std::fs::write(server.folder.join("a".repeat(64)), b"short").unwrap();
    assert!(server.get("GET /cli/futuswarm HTTP/1.1").starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_download_stays_what_it_is_when_another_program_takes_its_place() {
    let server = Server::start("replaced");
    offer(&server.folder, "0.1.0", "a", &vec![b'a'; LARGE as usize]);
    let mut slow = server.ask("GET /cli/futuswarm HTTP/1.1");
    let mut begin = [0; 1024];
    slow.read_exact(&mut begin).unwrap();
    offer(&server.folder, "0.2.0", "b", b"another");
    std::fs::remove_file(server.folder.join("a".repeat(64))).unwrap();
    assert!(server.get("GET /cli/futuswarm HTTP/1.1").ends_with("another"));
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let body = [&begin[..], &rest].concat();
    let body = &body[body.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4..];
    assert!(body.len() as u64 == LARGE && body.iter().all(|byte| *byte == b'a'), "{} bytes", body.len());
}

#[test]
fn visitors_who_do_not_read_keep_nobody_from_the_page() {
    let server = Server::start("slow");
    offer(&server.folder, "0.1.0", "a", &vec![b'a'; LARGE as usize]);
    let mut slow: Vec<TcpStream> = (0..MOST_DOWNLOADS).map(|_| server.ask("GET /cli/futuswarm HTTP/1.1")).collect();
    for stream in &mut slow {
        // It has begun, so that its place is taken.
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    assert!(server.get("GET /cli/futuswarm HTTP/1.1").starts_with("HTTP/1.1 503 "));
    assert!(server.get("GET / HTTP/1.1").starts_with("HTTP/1.1 200 "));
    assert!(server.get("HEAD /status HTTP/1.1").starts_with("HTTP/1.1 200 "));
    drop(slow);
    // Their places are free again.
    let began = std::time::Instant::now();
    while !server.get("HEAD /cli/futuswarm HTTP/1.1").starts_with("HTTP/1.1 200 ") {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(PAUSE);
    }
}
