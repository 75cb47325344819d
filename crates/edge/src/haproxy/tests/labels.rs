//! What a request gets for each label that is honoured: from the labels of services to the answers of a real HAProxy.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::bench::{Answer, Edge};
use super::*;

/// What the load balancer says of a request that has come over HTTPS.
const HTTPS: &str = "X-Forwarded-Proto: https\r\n";

/// An edge with one service, `app`, with these labels and one task.
fn edge(pairs: &[(&str, &str)]) -> Edge {
    Edge::start(&decided(&[("app", pairs)]), true, &[("app", 1)])
}

fn get(edge: &Edge, path: &str, headers: &str) -> Answer {
    edge.ask("GET", "app.com", path, headers)
}

#[test]
fn paths_that_are_excluded_are_left_to_others() {
    let all = decided(&[
        ("app", &[("servicePath", "/,/deep/er/still"), ("servicePathExclude", "/admin,/deep/er")]),
        ("admin", &[("serviceDomain", "app.com"), ("servicePath", "/admin/only")]),
        ("star", &[("serviceDomain", "star.com,*.star.com,x.star.com"), ("servicePathExclude", "/private")]),
        ("private", &[("serviceDomain", "x.star.com"), ("servicePath", "/private/x")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("admin", 1), ("star", 1), ("private", 1)]);
    for (host, path, expected) in [
        ("app.com", "/", "app"),
        ("app.com", "/administration", "app"),
        ("app.com", "/admin", "404"),
        ("app.com", "/admin/", "404"),
        ("app.com", "/admin?x", "404"),
        ("app.com", "/admin/only", "admin"),
        ("app.com", "/admin/only/x", "admin"),
        ("app.com", "/admin/onlyx", "404"),
        ("app.com", "/deep", "app"),
        ("app.com", "/deep/er", "404"),
        ("app.com", "/deep/er/still", "404"),
        ("y.star.com", "/", "star"),
        ("y.star.com", "/private", "404"),
        ("x.star.com", "/private/x", "private"),
        ("x.star.com", "/private", "404"),
    ] {
        assert_eq!(edge.get(host, path), expected, "{host}{path}");
    }
}

#[test]
fn a_star_is_every_name_one_label_below_that_nobody_names() {
    let all = decided(&[
        ("blog", &[("serviceDomain", "blog.com,*.blog.com")]),
        ("api", &[("serviceDomain", "blog.com"), ("servicePath", "/api"), ("serviceDomainAlgo", "hdr_dom(host)")]),
        ("ann", &[("serviceDomain", "ann.blog.com"), ("servicePath", "/only")]),
        ("page", &[]),
    ]);
    let edge = Edge::start(&all, true, &[("blog", 1), ("api", 1), ("ann", 1), ("page", 1)]);
    for (host, path, expected) in [
        ("blog.com", "/", "blog"),
        ("x.blog.com", "/", "blog"),
        ("X.Blog.Com.:443", "/x", "blog"),
        ("x.blog.com", "/api/y", "api"),
        ("x.blog.com", "/apis", "blog"),
        ("ann.blog.com", "/only", "ann"),
        ("ann.blog.com", "/other", "blog"),
        ("ann.blog.com", "/api", "api"),
        ("x.y.blog.com", "/", "404"),
        ("xblog.com", "/", "404"),
        ("com", "/", "404"),
        ("page.com", "/", "page"),
        ("x.page.com", "/", "404"),
    ] {
        assert_eq!(edge.get(host, path), expected, "{host}{path}");
    }
}

#[test]
fn numbered_destinations_have_paths_and_rules_of_their_own() {
    let edge = edge(&[
        ("port.1", "80"),
        ("servicePath.2", "/api"),
        ("allowedMethods.2", "POST"),
        ("serviceDomain.3", "other.com"),
        ("denyHttp.3", "true"),
    ]);
    assert_eq!((edge.get("app.com", "/x"), edge.get("app.com", "/api")), ("app".to_owned(), "403".to_owned()));
    assert_eq!(edge.ask("POST", "app.com", "/api", "Content-Length: 0\r\n").service(), "app");
    assert_eq!((edge.get("other.com", "/"), edge.get("other.com", "/api")), ("403".to_owned(), "403".to_owned()));
    assert_eq!(edge.ask("GET", "other.com", "/api", HTTPS).service(), "app");
}

#[test]
fn a_request_without_tls_is_sent_to_where_there_is_some() {
    let all = decided(&[
        ("app", &[("httpsOnly", "true")]),
        ("code", &[("redirectWhenHttpProto", "true"), ("httpsRedirectCode", "308"), ("allowedMethods", "GET")]),
        ("deny", &[("denyHttp", "true")]),
        ("entry", &[("srcPort", "443")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("code", 1), ("deny", 1), ("entry", 1)]);
    let answer = edge.ask("GET", "App.com.:80", "/a//b?c=d&e", "");
    assert_eq!((answer.status.as_str(), answer.header("location")), ("302", vec!["https://app.com/a//b?c=d&e"]));
    let answer = edge.ask("POST", "code.com", "/x", "Content-Length: 0\r\n");
    assert_eq!((answer.status.as_str(), answer.header("location")), ("308", vec!["https://code.com/x"]));
    for host in ["deny.com", "entry.com"] {
        assert_eq!(edge.get(host, "/"), "403", "{host}");
    }
    for host in ["app.com", "code.com", "deny.com", "entry.com"] {
        // The last word is the load balancer's own, wherever it puts it.
        for (headers, served) in [
            (HTTPS, true),
            ("X-Forwarded-Proto: HTTPS\r\n", true),
            ("X-Forwarded-Proto: http, https\r\n", true),
            ("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", true),
            ("X-Forwarded-Proto: https, http\r\n", false),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", false),
            ("X-Forwarded-Proto: httpss\r\n", false),
            ("X-Forwarded-Ssl: on\r\nForwarded: proto=https\r\n", false),
        ] {
            assert_eq!(edge.ask("GET", host, "/", headers).status == "200", served, "{host} {headers}");
        }
    }
}

#[test]
fn a_host_leads_to_the_first_of_the_service() {
    let all = decided(&[
        ("app", &[("serviceDomain", "www.app.com,app.org"), ("redirectFromDomain", "app.com,Old.com")]),
        ("api", &[("serviceDomain", "app.com"), ("servicePath", "/api")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("api", 1)]);
    for (host, path, headers, location) in [
        ("app.com", "/", "", "http://www.app.com/"),
        ("OLD.com:8080", "/a/b?c=d", "", "http://www.app.com/a/b?c=d"),
        ("old.com.", "//evil.com/x", HTTPS, "https://www.app.com//evil.com/x"),
    ] {
        let answer = edge.ask("GET", host, path, headers);
        assert_eq!((answer.status.as_str(), answer.header("location")), ("301", vec![location]), "{host}{path}");
    }
    assert_eq!((edge.get("app.com", "/api/x"), edge.get("app.org", "/")), ("api".to_owned(), "app".to_owned()));
    assert_eq!(edge.get("x.old.com", "/"), "404");
}

#[test]
fn methods_are_allowed_and_denied() {
    let all = decided(&[("app", &[("allowedMethods", "GET,PURGE")]), ("deny", &[("deniedMethods", "POST,delete")])]);
    let edge = Edge::start(&all, true, &[("app", 1), ("deny", 1)]);
    for (method, allowed, denied) in [
        ("GET", "200", "200"),
        ("PURGE", "200", "200"),
        ("POST", "403", "403"),
        ("DELETE", "403", "403"),
        ("HEAD", "403", "200"),
        ("OPTIONS", "403", "200"),
        ("get", "403", "200"),
    ] {
        let status = |host: &str| edge.ask(method, host, "/", "Content-Length: 0\r\n").status;
        assert_eq!((status("app.com").as_str(), status("deny.com").as_str()), (allowed, denied), "{method}");
    }
}

#[test]
fn paths_are_rewritten_on_their_way_to_a_task() {
    let all = decided(&[
        ("app", &[("reqPathSearchReplace", "^/old/([^/]+)/(.*)$,/new/\\2/\\1:\\.PHP$,.html,i:/x,/y,g")]),
        ("cut", &[("reqPathSearch", "^/api/(.*)"), ("reqPathReplace", "\\1"), ("servicePath", "/api,/none")]),
        ("all", &[("reqPathSearchReplace", "^/.*,")]),
        ("odd", &[("reqPathSearchReplace", "/[$]\\$%20[(](a)[)],/@&;=!+~%41\\0")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("cut", 1), ("all", 1), ("odd", 1)]);
    for (host, path, expected) in [
        ("app.com", "/old/a/b/c?q=/old/a/b", "/new/b/c/a?q=/old/a/b"),
        ("app.com", "/index.pHp", "/index.html"),
        ("app.com", "/x/x/xx", "/y/y/yx"),
        ("app.com", "/other", "/other"),
        ("cut.com", "/api/v1", "/v1"),
        ("cut.com", "/api/", "/"),
        ("cut.com", "/api///evil.com", "//evil.com"),
        ("cut.com", "/none/api/x", "/none/api/x"),
        ("all.com", "/a/b?c", "/?c"),
        ("odd.com", "/$$%20(a)/z", "/@&;=!+~%41/$$%20(a)/z"),
    ] {
        let answer = edge.ask("GET", host, path, "");
        assert_eq!(answer.asked(), format!("GET {expected} HTTP/1.1"), "{host}{path}");
    }
    let answer = edge.ask("OPTIONS", "all.com", "*", "");
    assert_eq!(answer.asked(), "OPTIONS * HTTP/1.1", "it has no path, and stays as it is");
}

/// Expressions that are read, with paths that are made to be slow.
#[test]
fn no_path_makes_a_rewrite_slow() {
    let all = decided(&[(
        "app",
        &[(
            "reqPathSearchReplace",
            "^/[^/]+/x.*y,/:^/([a-z]+)/([0-9]+)/(.*)z$,/\\1:a?a?a?aaaaaaaaaaaaaaaaaaab,/:/a[^x]*,/a\\0,g",
        )],
    )]);
    let edge = Edge::start(&all, true, &[("app", 1)]);
    for path in [
        format!("/{}", "a".repeat(14_000)),
        format!("/a/{}", "x".repeat(14_000)),
        format!("/a/1/{}", "z/".repeat(7_000)),
        "/a".repeat(7_000),
    ] {
        let started = Instant::now();
        // What grows too long is refused; the process goes on.
        let status = get(&edge, &path, "").status;
        assert!(started.elapsed() < Duration::from_secs(3), "{status} after {:?}: {}…", started.elapsed(), &path[..9]);
    }
    assert_eq!(edge.get("app.com", "/"), "app");
}

#[test]
fn headers_are_changed_on_both_ways() {
    let edge = edge(&[
        ("addReqHeader", "X-Added one,X-Added \"two \\\" words, $HOME #x 100%% {y} 'z' \\\\\""),
        ("setReqHeader", "X-Set ours"),
        ("delReqHeader", "X-Gone,Cookie"),
        ("addResHeader", "X-Back b,Set-Cookie \"a=b; Path=/\""),
        ("setResHeader", "Server edge,Content-Security-Policy \"default-src 'self'\""),
        ("delResHeader", "X-Powered-By"),
    ]);
    let headers = [
        "X-Added: zero\r\nX-Set: theirs\r\nx-set: theirs\r\nX-Gone: 1\r\nCookie: a=b\r\nX-Stays: 1\r\n",
        "X-Answer: Server: theirs\r\nX-Answer: X-Powered-By: them\r\nX-Answer: Set-Cookie: c=d\r\nX-Answer: X-Back: a\r\n",
    ];
    let answer = get(&edge, "/", &headers.concat());
    assert_eq!(answer.got("x-added"), ["zero", "one", "two \" words, $HOME #x 100% {y} 'z' \\"]);
    assert_eq!((answer.got("x-set"), answer.got("x-stays")), (vec!["ours"], vec!["1"]));
    assert!(answer.got("x-gone").is_empty() && answer.got("cookie").is_empty(), "{answer:?}");
    assert_eq!((answer.header("x-back"), answer.header("set-cookie")), (vec!["a", "b"], vec!["c=d", "a=b; Path=/"]));
    assert_eq!(answer.header("server"), ["edge"]);
    assert_eq!(answer.header("content-security-policy"), ["default-src 'self'"]);
    assert!(answer.header("x-powered-by").is_empty(), "{answer:?}");
}

#[test]
fn text_is_compressed_for_who_can_read_it() {
    let all = decided(&[
        ("app", &[("compressionAlgo", "gzip deflate")]),
        ("css", &[("compressionAlgo", "gzip"), ("compressionType", "text/css")]),
        ("not", &[("compressionAlgo", "identity")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("css", 1), ("not", 1)]);
    for (host, media, accepts, encoding) in [
        ("app.com", "text/html; charset=utf-8", "gzip", "gzip"),
        ("app.com", "text/html", "br, deflate", "deflate"),
        ("app.com", "text/html", "br", ""),
        ("app.com", "image/png", "gzip", ""),
        ("css.com", "text/css", "gzip", "gzip"),
        ("css.com", "text/html", "gzip", ""),
        ("not.com", "text/html", "gzip", ""),
    ] {
        let headers = format!("Accept-Encoding: {accepts}\r\nX-Answer: Content-Type: {media}\r\n");
        let answer = edge.ask("GET", host, "/", &headers);
        assert_eq!(answer.header("content-encoding").concat(), encoding, "{host} {media} {accepts}");
        let varies = answer.header("vary").iter().any(|vary| vary.eq_ignore_ascii_case("accept-encoding"));
        assert_eq!(varies, !encoding.is_empty(), "{host} {media} {accepts}");
    }
}

#[test]
fn a_browser_stays_with_its_task() {
    let all = decided(&[("app", &[("sessionType", "sticky-server")]), ("free", &[("balanceGroup", "roundrobin")])]);
    let edge = Edge::start(&all, true, &[("app", 4), ("free", 4)]);
    let mut tasks = BTreeSet::new();
    for _ in 0..12 {
        let first = get(&edge, "/", "Cookie: own=1\r\n");
        let cookies = first.header("set-cookie");
        let [cookie] = cookies.as_slice() else { panic!("{first:?}") };
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        assert!(pair.starts_with("futuswarm-app="), "{cookie}");
        for _ in 0..4 {
            let again = get(&edge, "/x", &format!("Cookie: own=1; {pair}\r\n"));
            assert_eq!((again.task(), again.got("cookie")), (first.task(), vec!["own=1"]));
            assert!(again.header("set-cookie").is_empty(), "{again:?}");
        }
        tasks.insert(first.task().to_owned());
    }
    assert!(tasks.len() > 1, "everybody is with {tasks:?}");
    let strange = get(&edge, "/", "Cookie: futuswarm-app=0123456789abcdef\r\n");
    assert_eq!((strange.status.as_str(), strange.header("set-cookie").len()), ("200", 1));
    let free: BTreeSet<String> = (0..8).map(|_| edge.task("free.com")).collect();
    assert_eq!(free.len(), 4, "one after the other");
    // As another edge, and this one after a reload.
    let pair = get(&edge, "/", "");
    let cookie = pair.header("set-cookie")[0].split(';').next().unwrap().to_owned();
    edge.reload(&all, true);
    for _ in 0..8 {
        assert_eq!(get(&edge, "/", &format!("Cookie: {cookie}\r\n")).task(), pair.task());
    }
}

#[test]
fn a_task_has_as_long_as_its_label_says() {
    let all = decided(&[("app", &[("timeoutServer", "1")]), ("patient", &[("timeoutServer", "20")])]);
    let edge = Edge::start(&all, true, &[("app", 1), ("patient", 1)]);
    let started = Instant::now();
    assert_eq!(get(&edge, "/", "X-Wait: 8000\r\n").status, "504");
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    assert_eq!(edge.ask("GET", "patient.com", "/", "X-Wait: 2000\r\n").status, "200");
}

#[test]
fn a_websocket_stays_open_for_as_long_as_its_label_says() {
    let all = decided(&[("app", &[("timeoutServer", "1"), ("timeoutTunnel", "6")])]);
    let edge = Edge::start(&all, true, &[("app", 1)]);
    let mut stream = edge.websocket("app.com");
    // Longer than a request may wait for its answer.
    for pause in [0, 3000, 0] {
        std::thread::sleep(Duration::from_millis(pause));
        stream.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello", "after {pause} ms");
    }
    let quiet = Instant::now();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it ends when nobody says anything");
    let quiet = quiet.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(25)).contains(&quiet), "{quiet:?}");
}
