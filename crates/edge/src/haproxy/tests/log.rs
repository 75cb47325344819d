//! The access log: an object for each request, whatever the request is, and nothing secret in it.

use std::io::Write as _;

use serde_json::Value;

use super::bench::Edge;
use super::*;

/// The log of so many requests.
fn logged(edge: &Edge, count: usize) -> Vec<Value> {
    edge.wait("the log", || edge.log().len() >= count);
    let lines = edge.log();
    assert_eq!(lines.len(), count, "{lines:?}");
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_else(|| panic!("no text {name}: {line}"))
}

fn number(line: &Value, name: &str) -> i64 {
    line[name].as_i64().unwrap_or_else(|| panic!("no number {name}: {line}"))
}

#[test]
fn each_request_is_told_with_its_app_and_without_its_query() {
    let all = decided(&[
        ("app", &[("redirectFromDomain", "old.com"), ("deniedMethods", "PUT")]),
        ("shop-api", &[("port.1", "80"), ("servicePath.1", "/"), ("port.2", "81"), ("servicePath.2", "/v2")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("shop-api", 1)]);
    let asked = [
        ("GET", "App.com:80", "/a/b?token=secret", ["app", "app.com", "/a/b"], (200, "--")),
        ("GET", "shop-api.com", "/v2/x?secret", ["shop-api", "shop-api.com", "/v2/x"], (200, "--")),
        ("GET", "old.com", "/x?y=secret", ["app", "old.com", "/x"], (301, "LR")),
        ("PUT", "app.com", "/x", ["app", "app.com", "/x"], (403, "PR")),
        ("TRACE", "app.com", "/x", ["", "app.com", "/x"], (405, "PR")),
        ("GET", "none.com", "/x", ["", "none.com", "/x"], (404, "LR")),
    ];
    for (index, (method, host, path, told, outcome)) in asked.into_iter().enumerate() {
        edge.ask(method, host, path, "");
        // The load balancer asks all the time.
        edge.ask("GET", "10.0.0.1", "/status", "");
        let line = logged(&edge, index + 1).remove(index);
        assert_eq!(["app", "host", "path"].map(|name| text(&line, name)), told, "{line}");
        assert_eq!((number(&line, "status"), text(&line, "state")), outcome, "{line}");
        assert_eq!((text(&line, "method"), text(&line, "user")), (method, ""), "{line}");
    }
    let lines = logged(&edge, asked.len());
    assert!(lines.iter().all(|line| !line.to_string().contains("secret")), "{lines:?}");
    let ids: BTreeSet<&str> = lines.iter().map(|line| text(line, "request_id")).collect();
    assert!(ids.len() == asked.len() && ids.iter().all(|id| id.len() == 36), "{ids:?}");
    let time = text(&lines[0], "time");
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
}

#[test]
fn a_line_and_the_app_know_a_request_by_the_same_id() {
    let edge = Edge::start(&decided(&[("app", &[])]), true, &[("app", 1)]);
    for (index, (headers, client)) in [
        ("", "127.0.0.1"),
        ("X-Request-ID: theirs\r\nx-request-id: theirs\r\nX_Request_ID: theirs\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", "1.2.3.4"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: \"x, 2001:db8::1\r\n", "2001:db8::1"),
        ("X-Forwarded-For: \"theirs\r\n", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = edge.ask("GET", "app.com", "/", headers);
        let line = logged(&edge, index + 1).remove(index);
        assert_eq!(answer.got("x-request-id"), [text(&line, "request_id")], "{headers}");
        assert_eq!((text(&line, "client"), text(&line, "peer")), (client, "127.0.0.1"), "{headers}");
        assert_eq!((text(&line, "task"), number(&line, "retries")), (answer.task(), 0), "{headers}");
        assert!(number(&line, "bytes_in") > i64::try_from(headers.len()).unwrap(), "{line}");
        assert!(number(&line, "bytes_out") > i64::try_from(answer.body.len()).unwrap(), "{line}");
        for name in ["queue_ms", "connect_ms", "response_ms", "total_ms"] {
            assert!((0..30_000).contains(&number(&line, name)), "{name}: {line}");
        }
    }
}

#[test]
fn why_a_request_failed_is_told() {
    let all = decided(&[("app", &[("timeoutServer", "1")]), ("gone", &[])]);
    let edge = Edge::start(&all, true, &[("app", 1)]);
    for (index, (host, headers, outcome)) in
        [("app.com", "X-Wait: 5000\r\n", (504, "sH")), ("gone.com", "", (503, "SC"))].into_iter().enumerate()
    {
        edge.ask("GET", host, "/", headers);
        let line = logged(&edge, index + 1).remove(index);
        assert_eq!((number(&line, "status"), text(&line, "state")), outcome, "{line}");
        assert_eq!((number(&line, "response_ms"), text(&line, "app")), (-1, &host[..host.len() - 4]), "{line}");
    }
}

#[test]
fn no_request_writes_anything_but_one_well_formed_line() {
    let edge = Edge::start(&decided(&[("app", &[])]), true, &[("app", 1)]);
    let app = |line: &str| format!("{line}\r\nHost: app.com\r\n\r\n").into_bytes();
    let quotes = "\"".repeat(8000);
    let long = format!("/{}", &quotes[..1023]);
    let requests = [
        (app("GET /a\"b\\c/{}%22%0a?q=\" HTTP/1.1"), "/a\"b\\c/{}%22%0a"),
        (app(&format!("GET /{quotes} HTTP/1.1")), long.as_str()),
        (app(&format!("{} /m HTTP/1.1", "M".repeat(3000))), "/m"),
        (app("OPTIONS * HTTP/1.1"), ""),
        (app("GET /ä HTTP/1.1"), ""),
        (b"GET / HTTP/1.1\r\nHost: app\xff\"\\.com\r\n\r\n".to_vec(), ""),
        (b"GET /h HTTP/1.1\r\nHost: app.com\r\nX-Forwarded-For: \xff\"\r\nX-Request-ID: \xff\"\r\n\r\n".to_vec(), "/h"),
        (format!("GET /long HTTP/1.1\r\nHost: {}\r\n\r\n", "%".repeat(9000)).into_bytes(), "/long"),
        (b"\0\x01\xff\"}\r\n\r\n".to_vec(), ""),
        (b"GET / HTTP/1.1\r\nHo".to_vec(), ""),
    ];
    for (index, (bytes, path)) in requests.iter().enumerate() {
        edge.send(bytes);
        let line = logged(&edge, index + 1).remove(index);
        assert_eq!(text(&line, "path"), *path, "{}", bytes.escape_ascii());
    }
    let over_http2: [(&[u8], &[u8], &str, i64); 4] = [
        (b"app.com", b"/x\"?q=1", "/x\"", 200),
        (b"app.com", b"/x\xff\xc3\"", "", 400),
        (b"app.com", b"/x?q=\xff", "", 400),
        (b"app.com\xff\"", b"/x", "", 0),
    ];
    for (index, (host, path, told, status)) in (requests.len()..).zip(over_http2) {
        let mut stream = edge.connect();
        stream.write_all(&h2::get(host, path)).unwrap();
        let line = logged(&edge, index + 1).remove(index);
        assert_eq!((text(&line, "path"), number(&line, "status")), (told, status), "{}", path.escape_ascii());
    }
    // A pipe takes as much at once, whoever else writes into it.
    let longest = edge.log().iter().map(String::len).max();
    assert!(longest < Some(4096) && longest > Some(2000), "{longest:?}");
}
