//! Random services with random labels, well-formed and not, decided on and served by a real HAProxy: every request gets what the routes
//! promise, by a model that knows nothing of maps.

use super::bench::Edge;
use super::*;
use crate::rules::Plain;

const SERVICES: usize = 12;
const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test", "localhost"];
const PATHS: [&str; 6] = ["/", "/api", "/api/", "/api/v2", "/blog,/shop", "/a.b~c"];
/// As a request says it, and as it is looked up.
const ASKED_HOSTS: [(&str, &str); 7] = [
    ("a.test", "a.test"),
    ("B.Test.:8080", "b.test"),
    ("c.test", "c.test"),
    ("localhost", "localhost"),
    ("x.a.test", "x.a.test"),
    ("y.x.a.test", "y.x.a.test"),
    ("r.test", "r.test"),
];
const ASKED: [&str; 10] =
    ["/", "/api", "/api/", "/api/v2/y?q=/blog", "/api/v20", "/x/api", "//api", "/apix", "/shop/", "/a.b~c/d"];
const GOOD: [(&str, &str); 24] = [
    ("servicePathExclude", "/api/v2"),
    ("servicePathExclude", "/shop,/api"),
    ("serviceDomainAlgo", "hdr_dom(host)"),
    ("redirectFromDomain", "r.test"),
    ("redirectFromDomain", "c.test"),
    ("httpsOnly", "true"),
    ("httpsRedirectCode", "307"),
    ("denyHttp", "true"),
    ("srcPort", "443"),
    ("allowedMethods", "GET,HEAD"),
    ("allowedMethods", "POST"),
    ("deniedMethods", "get"),
    ("deniedMethods", "PUT"),
    ("setReqHeader", "X-Set \"a \\\"b\\\" $HOME %% # {c} 'd' \\\\\""),
    ("addResHeader", "X-Back 1,X-Back 2"),
    ("delReqHeader", "X-Gone"),
    ("reqPathSearchReplace", "^/api/(.*),/\\1:/[a-z]+,/x,gi"),
    ("timeoutServer", "60"),
    ("timeoutTunnel", "60"),
    ("sessionType", "sticky-server"),
    ("balanceGroup", "roundrobin"),
    ("compressionAlgo", "gzip"),
    ("port.1", "80"),
    ("servicePath.1", "/one,/api"),
];
/// Each of these would be a hole, or a broken configuration for everybody.
const HOSTILE: [(&str, &str); 12] = [
    ("users", "ada:secret"),
    ("servicePath", "/a\" or"),
    ("servicePath", "/ {"),
    ("serviceDomain", "a.test\nbackend evil"),
    ("serviceDomain", "*.test"),
    ("setReqHeader", "X-A a\n    http-request allow"),
    ("setReqHeader", "Remote-User ada"),
    ("addResHeader", "X-A %[env(HOME)]"),
    ("reqPathSearchReplace", "(a+)+$,/"),
    ("backendExtra", "server evil 1.2.3.4:80"),
    ("compressionType", "text/html }"),
    ("timeoutServer", "1s\n"),
];

fn any_service(random: &mut fastrand::Rng, index: usize) -> Service {
    let hosts: Vec<&str> = (0..random.usize(1..3)).map(|_| HOSTS[random.usize(..HOSTS.len())]).collect();
    let hosts = hosts.join(",");
    let mut pairs = vec![("serviceDomain", hosts.as_str()), ("servicePath", PATHS[random.usize(..PATHS.len())])];
    pairs.extend((0..random.usize(..4)).map(|_| GOOD[random.usize(..GOOD.len())]));
    if random.u8(..5) == 0 {
        pairs.push(HOSTILE[random.usize(..HOSTILE.len())]);
    }
    let mut one = service(&format!("s{index}"), &pairs);
    one.created_at = format!("2026-11-27T05:00:{:02}Z", random.u8(..60));
    one.networks[0].attachable = random.u8(..8) > 0;
    one
}

/// Whether a path is, or lies below, another one.
fn lies_below(path: &str, above: &str) -> bool {
    above == "/" || path == above || path.starts_with(&format!("{above}/"))
}

/// Where a request goes.
enum Target<'a> {
    Served(&'a Route),
    /// To another host.
    Led,
}

/// Of all that have a path of a host or something above it, and do not leave it out, the one with the longest.
fn target<'a>(routes: &'a Routes, host: &str, path: &str) -> Option<Target<'a>> {
    let mut all: Vec<(usize, Target)> = Vec::new();
    for route in &routes.routes {
        if route.redirects.iter().any(|redirects| redirects.from.iter().any(|from| from == host)) {
            all.push(("/".len(), Target::Led));
        }
        if route.excluded.iter().any(|excluded| lies_below(path, excluded)) {
            continue;
        }
        let own = route.prefixes.iter().filter(|prefix| prefix.host == host && lies_below(path, &prefix.path));
        all.extend(own.map(|prefix| (prefix.path.len(), Target::Served(route))));
    }
    all.into_iter().max_by_key(|(length, _)| *length).map(|(_, target)| target)
}

/// The service that answers, or the status of an answer that is the edge's own.
fn expected(routes: &Routes, host: &str, asked: &str, https: bool) -> String {
    let path = asked.split('?').next().unwrap_or_default();
    let star = host.split_once('.').map(|(_, name)| format!("*.{name}")).unwrap_or_default();
    match target(routes, host, path).or_else(|| target(routes, &star, path)) {
        Some(Target::Served(route)) => answer(route, https),
        Some(Target::Led) => "301".to_owned(),
        None => "404".to_owned(),
    }
}

/// What a GET gets from a route.
fn answer(route: &Route, https: bool) -> String {
    let rules = &route.rules;
    let get = "GET".to_owned();
    let allowed = rules.allowed_methods.is_empty() || rules.allowed_methods.contains(&get);
    match rules.plain {
        Plain::Redirected(code) if !https => code.to_string(),
        Plain::Denied if !https => "403".to_owned(),
        _ if !allowed || rules.denied_methods.contains(&get) => "403".to_owned(),
        _ => route.service.clone(),
    }
}

fn any_routes(seed: u64, last: &Routes) -> Routes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut services: Vec<Service> = (0..SERVICES).map(|index| any_service(&mut random, index)).collect();
    services.truncate(random.usize(1..=SERVICES));
    random.shuffle(&mut services);
    let reserved = Reserved { hosts: vec!["localhost".to_owned()], owner: "mainpage".to_owned() };
    decide(&services, &reserved, last)
}

#[test]
fn any_services_are_served_as_decided_over_reloads() {
    let names: Vec<(String, String)> =
        (0..SERVICES).map(|index| (format!("s{index}"), format!("{index}.test"))).collect();
    let start = routes(names.iter().map(|(name, host)| route(name, &[(host, "/")])).collect());
    let tasks: Vec<(&str, u8)> = names.iter().map(|(name, _)| (name.as_str(), 1)).collect();
    let edge = Edge::start(&start, true, &tasks);
    let (mut last, mut served, mut refused) = (Routes::default(), 0, 0);
    for seed in 0..8 {
        let decided = any_routes(seed, &last);
        edge.reload(&decided, true);
        for (said, host) in ASKED_HOSTS {
            for asked in ASKED {
                for (https, headers) in [(false, ""), (true, "X-Forwarded-Proto: https\r\n")] {
                    let right = expected(&decided, host, asked, https);
                    edge.wait(&format!("{right} at {said}{asked} with seed {seed}: {decided:?}"), || {
                        let answer = edge.ask("GET", said, asked, headers);
                        right == if answer.status == "200" { answer.service() } else { answer.status.as_str() }
                    });
                    served += usize::from(right.starts_with('s'));
                }
            }
        }
        refused += decided.refused.len();
        last = decided;
    }
    assert!(served > 80 && refused > 8, "{served} served and {refused} refused are too few to tell");
}

#[test]
fn haproxy_accepts_whatever_is_decided() {
    let (mut last, mut rules) = (Routes::default(), 0);
    for seed in 100..160 {
        let decided = any_routes(seed, &last);
        assert_eq!(complaint(&decided, seed % 2 == 0), None, "seed {seed}: {decided:?}");
        rules += decided.routes.iter().filter(|route| route.rules != crate::Rules::default()).count();
        last = decided;
    }
    assert!(rules > 40, "{rules} routes with rules are too few to tell");
}
