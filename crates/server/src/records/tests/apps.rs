//! Apps from their making to their removal, their releases, tokens and users.

use futuswarm_model::{AppRecord, AuditEntry, Deploying, Link, TokenRecord, keys};
use futuswarm_store::Bucket;

use super::*;

fn deploying(number: u64) -> Deploying {
    Deploying { release: release("hello", number), holder: "i-1".to_owned(), epoch: 1, until: NOW + 30_000 }
}

#[tokio::test]
async fn a_name_is_one_app_and_only_names_are_apps() {
    let records = clean(&MemoryBucket::default());
    let made = records.create_app("hello", "jane", NOW).await.unwrap();
    assert_eq!(records.app("hello").await.unwrap().unwrap(), made);
    let again = records.create_app("hello", "joe", NOW).await.unwrap_err();
    assert_eq!(again.to_string(), "there is an app hello already");
    for name in ["", "a/app", "../users/jane", "A", "a\n"] {
        assert!(matches!(records.create_app(name, "jane", NOW).await, Err(Error::Name(_))), "{name:?}");
        assert!(matches!(records.app(name).await, Err(Error::Name(_))), "{name:?}");
        assert!(matches!(records.values(name, DEFAULT, Kind::Config, None).await, Err(Error::Name(_))), "{name:?}");
        assert!(matches!(records.values("hello", name, Kind::Config, None).await, Err(Error::Name(_))), "{name:?}");
    }
    assert_eq!(records.app("other").await.unwrap(), None);
    let none = records.change_app("other", |_| Ok::<_, Error>(())).await.unwrap_err();
    assert_eq!(none.to_string(), r#"there is no app "other""#);
}

#[tokio::test(start_paused = true)]
async fn of_many_who_make_an_app_at_once_one_owns_it() {
    let bucket = MemoryBucket::default();
    let mut makers = Vec::new();
    for maker in 0..10 {
        let records = clean(&bucket);
        makers.push(tokio::spawn(async move { records.create_app("hello", &format!("user{maker}"), NOW).await }));
    }
    let mut won = Vec::new();
    for maker in makers {
        match maker.await.unwrap() {
            Ok(record) => won.push(record),
            Err(error) => assert!(matches!(error, Error::AppExists(_)), "{error}"),
        }
    }
    assert_eq!(won, [clean(&bucket).app("hello").await.unwrap().unwrap()]);
}

#[tokio::test]
async fn a_refused_change_changes_nothing_and_one_that_changes_nothing_is_not_written() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let writes = bucket.writes();
    let refused = records
        .change_app("hello", |record| {
            record.latest = 7;
            Err::<(), _>(Error::NoApp("refused".to_owned()))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(records.change_app("hello", |record| Ok::<_, Error>(record.latest)).await.unwrap(), 0);
    assert_eq!(bucket.writes(), writes);
}

#[tokio::test]
async fn the_index_follows_and_markers_stand_while_somebody_is_at_it() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    records.create_app("shop", "joe", NOW).await.unwrap();
    let row = || async { records.apps().await.unwrap()["hello"].clone() };
    assert_eq!(row().await.release, None);
    let begin = |record: &mut AppRecord| {
        record.latest += 1;
        record.deploying = Some(deploying(record.latest));
        Ok::<_, Error>(())
    };
    records.change_app("hello", begin).await.unwrap();
    assert_eq!(row().await.deploying, Some(1));
    assert_eq!(records.pending().await.unwrap(), BTreeSet::from(["hello".to_owned()]));
    let on_its_way = records.releases("hello", 10).await.unwrap();
    assert_eq!(on_its_way.iter().map(|release| release.number).collect::<Vec<_>>(), [1]);

    records.put_release(&release("hello", 1)).await.unwrap();
    let end = |record: &mut AppRecord| {
        record.release = record.deploying.take().map(|deploying| deploying.release.number);
        Ok::<_, Error>(())
    };
    records.change_app("hello", end).await.unwrap();
    assert_eq!(
        (row().await.release, row().await.image, row().await.deploying),
        (Some(1), Some("hello:1".into()), None)
    );
    assert!(records.pending().await.unwrap().is_empty());
    assert_eq!(bucket.list(keys::PENDING).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_marker_stands_while_the_networks_of_an_app_are_to_be_looked_at_too() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let ask = |record: &mut AppRecord| {
        record.links.insert("shop".to_owned(), Link { life: 7, by: "jane".to_owned(), at: NOW });
        record.ask_to_reattach("jane", &["shop"]);
        Ok::<_, Error>(())
    };
    records.change_app("hello", ask).await.unwrap();
    let pending = || async { records.pending().await.unwrap() };
    assert_eq!(pending().await, BTreeSet::from(["hello".to_owned()]));
    assert_eq!(records.apps().await.unwrap()["hello"].links["shop"], 7, "the index says whom it names");
    // It outlives a release that begins and ends meanwhile.
    let begin = |record: &mut AppRecord| {
        record.latest += 1;
        record.deploying = Some(deploying(record.latest));
        Ok::<_, Error>(())
    };
    records.change_app("hello", begin).await.unwrap();
    let end = |record: &mut AppRecord| {
        record.deploying = None;
        Ok::<_, Error>(())
    };
    records.change_app("hello", end).await.unwrap();
    assert_eq!(pending().await, BTreeSet::from(["hello".to_owned()]));
    let looked = |record: &mut AppRecord| {
        record.reattach = None;
        Ok::<_, Error>(())
    };
    records.change_app("hello", looked).await.unwrap();
    assert!(pending().await.is_empty());
    assert_eq!(clean(&bucket).rebuild_index().await.unwrap()["hello"].links["shop"], 7);
}

#[tokio::test]
async fn an_index_that_was_lost_or_damaged_is_made_again() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    assert!(records.apps().await.unwrap().is_empty());
    for (app, number) in [("hello", 1), ("shop", 2), ("bare", 0)] {
        records.create_app(app, "jane", NOW).await.unwrap();
        let run = |record: &mut AppRecord| {
            record.latest = number;
            Ok::<_, Error>(())
        };
        records.change_app(app, run).await.unwrap();
        if number > 0 {
            records.put_release(&release(app, number)).await.unwrap();
            let run = |record: &mut AppRecord| {
                record.release = Some(number);
                Ok::<_, Error>(())
            };
            records.change_app(app, run).await.unwrap();
        }
    }
    records.remove_app("bare", NOW).await.unwrap();
    let index = records.apps().await.unwrap();
    assert_eq!(index.keys().collect::<Vec<_>>(), ["hello", "shop"]);
    assert_eq!(index["shop"].image.as_deref(), Some("shop:2"));
    bucket.delete(keys::APP_INDEX).await.unwrap();
    assert_eq!(clean(&bucket).apps().await.unwrap(), index);
    records.store().put(keys::APP_INDEX, &"garbage").await.unwrap();
    assert_eq!(clean(&bucket).apps().await.unwrap(), index);
    // A row that is wrong is put right by who asks for it.
    let mut wrong = index.clone();
    wrong.remove("shop");
    wrong.insert("ghost".to_owned(), index["hello"].clone());
    records.store().put(keys::APP_INDEX, &wrong).await.unwrap();
    assert_eq!(clean(&bucket).rebuild_index().await.unwrap(), index);
    assert_eq!(clean(&bucket).apps().await.unwrap(), index);
}

#[tokio::test]
async fn an_app_of_the_same_name_starts_with_nothing_of_the_old_one() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    let mut old: Vec<String> = Vec::new();
    for life in 1..=3_u64 {
        let now = NOW + life;
        records.create_app("hello", "jane", now).await.unwrap();
        assert_eq!(records.history("hello", DEFAULT, Kind::Secrets, 10).await.unwrap(), []);
        assert_eq!(records.values("hello", DEFAULT, Kind::Secrets, None).await.unwrap(), None);
        for number in 1..=life {
            let change = set("KEY", &format!("{life}.{number}"));
            let changed = records.change_values("hello", DEFAULT, Kind::Secrets, "jane", now, change).await.unwrap();
            assert_eq!(changed.after.unwrap().head.version, number);
        }
        let history = records.history("hello", DEFAULT, Kind::Secrets, 10).await.unwrap();
        assert_eq!(history.iter().map(|past| past.number).collect::<Vec<_>>(), (1..=life).rev().collect::<Vec<_>>());
        for (past, number) in history.iter().zip((1..=life).rev()) {
            let values = records.values("hello", DEFAULT, Kind::Secrets, Some(&past.version)).await.unwrap().unwrap();
            assert_eq!(texts(&values.values), [format!("KEY={life}.{number}")]);
        }
        for version in &old {
            let refused = records.values("hello", DEFAULT, Kind::Secrets, Some(version)).await.unwrap_err();
            assert!(matches!(refused, Error::NoVersion { .. }), "life {life}, {version}: {refused}");
        }
        old.extend(history.into_iter().map(|past| past.version));
        records.change_values("hello", "staging", Kind::Config, "jane", now, set("A", "b")).await.unwrap();
        records.put_token("hello", "ci", &token('a')).await.unwrap();
        let count = |record: &mut AppRecord| {
            record.latest += 1;
            Ok::<_, Error>(())
        };
        records.change_app("hello", count).await.unwrap();
        records.put_release(&release("hello", 1)).await.unwrap();

        records.remove_app("hello", now).await.unwrap();
        assert_eq!(records.app_or_rest("hello").await.unwrap(), None);
        assert_eq!(records.token(&token('a').hash).await.unwrap(), None);
        assert!(matches!(records.remove_app("hello", now).await, Err(Error::NoApp(_))));
        let left = bucket.list("").await.unwrap();
        assert_eq!(left, [keys::APP_INDEX], "the index is empty, and nothing else is left");
        assert!(records.apps().await.unwrap().is_empty());
        for version in &old {
            assert!(records.values("hello", DEFAULT, Kind::Secrets, Some(version)).await.is_err(), "{version}");
        }
    }
}

#[tokio::test]
async fn a_removal_that_was_broken_off_is_ended_by_the_next() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, set("A", "old")).await.unwrap();
    let begun = records.begin_removal("hello", NOW).await.unwrap();
    assert_eq!(records.app("hello").await.unwrap(), None);
    assert_eq!(records.pending().await.unwrap(), BTreeSet::from(["hello".to_owned()]), "somebody finds it");
    let write = records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, set("A", "late")).await;
    assert!(matches!(write, Err(Error::NoApp(_))));
    let early = records.create_app("hello", "joe", NOW + 1_000).await.unwrap_err();
    assert!(matches!(early, Error::BeingRemoved(_)) && early.is_transient(), "{early}");
    assert!(records.take_removal("hello", NOW + 59_999).await.unwrap().is_none(), "somebody may be at it");
    // It has more than documents, so that making an app of its name does not end it on the side.
    let late = records.create_app("hello", "joe", NOW + 60_001).await.unwrap_err();
    assert!(matches!(late, Error::BeingRemoved(_)), "{late}");
    let taken = records.take_removal("hello", NOW + 60_001).await.unwrap().unwrap();
    assert!(records.take_removal("hello", NOW + 60_002).await.unwrap().is_none(), "one goes on with it");
    // Who began it wakes up, and deletes nothing more: before the name is free, and after.
    let image = vec!["registry/hello".to_owned()];
    records.store().put(&image[0], &"of the app that goes").await.unwrap();
    let mut begun = begun;
    assert!(records.delete_in_removal(&mut begun, &image).await.is_err());
    assert!(records.store().peek::<String>(&image[0]).await.unwrap().is_some());
    records.finish_removal(taken).await.unwrap();
    let new = records.create_app("hello", "joe", NOW + 60_003).await.unwrap();
    assert_eq!(records.values("hello", DEFAULT, Kind::Config, None).await.unwrap(), None);
    records.change_values("hello", DEFAULT, Kind::Config, "joe", NOW, set("A", "new")).await.unwrap();
    assert!(records.delete_in_removal(&mut begun, &[keys::config("hello", DEFAULT)]).await.is_err());
    assert!(matches!(records.finish_removal(begun).await, Err(Error::RemovalUnfinished(_))));
    assert_eq!(records.app("hello").await.unwrap(), Some(new));
    let kept = records.values("hello", DEFAULT, Kind::Config, None).await.unwrap().unwrap();
    assert_eq!(texts(&kept.values), ["A=new"]);
    // What somebody has left without an app is gone before there is one again.
    records.remove_app("hello", NOW).await.unwrap();
    records.store().put(&keys::config("hello", DEFAULT), &"left behind").await.unwrap();
    records.create_app("hello", "jane", NOW).await.unwrap();
    assert_eq!(records.values("hello", DEFAULT, Kind::Config, None).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_takes_long_says_that_somebody_is_at_it() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let mut removal = records.begin_removal("hello", NOW).await.unwrap();
    for seconds in [15, 30, 45, 60, 75] {
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        records.delete_in_removal(&mut removal, &["nothing".to_owned()]).await.unwrap();
        let taken = records.take_removal("hello", NOW + seconds * 1000).await.unwrap();
        assert!(taken.is_none(), "taken over after {seconds} s, while it goes on");
    }
    records.finish_removal(removal).await.unwrap();
    assert_eq!(records.app_or_rest("hello").await.unwrap(), None);
}

#[tokio::test]
async fn an_app_whose_release_is_on_its_way_is_not_removed() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let begin = |record: &mut AppRecord| {
        record.latest = 1;
        record.deploying = Some(deploying(1));
        Ok::<_, Error>(())
    };
    records.change_app("hello", begin).await.unwrap();
    let refused = records.begin_removal("hello", NOW).await.unwrap_err();
    assert!(matches!(refused, Error::OnItsWay { number: 1, .. }), "{refused}");
    assert!(records.app("hello").await.unwrap().unwrap().deploying.is_some(), "it goes on");
}

#[tokio::test]
async fn what_was_left_in_a_folder_is_cleared_and_never_what_another_maker_has() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.store().put(&keys::config("hello", DEFAULT), &"left behind").await.unwrap();
    let mut makers = Vec::new();
    for maker in ["jane", "joe", "jim"] {
        let records = clean(&bucket);
        makers.push(tokio::spawn(async move {
            let made = records.create_app("hello", maker, NOW).await;
            if made.is_ok() {
                records.change_values("hello", DEFAULT, Kind::Config, maker, NOW, set("BY", maker)).await.unwrap();
            }
            made
        }));
    }
    let mut won = Vec::new();
    for maker in makers {
        won.extend(maker.await.unwrap().ok());
    }
    let [won] = won.as_slice() else { panic!("{won:?}") };
    assert_eq!(records.app("hello").await.unwrap().as_ref(), Some(won));
    let values = records.values("hello", DEFAULT, Kind::Config, None).await.unwrap().unwrap();
    assert_eq!(texts(&values.values), [format!("BY={}", won.created_by)]);
}

#[tokio::test]
async fn a_release_has_one_record() {
    let records = clean(&MemoryBucket::default());
    assert!(matches!(records.put_release(&release("hello", 1)).await, Err(Error::NoApp(_))));
    records.create_app("hello", "jane", NOW).await.unwrap();
    let early = records.put_release(&release("hello", 1)).await.unwrap_err();
    assert!(matches!(early, Error::NotItsRelease { latest: 0, .. }), "{early}");
    let latest = |record: &mut AppRecord| {
        record.latest = 40;
        Ok::<_, Error>(())
    };
    records.change_app("hello", latest).await.unwrap();
    for number in (1..=40).filter(|number| number % 7 != 0) {
        records.put_release(&release("hello", number)).await.unwrap();
    }
    records.put_release(&release("hello", 1)).await.unwrap();
    let other = Release { by: "joe".to_owned(), ..release("hello", 1) };
    let refused = records.put_release(&other).await.unwrap_err();
    assert!(matches!(refused, Error::ReleaseExists { number: 1, .. }), "{refused}");
    assert_eq!(records.release("hello", 1).await.unwrap(), Some(release("hello", 1)));
    assert_eq!(records.release("hello", 7).await.unwrap(), None);
    let newest = records.releases("hello", 5).await.unwrap();
    assert_eq!(newest.iter().map(|release| release.number).collect::<Vec<_>>(), [40, 39, 38, 37, 36]);
    assert_eq!(records.releases("hello", 100).await.unwrap().len(), 35);
}

#[tokio::test]
async fn a_key_is_good_for_one_token_until_it_is_revoked() {
    let records = clean(&MemoryBucket::default());
    for app in ["hello", "shop"] {
        records.create_app(app, "jane", NOW).await.unwrap();
    }
    records.put_token("hello", "ci", &token('a')).await.unwrap();
    records.put_token("hello", "ci", &token('a')).await.unwrap();
    let (found, there) = records.token(&token('a').hash).await.unwrap().unwrap();
    assert_eq!((found.app.as_str(), found.name.as_str(), there), ("hello", "ci", token('a')));
    let error = records.put_token("hello", "ci", &token('b')).await.unwrap_err();
    assert!(matches!(error, Error::TokenExists { .. }), "{error}");
    let error = records.put_token("shop", "ci", &token('a')).await.unwrap_err();
    assert_eq!(error.to_string(), "the key is the token ci of hello already: make another key");
    for hash in ["", "../users/jane", &"A".repeat(64), &"a".repeat(63)] {
        assert!(matches!(records.token(hash).await, Err(Error::Name(_))), "{hash:?}");
    }
    // What finds an app by a key is worth nothing without the app's own record.
    let forged = futuswarm_model::TokenRecord { app: "shop".to_owned(), name: "ci".to_owned(), expires_at: u64::MAX };
    records.store().put(&keys::app_token(&token('c').hash), &forged).await.unwrap();
    assert_eq!(records.token(&token('c').hash).await.unwrap(), None);
    records.put_token("shop", "deploy", &token('c')).await.unwrap();
    assert!(records.token(&token('c').hash).await.unwrap().is_some());

    assert!(records.remove_token("hello", "ci").await.unwrap());
    assert!(!records.remove_token("hello", "ci").await.unwrap());
    assert_eq!(records.token(&token('a').hash).await.unwrap(), None);
    assert!(records.tokens("hello").await.unwrap().is_empty());
    records.put_token("shop", "ci", &token('a')).await.unwrap();
}

#[tokio::test]
async fn keys_of_no_token_are_forgotten_once_nobody_can_be_at_making_one() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    for app in ["hello", "shop"] {
        records.create_app(app, "jane", NOW).await.unwrap();
    }
    records.put_token("hello", "ci", &token('a')).await.unwrap();
    records.put_token("shop", "ci", &token('b')).await.unwrap();
    // One that was revoked, whose name another has now; one that was never good; and one whose app is gone.
    let key = |digit: char| keys::app_token(&token(digit).hash);
    for (digit, app, name) in [('c', "hello", "ci"), ('d', "shop", "new"), ('e', "gone", "ci")] {
        let left = TokenRecord { app: app.to_owned(), name: name.to_owned(), expires_at: u64::MAX };
        records.store().put(&key(digit), &left).await.unwrap();
    }
    // Those of a newer version of the program are its own affair.
    for strange in ["tokens/0", &key('f')] {
        records.store().put(strange, &"something else").await.unwrap();
    }
    bucket.advance(std::time::Duration::from_secs(86_000));
    assert_eq!(records.forget_keys().await.unwrap(), 0, "they may be about to be good");
    bucket.advance(std::time::Duration::from_secs(1000));
    assert_eq!(records.forget_keys().await.unwrap(), 3);
    let kept = records.store().list(keys::TOKENS).await.unwrap();
    assert_eq!(kept, ["tokens/0".to_owned(), key('a'), key('b'), key('f')]);
    for digit in ['a', 'b'] {
        assert!(records.token(&token(digit).hash).await.unwrap().is_some(), "{digit}");
    }
    assert_eq!(records.forget_keys().await.unwrap(), 0);
}

#[tokio::test]
async fn users_come_change_and_go() {
    let records = clean(&MemoryBucket::default());
    let make = |name: &'static str| {
        move |there: Option<&User>| match there {
            Some(_) => Err(Error::NoApp("they are there already".to_owned())),
            None => Ok(user(name)),
        }
    };
    records.change_user("jane", make("jane")).await.unwrap();
    records.change_user("joe", make("somebody else")).await.unwrap();
    assert!(records.change_user("jane", make("jane")).await.is_err());
    let admin = |there: Option<&User>| Ok::<_, Error>(User { admin: true, ..there.cloned().unwrap() });
    assert!(records.change_user("jane", admin).await.unwrap().admin);
    let users = records.users().await.unwrap();
    let names: Vec<(&str, bool)> = users.iter().map(|user| (user.name.as_str(), user.admin)).collect();
    assert_eq!(names, [("jane", true), ("joe", false)], "a record names whose it is");
    assert!(records.remove_user("jane").await.unwrap());
    assert!(!records.remove_user("jane").await.unwrap());
    assert_eq!(records.user("jane").await.unwrap(), None);
    assert!(matches!(records.user("../apps/hello/app").await, Err(Error::Name(_))));
}

#[tokio::test]
async fn the_audit_is_told_newest_first_over_days() {
    let records = clean(&MemoryBucket::default());
    for line in 0..30_u64 {
        let entry = AuditEntry {
            at: NOW + line * 7_200_000,
            who: "jane".to_owned(),
            verb: "app:deploy".to_owned(),
            app: Some("hello".to_owned()),
            outcome: "done".to_owned(),
            milliseconds: line,
            from: "192.0.2.7".to_owned(),
        };
        records.audit(&entry).await.unwrap();
    }
    let told = |lines: Vec<AuditEntry>| lines.into_iter().map(|line| line.milliseconds).collect::<Vec<_>>();
    assert_eq!(told(records.audits(15).await.unwrap()), (15..30).rev().collect::<Vec<_>>());
    assert_eq!(told(records.audits(100).await.unwrap()), (0..30).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn records_of_a_newer_program_are_refused_and_kept() {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let mut newer = serde_json::to_value(records.app("hello").await.unwrap().unwrap()).unwrap();
    newer["quota"] = 7.into();
    records.store().put(&keys::app("hello"), &newer).await.unwrap();
    let change = records.change_app("hello", |record| {
        record.latest += 1;
        Ok::<_, Error>(())
    });
    let error = change.await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("apps/hello/app") && text.contains("unknown field `quota`"), "{text}");
    assert!(text.contains("update this node") && !error.is_transient(), "{text}");
    assert_eq!(records.store().peek::<serde_json::Value>(&keys::app("hello")).await.unwrap().unwrap().value, newer);
}
