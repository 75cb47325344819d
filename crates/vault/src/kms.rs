//! Data keys of documents from KMS.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{DataKey, DataKeys, DocumentContext, Error, KmsVault, damaged_document};

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

fn pairs(context: &DocumentContext) -> HashMap<String, String> {
    context.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn failed(key: &str, context: &DocumentContext, source: futuswarm_aws::Error) -> Error {
    Error::Document { what: context.to_string(), key: key.to_owned(), source }
}
