//! The bucket on S3.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futuswarm_aws::SdkConfig;

use crate::bucket::{Bucket, Condition, Error, Object, Put};

/// DeleteObjects takes so many keys
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>).
const KEYS_PER_DELETION: usize = 1000;

/// Objects of one bucket, over the SDK's retries.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    client: Client,
    name: String,
}

impl S3Bucket {
    /// The bucket `name`, with the region, credentials and endpoint of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        // An overridden endpoint is an address and a port, which cannot carry the bucket in its host name.
        let builder = Builder::from(config).force_path_style(config.endpoint_url().is_some());
        Self { client: Client::from_conf(builder.build()), name: name.to_owned() }
    }

    fn error(&self, key: &str, source: futuswarm_aws::Error) -> Error {
        Error::Service { bucket: self.name.clone(), key: key.to_owned(), source }
    }
}

impl Bucket for S3Bucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let answer = match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => answer,
            Err(error) if error.is(&["NoSuchKey"]) => return Ok(None),
            Err(error) => return Err(self.error(key, error)),
        };
        let etag = answer.e_tag().unwrap_or_default().to_owned();
        let body = answer.body.collect().await.map_err(|error| {
            let cut_off = futuswarm_aws::Failure {
                operation: "GetObject",
                code: None,
                message: format!("the body was cut off: {error}"),
                request_id: None,
                status: None,
            };
            self.error(key, cut_off.into())
        })?;
        Ok(Some(Object { body: body.to_vec(), etag }))
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, Error> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let request = match condition {
            Condition::None => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::At(etag) => request.if_match(etag),
        };
        match request.send().await.map_err(|error| futuswarm_aws::Error::new("PutObject", error)) {
            Ok(answer) => Ok(Put::Stored(answer.e_tag().unwrap_or_default().to_owned())),
            // 409 means that another conditional write is under way: it may win, so we have not won.
            Err(error) if error.is(&["PreconditionFailed", "ConditionalRequestConflict"]) => Ok(Put::Refused),
            // If-Match on an object that is gone.
            Err(error) if error.is(&["NoSuchKey"]) => Ok(Put::Refused),
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut pages = self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(prefix, futuswarm_aws::Error::new("ListObjectsV2", error)))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        keys.sort();
        Ok(keys)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let answer = self.client.delete_object().bucket(&self.name).key(key).send().await;
        answer.map_err(|error| self.error(key, futuswarm_aws::Error::new("DeleteObject", error)))?;
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        for keys in keys.chunks(KEYS_PER_DELETION) {
            let first = keys.first().map(String::as_str).unwrap_or_default();
            let undeleted = |key: &str, reason: &str| Error::Undeleted {
                bucket: self.name.clone(),
                key: key.to_owned(),
                reason: reason.to_owned(),
            };
            let objects: Result<Vec<_>, _> =
                keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
            let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
            let delete = delete.map_err(|error| undeleted(first, &error.to_string()))?;
            let answer = self.client.delete_objects().bucket(&self.name).delete(delete).send().await;
            let answer =
                answer.map_err(|error| self.error(first, futuswarm_aws::Error::new("DeleteObjects", error)))?;
            // Each key has an outcome of its own in an answer that is a success.
            if let Some(failed) = answer.errors().first() {
                let reason = failed.message().or(failed.code()).unwrap_or("no reason given");
                return Err(undeleted(failed.key().unwrap_or(first), reason));
            }
        }
        Ok(())
    }
}
