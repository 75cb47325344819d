//! Random services, well-formed and not, decided on and served by a real HAProxy: every request reaches whom the rules say.

use std::collections::HashMap;

use super::bench::Edge;
use super::{route, routes};
use crate::routes::{Network, Reserved, Routes, Service, decide};

const SERVICES: usize = 12;
const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test", "localhost"];
const PATHS: [&str; 6] = ["/", "/api", "/api/", "/api/v2", "/blog,/shop", "/a.b~c"];
const ASKED: [&str; 10] =
    ["/", "/api", "/api/", "/api/v2/y?q=/blog", "/api/v20", "/x/api", "//api", "/apix", "/shop/", "/a.b~c/d"];

fn any_service(random: &mut fastrand::Rng, index: usize) -> Service {
    let hosts: Vec<&str> = (0..random.usize(1..3)).map(|_| HOSTS[random.usize(..HOSTS.len())]).collect();
    let hosts = hosts.join(",");
    let path = PATHS[random.usize(..PATHS.len())];
    let mut labels: HashMap<String, String> =
        [("notify", "true"), ("port", "80"), ("serviceDomain", hosts.as_str()), ("servicePath", path)]
            .into_iter()
            .map(|(label, value)| (format!("com.df.{label}"), value.to_owned()))
            .collect();
    let mut attachable = true;
    match random.u8(..8) {
        0 => attachable = false,
        1 => drop(labels.insert("com.df.users".to_owned(), "ada:secret".to_owned())),
        2 => drop(labels.insert("com.df.servicePath".to_owned(), "/a\" or".to_owned())),
        _ => {}
    }
    Service {
        name: format!("s{index}"),
        created_at: format!("2026-11-27T05:00:{:02}Z", random.u8(..60)),
        labels,
        networks: vec![Network { name: "net".to_owned(), attachable }],
        tasks: 1,
    }
}

/// The service with the longest path that a request's path is, or lies below.
fn expected<'a>(routes: &'a Routes, host: &str, asked: &str) -> &'a str {
    let asked = asked.split('?').next().unwrap_or_default();
    let lies_below = |path: &str| path == "/" || asked == path || asked.starts_with(&format!("{path}/"));
    let all = routes.routes.iter().flat_map(|route| route.prefixes.iter().map(move |prefix| (prefix, route)));
    all.filter(|(prefix, _)| prefix.host == host && lies_below(&prefix.path))
        .max_by_key(|(prefix, _)| prefix.path.len())
        .map_or("404", |(_, route)| route.service.as_str())
}

#[test]
fn any_services_are_served_as_decided_over_reloads() {
    let names: Vec<(String, String)> =
        (0..SERVICES).map(|index| (format!("s{index}"), format!("{index}.test"))).collect();
    let start = routes(names.iter().map(|(name, host)| route(name, &[(host, "/")])).collect());
    let tasks: Vec<(&str, u8)> = names.iter().map(|(name, _)| (name.as_str(), 1)).collect();
    let edge = Edge::start(&start, true, &tasks);
    let reserved = Reserved { hosts: vec!["localhost".to_owned()], owner: "mainpage".to_owned() };
    let (mut last, mut served, mut refused) = (Routes::default(), 0, 0);
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut services: Vec<Service> = (0..SERVICES).map(|index| any_service(&mut random, index)).collect();
        services.truncate(random.usize(1..=SERVICES));
        random.shuffle(&mut services);
        let decided = decide(&services, &reserved, &last);
        edge.reload(&decided, true);
        for host in HOSTS {
            for asked in ASKED {
                let right = expected(&decided, host, asked);
                edge.wait(&format!("{right} at {host}{asked} with seed {seed}: {decided:?}"), || {
                    edge.get(host, asked) == right
                });
                served += usize::from(right != "404");
            }
        }
        refused += decided.refused.len();
        last = decided;
    }
    assert!(served > 40 && refused > 8, "{served} served and {refused} refused are too few to tell");
}
