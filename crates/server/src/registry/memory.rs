//! A registry in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Digest, Error, Manifest, Registry, Upload};

#[derive(Debug, Default)]
struct Content {
    /// By app and digest.
    blobs: BTreeMap<(String, String), Bytes>,
    /// By app and digest.
    manifests: BTreeMap<(String, String), Manifest>,
    /// By app and tag.
    tags: BTreeMap<(String, String), String>,
    /// By their locations.
    uploads: BTreeMap<String, (String, Vec<u8>)>,
}

/// Clones share their content.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryRegistry(Arc<Mutex<Content>>);

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Digest(format!("sha256:{hex}"))
}

impl MemoryRegistry {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image of one platform, as a push would leave it; its digest.
    pub(crate) fn push(&self, app: &str, tag: &str, architecture: &str) -> String {
        let config = format!(r#"{{"os":"linux","architecture":"{architecture}","tag":"{tag}"}}"#);
        let config_digest = digest_of(config.as_bytes());
        let body = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{config_digest}"}},"layers":[]}}"#);
        let digest = digest_of(body.as_bytes());
        let mut content = self.lock();
        content.blobs.insert((app.to_owned(), config_digest.to_string()), config.into());
        let manifest =
            Manifest { digest: digest.clone(), media_type: "application/json".to_owned(), body: body.into() };
        content.manifests.insert((app.to_owned(), digest.to_string()), manifest);
        content.tags.insert((app.to_owned(), tag.to_owned()), digest.to_string());
        digest.to_string()
    }
}

impl Registry for MemoryRegistry {
    async fn has_blob(&self, app: &str, digest: &Digest) -> Result<bool, Error> {
        Ok(self.lock().blobs.contains_key(&(app.to_owned(), digest.to_string())))
    }

    async fn begin(&self, app: &str) -> Result<Upload, Error> {
        let mut content = self.lock();
        let location = format!("/{}", content.uploads.len());
        content.uploads.insert(location.clone(), (app.to_owned(), Vec::new()));
        Ok(Upload { location, offset: 0 })
    }

    async fn resume(&self, upload: &Upload) -> Result<Option<Upload>, Error> {
        let content = self.lock();
        let there = content.uploads.get(&upload.location);
        Ok(there.map(|(_, bytes)| Upload { offset: bytes.len() as u64, ..upload.clone() }))
    }

    async fn append(&self, upload: &Upload, length: u64, mut bytes: mpsc::Receiver<Bytes>) -> Result<Upload, Error> {
        let mut arrived = 0;
        while arrived < length {
            let Some(piece) = bytes.recv().await else { return Err(Error::Cut(upload.offset + arrived)) };
            arrived += piece.len() as u64;
            if let Some((_, kept)) = self.lock().uploads.get_mut(&upload.location) {
                kept.extend_from_slice(&piece);
            }
        }
        Ok(Upload { offset: upload.offset + arrived, ..upload.clone() })
    }

    async fn finish(&self, upload: &Upload, digest: &Digest) -> Result<(), Error> {
        let mut content = self.lock();
        let Some((app, bytes)) = content.uploads.remove(&upload.location) else {
            return Err(Error::Refused { operation: "PUT upload", status: 404, reason: String::new() });
        };
        if digest_of(&bytes) != *digest {
            return Err(Error::Refused { operation: "PUT upload", status: 400, reason: "DIGEST_INVALID".to_owned() });
        }
        content.blobs.insert((app, digest.to_string()), bytes.into());
        Ok(())
    }

    async fn put_manifest(&self, app: &str, reference: &str, media_type: &str, body: Bytes) -> Result<Digest, Error> {
        let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let layers = parsed["layers"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<String> = layers
            .iter()
            .chain([&parsed["config"]])
            .filter_map(|descriptor| Some(descriptor["digest"].as_str()?.to_owned()))
            .collect();
        let mut content = self.lock();
        if named.iter().any(|digest| !content.blobs.contains_key(&(app.to_owned(), digest.clone()))) {
            let reason = "MANIFEST_BLOB_UNKNOWN".to_owned();
            return Err(Error::Refused { operation: "PUT manifest", status: 404, reason });
        }
        let digest = digest_of(&body);
        let manifest = Manifest { digest: digest.clone(), media_type: media_type.to_owned(), body };
        content.manifests.insert((app.to_owned(), digest.to_string()), manifest);
        content.tags.insert((app.to_owned(), reference.to_owned()), digest.to_string());
        Ok(digest)
    }

    async fn manifest(&self, app: &str, reference: &str) -> Result<Option<Manifest>, Error> {
        let content = self.lock();
        let digest = content.tags.get(&(app.to_owned(), reference.to_owned())).cloned();
        Ok(content.manifests.get(&(app.to_owned(), digest.unwrap_or_else(|| reference.to_owned()))).cloned())
    }

    async fn blob(&self, app: &str, digest: &Digest) -> Result<Option<Bytes>, Error> {
        Ok(self.lock().blobs.get(&(app.to_owned(), digest.to_string())).cloned())
    }

    async fn tags(&self, app: &str) -> Result<Vec<String>, Error> {
        Ok(self.lock().tags.keys().filter(|(of, _)| of == app).map(|(_, tag)| tag.clone()).collect())
    }
}
