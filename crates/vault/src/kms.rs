//! Data keys from KMS: of documents, and those of the old tool.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use zeroize::Zeroizing;

use crate::{DataKey, DataKeys, DocumentContext, Error, KmsVault, LegacyKey, LegacyKeys, damaged_document};

impl DataKeys for KmsVault {
    async fn generate(&self, key: &str, context: &DocumentContext) -> Result<(DataKey, String), Error> {
        let answer = self
            .client
            .generate_data_key()
            .key_id(key)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(pairs(context)))
            .send()
            .await
            .map_err(|error| failed(key, context, futuswarm_aws::Error::new("GenerateDataKey", error)))?;
        let plain = answer.plaintext.and_then(|blob| DataKey::from_bytes(&blob.into_inner()));
        let sealed = answer.ciphertext_blob.map(|blob| STANDARD.encode(blob.as_ref()));
        match (plain, sealed) {
            (Some(plain), Some(sealed)) => Ok((plain, sealed)),
            _ => Err(damaged_document(context, "KMS returned no data key of 32 bytes")),
        }
    }

    async fn open_data_key(&self, key: &str, context: &DocumentContext, sealed: &str) -> Result<DataKey, Error> {
        let blob = STANDARD.decode(sealed).map_err(|_| damaged_document(context, "its data key is not base64"))?;
        let answer = self
            .client
            .decrypt()
            // Naming the key makes KMS refuse a ciphertext that was made with another one.
            .key_id(key)
            .set_encryption_context(Some(pairs(context)))
            .ciphertext_blob(Blob::new(blob))
            .send()
            .await
            .map_err(|error| failed(key, context, futuswarm_aws::Error::new("Decrypt", error)))?;
        let plain = answer.plaintext.and_then(|blob| DataKey::from_bytes(&blob.into_inner()));
        plain.ok_or_else(|| damaged_document(context, "its data key is not 32 bytes long"))
    }
}

impl LegacyKeys for KmsVault {
    async fn open_legacy_key(&self, key: &str, wrapped: &[u8]) -> Result<LegacyKey, Error> {
        let answer = self
            .client
            .decrypt()
            // Naming the key makes KMS refuse a ciphertext that was made with another one.
            .key_id(key)
            .ciphertext_blob(Blob::new(wrapped))
            .send()
            .await
            .map_err(|error| legacy_failed(key, futuswarm_aws::Error::new("Decrypt", error)))?;
        let plain = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        plain
            .and_then(|plain| LegacyKey::from_bytes(&plain))
            .ok_or_else(|| Error::DamagedDocument { what: LEGACY.to_owned(), reason: "it is not 64 bytes long" })
    }
}

/// What is opened, in the words of errors.
const LEGACY: &str = "a data key of the old tool";

pub(crate) fn legacy_failed(key: &str, source: futuswarm_aws::Error) -> Error {
    Error::Document { what: LEGACY.to_owned(), key: key.to_owned(), source }
}

fn pairs(context: &DocumentContext) -> HashMap<String, String> {
    context.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn failed(key: &str, context: &DocumentContext, source: futuswarm_aws::Error) -> Error {
    Error::Document { what: context.to_string(), key: key.to_owned(), source }
}
