//! Labels of services, which whoever may create a service writes, on their way into HAProxy's configuration.

mod written;

use std::collections::{BTreeMap, HashMap};

use futuswarm_edge::{
    Expressions, Network, Prefix, Redirects, Refusal, Rendered, Reserved, Routes, Service, decide, render, request,
};

use crate::round_trip;

/// Of the labels that have no prefix here.
const PREFIX: &str = "com.df.";
/// Of the others that are read.
const OURS: &str = "com.futuswarm.";
/// Services of one input: what a seventh could do, one of six can.
const MOST_SERVICES: usize = 6;
/// A host name of the core services, which no label gets.
const RESERVED: &str = "apps.test";
/// Stands for a line break in a label, where a line break ends it.
const LINE_BREAK: char = '\u{b}';
/// Hosts times paths of one service, as docs/routing.md has it: so many lines of the map are there for it at most.
const MOST_PLACES: usize = 2000;
/// Bytes of the configuration that has no services.
const FRAME: usize = 32 << 10;
/// Bytes of what a route has without its labels' values: 192 lines for headers, and few others.
const OF_A_ROUTE: usize = 16 << 10;
/// Bytes of a reason: it may name all hosts of a label, which has 16 KiB.
const LONGEST_REASON: usize = 18 << 10;

pub(crate) const WORDS: &[&[u8]] = &[
    b"\nservicePath=/api,/b",
    b"\nservicePathExclude=/api/private",
    b"\nserviceDomain=a.test,*.a.test",
    b"\nserviceDomain=apps.test",
    b"\nserviceDomainAlgo=hdr_dom(host)",
    b"\nredirectFromDomain=r.test",
    b"\nport.1=81",
    b"\nservicePath.2=/two",
    b"\nsetReqHeader=X-A \"a b\",X-B c",
    b"\nsetResHeader=X-A %%",
    b"\nreqPathSearchReplace=^/a/(.*),/\\1:/b,/c,gi",
    b"\nallowedMethods=GET,post",
    b"\ncompressionAlgo=gzip\ncompressionType=text/html",
    b"\nsessionType=sticky-server",
    b"\nusers=a:b",
    b"\nbackendExtra=http-request allow",
    b"\n@com.futuswarm.maintenance=true",
    b"\n@com.futuswarm.maintenanceText=until 6 % %[src]",
    b"\n@com.futuswarm.connections=3000",
    b"\n@com.futuswarm.requestRate.1=5",
    b"\n@com.futuswarm.bodySize=10 MiB",
    b"\n@com.futuswarm.timeoutConnect=7",
    b"\nnotify=false",
    b"\n@closed=",
    b"\n@tasks=4294967295",
    b"\n@made=2020-01-01T00:00:00.5Z",
    b"\n\n",
    b"\x0b    http-request allow",
    b"\x0bbackend evil\x0b    server evil 1.2.3.4:80",
    b"\"",
    b"\\",
    b"'",
    b"','b'),lower,regsub('",
    b" if TRUE",
    b" #",
    b"$HOME",
    b"\\$",
    b"%[env(HOME)]",
    b"{{#each backends}}",
    b"}",
    b"\0",
    b"\r",
    b"\t",
    "\u{85}".as_bytes(),
    "🦀".as_bytes(),
];

/// Services with their labels: one label in each line, as `NAME=VALUE` without its prefix, and an empty line before each further service.
/// A line that begins with `@` is no label, but says something else of the service.
pub fn edge_labels(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let blocks = text.split("\n\n").take(MOST_SERVICES).enumerate();
    let services: Vec<Service> = blocks.map(|(index, lines)| service(index, lines)).collect();
    let reserved = Reserved { hosts: vec![RESERVED.to_owned()], owner: "mainpage".to_owned() };
    let routes = decide(&services, &reserved, &Routes::default());
    held(&services, &reserved, &routes);
    refused(&services, &routes);
    match serde_json::to_vec(&routes) {
        Ok(document) => {
            assert!(round_trip::<Routes>(&document).as_ref() == Some(&routes), "it comes back otherwise: {routes:?}")
        }
        Err(error) => panic!("routes cannot be written: {error}"),
    }
    if routes.routes.is_empty() {
        return false;
    }
    let expressions = if data.len().is_multiple_of(2) { Expressions::Compiled } else { Expressions::Interpreted };
    let rendered = match render(&routes, true, written::RUN_DIR, expressions) {
        Ok(rendered) => rendered,
        Err(error) => panic!("{error}: {routes:?}"),
    };
    written::check(&rendered, &routes, expressions);
    bounded(&services, &routes, &rendered);
    routes.refused.is_empty()
}

/// One that is served unless its lines say something else.
fn service(index: usize, lines: &str) -> Service {
    let name = format!("s{index}");
    let base = [("notify", "true".to_owned()), ("port", "80".to_owned()), ("serviceDomain", format!("{name}.test"))];
    let labels: HashMap<String, String> = base.map(|(label, value)| (format!("{PREFIX}{label}"), value)).into();
    let networks = vec![Network { name: "net".to_owned(), attachable: true }];
    let mut service = Service { name, created_at: format!("2026-11-27T05:00:0{index}Z"), labels, networks, tasks: 2 };
    for line in lines.split('\n').filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.replace(LINE_BREAK, "\n");
        match name.strip_prefix('@') {
            Some("tasks") => service.tasks = value.parse().unwrap_or_default(),
            Some("made") => service.created_at = value,
            Some("closed") => service.networks.iter_mut().for_each(|network| network.attachable = false),
            Some("alone") => service.networks.clear(),
            // Of other programs, and those that are not Docker Flow Proxy's.
            Some(other) => drop(service.labels.insert(other.to_owned(), value)),
            None => drop(service.labels.insert(format!("{PREFIX}{}", name.replace(LINE_BREAK, "\n")), value)),
        }
    }
    service
}

/// Who has which host and path: one service each, whatever the order of services, for as long as it asks for it.
fn held(services: &[Service], reserved: &Reserved, routes: &Routes) {
    let reversed: Vec<Service> = services.iter().rev().cloned().collect();
    assert!(decide(&reversed, reserved, &Routes::default()) == *routes, "the order of services decides: {services:?}");
    let had = places(routes);
    assert!(had.keys().all(|place| place.host != RESERVED), "somebody has {RESERVED}: {services:?}");
    let again = decide(services, reserved, routes);
    let has = places(&again);
    for (place, service) in &had {
        assert!(has.get(place) == Some(service), "{service} has lost {place:?}: {services:?}");
    }
}

/// Every host and path that is served or leads elsewhere, and the service that has it.
fn places(routes: &Routes) -> BTreeMap<Prefix, &str> {
    let mut places = BTreeMap::new();
    for route in &routes.routes {
        let mut own = route.prefixes.clone();
        if let Some(Redirects { from, to }) = &route.redirects {
            assert!(own.iter().any(|prefix| prefix.host == *to), "{to} does not belong to {}", route.service);
            own.extend(from.iter().map(|host| Prefix { host: host.clone(), path: "/".to_owned() }));
        }
        for place in own {
            let before = places.insert(place, route.service.as_str());
            assert!(before.is_none(), "{before:?} has a place of {}: {routes:?}", route.service);
        }
    }
    places
}

/// Who is not served is told, by name and in one line; and nobody is served who should not be.
fn refused(services: &[Service], routes: &Routes) {
    for Refusal { service, reason } in &routes.refused {
        assert!(services.iter().any(|one| one.name == *service), "nobody is {service:?}");
        assert!(!reason.is_empty() && reason.len() <= LONGEST_REASON, "{} bytes: {reason}", reason.len());
        assert!(!reason.contains(char::is_control), "{reason:?} is not one line");
    }
    for Service { name, labels, .. } in services {
        let is_served = routes.routes.iter().any(|route| route.service == *name);
        let of_it = routes.refused.iter().filter(|refusal| refusal.service == *name);
        let reasons: Vec<&str> = of_it.map(|refusal| refusal.reason.as_str()).collect();
        match request(labels) {
            Ok(Some(_)) => assert!(is_served || !reasons.is_empty(), "{name} is forgotten: {labels:?}"),
            Ok(None) => assert!(!is_served && reasons.is_empty(), "{name} asks for nothing: {reasons:?}"),
            Err(error) => {
                assert!([PREFIX, OURS].iter().any(|prefix| error.label.starts_with(prefix)), "{error}");
                assert!(!is_served && reasons == [error.to_string()], "{name}: {reasons:?}, and not {error}");
            }
        }
    }
}

/// What comes out is not longer than what went in explains.
fn bounded(services: &[Service], routes: &Routes, rendered: &Rendered) {
    let Rendered { config, map } = rendered;
    let lines = map.lines().count();
    assert!(lines <= MOST_PLACES * services.len(), "{lines} lines of the map for {} services", services.len());
    // A host, a path, and a backend's name.
    assert!(map.lines().all(|line| line.len() <= 253 + 512 + 64), "a long line of the map");
    let of_labels = |name: &str| -> usize {
        let own = services.iter().filter(|service| service.name == name).flat_map(|service| &service.labels);
        own.map(|(label, value)| label.len() + value.len()).sum()
    };
    // Each character of a value is written as two at most.
    let of_routes = routes.routes.iter().map(|route| OF_A_ROUTE + 2 * of_labels(&route.service));
    let most = FRAME + of_routes.sum::<usize>();
    assert!(config.len() <= most, "a configuration of {} bytes, and {most} are explained", config.len());
}
