//! Long objects on S3: multipart uploads, and reads of ranges.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::{S3Bucket, or_empty};
use crate::blobs::{Blob, Blobs, Part, Upload};
use crate::bucket::Error;

impl S3Bucket {
    fn incomplete(&self, key: &str, operation: &'static str, what: &str) -> Error {
        let message = format!("the answer has no {what}");
        let failure = futuswarm_aws::Failure { operation, code: None, message, request_id: None, status: None };
        self.error(key, failure.into())
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Blobs for S3Bucket {
    async fn begin_upload(&self, key: &str) -> Result<Upload, Error> {
        let operation = "CreateMultipartUpload";
        let begun = self.client.create_multipart_upload().bucket(&self.name).key(key).send().await;
        let begun = begun.map_err(|error| self.error(key, futuswarm_aws::Error::new(operation, error)))?;
        let id = begun.upload_id.ok_or_else(|| self.incomplete(key, operation, "UploadId"))?;
        Ok(Upload { key: key.to_owned(), id })
    }

    async fn upload_part(&self, upload: &Upload, part: u32, body: Bytes) -> Result<Part, Error> {
        let (operation, key) = ("UploadPart", &upload.key);
        let send = self.client.upload_part().bucket(&self.name).key(key).upload_id(&upload.id);
        let sent = send.part_number(number(part)).body(ByteStream::from(body)).send().await;
        let sent = sent.map_err(|error| self.error(key, futuswarm_aws::Error::new(operation, error)))?;
        let etag = sent.e_tag.ok_or_else(|| self.incomplete(key, operation, "ETag"))?;
        Ok(Part { number: part, etag })
    }

    async fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<(), Error> {
        let key = &upload.key;
        let part = |part: &Part| CompletedPart::builder().part_number(number(part.number)).e_tag(&part.etag).build();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(&upload.id);
        let completed = complete.multipart_upload(parts).send().await;
        match completed.map_err(|error| futuswarm_aws::Error::new("CompleteMultipartUpload", error)) {
            Ok(_) => Ok(()),
            // An answer that was lost has completed it, or somebody has ended it: the object says which.
            Err(error) if error.is(&["NoSuchUpload"]) => match self.get_range(key, 0, 1).await? {
                Some(_) => Ok(()),
                None => Err(self.error(key, error)),
            },
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), Error> {
        let key = &upload.key;
        let abort = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(&upload.id);
        match abort.send().await.map_err(|error| futuswarm_aws::Error::new("AbortMultipartUpload", error)) {
            Err(error) if !error.is(&["NoSuchUpload"]) => Err(self.error(key, error)),
            _ => Ok(()),
        }
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, Error> {
        let range = format!("bytes={offset}-{}", offset.saturating_add(length).saturating_sub(1));
        let answer = self.client.get_object().bucket(&self.name).key(key).range(range).send().await;
        match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => Ok(Some(self.read(key, answer).await?.body)),
            Err(error) if error.is(&["NoSuchKey", "InvalidRange"]) => Ok(None),
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn list_blobs(&self, prefix: &str) -> Result<Vec<Blob>, Error> {
        let mut pages = self.listing(prefix).into_paginator().send();
        let mut blobs = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(prefix, futuswarm_aws::Error::new("ListObjectsV2", error)))?;
            blobs.extend(page.contents().iter().map(|object| Blob {
                key: or_empty(object.key()),
                length: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            }));
        }
        blobs.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(blobs)
    }
}
