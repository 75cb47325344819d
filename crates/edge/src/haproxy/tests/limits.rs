//! What is more, or larger, than a service wants is answered by the edge, and only that.

use std::io::{Read as _, Write as _};

use super::bench::{Answer, Edge};
use super::*;

/// An edge with one service with these labels, and one without any, each with a task.
fn edge(pairs: &[(&str, &str)]) -> Edge {
    Edge::start(&decided(&[("app", pairs), ("other", &[])]), true, &[("app", 1), ("other", 1)])
}

fn from(edge: &Edge, address: &str) -> Answer {
    edge.ask("GET", "app.com", "/", &format!("X-Forwarded-For: {address}\r\n"))
}

#[test]
fn one_address_makes_as_many_requests_as_its_label_says() {
    let edge = edge(&[("com.futuswarm.requestRate", "3")]);
    for _ in 0..3 {
        assert_eq!(from(&edge, "1.2.3.4").service(), "app");
    }
    // A machine that is slow may have counted the first ones in another ten seconds.
    edge.wait("one too many", || from(&edge, "1.2.3.4").status == "429");
    let refused = from(&edge, "6.6.6.6, 1.2.3.4");
    assert_eq!((refused.status.as_str(), refused.header("edge-answer")), ("429", vec!["rate"]), "the last one counts");
    assert_eq!(refused.header("retry-after"), ["10"]);
    assert_eq!(from(&edge, "1.2.3.5").service(), "app", "others are not to blame");
    assert_eq!(edge.ask("GET", "other.com", "/", "X-Forwarded-For: 1.2.3.4\r\n").service(), "other");
    assert_eq!(edge.get("app.com", "/"), "app");
    // Without the load balancer's word the address of the connection counts.
    edge.wait("one too many without an address", || edge.get("app.com", "/") == "429");
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let edge = edge(&[("com.futuswarm.requestRate", "3")]);
    let mut last = 0;
    edge.wait("one too many", || {
        last += 1;
        from(&edge, &format!("2001:db8:1:2::{last:x}")).status == "429"
    });
    assert!(last > 3, "{last}");
    assert_eq!(from(&edge, "2001:db8:1:3::1").service(), "app");
}

#[test]
fn an_app_that_has_as_many_requests_as_it_may_have_gets_no_other() {
    let edge = edge(&[("com.futuswarm.connections", "1")]);
    let mut first = edge.connect();
    first.write_all(b"GET / HTTP/1.1\r\nHost: app.com\r\nX-Wait: 5000\r\nConnection: close\r\n\r\n").unwrap();
    edge.wait("the first request", || !edge.seen().is_empty());
    let full = edge.ask("GET", "app.com", "/", "");
    assert_eq!((full.status.as_str(), full.header("edge-answer")), ("503", vec!["full"]));
    assert_eq!(full.header("retry-after"), ["5"]);
    assert!(full.body.contains("as many requests at the same time as it may have"), "{full:?}");
    assert_eq!(edge.get("other.com", "/"), "other");
    let mut text = String::new();
    first.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    edge.wait("a free place", || edge.get("app.com", "/") == "app");
}

#[test]
fn a_request_says_how_large_it_is_and_is_not_larger_than_the_label_says() {
    let edge = edge(&[("com.futuswarm.bodySize", "1 KiB")]);
    let post = |host: &str, headers: &str, body: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        edge.send(format!("{head}{body}").as_bytes())
    };
    let sized = |host: &str, size: usize| post(host, &format!("Content-Length: {size}\r\n"), &"x".repeat(size));
    let chunked = |host: &str| post(host, "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    for (answer, status, reason) in [
        (sized("app.com", 0), "200", None),
        (sized("app.com", 1024), "200", None),
        (sized("app.com", 1025), "413", Some("too-large")),
        (chunked("app.com"), "411", Some("no-length")),
        (post("app.com", "", ""), "200", None),
        (sized("other.com", 100_000), "200", None),
        (chunked("other.com"), "200", None),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        let says = reason.is_none_or(|reason| answer.contains(&format!("edge-answer: {reason}\r\n")));
        assert!(says, "{reason:?}: {answer}");
    }
    // Whoever only says so is answered at once. HAProxy then reads on for a while, so that nobody waits for the end; and who ends the
    // connection in mid-body has given up and need not be answered.
    let (mut stream, mut answer) = (edge.connect(), Vec::new());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: app.com\r\nContent-Length: 99999999999999\r\n\r\n").unwrap();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("edge-answer: too-large\r\n"), "{answer}");
    assert_eq!(edge.get("app.com", "/"), "app");
}

#[test]
fn no_service_has_all_of_an_edge_and_each_line_says_what_its_label_does() {
    let all = decided(&[
        ("app", &[("com.futuswarm.connections", "30"), ("com.futuswarm.timeoutConnect", "2")]),
        ("large", &[("com.futuswarm.bodySize", "2 GiB"), ("com.futuswarm.requestRate", "100000")]),
        ("two", &[("port.1", "80"), ("servicePath.2", "/api"), ("com.futuswarm.requestRate.2", "7")]),
        ("away", &[("com.futuswarm.maintenance", "true"), ("allowedMethods", "GET")]),
    ]);
    let config = render(&all, true, "/run/edge", Expressions::Compiled).unwrap().config;
    let backend = |name: &str| {
        let rest = config.split(&format!("\nbackend service-{name}\n")).nth(1).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    for (name, line, is_there) in [
        ("app", "if { be_conn gt 30 }", true),
        ("app", "timeout connect 2s", true),
        ("app", "stick-table", false),
        ("large", "if { be_conn gt 2000 }", true),
        ("large", "if { req.body_size gt 2147483648 }", true),
        ("large", "if { sc_http_req_rate(0) gt 100000 }", true),
        ("two.1", "stick-table", false),
        ("two.2", "if { sc_http_req_rate(0) gt 7 }", true),
        ("two.2", "timeout connect", false),
    ] {
        assert_eq!(backend(name).contains(line), is_there, "{name}: {line}");
    }
    assert_eq!(complaint(&all, true), None);
}
