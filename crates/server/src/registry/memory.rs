//! A registry over a bucket in memory, with the objects that docker-registry makes there, for tests and measurements.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
#[cfg(test)]
use futures_util::FutureExt as _;
use futuswarm_store::{Bucket as _, Condition, MemoryBucket};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::manifests::named_blobs;
use super::{Digest, Error, Manifest, Registry, Upload, layout};

/// Uploads that have begun, and what tests have the registry do with them.
#[derive(Debug, Default)]
struct Uploads {
    /// How many there ever were: each has the number of those before it.
    count: u64,
    /// Their repositories, and what has come of their blobs.
    open: BTreeMap<u64, (String, Vec<u8>)>,
    /// Those whose end has failed.
    failed: BTreeSet<u64>,
    /// Whether the next answers about uploads are lost on their way.
    lost: VecDeque<bool>,
    /// Whether the next pieces are confirmed and not kept.
    lost_pieces: VecDeque<bool>,
    /// Whether the next ends fail.
    failing_ends: VecDeque<bool>,
    /// So long the end of each takes.
    ending: Duration,
}

impl Uploads {
    /// The number of an upload, and the upload. As docker-registry 2.8 does, a place that says another number of bytes than there are is
    /// refused, and the upload stays; after an end that failed, everything is.
    fn find(&mut self, operation: &'static str, upload: &Upload) -> Result<(u64, &mut (String, Vec<u8>)), Error> {
        let refused = |status, reason: &str| Error::Refused { operation, status, reason: reason.to_owned() };
        let at = upload.location.strip_prefix('/').and_then(|at| at.split_once('?'));
        let at = at.and_then(|(number, offset)| Some((number.parse::<u64>().ok()?, offset.parse::<usize>().ok()?)));
        let (number, offset) = at.ok_or_else(|| refused(404, "BLOB_UPLOAD_UNKNOWN"))?;
        if self.failed.contains(&number) {
            return Err(refused(500, "UNKNOWN"));
        }
        let open = self.open.get_mut(&number).ok_or_else(|| refused(404, "BLOB_UPLOAD_UNKNOWN"))?;
        match open.1.len() == offset {
            true => Ok((number, open)),
            false => Err(refused(404, "BLOB_UPLOAD_INVALID")),
        }
    }

    /// An answer, unless it is lost.
    fn say<T>(&mut self, operation: &'static str, answer: T) -> Result<T, Error> {
        match self.lost.pop_front() {
            Some(true) => Err(Error::Unreachable { operation, reason: "the answer was lost".to_owned() }),
            Some(false) | None => Ok(answer),
        }
    }
}

/// Where the rest of an upload goes.
fn place(number: u64, offset: usize) -> Upload {
    Upload { location: format!("/{number}?{offset}"), offset: offset as u64 }
}

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
    /// Whether each of the next answers about uploads is lost on its way; what was asked for is done nevertheless.
    pub(crate) fn lose_answers(&self, lost: &[bool]) {
        self.uploads().lost = lost.iter().copied().collect();
    }

    /// Whether each of the next pieces is confirmed and not kept.
    pub(crate) fn lose_pieces(&self, lost: &[bool]) {
        self.uploads().lost_pieces = lost.iter().copied().collect();
    }

    /// Whether each of the next ends of uploads fails.
    pub(crate) fn fail_ends(&self, failing: &[bool]) {
        self.uploads().failing_ends = failing.iter().copied().collect();
    }

    /// Has the end of each upload take so long.
    pub(crate) fn end_uploads_after(&self, time: Duration) {
        self.uploads().ending = time;
    }

    /// An image of one platform, as a push would leave it; its digest.
    pub(crate) fn push(&self, app: &str, tag: &str, architecture: &str) -> String {
        self.push_layers(app, tag, architecture, &[])
    }

    /// An image with these layers, as a push would leave it; its digest.
    pub(crate) fn push_layers(&self, app: &str, tag: &str, architecture: &str, layers: &[&str]) -> String {
        let config = format!(r#"{{"os":"linux","architecture":"{architecture}","name":"{app}:{tag}"}}"#);
        self.push_config(app, tag, &config, layers)
    }

    /// An image with this config and these layers, as a push would leave it; its digest.
    pub(crate) fn push_config(&self, app: &str, tag: &str, config: &str, layers: &[&str]) -> String {
        let pushed = async {
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
    async fn blob_length(&self, app: &str, digest: &Digest) -> Result<Option<u64>, Error> {
        if self.get(layout::layer(app, digest.as_str())).await?.is_none() {
            return Ok(None);
        }
        Ok(self.get(layout::blob(digest.as_str())).await?.map(|body| body.len() as u64))
    }

    async fn begin(&self, app: &str) -> Result<Upload, Error> {
        let mut uploads = self.uploads();
        let number = uploads.count;
        uploads.count += 1;
        uploads.open.insert(number, (app.to_owned(), Vec::new()));
        Ok(place(number, 0))
    }

    async fn resume(&self, upload: &Upload) -> Result<Option<Upload>, Error> {
        let operation = "GET upload";
        let mut uploads = self.uploads();
        let there = match uploads.find(operation, upload) {
            Ok(_) => Some(upload.clone()),
            Err(Error::Refused { status: 400..=499, .. }) => None,
            Err(error) => return Err(error),
        };
        uploads.say(operation, there)
    }

    async fn append(&self, upload: &Upload, piece: Bytes) -> Result<Upload, Error> {
        let operation = "PATCH upload";
        let mut uploads = self.uploads();
        let is_lost = uploads.lost_pieces.pop_front().unwrap_or(false);
        let (number, (_, bytes)) = uploads.find(operation, upload)?;
        let next = place(number, bytes.len() + piece.len());
        if !is_lost {
            bytes.extend_from_slice(&piece);
        }
        uploads.say(operation, next)
    }

    async fn finish(&self, upload: &Upload, digest: &Digest) -> Result<(), Error> {
        let operation = "PUT upload";
        let ending = self.uploads().ending;
        if !ending.is_zero() {
            sleep(ending).await;
        }
        let (app, bytes) = {
            let mut uploads = self.uploads();
            let (number, open) = uploads.find(operation, upload)?;
            let ended = std::mem::take(open);
            uploads.open.remove(&number);
            if uploads.failing_ends.pop_front().unwrap_or(false) {
                uploads.failed.insert(number);
                return Err(Error::Refused { operation, status: 500, reason: "UNKNOWN".to_owned() });
            }
            ended
        };
        if digest_of(&bytes) != *digest {
            return Err(Error::Refused { operation, status: 400, reason: "DIGEST_INVALID".to_owned() });
        }
        self.link_blob(&app, &bytes).await?;
        self.uploads().say(operation, ())
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
