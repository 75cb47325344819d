//! Records of a login, and whom Apache is told to let in.

use futuswarm_edge::{Prefix, Redirects};

use super::*;

pub(in crate::login) fn record() -> LoginRecord {
    LoginRecord {
        domain: "apps.test.example".to_owned(),
        open_domain: Some("open.example".to_owned()),
        issuer: "https://idp.example".to_owned(),
        client_id: "edge".to_owned(),
        scopes: vec!["email".to_owned()],
        user_claim: "email".to_owned(),
        groups_claim: Some("groups".to_owned()),
        inactivity_seconds: 3600,
        longest_seconds: 28_800,
        contact: "it@example.com".to_owned(),
        balancers: vec!["10.0.0.0/24".to_owned()],
    }
}

pub(in crate::login) fn provider() -> LoginProvider {
    let url = |path: &str| format!("https://idp.example{path}");
    LoginProvider {
        issuer: url(""),
        authorization: url("/auth"),
        token: url("/token"),
        jwks: url("/jwks"),
        userinfo: None,
        end_session: None,
        secret_in_form: false,
        at: 0,
    }
}

pub(in crate::login) fn route(service: &str, hosts: &[&str]) -> Route {
    let prefix = |host: &&str| Prefix { host: (*host).to_owned(), path: "/".to_owned() };
    Route {
        service: service.to_owned(),
        prefixes: hosts.iter().map(prefix).collect(),
        port: 80,
        slots: 8,
        ..Route::default()
    }
}

pub(in crate::login) fn visitors(all: &[&str]) -> BTreeSet<Visitor> {
    all.iter().map(|visitor| visitor.parse().unwrap()).collect()
}

pub(in crate::login) fn only(all: &[&str]) -> Admission {
    Admission { open: false, only: Some(visitors(all)) }
}

fn places() -> Places {
    let path = |name: &str| format!("/run/login/{name}");
    Places {
        config_dir: path("a"),
        secrets_file: path("a/secrets.conf"),
        run_dir: path("run"),
        upstream: path("socket"),
        authorities: None,
    }
}

/// What is described, and that Apache's configuration can be made of it.
fn described(record: &LoginRecord, locked: &[&str], admissions: Option<&Admissions>, routes: &[Route]) -> Described {
    let locked = Locked { visitors: visitors(locked) };
    let provider = provider();
    let records = Records { record, provider: &provider, locked: &locked, admissions, routes };
    let described = describe(&records, places()).unwrap();
    futuswarm_sso::render(&described.login).unwrap();
    described
}

fn access_of<'a>(described: &'a Described, app: &str) -> Option<&'a Access> {
    described.login.apps.get(&format!("{app}.apps.test.example")).map(|app| &app.access)
}

fn list(all: &[&str]) -> Access {
    Access::Only(all.iter().map(|entry| entry.parse().unwrap()).collect())
}

fn admissions(all: &[(&str, Admission)]) -> Admissions {
    Admissions { apps: all.iter().map(|(app, admission)| ((*app).to_owned(), admission.clone())).collect() }
}

#[test]
fn whom_an_app_admits_is_said_of_its_hosts_in_the_domain() {
    let all = [
        route("listed", &["listed.apps.test.example"]),
        route("world", &["world.apps.test.example", "www.world.example"]),
        route("everybody", &["everybody.apps.test.example"]),
        route("mainpage", &["apps.test.example", "localhost"]),
    ];
    let world = Admission { open: true, only: Some(visitors(&["user:ada"])) };
    let admissions =
        admissions(&[("listed", only(&["group:staff", "user:ada"])), ("world", world), ("gone", only(&[]))]);
    let described = described(&record(), &[], Some(&admissions), &all);
    assert_eq!(access_of(&described, "listed"), Some(&list(&["group:staff", "user:ada"])));
    assert_eq!(access_of(&described, "world"), Some(&Access::Open));
    assert_eq!(access_of(&described, "everybody"), Some(&Access::Everybody), "it is in no document");
    assert_eq!((described.login.apps.len(), described.refused), (3, Vec::new()));
}

#[test]
fn while_nobody_knows_whom_apps_admit_there_is_no_app() {
    let all = [route("everybody", &["everybody.apps.test.example"])];
    assert!(described(&record(), &[], None, &all).login.apps.is_empty());
    assert_eq!(described(&record(), &[], Some(&Admissions::default()), &all).login.apps.len(), 1);
}

#[test]
fn a_list_that_the_login_does_not_take_admits_nobody_and_is_named_and_others_are_as_they_are() {
    let record = LoginRecord { groups_claim: None, ..record() };
    let all = [route("shop", &["shop.apps.test.example"]), route("wiki", &["wiki.apps.test.example"])];
    let admissions = admissions(&[("shop", only(&["group:staff", "user:ada"])), ("wiki", only(&["user:ada"]))]);
    let described = described(&record, &[], Some(&admissions), &all);
    assert_eq!(access_of(&described, "shop"), Some(&list(&[])));
    assert_eq!(access_of(&described, "wiki"), Some(&list(&["user:ada"])));
    let [refused] = described.refused.as_slice() else { panic!("{:?}", described.refused) };
    assert!(refused.starts_with("shop admits nobody: ") && refused.contains("group:staff"), "{refused}");
}

#[test]
fn a_host_of_two_services_lets_in_who_is_admitted_by_both() {
    let at = |service: &str, path: &str| {
        let mut route = route(service, &["shop.apps.test.example"]);
        path.clone_into(&mut route.prefixes[0].path);
        route
    };
    let all = [at("shop", "/"), at("shop-api", "/api")];
    let world = || Admission { open: true, only: None };
    for (shop, api, expected) in [
        (world(), world(), Access::Open),
        (world(), only(&["user:ada"]), list(&["user:ada"])),
        (Admission::default(), world(), Access::Everybody),
        (Admission::default(), only(&["user:ada"]), list(&["user:ada"])),
        (only(&["user:ada", "user:bob"]), only(&["user:bob", "group:x"]), list(&["user:bob"])),
        (only(&["user:ada"]), only(&["user:bob"]), list(&[])),
    ] {
        let admissions = admissions(&[("shop", shop), ("shop-api", api)]);
        assert_eq!(access_of(&described(&record(), &[], Some(&admissions), &all), "shop"), Some(&expected));
    }
}

#[test]
fn hosts_that_the_login_does_not_reach_are_named_and_those_that_lead_elsewhere_are_its_own() {
    let leads = Redirects { from: vec!["old.apps.test.example".to_owned()], to: "shop.apps.test.example".to_owned() };
    let hosts = ["shop.apps.test.example", "*.shop.apps.test.example", "a.b.apps.test.example", "xapps.test.example"];
    let all = [Route { redirects: Some(leads), ..route("shop", &hosts) }];
    let described = described(&record(), &[], Some(&Admissions::default()), &all);
    let hosts: Vec<&str> = described.login.apps.keys().map(String::as_str).collect();
    assert_eq!(hosts, ["old.apps.test.example", "shop.apps.test.example"]);
    assert_eq!(described.refused.len(), 2, "{:?}", described.refused);
    assert!(described.refused.iter().all(|one| one.contains("one label below")), "{:?}", described.refused);
}

#[test]
fn who_is_locked_out_is_locked_out_whatever_apps_there_are() {
    let with_groups = described(&record(), &["user:ada", "group:left"], None, &[]);
    assert_eq!((with_groups.login.locked.len(), with_groups.refused.len()), (2, 0));
    let without = described(&LoginRecord { groups_claim: None, ..record() }, &["user:ada", "group:left"], None, &[]);
    assert_eq!((without.login.locked.len(), without.refused.len()), (1, 1), "a group is nobody's there");
}

#[test]
fn what_is_no_network_is_told() {
    let record = LoginRecord { balancers: vec!["10.0.0.0/24".to_owned(), "somewhere".to_owned()], ..record() };
    let (provider, locked) = (provider(), Locked::default());
    let records = Records { record: &record, provider: &provider, locked: &locked, admissions: None, routes: &[] };
    let error = describe(&records, places()).err().unwrap().to_string();
    assert!(error.contains("\"somewhere\""), "{error}");
}
