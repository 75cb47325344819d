//! The rules of the store over a bucket that fails as S3 does.

use futuswarm_faults::{Fault, Faults};

use super::*;

fn store() -> (MemoryBucket, Store<MemoryBucket>) {
    let bucket = MemoryBucket::default();
    (bucket.clone(), Store::new(bucket))
}

fn at(value: i32, revision: Revision) -> Versioned<i32> {
    Versioned { value, etag: revision.etag, version: revision.version }
}

#[tokio::test]
async fn only_one_of_many_creates_wins() {
    let (_, store) = store();
    let mut winners = 0;
    for writer in 0..20 {
        winners += u32::from(store.create("cluster/genesis", &writer).await.unwrap().is_some());
    }
    assert_eq!(winners, 1);
    assert_eq!(store.get::<i32>("cluster/genesis").await.unwrap().unwrap().value, 0);
}

#[tokio::test]
async fn a_replacement_at_an_old_version_is_refused_and_changes_nothing() {
    let (_, store) = store();
    let first = store.put("k", &1).await.unwrap();
    let second = store.replace("k", &2, &first.etag).await.unwrap().expect("nobody else wrote");
    assert_eq!(store.replace("k", &3, &first.etag).await.unwrap(), None);
    assert_eq!(store.get::<i32>("k").await.unwrap().unwrap(), at(2, second));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_ours() {
    let (bucket, store) = store();
    bucket.lose_answers(1);
    let first =
        store.create("k", &1).await.unwrap().expect("it was applied, although the SDK's second attempt was refused");
    bucket.lose_answers(1);
    let second = store.replace("k", &2, &first.etag).await.unwrap().expect("so was this");
    assert_eq!(bucket.writes(), 2, "each once");
    bucket.lose_answers(1);
    let refused = store.swap("k", &3, Some(&first.etag)).await.unwrap();
    assert_eq!(refused, Swap::Refused(Some(at(2, second))), "somebody else's is not ours");
    assert_eq!(store.create("k", &4).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_there_is_not_gone_because_one_answer_says_so() {
    let (bucket, store) = store();
    store.put("k", &1).await.unwrap();
    bucket.deny_every(2);
    for _ in 0..20 {
        assert_eq!(store.get::<i32>("k").await.unwrap().unwrap().value, 1);
    }
    let other = Store::new(bucket.clone());
    let answers = [other.peek::<i32>("k").await.unwrap(), other.peek::<i32>("k").await.unwrap()];
    assert!(answers.iter().any(Option::is_none), "a process that has never seen it believes that: {answers:?}");
    bucket.deny_every(1);
    let error = store.get::<i32>("k").await.unwrap_err();
    assert!(matches!(&error, Error::Vanished { key } if key == "k") && error.is_transient(), "{error}");
    store.delete("k").await.unwrap();
    assert_eq!(store.get::<i32>("k").await.unwrap(), None, "we have deleted it ourselves");
}

#[tokio::test]
async fn one_garbled_record_does_not_hide_the_others() {
    let (_, store) = store();
    store.put("cluster/managers/i-1", &7).await.unwrap();
    store.put("cluster/managers/i-2", &"not a number").await.unwrap();
    assert_eq!(store.all::<i32>("cluster/managers/").await.unwrap(), [7]);
    let message = store.get::<i32>("cluster/managers/i-2").await.unwrap_err().to_string();
    assert!(message.starts_with("cluster/managers/i-2 in the cluster's bucket cannot be read: "), "{message}");
}

#[tokio::test]
async fn many_documents_go_at_once_and_others_stay() {
    let (_, store) = store();
    for key in ["a/1", "a/2", "b/1"] {
        store.put(key, &1).await.unwrap();
    }
    store.delete_all(&["a/1".to_owned(), "b/1".to_owned(), "c".to_owned()]).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["a/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_with_failures_is_read_as_it_answers() {
    let bucket = MemoryBucket::default();
    let hang = Duration::from_secs(60);
    let script = [Fault::Fail, Fault::Lose, Fault::Repeat, Fault::Absent, Fault::Hang(hang)];
    let faulty = FaultyBucket::new(bucket.clone(), Faults::script(script));
    let put = |body: &'static str| faulty.put("k", body.as_bytes().to_vec(), Condition::Absent);
    assert!(put("1").await.unwrap_err().is_transient());
    assert_eq!(bucket.writes(), 0);
    assert!(put("1").await.unwrap_err().is_transient());
    assert_eq!(bucket.writes(), 1, "it was written, and nobody knows");
    assert_eq!(put("2").await.unwrap(), Put::Refused);
    assert!(faulty.get("k").await.unwrap().is_none(), "said not to exist");
    assert!(faulty.get("k").await.unwrap_err().is_transient());
    assert_eq!(faulty.get("k").await.unwrap().unwrap().body, b"1");
}

#[tokio::test]
async fn what_was_written_can_be_read_again_and_deletions_are_told() {
    let (bucket, store) = store();
    let mut written = Vec::new();
    for value in 1..=3 {
        written.push(store.put("apps/a/config", &value).await.unwrap().version);
        store.put("apps/a/config/staging", &-value).await.unwrap();
    }
    bucket.lose_answers(1);
    let last = bucket.get("apps/a/config").await.unwrap().unwrap();
    let swap = store.swap("apps/a/config", &4, Some(&last.etag)).await.unwrap();
    let Swap::Applied(fourth) = swap else { panic!("{swap:?}") };
    assert_eq!(store.get::<i32>("apps/a/config").await.unwrap().unwrap(), at(4, fourth.clone()), "of the lost answer");
    store.delete("apps/a/config").await.unwrap();
    let after = store.put("apps/a/config", &5).await.unwrap().version;

    let versions = store.versions("apps/a/config", 100).await.unwrap();
    let names: Vec<&str> =
        versions.iter().filter(|version| !version.deleted).map(|version| version.version.as_str()).collect();
    assert_eq!(names, [&after, &fourth.version, &written[2], &written[1], &written[0]], "of this key only");
    assert_eq!(versions.iter().position(|version| version.deleted), Some(1));
    assert_eq!(store.versions("apps/a/config", 2).await.unwrap(), versions[..2]);
    assert_eq!(store.versions("apps/a", 2).await.unwrap(), []);
    for (value, version) in (1..).zip(&written) {
        let read = store.peek_version::<i32>("apps/a/config", version).await.unwrap().unwrap();
        assert_eq!((read.value, &read.version), (value, version));
        assert_eq!(store.peek_version::<i32>("apps/a/config/staging", version).await.unwrap(), None);
    }
    assert_eq!(store.peek_version::<i32>("apps/a/config", &versions[1].version).await.unwrap(), None, "a deletion");
}

#[tokio::test]
async fn listings_tell_what_has_changed_and_which_folders_there_are() {
    let (bucket, store) = store();
    for key in ["apps/a/app", "apps/a/releases/1", "apps/b/app", "apps/stray", "users/jane"] {
        store.put(key, &1).await.unwrap();
    }
    assert_eq!(store.list_folders("apps/").await.unwrap(), ["a", "b"]);
    let before = store.list_entries("apps/a/").await.unwrap();
    let changed = store.put("apps/a/app", &2).await.unwrap();
    let after = store.list_entries("apps/a/").await.unwrap();
    assert_eq!(before[1], after[1]);
    assert_eq!((after[0].key.as_str(), &after[0].etag, after[0].bytes), ("apps/a/app", &changed.etag, 1));
    assert_ne!(before[0], after[0]);
    bucket.advance(Duration::from_secs(86_400));
    store.put("users/joe", &12).await.unwrap();
    let users = store.list_entries("users/").await.unwrap();
    let age = users[1].modified - users[0].modified;
    assert!((86_400_000..86_402_000).contains(&age) && users.iter().all(|user| user.bytes > 0), "{users:?}");
}

#[tokio::test]
async fn a_forgetful_store_takes_a_deletion_by_others_for_one() {
    let bucket = MemoryBucket::default();
    let (store, other) = (Store::forgetful(bucket.clone()), Store::new(bucket));
    let written = store.put("k", &1).await.unwrap();
    assert!(store.get::<i32>("k").await.unwrap().is_some());
    other.delete("k").await.unwrap();
    assert_eq!(store.get::<i32>("k").await.unwrap(), None);
    assert_eq!(store.swap("k", &2, Some(&written.etag)).await.unwrap(), Swap::Refused(None));
}

#[tokio::test]
async fn a_foreign_bucket_is_read_page_by_page_and_up_to_a_length() {
    let bucket = MemoryBucket::default();
    for index in 0..2500 {
        bucket.put(&format!("shop/default/K{index:04}"), vec![b'x'; index % 7], Condition::None).await.unwrap();
    }
    bucket.put("shop/other", b"12345".to_vec(), Condition::None).await.unwrap();
    let (mut keys, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bucket.page("shop/default/", after.as_deref()).await.unwrap();
        pages += 1;
        assert!(page.objects.iter().all(|object| object.length < 7));
        keys.extend(page.objects.into_iter().map(|object| object.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, keys.len(), keys.is_sorted()), (3, 2500, true));
    assert_eq!(bucket.page("nothing/", None).await.unwrap(), Page::default());
    assert_eq!(bucket.read_at_most("shop/other", 5).await.unwrap(), Reading::Whole(b"12345".to_vec()));
    assert_eq!(bucket.read_at_most("shop/other", 4).await.unwrap(), Reading::TooLong(5));
    assert_eq!(bucket.read_at_most("shop/gone", 4).await.unwrap(), Reading::Absent);
    let faulty = FaultyBucket::new(bucket.clone(), Faults::script([Fault::Fail, Fault::Absent, Fault::Fail]));
    assert!(faulty.page("shop/", None).await.unwrap_err().is_transient());
    assert_eq!(faulty.read_at_most("shop/other", 5).await.unwrap(), Reading::Absent);
    assert!(faulty.read_at_most("shop/other", 5).await.unwrap_err().is_transient());
    assert_eq!(bucket.writes(), 2501, "nothing was written by reading");
}

#[tokio::test(start_paused = true)]
async fn who_knows_a_document_is_told_only_of_another() {
    let (bucket, store) = store();
    assert_eq!(store.get_if_changed::<i32>("k", None).await.unwrap(), News::Changed(None));
    let first = store.put("k", &1).await.unwrap();
    assert_eq!(store.get_if_changed("k", None).await.unwrap(), News::Changed(Some(at(1, first.clone()))));
    assert_eq!(store.get_if_changed::<i32>("k", Some(&first.etag)).await.unwrap(), News::Same);
    let second = store.put("k", &2).await.unwrap();
    assert_eq!(store.get_if_changed("k", Some(&first.etag)).await.unwrap(), News::Changed(Some(at(2, second.clone()))));
    bucket.deny_every(2);
    for _ in 0..10 {
        let news = store.get_if_changed::<i32>("k", Some(&second.etag)).await.unwrap();
        assert!(news != News::Changed(None), "one answer that says that it is gone is not believed");
    }
    bucket.deny_every(1);
    let gone = store.get_if_changed::<i32>("k", Some(&second.etag)).await.unwrap_err();
    assert!(matches!(gone, Error::Vanished { .. }), "{gone}");
    bucket.deny_every(0);
    store.put("k", &"no number").await.unwrap();
    let garbled = store.get_if_changed::<i32>("k", Some(&second.etag)).await.unwrap_err();
    assert!(matches!(garbled, Error::Malformed { .. }), "{garbled}");
}
