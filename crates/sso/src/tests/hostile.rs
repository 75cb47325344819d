//! What somebody who means harm gets: no other host, no identity of his own choice, no redirect to elsewhere.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::apache::Apache;
use super::browser::Browser;
use super::*;

#[test]
fn who_somebody_is_cannot_be_said_from_outside() {
    let apache = Apache::start(&login());
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, "https://a.apps.example.com/").status, "200");
    let forged = "X-Edge-User: ada\r\nx-edge-user: ada\r\nX-EDGE-GROUPS: ada\r\nX-Edge-Token: ada\r\nX-Forwarded-Host: ada\r\n\
                  Forwarded: for=ada\r\n";
    // From what goes to an open app, HAProxy takes these.
    let claims = "OIDC_CLAIM_email: ada\r\nOIDC-CLAIM-groups: ada\r\n";
    for (host, user, more) in [("a", "bob@example.com", claims), ("c", "-", "")] {
        for connection in [
            "Connection: close\r\n",
            "Connection: close, X-Edge-User\r\n",
            "Connection: X-Edge-User, X-Edge-Groups\r\nConnection: close\r\n",
        ] {
            let url = format!("https://{host}.apps.example.com/");
            let answer = browser.ask(&apache, "GET", &url, &format!("{forged}{more}{connection}"));
            assert_eq!(answer.got("x-edge-user"), [user], "{connection:?}: {answer:?}");
            assert!(!answer.body.contains(": ada") && !answer.body.contains("=ada"), "{answer:?}");
        }
    }
}

/// A claim that would be more than a name in a header, a page or a log.
#[test]
fn nobody_signs_in_under_a_name_that_is_none() {
    let apache = Apache::start(&login());
    for name in [
        "a b@example.com",
        "<script>",
        "a\nb@example.com",
        "a\"b",
        "",
        "é@example.com",
        "a".repeat(255).as_str(),
        // In Apache's expressions `$` is before a line break at the end as well.
        "bob@example.com\n",
        // This is nobody to HAProxy.
        "-",
        "~x",
    ] {
        apache.provider.signs_in(name, &["blog-editors"]);
        let answer = Browser::default().open(&apache, "https://a.apps.example.com/");
        assert_eq!(answer.status, "400", "{name:?}: {answer:?}");
    }
    apache.provider.signs_in("o'brien+x&y=%41@example.com", &["blog-editors"]);
    let answer = Browser::default().open(&apache, "https://a.apps.example.com/");
    assert_eq!(answer.got("x-edge-user"), ["o'brien+x&y=%41@example.com"]);
}

/// People who may make groups give them such names.
#[test]
fn the_name_of_one_group_is_not_those_of_two() {
    let apache = Apache::start(&login());
    for (groups, status, seen) in [
        (vec!["staff", "x|admins"], "200", vec!["staff|x%7Cadmins"]),
        (vec!["100%", "50%7C|", "a,b"], "200", vec!["100%25|50%257C%7C|a,b"]),
        (vec!["staff", "x\u{1f}admins"], "403", vec![]),
        (vec!["a\tb"], "403", vec![]),
        (vec!["a\nX-Edge-User: ada"], "403", vec![]),
    ] {
        apache.provider.signs_in("bob@example.com", &groups);
        for host in ["a", "d"] {
            let answer = Browser::default().open(&apache, &format!("https://{host}.apps.example.com/"));
            assert_eq!((answer.status.as_str(), answer.got("x-edge-groups")), (status, seen.clone()), "{answer:?}");
        }
    }
}

/// What else the module would look for behind a claim.
#[test]
fn a_list_has_no_regular_expression() {
    let mut login = login();
    let apache = Apache::start(&login);
    let mut browser = Browser::default();
    for (name, status) in [(".*", "403"), ("^staff$", "403"), ("sta.f", "403"), ("a~.*", "403"), ("staff", "200")] {
        login.apps.insert("a.apps.example.com".to_owned(), only(&[&format!("group:{name}")]));
        apache.change(&login);
        let answer = browser.open(&apache, "https://a.apps.example.com/");
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

#[test]
fn a_host_that_nobody_has_is_refused_without_a_login() {
    let apache = Apache::start(&login());
    for (host, path, status) in [
        ("nosuch.apps.example.com", "/", "404"),
        ("nosuch.apps.example.com", "/.sso/callback?state=x&code=y", "404"),
        ("a.apps.example.com+1", "/", "400"),
        ("a.apps.example.com.", "/", "404"),
        ("x.a.apps.example.com", "/", "404"),
        (format!("{}apps.example.com", "a.".repeat(5000)).as_str(), "/", "404"),
        (format!("{}.apps.example.com", "a".repeat(64)).as_str(), "/", "404"),
        ("a_b.apps.example.com", "/", "404"),
        ("everywhere", "/", "404"),
        ("example.com", "/", "404"),
        ("10.0.0.1", "/", "404"),
        ("10.0.0.1", "/.sso/callback", "404"),
        ("10.0.0.1", "/status/x", "404"),
        ("10.0.0.1", "/status", "200"),
        ("A.APPS.example.com:443", "/", "302"),
    ] {
        let answer = apache.ask("GET", host, path, "Accept: text/html\r\n");
        assert_eq!(answer.status, status, "{host}{path}: {answer:?}");
        assert_eq!(apache.seen().len(), usize::from(status == "200"), "{host}{path}");
    }
    assert!(apache.ask("GET", "nosuch.apps.example.com", "/", "").body.contains("No such app"));
    let two = "GET / HTTP/1.1\r\nHost: c.apps.example.com\r\nHost: a.apps.example.com\r\nConnection: close\r\n\r\n";
    assert_eq!(apache.send(two).status, "400");
    // It is the host of the URL that counts, here and for who comes next.
    let other = |url: &str, host: &str| {
        apache.send(&format!(
            "GET http://{url}.apps.example.com/ HTTP/1.1\r\nHost: {host}.apps.example.com\r\n\
             X-Forwarded-Proto: https\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        ))
    };
    assert_eq!(other("a", "c").status, "500");
    assert!(apache.seen().is_empty());
    let answer = other("c", "a");
    assert_eq!((answer.status.as_str(), answer.got("host")), ("200", vec!["c.apps.example.com"]), "{answer:?}");
}

#[test]
fn nothing_below_the_path_of_the_login_leads_elsewhere() {
    let apache = Apache::start(&login());
    let (own, evil) = ("https://apps.example.com/.sso/callback", "https%3A%2F%2Fevil.example.net%2F");
    for (url, status, location) in [
        ("https://a.apps.example.com/.sso/callback?state=x&code=y".to_owned(), "400", ""),
        (format!("{own}?state=x.evil.example.net&code=y"), "400", ""),
        (format!("{own}?state=x.EVIL&code=y"), "400", ""),
        (format!("{own}?state=x.a%0d%0aX:&code=y"), "400", ""),
        (format!("{own}?state=x.a&code=y"), "302", "https://a.apps.example.com/.sso/callback?state=x"),
        (format!("{own}?iss=i&code=4%2Fy&state=x.a"), "302", "https://a.apps.example.com/.sso/callback?state=x"),
        (
            format!("{own}?error=access_denied&state=x.a"),
            "302",
            "https://a.apps.example.com/.sso/callback?error=access_denied&state=x",
        ),
        // What does not fit into a cookie goes no other way.
        (format!("{own}?state=x.a&code=y;z"), "400", ""),
        (format!("{own}?state=x.a&code=y,z"), "400", ""),
        (format!("{own}?state=x.a&code="), "400", ""),
        (format!("{own}?state=x.a&code={}", "y".repeat(3001)), "400", ""),
        (own.to_owned(), "400", ""),
        (format!("{own}?logout={evil}"), "400", ""),
        ("https://apps.example.com/.sso/logout".to_owned(), "404", ""),
        ("https://apps.example.com/.sso/go?a=b&state=x&c=d&app=".to_owned(), "404", ""),
        (
            "https://a.apps.example.com/.sso/callback?iss=https%3A%2F%2Fidp.example.com\
             &target_link_uri=https%3A%2F%2Fa.apps.example.com%2F"
                .to_owned(),
            "404",
            "",
        ),
        ("https://a.apps.example.com/.sso/go?a=b&state=x&c=d&app=a".to_owned(), "404", ""),
        ("https://a.apps.example.com/.sso/".to_owned(), "404", ""),
        ("https://a.apps.example.com/.sso/signed-out".to_owned(), "404", ""),
        ("https://apps.example.com/.sso/go?a=b&state=x&c=d&app=a/".to_owned(), "404", ""),
        (
            "https://apps.example.com/.sso/go?a=b&state=x&c=d&app=a".to_owned(),
            "302",
            "https://idp.example.com/auth?a=b&state=x.a&c=d",
        ),
    ] {
        let answer = Browser::default().ask(&apache, "GET", &url, "Accept: text/html\r\n");
        assert_eq!((answer.status.as_str(), answer.location()), (status, location), "{url}: {answer:?}");
    }
    assert!(apache.seen().is_empty());
}

/// Somebody begins at one app, and sends somebody else through the provider to another one, whose scripts are his.
#[test]
fn a_code_is_in_no_url_of_an_app_and_is_good_for_nobody_else() {
    let apache = Apache::start(&login());
    for label in ["c", "d"] {
        let mut attacker = Browser::default();
        let begun = attacker.ask(&apache, "GET", "https://a.apps.example.com/", "Accept: text/html\r\n");
        let sent = begun.location().replace("&app=a", &format!("&app={label}"));
        assert_ne!(sent, begun.location());
        let mut victim = Browser::default();
        victim.open(&apache, &sent);
        let landed = victim.went.last().unwrap().clone();
        assert!(landed.starts_with(&format!("https://{label}.apps.example.com/.sso/callback?state=")), "{landed}");
        for url in victim.went.iter().filter(|url| url.contains(".apps.example.com/")) {
            assert!(!url.contains("code="), "{url}");
        }
        let code = victim.told.iter().find(|cookie| cookie.starts_with("__Secure-sso-code-")).expect("a code").clone();
        assert!(code.contains("; HttpOnly"), "{code}");
        let there = landed.replace(&format!("//{label}."), "//a.");
        assert_eq!(attacker.ask(&apache, "GET", &there, "Accept: text/html\r\n").status, "500");
        assert_eq!(attacker.ask(&apache, "GET", "https://a.apps.example.com/", "").status, "401");
        // The code is in this browser, but what was begun is not.
        assert_eq!(victim.ask(&apache, "GET", &there, "Accept: text/html\r\n").status, "400");
    }
    assert!(apache.seen().is_empty());
    // Nor does the program of an app see it.
    for path in ["/", "/.sso", "/.SSO/callback", "/.sso%2Fcallback", "/.sso/../x", "/.sso/%2e%2e/x"] {
        let answer = apache.ask("GET", "c.apps.example.com", path, "Cookie: x=1; __Secure-sso-code-x=y; y=2\r\n");
        assert_eq!(answer.got("cookie"), ["x=1; y=2"], "{path}: {answer:?}");
    }
    apache.seen();
    for path in
        ["/.sso/", "/.sso/x", "/.sso/..%2Fx", "/.sso/callback?state=x", "//.sso/callback", "/x/../.sso/callback"]
    {
        apache.ask("GET", "c.apps.example.com", path, "Cookie: __Secure-sso-code-x=y\r\n");
        assert!(apache.seen().is_empty(), "{path}");
    }
}

/// Any app's script can plant a code. What was begun is in a cookie of one host, and its nonce in the token.
#[test]
fn nobody_is_signed_in_with_a_code_that_was_planted() {
    let apache = Apache::start(&login());
    let begin = |browser: &mut Browser| {
        let begun = browser.ask(&apache, "GET", "https://a.apps.example.com/", "Accept: text/html\r\n");
        let query = begun.location().split_once('?').unwrap().1.to_owned();
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap().to_owned();
        (value("state="), value("nonce="))
    };
    let (_, foreign) = begin(&mut Browser::default());
    let mut victim = Browser::default();
    for own in [false, true] {
        let (state, nonce) = begin(&mut victim);
        // The provider of these tests takes the nonce for the code.
        victim.plant(&format!("__Secure-sso-code-{state}"), if own { &nonce } else { &foreign });
        let url = format!("https://a.apps.example.com/.sso/callback?state={state}");
        let answer = victim.ask(&apache, "GET", &url, "Accept: text/html\r\n");
        assert_eq!(answer.status, if own { "302" } else { "400" }, "{answer:?}");
        let first = victim.ask(&apache, "GET", "https://a.apps.example.com/", "");
        assert_eq!(first.status, if own { "200" } else { "401" }, "{first:?}");
    }
}

/// Apps are the same site to a browser, which sends the session of one with what a page of another asks for.
#[test]
fn a_page_of_another_app_only_reads_unless_the_app_lets_it() {
    let apache = Apache::start(&login());
    let mut browser = Browser::default();
    for host in ["a", "d"] {
        let url = format!("https://{host}.apps.example.com/");
        assert_eq!(browser.open(&apache, &url).status, "200");
        let refused = if host == "a" { "403" } else { "200" };
        for (method, headers, status) in [
            ("POST", "Sec-Fetch-Site: same-site\r\n".to_owned(), refused),
            ("DELETE", "sec-fetch-site: same-site\r\n".to_owned(), refused),
            ("GET", "Sec-Fetch-Site: same-site\r\n".to_owned(), "200"),
            ("POST", "Sec-Fetch-Site: same-origin\r\n".to_owned(), "200"),
            ("POST", "Sec-Fetch-Site: none\r\n".to_owned(), "200"),
            ("POST", String::new(), "200"),
            // Of a browser that does not say which site asks.
            ("POST", "Origin: https://c.apps.example.com\r\n".to_owned(), refused),
            ("POST", format!("Origin: http://{host}.apps.example.com\r\n"), refused),
            ("POST", format!("Origin: https://x{host}.apps.example.com\r\n"), refused),
            ("POST", "Origin: null\r\n".to_owned(), refused),
            ("POST", format!("Origin: https://{host}.apps.example.com\r\n"), "200"),
            ("GET", "Origin: https://c.apps.example.com\r\n".to_owned(), "200"),
        ] {
            let answer = browser.ask(&apache, method, &url, &headers);
            assert_eq!(answer.status, status, "{host} {method} {headers}: {answer:?}");
        }
        let name = format!("{host}.apps.example.com");
        let own = format!("https://{name}");
        let insecure = format!("http://{name}");
        let foreign = if host == "a" { "403" } else { "101" };
        for (origin, status) in [
            ("https://c.apps.example.com", foreign),
            ("null", foreign),
            (insecure.as_str(), foreign),
            (own.as_str(), "101"),
        ] {
            let (_, said) = upgrade(&apache, &browser, &name, origin);
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{host} {origin}: {said}");
        }
    }
    // An open app knows nobody, and lets any page of who does not say more use it.
    for (headers, status) in [
        ("Origin: https://d.apps.example.com\r\n", "200"),
        ("Origin: https://example.net\r\n", "200"),
        ("Sec-Fetch-Site: same-site\r\nOrigin: https://d.apps.example.com\r\n", "403"),
    ] {
        assert_eq!(apache.ask("POST", "c.apps.example.com", "/", headers).status, status, "{headers}");
    }
}

/// Asks for a WebSocket, and reads the head of the answer.
fn upgrade(apache: &Apache, browser: &Browser, host: &str, origin: &str) -> (TcpStream, String) {
    let mut stream = apache.connect();
    let cookie = browser.cookie(host);
    let head = format!(
        "GET /live HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n{cookie}Connection: Upgrade\r\n\
         Upgrade: websocket\r\nOrigin: {origin}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut said, mut some) = (String::new(), [0; 1024]);
    while !said.contains("\r\n\r\n") {
        let length = stream.read(&mut some).unwrap();
        assert!(length > 0, "{said} {}", apache.log());
        said.push_str(&String::from_utf8_lossy(&some[..length]));
    }
    (stream, said)
}

#[test]
fn a_websocket_of_the_apps_own_page_passes() {
    let apache = Apache::start(&login());
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, "https://a.apps.example.com/").status, "200");
    apache.seen();
    let (mut stream, said) = upgrade(&apache, &browser, "a.apps.example.com", "https://a.apps.example.com");
    assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
    let seen = apache.seen();
    let [app_saw] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(app_saw.contains("X-Edge-User: bob@example.com") && !app_saw.contains("__Host"), "{app_saw}");
}

/// What is in a path is between the browser and the app.
#[test]
fn a_path_arrives_as_it_was_sent() {
    let apache = Apache::start(&login());
    for path in ["/a//b/./c/../d", "/a%2Fb", "/a%20b%7Ec", "/%C3%A4?q=%2F&r=a+b", "/.SSO/x"] {
        let answer = apache.ask("GET", "c.apps.example.com", path, "");
        assert_eq!(answer.body.lines().next(), Some(format!("GET {path} HTTP/1.1").as_str()));
    }
    // But for this.
    let answer = apache.ask("GET", "c.apps.example.com", "//a//b", "");
    assert_eq!(answer.body.lines().next(), Some("GET /a//b HTTP/1.1"));
}
