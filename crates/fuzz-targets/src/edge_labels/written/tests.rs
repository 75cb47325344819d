//! Lines that broke out of a value are found, whoever let them pass: routes are made here that no label can ask for.

use std::panic::catch_unwind;

use futuswarm_edge::{Compression, Header, Redirects, Rewrite, Rules};

use super::*;

fn route(rules: Rules) -> Route {
    let prefixes = vec![Prefix { host: "a.test".to_owned(), path: "/".to_owned() }];
    Route {
        service: "s0".to_owned(),
        prefixes,
        port: 80,
        network: "net".to_owned(),
        slots: 8,
        rules,
        ..Route::default()
    }
}

fn header(name: &str, value: &str) -> Route {
    let header = Header::Set { name: name.to_owned(), value: value.to_owned() };
    route(Rules { request_headers: vec![header], ..Rules::default() })
}

fn rewrite(search: &str, replace: &str) -> Route {
    let rewrite = Rewrite { search: search.to_owned(), replace: replace.to_owned(), every: false, any_case: false };
    route(Rules { rewrites: vec![rewrite], ..Rules::default() })
}

fn is_found(route: Route) -> bool {
    let routes = Routes { routes: vec![route], refused: Vec::new() };
    let rendered = render(&routes, true, RUN_DIR, Expressions::Compiled).unwrap();
    catch_unwind(|| check(&rendered, &routes, Expressions::Compiled)).is_err()
}

#[test]
fn what_routes_may_say_is_no_finding() {
    for good in [
        route(Rules::default()),
        header("X-A", "a \"b\" \\ $HOME #x 'y' 100% {z}"),
        rewrite("^/a/(.*)", "/\\1"),
        Route {
            redirects: Some(Redirects { from: vec!["r.test".to_owned()], to: "a.test".to_owned() }),
            ..route(Rules { allowed_methods: vec!["GET".to_owned()], sticky: true, ..Rules::default() })
        },
    ] {
        assert!(!is_found(good));
    }
}

#[test]
fn what_people_are_told_stays_within_its_page() {
    let told = |text: &str| {
        let maintenance = Some(futuswarm_edge::Maintenance { text: Some(text.to_owned()) });
        let limits = Limits { connections: Some(1), request_rate: Some(2), body_size: Some(3) };
        route(Rules { maintenance, limits, timeout_connect: Some(4), ..Rules::default() })
    };
    assert!(!is_found(told("bis 100 % fertig, ungefähr 18:00 $HOME 'x'")));
    for text in ["a\n    http-request allow", "<b>", "a\"", "a\\", "\u{7f}"] {
        assert!(is_found(told(text)), "{text:?}");
    }
}

#[test]
fn a_value_that_goes_on_as_another_line_is_found() {
    assert!(is_found(header("X-A", "a\n    http-request allow")));
    assert!(is_found(header("X-A\n    http-request del-header X-B\n    http-request set-header X-C", "a")));
    assert!(is_found(header("X-A b if TRUE\nbackend evil\n#", "a")));
    assert!(is_found(header("X-A", "a\r")));
    assert!(is_found(header("Remote-User", "ada")));
    assert!(is_found(rewrite("a','b'),lower,regsub('c", "d")));
    assert!(is_found(rewrite("a','b'),regsub('c", "d")));
    assert!(is_found(rewrite("a", "b'),env(HOME),regsub('c','d")));
}

#[test]
fn words_that_stand_where_another_was_meant_are_found() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let types = |types: &[&str]| {
        let compression = Compression { algorithms: words(&["gzip"]), types: words(types) };
        route(Rules { compression: Some(compression), ..Rules::default() })
    };
    assert!(!is_found(types(&["text/html"])));
    assert!(is_found(types(&["text/html", "}"])));
    assert!(is_found(types(&["text/html #"])));
    assert!(is_found(route(Rules { denied_methods: words(&["-i", "GET"]), ..Rules::default() })));
    assert!(is_found(route(Rules { denied_methods: words(&["GET } or { always_true"]), ..Rules::default() })));
    let host = |host: &str| Route {
        prefixes: vec![Prefix { host: host.to_owned(), path: "/".to_owned() }],
        ..route(Rules::default())
    };
    assert!(!is_found(host("*.a.test")));
    assert!(is_found(host("a.test/ service-s0\nb.test")));
    assert!(is_found(host("a.test other")));
    assert!(is_found(Route { service: "s0:80\nbackend evil".to_owned(), ..route(Rules::default()) }));
    let redirects = Redirects { from: vec!["r.test".to_owned()], to: "a.test/%[env(HOME)]".to_owned() };
    assert!(is_found(Route { redirects: Some(redirects), ..route(Rules::default()) }));
}

#[test]
fn words_are_divided_as_haproxy_divides_them() {
    assert_eq!(words(r##"a  "b \"c\" \\ \$d" 'e "#' "##).unwrap(), ["a", r#"b "c" \ $d"#, r##"e "#"##]);
    for more in ["a #b", "\"a", "'a", "\"$a\"", "a\\t", "a\\"] {
        assert_eq!(words(more), None, "{more}");
    }
    assert_eq!(words("\"a\\n\"").unwrap(), ["a\n"]);
}
