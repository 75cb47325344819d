//! The app of the end-to-end tests: one static program that does what its first word says. Compiled by `rustc` alone.

use std::env;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::time::{Duration, Instant};

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
    // So many seconds without being well, after which it is.
    let slow = env::var("SLOW").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let port = port();
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("a port");
    let version = env::var("VERSION").unwrap_or_default();
    println!("version {version} listens on port {port}");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        let path = line.split(' ').nth(1).unwrap_or_default();
        let colour = env::var("COLOUR").unwrap_or_default();
        let well = env::var("SICK").is_err() && started.elapsed() >= Duration::from_secs(slow);
        let sick = path == "/health" && !well;
        let status = if sick { "503 Service Unavailable" } else { "200 OK" };
        let body = format!("version={version} colour={colour}\n");
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        if path != "/health" {
            println!("GET {path}");
        }
    }
}
