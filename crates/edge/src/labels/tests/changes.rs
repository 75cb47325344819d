//! Headers and paths that are changed: what labels become, and which expressions are slow.

use super::*;
use crate::rules::Rewrite;

fn changed(pairs: &[(&str, &str)]) -> (Vec<Header>, Vec<Header>) {
    let rules = served(pairs).rules;
    (rules.request_headers, rules.response_headers)
}

fn set(name: &str, value: &str) -> Header {
    Header::Set { name: name.to_owned(), value: value.to_owned() }
}

fn add(name: &str, value: &str) -> Header {
    Header::Add { name: name.to_owned(), value: value.to_owned() }
}

#[test]
fn headers_are_added_set_and_deleted_in_this_order() {
    let all = changed(&[
        ("delReqHeader", "X-D,Cookie"),
        ("setReqHeader", "X-B 1"),
        ("addReqHeader", "X-A 1,X-A 2"),
        ("setResHeader", "Cache-Control \"no-cache, no-store\""),
        ("delResHeader", "Server"),
        ("addResHeader", "Set-Cookie a=b"),
    ]);
    let delete = |name: &str| Header::Delete { name: name.to_owned() };
    assert_eq!(all.0, [add("X-A", "1"), add("X-A", "2"), set("X-B", "1"), delete("X-D"), delete("Cookie")]);
    let responses = [add("Set-Cookie", "a=b"), set("Cache-Control", "no-cache, no-store"), delete("Server")];
    assert_eq!(all.1, responses);
    assert_eq!(changed(&[("addHeader", "X-A 1"), ("setHeader", "X-B 2")]).0, [add("X-A", "1"), set("X-B", "2")]);
    assert_eq!(changed(&[("addHeader", "X-A 1"), ("addReqHeader", "X-C 3")]).0, [add("X-C", "3")]);
}

#[test]
fn quotes_and_backslashes_mean_what_they_mean_to_haproxy() {
    for (written, value) in [
        ("X \"a b\"", "a b"),
        ("X 'a b'", "a b"),
        ("X a\\ b", "a b"),
        ("X a\"b c\"d", "ab cd"),
        ("X \"default-src 'self'\"", "default-src 'self'"),
        ("X '\\d\"'", "\\d\""),
        ("X \"a, b\"", "a, b"),
        ("X a\\,b", "a,b"),
        ("X 100%%", "100%"),
        ("X   a  ", "a"),
        ("X \"if unless\"", "if unless"),
    ] {
        assert_eq!(changed(&[("setReqHeader", written)]).0, [set("X", value)], "{written}");
    }
}

#[test]
fn cookies_of_the_login_are_not_an_apps_to_set() {
    for (label, value) in [
        ("addResHeader", "Set-Cookie __Host-sso=evil"),
        ("setResHeader", "Set-Cookie \" __host-SSO=evil\""),
        ("addResHeader", "set-cookie __Secure-sso_2=evil"),
        ("setReqHeader", "Cookie a=b"),
        ("addReqHeader", "cookie a=b"),
    ] {
        assert!(reason(&[(label, value)]).contains("ookie"), "{label} {value}");
    }
}

#[test]
fn no_label_changes_more_than_a_few_headers() {
    let many: Vec<String> = (0..33).map(|index| format!("X-{index} 1")).collect();
    assert_eq!(changed(&[("addReqHeader", &many[1..].join(","))]).0.len(), 32);
    assert!(reason(&[("addReqHeader", &many.join(","))]).contains("33 headers are too many"));
    let names: Vec<&str> = many[1..].iter().map(|pair| &pair[..pair.len() - 2]).collect();
    let each = [("addReqHeader", many[1..].join(",")), ("delReqHeader", names.join(","))];
    let each = each.each_ref().map(|(label, value)| (*label, value.as_str()));
    assert_eq!(changed(&each).0.len(), 64, "each label by itself");
    let deleted = ["X-A"; 33].join(",");
    assert!(reason(&[("delReqHeader", &deleted)]).contains("33 headers are too many"));
    assert!(reason(&[("setReqHeader", &format!("X-A {}", "a".repeat(1025)))]).contains("1024 bytes"));
    assert!(reason(&[("setReqHeader", &format!("{} a", "A".repeat(65)))]).contains("a header's name"));
}

fn rewrite(search: &str, replace: &str, every: bool, any_case: bool) -> Rewrite {
    Rewrite { search: search.to_owned(), replace: replace.to_owned(), every, any_case }
}

#[test]
fn pairs_become_rewrites() {
    let rewrites = |pairs: &[(&str, &str)]| served(pairs).rules.rewrites;
    assert_eq!(
        rewrites(&[("reqPathSearchReplace", "^/a/(.*),/\\1 : /b , /c,g:/d,,gi:\\.x$,.y,i")]),
        [
            rewrite("^/a/(.*)", "/\\1", false, false),
            rewrite("/b", "/c", true, false),
            rewrite("/d", "", true, true),
            rewrite("\\.x$", ".y", false, true),
        ]
    );
    let both = [("reqPathSearch", "/x"), ("reqPathReplace", "/y"), ("reqPathSearchReplace", "/z,/")];
    assert_eq!(rewrites(&both), [rewrite("/x", "/y", false, false), rewrite("/z", "/", false, false)]);
    for one in [("reqPathSearch", "/x"), ("reqPathReplace", "/y")] {
        assert!(reason(&[one]).contains("need each other"));
    }
    let nine = ["/a,/b"; 9].join(":");
    assert!(reason(&[("reqPathSearchReplace", &nine)]).contains("9 pairs are too many"));
    assert!(reason(&[("reqPathSearchReplace", &format!("{},/", "a".repeat(129)))]).contains("at most 128"));
}

/// What is repeated is written as often, up to what a path may have: whoever counts steps finds how slow each of these can be.
#[test]
fn only_expressions_that_take_a_time_in_proportion_to_the_path_are_read() {
    for fast in [
        "/a",
        "^/a.*",
        "^/a.*b",
        "^/[^/]+/x.*y",
        "^/([a-z]+)/([0-9]+)/?$",
        "^/[a-z]+[0-9]+[a-z]+$",
        "/a.*$",
        "/a[^x]*",
        "^/\\w+-\\w*\\.js$",
        "a?b?c?d",
        "[-a]",
        "[a-]",
        "[^-]x",
        "[a-f-]x",
        "[.*+?()$]x",
        "a()b",
        "^/[a-f]+A+x",
    ] {
        assert!(request(&labels(&[("reqPathSearchReplace", &format!("{fast},/"))])).is_ok(), "{fast}");
    }
    for (slow, because) in [
        (".*a", "without ^"),
        ("/.*/x", "without ^"),
        ("/a+b+", "without ^"),
        ("/[a-z]*$", "without ^"),
        ("^/.*/.*", "could be one of the repeated"),
        ("^/[a-z]+[a-f]+x", "could be one of the repeated"),
        ("^/[a-z]+x?[0-9]+", "could be one of the repeated"),
        ("^/\\w+_+x", "could be one of the repeated"),
        ("^/[a-f]+A+x,/,i", "could be one of the repeated"),
        ("^[^/]*/*a", "could be one of the repeated"),
        ("a?b?c?d?e", "more than three"),
        ("a*", "matches everywhere"),
        ("^", "matches everywhere"),
        ("^$", "matches everywhere"),
        ("((a)+)", "groups stand beside each other"),
        ("(a*)*", "a group stands once"),
        ("()()()()()()()()()()a", "nine groups"),
    ] {
        let value = if slow.contains(',') { slow.to_owned() } else { format!("{slow},/") };
        let told = reason(&[("reqPathSearchReplace", &value)]);
        assert!(told.contains(because), "{slow}: {told}");
    }
}
