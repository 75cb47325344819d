//! Documents of apps, users and tokens in the cluster's bucket, as types.
//!
//! Every change is a compare-and-swap of one object: what several managers change at the same time is lost nowhere, and a change whose
//! answer was lost is not made twice. What one object cannot say is ordered so that a manager which dies between two of them leaves
//! something harmless: a token's key is known before the app's record makes it good, and the record says that an app is being removed
//! before its documents go.

mod admissions;
mod apps;
mod audit;
mod documents;
mod error;
mod index;
mod login;
mod registry;
mod releases;
mod removals;
mod sealed;
#[cfg(test)]
mod tests;
mod tokens;
mod uploads;
mod users;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::Error;
pub use futuswarm_model::{Value, Values};
pub use removals::Removal;
pub use sealed::{Document, Kind, Past, ValuesChange, read_content, write_content};

use documents::Documents;
use futuswarm_store::{Bucket, Store};
use futuswarm_vault::DataKeys;

/// The documents of one cluster.
#[derive(Debug, Clone)]
pub struct Records<B, K> {
    documents: Documents<B>,
    data_keys: K,
    cluster: String,
    /// The KMS key of sealed documents: the managers'.
    key: String,
    /// Apps whose rows in the index could not be brought up to date.
    behind: Arc<Mutex<BTreeSet<String>>>,
}

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// The documents of `cluster` in `bucket`; `key` is the KMS key of the managers (an alias, id or ARN), which `data_keys` asks for.
    pub fn new(bucket: B, data_keys: K, cluster: &str, key: &str) -> Self {
        Self {
            documents: Documents { store: Store::forgetful(bucket) },
            data_keys,
            cluster: cluster.to_owned(),
            key: key.to_owned(),
            behind: Arc::default(),
        }
    }

    /// The store under them, for what has no operation here.
    pub fn store(&self) -> &Store<B> {
        &self.documents.store
    }

    fn behind(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Different at each call; nothing is protected by it.
fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}
