//! Config and secrets: what is read is what was written there, at any version, and nothing else.

use futuswarm_model::keys;
use futuswarm_store::Bucket;
use futuswarm_vault::{DataKeys as _, DocumentContext, Head, document};

use super::*;

async fn world() -> (MemoryBucket, Clean) {
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    for app in ["hello", "shop"] {
        records.create_app(app, "jane", NOW).await.unwrap();
    }
    (bucket, records)
}

#[tokio::test]
async fn every_version_can_be_read_and_says_who_made_it() {
    let (bucket, records) = world().await;
    assert_eq!(records.values("hello", DEFAULT, Kind::Config, None).await.unwrap(), None);
    let unchanged = |values: &Values| Ok::<_, Error>(values.clone());
    let nothing = records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, unchanged).await.unwrap();
    assert_eq!(nothing, ValuesChange { before: Values::new(), after: None });
    for number in 1..=5_u64 {
        let change = set("N", &number.to_string());
        let changed =
            records.change_values("hello", DEFAULT, Kind::Config, &format!("user{number}"), NOW + number, change).await;
        let changed = changed.unwrap();
        assert_eq!(changed.before.get("N").and_then(Value::text).unwrap_or("0"), (number - 1).to_string());
        assert_eq!(
            changed.after.unwrap(),
            records.values("hello", DEFAULT, Kind::Config, None).await.unwrap().unwrap()
        );
    }
    let writes = bucket.writes();
    let same = records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, set("N", "5")).await.unwrap();
    assert_eq!(
        (same.after.unwrap().head.changed_by.as_str(), bucket.writes()),
        ("user5", writes),
        "nothing is written"
    );
    let history = records.history("hello", DEFAULT, Kind::Config, 3).await.unwrap();
    let told: Vec<_> = history.iter().map(|past| (past.number, past.by.as_str(), past.at)).collect();
    assert_eq!(told, [(5, "user5", NOW + 5), (4, "user4", NOW + 4), (3, "user3", NOW + 3)]);
    for past in &records.history("hello", DEFAULT, Kind::Config, 100).await.unwrap() {
        let then = records.values("hello", DEFAULT, Kind::Config, Some(&past.version)).await.unwrap().unwrap();
        assert_eq!((texts(&then.values), &then.version), (vec![format!("N={}", past.number)], &past.version));
    }
    for version in ["", "v0", "null", "../x"] {
        let error = records.values("hello", DEFAULT, Kind::Config, Some(version)).await.unwrap_err().to_string();
        assert!(error.contains("the config of hello (default) in cluster prod has no version"), "{error}");
    }
}

#[tokio::test]
async fn any_bytes_are_values_and_the_bucket_shows_none() {
    let (bucket, records) = world().await;
    let long = "x".repeat(1 << 20);
    let values: Values = [
        ("EMPTY", Value::from("")),
        ("FILE", Value::from("@/etc/passwd")),
        ("NUL", Value::from("a\0b")),
        ("BYTES", Value::from(vec![0xff, 0, 0xfe])),
        ("LINES", Value::from("a\nb=\"c\" 🦀")),
        ("LONG", Value::from(long.as_str())),
        ("=\n \"🦀", Value::from("odd key")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let written = values.clone();
    let change = move |_: &Values| Ok::<_, Error>(written.clone());
    records.change_values("hello", DEFAULT, Kind::Secrets, "jane", NOW, change).await.unwrap();
    let read = records.values("hello", DEFAULT, Kind::Secrets, None).await.unwrap().unwrap();
    assert_eq!(read.values, values);
    assert!(!format!("{read:?}").contains("passwd"));
    let object = bucket.get(&keys::secrets("hello", DEFAULT)).await.unwrap().unwrap();
    let text = String::from_utf8(object.body).unwrap();
    assert!(!text.contains("EMPTY") && !text.contains("passwd"));
}

#[tokio::test]
async fn no_document_opens_in_anothers_place() {
    let (bucket, records) = world().await;
    let places = [
        ("hello", DEFAULT, Kind::Config),
        ("hello", DEFAULT, Kind::Secrets),
        ("hello", "staging", Kind::Config),
        ("shop", DEFAULT, Kind::Config),
    ];
    let key = |(app, environment, kind): (&str, &str, Kind)| match kind {
        Kind::Config => keys::config(app, environment),
        Kind::Secrets => keys::secrets(app, environment),
    };
    for place @ (app, environment, kind) in places {
        let change = set("WHERE", &key(place));
        records.change_values(app, environment, kind, "jane", NOW, change).await.unwrap();
    }
    for from in places {
        let body = bucket.get(&key(from)).await.unwrap().unwrap().body;
        for to in places.into_iter().filter(|to| *to != from) {
            let original = bucket.get(&key(to)).await.unwrap().unwrap().body;
            bucket.put(&key(to), body.clone(), futuswarm_store::Condition::None).await.unwrap();
            let (app, environment, kind) = to;
            let error = records.values(app, environment, kind, None).await.unwrap_err();
            assert!(matches!(error, Error::Vault(_)) && !error.is_transient(), "{from:?} as {to:?}: {error}");
            let change = records.change_values(app, environment, kind, "joe", NOW, set("A", "b")).await;
            assert!(change.is_err(), "nothing is built on it");
            bucket.put(&key(to), original, futuswarm_store::Condition::None).await.unwrap();
            assert!(records.values(app, environment, kind, None).await.unwrap().is_some());
        }
    }
    let elsewhere = Records::new(bucket.clone(), MemoryVault::new(Faults::none()), "dev", "alias/managers");
    assert!(elsewhere.values("hello", DEFAULT, Kind::Config, None).await.is_err());
    let other_key = Records::new(bucket, MemoryVault::new(Faults::none()), "prod", "alias/other");
    assert!(other_key.values("hello", DEFAULT, Kind::Config, None).await.is_err());
}

#[tokio::test]
async fn content_of_a_newer_program_is_refused_and_kept() {
    let (bucket, records) = world().await;
    let vault = MemoryVault::new(Faults::none());
    let word = str::to_owned;
    let context =
        DocumentContext { cluster: word("prod"), app: word("hello"), environment: word(DEFAULT), kind: word("config") };
    assert!(vault.generate("alias/managers", &context).await.is_ok());
    for content in [
        serde_json::json!({ "format": "2", "values": { "A": "hunter2" } }),
        serde_json::json!({ "format": "1", "values": { "A": "hunter2" }, "new": 1 }),
        serde_json::json!({ "format": "1", "values": { "A": 17 } }),
        serde_json::json!({ "A": "hunter2" }),
    ] {
        let head = Head { version: 1, changed_by: "jane".to_owned(), changed_at: NOW };
        let sealed = document::seal(&vault, "alias/managers", &context, head, &content).await.unwrap();
        records.store().put(&keys::config("hello", DEFAULT), &sealed).await.unwrap();
        let writes = bucket.writes();
        let read = records.values("hello", DEFAULT, Kind::Config, None).await.unwrap_err().to_string();
        assert!(read.contains("its content is not what this version writes") && !read.contains("hunter2"), "{read}");
        let change = records.change_values("hello", DEFAULT, Kind::Config, "jane", NOW, set("B", "c")).await;
        assert!(change.is_err());
        assert_eq!(bucket.writes(), writes);
    }
    records.store().put(&keys::config("hello", DEFAULT), &"no document").await.unwrap();
    let error = records.values("hello", DEFAULT, Kind::Config, None).await.unwrap_err();
    assert!(matches!(&error, Error::Unreadable { key, .. } if key == "apps/hello/config"), "{error}");
}
