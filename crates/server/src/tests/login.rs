//! The login as a whole: who is locked out, what is asked for of its passphrase, and how it is said to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use futuswarm_faults::Faults;
use futuswarm_model::{Locked, LoginPassphrases, LoginProvider, LoginRecord, PassphraseStep, Rotation, Visitor, keys};
use futuswarm_rpc::message::{Answer, LockedOut, LoginOrder, LoginState, PassphraseState, RefusalClass, Request};
use serde::de::DeserializeOwned;

use super::world::*;
use crate::Control;

fn entries(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|entry| (*entry).to_owned()).collect()
}

fn order(order: LoginOrder) -> Request {
    Request::Login { order }
}

fn lock(all: &[&str]) -> Request {
    order(LoginOrder::Lock(entries(all)))
}

fn unlock(all: &[&str]) -> Request {
    order(LoginOrder::Unlock(entries(all)))
}

#[track_caller]
fn locked_out(heard: &Heard) -> LockedOut {
    match heard.end().unwrap() {
        Answer::LockedOut(locked_out) => locked_out,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn state(heard: &Heard) -> LoginState {
    match heard.end().unwrap() {
        Answer::Login(state) => state,
        other => panic!("{other:?}"),
    }
}

async fn stored<T: DeserializeOwned>(world: &World, key: &str) -> Option<T> {
    let document = world.records(Faults::none()).store().peek::<T>(key).await.unwrap();
    document.map(|document| document.value)
}

async fn put<T: serde::Serialize>(world: &World, key: &str, value: &T) {
    world.records(Faults::none()).store().put(key, value).await.unwrap();
}

fn record(groups_claim: Option<&str>) -> LoginRecord {
    LoginRecord {
        domain: "apps.example.com".to_owned(),
        open_domain: None,
        issuer: "https://idp.example.com".to_owned(),
        client_id: "edge".to_owned(),
        scopes: Vec::new(),
        user_claim: "email".to_owned(),
        groups_claim: groups_claim.map(str::to_owned),
        inactivity_seconds: 3600,
        longest_seconds: 28_800,
        contact: "IT".to_owned(),
        balancers: vec!["10.0.0.0/16".to_owned()],
    }
}

fn passphrases(step: PassphraseStep, since: u64) -> LoginPassphrases {
    LoginPassphrases { current: "sealed".to_owned(), previous: None, step, since, asked: None }
}

/// A cluster with a login whose provider tells groups.
async fn with_login() -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.manager("i-1");
    put(&world, keys::LOGIN, &record(Some("groups"))).await;
    (world, control)
}

#[tokio::test(start_paused = true)]
async fn who_is_locked_out_is_what_edges_read_before_it_is_answered() {
    let (world, control) = with_login().await;
    let steps: [(Request, bool, &[&str]); 7] = [
        (order(LoginOrder::Locked), false, &[]),
        (lock(&["user:ada@example.com", "group:staff"]), true, &["user:ada@example.com", "group:staff"]),
        // As edges find them: in any spelling.
        (lock(&["user:ADA@example.com"]), false, &["user:ada@example.com", "group:staff"]),
        (lock(&["group:Staff"]), true, &["user:ada@example.com", "group:staff", "group:Staff"]),
        (unlock(&["user:Ada@Example.com", "group:Staff"]), true, &["group:staff"]),
        (unlock(&["group:staff"]), true, &[]),
        (order(LoginOrder::Locked), false, &[]),
    ];
    for (request, changed, expected) in steps {
        let said = locked_out(&ask(&control, "root", &request).await);
        assert_eq!((said.changed, &said.visitors, said.login), (changed, &entries(expected), true), "{request:?}");
        let visitors = expected.iter().map(|entry| entry.parse::<Visitor>().unwrap()).collect();
        assert_eq!(stored::<Locked>(&world, keys::LOGIN_LOCKED).await.unwrap_or_default(), Locked { visitors });
    }
    seconds(1).await;
    let audited = world.audited.lock().unwrap();
    for (verb, count) in [("admin:login:locked", 2), ("admin:login:lock", 3), ("admin:login:unlock", 2)] {
        assert_eq!(audited.iter().filter(|line| line.verb == verb).count(), count, "{verb}: {audited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (world, control) = with_login().await;
    ask(&control, "root", &lock(&["user:ada"])).await.end().unwrap();
    let many: Vec<String> = (0..100).map(|number| format!("user:someone.{number:03}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (request, class, part) in [
        (lock(&[]), RefusalClass::Usage, "whom?"),
        (lock(&["ada"]), RefusalClass::Usage, "neither user:NAME nor group:NAME"),
        (lock(&["user:bob", "user:~.*"]), RefusalClass::Usage, "regular expression"),
        (lock(&many), RefusalClass::Usage, "about 40 names"),
        (unlock(&[]), RefusalClass::Usage, "whom?"),
        (unlock(&["user:ada", "user:bob"]), RefusalClass::NotFound, "user:bob is not locked out"),
        (unlock(&["group:ada"]), RefusalClass::NotFound, "group:ada is not locked out"),
    ] {
        let refused = ask(&control, "root", &request).await.end().unwrap_err();
        assert_eq!(refused.class, class, "{request:?}: {refused:?}");
        assert!(refused.message.contains(part), "{request:?}: {refused:?}");
    }
    put(&world, keys::LOGIN, &record(None)).await;
    let refused = ask(&control, "root", &lock(&["user:bob", "group:staff"])).await.end().unwrap_err();
    assert!(refused.message.contains("tells no groups, so that group:staff is nobody"), "{refused:?}");
    let visitors = BTreeSet::from(["user:ada".parse().unwrap()]);
    assert_eq!(stored::<Locked>(&world, keys::LOGIN_LOCKED).await, Some(Locked { visitors }));
    // What a newer program has written is not written over.
    let newer = serde_json::json!({ "visitors": [], "until": 7 });
    put(&world, keys::LOGIN_LOCKED, &newer).await;
    ask(&control, "root", &lock(&["user:bob"])).await.end().unwrap_err();
    assert_eq!(stored::<serde_json::Value>(&world, keys::LOGIN_LOCKED).await, Some(newer));
}

#[tokio::test(start_paused = true)]
async fn without_a_login_nobody_is_locked_out_and_it_is_said_that_there_is_none() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let rotate = order(LoginOrder::Rotate(Rotation::AtOnce));
    for request in [lock(&["user:ada"]), rotate] {
        let refused = ask(&control, "root", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::NotFound);
        assert!(refused.message.starts_with("this cluster has no login"), "{refused:?}");
    }
    let said = state(&ask(&control, "root", &order(LoginOrder::Show)).await);
    let nothing = LoginState {
        domain: None,
        issuer: None,
        discovered_at: None,
        client_secret: false,
        passphrase: None,
        locked: 0,
    };
    assert_eq!(said, nothing);
    assert!(!locked_out(&ask(&control, "root", &order(LoginOrder::Locked)).await).login);
    seconds(120).await;
    assert_eq!(stored::<Locked>(&world, keys::LOGIN_LOCKED).await, None);
    put(&world, keys::LOGIN, &record(None)).await;
    seconds(120).await;
    assert_eq!(
        stored::<Locked>(&world, keys::LOGIN_LOCKED).await,
        Some(Locked::default()),
        "edges know that nobody is"
    );
}

#[tokio::test(start_paused = true)]
async fn only_admins_may_do_or_see_any_of_it() {
    let (world, control) = with_login().await;
    for request in [
        order(LoginOrder::Show),
        order(LoginOrder::Locked),
        lock(&["user:root@example.com"]),
        unlock(&["user:root@example.com"]),
        order(LoginOrder::Rotate(Rotation::InSteps)),
        order(LoginOrder::Rotate(Rotation::AtOnce)),
    ] {
        let denied = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(denied.class, RefusalClass::Denied, "{request:?}");
        assert!(denied.message.starts_with("admin:login") && denied.message.contains("only admins may"), "{denied:?}");
    }
    assert_eq!(stored::<Locked>(&world, keys::LOGIN_LOCKED).await.unwrap_or_default(), Locked::default());
}

#[tokio::test(start_paused = true)]
async fn how_the_login_is_is_told_without_any_secret() {
    let (world, control) = with_login().await;
    let mut provider = LoginProvider {
        issuer: "https://former.example.com".to_owned(),
        authorization: "https://idp.example.com/auth".to_owned(),
        token: "https://idp.example.com/token".to_owned(),
        jwks: "https://idp.example.com/jwks".to_owned(),
        userinfo: None,
        end_session: None,
        secret_in_form: false,
        at: 5,
    };
    put(&world, keys::LOGIN_PROVIDER, &provider).await;
    put(&world, keys::LOGIN_CLIENT_SECRET, &serde_json::json!({ "ciphertext": "hush" })).await;
    put(&world, keys::LOGIN_PASSPHRASES, &passphrases(PassphraseStep::Done, 7)).await;
    ask(&control, "root", &lock(&["user:ada", "user:bob"])).await.end().unwrap();
    let expected = LoginState {
        domain: Some("apps.example.com".to_owned()),
        issuer: Some("https://idp.example.com".to_owned()),
        // Of another issuer.
        discovered_at: None,
        client_secret: true,
        passphrase: Some(PassphraseState {
            step: PassphraseStep::Done,
            since: 7,
            asked: None,
            free_at: 7 + (8 * 60 + 32) * 60_000,
        }),
        locked: 2,
    };
    let heard = ask(&control, "root", &order(LoginOrder::Show)).await;
    assert_eq!(state(&heard), expected);
    provider.issuer = "https://idp.example.com".to_owned();
    put(&world, keys::LOGIN_PROVIDER, &provider).await;
    let heard = ask(&control, "root", &order(LoginOrder::Show)).await;
    assert_eq!(state(&heard), LoginState { discovered_at: Some(5), ..expected });
    let text = serde_json::to_string(&heard.end().unwrap()).unwrap();
    assert!(!text.contains("hush") && !text.contains("sealed"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn another_passphrase_is_asked_for_when_it_may_begin_and_at_once_at_any_time() {
    let (world, control) = with_login().await;
    let rotate = |rotation| order(LoginOrder::Rotate(rotation));
    let refused = ask(&control, "root", &rotate(Rotation::InSteps)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound);
    assert!(refused.message.contains("no passphrase yet"), "{refused:?}");
    let (minute, session) = (60_000, (8 * 60 + 32) * 60_000);
    for (step, age, part) in [
        (PassphraseStep::Done, session - 90_000, "of before the last change: another one may begin in 2 min"),
        (PassphraseStep::Done, 0, "in 8 h 32 min"),
        (PassphraseStep::Twice, 2 * minute, "a change is on its way: another one may begin in 8 h 32 min"),
        (PassphraseStep::Switched, 0, "in 17 h 6 min"),
    ] {
        let since = world.now() - age;
        put(&world, keys::LOGIN_PASSPHRASES, &passphrases(step, since)).await;
        let refused = ask(&control, "root", &rotate(Rotation::InSteps)).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Locked, "{refused:?}");
        assert!(refused.message.contains(part) && refused.message.contains("rotate --now"), "{part}: {refused:?}");
        assert_eq!(stored::<LoginPassphrases>(&world, keys::LOGIN_PASSPHRASES).await.unwrap().asked, None);
    }
    let old = passphrases(PassphraseStep::Done, world.now() - session);
    put(&world, keys::LOGIN_PASSPHRASES, &old).await;
    for (rotation, asked) in [
        (Rotation::InSteps, Rotation::InSteps),
        (Rotation::InSteps, Rotation::InSteps),
        (Rotation::AtOnce, Rotation::AtOnce),
        // What is more urgent stays.
        (Rotation::InSteps, Rotation::AtOnce),
    ] {
        let said = state(&ask(&control, "root", &rotate(rotation)).await);
        assert_eq!(said.passphrase.unwrap().asked, Some(asked));
        let record = stored::<LoginPassphrases>(&world, keys::LOGIN_PASSPHRASES).await.unwrap();
        assert_eq!(record, LoginPassphrases { asked: Some(asked), ..old.clone() }, "and nothing else");
    }
    put(&world, keys::LOGIN_PASSPHRASES, &passphrases(PassphraseStep::Switched, world.now())).await;
    ask(&control, "root", &rotate(Rotation::AtOnce)).await.end().unwrap();
}

/// Whether edges would render this list.
fn is_rendered(visitors: &BTreeSet<Visitor>) -> bool {
    let login = futuswarm_sso::Login {
        locked: visitors.iter().map(|visitor| visitor.to_string().parse().unwrap()).collect(),
        balancers: vec!["10.0.0.0/16".parse().unwrap()],
        ..super::admissions::login()
    };
    futuswarm_sso::render(&login).is_ok()
}

#[test]
fn a_list_that_is_kept_is_one_that_edges_render() {
    let letters: Vec<char> = "abzABZ019!#$%&'()*+,-./:;=?@[\\]^_`{|}~".chars().collect();
    let (mut kept, mut refused) = (0, 0);
    assert!(is_rendered(&BTreeSet::new()));
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let name = |random: &mut fastrand::Rng| -> String {
            (0..random.usize(1..60)).map(|_| letters[random.usize(..letters.len())]).collect()
        };
        let visitor = |random: &mut fastrand::Rng| match random.u8(..3) {
            0 => Visitor::User(format!("u{}", name(random))),
            1 => Visitor::User(format!("u{}@example.com", random.u8(..))),
            _ => Visitor::Group(format!("g{} ä\"g", name(random))),
        };
        let count = random.usize(..50);
        let locked = Locked { visitors: (0..count).map(|_| visitor(&mut random)).collect() };
        match locked.fits() {
            true => {
                assert!(is_rendered(&locked.visitors), "seed {seed}: {locked:?}");
                kept += 1;
            }
            false => refused += 1,
        }
    }
    assert!(kept > 100 && refused > 100, "{kept} kept, {refused} refused");
}
