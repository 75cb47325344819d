//! Who comes by the login, and what nobody gets who does not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futuswarm_secret::Secret;
use sha2::{Digest as _, Sha256};

use super::bench::{Edge, TOKEN_KEY};
use super::hostile::{IDENTITY, SPELLED};
use super::*;

const ADA: &str = "X-Edge-User: ada@example.com\r\n";

/// An app of the private domain and one elsewhere, behind a login.
fn edge() -> Edge {
    let all = routes(vec![
        route("app", &[("app.apps.test", "/")]),
        route("mainpage", &[("apps.test", "/")]),
        route("other", &[("other.test", "/"), ("app.apps.test.other.test", "/"), ("xapps.test", "/")]),
    ]);
    Edge::start_with_login(&all, &[("app", 1), ("mainpage", 1), ("other", 1)], "apps.test")
}

fn private() -> PrivateDomain {
    let (domain, socket) = ("apps.test".to_owned(), "/run/edge/login.sock".to_owned());
    PrivateDomain { domain, socket, named_by_email: false, tokens: false }
}

#[test]
fn haproxy_accepts_a_login_with_routes_and_without() {
    for kind in [Expressions::Interpreted, Expressions::Compiled] {
        for (all, complete, tokens) in [(three(), true, true), (Routes::default(), false, false)] {
            let dir = tempfile::tempdir().unwrap();
            let run_dir = dir.path().to_str().unwrap();
            let socket = format!("{run_dir}/login.sock");
            let private = PrivateDomain { socket, tokens, ..private() };
            std::fs::write(dir.path().join(TOKEN_KEYS_FILE), "").unwrap();
            let rendered = render_with_login(&all, complete, run_dir, kind, &private).unwrap();
            assert_eq!(said_of(dir.path(), &rendered), None);
        }
    }
}

/// Whatever one of them takes from a request, the other takes.
#[test]
fn both_ways_in_have_the_same_rules_and_a_cluster_without_a_login_has_them_as_well() {
    let with = render_with_login(&three(), true, "/run/edge", Expressions::Compiled, &private()).unwrap().config;
    let without = render(&three(), true, "/run/edge", Expressions::Compiled).unwrap().config;
    let lines = |config: &str, name: &str| -> Vec<String> {
        let (_, after) = config.split_once(&format!("\nfrontend {name}\n")).unwrap();
        let section = after.split("\n\n").next().unwrap();
        section.lines().skip(1).map(str::to_owned).collect()
    };
    let rules = lines(&without, "edge");
    assert!(rules.len() > 40, "{rules:?}");
    for (config, name, own) in [(&with, "edge", 4), (&with, "login", 8)] {
        let all = lines(config, name);
        let mut rest = all.iter();
        assert!(rules.iter().all(|rule| rest.any(|line| line == rule)), "{name}: {all:?}");
        assert_eq!(all.len(), rules.len() + own, "{name}: {all:?}");
    }
    assert!(!without.contains("frontend login") && !without.contains("tune.bufsize"));
    assert!(with.contains("\n    tune.bufsize 65536\n"));
    let checked = render_with_login(&three(), true, "/run/edge", Expressions::Interpreted, &private()).unwrap().config;
    assert_eq!(checked.replace("(*NO_JIT)", ""), with);
    assert!(checked.contains("-m reg '(*NO_JIT)^[!#-;=?-~]{1,254}$'"), "{checked}");
}

#[test]
fn an_app_gets_who_asks_from_the_login_and_from_nobody_else() {
    let edge = edge();
    let claimed: String = IDENTITY
        .into_iter()
        .chain(SPELLED)
        .filter(|name| !name.eq_ignore_ascii_case("x-edge-user"))
        .map(|name| format!("{name}: somebody\r\n"))
        .collect();
    for (headers, user, groups) in [
        (ADA.to_owned(), Some("ada@example.com"), None),
        (format!("{ADA}X-Edge-Groups: staff|a%7Cb%25|ä, ö\r\n"), Some("ada@example.com"), Some("staff|a%7Cb%25|ä, ö")),
        ("X-Edge-User: a,b\\'=;\r\n".to_owned(), Some("a,b\\'=;"), None),
        ("X-Edge-User: -\r\n".to_owned(), None, None),
        ("X-Edge-User: -\r\nX-Edge-Groups: staff\r\n".to_owned(), None, None),
    ] {
        for more in ["", claimed.as_str()] {
            let answer = edge.by_login("GET", "app.apps.test", "/x", &format!("{more}{headers}"));
            assert_eq!((answer.status.as_str(), answer.service()), ("200", "app"), "{headers}: {answer:?}");
            let expected: Vec<&str> = user.into_iter().collect();
            assert_eq!(answer.got("remote-user"), expected, "{headers}");
            assert_eq!(answer.got("remote-email"), expected, "{headers}");
            assert_eq!(answer.got("remote-groups"), groups.into_iter().collect::<Vec<_>>(), "{headers}");
            assert!(!answer.body.contains("somebody"), "{answer:?}");
            assert!(answer.got("x-edge-user").is_empty() && answer.got("x-edge-groups").is_empty(), "{answer:?}");
        }
    }
}

#[test]
fn whoever_does_not_say_once_who_asks_is_not_the_login() {
    let edge = edge();
    let long = format!("X-Edge-User: {}\r\n", "a".repeat(255));
    for headers in [
        "",
        "X-Edge-User:\r\n",
        "X-Edge-User: ada\r\nX-Edge-User: ada\r\n",
        "X-Edge-User: -\r\nx-edge-user: ada\r\n",
        "X_Edge_User: ada\r\n",
        "X-Edge-User: a b\r\n",
        "X-Edge-User: a\"b\r\n",
        "X-Edge-User: <b>\r\n",
        "X-Edge-User: \u{e4}\r\n",
        "X-Edge-User: ada\r\nX-Edge-Groups: a\r\nX-Edge-Groups: b\r\n",
        &long,
    ] {
        let answer = edge.by_login("GET", "app.apps.test", "/", headers);
        assert_eq!(answer.status, "403", "{headers}: {answer:?}");
    }
    assert_eq!(edge.seen(), Vec::<String>::new());
}

#[test]
fn nothing_of_the_private_domain_is_had_past_the_login() {
    let edge = edge();
    for host in ["app.apps.test", "APP.Apps.TEST", "app.apps.test.", "app.apps.test:80", "apps.test", "x.app.apps.test"]
    {
        for headers in ["", ADA] {
            let answer = edge.ask("GET", host, "/x", headers);
            assert_eq!((answer.status.as_str(), answer.header("edge-answer")), ("404", vec!["no-app"]), "{host}");
        }
    }
    for host in ["app.apps.test/", "app.apps.test/x", "app.apps.test:80/x", "app.apps.test%2f", "app.apps.test\\"] {
        let status = edge.ask("GET", host, "/", "").status;
        assert!(["400", "404"].contains(&status.as_str()), "{host}: {status}");
    }
    assert_eq!(edge.seen(), Vec::<String>::new());
    for host in ["other.test", "app.apps.test.other.test", "xapps.test"] {
        let answer = edge.ask("GET", host, "/", &format!("{ADA}Remote-User: ada\r\n"));
        assert_eq!((answer.service(), answer.got("remote-user").len()), ("other", 0), "{host}");
    }
    assert_eq!(edge.get("app.apps.test", "/status"), "200", "the load balancer may ask by whichever name");
    assert_eq!(edge.by_login("GET", "edge", "/status", "X-Edge-User: -\r\n").status, "200", "as by the login");
}

#[test]
fn a_session_with_many_groups_is_not_too_much() {
    let edge = edge();
    let groups: Vec<String> =
        (0..500).map(|number| format!("CN=Group {number:03},OU=Some long name of a unit,DC=example")).collect();
    let answer = edge.by_login("GET", "app.apps.test", "/", &format!("{ADA}X-Edge-Groups: {}\r\n", groups.join("|")));
    assert_eq!(answer.got("remote-groups"), [groups.join("|")], "{}", answer.status);
}

#[test]
fn the_log_says_who_asked() {
    let edge = edge();
    for (index, (headers, user)) in [(ADA, "ada@example.com"), ("X-Edge-User: -\r\n", "")].into_iter().enumerate() {
        edge.by_login("GET", "app.apps.test", "/x", &format!("{headers}X-Forwarded-For: 1.2.3.4\r\n"));
        edge.wait("the log", || edge.log().len() > index);
        let line: serde_json::Value = serde_json::from_str(&edge.log()[index]).unwrap();
        let told = ["user", "app", "client", "host"].map(|name| line[name].as_str().unwrap_or_default().to_owned());
        assert_eq!(told, [user, "app", "1.2.3.4", "app.apps.test"], "{line}");
    }
}

#[test]
fn the_login_goes_on_over_reloads() {
    let edge = edge();
    let all = routes(vec![route("app", &[("app.apps.test", "/"), ("app.open.test", "/")])]);
    edge.reload(&all, true);
    edge.wait("the new name", || edge.get("app.open.test", "/") == "app");
    assert_eq!(edge.by_login("GET", "app.apps.test", "/", ADA).got("remote-user"), ["ada@example.com"]);
    assert_eq!(edge.get("app.apps.test", "/"), "404");
}

/// HMAC-SHA256 (RFC 2104) with a key of 32 bytes.
fn hmac(key: [u8; 32], text: &[u8]) -> Vec<u8> {
    let padded = |byte: u8| (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36).as_slice(), text].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}

/// What a token says, once its signature is found to be that of the app's key.
fn claims(token: &str) -> serde_json::Value {
    let (text, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap(), hmac([b'k'; 32], text.as_bytes()), "{token}");
    let (head, claims) = text.split_once('.').unwrap();
    let read = |part: &str| -> serde_json::Value {
        let text = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()))
    };
    assert_eq!(read(head), serde_json::json!({ "alg": "HS256", "typ": "JWT" }));
    read(claims)
}

#[test]
fn an_app_with_a_key_can_check_who_asks() {
    let edge = edge();
    let groups = "a|b%7C|c\"d\\e|ä ö, x|%257C|%25";
    for (headers, user, groups) in [
        (
            format!("{ADA}X-Edge-Groups: {groups}\r\n"),
            "ada@example.com",
            vec!["a", "b|", "c\"d\\e", "ä ö, x", "%7C", "%"],
        ),
        ("X-Edge-User: a\\b\r\n".to_owned(), "a\\b", Vec::new()),
    ] {
        let answer = edge.by_login("GET", "app.apps.test", "/", &format!("X-Edge-Token: theirs\r\n{headers}"));
        let [token] = answer.got("x-edge-token")[..] else { panic!("{answer:?}") };
        let claims = claims(token);
        let (from, until) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        assert!((0..30).contains(&(now - from)) && until == from + 60, "{claims} at {now}");
        let expected = serde_json::json!({
            "iss": "https://apps.test", "aud": "app", "sub": user, "groups": groups, "iat": from, "exp": until
        });
        assert_eq!(claims, expected);
    }
    let nobody = edge.by_login("GET", "app.apps.test", "/", "X-Edge-User: -\r\nX-Edge-Token: theirs\r\n");
    assert!(nobody.got("x-edge-token").is_empty(), "{nobody:?}");
    let without_a_key = edge.by_login("GET", "apps.test", "/", &format!("{ADA}X-Edge-Token: theirs\r\n"));
    assert_eq!((without_a_key.service(), without_a_key.got("x-edge-token").len()), ("mainpage", 0));
    assert!(
        edge.ask("GET", "other.test", "/", &format!("{ADA}X-Edge-Token: theirs\r\n")).got("x-edge-token").is_empty()
    );
}

#[test]
fn only_what_is_a_key_is_given_to_haproxy() {
    let all =
        [Route { destination: 2, ..route("app", &[]) }, route("app", &[]), route("other", &[]), route("none", &[])];
    let keys =
        [("app", TOKEN_KEY.to_owned()), ("other", format!("{}\nx", &TOKEN_KEY[..42])), ("gone", TOKEN_KEY.to_owned())];
    let keys: BTreeMap<String, Secret> = keys.map(|(name, key)| (name.to_owned(), Secret::new(key))).into();
    let expected = format!("service-app.2 {TOKEN_KEY}\nservice-app {TOKEN_KEY}\n");
    assert_eq!(token_keys(&all, &keys).expose(), expected);
}
