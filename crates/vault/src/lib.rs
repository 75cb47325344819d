//! Sealing small secrets with KMS, bound to what they are for by the encryption context.

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futuswarm_aws::SdkConfig;
pub use futuswarm_secret::Secret;

/// What a sealed value is for. KMS refuses to open it under any other context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The cluster.
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

/// Failures of sealing and opening. None of them contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KMS failed or refused.
    #[error("{kind} {name} of cluster {cluster} with key {key}: {source}")]
    Service {
        /// Kind of the secret.
        kind: String,
        /// Its name.
        name: String,
        /// Its cluster.
        cluster: String,
        /// The KMS key.
        key: String,
        /// What KMS said.
        #[source]
        source: futuswarm_aws::Error,
    },
    /// The sealed text is damaged.
    #[error("sealed {kind} {name} of cluster {cluster} is damaged: {reason}")]
    Damaged {
        /// Kind of the secret.
        kind: String,
        /// Its name.
        name: String,
        /// Its cluster.
        cluster: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Error {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Service { source, .. } if source.is_transient())
    }
}

/// Seals and opens with one KMS key.
#[derive(Debug, Clone)]
pub struct Vault {
    client: Client,
    key: String,
}

impl Vault {
    /// A vault over the KMS key `key` (an alias, id or ARN).
    #[must_use]
    pub fn new(config: &SdkConfig, key: &str) -> Self {
        Self { client: Client::new(config), key: key.to_owned() }
    }

    /// Seals `secret` (at most 4 KiB, the limit of KMS `Encrypt`) into base64 text.
    pub async fn seal(&self, context: &Context, secret: &Secret) -> Result<String, Error> {
        let answer = self
            .client
            .encrypt()
            .key_id(&self.key)
            .set_encryption_context(Some(context.pairs()))
            .plaintext(Blob::new(secret.expose().as_bytes()))
            .send()
            .await
            .map_err(|error| self.service(context, futuswarm_aws::Error::new("Encrypt", error)))?;
        let blob = answer.ciphertext_blob().ok_or_else(|| damaged(context, "KMS returned no ciphertext"))?;
        Ok(STANDARD.encode(blob.as_ref()))
    }

    /// Opens what [`Vault::seal`] made under the same context.
    pub async fn open(&self, context: &Context, sealed: &str) -> Result<Secret, Error> {
        let blob = STANDARD.decode(sealed).map_err(|_| damaged(context, "it is not base64"))?;
        let answer = self
            .client
            .decrypt()
            // Naming the key makes KMS refuse a ciphertext that was made with another one.
            .key_id(&self.key)
            .set_encryption_context(Some(context.pairs()))
            .ciphertext_blob(Blob::new(blob))
            .send()
            .await
            .map_err(|error| self.service(context, futuswarm_aws::Error::new("Decrypt", error)))?;
        let plain = answer.plaintext.ok_or_else(|| damaged(context, "KMS returned no plaintext"))?;
        String::from_utf8(plain.into_inner()).map(Secret::new).map_err(|_| damaged(context, "it is not text"))
    }

    fn service(&self, context: &Context, source: futuswarm_aws::Error) -> Error {
        Error::Service {
            kind: context.kind.clone(),
            name: context.name.clone(),
            cluster: context.cluster.clone(),
            key: self.key.clone(),
            source,
        }
    }
}

fn damaged(context: &Context, reason: &'static str) -> Error {
    Error::Damaged { kind: context.kind.clone(), name: context.name.clone(), cluster: context.cluster.clone(), reason }
}
