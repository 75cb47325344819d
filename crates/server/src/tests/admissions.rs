//! Whom the login lets through to an app, from what its owner says to what edges read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::{iter, slice};

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{Admission, Admissions, AppRole, Outcome, Visitor, keys};
use futuswarm_rpc::message::{Admit, AdmitChange, Admitted, Answer, App, RefusalClass, Request, Wait};

use super::links::record;
use super::world::*;
use crate::Control;

fn entries(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|entry| (*entry).to_owned()).collect()
}

fn admit(app: &str, change: Option<AdmitChange>) -> Request {
    Request::Admit(Admit { app: app.to_owned(), change })
}

fn add(app: &str, all: &[&str]) -> Request {
    admit(app, Some(AdmitChange::Add(entries(all))))
}

fn remove(app: &str, all: &[&str]) -> Request {
    admit(app, Some(AdmitChange::Remove(entries(all))))
}

#[track_caller]
fn admitted(heard: &Heard) -> Admitted {
    match heard.end().unwrap() {
        Answer::Admitted(admitted) => admitted,
        other => panic!("{other:?}"),
    }
}

fn only(all: &[&str]) -> Admission {
    Admission { open: false, only: Some(all.iter().map(|entry| entry.parse().unwrap()).collect()) }
}

/// What edges read; `None` where they find nothing.
async fn published(world: &World) -> Option<Admissions> {
    let records = world.records(Faults::none());
    let document = records.store().peek::<Admissions>(keys::ADMISSIONS).await.unwrap();
    document.map(|document| document.value)
}

async fn inspected(control: &Arc<Control<Memory>>) -> App {
    let Answer::App(app) = ask(control, "jane", &Request::App { app: "hello".to_owned() }).await.end().unwrap() else {
        panic!()
    };
    *app
}

#[tokio::test(start_paused = true)]
async fn edges_read_a_change_before_it_is_answered() {
    let (world, control) = World::with_hello().await;
    assert_eq!(admitted(&ask(&control, "jane", &admit("hello", None)).await).visitors, None, "everybody, by default");
    let both = ["group:staff", "user:ada@example.com"];
    let changes: [(Request, bool, Option<&[&str]>); 6] = [
        (add("hello", &both), true, Some(&both)),
        (add("hello", &["group:staff"]), false, Some(&both)),
        (remove("hello", &["user:ada@example.com"]), true, Some(&["group:staff"])),
        // The last one leaves nobody, and not everybody.
        (remove("hello", &["group:staff"]), true, Some(&[])),
        (admit("hello", Some(AdmitChange::Everybody)), true, None),
        (admit("hello", Some(AdmitChange::Everybody)), false, None),
    ];
    for (request, changed, visitors) in changes {
        let said = admitted(&ask(&control, "jane", &request).await);
        let expected = visitors.map(entries);
        assert_eq!((said.changed, &said.visitors, said.open), (changed, &expected, false), "{request:?}");
        let admission = visitors.map(only).unwrap_or_default();
        assert_eq!(published(&world).await.unwrap().of("hello"), admission, "{request:?}");
        let record = record(&world, "hello").await;
        assert_eq!((record.admission, record.unpublished), (admission, None), "{request:?}");
        assert_eq!(admitted(&ask(&control, "jane", &admit("hello", None)).await).visitors, expected);
        assert_eq!(inspected(&control).await.visitors, expected);
    }
    assert_eq!(published(&world).await, Some(Admissions::default()), "who admits everybody is not named");
    assert!(world.records(Faults::none()).pending().await.unwrap().is_empty());
    assert_eq!(world.running().await, [Some(1)], "no task was touched");
    let audited = world.audited.lock().unwrap();
    for (verb, count) in [("app:access:add", 4), ("app:access:rm", 2), ("app:access:list", 7)] {
        assert_eq!(audited.iter().filter(|line| line.verb == verb).count(), count, "{verb}: {audited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_opened_or_closed_stays_so_whatever_is_deployed() {
    let (world, control) = World::with_hello().await;
    ask(&control, "jane", &add("hello", &["group:staff"])).await.end().unwrap();
    let rows = || async {
        let Answer::Apps(rows) = ask(&control, "jane", &Request::Apps).await.end().unwrap() else { panic!() };
        rows
    };
    assert!(!rows().await[0].open && !inspected(&control).await.row.open);
    let said = admitted(&ask(&control, "jane", &admit("hello", Some(AdmitChange::Open))).await);
    assert!(said.open && said.changed && said.visitors == Some(entries(&["group:staff"])), "{said:?}");
    let open = Admission { open: true, ..only(&["group:staff"]) };
    world.image("hello", "2", good());
    let rollback = Request::Rollback { app: "hello".to_owned(), to: None, wait: Wait::default() };
    let restart = Request::Restart { app: "hello".to_owned(), wait: Wait::default() };
    for request in [deploy("hello", "hello:2", Some("replicas = 2\n")), rollback, restart] {
        assert_eq!(deployment(&ask(&control, "jane", &request).await).outcome, Some(Outcome::Deployed), "{request:?}");
        assert_eq!(record(&world, "hello").await.admission, open, "{request:?}");
        assert_eq!(published(&world).await.unwrap().of("hello"), open, "{request:?}");
        let app = inspected(&control).await;
        assert!(app.row.open && app.settings.unwrap().open && rows().await[0].open, "{request:?}");
    }
    // A file can neither open an app nor close it.
    for file in ["open = true\n", "open = false\n"] {
        let refused = ask(&control, "jane", &deploy("hello", "hello:2", Some(file))).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains("`futuswarm app:open APP`"), "{}", refused.message);
    }
    let said = admitted(&ask(&control, "jane", &admit("hello", Some(AdmitChange::Private))).await);
    assert!(!said.open && said.changed, "{said:?}");
    assert_eq!(published(&world).await.unwrap().of("hello"), only(&["group:staff"]), "the list counts again");
    assert!(!rows().await[0].open);
}

#[tokio::test(start_paused = true)]
async fn owners_and_admins_decide_and_whoever_may_look_is_told() {
    let (world, control) = World::with_hello().await;
    let changes = [
        AdmitChange::Add(entries(&["user:joe@example.com"])),
        AdmitChange::Remove(entries(&["group:staff"])),
        AdmitChange::Everybody,
        AdmitChange::Open,
        AdmitChange::Private,
    ];
    ask(&control, "root", &add("hello", &["group:staff"])).await.end().unwrap();
    let denied = ask(&control, "joe", &admit("hello", None)).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied, "a list has names in it");
    for role in [AppRole::Viewer, AppRole::Deployer] {
        ask(&control, "jane", &grant("hello", "joe", role)).await.end().unwrap();
        let said = admitted(&ask(&control, "joe", &admit("hello", None)).await);
        assert_eq!(said.visitors, Some(entries(&["group:staff"])));
        for change in &changes {
            let denied = ask(&control, "joe", &admit("hello", Some(change.clone()))).await.end().unwrap_err();
            assert_eq!(denied.class, RefusalClass::Denied, "{role} {change:?}");
            assert!(denied.message.contains("it takes the role owner"), "{}", denied.message);
        }
    }
    for request in [admit("nothing", None), add("nothing", &["group:staff"])] {
        assert_eq!(ask(&control, "jane", &request).await.end().unwrap_err().class, RefusalClass::NotFound);
    }
    assert_eq!(record(&world, "hello").await.admission, only(&["group:staff"]));
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (world, control) = World::with_hello().await;
    ask(&control, "jane", &add("hello", &["group:staff"])).await.end().unwrap();
    let (before, writes) = (record(&world, "hello").await, world.bucket.writes());
    let many: Vec<String> = (0..200).map(|number| format!("user:someone.{number:03}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (request, class, part) in [
        (add("hello", &[]), RefusalClass::Usage, "whom?"),
        (remove("hello", &[]), RefusalClass::Usage, "whom?"),
        (add("hello", &["joe"]), RefusalClass::Usage, "neither user:NAME nor group:NAME"),
        (add("hello", &["user:ada@example.com", "user:a b"]), RefusalClass::Usage, "without spaces"),
        (add("hello", &["group:a\n\u{1b}[2J"]), RefusalClass::Usage, "control character"),
        (add("hello", &many), RefusalClass::Usage, "make a group at the provider"),
        (remove("hello", &["group:staff", "user:joe"]), RefusalClass::NotFound, "user:joe is not on the list of hello"),
    ] {
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, class, "{request:?}: {refused:?}");
        assert!(refused.message.contains(part) && !refused.message.contains('\u{1b}'), "{request:?}: {refused:?}");
    }
    assert_eq!(record(&world, "hello").await, before);
    assert_eq!(published(&world).await.unwrap().of("hello"), only(&["group:staff"]));
    assert_eq!(world.bucket.writes(), writes, "no document was written");
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_with_its_app_and_does_not_come_back_with_the_name() {
    let (world, control) = World::with_hello().await;
    world.first_release(&control, "joe", "shop").await;
    ask(&control, "joe", &add("shop", &["group:sales"])).await.end().unwrap();
    ask(&control, "jane", &add("hello", &["group:staff"])).await.end().unwrap();
    ask(&control, "jane", &admit("hello", Some(AdmitChange::Open))).await.end().unwrap();
    ask(&control, "jane", &Request::Remove { app: "hello".to_owned() }).await.end().unwrap();
    let left = Admissions { apps: BTreeMap::from([("shop".to_owned(), only(&["group:sales"]))]) };
    assert_eq!(published(&world).await, Some(left.clone()));
    world.first_release(&control, "joe", "hello").await;
    assert_eq!(record(&world, "hello").await.admission, Admission::default());
    assert_eq!(published(&world).await, Some(left));
    assert!(!admitted(&ask(&control, "joe", &admit("hello", None)).await).open);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_dies_in_between_is_followed_by_another() {
    let mut left = 0;
    for calls in 0.. {
        assert!(calls < 100, "it never gets to its end");
        let (world, other) = World::with_hello().await;
        ask(&other, "jane", &add("hello", &["group:staff"])).await.end().unwrap();
        let faults = Faults::script(iter::repeat_n(Fault::None, calls).chain(iter::repeat_n(Fault::Fail, 10_000)));
        let control = world.control("i-9", faults);
        let ended = ask(&control, "jane", &add("hello", &["group:ops"])).await.end();
        seconds(60).await;
        let record = record(&world, "hello").await;
        assert_eq!(record.unpublished, None, "call {calls}");
        assert_eq!(published(&world).await.unwrap().of("hello"), record.admission, "call {calls}");
        let both = only(&["group:staff", "group:ops"]);
        match ended {
            Ok(_) => {
                assert_eq!(record.admission, both);
                break;
            }
            Err(refused) if refused.message.starts_with("hello has it from now on") => {
                assert_eq!(record.admission, both, "call {calls}: {refused:?}");
                left += 1;
            }
            // Nothing was changed, or nobody knows; never a part of it.
            Err(_) => assert!([only(&["group:staff"]), both].contains(&record.admission), "call {calls}"),
        }
    }
    assert!(left > 0, "it never broke off in between");
}

#[tokio::test(start_paused = true)]
async fn what_many_change_at_once_is_all_there() {
    let world = World::new().await;
    let control = world.manager("i-1");
    for app in ["hello", "shop", "blog"] {
        world.records(Faults::none()).create_app(app, "jane", START).await.unwrap();
    }
    let mut asked = Vec::new();
    for number in 0..12 {
        let control = world.control(&format!("i-{number}"), Faults::none());
        let app = ["hello", "shop", "blog"][number % 3];
        asked.push(tokio::spawn(async move {
            ask(&control, "jane", &add(app, &[&format!("user:u{number}@example.com")])).await.end().unwrap();
        }));
    }
    for asked in asked {
        asked.await.unwrap();
    }
    let published = published(&world).await.unwrap();
    assert_eq!(
        published.apps.values().map(|admission| admission.only.as_ref().unwrap().len()).collect::<Vec<_>>(),
        [4; 3]
    );
    for app in ["hello", "shop", "blog"] {
        assert_eq!(record(&world, app).await.admission, published.of(app), "{app}");
    }
    drop(control);
}

/// As after a deletion by hand, or in a cluster whose managers were of an older version.
#[tokio::test(start_paused = true)]
async fn a_document_that_is_not_there_is_made_again_with_all_lists() {
    let (world, control) = World::with_hello().await;
    seconds(120).await;
    assert_eq!(published(&world).await, Some(Admissions::default()), "edges know that there is no list");
    world.first_release(&control, "joe", "shop").await;
    ask(&control, "joe", &add("shop", &["group:sales"])).await.end().unwrap();
    let store = world.records(Faults::none());
    store.store().delete(keys::ADMISSIONS).await.unwrap();
    ask(&control, "jane", &add("hello", &["group:staff"])).await.end().unwrap();
    let apps = [("hello", only(&["group:staff"])), ("shop", only(&["group:sales"]))];
    let all = Some(Admissions { apps: apps.map(|(app, admission)| (app.to_owned(), admission)).into() });
    assert_eq!(published(&world).await, all);
    store.store().delete(keys::ADMISSIONS).await.unwrap();
    seconds(120).await;
    assert_eq!(published(&world).await, all);
}

/// What a newer program has written is not written over by an older one, which knows less of it.
#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_read_stays_as_it_is() {
    let (world, control) = World::with_hello().await;
    let newer = serde_json::json!({ "apps": { "shop": { "open": false, "deny": ["user:joe"] } } });
    let records = world.records(Faults::none());
    records.store().put(keys::ADMISSIONS, &newer).await.unwrap();
    let refused = ask(&control, "jane", &add("hello", &["group:staff"])).await.end().unwrap_err();
    assert!(refused.message.starts_with("hello has it from now on"), "{}", refused.message);
    seconds(120).await;
    let there = records.store().peek::<serde_json::Value>(keys::ADMISSIONS).await.unwrap().unwrap();
    assert_eq!(there.value, newer);
    assert!(record(&world, "hello").await.unpublished.is_some(), "a newer manager does it");
}

#[tokio::test(start_paused = true)]
async fn it_is_said_whether_the_cluster_has_a_login() {
    let (world, control) = World::with_hello().await;
    let open = admit("hello", Some(AdmitChange::Open));
    for request in [admit("hello", None), add("hello", &["group:staff"]), open.clone()] {
        assert!(!admitted(&ask(&control, "jane", &request).await).login, "{request:?}");
    }
    assert!(!inspected(&control).await.login);
    let login = serde_json::json!({ "issuer": "https://idp.example.com" });
    world.records(Faults::none()).store().put(keys::LOGIN, &login).await.unwrap();
    for request in [admit("hello", None), open] {
        assert!(admitted(&ask(&control, "jane", &request).await).login, "{request:?}");
    }
    assert!(inspected(&control).await.login);
}

/// A login as a cluster may have it.
pub(super) fn login() -> futuswarm_sso::Login {
    let url = |path: &str| format!("https://idp.example.com{path}");
    futuswarm_sso::Login {
        domain: "apps.example.com".to_owned(),
        provider: futuswarm_sso::Provider {
            issuer: url(""),
            authorization: url("/auth"),
            token: url("/token"),
            jwks: url("/jwks"),
            userinfo: None,
            end_session: None,
            token_auth: futuswarm_sso::TokenAuth::Basic,
        },
        client_id: "edge".to_owned(),
        scopes: Vec::new(),
        // The longest claim that the providers of docs/sso.md have.
        claims: futuswarm_sso::Claims { user: "preferred_username".to_owned(), groups: Some("groups".to_owned()) },
        sessions: futuswarm_sso::Sessions {
            inactivity: std::time::Duration::from_secs(3600),
            longest: std::time::Duration::from_secs(28_800),
        },
        balancers: Vec::new(),
        contact: "IT".to_owned(),
        apps: BTreeMap::new(),
        locked: BTreeSet::new(),
        places: futuswarm_sso::Places {
            config_dir: "/mnt".to_owned(),
            secrets_file: "/mnt/secrets.conf".to_owned(),
            run_dir: "/mnt/run".to_owned(),
            upstream: "/mnt/run/edge.sock".to_owned(),
            authorities: None,
        },
    }
}

/// Whether the login would render an app with this list.
fn is_rendered(host: &str, visitors: &[Visitor]) -> bool {
    let entries = visitors.iter().map(|visitor| visitor.to_string().parse::<futuswarm_sso::Entry>().unwrap()).collect();
    let app = futuswarm_sso::App { access: futuswarm_sso::Access::Only(entries), siblings: false };
    login().check_app(host, &app).is_ok()
}

#[test]
fn an_entry_is_refused_where_the_login_would_refuse_it_and_nowhere_else() {
    let mut texts: Vec<String> = ["", "ada", "user:", "group:", "User:a", "user:a:b", "group: a", "group:a ", "@ops"]
        .map(str::to_owned)
        .to_vec();
    for kind in ["user", "group"] {
        texts.extend(["-", "~", "~a", "~.*", "a~", "-a"].map(|name| format!("{kind}:{name}")));
        texts.extend((0..=0x2ff).chain([0x20ac, 0x1f600]).filter_map(char::from_u32).map(|c| format!("{kind}:a{c}b")));
        texts.extend((250..260).map(|length| format!("{kind}:{}", "a".repeat(length))));
        texts.extend((120..130).map(|length| format!("{kind}:{}", "ä".repeat(length))));
    }
    let mut accepted = 0;
    for text in &texts {
        let ours = text.parse::<Visitor>().is_ok();
        assert_eq!(ours, text.parse::<futuswarm_sso::Entry>().is_ok(), "{text:?}");
        accepted += usize::from(ours);
    }
    assert!(accepted > 500 && accepted < texts.len(), "{accepted} of {}", texts.len());
}

#[test]
fn a_list_that_is_kept_is_one_that_the_login_renders() {
    let letters: Vec<char> = "abzABZ019!#$%&'()*+,-./:;=?@[\\]^_`{|}~".chars().collect();
    let host = "hello.apps.example.com";
    let (mut kept, mut refused) = (0, 0);
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let name = |random: &mut fastrand::Rng| -> String {
            (0..random.usize(1..60)).map(|_| letters[random.usize(..letters.len())]).collect()
        };
        let visitor = |random: &mut fastrand::Rng| match random.u8(..3) {
            // One that begins with ~ is none.
            0 => Visitor::User(format!("u{}", name(random))),
            1 => Visitor::User(format!("u{}@example.com", random.u8(..))),
            _ => Visitor::Group(format!("g{} ä\"g", name(random))),
        };
        let count = random.usize(..90);
        let only: BTreeSet<Visitor> = (0..count).map(|_| visitor(&mut random)).collect();
        let visitors: Vec<Visitor> = only.iter().cloned().collect();
        let admission = Admission { open: false, only: Some(only) };
        match admission.fits(host) {
            true => {
                assert!(is_rendered(host, &visitors), "seed {seed}: {visitors:?}");
                kept += 1;
            }
            false => refused += 1,
        }
    }
    assert!(kept > 100 && refused > 100, "{kept} kept, {refused} refused");
    let long = Visitor::Group("\"".repeat(256));
    let admission = Admission { open: false, only: Some(BTreeSet::from([long.clone()])) };
    assert!(!admission.fits(host) && !is_rendered(host, slice::from_ref(&long)));
}
