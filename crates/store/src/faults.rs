//! Any bucket with failures around its operations.

use futuswarm_faults::{Fault, Faults};

use crate::bucket::{Bucket, Condition, Entry, Error, Object, Put, Version};

/// A bucket whose operations fail as its [`Faults`] say. A read that meets [`Fault::Absent`] says that there is no such object.
#[derive(Debug, Clone)]
pub struct FaultyBucket<B> {
    bucket: B,
    faults: Faults,
}

impl<B: Bucket> FaultyBucket<B> {
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
