//! What is rendered, read by HAProxy itself, and what it does with requests.

mod bench;
mod h2;
mod hostile;
mod labels;
mod limits;
mod log;
mod login;
mod many;
mod metrics;
mod pages;
mod random;
mod reloads;

use std::collections::BTreeSet;
use std::path::Path;

use bench::Edge;

use super::*;
use crate::routes::{Network, Prefix, Reserved, Route, Service, decide};

pub(crate) fn route(service: &str, prefixes: &[(&str, &str)]) -> Route {
    let prefix = |(host, path): &(&str, &str)| Prefix { host: (*host).to_owned(), path: (*path).to_owned() };
    Route {
        service: service.to_owned(),
        prefixes: prefixes.iter().map(prefix).collect(),
        port: 8000,
        network: "futuswarm-core".to_owned(),
        slots: 8,
        ..Route::default()
    }
}

/// A service with these labels, and those that it cannot do without. Only labels that are not Docker Flow Proxy's have their prefix.
fn service(name: &str, pairs: &[(&str, &str)]) -> Service {
    let host = format!("{name}.com");
    let base = [("notify", "true"), ("port", "80"), ("serviceDomain", host.as_str())];
    let named = |label: &str| match label.starts_with("com.") {
        true => label.to_owned(),
        false => format!("com.df.{label}"),
    };
    let labels = base.iter().chain(pairs).map(|(label, value)| (named(label), (*value).to_owned()));
    Service {
        name: name.to_owned(),
        created_at: "2026-11-27T05:00:00Z".to_owned(),
        labels: labels.collect(),
        networks: vec![Network { name: "net".to_owned(), attachable: true }],
        tasks: 2,
    }
}

/// What edges serve for services with these labels; all of them have to be served.
fn decided(services: &[(&str, &[(&str, &str)])]) -> Routes {
    let services: Vec<Service> = services.iter().map(|(name, pairs)| service(name, pairs)).collect();
    let reserved = Reserved { hosts: vec!["localhost".to_owned()], owner: "mainpage".to_owned() };
    let routes = decide(&services, &reserved, &Routes::default());
    assert!(routes.refused.is_empty(), "{:?}", routes.refused);
    routes
}

/// What HAProxy says of a configuration that is not good, as it is checked or as it is served; `None` of one that is.
fn complaint(routes: &Routes, complete: bool) -> Option<String> {
    let kinds = [Expressions::Interpreted, Expressions::Compiled];
    kinds.into_iter().find_map(|expressions| complaint_of(routes, complete, expressions))
}

fn complaint_of(routes: &Routes, complete: bool, expressions: Expressions) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    said_of(dir.path(), &render(routes, complete, dir.path().to_str().unwrap(), expressions).unwrap())
}

fn said_of(dir: &Path, rendered: &Rendered) -> Option<String> {
    let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    std::fs::write(dir.join(CONFIG_FILE), &rendered.config).unwrap();
    std::fs::write(dir.join(MAP_FILE), &rendered.map).unwrap();
    let check = tools.command("haproxy").unwrap().args(["-c", "-f"]).arg(dir.join(CONFIG_FILE)).output();
    let (check, text) = check.map(|output| (output.status, String::from_utf8(output.stderr).unwrap())).unwrap();
    (!check.success() || text.contains("[WARNING]")).then_some(text)
}

pub(crate) fn routes(routes: Vec<Route>) -> Routes {
    Routes { routes, refused: Vec::new() }
}

fn three() -> Routes {
    routes(vec![
        route("blog", &[("blog.apps.example.com", "/"), ("www.example.com", "/")]),
        route("blog-api", &[("blog.apps.example.com", "/api")]),
        route("mainpage", &[("apps.example.com", "/")]),
    ])
}

fn text(rendered: &Rendered) -> String {
    format!("{}\n== {MAP_FILE}\n{}", rendered.config, rendered.map)
}

#[test]
fn a_cluster_with_three_services() {
    insta::assert_snapshot!(text(&render(&three(), true, "/run/edge", Expressions::Compiled).unwrap()));
}

#[test]
fn a_cluster_without_services() {
    insta::assert_snapshot!(text(&render(&Routes::default(), false, "/run/edge", Expressions::Compiled).unwrap()));
}

/// The agent's unit forbids it and its children to make memory executable: seen on a node, where HAProxy refused everything.
#[test]
fn no_expression_is_compiled_by_a_check() {
    let all = decided(&[("api", &[("serviceDomain", "a.com"), ("port", "80"), ("reqPathSearchReplace", "^/api/,/")])]);
    let checked = render(&all, true, "/run/edge", Expressions::Interpreted).unwrap().config;
    let told = |before: &str| (checked.matches(before).count(), checked.matches(&format!("{before}(*NO_JIT)")).count());
    let [(rewrites, told_rewrites), (names, told_names), (others, told_others)] =
        ["regsub('", "del-header '", "-m reg -i "].map(told);
    assert_eq!((rewrites, names, others), (3, 1, 2));
    assert_eq!((told_rewrites, told_names, told_others), (3, 1, 2));
    assert_eq!(checked.matches("-m reg").count(), names + others);
    let served = render(&all, true, "/run/edge", Expressions::Compiled).unwrap().config;
    assert_eq!(checked.replace("(*NO_JIT)", ""), served);
}

#[test]
fn haproxy_accepts_these_and_none() {
    assert_eq!(complaint(&three(), true), None);
    assert_eq!(complaint(&Routes::default(), false), None);
    assert_eq!(complaint(&Routes::default(), true), None);
}

/// Whatever gets past the checks of labels: HAProxy refuses it, and only it is left out, with HAProxy's own words.
#[tokio::test]
async fn only_what_haproxy_itself_refuses_is_left_out() {
    let mut all: Vec<Route> =
        (0..9).map(|index| route(&format!("s{index}"), &[(&format!("{index}.com"), "/")])).collect();
    all[4].service = "s4 and more".to_owned();
    let check = |some: Vec<Route>| std::future::ready(Ok::<_, String>(complaint(&routes(some), true)));
    let (good, refused) = crate::without_culprits(all, check).await.unwrap();
    assert_eq!(good.len(), 8);
    let [culprit] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(culprit.service == "s4 and more" && culprit.reason.contains("ALERT"), "{culprit:?}");
}

#[test]
fn a_path_matches_at_its_beginning_and_ends_at_a_slash() {
    let all = routes(vec![
        route("api", &[("x.com", "/api")]),
        route("deep", &[("x.com", "/api/v2")]),
        route("only", &[("y.com", "/only")]),
        route("root", &[("x.com", "/")]),
    ]);
    let edge = Edge::start(&all, true, &[("api", 1), ("deep", 1), ("only", 1), ("root", 1)]);
    for (host, path, expected) in [
        ("x.com", "/", "root"),
        ("x.com", "/api", "api"),
        ("x.com", "/api/", "api"),
        ("x.com", "/api/y?q=/api/v2", "api"),
        ("x.com", "/api/v2", "deep"),
        ("x.com", "/api/v2/y", "deep"),
        ("x.com", "/api/v20", "api"),
        ("x.com", "/apix", "root"),
        ("x.com", "/x/api/y", "root"),
        ("x.com", "/blog/api", "root"),
        ("x.com", "//api", "root"),
        ("X.COM:8080", "/api", "api"),
        ("x.com.", "/api", "api"),
        ("y.com", "/only/this", "only"),
        ("y.com", "/", "404"),
        ("y.com", "/onlythis", "404"),
        ("z.x.com", "/", "404"),
        ("com", "/", "404"),
        ("", "/api", "404"),
    ] {
        assert_eq!(edge.get(host, path), expected, "{host} {path}");
    }
}

#[test]
fn any_number_of_host_names_and_later_services_are_served() {
    let hosts: Vec<String> = (0..500).map(|index| format!("h{index}.example.com")).collect();
    let prefixes: Vec<(&str, &str)> = hosts.iter().map(|host| (host.as_str(), "/")).collect();
    let all = routes(vec![route("many", &prefixes), route("zz", &[("zz.com", "/")])]);
    let edge = Edge::start(&all, true, &[("many", 1), ("zz", 1)]);
    for host in ["h0.example.com", "h63.example.com", "h499.example.com"] {
        assert_eq!(edge.get(host, "/x"), "many", "{host}");
    }
    assert_eq!(edge.get("zz.com", "/"), "zz");
}

#[test]
fn every_one_of_twenty_tasks_is_served() {
    let mut all = routes(vec![route("big", &[("big.com", "/")])]);
    all.routes[0].slots = 32;
    let edge = Edge::start(&all, true, &[("big", 20)]);
    let mut tasks = BTreeSet::new();
    edge.wait("all tasks", || {
        tasks.insert(edge.task("big.com"));
        tasks.len() == 20
    });
}

#[test]
fn only_a_complete_edge_that_reaches_tasks_is_healthy() {
    let all = routes(vec![route("one", &[("one.com", "/")])]);
    let edge = Edge::start(&all, false, &[("one", 1)]);
    assert_eq!(edge.get("one.com", "/"), "one", "it serves what it has");
    assert_eq!(edge.get("10.0.0.1", "/status"), "503");
    edge.reload(&all, true);
    edge.wait("a healthy edge", || edge.get("10.0.0.1", "/status") == "200");
    let nobody = Edge::start(&all, true, &[]);
    assert_eq!(nobody.get("10.0.0.1", "/status"), "503");
}

/// Requests without a pause while services come and go: none is lost, to whichever service.
/// Seen on machines that were short of processors: a service whose tasks were all well had no server for a second.
#[test]
fn a_name_server_that_says_nothing_takes_no_task_away() {
    let edge = Edge::start(&three(), true, &[("mainpage", 2)]);
    let traffic = edge.traffic("apps.example.com");
    edge.silence(true);
    std::thread::sleep(std::time::Duration::from_secs(12));
    edge.silence(false);
    let (served, lost) = traffic.end();
    assert!(served > 100 && lost.is_empty(), "{} of {served} were lost: {:?}", lost.len(), lost.first());
}

#[test]
fn a_reload_under_traffic_loses_no_request() {
    let with = |others: usize| {
        let mut all = vec![route("steady", &[("steady.com", "/")])];
        let names: Vec<String> = (0..others).map(|index| format!("t{index}")).collect();
        all.extend(names.iter().map(|name| route(name, &[(&format!("{name}.com"), "/")])));
        routes(all)
    };
    let edge = Edge::start(&with(0), true, &[("steady", 3)]);
    let traffic = edge.traffic("steady.com");
    for round in 0..6 {
        edge.reload(&with(round % 3 + 1), true);
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    let (served, lost) = traffic.end();
    assert!(served > 200, "{served} requests are too few to tell");
    assert_eq!(lost, Vec::<String>::new(), "of {}", served + lost.len());
}
