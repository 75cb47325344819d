//! When the provider is asked, and what becomes of what it says.

use std::collections::VecDeque;
use std::sync::Mutex as Lock;

use futuswarm_faults::{Fault, Faults};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use serde_json::{Value, json};

use super::document::tests::{ISSUER, answer, good};
use super::*;

const NOW: u64 = 1_800_000_000_000;

/// A provider that answers with the next of these, and says that it is away when there is none.
#[derive(Default)]
struct Provider {
    answers: Lock<VecDeque<Answer>>,
    asked: Lock<Vec<String>>,
}

impl Provider {
    fn says(&self, document: &Value) {
        self.answers.lock().unwrap().push_back(answer(document));
    }

    /// So often since this was looked at last.
    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

impl Discovery for Provider {
    async fn get(&self, url: &str) -> Result<Answer, Error> {
        self.asked.lock().unwrap().push(url.to_owned());
        let next = self.answers.lock().unwrap().pop_front();
        next.ok_or_else(|| Error::Login(format!("{url}: no answer within 10 s")))
    }
}

pub(crate) fn record(issuer: &str) -> LoginRecord {
    LoginRecord {
        domain: "apps.example.com".to_owned(),
        open_domain: None,
        issuer: issuer.to_owned(),
        client_id: "edge".to_owned(),
        scopes: Vec::new(),
        user_claim: "email".to_owned(),
        groups_claim: None,
        inactivity_seconds: 3600,
        longest_seconds: 28_800,
        contact: "IT".to_owned(),
        balancers: Vec::new(),
    }
}

async fn stored(bucket: &MemoryBucket) -> Option<LoginProvider> {
    let stored = Store::new(bucket.clone()).peek::<LoginProvider>(keys::LOGIN_PROVIDER).await.unwrap();
    stored.map(|stored| stored.value)
}

async fn with_login() -> (MemoryBucket, Store<MemoryBucket>, Provider, Login) {
    let bucket = MemoryBucket::default();
    let store = Store::new(bucket.clone());
    store.put(keys::LOGIN, &record(ISSUER)).await.unwrap();
    (bucket, store, Provider::default(), Login::default())
}

#[tokio::test(start_paused = true)]
async fn the_provider_is_asked_once_a_day_and_what_is_the_same_is_not_written() {
    let (bucket, store, provider, login) = with_login().await;
    provider.says(&good());
    for _ in 0..3 {
        login.discover(&store, &provider, NOW).await.unwrap();
    }
    assert_eq!(provider.asked.lock().unwrap().as_slice(), ["https://idp.example.com/.well-known/openid-configuration"]);
    let first = stored(&bucket).await.unwrap();
    assert_eq!((first.issuer.as_str(), first.at), (ISSUER, NOW));
    let writes = bucket.writes();
    provider.asked();
    tokio::time::advance(ASKED_EVERY.mul_f64(0.89)).await;
    login.discover(&store, &provider, NOW + 1).await.unwrap();
    assert_eq!(provider.asked(), 0);
    provider.says(&good());
    tokio::time::advance(ASKED_EVERY.mul_f64(0.12)).await;
    login.discover(&store, &provider, NOW + 2).await.unwrap();
    assert_eq!((provider.asked(), bucket.writes()), (1, writes), "its time alone is no reason");
    let mut moved = good();
    moved["token_endpoint"] = json!("https://idp.example.com/v2/token");
    provider.says(&moved);
    tokio::time::advance(ASKED_EVERY).await;
    login.discover(&store, &provider, NOW + 3).await.unwrap();
    let second = stored(&bucket).await.unwrap();
    assert_eq!((second.token.as_str(), second.at), ("https://idp.example.com/v2/token", NOW + 3));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_login_asks_nobody() {
    let (bucket, provider) = (MemoryBucket::default(), Provider::default());
    Login::default().discover(&Store::new(bucket.clone()), &provider, NOW).await.unwrap();
    assert_eq!((provider.asked(), bucket.writes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn another_issuer_is_asked_at_once_and_makes_the_one_before_void() {
    let (bucket, store, provider, login) = with_login().await;
    provider.says(&good());
    login.discover(&store, &provider, NOW).await.unwrap();
    let other = "https://other.example.com";
    store.put(keys::LOGIN, &record(other)).await.unwrap();
    // It is not known yet, so that its failure is told; what there is stays, and no edge takes it for this issuer's.
    let reason = login.discover(&store, &provider, NOW).await.unwrap_err().to_string();
    assert!(reason.starts_with("https://other.example.com/.well-known/"), "{reason}");
    assert_eq!(stored(&bucket).await.unwrap().issuer, ISSUER);
    let mut document = good();
    document["issuer"] = json!(other);
    provider.says(&document);
    login.discover(&store, &provider, NOW).await.unwrap();
    assert_eq!(stored(&bucket).await.unwrap().issuer, other);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_or_answers_something_else_changes_nothing() {
    let (bucket, store, provider, login) = with_login().await;
    for reason in ["no answer", "no answer"] {
        let error = login.discover(&store, &provider, NOW).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(stored(&bucket).await, None);
    provider.says(&good());
    login.discover(&store, &provider, NOW).await.unwrap();
    provider.asked();
    let (first, writes) = (stored(&bucket).await, bucket.writes());
    tokio::time::advance(ASKED_EVERY).await;
    let mut wrong = good();
    wrong["jwks_uri"] = json!("http://idp.example.com/jwks");
    // Asked again later and later, for a day and a half.
    let mut asked = 0;
    for minute in 0..36 * 60 {
        if minute % 7 == 0 {
            provider.says(&wrong);
        }
        login.discover(&store, &provider, NOW).await.unwrap();
        asked += provider.asked();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert!((36..500).contains(&asked), "{asked}");
    assert_eq!((stored(&bucket).await, bucket.writes()), (first, writes));
    provider.answers.lock().unwrap().clear();
    let mut moved = good();
    moved["token_endpoint"] = json!("https://idp.example.com/v2/token");
    provider.says(&moved);
    tokio::time::advance(AGAIN.cap).await;
    login.discover(&store, &provider, NOW).await.unwrap();
    assert!(stored(&bucket).await.unwrap().token.contains("/v2/"));
}

/// The bucket fails, loses the answer of the write, or another leader is at it, too.
#[tokio::test(start_paused = true)]
async fn what_was_found_is_written_in_the_end() {
    for fault in [Fault::Fail, Fault::Lose, Fault::Repeat] {
        for before in 0..3 {
            let (bucket, _, provider, login) = with_login().await;
            // Both read before one of them writes.
            let slow = Fault::Delay(Duration::from_millis(2), Duration::from_millis(2));
            let faulty = |script: Vec<Fault>| Store::new(FaultyBucket::new(bucket.clone(), Faults::script(script)));
            let (one_store, other_store) = (faulty([vec![slow; before], vec![fault]].concat()), faulty(vec![slow; 3]));
            for _ in 0..6 {
                provider.says(&good());
            }
            let other = Login::default();
            let (one, two) = tokio::join!(
                login.discover(&one_store, &provider, NOW),
                other.discover(&other_store, &provider, NOW + 1),
            );
            for _ in 0..2 {
                login.discover(&one_store, &provider, NOW).await.unwrap();
                other.discover(&other_store, &provider, NOW + 1).await.unwrap();
            }
            assert_eq!(bucket.versions(keys::LOGIN_PROVIDER, 9).await.unwrap().len(), 1, "{before}: {one:?} {two:?}");
        }
    }
}
