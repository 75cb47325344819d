//! Every row of the table with good and bad values, and what labels become together.

mod changes;
mod ours;
mod samples;

use super::table::{PARAMETERS, Parameter};
use super::*;
use crate::rules::{Balance, Compression, Header, Plain};
use samples::{HOSTILE, SAMPLES};

/// Labels of a service that is served, and these.
fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let base = [("notify", "true"), ("serviceDomain", "a.com"), ("port", "80")];
    base.iter().chain(pairs).map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
}

/// The only destination of a service with these labels.
fn served(pairs: &[(&str, &str)]) -> Destination {
    let mut destinations = request(&labels(pairs)).unwrap().unwrap().destinations;
    assert_eq!(destinations.len(), 1);
    destinations.remove(0)
}

fn reason(pairs: &[(&str, &str)]) -> String {
    request(&labels(pairs)).unwrap_err().to_string()
}

#[test]
fn every_parameter_has_values_that_are_accepted_and_values_that_are_not() {
    let sampled: Vec<&str> = SAMPLES.iter().map(|sample| sample.name).collect();
    let known: Vec<&str> = PARAMETERS.iter().map(|row| row.name).collect();
    assert_eq!(sampled, known, "each row of the table has its samples, in the order of the table");
    for (row, sample) in PARAMETERS.iter().zip(SAMPLES) {
        assert_eq!(sample.good.is_empty(), row.verdict == Verdict::Refused, "good values of {}", row.name);
        assert_eq!(sample.bad.is_empty(), row.verdict == Verdict::Neutral, "bad values of {}", row.name);
        let name = row.name.replace('*', "One");
        let numbered = format!("{name}.1");
        for name in [&name, &numbered].into_iter().take(if row.numbered { 2 } else { 1 }) {
            let with = |value: &str| {
                let first = if *name == numbered { ("port.1", "80") } else { ("port", "80") };
                let mut all = labels(sample.beside);
                all.extend(labels(&[first, (name.as_str(), value)]));
                request(&all)
            };
            for good in sample.good {
                let accepted = with(good);
                assert!(matches!(accepted, Ok(Some(_))), "{name}={good:?}: {accepted:?}");
            }
            let hostile: &[&str] = if row.verdict == Verdict::Neutral { &[] } else { &HOSTILE };
            for bad in sample.bad.iter().chain(hostile) {
                let Err(error) = with(bad) else { panic!("{name}={bad:?} is accepted") };
                assert_eq!(error.label, format!("{PREFIX}{name}"), "{name}={bad:?}: {error}");
                assert!(!error.reason.is_empty() && !error.to_string().contains(['\n', '\0', '\r']), "{error}");
            }
        }
        if !row.numbered && !row.name.ends_with('*') {
            let value = sample.good.first().or(sample.bad.first()).unwrap();
            let error = request(&labels(&[(&numbered, value), ("port.1", "80")])).unwrap_err();
            assert_eq!(error.label, format!("{PREFIX}{numbered}"));
        }
    }
}

/// The table of `docs/routing.md`, as it has to be.
fn rows() -> String {
    let row = |Parameter { name, numbered, verdict, says }: &Parameter| {
        let verdict = match verdict {
            Verdict::Honoured => "honoured",
            Verdict::Differently => "differently",
            Verdict::Neutral => "no effect",
            Verdict::RefusedUnlessOff => "refused, unless `false`",
            Verdict::Refused => "refused",
        };
        format!("| `{name}`{} | {verdict} | {says} |\n", if *numbered { " `.1`" } else { "" })
    };
    PARAMETERS.iter().map(row).collect()
}

#[test]
fn the_document_has_a_row_for_every_parameter() {
    let document = include_str!("../../../../docs/routing.md");
    let begins = |line: &&str| line.starts_with("| `") && line.matches(" | ").count() == 2;
    let told: String = document.lines().filter(begins).map(|line| format!("{line}\n")).collect();
    assert_eq!(told, rows(), "the table of docs/routing.md, and that of crates/edge/src/labels/table.rs");
}

#[test]
fn the_example_of_the_document_is_served() {
    let lines = include_str!("../../../../docs/routing.md").lines();
    let pairs =
        lines.filter_map(|line| line.trim_start().split_once(": ")).filter(|(label, _)| label.starts_with(PREFIX));
    let labels = pairs.map(|(label, value)| (label.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
    assert_eq!(request(&labels.collect()).unwrap().unwrap().destinations.len(), 2);
}

#[test]
fn labels_become_a_request() {
    let labels = labels(&[
        ("distribute", "true"),
        ("serviceDomain", "Blog.example.com, www.example.com.,blog.example.com"),
        ("servicePath", "/b/, /a,/b"),
        ("scrapePort", "9090"),
    ]);
    let destination = request(&labels).unwrap().unwrap().destinations.remove(0);
    assert_eq!(destination.hosts, ["blog.example.com", "www.example.com"]);
    assert_eq!((&destination.paths[..], destination.port), (&["/a".to_owned(), "/b".to_owned()][..], 80));
    assert_eq!((destination.number, &destination.rules), (0, &Rules::default()));
}

#[test]
fn a_service_without_notify_is_not_served_and_nothing_of_it_is_read() {
    let hostile: HashMap<String, String> = [("com.df.users", "a:b"), ("com.df.\n", "\0"), ("com.df.port", "x")]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into();
    assert_eq!(request(&hostile), Ok(None));
    for off in ["false", "0", ""] {
        let mut all = hostile.clone();
        all.insert("com.df.notify".to_owned(), off.to_owned());
        assert_eq!(request(&all), Ok(None));
        assert_eq!(check(&all), Ok(()));
    }
    assert!(check(&labels(&[("users", "a:b")])).is_err());
}

#[test]
fn what_is_missing_is_told() {
    for (label, value) in [("serviceDomain", ""), ("port", " ")] {
        let error = request(&labels(&[(label, value)])).unwrap_err();
        assert_eq!((error.label, error.value), (format!("{PREFIX}{label}"), Some(String::new())));
    }
    assert_eq!(reason(&[("port", "")]), "its label com.df.port is \"\": a port between 1 and 65535 is needed");
}

#[test]
fn a_label_that_nobody_knows_is_refused_and_the_right_spelling_told() {
    assert!(reason(&[("httpsonly", "true")]).ends_with("it is written com.df.httpsOnly"));
    assert!(
        reason(&[("serviceDomains", "a.com")]).contains("com.df.serviceDomains is refused: the edge does not know it")
    );
    for unknown in ["", ".", ".1", "port.", "port.0", "port.01", "port.256", "port.1.1", "notify.1", "Port "] {
        let error = request(&labels(&[(unknown, "80")])).unwrap_err();
        assert_eq!(error.label, format!("{PREFIX}{unknown}"));
    }
    assert_eq!(served(&[]), destination_of("com.example.port"), "labels of others are not ours to judge");
}

fn destination_of(other: &str) -> Destination {
    let mut all = labels(&[]);
    all.insert(other.to_owned(), "x\n".to_owned());
    request(&all).unwrap().unwrap().destinations.remove(0)
}

/// It goes into a bucket, a log, and onto a terminal.
#[test]
fn a_message_is_one_short_line_without_secrets() {
    let long = "x".repeat(10_000);
    for (label, value) in [
        ("servicePath", long.as_str()),
        (long.as_str(), "1"),
        ("a\n\u{1b}[31mb", "1"),
        ("users", "ada:hunter2"),
        ("serviceCert", "hunter2"),
        ("setReqHeader", "Authorization: hunter2"),
        ("addReqHeader", "Authorization \"Bearer hunter2"),
        ("addReqHeader", "Cookie session=hunter2"),
    ] {
        let message = reason(&[(label, value)]);
        assert!(!message.contains("hunter2") && message.len() < 500, "{message}");
        assert!(message.chars().all(|c| !c.is_control()), "{message:?}");
    }
}

#[test]
fn destinations_are_numbered_and_say_what_differs() {
    let all = labels(&[
        ("port.1", "8080"),
        ("servicePath.2", "/api"),
        ("httpsOnly.2", "true"),
        ("redirectFromDomain", "old.com"),
        ("serviceDomain.3", "c.com"),
        ("port.3", "9090"),
        ("servicePathExclude", "/x"),
    ]);
    let told: Vec<_> = request(&all)
        .unwrap()
        .unwrap()
        .destinations
        .into_iter()
        .map(|one| {
            let redirected = one.redirected.join(" ");
            (
                one.number,
                one.hosts.join(" "),
                one.paths.join(" "),
                one.port,
                one.rules.plain,
                redirected,
                one.excluded.join(" "),
            )
        })
        .collect();
    let row = |number: u8, host: &str, path: &str, port: u16, plain: Plain, redirected: &str, excluded: &str| {
        (number, host.to_owned(), path.to_owned(), port, plain, redirected.to_owned(), excluded.to_owned())
    };
    assert_eq!(
        told,
        [
            row(1, "a.com", "/", 8080, Plain::Served, "old.com", "/x"),
            row(2, "a.com", "/api", 80, Plain::Redirected(302), "", ""),
            row(3, "c.com", "/", 9090, Plain::Served, "", "/x"),
        ]
    );
    for (gap, label) in [("port.2", "port.2"), ("allowedMethods.1", "allowedMethods.1"), ("port.11", "port.11")] {
        let error = request(&labels(&[(gap, "80")])).unwrap_err();
        assert_eq!(error.label, format!("{PREFIX}{label}"));
        assert!(error.reason.contains("without a gap"), "{error}");
    }
}

#[test]
fn two_hundred_numbered_labels_are_refused_and_not_counted() {
    let names: Vec<String> = (1..=255).map(|number| format!("port.{number}")).collect();
    let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "80")).collect();
    assert!(reason(&pairs).contains("numbered from 1 to 10"));
    let ten: Vec<String> = (1..=10).map(|number| format!("servicePath.{number}")).collect();
    let paths: Vec<String> = (1..=10).map(|number| format!("/{number}")).collect();
    let pairs: Vec<(&str, &str)> = ten.iter().map(String::as_str).zip(paths.iter().map(String::as_str)).collect();
    assert_eq!(request(&labels(&pairs)).unwrap().unwrap().destinations.len(), 10);
}

#[test]
fn two_destinations_have_no_place_in_common() {
    for (pairs, label) in [
        (&[("port.1", "80"), ("port.2", "81")][..], "servicePath.2"),
        (&[("servicePath.1", "/a"), ("servicePath.2", "/a/")][..], "servicePath.2"),
        (&[("port.1", "80"), ("srcPort.2", "443"), ("port.2", "81")][..], "servicePath.2"),
        (
            &[("port.1", "1"), ("serviceDomain.2", "b.com"), ("redirectFromDomain.2", "a.com")][..],
            "redirectFromDomain.2",
        ),
    ] {
        assert_eq!(request(&labels(pairs)).unwrap_err().label, format!("{PREFIX}{label}"), "{pairs:?}");
    }
}

#[test]
fn a_thousand_paths_are_served_and_more_are_not() {
    let paths = |count: usize| (0..count).map(|index| format!("/p{index}")).collect::<Vec<_>>().join(",");
    assert_eq!(served(&[("servicePath", &paths(1000))]).paths.len(), 1000);
    assert!(reason(&[("servicePath", &paths(1001))]).contains("1001 are too many"));
    let hosts: Vec<String> = (0..3).map(|index| format!("h{index}.com")).collect();
    let all = [("servicePath", paths(700)), ("serviceDomain", hosts.join(","))];
    let pairs = all.each_ref().map(|(label, value)| (*label, value.as_str()));
    assert!(reason(&pairs).contains("more than 2000"), "{}", reason(&pairs));
    let long = format!("/{}", "p".repeat(600));
    assert!(request(&labels(&[("servicePath", &long)])).is_err());
    let long = "x".repeat(20_000);
    assert!(reason(&[("pathType", &long)]).contains("longer than"));
    assert_eq!(served(&[("alertIf", &long), ("alertFor", "a\nb")]), served(&[]), "nobody reads these");
}

#[test]
fn subdomains_are_served_for_who_has_the_domain() {
    assert_eq!(served(&[("serviceDomain", "*.a.com,a.com")]).hosts, ["*.a.com", "a.com"]);
    let all = ["a.com", "b.com", "*.b.com", "*.a.com"];
    assert_eq!(served(&[("serviceDomain", "a.com,b.com,*.b.com"), ("serviceDomainAlgo", "hdr_dom(host)")]).hosts, all);
    assert_eq!(served(&[("serviceDomainMatchAll", "true")]).hosts, ["a.com", "*.a.com"]);
    assert!(reason(&[("serviceDomain", "b.com,*.a.com")]).contains("*.a.com is served for who has a.com as well"));
    let other = labels(&[("port.1", "1"), ("serviceDomain.2", "*.a.com")]);
    assert_eq!(request(&other).unwrap().unwrap().destinations[1].hosts, ["*.a.com"], "another destination has it");
    assert!(reason(&[("serviceDomain", "*.a.com"), ("redirectFromDomain", "b.com")]).contains("there is none"));
}

#[test]
fn each_label_becomes_its_rule() {
    let plain = |pairs: &[(&str, &str)]| served(pairs).rules.plain;
    assert_eq!(plain(&[("httpsOnly", "true")]), Plain::Redirected(302));
    assert_eq!(
        plain(&[("httpsOnly", "true"), ("httpsRedirectCode", "308"), ("denyHttp", "true")]),
        Plain::Redirected(308)
    );
    assert_eq!(plain(&[("redirectWhenHttpProto", "true")]), Plain::Redirected(302));
    assert_eq!(plain(&[("denyHttp", "true")]), Plain::Denied);
    assert_eq!((plain(&[("srcPort", "443")]), plain(&[("srcPort", "80")])), (Plain::Denied, Plain::Served));
    assert_eq!(plain(&[("httpsRedirectCode", "301")]), Plain::Served);
    let rules = served(&[
        ("allowedMethods", "post,GET,Get"),
        ("deniedMethods", "PUT"),
        ("timeoutServer", "5"),
        ("timeoutTunnel", "7200"),
        ("sessionType", "sticky-server"),
        ("balanceGroup", "roundrobin"),
        ("compressionAlgo", "gzip deflate,gzip"),
        ("compressionType", "text/css,text/html"),
    ])
    .rules;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!((rules.allowed_methods, rules.denied_methods), (words(&["GET", "POST"]), words(&["PUT"])));
    assert_eq!((rules.timeout_server, rules.timeout_tunnel), (Some(5), Some(7200)));
    assert_eq!((rules.sticky, rules.balance), (true, Balance::RoundRobin));
    let compression = Compression { algorithms: words(&["gzip", "deflate"]), types: words(&["text/css", "text/html"]) };
    assert_eq!(rules.compression, Some(compression));
    assert_eq!(served(&[("compressionAlgo", "identity")]).rules.compression, None);
    let types = served(&[("compressionAlgo", "gzip")]).rules.compression.unwrap().types;
    assert!(types.contains(&"text/html".to_owned()) && !types.contains(&"image/png".to_owned()), "{types:?}");
}
