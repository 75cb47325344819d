//! A registry over a bucket in memory, with the objects that docker-registry makes there, for tests and measurements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
#[cfg(test)]
use futures_util::FutureExt as _;
use futuswarm_store::{Bucket as _, Condition, MemoryBucket};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Digest, Error, Manifest, Registry, Upload};
use crate::collect::{layout, named_blobs};

/// Repositories and what has come of their blobs, by the locations of the uploads.
type Uploads = BTreeMap<String, (String, Vec<u8>)>;

/// Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    bucket: MemoryBucket,
    uploads: Arc<Mutex<Uploads>>,
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Digest(format!("sha256:{hex}"))
}

fn failed(operation: &'static str) -> impl Fn(futuswarm_store::Error) -> Error {
    move |error| Error::Unreachable { operation, reason: error.to_string() }
}

impl MemoryRegistry {
    /// A registry whose objects are in this bucket.
    #[must_use]
    pub fn over(bucket: MemoryBucket) -> Self {
        Self { bucket, uploads: Arc::default() }
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, key: String, body: &[u8]) -> Result<(), Error> {
        self.bucket.put(&key, body.to_vec(), Condition::None).await.map_err(failed("put"))?;
        Ok(())
    }

    async fn get(&self, key: String) -> Result<Option<Bytes>, Error> {
        Ok(self.bucket.get(&key).await.map_err(failed("get"))?.map(|object| object.body.into()))
    }

    /// A blob that is there already stays as it is; only the link to it is new.
    async fn link_blob(&self, app: &str, body: &[u8]) -> Result<Digest, Error> {
        let digest = digest_of(body);
        if self.get(layout::blob(digest.as_str())).await?.is_none() {
            self.put(layout::blob(digest.as_str()), body).await?;
        }
        self.put(layout::layer(app, digest.as_str()), digest.as_str().as_bytes()).await?;
        Ok(digest)
    }
}

#[cfg(test)]
impl MemoryRegistry {
    /// An image of one platform, as a push would leave it; its digest.
    pub(crate) fn push(&self, app: &str, tag: &str, architecture: &str) -> String {
        self.push_layers(app, tag, architecture, &[])
    }

    /// An image with these layers, as a push would leave it; its digest.
    pub(crate) fn push_layers(&self, app: &str, tag: &str, architecture: &str, layers: &[&str]) -> String {
        let pushed = async {
            let config = format!(r#"{{"os":"linux","architecture":"{architecture}","name":"{app}:{tag}"}}"#);
            let config = self.link_blob(app, config.as_bytes()).await?;
            let mut descriptors = Vec::new();
            for layer in layers {
                let (digest, size) = (self.link_blob(app, layer.as_bytes()).await?, layer.len());
                descriptors.push(serde_json::json!({ "digest": digest.as_str(), "size": size }));
            }
            let config = serde_json::json!({ "digest": config.as_str() });
            let body = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": descriptors }).to_string();
            self.put_manifest(app, tag, "application/json", body.into()).await
        };
        pushed.now_or_never().expect("a bucket in memory answers at once").unwrap().to_string()
    }
}

impl Registry for MemoryRegistry {
    async fn has_blob(&self, app: &str, digest: &Digest) -> Result<bool, Error> {
        let linked = self.get(layout::layer(app, digest.as_str())).await?;
        Ok(linked.is_some() && self.get(layout::blob(digest.as_str())).await?.is_some())
    }

    async fn begin(&self, app: &str) -> Result<Upload, Error> {
        let mut uploads = self.uploads();
        let location = format!("/{}", uploads.len());
        uploads.insert(location.clone(), (app.to_owned(), Vec::new()));
        Ok(Upload { location, offset: 0 })
    }

    async fn resume(&self, upload: &Upload) -> Result<Option<Upload>, Error> {
        let uploads = self.uploads();
        let there = uploads.get(&upload.location);
        Ok(there.map(|(_, bytes)| Upload { offset: bytes.len() as u64, ..upload.clone() }))
    }

    async fn append(&self, upload: &Upload, length: u64, mut bytes: mpsc::Receiver<Bytes>) -> Result<Upload, Error> {
        let mut arrived = 0;
        while arrived < length {
            let Some(piece) = bytes.recv().await else { return Err(Error::Cut(upload.offset + arrived)) };
            arrived += piece.len() as u64;
            if let Some((_, kept)) = self.uploads().get_mut(&upload.location) {
                kept.extend_from_slice(&piece);
            }
        }
        Ok(Upload { offset: upload.offset + arrived, ..upload.clone() })
    }

    async fn finish(&self, upload: &Upload, digest: &Digest) -> Result<(), Error> {
        let Some((app, bytes)) = self.uploads().remove(&upload.location) else {
            return Err(Error::Refused { operation: "PUT upload", status: 404, reason: String::new() });
        };
        if digest_of(&bytes) != *digest {
            return Err(Error::Refused { operation: "PUT upload", status: 400, reason: "DIGEST_INVALID".to_owned() });
        }
        self.link_blob(&app, &bytes).await.map(drop)
    }

    async fn put_manifest(&self, app: &str, reference: &str, _: &str, body: Bytes) -> Result<Digest, Error> {
        for digest in named_blobs(&body) {
            if !self.has_blob(app, &Digest(digest)).await? {
                let reason = "MANIFEST_BLOB_UNKNOWN".to_owned();
                return Err(Error::Refused { operation: "PUT manifest", status: 404, reason });
            }
        }
        let digest = digest_of(&body);
        let text = digest.as_str();
        self.put(layout::blob(text), &body).await?;
        for link in [layout::manifest(app, text), layout::past(app, reference, text), layout::current(app, reference)] {
            self.put(link, text.as_bytes()).await?;
        }
        Ok(digest)
    }

    async fn manifest(&self, app: &str, reference: &str) -> Result<Option<Manifest>, Error> {
        let digest = match Digest::parse(reference) {
            Some(digest) => digest,
            None => match self.get(layout::current(app, reference)).await? {
                Some(link) => Digest(String::from_utf8_lossy(&link).into_owned()),
                None => return Ok(None),
            },
        };
        if self.get(layout::manifest(app, digest.as_str())).await?.is_none() {
            return Ok(None);
        }
        let body = self.get(layout::blob(digest.as_str())).await?;
        Ok(body.map(|body| Manifest { digest, media_type: "application/json".to_owned(), body }))
    }

    async fn blob(&self, app: &str, digest: &Digest) -> Result<Option<Bytes>, Error> {
        if !self.has_blob(app, digest).await? {
            return Ok(None);
        }
        self.get(layout::blob(digest.as_str())).await
    }

    async fn tags(&self, app: &str) -> Result<Vec<String>, Error> {
        let folder = format!("{}_manifests/tags/", layout::repository(app));
        self.bucket.list_folders(&folder).await.map_err(failed("tags"))
    }
}
