//! Config and secrets: sealed documents as they lie in the bucket, and what is in them once they are opened.

use std::collections::BTreeMap;

use fastrand::Rng;
use futures_util::FutureExt as _;
use futuswarm_faults::Faults;
use futuswarm_server::records::{read_content, write_content};
use futuswarm_vault::document::open;
use futuswarm_vault::{MemoryVault, SealedDocument};
use serde_json::{Map, Value, json};

use crate::{mutate, round_trip, seeds};

pub(crate) const WORDS: &[&[u8]] = &[
    b"\"version\":",
    b"\"changed_by\":",
    b"\"changed_at\":",
    b"\"data_key\":",
    b"\"nonce\":",
    b"\"ciphertext\":",
    b"AAAAAAAAAAAAAAAA",
    b"\"format\":\"1\"",
    b"\"format\":\"2\"",
    b"\"values\":{",
    b"{\"base64\":\"/wD+\"}",
    b"\"KEY\":\"value\"",
    b"\\u0000",
    b"\\ud83e\\udd80",
    b"null",
    b"==",
];

/// A document as it lies in the bucket, written there by somebody else: nothing opens but what was sealed, with the head that it was
/// sealed with.
pub fn sealed_document(data: &[u8]) -> bool {
    let Some(document) = round_trip::<SealedDocument>(data) else { return false };
    let (vault, context) = (MemoryVault::new(Faults::none()), seeds::context());
    match open::<BTreeMap<String, String>>(&vault, seeds::KEY, &context, &document).now_or_never() {
        Some(Ok(values)) => {
            assert!(values == seeds::values() && document.head == seeds::head(), "it opens with another content");
            true
        }
        Some(Err(error)) => {
            let said = error.to_string();
            assert!(said.contains("hello") && !said.contains("hunter2"), "{said}");
            false
        }
        None => panic!("a vault in memory answers at once"),
    }
}

/// The same document written otherwise, or with a field more, or with one field changed.
pub(crate) fn rebuild(random: &mut Rng, seed: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(seed) else { return seed.to_vec() };
    let change = random.u8(..4);
    if change == 0 {
        fields.insert("unknown".to_owned(), json!(random.u64(..)));
    }
    let at = random.usize(..fields.len().max(1));
    if let Some(value) = fields.values_mut().nth(at).filter(|_| change == 1) {
        *value = match value.as_str() {
            Some(text) => {
                let mut bytes = text.as_bytes().to_vec();
                mutate::change(random, &mut bytes, words);
                json!(String::from_utf8_lossy(&bytes))
            }
            None => json!(random.u64(..)),
        };
    }
    let written = if random.bool() { serde_json::to_vec(&fields) } else { serde_json::to_vec_pretty(&fields) };
    written.unwrap_or_default()
}

/// What is in a document, once it is opened.
pub fn document_content(data: &[u8]) -> bool {
    let Ok(values) = read_content(data) else { return false };
    let length: usize = values.iter().map(|(key, value)| key.len() + value.bytes().len()).sum();
    assert!(length <= data.len(), "{length} bytes out of {}", data.len());
    let written = match write_content(&values) {
        Ok(written) => written,
        Err(error) => panic!("what was read cannot be written: {error}"),
    };
    match read_content(&written) {
        Ok(again) => assert!(again == values, "values come back otherwise"),
        Err(error) => panic!("what was written cannot be read: {error}"),
    }
    let shown = format!("{values:?}");
    assert!(values.values().all(|value| shown.contains(&format!("Value({} bytes)", value.bytes().len()))), "{shown}");
    true
}
