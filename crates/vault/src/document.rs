//! Sealed documents: one data key of KMS for each version, and AES-256-GCM with it. Both are bound to what the document is for.
//!
//! The data key is opened by KMS under the encryption context cluster, app, environment and kind only; the cipher authenticates
//! the same words and the document's head. So a document cannot be put in the place of another, nor its head be changed, by
//! somebody who may write to the bucket. One request opens a document of any length.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, damaged_document};

/// Where a document belongs, which is all that may open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentContext {
    /// The cluster that the document belongs to.
    pub cluster: String,
    /// The app whose tasks get what it says.
    pub app: String,
    /// Sets of values that an app has beside each other; `default` where it has one.
    pub environment: String,
    /// `config` or `secrets`.
    pub kind: String,
}

impl DocumentContext {
    /// The pairs of KMS's encryption context; conditions of policies name them `kms:EncryptionContext:futuswarm:app` and so on.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, &str); 4] {
        [
            ("futuswarm:cluster", &self.cluster),
            ("futuswarm:app", &self.app),
            ("futuswarm:environment", &self.environment),
            ("futuswarm:kind", &self.kind),
        ]
    }
}

impl fmt::Display for DocumentContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, app, environment, kind } = self;
        write!(formatter, "{kind} of {app} ({environment}) in cluster {cluster}")
    }
}

/// Who made a version of a document, and when. Anybody who may read the object reads this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Counts the versions, from 1.
    pub version: u64,
    /// The name of a user or token.
    pub changed_by: String,
    /// Milliseconds since 1970.
    pub changed_at: u64,
}

/// A document as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedDocument {
    /// Who and when.
    #[serde(flatten)]
    pub head: Head,
    /// The data key as KMS sealed it, in base64.
    pub data_key: String,
    /// The nonce of AES-256-GCM (12 bytes), in base64.
    pub nonce: String,
    /// JSON under AES-256-GCM, with its tag (16 bytes) at the end, in base64.
    pub ciphertext: String,
}

/// A key of 256 bits. Its memory is overwritten when it is dropped.
pub struct DataKey([u8; DataKey::BYTES]);

impl DataKey {
    /// Its length.
    pub const BYTES: usize = 32;

    /// The key of these bytes; `None` when they are more or fewer.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Makes data keys and opens them again, with keys that it keeps to itself.
pub trait DataKeys: Send + Sync {
    /// A new data key under the key `key` (an alias, id or ARN), and the same sealed, in base64 (KMS `GenerateDataKey`).
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    fn generate(
        &self,
        key: &str,
        context: &DocumentContext,
    ) -> impl Future<Output = Result<(DataKey, String), Error>> + Send;

    /// Opens what [`DataKeys::generate`] sealed with the same key under the same context (KMS `Decrypt`).
    ///
    /// # Errors
    /// When it does not answer, or it was made with another key or under another context.
    fn open_data_key(
        &self,
        key: &str,
        context: &DocumentContext,
        sealed: &str,
    ) -> impl Future<Output = Result<DataKey, Error>> + Send;
}

/// What the cipher authenticates besides the content. The order of the fields is a part of the format.
#[derive(Serialize)]
struct Authenticated<'a> {
    context: &'a DocumentContext,
    head: &'a Head,
}

fn authenticated(context: &DocumentContext, head: &Head) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Authenticated { context, head }).map_err(|_| damaged_document(context, "its head is no JSON"))
}

/// Seals a version of a document with a data key of its own.
///
/// # Errors
/// When the keys' keeper does not answer or refuses, or the content is no JSON.
pub async fn seal<T: Serialize>(
    keys: &impl DataKeys,
    key: &str,
    context: &DocumentContext,
    head: Head,
    content: &T,
) -> Result<SealedDocument, Error> {
    let (data_key, sealed_key) = keys.generate(key, context).await?;
    let mut bytes = serde_json::to_vec(content).map_err(|_| damaged_document(context, "its content is no JSON"))?;
    let aad = Aad::from(authenticated(context, &head)?);
    // It draws the nonce itself: none is ever used twice with a key, since a key seals one document.
    let cipher = cipher(context, &data_key)?;
    let nonce = cipher
        .seal_in_place_append_tag(aad, &mut bytes)
        .map_err(|_| damaged_document(context, "it is too long for the cipher"))?;
    let (nonce, ciphertext) = (STANDARD.encode(nonce.as_ref()), STANDARD.encode(&bytes));
    Ok(SealedDocument { head, data_key: sealed_key, nonce, ciphertext })
}

/// Opens a document.
///
/// # Errors
/// When the keys' keeper does not answer or refuses, or the document is not one that was sealed for this context, with this head.
pub async fn open<T: DeserializeOwned>(
    keys: &impl DataKeys,
    key: &str,
    context: &DocumentContext,
    document: &SealedDocument,
) -> Result<T, Error> {
    let damaged = |reason| damaged_document(context, reason);
    let nonce = STANDARD.decode(&document.nonce).map_err(|_| damaged("its nonce is not base64"))?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged("its nonce is not 12 bytes long"))?;
    let mut bytes = STANDARD.decode(&document.ciphertext).map_err(|_| damaged("it is not base64"))?;
    let data_key = keys.open_data_key(key, context, &document.data_key).await?;
    let aad = Aad::from(authenticated(context, &document.head)?);
    let content = cipher(context, &data_key)?
        .open_in_place(nonce, aad, &mut bytes)
        .map_err(|_| damaged("it is another document's, or was changed"))?;
    let parsed = serde_json::from_slice(content).map_err(|_| damaged("its content is not what this version writes"));
    zeroize::Zeroize::zeroize(&mut bytes);
    parsed
}

fn cipher(context: &DocumentContext, key: &DataKey) -> Result<RandomizedNonceKey, Error> {
    RandomizedNonceKey::new(&AES_256_GCM, &key.0).map_err(|_| damaged_document(context, "its key is of another length"))
}
