//! Long objects in memory.

use bytes::Bytes;

use super::MemoryBucket;
use crate::blobs::{Blob, Blobs, Part, Upload};
use crate::bucket::{Condition, Error};

/// What S3 answers to a call about an upload that is not there.
fn no_such_upload(upload: &Upload, operation: &'static str) -> Error {
    let failure = futuswarm_aws::Failure {
        operation,
        code: Some("NoSuchUpload".to_owned()),
        message: "The specified upload does not exist.".to_owned(),
        request_id: None,
        status: Some(404),
    };
    Error::Service { bucket: "memory".to_owned(), key: upload.key.clone(), source: failure.into() }
}

impl MemoryBucket {
    /// Uploads that have begun and are neither completed nor aborted.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        self.lock().uploads.len()
    }
}

impl Blobs for MemoryBucket {
    async fn begin_upload(&self, key: &str) -> Result<Upload, Error> {
        let mut state = self.checked()?;
        state.changes += 1;
        let upload = Upload { key: key.to_owned(), id: format!("u{}", state.changes) };
        state.uploads.insert(upload.id.clone(), Default::default());
        Ok(upload)
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part, Error> {
        let mut state = self.checked()?;
        state.writes += 1;
        let etag = format!("\"p{}\"", state.writes);
        let parts = state.uploads.get_mut(&upload.id).ok_or_else(|| no_such_upload(upload, "UploadPart"))?;
        parts.insert(number, (etag.clone(), body));
        Ok(Part { number, etag })
    }

    async fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<(), Error> {
        let mut state = self.checked()?;
        let Some(there) = state.uploads.remove(&upload.id) else {
            // An answer that was lost has completed it.
            let done = state.object(&upload.key).is_some();
            return if done { Ok(()) } else { Err(no_such_upload(upload, "CompleteMultipartUpload")) };
        };
        let named = |part: &Part| there.get(&part.number).filter(|(etag, _)| *etag == part.etag);
        let bodies: Option<Vec<&[u8]>> = parts.iter().map(|part| Some(&*named(part)?.1)).collect();
        let body = bodies.ok_or_else(|| no_such_upload(upload, "CompleteMultipartUpload"))?.concat();
        let _stored = state.put(&upload.key, body, &Condition::None);
        Ok(())
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), Error> {
        self.checked()?.uploads.remove(&upload.id);
        Ok(())
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, Error> {
        let state = self.checked()?;
        let Some(object) = state.object(key) else { return Ok(None) };
        let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(object.body.len());
        let piece = &object.body[at(offset)..at(offset.saturating_add(length))];
        Ok((!piece.is_empty()).then(|| piece.to_vec()))
    }

    async fn list_blobs(&self, prefix: &str) -> Result<Vec<Blob>, Error> {
        let state = self.checked()?;
        let blob = |(key, object): (&String, &crate::Object)| Blob {
            key: key.clone(),
            length: u64::try_from(object.body.len()).unwrap_or(u64::MAX),
        };
        Ok(state.present(prefix).map(blob).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_there_once_it_is_complete_and_not_before() {
        let bucket = MemoryBucket::default();
        let upload = bucket.begin_upload("backup/a").await.unwrap();
        let first = bucket.upload_part(&upload, 1, b"ab"[..].into()).await.unwrap();
        let lost = bucket.upload_part(&upload, 2, b"x"[..].into()).await.unwrap();
        let second = bucket.upload_part(&upload, 2, b"cd"[..].into()).await.unwrap();
        assert_eq!(bucket.list_blobs("backup/").await.unwrap(), []);
        assert_ne!(lost, second);
        for _ in 0..2 {
            bucket.complete_upload(&upload, &[first.clone(), second.clone()]).await.unwrap();
        }
        assert_eq!(bucket.list_blobs("backup/").await.unwrap(), [Blob { key: "backup/a".to_owned(), length: 4 }]);
        assert_eq!(bucket.get_range("backup/a", 1, 2).await.unwrap().unwrap(), b"bc");
        assert_eq!(bucket.get_range("backup/a", 3, 9).await.unwrap().unwrap(), b"d");
        assert_eq!(bucket.get_range("backup/a", 4, 9).await.unwrap(), None);
        assert_eq!(bucket.get_range("backup/b", 0, 9).await.unwrap(), None);

        let other = bucket.begin_upload("backup/b").await.unwrap();
        let stale = bucket.upload_part(&other, 1, b"a"[..].into()).await.unwrap();
        bucket.abort_upload(&other).await.unwrap();
        bucket.abort_upload(&other).await.unwrap();
        assert!(bucket.complete_upload(&other, &[stale]).await.is_err());
        assert_eq!(bucket.unfinished_uploads(), 0);
    }
}
