//! Many clients who change one config at the same time, over a network that loses and repeats: no change is lost, none is made twice, and
//! no version is made of two.

use std::collections::BTreeMap;

use fastrand::Rng;
use futuswarm_faults::Rates;
use futuswarm_model::{AppRecord, keys};
use futuswarm_store::Bucket;

use super::*;

const CLIENTS: u64 = 8;
const EDITS: u64 = 12;
const RATES: Rates =
    Rates { fail: 25, lose: 40, repeat: 40, hang: 5, stall: 8, absent: 15, delay_millis: 20, hang_millis: 15_000 };

fn number(values: &Values, key: &str) -> u64 {
    values.get(key).and_then(Value::text).map_or(0, |text| text.parse().unwrap())
}

/// Adds one to each of `keys` and to the count of all edits, and signs twice.
fn edit(values: &Values, keys: &BTreeSet<String>, signature: &str) -> Values {
    let mut after = values.clone();
    for key in keys.iter().map(String::as_str).chain(["EDITS"]) {
        after.insert(key.to_owned(), Value::from((number(values, key) + 1).to_string()));
    }
    for key in ["FIRST_SIGNATURE", "LAST_SIGNATURE"] {
        after.insert(key.to_owned(), Value::from(signature));
    }
    after
}

#[derive(Debug)]
struct Edit {
    keys: BTreeSet<String>,
    signature: String,
    /// The version that it was told to be, or what went wrong.
    outcome: Result<u64, Error>,
}

async fn client(records: Faulty, id: u64, seed: u64) -> Vec<Edit> {
    let mut rng = Rng::with_seed(seed);
    let mut edits = Vec::new();
    for turn in 0..EDITS {
        let keys: BTreeSet<String> = (0..rng.u32(1..4)).map(|_| format!("KEY_{}", rng.u32(..6))).collect();
        let signature = format!("{id}.{turn}");
        let change = |values: &Values| Ok::<_, Error>(edit(values, &keys, &signature));
        let changed = records.change_values("hello", DEFAULT, Kind::Config, &format!("c{id}"), turn, change).await;
        let outcome = changed.map(|changed| changed.after.unwrap().head.version);
        edits.push(Edit { keys, signature, outcome });
        tokio::time::sleep(std::time::Duration::from_millis(rng.u64(..300))).await;
    }
    edits
}

async fn run(seed: u64) -> usize {
    fastrand::seed(seed);
    let bucket = MemoryBucket::default();
    let records = clean(&bucket);
    records.create_app("hello", "jane", NOW).await.unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|id| {
            let seed = seed * CLIENTS + id;
            tokio::spawn(client(faulty(&bucket, Faults::seeded(seed, RATES)), id, seed))
        })
        .collect();
    let mut edits: BTreeMap<String, Edit> = BTreeMap::new();
    for client in clients {
        edits.extend(client.await.unwrap().into_iter().map(|edit| (edit.signature.clone(), edit)));
    }

    // Every version is the one before with one edit, and each edit is in one version at most.
    let mut versions = bucket.versions(&keys::config("hello", DEFAULT), usize::MAX).await.unwrap();
    versions.reverse();
    let (mut before, mut made) = (Values::new(), BTreeMap::new());
    for (at, version) in (1..).zip(&versions) {
        let document = records.values("hello", DEFAULT, Kind::Config, Some(&version.version)).await.unwrap().unwrap();
        let signature = document.values["FIRST_SIGNATURE"].text().unwrap().to_owned();
        let by = &edits[&signature];
        assert_eq!(document.values, edit(&before, &by.keys, &signature), "seed {seed}, version {at}");
        assert_eq!(document.head.version, at, "seed {seed}");
        assert_eq!(made.insert(signature, at), None, "seed {seed}: an edit was made twice");
        before = document.values;
    }
    // Whoever was told that it was made finds it, at the version that they were told.
    for edit in edits.values() {
        let made = made.get(&edit.signature);
        match &edit.outcome {
            Ok(version) => assert_eq!(made, Some(version), "seed {seed}: {edit:?}"),
            Err(Error::Undecided { .. }) => {}
            Err(error) => {
                assert_eq!(made, None, "seed {seed}: {edit:?} was made");
                assert!(error.is_transient(), "seed {seed}: {error}");
            }
        }
    }
    edits.values().filter(|edit| edit.outcome.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn no_edit_is_lost_and_no_version_is_made_of_two() {
    let (seeds, mut good) = (0..40, 0);
    for seed in seeds.clone() {
        good += run(seed).await;
    }
    let all = usize::try_from(CLIENTS * EDITS).unwrap() * seeds.count();
    assert!(good * 100 > all * 90, "only {good} of {all} edits were made");
}

#[tokio::test(start_paused = true)]
async fn no_change_of_a_record_is_lost_and_the_index_ends_right() {
    for seed in 0..10 {
        fastrand::seed(seed);
        let bucket = MemoryBucket::default();
        let names = ["hello", "shop", "blog"];
        for name in names {
            clean(&bucket).create_app(name, "jane", NOW).await.unwrap();
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|id| {
                let records = faulty(&bucket, Faults::seeded(seed * CLIENTS + id, RATES));
                tokio::spawn(async move {
                    let (mut made, mut rng) = (Vec::new(), Rng::with_seed(seed * CLIENTS + id));
                    for _ in 0..EDITS {
                        let name = names[rng.usize(..names.len())];
                        // The number in the index has to follow the one in the record.
                        let change = |record: &mut AppRecord| {
                            record.latest += 1;
                            record.release = Some(record.latest);
                            Ok::<_, Error>(record.latest)
                        };
                        made.push((name, records.change_app(name, change).await));
                    }
                    // Rows that stayed behind are brought up to date by the next list.
                    while records.apps().await.is_err() {}
                    made
                })
            })
            .collect();
        let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut undecided = 0;
        for client in clients {
            for (name, made) in client.await.unwrap() {
                match made {
                    Ok(number) => numbers.entry(name).or_default().push(number),
                    Err(Error::Undecided { .. }) => undecided += 1,
                    Err(error) => assert!(error.is_transient(), "seed {seed}: {error}"),
                }
            }
        }
        let records = clean(&bucket);
        let index = records.apps().await.unwrap();
        let mut more = 0;
        for name in names {
            let record = records.app(name).await.unwrap().unwrap();
            let mut numbers = numbers.remove(name).unwrap_or_default();
            numbers.sort_unstable();
            numbers.dedup();
            let count = u64::try_from(numbers.len()).unwrap();
            assert!(numbers.iter().all(|number| (1..=record.latest).contains(number)), "seed {seed}");
            more += record.latest - count;
            assert_eq!(index[name].release, record.release, "seed {seed}, {name}");
        }
        assert!(more <= undecided, "seed {seed}: {more} changes that nobody made, {undecided} undecided");
    }
}
