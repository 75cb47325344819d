//! The app of the end-to-end tests: one static program that does what its first word says. Compiled by `rustc` alone.

mod visitors;

use std::env;
use std::io::{BufReader, IsTerminal, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use visitors::Head;

fn main() {
    if env::args().next().is_some_and(|program| program.ends_with("sh")) {
        shell();
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let word = |at: usize| words.get(at).cloned().unwrap_or_default();
    match word(0).as_str() {
        "serve" => serve(),
        "exit" => exit(word(1).parse().unwrap_or(99)),
        "health" => exit(i32::from(!is_healthy())),
        "env" => println!("{}", env::var(word(1)).unwrap_or_else(|_| "(not set)".to_owned())),
        "secret" => println!("{}", secret(&word(1))),
        "echo" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).expect("input");
            print!("{text}");
            eprintln!("{} bytes", text.len());
        }
        "dies" => {
            println!("cannot find the database");
            exit(3)
        }
        other => {
            eprintln!("what is {other:?}?");
            exit(98)
        }
    }
}

fn secret(name: &str) -> String {
    std::fs::read_to_string(format!("/run/secrets/{name}")).unwrap_or_else(|error| format!("({error})"))
}

/// As much of a shell as it takes to see that there is a terminal, that it is read, and how it ends.
fn shell() -> ! {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.trim().split_once(' ') {
            Some(("exit", code)) => exit(code.parse().unwrap_or(97)),
            _ => println!("{}: terminal={}", line.trim(), std::io::stdin().is_terminal()),
        }
    }
    exit(0)
}

fn port() -> u16 {
    env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000)
}

/// Asks itself, for a HEALTHCHECK of an image.
fn is_healthy() -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port())) else { return false };
    let mut answer = String::new();
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

fn serve() {
    let started = Instant::now();
    let port = port();
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("a port");
    let version = env::var("VERSION").unwrap_or_default();
    println!("version {version} listens on port {port}");
    for stream in listener.incoming().flatten() {
        // WebSockets stay open.
        std::thread::spawn(move || answer(&stream, started));
    }
}

fn answer(mut stream: &TcpStream, started: Instant) {
    /// Requests that were to change something.
    static POSTS: AtomicUsize = AtomicUsize::new(0);
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader);
    let posts = POSTS.fetch_add(usize::from(head.method == "POST"), Ordering::Relaxed);
    if let Some(key) = head.header("sec-websocket-key") {
        // Whoever listens may go at any time.
        let _ended = visitors::echo(&head, key, &mut reader, &mut stream);
        return;
    }
    let version = env::var("VERSION").unwrap_or_default();
    let colour = env::var("COLOUR").unwrap_or_default();
    // So many seconds without being well, after which it is.
    let slow = env::var("SLOW").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let well = env::var("SICK").is_err() && started.elapsed() >= Duration::from_secs(slow);
    let sick = head.path == "/health" && !well;
    let status = if sick { "503 Service Unavailable" } else { "200 OK" };
    let (kind, body) = match head.path.starts_with("/visitor") {
        true => ("application/json", head.json(posts)),
        false => ("text/plain; charset=utf-8", format!("version={version} colour={colour}\n")),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    if head.path != "/health" {
        println!("{} {}", head.method, head.path);
    }
}
