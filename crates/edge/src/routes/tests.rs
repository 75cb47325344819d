//! Decisions about services, one by one and for random ones.

use super::*;

pub(crate) fn service(name: &str, created: u32, pairs: &[(&str, &str)]) -> Service {
    let mut labels: HashMap<String, String> =
        pairs.iter().map(|(key, value)| (format!("com.df.{key}"), (*value).to_owned())).collect();
    labels.entry("com.df.notify".to_owned()).or_insert_with(|| "true".to_owned());
    labels.entry("com.df.port".to_owned()).or_insert_with(|| "80".to_owned());
    Service {
        name: name.to_owned(),
        created_at: format!("2026-11-27T05:00:{created:02}.5Z"),
        labels,
        networks: vec![Network { name: "net".to_owned(), attachable: true }],
        tasks: 2,
    }
}

fn reserved() -> Reserved {
    Reserved { hosts: vec!["apps.example.com".to_owned(), "localhost".to_owned()], owner: "mainpage".to_owned() }
}

fn decided(services: &[Service]) -> Routes {
    decide(services, &reserved(), &Routes::default())
}

fn owner<'a>(routes: &'a Routes, host: &str, path: &str) -> Option<&'a str> {
    let prefix = Prefix { host: host.to_owned(), path: path.to_owned() };
    let leads = |route: &Route| {
        path == "/" && route.redirects.iter().any(|redirects| redirects.from.iter().any(|from| from == host))
    };
    let mut owners = routes.routes.iter().filter(|route| route.prefixes.contains(&prefix) || leads(route));
    let owner = owners.next().map(|route| route.service.as_str());
    assert!(owners.next().is_none(), "two services have {host}{path}");
    owner
}

fn reason<'a>(routes: &'a Routes, service: &str) -> &'a str {
    routes.refused.iter().find(|refusal| refusal.service == service).map_or("", |refusal| refusal.reason.as_str())
}

#[test]
fn the_older_service_keeps_a_host() {
    let (old, young) =
        (service("zebra", 1, &[("serviceDomain", "x.com")]), service("ant", 2, &[("serviceDomain", "x.com,y.com")]));
    for services in [[old.clone(), young.clone()], [young, old]] {
        let routes = decided(&services);
        assert_eq!(owner(&routes, "x.com", "/"), Some("zebra"));
        assert_eq!(owner(&routes, "y.com", "/"), Some("ant"), "what nobody else has is served");
        assert_eq!(reason(&routes, "ant"), "x.com/ is served by zebra, which had it first");
    }
}

#[test]
fn a_service_that_is_updated_takes_nothing_from_who_has_it() {
    let (old, young) =
        (service("old", 1, &[("serviceDomain", "x.com")]), service("young", 2, &[("serviceDomain", "y.com")]));
    let before = decided(&[old, young.clone()]);
    let greedy = service("old", 1, &[("serviceDomain", "x.com,y.com")]);
    let after = decide(&[greedy.clone(), young], &reserved(), &before);
    assert_eq!(owner(&after, "y.com", "/"), Some("young"));
    let gone = decide(&[greedy], &reserved(), &after);
    assert_eq!(owner(&gone, "y.com", "/"), Some("old"), "once its holder has gone, the other gets it");
    assert!(gone.refused.is_empty());
}

#[test]
fn fractions_of_a_second_are_compared_as_numbers() {
    let mut a = service("a", 1, &[("serviceDomain", "x.com")]);
    let mut b = service("b", 1, &[("serviceDomain", "x.com")]);
    a.created_at = "2026-11-27T05:00:00.12Z".to_owned();
    b.created_at = "2026-11-27T05:00:00.1Z".to_owned();
    assert_eq!(owner(&decided(&[a, b]), "x.com", "/"), Some("b"));
}

#[test]
fn core_names_belong_to_core_services() {
    let page = service("mainpage", 9, &[("serviceDomain", "apps.example.com,localhost")]);
    let thief = service("thief", 1, &[("serviceDomain", "apps.example.com,own.com"), ("servicePath", "/,/x")]);
    let routes = decided(&[page, thief]);
    assert_eq!(owner(&routes, "apps.example.com", "/"), Some("mainpage"));
    assert_eq!(owner(&routes, "apps.example.com", "/x"), None);
    assert_eq!(owner(&routes, "own.com", "/x"), Some("thief"));
    assert!(reason(&routes, "thief").contains("apps.example.com belongs to the core service mainpage"));
}

#[test]
fn one_path_with_and_without_a_slash_is_the_same() {
    let old = service("old", 1, &[("serviceDomain", "x.com"), ("servicePath", "/api")]);
    let young = service("young", 2, &[("serviceDomain", "x.com"), ("servicePath", "/api/")]);
    let routes = decided(&[young, old]);
    assert_eq!(owner(&routes, "x.com", "/api"), Some("old"));
    assert_eq!(reason(&routes, "young"), "x.com/api is served by old, which had it first");
}

#[test]
fn a_network_that_the_edge_cannot_join_is_told_and_hurts_nobody_else() {
    let mut stack = service("blog", 1, &[("serviceDomain", "blog.com")]);
    stack.networks[0] = Network { name: "blog_default".to_owned(), attachable: false };
    let mut alone = service("alone", 1, &[("serviceDomain", "alone.com")]);
    alone.networks.clear();
    let mut both = service("both", 1, &[("serviceDomain", "both.com")]);
    both.networks.insert(0, Network { name: "closed".to_owned(), attachable: false });
    let routes = decided(&[stack, alone, both, service("good", 1, &[("serviceDomain", "good.com")])]);
    assert_eq!(owner(&routes, "good.com", "/"), Some("good"));
    assert_eq!(routes.routes.iter().find(|route| route.service == "both").unwrap().network, "net");
    assert!(reason(&routes, "blog").contains("cannot join blog_default"), "{:?}", routes.refused);
    assert!(reason(&routes, "alone").contains("on no overlay network"), "{:?}", routes.refused);
}

#[test]
fn bad_labels_are_told_by_name() {
    let secret = service("secret", 1, &[("serviceDomain", "s.com"), ("users", "ada:x")]);
    let routes = decided(&[secret]);
    assert!(routes.routes.is_empty());
    assert!(reason(&routes, "secret").starts_with("its label com.df.users is"), "{:?}", routes.refused);
}

#[test]
fn there_is_a_place_for_every_task_and_for_an_update() {
    for tasks in [0, 1, 2, 7, 20, 100, 500] {
        let slots = slots(tasks);
        assert!(slots >= tasks + SPARE_TASKS && slots <= MOST_TASKS, "{tasks}: {slots}");
    }
    assert_eq!((slots(20), slots(u32::MAX)), (64, MOST_TASKS));
}

#[test]
fn a_document_from_before_there_were_rules_is_read_and_written_as_it_was() {
    let old = r#"{"routes":[{"service":"blog","prefixes":[{"host":"x.com","path":"/"}],"port":80,"network":"net","slots":8}],"refused":[]}"#;
    let routes: Routes = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&routes).unwrap(), old);
    assert_eq!(decide(&[service("blog", 1, &[("serviceDomain", "x.com")])], &reserved(), &Routes::default()), routes);
    let mut all = service(
        "all",
        1,
        &[
            ("serviceDomain", "x.com,*.x.com"),
            ("servicePathExclude", "/admin"),
            ("redirectFromDomain", "old.com"),
            ("httpsOnly", "true"),
            ("denyHttp.2", "true"),
            ("port.1", "1"),
            ("servicePath.2", "/api"),
            ("setReqHeader", "X-A 1"),
            ("addResHeader", "X-B 2"),
            ("delResHeader", "X-C"),
            ("compressionAlgo", "gzip"),
            ("balanceGroup", "random"),
            ("reqPathSearchReplace", "/a,/b,g"),
        ],
    );
    for (label, value) in
        [("maintenance", "true"), ("maintenanceText", "Back soon"), ("requestRate", "9"), ("bodySize", "1 GiB")]
    {
        all.labels.insert(format!("com.futuswarm.{label}"), value.to_owned());
    }
    let everything = decided(&[all]);
    let text = serde_json::to_string(&everything).unwrap();
    assert_eq!(serde_json::from_str::<Routes>(&text).unwrap(), everything, "{text}");
    assert_eq!(everything.routes.len(), 2);
    let names: Vec<String> = everything.routes.iter().map(Route::name).collect();
    assert_eq!(names, ["all.1", "all.2"]);
}

#[test]
fn subdomains_are_for_who_gets_the_domain() {
    let old = service("old", 1, &[("serviceDomain", "x.com")]);
    let young = service("young", 2, &[("serviceDomain", "x.com,*.x.com,y.com,*.y.com")]);
    let exact = service("exact", 3, &[("serviceDomain", "a.y.com")]);
    let routes = decided(&[old, young, exact]);
    assert_eq!(owner(&routes, "*.x.com", "/"), None);
    assert_eq!(owner(&routes, "*.y.com", "/"), Some("young"));
    assert_eq!(owner(&routes, "a.y.com", "/"), Some("exact"), "a name goes before a star");
    let reasons: Vec<&str> = routes.refused.iter().map(|refusal| refusal.reason.as_str()).collect();
    let star = "*.x.com is served for who has x.com as well, and this service has not";
    assert_eq!(reasons, [star, "x.com/ is served by old, which had it first"]);
    let bare = service("bare", 1, &[("serviceDomain", "apps.example.com,*.apps.example.com,z.com")]);
    let routes = decided(&[bare]);
    assert_eq!(owner(&routes, "*.apps.example.com", "/"), None, "nobody gets all apps");
    assert_eq!(owner(&routes, "z.com", "/"), Some("bare"));
}

#[test]
fn a_host_that_leads_elsewhere_is_held_as_one_that_is_served() {
    let leads = service("leads", 2, &[("serviceDomain", "www.x.com,x.org"), ("redirectFromDomain", "x.com")]);
    let wants = service("wants", 1, &[("serviceDomain", "x.com"), ("servicePath", "/,/api")]);
    let before = decided(std::slice::from_ref(&leads));
    let redirects = Redirects { from: vec!["x.com".to_owned()], to: "www.x.com".to_owned() };
    assert_eq!(before.routes[0].redirects, Some(redirects));
    let after = decide(&[leads.clone(), wants.clone()], &reserved(), &before);
    assert_eq!((owner(&after, "x.com", "/"), owner(&after, "x.com", "/api")), (Some("leads"), Some("wants")));
    assert_eq!(reason(&after, "wants"), "x.com/ is served by leads, which had it first");
    let fresh = decided(&[leads.clone(), wants.clone()]);
    assert_eq!(owner(&fresh, "x.com", "/"), Some("wants"), "of two the older one");
    assert_eq!(fresh.routes[0].redirects, None);
    let thief = service("thief", 1, &[("serviceDomain", "t.com"), ("redirectFromDomain", "localhost")]);
    assert!(reason(&decided(&[thief]), "thief").contains("localhost belongs to the core service"));
}

#[test]
fn who_serves_no_host_leads_none_away() {
    let lost = service("lost", 2, &[("serviceDomain", "x.com"), ("redirectFromDomain", "y.com")]);
    let routes = decided(&[
        service("first", 1, &[("serviceDomain", "x.com")]),
        lost,
        service("third", 3, &[("serviceDomain", "y.com")]),
    ]);
    assert_eq!(owner(&routes, "y.com", "/"), Some("third"));
    let reasons: Vec<&str> = routes.refused.iter().map(|refusal| refusal.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["x.com/ is served by first, which had it first", "y.com cannot lead to a host that this service does not get"]
    );
    // The first of its hosts that it gets is where others lead.
    let half = service("half", 2, &[("serviceDomain", "x.com,z.com"), ("redirectFromDomain", "y.com")]);
    let routes = decided(&[service("first", 1, &[("serviceDomain", "x.com")]), half]);
    assert_eq!(routes.routes[1].redirects.as_ref().unwrap().to, "z.com");
}

/// For random services in random orders: every well-formed service is served under what nobody held before it, nothing is served
/// twice, who was served stays so while it asks for it, and malformed ones change nothing for the others.
#[test]
fn any_services_in_any_order() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut living: Vec<Service> = Vec::new();
        let mut last = Routes::default();
        for step in 0..20 {
            if random.u8(..) < 80 && !living.is_empty() {
                living.remove(random.usize(..living.len()));
            } else {
                living.push(any_service(&mut random, seed * 100 + step));
            }
            random.shuffle(&mut living);
            let routes = decide(&living, &reserved(), &last);
            check(&routes, &living, &last, seed);
            let good: Vec<Service> = living.iter().filter(|one| accepted(one).is_ok()).cloned().collect();
            assert_eq!(decide(&good, &reserved(), &last).routes, routes.routes, "seed {seed}: a malformed one matters");
            last = routes;
        }
    }
}

fn any_service(random: &mut fastrand::Rng, id: u64) -> Service {
    let mut hosts: Vec<String> = (0..random.usize(1..4)).map(|_| format!("h{}.com", random.u8(..6))).collect();
    if random.u8(..4) == 0 {
        hosts.push(format!("*.{}", hosts[0]));
    }
    let path = *random.choice(["/", "/api", "/api/", "/a,/b", "/api/v1"].iter()).unwrap();
    let mut one = service(
        &format!("s{id}"),
        random.u32(..60),
        &[("serviceDomain", hosts.join(",").as_str()), ("servicePath", path)],
    );
    let mut say = |label: &str, value: &str| drop(one.labels.insert(format!("com.df.{label}"), value.to_owned()));
    match random.u8(..16) {
        0 => one.networks.clear(),
        1 => one.networks[0].attachable = false,
        2 => say("users", "a:b"),
        3 => say("port", "x"),
        4 => say("serviceDomain", "localhost"),
        5 => say("redirectFromDomain", "h7.com,h8.com"),
        // Perhaps one of its own, which is refused.
        6 => say("redirectFromDomain", "h0.com"),
        7 => {
            say("servicePath.1", "/one");
            say("servicePath.2", "/two");
        }
        8 => say("servicePathExclude", "/api/v1/x"),
        _ => {}
    }
    one
}

/// What a service asks for without stars: hosts that it serves, and hosts that lead to those.
fn places(service: &Service) -> (Vec<Prefix>, Vec<Prefix>) {
    let Ok(Some((request, _))) = accepted(service) else { return (Vec::new(), Vec::new()) };
    let (mut served, mut leading) = (Vec::new(), Vec::new());
    for one in request.destinations {
        for host in one.hosts.iter().filter(|host| !host.starts_with("*.") && !reserved().hosts.contains(host)) {
            served.extend(one.paths.iter().map(|path| Prefix { host: host.clone(), path: path.clone() }));
        }
        leading.extend(one.redirected.into_iter().map(|host| Prefix { host, path: "/".to_owned() }));
    }
    (served, leading)
}

fn check(routes: &Routes, living: &[Service], last: &Routes, seed: u64) {
    for one in living {
        if !matches!(accepted(one), Ok(Some(_))) {
            assert!(routes.routes.iter().all(|route| route.service != one.name), "seed {seed}: {one:?} is served");
            assert!(!reason(routes, &one.name).is_empty(), "seed {seed}: nobody says why {one:?} is not served");
            continue;
        }
        for Prefix { host, path } in places(one).0 {
            let served = owner(routes, &host, &path).expect("somebody who asks for it gets it");
            let held = owner(last, &host, &path).filter(|holder| {
                living.iter().any(|other| other.name == *holder && still_asks(routes, other, &host, &path))
            });
            assert!(held.is_none_or(|held| held == served), "seed {seed}: {served} took {host}{path} from {held:?}");
        }
    }
    for route in &routes.routes {
        for prefix in route.prefixes.iter().filter(|prefix| prefix.host.starts_with("*.")) {
            let has = routes.routes.iter().filter(|other| other.service == route.service);
            let name = &prefix.host[2..];
            assert!(has.flat_map(|other| &other.prefixes).any(|other| other.host == name), "seed {seed}: {prefix:?}");
        }
        if let Some(redirects) = &route.redirects {
            assert!(route.prefixes.iter().any(|prefix| prefix.host == redirects.to), "seed {seed}: {route:?}");
        }
    }
}

/// Whether a service still asks for what it had: a host that led to another does so only while it is given one to lead to.
fn still_asks(routes: &Routes, service: &Service, host: &str, path: &str) -> bool {
    let (served, leading) = places(service);
    let asked = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.host == host && prefix.path == path);
    asked(&served) || (asked(&leading) && routes.routes.iter().any(|route| route.service == service.name))
}
