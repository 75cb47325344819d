//! A document that was sealed, which nothing but itself must be taken for.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futuswarm_faults::Faults;
use futuswarm_vault::document::seal;
use futuswarm_vault::{DocumentContext, Head, MemoryVault};

/// The key of the vault in memory.
pub const KEY: &str = "alias/fuzz";

/// What the document is for.
#[must_use]
pub fn context() -> DocumentContext {
    let word = str::to_owned;
    DocumentContext { cluster: word("prod"), app: word("hello"), environment: word("default"), kind: word("secrets") }
}

/// Who made it.
#[must_use]
pub fn head() -> Head {
    Head { version: 3, changed_by: "jane".to_owned(), changed_at: 1_796_000_000_000 }
}

/// Keys and values of an app, as they were sealed.
#[must_use]
pub fn values() -> BTreeMap<String, String> {
    [("TOKEN", "hunter2"), ("EMPTY", ""), ("LINES", "a\nb=\"c\"🦀")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The document as it lies in the bucket; another one at each call, since each has a key of its own.
#[must_use]
pub fn sealed() -> Vec<u8> {
    let vault = MemoryVault::new(Faults::none());
    let (context, values) = (context(), values());
    match seal(&vault, KEY, &context, head(), &values).now_or_never() {
        Some(Ok(document)) => match serde_json::to_vec_pretty(&document) {
            Ok(bytes) => bytes,
            Err(error) => panic!("a sealed document cannot be written: {error}"),
        },
        Some(Err(error)) => panic!("a vault in memory seals: {error}"),
        None => panic!("a vault in memory answers at once"),
    }
}
