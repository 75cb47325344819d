//! Who comes by the login, and what nobody gets who does not.

use super::bench::Edge;
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
    PrivateDomain { domain, socket, named_by_email: false }
}

#[test]
fn haproxy_accepts_a_login_with_routes_and_without() {
    for kind in [Expressions::Interpreted, Expressions::Compiled] {
        for (all, complete) in [(three(), true), (Routes::default(), false)] {
            let dir = tempfile::tempdir().unwrap();
            let run_dir = dir.path().to_str().unwrap();
            let socket = format!("{run_dir}/login.sock");
            let private = PrivateDomain { socket, ..private() };
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
            assert!(!answer.body.contains("somebody") && !answer.body.contains("x-edge-"), "{answer:?}");
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
