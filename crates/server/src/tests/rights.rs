//! Who may: users who are added again, groups as owners, rows that end with their user, and rights that are lost on the way.

use std::collections::BTreeSet;
use std::iter;
use std::time::Duration;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{AppIndex, AppRecord, AppRole, AppToken, Principal, keys};
use futuswarm_rpc::message::{Answer, Event, RefusalClass, Request};

use super::links::record;
use super::people::{alter, key, put};
use super::world::*;
use crate::records::Error;

fn revoke(app: &str, who: &str) -> Request {
    Request::Revoke { app: app.to_owned(), principal: who.parse().unwrap() }
}

fn create_token(name: &str, key: String) -> Request {
    Request::CreateToken { app: "hello".to_owned(), name: name.to_owned(), key, days: 1 }
}

fn groups(names: &[&str]) -> Option<BTreeSet<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// As `admin:user:set` asks for it.
fn regroup(name: &str, names: &[&str]) -> Request {
    Request::PutUser { name: name.to_owned(), create: false, keys: None, admin: None, groups: groups(names) }
}

fn has_row(record: &AppRecord, who: &str) -> bool {
    record.access.rows().any(|(principal, _)| principal.to_string() == who)
}

/// Puts rows into the record of an app, whoever is there.
async fn with_rows(world: &World, app: &str, rows: &[(&str, AppRole)]) {
    let change = |record: &mut AppRecord| {
        for (who, role) in rows {
            record.access.grant(who.parse().unwrap(), *role).unwrap();
        }
        Ok::<_, Error>(())
    };
    world.records(Faults::none()).change_app(app, change).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_added_again_keeps_their_keys_and_gets_no_other_right() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let add = |keys: &[String], admin: Option<bool>, groups: Option<BTreeSet<String>>| Request::PutUser {
        name: "ann".to_owned(),
        create: true,
        keys: Some(keys.to_vec()),
        admin,
        groups,
    };
    ask(&control, "root", &add(&[key(1)], None, groups(&["dev"]))).await.end().unwrap();
    for (asked, keys) in [
        (add(&[key(2)], None, None), 2),
        // Said again: what was lost was only the answer.
        (add(&[key(2)], Some(false), groups(&["dev"])), 2),
        (alter("ann", Some(&[key(3)]), None), 1),
    ] {
        let Answer::User(ann) = ask(&control, "root", &asked).await.end().unwrap() else { panic!() };
        assert_eq!((ann.keys.len(), ann.admin, Some(ann.groups)), (keys, false, groups(&["dev"])), "{asked:?}");
    }
    let many: Vec<String> = (10..30).map(key).collect();
    for (asked, part) in [
        (add(&[key(4)], Some(true), None), "`futuswarm admin:user:set ann`"),
        (add(&[key(4)], None, groups(&["dev", "ops"])), "`futuswarm admin:user:set ann`"),
        (add(&many, None, None), "ann would have 21 keys, and 20 fit: `futuswarm admin:user:key:set ann`"),
    ] {
        let refused = ask(&control, "root", &asked).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains(part), "{}", refused.message);
    }
    let ann = world.records(Faults::none()).user("ann").await.unwrap().unwrap();
    assert_eq!((ann.keys, ann.admin, Some(ann.groups)), (BTreeSet::from([key(3)]), false, groups(&["dev"])));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nobody_is_in_owns_nothing() {
    let world = World::new().await;
    let control = world.manager("i-1");
    world.records(Faults::none()).create_app("hello", "jane", START).await.unwrap();
    let refused = ask(&control, "jane", &grant("hello", "@ops", AppRole::Owner)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::NotFound);
    assert!(refused.message.contains("`futuswarm admin:user:set USER --group ops`"), "{}", refused.message);

    ask(&control, "root", &regroup("joe", &["ops"])).await.end().unwrap();
    ask(&control, "jane", &grant("hello", "@ops", AppRole::Owner)).await.end().unwrap();
    ask(&control, "root", &regroup("joe", &[])).await.end().unwrap();
    for request in [revoke("hello", "jane"), grant("hello", "jane", AppRole::Viewer)] {
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains("nobody is in @ops"), "{}", refused.message);
    }
    assert_eq!(record(&world, "hello").await.access.role("jane", &BTreeSet::new()), Some(AppRole::Owner));

    // Somebody in the group is enough, and may do what an owner may.
    ask(&control, "root", &regroup("joe", &["ops"])).await.end().unwrap();
    ask(&control, "jane", &revoke("hello", "jane")).await.end().unwrap();
    ask(&control, "joe", &grant("hello", "jane", AppRole::Owner)).await.end().unwrap();
    ask(&control, "jane", &revoke("hello", "@ops")).await.end().unwrap();
    assert_eq!(record(&world, "hello").await.access.rows().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn rows_that_the_index_does_not_know_of_go_with_their_user() {
    let world = World::new().await;
    let control = world.control("i-1", Faults::none());
    let records = world.records(Faults::none());
    records.create_app("hello", "jane", START).await.unwrap();
    records.create_app("other", "joe", START).await.unwrap();
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    // As when a manager died before the index had followed.
    records.store().put(keys::APP_INDEX, &AppIndex::new()).await.unwrap();
    let removed = ask(&control, "root", &Request::RemoveUser { name: "joe".to_owned() }).await.end().unwrap();
    let Answer::Done(said) = removed else { panic!() };
    assert!(said.contains("nobody owns other any more: "), "{said}");
    for app in ["hello", "other"] {
        assert!(!has_row(&record(&world, app).await, "joe"), "{app}");
    }
    // The next one of the name has nothing of it, and an admin chooses who owns it.
    ask(&control, "root", &put("joe", Some(&[key(1)]), None)).await.end().unwrap();
    let denied = ask(&control, "joe", &Request::App { app: "other".to_owned() }).await.end().unwrap_err();
    assert_eq!(denied.class, RefusalClass::Denied);
    assert!(denied.message.contains("nobody owns it, so ask an admin"), "{}", denied.message);
    ask(&control, "root", &grant("other", "jane", AppRole::Owner)).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_user_does_not_get_the_rows_of_an_earlier_one_of_their_name() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    records.create_app("hello", "jane", START).await.unwrap();
    // By a grant that was on its way while they were removed.
    with_rows(&world, "hello", &[("zoe", AppRole::Deployer)]).await;
    let refused = ask(&control, "root", &put("zoe", Some(&[key(1)]), None)).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage);
    assert!(refused.message.contains("`futuswarm acl:user:rm zoe -a hello`"), "{}", refused.message);
    assert_eq!(records.user("zoe").await.unwrap(), None);
    ask(&control, "jane", &revoke("hello", "zoe")).await.end().unwrap();
    ask(&control, "root", &put("zoe", Some(&[key(1)]), None)).await.end().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_breaks_off_says_what_it_has_done_and_is_carried_on_with() {
    let remove = Request::RemoveUser { name: "joe".to_owned() };
    let mut broken_off = 0;
    for calls in 0.. {
        assert!(calls < 300, "it never gets to its end");
        let world = World::new().await;
        for (app, owner) in [("hello", "joe"), ("shop", "jane")] {
            world.records(Faults::none()).create_app(app, owner, START).await.unwrap();
        }
        with_rows(&world, "shop", &[("joe", AppRole::Deployer)]).await;
        let faults = Faults::script(iter::repeat_n(Fault::None, calls).chain(iter::repeat_n(Fault::Fail, 10_000)));
        let ended = ask(&world.control("i-1", faults), "root", &remove).await.end();
        let has_left = !has_row(&record(&world, "hello").await, "joe");
        let Err(refused) = ended else { break };
        if has_left {
            broken_off += 1;
            let said = refused.message;
            assert!(said.starts_with("joe has no role of their own in hello"), "call {calls}: {said}");
            assert!(!said.contains("nothing was changed"), "call {calls}: {said}");
            assert!(said.contains("nobody owns hello any more: "), "call {calls}: {said}");
        }
        let control = world.control("i-2", Faults::none());
        if world.records(Faults::none()).user("joe").await.unwrap().is_some() {
            let Answer::Done(said) = ask(&control, "root", &remove).await.end().unwrap() else { panic!() };
            assert!(said.contains("nobody owns hello any more: "), "call {calls}: {said}");
        }
        for app in ["hello", "shop"] {
            assert!(!has_row(&record(&world, app).await, "joe"), "call {calls}: {app}");
        }
    }
    assert!(broken_off > 0, "it never broke off in between");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_keeps_no_user_from_being_removed() {
    let world = World::new().await;
    let control = world.control("i-1", Faults::none());
    let records = world.records(Faults::none());
    for app in ["hello", "shop"] {
        records.create_app(app, "joe", START).await.unwrap();
    }
    records.store().put(&keys::app("shop"), &"no document").await.unwrap();
    let removed = ask(&control, "root", &Request::RemoveUser { name: "joe".to_owned() }).await.end().unwrap();
    let Answer::Done(said) = removed else { panic!() };
    assert!(said.contains("nobody owns hello any more: "), "{said}");
    assert!(said.contains("may be left in shop, whose record cannot be read"), "{said}");
    assert_eq!(records.user("joe").await.unwrap(), None);
    assert!(!has_row(&record(&world, "hello").await, "joe"));
}

#[tokio::test(start_paused = true)]
async fn who_empties_a_group_is_told_which_apps_nobody_owns_any_more() {
    let world = World::new().await;
    let control = world.control("i-1", Faults::none());
    for app in ["hello", "shop"] {
        world.records(Faults::none()).create_app(app, "jane", START).await.unwrap();
    }
    let noted = |heard: &Heard| {
        heard.end().unwrap();
        let note = |event: &Event| match event {
            Event::Note { text } => Some(text.clone()),
            _ => None,
        };
        heard.events.iter().find_map(note)
    };
    for name in ["jane", "joe"] {
        assert_eq!(noted(&ask(&control, "root", &regroup(name, &["ops"])).await), None);
    }
    ask(&control, "jane", &grant("hello", "@ops", AppRole::Owner)).await.end().unwrap();
    ask(&control, "jane", &revoke("hello", "jane")).await.end().unwrap();
    assert_eq!(noted(&ask(&control, "root", &regroup("joe", &[])).await), None, "jane is in it still");
    let said = noted(&ask(&control, "root", &regroup("jane", &["dev"])).await).unwrap();
    assert!(said.starts_with("nobody owns hello any more: "), "{said}");
    assert!(said.ends_with("`futuswarm acl:user:add USER --role owner -a hello`"), "{said}");

    assert_eq!(noted(&ask(&control, "root", &regroup("jane", &["dev", "ops"])).await), None);
    let removed = ask(&control, "root", &Request::RemoveUser { name: "jane".to_owned() }).await.end().unwrap();
    let Answer::Done(said) = removed else { panic!() };
    assert!(said.contains("nobody owns hello, shop any more: "), "{said}");
}

#[tokio::test(start_paused = true)]
async fn rows_are_taken_out_of_an_app_that_nobody_owns() {
    let world = World::new().await;
    let control = world.control("i-1", Faults::none());
    for app in ["hello", "shop"] {
        world.records(Faults::none()).create_app(app, "jane", START).await.unwrap();
        with_rows(&world, app, &[("joe", AppRole::Viewer)]).await;
    }
    with_rows(&world, "shop", &[("@ops", AppRole::Owner)]).await;
    ask(&control, "root", &Request::RemoveUser { name: "jane".to_owned() }).await.end().unwrap();
    for app in ["hello", "shop"] {
        ask(&control, "root", &revoke(app, "joe")).await.end().unwrap();
        assert!(!has_row(&record(&world, app).await, "joe"), "{app}");
    }
    let refused = ask(&control, "root", &revoke("shop", "@ops")).await.end().unwrap_err();
    assert_eq!(refused.class, RefusalClass::Usage, "{}", refused.message);
}

/// Whether what a request asks for is so.
fn is_done(request: &Request, record: &AppRecord) -> bool {
    match request {
        Request::CreateToken { name, .. } => record.tokens.contains_key(name),
        Request::Grant { principal, .. } => has_row(record, &principal.to_string()),
        Request::Revoke { principal, .. } => !has_row(record, &principal.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_lost_on_the_way_is_not_used_any_more() {
    let requests = [create_token("ci", key(1)), grant("hello", "ann", AppRole::Viewer), revoke("hello", "bob")];
    for request in requests {
        let (mut in_time, mut too_late) = (0, 0);
        for calls in 0..30 {
            let world = World::new().await;
            let control = world.control("i-2", Faults::none());
            world.records(Faults::none()).create_app("hello", "jane", START).await.unwrap();
            with_rows(&world, "hello", &[("joe", AppRole::Owner), ("bob", AppRole::Viewer)]).await;
            ask(&control, "root", &put("ann", None, None)).await.end().unwrap();
            let slow = Fault::Delay(Duration::from_secs(8), Duration::ZERO);
            let faults = Faults::script(iter::repeat_n(Fault::None, calls).chain([slow]));
            let asked = tokio::spawn({
                let (control, request) = (world.control("i-1", faults), request.clone());
                async move { ask(&control, "joe", &request).await.end() }
            });
            seconds(4).await;
            let was_done = is_done(&request, &record(&world, "hello").await);
            ask(&control, "jane", &revoke("hello", "joe")).await.end().unwrap();
            let ended = asked.await.unwrap();
            assert_eq!(is_done(&request, &record(&world, "hello").await), was_done, "call {calls}: {ended:?}");
            if was_done {
                in_time += 1;
            } else {
                too_late += 1;
                assert_eq!(ended.unwrap_err().class, RefusalClass::Denied, "call {calls}");
            }
        }
        assert!(in_time > 0 && too_late > 0, "{request:?}: {in_time} in time, {too_late} too late");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_has_so_many_tokens_and_rows_and_no_more() {
    let world = World::new().await;
    let control = world.manager("i-1");
    let records = world.records(Faults::none());
    records.create_app("hello", "jane", START).await.unwrap();
    let token = AppToken {
        hash: "0".repeat(64),
        fingerprint: "SHA256:x".to_owned(),
        by: "jane".to_owned(),
        created_at: START,
        expires_at: START,
    };
    let fill = |record: &mut AppRecord| {
        record.tokens = (0..100).map(|number| (format!("t{number}"), token.clone())).collect();
        // With those of jane and joe 200.
        for number in 0..198 {
            record.access.grant(Principal::User(format!("u{number}")), AppRole::Viewer).unwrap();
        }
        record.access.grant(Principal::User("joe".to_owned()), AppRole::Viewer).unwrap();
        Ok::<_, Error>(())
    };
    records.change_app("hello", fill).await.unwrap();
    ask(&control, "root", &put("ann", None, None)).await.end().unwrap();
    for (request, part) in [
        (create_token("ci", key(1)), "hello has 100 tokens"),
        (grant("hello", "ann", AppRole::Viewer), "the access list of hello has 200 rows"),
    ] {
        let refused = ask(&control, "jane", &request).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains(part), "{}", refused.message);
    }
    assert!(records.store().list(keys::TOKENS).await.unwrap().is_empty(), "nothing is kept of a key that is refused");
    // What is there may change, and makes room when it goes.
    ask(&control, "jane", &grant("hello", "joe", AppRole::Deployer)).await.end().unwrap();
    ask(&control, "jane", &revoke("hello", "u7")).await.end().unwrap();
    ask(&control, "jane", &grant("hello", "ann", AppRole::Viewer)).await.end().unwrap();
    let revoke_token = Request::RevokeToken { app: "hello".to_owned(), name: "t7".to_owned() };
    ask(&control, "jane", &revoke_token).await.end().unwrap();
    ask(&control, "jane", &create_token("ci", key(1))).await.end().unwrap();
}
