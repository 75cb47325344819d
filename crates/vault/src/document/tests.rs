//! Documents open only as what they were sealed for, and say nothing of their content when they do not.

use std::collections::BTreeMap;

use futuswarm_faults::Faults;

use super::*;
use crate::MemoryVault;

type Values = BTreeMap<String, String>;

fn context(app: &str, environment: &str, kind: &str) -> DocumentContext {
    let word = str::to_owned;
    DocumentContext { cluster: word("prod"), app: word(app), environment: word(environment), kind: word(kind) }
}

fn head(version: u64) -> Head {
    Head { version, changed_by: "jane".to_owned(), changed_at: 7 }
}

fn values() -> Values {
    [("TOKEN", "hunter2"), ("EMPTY", ""), ("LINES", "a\nb=\"c\"🦀")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

async fn sealed(context: &DocumentContext) -> SealedDocument {
    seal(&MemoryVault::new(Faults::none()), "alias/k", context, head(3), &values()).await.unwrap()
}

async fn opened(context: &DocumentContext, document: &SealedDocument) -> Result<Values, Error> {
    open(&MemoryVault::new(Faults::none()), "alias/k", context, document).await
}

#[tokio::test]
async fn a_document_opens_as_what_it_was_sealed_for() {
    let context = context("hello", "default", "config");
    let document = sealed(&context).await;
    let text = serde_json::to_string(&document).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("TOKEN"), "{text}");
    let read: SealedDocument = serde_json::from_str(&text).unwrap();
    assert_eq!(opened(&context, &read).await.unwrap(), values());
    assert_ne!(sealed(&context).await.ciphertext, document.ciphertext, "each version has a key of its own");
}

#[tokio::test]
async fn no_document_can_be_put_in_the_place_of_another() {
    let right = context("hello", "default", "config");
    let document = sealed(&right).await;
    for other in [
        context("other", "default", "config"),
        context("hello", "staging", "config"),
        context("hello", "default", "secrets"),
    ] {
        assert!(opened(&other, &document).await.is_err(), "{other}");
    }
    let elsewhere = DocumentContext { cluster: "dev".to_owned(), ..right.clone() };
    assert!(opened(&elsewhere, &document).await.is_err());
    // Not even where the keys' keeper is fooled: the cipher knows the context, too.
    let foreign = sealed(&context("other", "default", "config")).await;
    let mixed = SealedDocument { data_key: document.data_key.clone(), ..foreign };
    assert!(opened(&right, &mixed).await.is_err());
    assert!(open::<Values>(&MemoryVault::new(Faults::none()), "alias/other", &right, &document).await.is_err());
}

#[tokio::test]
async fn whatever_is_changed_of_it_it_does_not_open_and_says_nothing() {
    let context = context("hello", "default", "config");
    let document = sealed(&context).await;
    let mut changed = Vec::new();
    for head in [head(4), Head { changed_by: "joe".to_owned(), ..head(3) }, Head { changed_at: 8, ..head(3) }] {
        changed.push(SealedDocument { head, ..document.clone() });
    }
    let bytes = STANDARD.decode(&document.ciphertext).unwrap();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        changed.push(SealedDocument { ciphertext: STANDARD.encode(bytes), ..document.clone() });
    }
    for ciphertext in ["", "AAAA", "no base64!"] {
        changed.push(SealedDocument { ciphertext: ciphertext.to_owned(), ..document.clone() });
    }
    for nonce in ["", "AAAA", "no base64!", "AAAAAAAAAAAAAAAA"] {
        changed.push(SealedDocument { nonce: nonce.to_owned(), ..document.clone() });
    }
    for document in changed {
        let error = opened(&context, &document).await.unwrap_err().to_string();
        assert!(error.contains("config of hello (default) in cluster prod"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("TOKEN"), "{error}");
    }
}
