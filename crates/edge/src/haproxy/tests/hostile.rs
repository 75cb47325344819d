//! What somebody who means harm gets: no request that the edge has not looked at, no identity of his own choice, no cookie of the login.

use super::bench::Edge;
use super::*;

fn edge() -> Edge {
    Edge::start(&decided(&[("app", &[]), ("other", &[])]), true, &[("app", 1), ("other", 1)])
}

/// What is smuggled behind another request, and would say who asks.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: app.com\r\nRemote-User: ada\r\n\r\n";

/// The statuses of all answers that came back for these bytes.
fn statuses(edge: &Edge, bytes: &[u8]) -> Vec<String> {
    let text = edge.send(bytes);
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer.chars().take(3).collect()).collect()
}

/// Requests of which two programs could think differently where they end: one answer for each that a task sees, and none of them says
/// who asks.
#[test]
fn nothing_is_smuggled_past_the_edge() {
    let edge = edge();
    let body = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: app.com\r\n{headers}\r\n{body}");
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + SECOND.len());
    let chunk = format!("{:x}\r\n{SECOND}\r\n0\r\n\r\n", SECOND.len());
    let behind = format!("0\r\n\r\n{SECOND}");
    let length = format!("Content-Length: {}\r\n", SECOND.len());
    for (bytes, status) in [
        (body(&both, &behind), "200"),
        (body("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &chunk), "200"),
        (body("Transfer-Encoding : chunked\r\n", &behind), "400"),
        (body("Transfer-Encoding: xchunked\r\n", &behind), "400"),
        (body("Transfer-Encoding: chunked, identity\r\n", &behind), "400"),
        (body("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &behind), "400"),
        (body("Transfer-Encoding:\u{b}chunked\r\n", &behind), "400"),
        (body(&format!("Content-Length: 0\r\n{length}"), SECOND), "400"),
        (body("Content-Length: +0\r\n", SECOND), "400"),
        (body("Content-Length: 0x0\r\n", SECOND), "400"),
        (body("Content-Length: 0, 5\r\n", SECOND), "400"),
        (body("X: a\rRemote-User: ada\r\n", ""), "400"),
        (body("X: a\0b\r\n", ""), "400"),
        (body("Remote-User : ada\r\n", ""), "400"),
        (body("Remote-User ada\r\n", ""), "400"),
        (body(": ada\r\n", ""), "400"),
        (body("X: a\r\n Remote-User: ada\r\n", ""), "200"),
        ("GET / HTTP/1.1\r\n Remote-User: ada\r\nHost: app.com\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\nHost: app.com\nRemote-User: ada\n\n".to_owned(), "200"),
        (format!("GET / HTTP/1.1\r\nHost: app.com\r\n{length}\r\n{SECOND}"), "200"),
        (format!("GET / HTTP/1.0\r\nHost: app.com\r\nConnection: keep-alive\r\n\r\n{SECOND}"), "200"),
        (format!("POST / HTTP/1.0\r\nHost: app.com\r\nTransfer-Encoding: chunked\r\n\r\n{behind}"), "200"),
        (format!("GET / HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "200"),
        (format!("GET /\r\n\r\n{SECOND}"), "400"),
        (format!("GET /a b HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "400"),
        (format!("GET /a#b HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "400"),
        (format!("GET /\u{1} HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "400"),
        (format!("GET /ä HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "400"),
        (format!("GET a HTTP/1.1\r\nHost: app.com\r\n\r\n{SECOND}"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: app.com\r\nX: {}\r\n\r\n", "a".repeat(64 << 10)), "400"),
        (format!("GET / HTTP/1.1\r\nHost: app.com\r\n{}\r\n", "X: a\r\n".repeat(200)), "400"),
    ] {
        let told = statuses(&edge, bytes.as_bytes());
        let start = bytes.chars().take(150).collect::<String>();
        // Of a head that is far too long the answer may be lost with the connection.
        assert!(told.first().is_none_or(|first| first == status), "{told:?}: {start:?}");
        assert!(!told.is_empty() || bytes.len() > 60_000, "no answer: {start:?}");
        let seen = edge.seen();
        assert_eq!(seen.len(), told.iter().filter(|one| *one == "200").count(), "{seen:?}: {start:?}");
        for head in seen {
            let says_who = head.lines().any(|line| line.to_ascii_lowercase().starts_with("remote-user"));
            assert!(!says_who, "{head}: {start:?}");
        }
    }
    assert_eq!(edge.get("app.com", "/"), "app");
}

#[test]
fn there_is_one_host_in_a_request() {
    let edge = edge();
    for (request, status, service) in [
        ("GET / HTTP/1.1\r\nHost: app.com\r\nHost: other.com\r\n", "400", ""),
        ("GET / HTTP/1.1\r\nHost: app.com\r\nHost: app.com\r\n", "200", "app"),
        ("GET / HTTP/1.1\r\nHost: app.com, other.com\r\n", "400", ""),
        ("GET / HTTP/1.1\r\nHost: app.com other.com\r\n", "400", ""),
        ("GET / HTTP/1.1\r\nHost: app.com:@other.com\r\n", "400", ""),
        ("GET / HTTP/1.1\r\nHost: other.com/app.com\r\n", "400", ""),
        ("GET http://other.com/ HTTP/1.1\r\nHost: app.com\r\n", "400", ""),
        ("GET http://app.com@other.com/ HTTP/1.1\r\nHost: app.com\r\n", "400", ""),
        ("GET http://app.com/x HTTP/1.1\r\nHost: app.com\r\n", "200", "app"),
        ("GET / HTTP/1.1\r\nHost: nobody.com\r\nX-Forwarded-Host: app.com\r\n", "404", ""),
        ("GET / HTTP/1.1\r\n", "404", ""),
        ("GET / HTTP/1.0\r\n", "404", ""),
        ("CONNECT app.com:80 HTTP/1.1\r\nHost: app.com:80\r\n", "405", ""),
        ("TRACE / HTTP/1.1\r\nHost: app.com\r\n", "405", ""),
    ] {
        let text = edge.send(format!("{request}\r\n").as_bytes());
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {text}");
        let seen = edge.seen();
        assert_eq!(seen.len(), usize::from(status == "200"), "{request:?}");
        assert!(seen.iter().all(|head| head.contains(&format!("host: {service}.com"))), "{request:?}: {seen:?}");
    }
}

/// What says who asks, or from where, in the spellings that programs take for each other.
pub(super) const IDENTITY: [&str; 39] = [
    "Remote-User",
    "REMOTE-USER",
    "remote-user",
    "X-Remote-User",
    "X-Remote-Groups",
    "Remote-Email",
    "X-Edge-User",
    "Edge-Groups",
    "X-EDGE-TOKEN",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Prefix",
    "X-Forwarded-For-Original",
    "Forwarded",
    "X-Forwarded",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "OIDC-CLAIM-email",
    "oidc-access-token",
    "X-Amzn-Mtls-Clientcert",
    "X-Real-IP",
    "Client-IP",
    "X-Client-Ip",
    "True-Client-IP",
    "X-Cluster-Client-Ip",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-Url",
    "Proxy",
    "Edge-Token",
    "Remote-Name",
];
pub(super) const SPELLED: [&str; 10] = [
    "remote_user",
    "REMOTE_USER",
    "Remote.User",
    "Remote-User.",
    "X_Edge_User",
    "X-Edge_Token",
    "OIDC_CLAIM_email",
    "HTTP_REMOTE_USER",
    "x_forwarded_user",
    "anything_at_all",
];

#[test]
fn who_somebody_is_cannot_be_said_from_outside() {
    let edge = edge();
    let names: Vec<&str> = IDENTITY.into_iter().chain(SPELLED).collect();
    let alone = names.iter().map(|name| edge.ask("GET", "app.com", "/", &format!("{name}: somebody\r\n")));
    let together: String = names.iter().map(|name| format!("{name}: somebody\r\n")).collect();
    for answer in alone.chain([edge.ask("GET", "app.com", "/", &together)]) {
        assert_eq!(answer.service(), "app");
        assert!(!answer.body.contains("somebody"), "{answer:?}");
    }
    // Nor can somebody have a header taken away by whoever reads it next.
    let named = "Connection: close, X-Kept\r\nX-Kept: 1\r\nHTTP2-Settings: AAMA\r\n";
    let answer = edge.ask("GET", "app.com", "/", named);
    assert_eq!((answer.got("x-kept"), answer.got("connection")), (vec!["1"], vec!["close"]));
    assert!(answer.got("http2-settings").is_empty(), "{answer:?}");
    let harmless = "Remote: 1\r\nX-Remote: 1\r\nProxy-X: 1\r\nX-Oidc: 1\r\nAuthorization: Basic x\r\nSec-Fetch-Site: same-origin\r\n";
    let answer = edge.ask("GET", "app.com", "/", harmless);
    for name in ["remote", "x-remote", "proxy-x", "x-oidc", "authorization", "sec-fetch-site"] {
        assert_eq!(answer.got(name).len(), 1, "{name}: {answer:?}");
    }
}

/// HAProxy passes them on and looks at none of them; programs take them for headers only when somebody wrote them so.
#[test]
fn what_a_trailer_says_of_who_asks_is_not_among_the_headers() {
    let edge = edge();
    let head = "POST / HTTP/1.1\r\nHost: app.com\r\nTransfer-Encoding: chunked\r\nTrailer: Remote-User\r\n";
    let text = edge.send(format!("{head}\r\n0\r\nRemote-User: ada\r\nX-Last: 0\r\n\r\n").as_bytes());
    assert!(text.ends_with("\n\n0\r\nremote-user: ada\r\nx-last: 0\r\n\r\n"), "{text}");
    let seen = edge.seen();
    let [head] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(!head.contains("remote-user: "), "{head}");
}

/// When this fails, trailers can go as the headers go: put the option into the template, and say so in `docs/routing.md`.
#[test]
fn this_haproxy_has_no_way_to_take_trailers_away() {
    let dir = tempfile::tempdir().unwrap();
    let Rendered { config, map } = render(&Routes::default(), true, "/run/edge", Expressions::Compiled).unwrap();
    let config = config.replace("option dontlognull", "option http-drop-request-trailers");
    let said = said_of(dir.path(), &Rendered { config, map }).unwrap_or_default();
    assert!(said.contains("unknown option 'http-drop-request-trailers'"), "{said}");
}

#[test]
fn no_label_sets_what_the_edge_takes_away() {
    for name in IDENTITY.into_iter().chain(SPELLED) {
        for label in ["setReqHeader", "addReqHeader", "addResHeader", "setResHeader"] {
            let one = service("app", &[(label, &format!("{name} ada"))]);
            assert!(crate::check(&one.labels).is_err(), "{label} {name}");
        }
        let one = service("app", &[("delReqHeader", name)]);
        assert!(crate::check(&one.labels).is_err(), "{name}");
    }
}

#[test]
fn what_the_load_balancer_says_arrives_once() {
    let edge = edge();
    for (headers, address, scheme) in [
        ("", "127.0.0.1", "http"),
        ("X-Forwarded-For: 6.6.6.6\r\n", "6.6.6.6", "http"),
        ("X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-Proto: https\r\n", "1.2.3.4", "https"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: x, http\r\n", "1.2.3.4", "http"),
        // A quote that opens and never closes hides no comma.
        ("X-Forwarded-For: \"6.6.6.6, 1.2.3.4\r\nX-Forwarded-Proto: \"http, https\r\n", "1.2.3.4", "https"),
        ("X-Forwarded-For: 6.6.6.6 \", 1.2.3.4\r\nX-Forwarded-Proto: https \", http\r\n", "1.2.3.4", "http"),
        ("x-forwarded-proto: evil\r\nX_Forwarded_Proto: https\r\n", "127.0.0.1", "http"),
    ] {
        let answer = edge.ask("GET", "app.com", "/", headers);
        assert_eq!(answer.got("x-forwarded-for"), [address], "{headers}");
        assert_eq!(answer.got("x-forwarded-proto"), [scheme], "{headers}");
    }
    for ports in ["1\r\nX-Forwarded-Port: 443", "1, 443", "\"1, 443"] {
        let answer = edge.ask("GET", "app.com", "/", &format!("X-Forwarded-Port: {ports}\r\n"));
        assert_eq!(answer.got("x-forwarded-port"), ["443"], "{ports}");
    }
}

#[test]
fn cookies_of_the_login_reach_no_app() {
    let edge = edge();
    for (cookie, left) in [
        ("a=1; __Host-sso=x; b=2", "a=1; b=2"),
        ("__Host-sso=x; a=1", "a=1"),
        ("__Host-sso=x", ""),
        ("__Host-sso", ""),
        ("a=1;__Host-sso=x;__Host-sso_2=y;__Host-sso-state-z=1", "a=1"),
        ("a=1, __Host-sso=x", "a=1"),
        ("a=1;  __host-SSO = x;b=2", "a=1;b=2"),
        ("__Secure-sso=1; c=3", "c=3"),
        ("a=1; __Host-sso=x,y,z=1; b=2", "a=1; b=2"),
        ("a=\"x; __Host-sso=y\"; b=1", "a=\"x; b=1"),
        ("x__Host-sso=1; __Host-other=2", "x__Host-sso=1; __Host-other=2"),
        ("a=1; b=2", "a=1; b=2"),
    ] {
        let answer = edge.ask("GET", "app.com", "/", &format!("Cookie: {cookie}\r\n"));
        assert_eq!(answer.got("cookie").concat(), left, "{cookie}");
        assert_eq!(answer.got("cookie").len(), usize::from(!left.is_empty()), "{cookie}");
    }
    let lines = "Cookie: a=1\r\nCookie: __Host-sso=x\r\n";
    assert!(edge.ask("GET", "app.com", "/", lines).got("cookie").is_empty());
    assert_eq!(edge.ask("GET", "app.com", "/", "Cookie: a=1\r\nCookie: b=2\r\n").got("cookie"), ["a=1", "b=2"]);
    for long in ["x".repeat(14_000), "; ".repeat(7_000), " ".repeat(14_000)] {
        let answer = edge.ask("GET", "app.com", "/", &format!("Cookie: __Host-sso=1;{long}; b=2\r\n"));
        let cookie = answer.got("cookie").concat();
        assert!(cookie.ends_with("b=2") && !cookie.contains("__Host"), "{}", answer.status);
    }
}

#[test]
fn no_app_sets_a_cookie_of_the_login() {
    let edge = edge();
    for (cookie, arrives) in [
        ("__Host-sso=evil; Path=/; Secure", false),
        ("__host-sso=evil", false),
        ("__Host-sso_2=evil", false),
        ("__Host-sso-state-x=", false),
        ("=__Host-sso=evil", false),
        ("__Host-sso", false),
        ("__Secure-sso=evil", false),
        ("a=1; Expires=Thu, 01 Jan 2032 00:00:00 GMT", true),
        ("__Host-own=1; Path=/; Secure", true),
    ] {
        let headers = format!("X-Answer: Set-Cookie: q=1\r\nX-Answer: Set-Cookie: {cookie}\r\n");
        let answer = edge.ask("GET", "app.com", "/", &headers);
        let expected = if arrives { vec!["q=1", cookie] } else { Vec::new() };
        assert_eq!(answer.header("set-cookie"), expected, "{cookie}");
    }
}

/// Cookies of a whole domain are cleared at the word of any host below it.
#[test]
fn no_app_clears_the_cookies_of_others() {
    let edge = edge();
    for (cleared, arrives) in
        [("\"cookies\"", false), ("\"cache\", \"Cookies\"", false), ("\"*\"", false), ("\"cache\", \"storage\"", true)]
    {
        let answer = edge.ask("GET", "app.com", "/", &format!("X-Answer: Clear-Site-Data: {cleared}\r\n"));
        let expected = if arrives { vec![cleared] } else { Vec::new() };
        assert_eq!(answer.header("clear-site-data"), expected, "{cleared}");
    }
}

/// Whatever an app looks for at the beginning of a path is there.
#[test]
fn an_app_is_asked_for_a_path_and_never_for_a_whole_url() {
    let edge = edge();
    for (asked, path) in [
        ("http://app.com/x?y=/z", "/x?y=/z"),
        ("https://app.com:443//x", "//x"),
        ("HTTP://APP.com/x", "/x"),
        ("http://app.com", "/"),
        ("/x?to=http://other.com/", "/x?to=http://other.com/"),
    ] {
        assert_eq!(edge.ask("GET", "app.com", asked, "").asked(), format!("GET {path} HTTP/1.1"), "{asked}");
    }
}

#[test]
fn only_a_websocket_is_a_tunnel() {
    let edge = edge();
    for headers in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: tls/1.0\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Upgrade: websocket\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
    ] {
        edge.send(format!("GET / HTTP/1.1\r\nHost: app.com\r\n{headers}\r\n").as_bytes());
        for head in edge.seen() {
            assert!(!head.contains("upgrade"), "{head}: {headers}");
        }
    }
}
