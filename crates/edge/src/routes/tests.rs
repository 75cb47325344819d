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
    let mut owners = routes.routes.iter().filter(|route| route.prefixes.contains(&prefix));
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
    let hosts: Vec<String> = (0..random.usize(1..4)).map(|_| format!("h{}.com", random.u8(..6))).collect();
    let path = *random.choice(["/", "/api", "/api/", "/a,/b", "/api/v1"].iter()).unwrap();
    let mut one = service(
        &format!("s{id}"),
        random.u32(..60),
        &[("serviceDomain", hosts.join(",").as_str()), ("servicePath", path)],
    );
    match random.u8(..10) {
        0 => one.networks.clear(),
        1 => one.networks[0].attachable = false,
        2 => drop(one.labels.insert("com.df.users".to_owned(), "a:b".to_owned())),
        3 => drop(one.labels.insert("com.df.port".to_owned(), "x".to_owned())),
        4 => drop(one.labels.insert("com.df.serviceDomain".to_owned(), "localhost".to_owned())),
        _ => {}
    }
    one
}

fn check(routes: &Routes, living: &[Service], last: &Routes, seed: u64) {
    for one in living {
        let Ok(Some((request, _))) = accepted(one) else {
            assert!(routes.routes.iter().all(|route| route.service != one.name), "seed {seed}: {one:?} is served");
            assert!(!reason(routes, &one.name).is_empty(), "seed {seed}: nobody says why {one:?} is not served");
            continue;
        };
        for host in request.hosts.iter().filter(|host| !reserved().hosts.contains(host)) {
            for path in &request.paths {
                let served = owner(routes, host, path).expect("somebody who asks for it gets it");
                let held = owner(last, host, path)
                    .filter(|holder| living.iter().any(|other| other.name == *holder && asks(other, host, path)));
                assert!(
                    held.is_none_or(|held| held == served),
                    "seed {seed}: {served} took {host}{path} from {held:?}"
                );
            }
        }
    }
}

fn asks(service: &Service, host: &str, path: &str) -> bool {
    matches!(accepted(service), Ok(Some((request, _)))
        if request.hosts.iter().any(|one| one == host) && request.paths.iter().any(|one| one == path))
}
