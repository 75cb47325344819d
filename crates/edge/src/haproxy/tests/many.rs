//! As many services as a cluster may have, with everything that labels can ask for.

use std::time::Instant;

use super::bench::Edge;
use super::*;

/// A label for each thing that a route can have.
const EVERYTHING: [(&str, &str); 18] = [
    ("servicePathExclude", "/private"),
    ("httpsOnly", "true"),
    ("allowedMethods", "GET,POST"),
    ("deniedMethods", "PUT"),
    ("addReqHeader", "X-A \"a b\",X-B 'c \"d\"'"),
    ("setResHeader", "Content-Security-Policy \"default-src 'self'; img-src https://a.com\""),
    ("delReqHeader", "X-C,Cookie"),
    ("reqPathSearchReplace", "^/old/([^/]+)/(.*)$,/new/\\2/\\1:/a,/b,gi"),
    ("timeoutServer", "30"),
    ("timeoutTunnel", "7200"),
    ("sessionType", "sticky-server"),
    ("balanceGroup", "random"),
    ("compressionAlgo", "gzip"),
    ("compressionType", "text/html application/json"),
    ("com.futuswarm.connections", "500"),
    ("com.futuswarm.requestRate", "100"),
    ("com.futuswarm.bodySize", "10 MiB"),
    ("com.futuswarm.timeoutConnect", "2"),
];

fn thousand() -> Routes {
    let names: Vec<String> = (0..1000).map(|index| format!("s{index}")).collect();
    let domains: Vec<String> = names.iter().map(|name| format!("{name}.com,*.{name}.com")).collect();
    let olds: Vec<String> = names.iter().map(|name| format!("old-{name}.com")).collect();
    let labels: Vec<Vec<(&str, &str)>> = domains
        .iter()
        .zip(&olds)
        .map(|(domain, old)| {
            let own = [("serviceDomain", domain.as_str()), ("redirectFromDomain", old.as_str())];
            own.into_iter().chain(EVERYTHING).collect()
        })
        .collect();
    let services: Vec<(&str, &[(&str, &str)])> =
        names.iter().zip(&labels).map(|(name, labels)| (name.as_str(), labels.as_slice())).collect();
    decided(&services)
}

#[test]
fn a_thousand_services_are_rendered_and_accepted() {
    let all = thousand();
    assert_eq!(all.routes.len(), 1000);
    let started = Instant::now();
    let rendered = render(&all, true, "/run/edge", Expressions::Compiled).unwrap();
    // In tests nothing is optimised much, and the machine may be busy; the benchmark has the figure.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // A name, a star, what neither gets, and a host that leads there.
    assert_eq!(rendered.map.lines().count(), 1000 * 5);
    assert_eq!(rendered.config.matches("\nbackend service-").count(), 1000);
    let frontend = rendered.config.split("\nbackend ").next().unwrap();
    assert!(!frontend.contains("s17"), "the frontend knows no service by name");
    assert_eq!(complaint(&all, true), None);
}

#[test]
fn a_thousand_paths_on_one_host_are_told_apart() {
    let paths: Vec<String> = (0..1000).map(|index| format!("/p{index}")).collect();
    let all = decided(&[
        ("app", &[("servicePath", &paths.join(","))]),
        ("root", &[("serviceDomain", "app.com"), ("servicePath", "/,/p7/deep,/p1000")]),
    ]);
    let edge = Edge::start(&all, true, &[("app", 1), ("root", 1)]);
    for (path, expected) in [
        ("/p0", "app"),
        ("/p999/x", "app"),
        ("/p7/x", "app"),
        ("/p7/deep/x", "root"),
        ("/p7/deeper", "app"),
        ("/p1000", "root"),
        ("/p10000", "root"),
        ("/p", "root"),
    ] {
        assert_eq!(edge.get("app.com", path), expected, "{path}");
    }
}
