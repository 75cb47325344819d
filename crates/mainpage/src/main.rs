//! The page at a cluster's bare domain. A static program of its own, so that the container image is a few hundred
//! kilobytes and needs no registry.
//!
//! HTTP/1.1 over the standard library is enough: HAProxy in front speaks to browsers, limits sizes and closes slow
//! connections.
#![expect(clippy::print_stderr, reason = "a container's standard error is its log")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const PORT: u16 = 8080;
const PAGE: &str = include_str!("page.html");
/// A request line and headers longer than this are nobody's browser.
const MAX_HEAD: u64 = 16 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);

fn main() -> std::io::Result<()> {
    let domain = std::env::var("DOMAIN").unwrap_or_else(|_| "localhost".to_owned());
    let task = std::env::var("HOSTNAME").unwrap_or_default();
    let page = render(&domain, &task);
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    eprintln!("mainpage for {domain} listens on port {PORT}");
    for stream in listener.incoming() {
        // One thread at a time is plenty: an answer takes microseconds, and the deadline bounds a stalled client.
        if let Err(error) = stream.and_then(|stream| serve(stream, &page)) {
            eprintln!("request failed: {error}");
        }
    }
    Ok(())
}

fn serve(stream: TcpStream, page: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let mut reader = BufReader::new((&stream).take(MAX_HEAD));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    (&stream).write_all(answer(&request, page).as_bytes())
}

fn render(domain: &str, task: &str) -> String {
    PAGE.replace("{domain}", &escape(domain)).replace("{task}", &escape(task))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn answer(request: &str, page: &str) -> String {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/status") => ("200 OK", "text/plain", "ok\n"),
        ("GET" | "HEAD", "/") => ("200 OK", "text/html; charset=utf-8", page),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "not found\n"),
        _ => ("405 Method Not Allowed", "text/plain", "only GET and HEAD\n"),
    };
    let sent = if method == "HEAD" { "" } else { body };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\
         x-content-type-options: nosniff\r\n\r\n{sent}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_refusals() {
        let page = render("apps.example.com", "<task>");
        assert!(page.contains("NAME.apps.example.com") && page.contains("&lt;task&gt;") && !page.contains("{domain}"));
        for (request, status) in [
            ("GET / HTTP/1.1\r\n", "200 OK"),
            ("HEAD /status HTTP/1.1\r\n", "200 OK"),
            ("GET /other HTTP/1.1\r\n", "404 Not Found"),
            ("POST / HTTP/1.1\r\n", "405 Method Not Allowed"),
            ("\r\n", "405 Method Not Allowed"),
        ] {
            let answer = answer(request, &page);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        }
        assert!(answer("HEAD / HTTP/1.1\r\n", &page).ends_with("\r\n\r\n"));
    }
}
