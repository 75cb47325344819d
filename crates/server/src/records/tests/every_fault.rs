//! Every operation, with every kind of fault at each of its calls: it ends as without the fault, and leaves the same behind.

use std::pin::Pin;
use std::time::Duration;

use futuswarm_faults::{Fault, Rates};
use futuswarm_model::{AppRecord, AuditEntry, Deploying, Link, keys};
use futuswarm_store::Bucket;
use tokio::time::Instant;

use super::*;

const FAULTS: [Fault; 6] = [
    Fault::Fail,
    Fault::Lose,
    Fault::Repeat,
    Fault::Hang(Duration::from_secs(60)),
    Fault::Stall(Duration::from_secs(60)),
    Fault::Absent,
];

type Ended<'a> = Pin<Box<dyn Future<Output = Result<String, Error>> + Send + 'a>>;
type Operation = (&'static str, for<'a> fn(&'a Faulty) -> Ended<'a>);

fn count(record: &mut AppRecord) -> Result<u64, Error> {
    record.latest += 1;
    Ok(record.latest)
}

fn begin(record: &mut AppRecord) -> Result<u64, Error> {
    record.latest += 1;
    let release = release("hello", record.latest);
    record.deploying = Some(Deploying { release, holder: "i-1".to_owned(), epoch: 1, until: NOW });
    Ok(record.latest)
}

fn end(record: &mut AppRecord) -> Result<u64, Error> {
    record.release = record.deploying.take().map(|deploying| deploying.release.number);
    Ok(record.latest)
}

fn more(values: &Values) -> Result<Values, Error> {
    let mut values = values.clone();
    let now: u64 = values.get("COUNT").and_then(Value::text).unwrap_or("0").parse().unwrap();
    values.insert("COUNT".to_owned(), Value::from((now + 1).to_string()));
    Ok(values)
}

fn reattach(record: &mut AppRecord) -> Result<u64, Error> {
    record.links.insert("busy".to_owned(), Link { life: NOW, by: "jane".to_owned(), at: NOW });
    record.ask_to_reattach("jane", &["busy"]);
    Ok(record.latest)
}

fn admit(record: &mut AppRecord) -> Result<u64, Error> {
    record.admission.open = true;
    record.unpublished = Some(7);
    Ok(record.latest)
}

const OPERATIONS: [Operation; 21] = [
    ("create_app", |records| Box::pin(async { Ok(records.create_app("new", "jane", NOW).await?.name) })),
    ("create_app again", |records| {
        Box::pin(async { Ok(records.create_app("hello", "joe", NOW).await.unwrap_err().to_string()) })
    }),
    ("change_app", |records| Box::pin(async { Ok(records.change_app("hello", count).await?.to_string()) })),
    ("change_app begins", |records| Box::pin(async { Ok(records.change_app("hello", begin).await?.to_string()) })),
    ("change_app reattaches", |records| {
        Box::pin(async { Ok(records.change_app("hello", reattach).await?.to_string()) })
    }),
    ("change_app ends", |records| Box::pin(async { Ok(records.change_app("busy", end).await?.to_string()) })),
    ("remove_app", |records| {
        Box::pin(async {
            records.remove_app("hello", NOW).await?;
            Ok(String::new())
        })
    }),
    ("publish_admission", |records| {
        Box::pin(async {
            records.change_app("hello", admit).await?;
            records.publish_admission("hello").await?;
            Ok(String::new())
        })
    }),
    ("apps", |records| Box::pin(async { Ok(format!("{:?}", records.apps().await?)) })),
    ("rebuild_index", |records| Box::pin(async { Ok(format!("{:?}", records.rebuild_index().await?)) })),
    ("pending", |records| Box::pin(async { Ok(format!("{:?}", records.pending().await?)) })),
    ("values", |records| {
        Box::pin(async {
            let document = records.values("hello", DEFAULT, Kind::Config, None).await?.unwrap();
            let old = records.history("hello", DEFAULT, Kind::Config, 9).await?.pop().unwrap();
            let old = records.values("hello", DEFAULT, Kind::Config, Some(&old.version)).await?.unwrap();
            Ok(format!("{:?} {:?}", texts(&document.values), texts(&old.values)))
        })
    }),
    ("change_values", |records| {
        Box::pin(async {
            let changed = records.change_values("hello", DEFAULT, Kind::Config, "joe", NOW, more).await?;
            let after = changed.after.unwrap();
            let read = records.values("hello", DEFAULT, Kind::Config, Some(&after.version)).await?.unwrap();
            assert_eq!(read, after, "the version that is told is that of what was written");
            Ok(format!("{:?} {:?} {:?}", texts(&changed.before), texts(&after.values), after.head))
        })
    }),
    ("change_values of none", |records| {
        Box::pin(async {
            let changed = records.change_values("hello", "staging", Kind::Secrets, "joe", NOW, more).await?;
            Ok(format!("{:?}", texts(&changed.after.unwrap().values)))
        })
    }),
    ("history", |records| {
        Box::pin(async {
            let history = records.history("hello", DEFAULT, Kind::Config, 9).await?;
            Ok(format!("{:?}", history.iter().map(|past| past.number).collect::<Vec<_>>()))
        })
    }),
    ("put_release", |records| {
        Box::pin(async {
            records.put_release(&release("hello", 2)).await?;
            records.put_release(&release("hello", 2)).await?;
            Ok(format!("{:?}", records.releases("hello", 9).await?))
        })
    }),
    ("put_token", |records| {
        Box::pin(async {
            records.put_token("hello", "cd", &token('b')).await?;
            Ok(format!("{:?} {:?}", records.token(&token('b').hash).await?, records.tokens("hello").await?))
        })
    }),
    ("remove_token", |records| {
        Box::pin(async {
            let removed = records.remove_token("hello", "ci").await?;
            Ok(format!("{removed} {:?}", records.token(&token('a').hash).await?))
        })
    }),
    ("change_user", |records| {
        Box::pin(async {
            let change = |there: Option<&User>| {
                let groups = BTreeSet::from(["ops".to_owned()]);
                Ok::<_, Error>(User { groups, ..there.cloned().unwrap_or_else(|| user("joe")) })
            };
            let (joe, jane) = (records.change_user("joe", change).await?, records.change_user("jane", change).await?);
            Ok(format!("{joe:?} {jane:?} {:?}", records.users().await?))
        })
    }),
    ("remove_user", |records| {
        Box::pin(async {
            let was_there = records.remove_user("jane").await?;
            Ok(format!("{was_there} {:?}", records.user("jane").await?))
        })
    }),
    ("audit", |records| {
        Box::pin(async {
            let word = str::to_owned;
            let (who, verb, outcome, from) = (word("jane"), word("logs"), word("done"), word("192.0.2.7"));
            records.audit(&AuditEntry { at: NOW, who, verb, app: None, outcome, milliseconds: 1, from }).await?;
            Ok(format!("{:?}", records.audits(9).await?))
        })
    }),
];

async fn world() -> MemoryBucket {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    for app in ["hello", "busy"] {
        records.create_app(app, "jane", NOW).await.unwrap();
        records.change_app(app, count).await.unwrap();
        records.put_release(&release(app, 1)).await.unwrap();
        records.change_app(app, count).await.unwrap();
    }
    records.change_app("busy", begin).await.unwrap();
    for _ in 0..2 {
        records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, more).await.unwrap();
    }
    records.put_token("hello", "ci", &token('a')).await.unwrap();
    records.change_user("jane", |_| Ok::<_, Error>(user("jane"))).await.unwrap();
    bucket
}

/// All that is in the bucket, without what is random.
async fn content(bucket: &MemoryBucket) -> Vec<String> {
    let records = clean(bucket);
    let mut content = Vec::new();
    for key in bucket.list("").await.unwrap() {
        let app = key.strip_prefix(keys::APPS).and_then(|rest| rest.split_once('/'));
        content.push(match app {
            Some((app, "app")) => {
                let record = records.app_or_rest(app).await.unwrap().unwrap();
                format!("{:?}", AppRecord { stamp: String::new(), ..record })
            }
            Some((app, "config")) => {
                let values = records.values(app, DEFAULT, Kind::Config, None).await.unwrap().unwrap();
                format!("{:?} {:?}", values.head, texts(&values.values))
            }
            Some((app, "secrets/staging")) => {
                let values = records.values(app, "staging", Kind::Secrets, None).await.unwrap().unwrap();
                format!("{:?} {:?}", values.head, texts(&values.values))
            }
            _ => {
                let body = bucket.get(&key).await.unwrap().unwrap().body;
                let key = key.rsplit_once('-').filter(|_| key.starts_with(keys::AUDIT)).map_or(&*key, |(key, _)| key);
                format!("{key} {}", String::from_utf8(body).unwrap())
            }
        });
    }
    content
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_any_call_of_any_operation_changes_nothing_about_its_outcome() {
    for (name, operation) in OPERATIONS {
        let bucket = world().await;
        let outcome = operation(&faulty(&bucket, Faults::none())).await.unwrap();
        let left = content(&bucket).await;
        for fault in FAULTS {
            for call in 0.. {
                let bucket = world().await;
                let script = std::iter::repeat_n(Fault::None, call).chain([fault]);
                let faults = Faults::script(script);
                let ended = operation(&faulty(&bucket, faults.clone())).await;
                if (0..=call).any(|_| faults.draw() == fault) {
                    assert!(call > 0, "{name} makes calls");
                    break; // It makes no more.
                }
                let ended = ended.unwrap_or_else(|error| panic!("{name}, {fault:?} at call {call}: {error}"));
                assert_eq!(ended, outcome, "{name}, {fault:?} at call {call}");
                // What could not follow at once has followed at the next list.
                clean(&bucket).rebuild_index().await.unwrap();
                assert_eq!(content(&bucket).await, left, "{name}, {fault:?} at call {call}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_answer_every_operation_ends_in_time_and_changes_nothing() {
    for (name, operation) in OPERATIONS.into_iter().filter(|(name, _)| *name != "create_app again") {
        for rates in
            [Rates { fail: 1000, ..Rates::default() }, Rates { hang: 1000, hang_millis: 60_000, ..Rates::default() }]
        {
            let bucket = world().await;
            let before = content(&bucket).await;
            let began = Instant::now();
            let error = operation(&faulty(&bucket, Faults::seeded(1, rates))).await.unwrap_err();
            assert!(began.elapsed() < Duration::from_secs(120), "{name}: {:?}", began.elapsed());
            assert!(error.to_string().contains("gave up"), "{name}: {error}");
            assert_eq!(content(&bucket).await, before, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_no_answer_arrives_any_more_after_a_write_it_says_so() {
    let bucket = world().await;
    // The record is read and written, and then the bucket is away.
    let faults = Faults::script([Fault::None, Fault::Lose]);
    faults.set(Rates { fail: 1000, ..Rates::default() });
    let error = faulty(&bucket, faults).change_app("hello", count).await.unwrap_err();
    assert!(matches!(error, Error::Undecided { .. }) && !error.is_transient(), "{error}");
    assert_eq!(clean(&bucket).app("hello").await.unwrap().unwrap().latest, 3, "it was made in fact");
}
