//! What people and programs get where no task answers.

use super::bench::{Answer, Edge};
use super::*;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/json;q=0.5,*/*;q=0.1\r\n";
const PROGRAM: &str = "Accept: application/problem+json, text/plain, */*\r\n";

/// Status, reason and seconds until another try.
fn told(answer: &Answer) -> (&str, String, String) {
    (&answer.status, answer.header("edge-answer").concat(), answer.header("retry-after").concat())
}

fn of(status: &str, reason: &str, again: &str) -> (String, String, String) {
    (status.to_owned(), reason.to_owned(), again.to_owned())
}

/// The same for a browser, for a program, and for who asks for the head only.
fn check(edge: &Edge, host: &str, expected: &(String, String, String), says: &str) {
    let expected = (expected.0.as_str(), expected.1.clone(), expected.2.clone());
    for headers in [BROWSER, "", "Accept: */*\r\n"] {
        let page = edge.ask("GET", host, "/", headers);
        assert_eq!(told(&page), expected, "{headers}");
        assert_eq!(page.header("content-type"), ["text/html; charset=utf-8"]);
        assert_eq!(page.header("cache-control"), ["no-store"]);
        assert!(page.body.starts_with("<!DOCTYPE html>") && page.body.ends_with("</html>\n"), "{page:?}");
        assert!(page.body.contains(says) && page.body.contains(expected.1.as_str()), "{page:?}");
    }
    for accept in [PROGRAM, "Accept: application/JSON\r\n", "Accept: text/plain\r\nAccept: application/json\r\n"] {
        let answer = edge.ask("GET", host, "/", accept);
        assert_eq!(told(&answer), expected, "{accept}");
        assert_eq!(answer.header("content-type"), ["application/json"]);
        let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["status"].to_string(), expected.0);
        assert_eq!(document["error"], expected.1.as_str());
        assert!(document["message"].as_str().unwrap().contains(says), "{document}");
    }
    let head = edge.ask("HEAD", host, "/", BROWSER);
    assert_eq!((told(&head), head.body.as_str()), (expected, ""));
}

#[test]
fn a_name_that_nobody_has_is_told_to_people_and_to_programs() {
    let all = routes(vec![route("one", &[("one.com", "/only")])]);
    let edge = Edge::start(&all, true, &[("one", 1)]);
    check(&edge, "nobody.com", &of("404", "no-app", ""), "No app is served here as nobody.com, ");
    check(&edge, "one.com", &of("404", "no-app", ""), "or none has this path");
    assert_eq!(edge.get("one.com", "/only"), "one");
}

/// A name comes from whoever made the link that somebody follows.
#[test]
fn a_name_is_shown_as_text_whatever_is_in_it() {
    let edge = Edge::start(&Routes::default(), true, &[]);
    for host in ["<script>alert(1)</script>", "a\"b.com", "a'b&amp;.com", "a%3Cb.com", "\\u003cb", "%[env(HOME)]"] {
        for headers in [BROWSER, PROGRAM] {
            let answer = edge.ask("GET", host, "/", headers);
            // What is no name at all HAProxy may refuse by itself.
            if answer.status == "404" {
                let message = answer.body.split("served here as ").nth(1).unwrap().split(", or none").next().unwrap();
                let plain = |c: char| c.is_ascii_alphanumeric() || "%.-_~+".contains(c);
                assert!(message.chars().all(plain), "{answer:?}");
            } else {
                assert_eq!(answer.status, "400", "{answer:?}");
            }
        }
    }
}

#[test]
fn an_app_without_tasks_says_so_and_when_to_come_back() {
    let all = routes(vec![route("one", &[("one.com", "/")]), route("two", &[("two.com", "/")])]);
    let edge = Edge::start(&all, true, &[("two", 1)]);
    check(&edge, "one.com", &of("503", "no-task", "5"), "one.com: no task of this app takes requests");
    assert_eq!(edge.get("two.com", "/"), "two");
    let large = edge.ask("POST", "one.com", "/", "Content-Length: 0\r\n");
    assert_eq!(told(&large), ("503", "no-task".to_owned(), "5".to_owned()));
}

#[test]
fn an_edge_that_lacks_routes_does_not_say_that_there_is_no_such_app() {
    let edge = Edge::start(&routes(vec![route("one", &[("one.com", "/")])]), false, &[("one", 1)]);
    check(&edge, "late.com", &of("503", "starting", "5"), "late.com: this node has just started");
    assert_eq!((edge.get("one.com", "/"), edge.get("10.0.0.1", "/status")), ("one".to_owned(), "503".to_owned()));
}

#[test]
fn a_task_that_is_late_or_talks_nonsense_is_told_apart_from_the_app() {
    let edge = Edge::start(&decided(&[("app", &[("timeoutServer", "1")])]), true, &[("app", 1)]);
    let late = edge.ask("GET", "app.com", "/", "X-Wait: 8000\r\n");
    assert_eq!(told(&late), ("504", "late".to_owned(), String::new()));
    // Two lengths that contradict each other.
    let bad = edge.ask("GET", "app.com", "/", "X-Answer: Content-Length: 99999\r\n");
    assert_eq!(told(&bad), ("502", "bad-answer".to_owned(), String::new()));
    assert!(bad.body.contains("app.com: the app hung up"), "{bad:?}");
}

#[test]
fn no_app_passes_off_an_answer_as_the_edges() {
    let edge = Edge::start(&decided(&[("app", &[])]), true, &[("app", 1)]);
    let headers = format!("{PROGRAM}X-Answer: Edge-Answer: no-task\r\nX-Answer: Content-Type: text/plain\r\n");
    let answer = edge.ask("GET", "app.com", "/", &headers);
    assert_eq!((answer.service(), answer.header("content-type")), ("app", vec!["text/plain"]));
    assert!(answer.header("edge-answer").is_empty(), "{answer:?}");
}

#[test]
fn an_app_in_maintenance_says_so_and_its_tasks_are_left_alone() {
    let text = "Zurück um 14:00, 100% sicher: that's $HOME, #1 {2} [3].";
    let closed = |value: &str| {
        decided(&[
            ("app", &[("com.futuswarm.maintenance", value), ("com.futuswarm.maintenanceText", text)]),
            ("api", &[("port.1", "80"), ("servicePath.2", "/api"), ("com.futuswarm.maintenance.2", value)]),
        ])
    };
    let edge = Edge::start(&closed("true"), true, &[("app", 1), ("api", 1)]);
    check(&edge, "app.com", &of("503", "maintenance", "60"), &format!("app.com is in maintenance. {text}"));
    assert_eq!(edge.seen(), Vec::<String>::new());
    assert_eq!((edge.get("api.com", "/"), edge.get("api.com", "/api/x")), ("api".to_owned(), "503".to_owned()));
    let page = edge.ask("GET", "api.com", "/api", BROWSER);
    assert!(page.body.contains("<p>api.com is in maintenance.</p>"), "{page:?}");
    edge.reload(&closed("false"), true);
    edge.wait("the end of the maintenance", || edge.get("app.com", "/") == "app");
    assert_eq!(edge.get("api.com", "/api"), "api");
}
