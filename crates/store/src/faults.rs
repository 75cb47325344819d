//! Any bucket with failures around its operations.

use bytes::Bytes;
use futuswarm_faults::{Fault, Faults};

use crate::blobs::{Blob, Blobs, Part, Upload};
use crate::bucket::{Bucket, Condition, Entry, Error, Object, Put, Version};
use crate::foreign::{ForeignBucket, Page, Reading};

/// A bucket whose operations fail as its [`Faults`] say. A read that meets [`Fault::Absent`] says that there is no such object.
#[derive(Debug, Clone)]
pub struct FaultyBucket<B> {
    bucket: B,
    faults: Faults,
}

impl<B: Send + Sync> FaultyBucket<B> {
    /// `bucket` with these faults around its operations.
    pub fn new(bucket: B, faults: Faults) -> Self {
        Self { bucket, faults }
    }

    async fn call<'a, T, Fut>(
        &'a self,
        fault: Fault,
        operation: &'static str,
        key: &str,
        call: impl Fn(&'a B) -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let failed = |reason: &str| {
            let (code, message) = (None, reason.to_owned());
            let failure = futuswarm_aws::Failure { operation, code, message, request_id: None, status: None };
            Error::Service { bucket: "faulty".to_owned(), key: key.to_owned(), source: failure.into() }
        };
        self.faults.around(fault, || call(&self.bucket), failed).await
    }
}

impl<B: Bucket> Bucket for FaultyBucket<B> {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let fault = self.faults.draw();
        let object = self.call(fault, "GetObject", key, |bucket| bucket.get(key)).await?;
        Ok(object.filter(|_| fault != Fault::Absent))
    }

    async fn get_in_pieces(&self, key: &str, take: &mut (dyn FnMut(&[u8]) -> bool + Send)) -> Result<bool, Error> {
        let fault = self.faults.draw();
        if fault == Fault::Lose
            && let Some(object) = self.bucket.get(key).await?
        {
            // The connection breaks in the middle.
            take(&object.body[..object.body.len() / 2]);
        }
        let object = self.call(fault, "GetObject", key, |bucket| bucket.get(key)).await?;
        let Some(object) = object.filter(|_| fault != Fault::Absent) else { return Ok(false) };
        let (begin, end) = object.body.split_at(object.body.len() / 2);
        let _whether_it_wants_more = take(begin) && take(end);
        Ok(true)
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, Error> {
        let fault = self.faults.draw();
        let object = self.call(fault, "GetObject", key, |bucket| bucket.get_version(key, version)).await?;
        Ok(object.filter(|_| fault != Fault::Absent))
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        self.call(self.faults.draw(), "PutObject", key, |bucket| bucket.put(key, body.clone(), condition.clone())).await
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        self.call(self.faults.draw(), "ListObjectVersions", key, |bucket| bucket.versions(key, limit)).await
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        self.call(self.faults.draw(), "ListObjectsV2", prefix, |bucket| bucket.list_entries(prefix)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.call(self.faults.draw(), "ListObjectsV2", prefix, |bucket| bucket.list_folders(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.call(self.faults.draw(), "DeleteObject", key, |bucket| bucket.delete(key)).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        self.call(self.faults.draw(), "DeleteObjects", "", |bucket| bucket.delete_all(keys)).await
    }
}

impl<B: ForeignBucket> ForeignBucket for FaultyBucket<B> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, Error> {
        self.call(self.faults.draw(), "ListObjectsV2", prefix, |bucket| bucket.page(prefix, after)).await
    }

    async fn read_at_most(&self, key: &str, most: u64) -> Result<Reading, Error> {
        let fault = self.faults.draw();
        let reading = self.call(fault, "GetObject", key, |bucket| bucket.read_at_most(key, most)).await?;
        Ok(if fault == Fault::Absent { Reading::Absent } else { reading })
    }
}

impl<B: Blobs> Blobs for FaultyBucket<B> {
    async fn begin_upload(&self, key: &str) -> Result<Upload, Error> {
        self.call(self.faults.draw(), "CreateMultipartUpload", key, |bucket| bucket.begin_upload(key)).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part, Error> {
        let (key, fault) = (&upload.key, self.faults.draw());
        self.call(fault, "UploadPart", key, |bucket| bucket.upload_part(upload, number, body.clone())).await
    }

    async fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<(), Error> {
        let (key, fault) = (&upload.key, self.faults.draw());
        self.call(fault, "CompleteMultipartUpload", key, |bucket| bucket.complete_upload(upload, parts)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), Error> {
        let (key, fault) = (&upload.key, self.faults.draw());
        self.call(fault, "AbortMultipartUpload", key, |bucket| bucket.abort_upload(upload)).await
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, Error> {
        let fault = self.faults.draw();
        let piece = self.call(fault, "GetObject", key, |bucket| bucket.get_range(key, offset, length)).await?;
        Ok(piece.filter(|_| fault != Fault::Absent))
    }

    async fn list_blobs(&self, prefix: &str) -> Result<Vec<Blob>, Error> {
        self.call(self.faults.draw(), "ListObjectsV2", prefix, |bucket| bucket.list_blobs(prefix)).await
    }
}
