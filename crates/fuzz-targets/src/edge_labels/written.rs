//! A configuration as HAProxy reads it, looked at by nothing that has written it: whatever labels say, each line is one of those that a
//! route may have, word for word, and everything else is as it is without labels.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use futuswarm_edge::{Expressions, Limits, Maintenance, Prefix, Rendered, Route, Routes, Rules, render};

/// The folder that HAProxy may write to.
pub(super) const RUN_DIR: &str = "/run/edge";
/// HAProxy reads no more words in one line.
const MOST_WORDS: usize = 64;
/// A request that has come over HTTPS.
const OVER_HTTPS: [&str; 6] = ["{", "var(txn.scheme)", "-m", "str", "https", "}"];
/// A path that changes have left nothing of, or no slash at its beginning.
const WITH_SLASH: [&str; 6] = ["{", "var(req.path)", "-m", "beg", "/", "}"];
const WITHOUT_SLASH: [&str; 11] =
    ["{", "var(req.path)", "-m", "found", "}", "!{", "var(req.path)", "-m", "beg", "/", "}"];
/// Behind the name of a cookie that keeps a browser with its task.
const STICKY: [&str; 7] = ["insert", "indirect", "nocache", "dynamic", "httponly", "attr", "SameSite=Lax"];
/// Headers that frame a message or say who asks: no label reaches them.
const UNTOUCHED: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy",
    "real-ip",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-original-url",
];
const UNTOUCHED_BEGINNINGS: [&str; 6] = ["edge-", "oidc-", "remote-", "x-edge-", "x-forwarded-", "x-remote-"];

/// What is there without labels: with hosts that have a star or without, for each kind of expressions.
static FRAMES: LazyLock<Vec<(bool, Expressions, String)>> = LazyLock::new(|| {
    let kinds = [Expressions::Compiled, Expressions::Interpreted];
    let all = kinds.into_iter().flat_map(|kind| [(false, kind), (true, kind)]);
    all.map(|(has_stars, expressions)| {
        let host = if has_stars { "*.frame.test" } else { "frame.test" };
        let prefixes = vec![Prefix { host: host.to_owned(), path: "/".to_owned() }];
        let route = Route { service: "frame".to_owned(), prefixes, port: 80, slots: 8, ..Route::default() };
        let routes = Routes { routes: vec![route], refused: Vec::new() };
        match render(&routes, true, RUN_DIR, expressions) {
            Ok(rendered) => (has_stars, expressions, rendered.config),
            Err(error) => panic!("{error}"),
        }
    })
    .collect()
});

/// Where a page says of an app that it is in maintenance, and what its owner has to say besides comes next.
const IN_MAINTENANCE: &str = " is in maintenance.";
/// The words of what the edge answers for a service in maintenance that takes requests up to a size.
static PAGES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let rules = Rules {
        maintenance: Some(Maintenance { text: None }),
        limits: Limits { body_size: Some(1 << 10), ..Limits::default() },
        ..Rules::default()
    };
    let route = Route { service: "frame".to_owned(), port: 80, slots: 8, rules, ..Route::default() };
    match render(&Routes { routes: vec![route], refused: Vec::new() }, true, RUN_DIR, Expressions::Compiled) {
        Ok(rendered) => {
            let sections = sections(&rendered.config);
            let lines = sections.iter().filter(|section| section.is_of_a_route()).flat_map(|section| &section.lines);
            lines.filter(|line| line.starts_with("http-request return ")).filter_map(|line| words(line)).collect()
        }
        Err(error) => panic!("{error}"),
    }
});

/// A line that is not indented, and those below it.
#[derive(Debug)]
struct Section<'a> {
    head: &'a str,
    lines: Vec<&'a str>,
}

impl Section<'_> {
    /// Whether it is there because of a route.
    fn is_of_a_route(&self) -> bool {
        ["backend service-", "backend redirect-"].iter().any(|beginning| self.head.starts_with(beginning))
    }
}

fn sections(config: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = Vec::new();
    // Comments between sections are ours. One within a section stays, and is found there.
    for line in config.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("    "), sections.last_mut()) {
            (Some(line), Some(section)) => section.lines.push(line),
            _ => sections.push(Section { head: line, lines: Vec::new() }),
        }
    }
    sections
}

/// Panics unless the texts say nothing but what these routes may say.
pub(super) fn check(rendered: &Rendered, routes: &Routes, expressions: Expressions) {
    let Rendered { config, map } = rendered;
    // What owners tell people may be in any language, and is looked at with the line that it is in.
    let told = routes.routes.iter().filter_map(|route| route.rules.maintenance.as_ref()?.text.as_deref());
    let plain =
        told.fold(config.clone(), |config, text| config.replace(&text.replace('%', "%%").replace('$', "\\$"), ""));
    for text in [&plain, map] {
        let strange = text.bytes().find(|byte| !matches!(byte, b'\n' | b' ' | b'!'..=b'~'));
        assert!(strange.is_none(), "{strange:?} is in {text:?}");
        assert!(text.ends_with('\n'), "the last line has no end: {text:?}");
    }
    let sections = sections(config);
    let (own, frame): (Vec<&Section>, Vec<&Section>) = sections.iter().partition(|section| section.is_of_a_route());
    check_frame(&frame, routes, expressions);
    let mut own = own.into_iter();
    for route in &routes.routes {
        let Some(section) = own.next() else { panic!("{} is not in {config}", route.name()) };
        check_service(section, route);
    }
    for (route, to) in routes.routes.iter().filter_map(|route| Some((route, &route.redirects.as_ref()?.to))) {
        let Some(section) = own.next() else { panic!("what leads to {to} is not in {config}") };
        assert!(to.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')), "{to:?}");
        let line = format!("http-request redirect code 301 location %[var(txn.scheme)]://{to}%[pathq]");
        assert_eq!(section.head, format!("backend redirect-{}", route.name()));
        assert_eq!(section.lines, [line]);
    }
    let more: Vec<&Section> = own.collect();
    assert!(more.is_empty(), "nobody has asked for {more:?}");
    let backends: Vec<&str> = sections.iter().filter_map(|section| section.head.strip_prefix("backend ")).collect();
    let names: BTreeSet<&str> = backends.iter().copied().collect();
    assert_eq!(names.len(), backends.len(), "two backends of one name: {backends:?}");
    check_map(map, routes, &names);
}

/// Everything that is there without labels, with two things counted or listed of routes.
fn check_frame(frame: &[&Section], routes: &Routes, expressions: Expressions) {
    const PROCESSES: &str = "mworker-max-reloads ";
    const REACHED: &str = "acl reaches nbsrv(";
    let varies = |line: &str| line.starts_with(PROCESSES) || line.starts_with(REACHED);
    let has_stars = routes.routes.iter().flat_map(|route| &route.prefixes).any(|prefix| prefix.host.starts_with('*'));
    let Some((.., expected)) = FRAMES.iter().find(|(stars, kind, _)| (*stars, *kind) == (has_stars, expressions))
    else {
        panic!("there is no frame for {expressions:?}");
    };
    let steady = |section: &Section| -> Vec<String> {
        let lines = section.lines.iter().filter(|line| !varies(line)).map(|line| (*line).to_owned());
        std::iter::once(section.head.to_owned()).chain(lines).collect()
    };
    let expected = sections(expected);
    let expected: Vec<Vec<String>> = expected.iter().filter(|section| !section.is_of_a_route()).map(steady).collect();
    let found: Vec<Vec<String>> = frame.iter().copied().map(steady).collect();
    assert!(found == expected, "another frame than without labels: {found:#?}");
    let all: Vec<&str> = frame.iter().flat_map(|section| section.lines.iter().copied()).collect();
    let processes: Vec<&str> = all.iter().filter_map(|line| line.strip_prefix(PROCESSES)).collect();
    assert!(processes.len() == 1 && processes.iter().all(|number| is_number(number)), "{processes:?}");
    let reached: Vec<&str> = all.iter().copied().filter(|line| line.starts_with(REACHED)).collect();
    let named: Vec<String> =
        routes.routes.iter().map(|route| format!("{REACHED}service-{}) gt 0", route.name())).collect();
    assert_eq!(reached, named);
}

fn check_service(section: &Section, route: &Route) {
    let name = route.name();
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{name:?}");
    assert_eq!(section.head, format!("backend service-{name}"));
    let Some((server, lines)) = section.lines.split_last() else { panic!("{name} has no servers") };
    assert_eq!(*server, format!("server-template task {} tasks.{}:{}", route.slots, route.service, route.port));
    for line in lines {
        let Some(words) = words(line) else { panic!("{name}: HAProxy reads something else than words in {line:?}") };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(is_page(&words, route) || is_known(&words, route), "{name}: no route has the line {line:?}");
    }
    let count = |begins: &str| lines.iter().filter(|line| line.starts_with(begins)).count();
    // A value that goes on as a line of its own would be one more, also when each is one that a route may have.
    let changes: usize = ["http-request", "http-response"]
        .iter()
        .flat_map(|when| ["add-header", "set-header", "del-header"].map(|what| count(&format!("{when} {what} "))))
        .sum();
    assert_eq!(changes, route.rules.request_headers.len() + route.rules.response_headers.len(), "{lines:?}");
    assert_eq!((count("balance "), count("cookie ")), (1, usize::from(route.rules.sticky)), "{lines:?}");
}

/// Whether a line of these words is a page that the edge answers with for this route.
fn is_page(words: &[&str], route: &Route) -> bool {
    let (maintenance, limits) = (&route.rules.maintenance, &route.rules.limits);
    PAGES.iter().any(|page| match (page.iter().any(|word| word == "maintenance"), maintenance) {
        (false, _) => limits.body_size.is_some() && words == page.as_slice(),
        (true, None) => false,
        (true, Some(Maintenance { text: None })) => words == page.as_slice(),
        (true, Some(Maintenance { text: Some(text) })) => {
            let told = format!("{IN_MAINTENANCE} {}", text.replace('%', "%%"));
            let is_harmless = !text.contains(|c: char| c.is_control() || "<>&\"\\".contains(c));
            is_harmless && page.iter().map(|word| word.replace(IN_MAINTENANCE, &told)).eq(words.iter().copied())
        }
    })
}

/// Whether a line of these words is one that a route may have.
fn is_known(words: &[&str], route: &Route) -> bool {
    let name = route.name();
    match words {
        words if words.iter().any(|word| word.contains('\n')) => false,
        ["stick-table", "type", "ipv6", "size", "10k", "expire", "10s", "store", "http_req_rate(10s)"]
        | ["http-request", "track-sc0", "req.hdr_ip(x-forwarded-for,-1),ipmask(32,64)" | "src,ipmask(32,64)"] => {
            route.rules.limits.request_rate.is_some()
        }
        ["http-request", "deny", "deny_status", status, "if", "{", of, "gt", most, "}"] => {
            let all = [("429", "sc_http_req_rate(0)"), ("413", "req.body_size")];
            all.contains(&(*status, *of)) && is_number(most)
        }
        ["http-request", "set-var(txn.full)", "bool(true)", "if", "{", "be_conn", "gt", most, "}"] => is_number(most),
        ["http-request", "deny", "deny_status", "503", "if", "{", "var(txn.full)", "-m", "bool", "}"] => true,
        ["timeout", "connect", time] => time.strip_suffix('s').is_some_and(is_number),
        ["balance", how] => ["leastconn", "roundrobin", "random"].contains(how),
        ["cookie", cookie, rest @ ..] => *cookie == format!("futuswarm-{name}") && rest == STICKY,
        ["dynamic-cookie-key", key] => *key == name,
        ["compression", "algo", algorithms @ ..] => {
            !algorithms.is_empty() && algorithms.iter().all(|one| ["gzip", "deflate", "raw-deflate"].contains(one))
        }
        ["compression", "type", types @ ..] => !types.is_empty() && types.iter().all(|media| is_media_type(media)),
        ["timeout", "server" | "tunnel", time] => time.strip_suffix('s').is_some_and(is_number),
        ["http-request", "redirect", "code", code, "location", to, "unless", rest @ ..] => {
            is_number(code) && *to == "https://%[var(txn.host)]%[pathq]" && rest == OVER_HTTPS
        }
        ["http-request", "deny", "unless", rest @ ..] if rest == OVER_HTTPS => true,
        ["http-request", "deny", "if" | "unless", "{", "method", methods @ .., "}"] => {
            !methods.is_empty() && methods.iter().all(|method| is_method(method))
        }
        ["http-request" | "http-response", "add-header" | "set-header", header, value] => {
            is_free(header) && !header.eq_ignore_ascii_case("cookie") && is_literal(value)
        }
        ["http-request" | "http-response", "del-header", header] => is_free(header),
        ["http-request", "set-var(req.path)", expression] => rewrites(expression) == Some(route.rules.rewrites.len()),
        ["http-request", "set-path", "%[var(req.path)]", "if", rest @ ..] => rest == WITH_SLASH,
        ["http-request", "set-path", "/%[var(req.path)]", "if", rest @ ..] => rest == WITHOUT_SLASH,
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_media_type(text: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!&^_.+-".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest))
}

/// What begins with `-` would be an option.
fn is_method(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// Whether a label may change a header of this name.
fn is_free(header: &str) -> bool {
    let low = header.to_ascii_lowercase();
    !low.is_empty()
        && low.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !UNTOUCHED.contains(&low.as_str())
        && !UNTOUCHED_BEGINNINGS.iter().any(|beginning| low.starts_with(beginning))
}

/// A value without variables and samples, which a single percent sign begins.
fn is_literal(value: &str) -> bool {
    !value.is_empty() && !value.replace("%%", "").contains('%')
}

/// How often a path is changed by an expression that does nothing else. Within single quotes nothing but the next one has a meaning.
fn rewrites(expression: &str) -> Option<usize> {
    let (mut rest, mut count) = (expression.strip_prefix("path")?, 0);
    while !rest.is_empty() {
        let (_search, behind) = rest.strip_prefix(",regsub('")?.split_once('\'')?;
        let (_replace, behind) = behind.strip_prefix(",'")?.split_once('\'')?;
        let (flags, behind) = behind.split_once(')')?;
        if !["", ",g", ",i", ",gi"].contains(&flags) {
            return None;
        }
        (rest, count) = (behind, count + 1);
    }
    Some(count)
}

/// The words of a line as HAProxy divides them (its manual, section 2.2). `None` for everything that is more than that: a quote that is
/// not closed, a comment, a variable of the environment, or an escape that could stand for another character.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        let c = match (c, quote) {
            ('\\', None | Some('"')) => match characters.next()? {
                'n' => '\n',
                next => Some(next).filter(|next| matches!(next, '\\' | '"' | '$'))?,
            },
            ('$', Some('"')) | ('#', None) => return None,
            (c, Some(open)) if c == open => {
                quote = None;
                continue;
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
                continue;
            }
            (' ', None) => {
                words.extend(word.take());
                continue;
            }
            (c, _) => c,
        };
        word.get_or_insert_default().push(c);
    }
    words.extend(word);
    (quote.is_none() && words.len() <= MOST_WORDS).then_some(words)
}

/// Each line of the map is a host with a path that routes name, once, and a backend that there is.
fn check_map(map: &str, routes: &Routes, backends: &BTreeSet<&str>) {
    let mut keys = BTreeSet::new();
    for line in map.split_terminator('\n') {
        let Some((key, backend)) = line.split_once(' ') else { panic!("{line:?} has one word") };
        assert!(backends.contains(backend), "there is no backend {backend:?}");
        assert!(is_key(key), "{key:?} is no host with a path");
        assert!(keys.insert(key.to_owned()), "{key} is in the map twice");
    }
    let key = |host: &str, path: &str| format!("{host}{}/", path.trim_end_matches('/'));
    let mut named = BTreeSet::new();
    for route in &routes.routes {
        for Prefix { host, path } in &route.prefixes {
            named.insert(key(host, path));
            named.extend(route.excluded.iter().map(|path| key(host, path)));
        }
        named.extend(route.redirects.iter().flat_map(|redirects| &redirects.from).map(|host| key(host, "/")));
    }
    assert!(keys == named, "the map has {keys:?}, and routes name {named:?}");
}

fn is_key(key: &str) -> bool {
    let Some((host, path)) = key.split_once('/') else { return false };
    let name = host.strip_prefix("*.").unwrap_or(host);
    !name.is_empty()
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && (path.is_empty() || path.ends_with('/'))
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}

#[cfg(test)]
mod tests;
