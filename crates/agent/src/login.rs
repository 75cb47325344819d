//! What the Swarm's leader does for the login of the private domain, where the cluster has one: it asks the provider where its endpoints are,
//! so that edges start while the provider is away, and makes the passphrase of sessions and takes each step of its changes.
//!
//! Both are written by compare-and-swap: of two leaders one acts, and the other reads again what became of it.

mod document;
mod https;
mod passphrase;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use futuswarm_model::{LoginProvider, LoginRecord, keys};
use futuswarm_retry::Policy;
use futuswarm_store::{Bucket, Store, Swap, Versioned};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Error;

pub use document::Answer;
pub(crate) use https::Https;
pub(crate) use passphrase::keep as keep_passphrase;

/// A provider that moves an endpoint keeps the former one for much longer.
const ASKED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// After a failure, while what the provider has said before counts: nobody waits for it.
const AGAIN: Policy = Policy {
    first: Duration::from_secs(60),
    cap: Duration::from_secs(60 * 60),
    total: Duration::MAX,
    attempt: Duration::MAX,
};

/// What is asked of a login's provider.
pub trait Discovery: Send + Sync {
    /// Asks once for what is behind an `https://` URL; a redirect is an answer as others are.
    ///
    /// # Errors
    /// When there is no whole answer within 10 s, or its body is longer than 256 KiB.
    fn get(&self, url: &str) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// When the provider was asked last, by this process.
#[derive(Debug)]
struct Asked {
    issuer: String,
    again: Instant,
    failures: u32,
    /// Why it was in vain; `None` where it was not.
    reason: Option<String>,
}

/// Whose endpoints are asked for.
#[derive(Debug, Default)]
pub(crate) struct Login {
    asked: Mutex<Option<Asked>>,
}

impl Login {
    /// Has the bucket know what the provider says of itself, at `now` (milliseconds since 1970). A provider that is away, or answers
    /// something else, changes nothing of that.
    pub(crate) async fn discover<B: Bucket>(
        &self,
        store: &Store<B>,
        discovery: &impl Discovery,
        now: u64,
    ) -> Result<(), Error> {
        // Whoever deploys the cluster may take it away.
        let Some(login) = store.peek::<LoginRecord>(keys::LOGIN).await? else { return Ok(()) };
        let issuer = login.value.issuer;
        let stored = store.peek::<LoginProvider>(keys::LOGIN_PROVIDER).await?;
        let is_known = stored.as_ref().is_some_and(|stored| stored.value.issuer == issuer);
        let mut asked = self.asked.lock().await;
        let before = asked.as_ref().filter(|asked| asked.issuer == issuer);
        if is_known && before.is_some_and(|asked| Instant::now() < asked.again) {
            return Ok(());
        }
        let found = match ask(discovery, &issuer, now).await {
            Ok(found) => found,
            // Nobody can sign in before it is known: `status` has to say so.
            Err(error) if !is_known => return Err(error),
            Err(error) => {
                let (failures, reason) = (before.map_or(0, |asked| asked.failures), error.to_string());
                if before.and_then(|asked| asked.reason.as_ref()) != Some(&reason) {
                    tracing::warn!(reason, "the login's provider: what it has said before counts; will ask again");
                }
                let again = Instant::now() + AGAIN.delay(failures);
                *asked = Some(Asked { issuer, again, failures: failures.saturating_add(1), reason: Some(reason) });
                return Ok(());
            }
        };
        keep(store, stored.as_ref(), &found).await?;
        let again = Instant::now() + ASKED_EVERY.mul_f64(0.9 + 0.1 * fastrand::f64());
        *asked = Some(Asked { issuer, again, failures: 0, reason: None });
        Ok(())
    }
}

async fn ask(discovery: &impl Discovery, issuer: &str, now: u64) -> Result<LoginProvider, Error> {
    let url = document::url(issuer);
    let answer = discovery.get(&url).await?;
    document::read(issuer, &answer, now).map_err(|reason| Error::Login(format!("{url}: {reason}")))
}

/// Writes what the provider says, unless that is stored already.
async fn keep<B: Bucket>(
    store: &Store<B>,
    stored: Option<&Versioned<LoginProvider>>,
    found: &LoginProvider,
) -> Result<(), Error> {
    if stored.is_some_and(|stored| LoginProvider { at: found.at, ..stored.value.clone() } == *found) {
        return Ok(());
    }
    match store.swap(keys::LOGIN_PROVIDER, found, stored.map(|stored| stored.etag.as_str())).await? {
        Swap::Applied(_) => {
            tracing::info!(issuer = found.issuer, "the login's provider has said where its endpoints are")
        }
        Swap::Refused(_) => {
            let reason = "another leader has just written what the login's provider says; reads it again";
            return Err(Error::Waiting(reason.to_owned()));
        }
    }
    Ok(())
}
