//! The rules of the store over a bucket that fails as S3 does.

use futuswarm_faults::{Fault, Faults};

use super::*;

fn store() -> (MemoryBucket, Store<MemoryBucket>) {
    let bucket = MemoryBucket::default();
    (bucket.clone(), Store::new(bucket))
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
    let second = store.replace("k", &2, &first).await.unwrap().expect("nobody else wrote");
    assert_eq!(store.replace("k", &3, &first).await.unwrap(), None);
    assert_eq!(store.get::<i32>("k").await.unwrap().unwrap(), Versioned { value: 2, etag: second });
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_ours() {
    let (bucket, store) = store();
    bucket.lose_answers(1);
    let first =
        store.create("k", &1).await.unwrap().expect("it was applied, although the SDK's second attempt was refused");
    bucket.lose_answers(1);
    let second = store.replace("k", &2, &first).await.unwrap().expect("so was this");
    assert_eq!(bucket.writes(), 2, "each once");
    bucket.lose_answers(1);
    let refused = store.swap("k", &3, Some(&first)).await.unwrap();
    assert_eq!(refused, Swap::Refused(Some(Versioned { value: 2, etag: second })), "somebody else's is not ours");
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
