//! Sealing small secrets with KMS, bound to what they are for by the encryption context.

pub mod document;
mod kms;
mod legacy;
mod memory;

use std::collections::HashMap;
use std::fmt::{self, Display};

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use document::{DataKey, DataKeys, DocumentContext, Head, SealedDocument};
use futuswarm_aws::SdkConfig;
pub use futuswarm_secret::Secret;
pub use legacy::{LegacyError, LegacyKey, LegacyKeys, LegacyObject};
pub use memory::MemoryVault;

/// What a sealed value is for. KMS refuses to open it under any other context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Name of the cluster in its specification.
    pub cluster: String,
    /// For example `join-token`.
    pub kind: String,
    /// For example `manager`.
    pub name: String,
}

impl Context {
    fn pairs(&self) -> HashMap<String, String> {
        HashMap::from([
            ("futuswarm:cluster".to_owned(), self.cluster.clone()),
            ("futuswarm:kind".to_owned(), self.kind.clone()),
            ("futuswarm:name".to_owned(), self.name.clone()),
        ])
    }
}

impl Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} of cluster {}", self.kind, self.name, self.cluster)
    }
}

/// Failures of sealing and opening. None of them contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KMS failed or refused.
    #[error("{context} with key {key}: {source}")]
    Service {
        /// What was to be sealed or opened.
        context: Context,
        /// Alias, id or ARN.
        key: String,
        /// The operation, the code and the id of the request.
        #[source]
        source: futuswarm_aws::Error,
    },
    /// The sealed text is damaged.
    #[error("sealed {context} is damaged: {reason}")]
    Damaged {
        /// What was to be opened.
        context: Context,
        /// Which form it does not have.
        reason: &'static str,
    },
    /// KMS failed or refused, about a document.
    #[error("{what} with key {key}: {source}")]
    Document {
        /// What [`DocumentContext`] displays: cluster, app and kind, and no value.
        what: String,
        /// The KMS key.
        key: String,
        /// What KMS said.
        #[source]
        source: futuswarm_aws::Error,
    },
    /// A sealed document is damaged, or another one.
    #[error("{what} cannot be opened: {reason}")]
    DamagedDocument {
        /// What [`DocumentContext`] displays: cluster, app and kind, and no value.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Error {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Service { source, .. } | Self::Document { source, .. } if source.is_transient())
    }
}

/// Seals and opens with keys that it keeps to itself.
pub trait Vault: Send + Sync {
    /// Seals `secret` (at most 4 KiB, the limit of KMS `Encrypt`) into base64 text with the key `key` (an alias, id or ARN).
    ///
    /// # Errors
    /// When the vault does not answer, or refuses.
    fn seal(&self, key: &str, context: &Context, secret: &Secret)
    -> impl Future<Output = Result<String, Error>> + Send;

    /// Opens what [`Vault::seal`] made with the same key under the same context.
    ///
    /// # Errors
    /// When the vault does not answer, or it was made with another key or under another context.
    fn open(&self, key: &str, context: &Context, sealed: &str) -> impl Future<Output = Result<Secret, Error>> + Send;
}

/// Encrypt and Decrypt of KMS, with the context as encryption context.
#[derive(Debug, Clone)]
pub struct KmsVault {
    client: Client,
}

impl KmsVault {
    /// KMS, with the region, credentials and endpoint of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

impl Vault for KmsVault {
    async fn seal(&self, key: &str, context: &Context, secret: &Secret) -> Result<String, Error> {
        let answer = self
            .client
            .encrypt()
            .key_id(key)
            .set_encryption_context(Some(context.pairs()))
            .plaintext(Blob::new(secret.expose().as_bytes()))
            .send()
            .await
            .map_err(|error| service(key, context, futuswarm_aws::Error::new("Encrypt", error)))?;
        let blob = answer.ciphertext_blob().ok_or_else(|| damaged(context, "KMS returned no ciphertext"))?;
        Ok(STANDARD.encode(blob.as_ref()))
    }

    async fn open(&self, key: &str, context: &Context, sealed: &str) -> Result<Secret, Error> {
        let blob = STANDARD.decode(sealed).map_err(|_| damaged(context, "it is not base64"))?;
        let answer = self
            .client
            .decrypt()
            // Naming the key makes KMS refuse a ciphertext that was made with another one.
            .key_id(key)
            .set_encryption_context(Some(context.pairs()))
            .ciphertext_blob(Blob::new(blob))
            .send()
            .await
            .map_err(|error| service(key, context, futuswarm_aws::Error::new("Decrypt", error)))?;
        let plain = answer.plaintext.ok_or_else(|| damaged(context, "KMS returned no plaintext"))?;
        String::from_utf8(plain.into_inner()).map(Secret::new).map_err(|_| damaged(context, "it is not text"))
    }
}

fn service(key: &str, context: &Context, source: futuswarm_aws::Error) -> Error {
    Error::Service { context: context.clone(), key: key.to_owned(), source }
}

fn damaged(context: &Context, reason: &'static str) -> Error {
    Error::Damaged { context: context.clone(), reason }
}

fn damaged_document(context: &DocumentContext, reason: &'static str) -> Error {
    Error::DamagedDocument { what: context.to_string(), reason }
}
