//! The passphrase of sessions: which change of its record is due, and making it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futuswarm_model::{LOGIN_KIND, LOGIN_PASSPHRASE_NAME, LoginPassphrases, PassphraseStep, Rotation, keys};
use futuswarm_store::{Bucket, Store, Swap};
use futuswarm_vault::{Context, Secret, Vault};

use crate::identity::Node;
use crate::{Error, random};

/// Nobody has to ask for another one.
const ROTATED_AFTER: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The first one, or another one in the place of one that somebody else may know.
    Make,
    /// Another one, by steps.
    Begin,
    /// The next step.
    Take(PassphraseStep),
}

/// What is due of this record at `now` (milliseconds since 1970). A clock that goes back, or one that was ahead when it wrote the record,
/// makes a step longer, and none shorter.
fn next(record: Option<&LoginPassphrases>, now: u64) -> Option<Change> {
    let Some(record) = record else { return Some(Change::Make) };
    let is_over = |millis: u64| now >= millis;
    if record.asked == Some(Rotation::AtOnce) {
        return Some(Change::Make);
    }
    if !is_over(record.ends_at()) {
        return None;
    }
    match record.step.next() {
        Some(step) => Some(Change::Take(step)),
        None if record.asked.is_some() || is_over(record.since.saturating_add(milliseconds(ROTATED_AFTER))) => {
            Some(Change::Begin)
        }
        None => None,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The record after a change. `another` is a sealed passphrase for those that begin with one.
fn changed(
    record: Option<&LoginPassphrases>,
    change: Change,
    another: Option<String>,
    now: u64,
) -> Option<LoginPassphrases> {
    let done =
        |current| LoginPassphrases { current, previous: None, step: PassphraseStep::Done, since: now, asked: None };
    Some(match (change, record) {
        (Change::Make, _) => done(another?),
        (Change::Begin, record) => LoginPassphrases {
            previous: Some(record?.current.clone()),
            step: PassphraseStep::Switched,
            ..done(another?)
        },
        (Change::Take(PassphraseStep::Done), record) => {
            let record = record?;
            LoginPassphrases { asked: record.asked, ..done(record.current.clone()) }
        }
        (Change::Take(step), record) => LoginPassphrases { step, since: now, ..record?.clone() },
    })
}

/// Makes the change that is due at `now` (milliseconds since 1970), if there is one and the cluster has a login.
pub(crate) async fn keep<B: Bucket>(store: &Store<B>, vault: &impl Vault, node: &Node, now: u64) -> Result<(), Error> {
    // Whatever it says.
    if store.peek::<serde_json::Value>(keys::LOGIN).await?.is_none() {
        return Ok(());
    }
    let stored = store.peek::<LoginPassphrases>(keys::LOGIN_PASSPHRASES).await?;
    let record = stored.as_ref().map(|stored| &stored.value);
    let Some(change) = next(record, now) else { return Ok(()) };
    let another = match change {
        Change::Make | Change::Begin => {
            let passphrase = Secret::new(URL_SAFE_NO_PAD.encode(random::bytes()?));
            Some(vault.seal(&node.config.cluster_key, &context(node), &passphrase).await?)
        }
        Change::Take(_) => None,
    };
    let Some(value) = changed(record, change, another, now) else { return Ok(()) };
    // On the condition that nobody has taken a step since it was read: of two leaders one acts.
    match store.swap(keys::LOGIN_PASSPHRASES, &value, stored.as_ref().map(|stored| stored.etag.as_str())).await? {
        Swap::Applied(_) => {
            tracing::info!(?change, step = ?value.step, "the passphrase of sessions");
            Ok(())
        }
        Swap::Refused(_) => {
            let reason = "another leader, or who asks for another passphrase, has just written it; reads it again";
            Err(Error::Waiting(reason.to_owned()))
        }
    }
}

/// Sealed with the key that every node may open with, since every edge needs it.
fn context(node: &Node) -> Context {
    Context {
        cluster: node.config.cluster.clone(),
        kind: LOGIN_KIND.to_owned(),
        name: LOGIN_PASSPHRASE_NAME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use futuswarm_faults::{Fault, Faults};
    use futuswarm_model::Role;
    use futuswarm_store::{FaultyBucket, MemoryBucket};
    use futuswarm_vault::MemoryVault;

    use super::*;
    use crate::heartbeat::tests::node;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    /// A step with sessions in it, on every edge.
    const LASTS: u64 = 8 * HOUR + 32 * MINUTE;
    const NOW: u64 = 1_800_000_000_000;

    fn record(step: PassphraseStep, since: u64, asked: Option<Rotation>) -> LoginPassphrases {
        let previous = (step != PassphraseStep::Done).then(|| "old".to_owned());
        LoginPassphrases { current: "new".to_owned(), previous, step, since, asked }
    }

    #[test]
    fn each_step_is_taken_when_the_one_before_it_has_lasted_and_no_other_is() {
        use PassphraseStep::{Done, Switched, Twice};
        let (steps, at_once) = (Some(Rotation::InSteps), Some(Rotation::AtOnce));
        for (step, age, asked, expected) in [
            (Switched, 0, None, None),
            (Switched, LASTS - 1, None, None),
            (Switched, LASTS, None, Some(Change::Take(Twice))),
            // However late it is: what comes behind it has to last as well.
            (Switched, 400 * DAY, steps, Some(Change::Take(Twice))),
            (Switched, LASTS - 1, steps, None),
            (Twice, 0, None, None),
            (Twice, 2 * MINUTE - 1, steps, None),
            (Twice, 2 * MINUTE, None, Some(Change::Take(Done))),
            (Twice, 400 * DAY, None, Some(Change::Take(Done))),
            (Done, 0, None, None),
            (Done, LASTS, None, None),
            (Done, LASTS - 1, steps, None),
            (Done, LASTS, steps, Some(Change::Begin)),
            (Done, 90 * DAY - 1, None, None),
            (Done, 90 * DAY, None, Some(Change::Begin)),
            // Who may be known is replaced whatever is going on.
            (Switched, 0, at_once, Some(Change::Make)),
            (Twice, 0, at_once, Some(Change::Make)),
            (Done, 0, at_once, Some(Change::Make)),
        ] {
            assert_eq!(
                next(Some(&record(step, NOW - age, asked)), NOW),
                expected,
                "{step:?} after {age} ms, {asked:?}"
            );
        }
        assert_eq!(next(None, NOW), Some(Change::Make));
    }

    #[test]
    fn a_clock_that_goes_back_makes_a_step_longer() {
        use PassphraseStep::{Done, Switched, Twice};
        for step in [Switched, Twice, Done] {
            for asked in [None, Some(Rotation::InSteps)] {
                for since in [NOW + 1, NOW + DAY, u64::MAX] {
                    assert_eq!(next(Some(&record(step, since, asked)), NOW), None, "{step:?} {since} {asked:?}");
                }
                assert_eq!(next(Some(&record(step, NOW, asked)), 0), None, "{step:?} {asked:?}");
            }
            let asked = record(step, u64::MAX, Some(Rotation::AtOnce));
            assert_eq!(next(Some(&asked), NOW), Some(Change::Make), "{step:?}: it ends what such a time has stopped");
        }
        assert_eq!(next(Some(&record(Done, 0, None)), u64::MAX), Some(Change::Begin));
    }

    fn leader() -> crate::Node {
        node("i-1", Role::Manager)
    }

    async fn stored(bucket: &MemoryBucket) -> Option<LoginPassphrases> {
        let stored = Store::new(bucket.clone()).peek::<LoginPassphrases>(keys::LOGIN_PASSPHRASES).await.unwrap();
        stored.map(|stored| stored.value)
    }

    /// A bucket of a cluster that has a login.
    async fn with_login() -> MemoryBucket {
        let bucket = MemoryBucket::default();
        Store::new(bucket.clone()).put(keys::LOGIN, &serde_json::json!({})).await.unwrap();
        bucket
    }

    async fn ask_for(bucket: &MemoryBucket, rotation: Rotation) {
        let record = LoginPassphrases { asked: Some(rotation), ..stored(bucket).await.unwrap() };
        Store::new(bucket.clone()).put(keys::LOGIN_PASSPHRASES, &record).await.unwrap();
    }

    async fn opened(record: &LoginPassphrases) -> String {
        let vault = MemoryVault::new(Faults::none());
        let opened = vault.open("alias/futuswarm/prod/cluster", &context(&leader()), &record.current).await.unwrap();
        opened.expose().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_one_is_made_once_and_followed_in_steps() {
        let (bucket, vault) = (MemoryBucket::default(), MemoryVault::new(Faults::none()));
        let store = Store::new(bucket.clone());
        keep(&store, &vault, &leader(), NOW).await.unwrap();
        assert_eq!(stored(&bucket).await, None, "a cluster without a login has none");
        store.put(keys::LOGIN, &serde_json::json!({})).await.unwrap();
        for _ in 0..3 {
            keep(&store, &vault, &leader(), NOW).await.unwrap();
        }
        let first = stored(&bucket).await.unwrap();
        assert_eq!((first.step, first.since, &first.previous), (PassphraseStep::Done, NOW, &None));
        let text = opened(&first).await;
        assert!(text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(bucket.writes(), 2, "the login, and one passphrase");

        ask_for(&bucket, Rotation::InSteps).await;
        let (mut now, mut seen) = (NOW, Vec::new());
        for _ in 0..40 {
            keep(&store, &vault, &leader(), now).await.unwrap();
            let record = stored(&bucket).await.unwrap();
            if seen.last() != Some(&record) {
                seen.push(record);
            }
            now += HOUR;
        }
        let second = seen[1].current.clone();
        let steps: Vec<_> = seen.iter().map(|one| (one.step, (one.since - NOW) / HOUR, one.asked)).collect();
        use PassphraseStep::{Done, Switched, Twice};
        let expected = [(Done, 0, Some(Rotation::InSteps)), (Switched, 9, None), (Twice, 18, None), (Done, 19, None)];
        assert_eq!(steps, expected);
        assert!(seen[1..].iter().all(|one| one.current == second) && second != first.current);
        assert_eq!(seen[1].previous.as_ref(), Some(&first.current));
        assert_eq!(seen[2].previous.as_ref(), Some(&first.current));
        assert_eq!(seen[3].previous, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_somebody_may_know_is_replaced_in_the_middle_of_a_change() {
        let (bucket, vault) = (with_login().await, MemoryVault::new(Faults::none()));
        let store = Store::new(bucket.clone());
        keep(&store, &vault, &leader(), NOW).await.unwrap();
        let first = stored(&bucket).await.unwrap();
        keep(&store, &vault, &leader(), NOW + 90 * DAY).await.unwrap();
        assert_eq!(stored(&bucket).await.unwrap().step, PassphraseStep::Switched, "by itself");
        let switched = stored(&bucket).await.unwrap();
        ask_for(&bucket, Rotation::AtOnce).await;
        keep(&store, &vault, &leader(), NOW + 90 * DAY + 1).await.unwrap();
        let last = stored(&bucket).await.unwrap();
        assert_eq!((last.step, &last.previous, last.asked), (PassphraseStep::Done, &None, None));
        assert!(last.current != first.current && last.current != switched.current);
    }

    /// An answer that is lost, a leader that was deposed and does not know, a vault that is away: one passphrase comes of it.
    #[tokio::test(start_paused = true)]
    async fn of_two_leaders_one_acts_whatever_is_lost() {
        for fault in [Fault::None, Fault::Fail, Fault::Lose, Fault::Repeat] {
            for before in 0..3 {
                let bucket = with_login().await;
                // Both read before one of them writes.
                let slow = Fault::Delay(Duration::from_millis(2), Duration::from_millis(2));
                let store = |script: Vec<Fault>| Store::new(FaultyBucket::new(bucket.clone(), Faults::script(script)));
                let faulty = store([vec![slow; before], vec![fault]].concat());
                let other = store(vec![slow; 3]);
                let vault = MemoryVault::new(Faults::none());
                let node = leader();
                let (one, two) = tokio::join!(keep(&faulty, &vault, &node, NOW), keep(&other, &vault, &node, NOW + 1),);
                let first = stored(&bucket).await;
                for _ in 0..2 {
                    keep(&faulty, &vault, &node, NOW + 2).await.unwrap();
                    keep(&other, &vault, &node, NOW + 3).await.unwrap();
                }
                let last = stored(&bucket).await.unwrap();
                assert!(first.is_none_or(|first| first == last), "{fault:?} {before}: {one:?} {two:?}");
                assert_eq!((last.step, last.previous), (PassphraseStep::Done, None));
                assert_eq!(bucket.versions(keys::LOGIN_PASSPHRASES, 9).await.unwrap().len(), 1, "{fault:?} {before}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sealed_or_read_changes_nothing() {
        let bucket = with_login().await;
        let store = Store::new(bucket.clone());
        let away = MemoryVault::new(Faults::script([Fault::Fail]));
        assert!(keep(&store, &away, &leader(), NOW).await.is_err());
        assert_eq!(stored(&bucket).await, None);
        // As a newer program may write it.
        let newer = serde_json::json!({ "current": "x", "step": "thrice", "since": 1 });
        store.put(keys::LOGIN_PASSPHRASES, &newer).await.unwrap();
        assert!(keep(&store, &away, &leader(), NOW).await.is_err());
        let there = store.peek::<serde_json::Value>(keys::LOGIN_PASSPHRASES).await.unwrap().unwrap();
        assert_eq!(there.value, newer);
    }
}
