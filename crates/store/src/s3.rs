//! The bucket on S3.

mod blobs;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futuswarm_aws::SdkConfig;

use crate::bucket::{
    Bucket, Condition, Entry, Error, Newer, Object, Put, Revision, UNVERSIONED, Version, newest_first,
};
use crate::foreign::{ForeignBucket, Listed, Page, Reading};

/// DeleteObjects takes so many keys
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>).
const KEYS_PER_DELETION: usize = 1000;
/// ListObjectVersions answers with so many at most
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>).
const VERSIONS_PER_PAGE: usize = 1000;

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

    async fn read(&self, key: &str, answer: GetObjectOutput) -> Result<Object, Error> {
        let (etag, version) = (or_empty(answer.e_tag()), or_unversioned(answer.version_id()));
        let body = answer.body.collect().await.map_err(|error| self.cut_off(key, &error))?;
        Ok(Object { body: body.to_vec(), etag, version })
    }

    fn cut_off(&self, key: &str, error: &impl std::fmt::Display) -> Error {
        let cut_off = futuswarm_aws::Failure {
            operation: "GetObject",
            code: None,
            message: format!("the body was cut off: {error}"),
            request_id: None,
            status: None,
        };
        self.error(key, cut_off.into())
    }

    fn listing(&self, prefix: &str) -> ListObjectsV2FluentBuilder {
        self.client.list_objects_v2().bucket(&self.name).prefix(prefix)
    }
}

fn or_empty(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn or_unversioned(version: Option<&str>) -> String {
    version.unwrap_or(UNVERSIONED).to_owned()
}

fn millis(time: Option<&DateTime>) -> u64 {
    time.and_then(|time| time.to_millis().ok()).and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()
}

impl Bucket for S3Bucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => Ok(Some(self.read(key, answer).await?)),
            Err(error) if error.is(&["NoSuchKey"]) => Ok(None),
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn get_if_changed(&self, key: &str, etag: &str) -> Result<Newer, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).if_none_match(etag).send().await;
        match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => Ok(Newer::Other(Some(self.read(key, answer).await?))),
            // To the SDK everything that is no 2xx is an error.
            Err(error) if error.status == Some(304) => Ok(Newer::Same),
            Err(error) if error.is(&["NoSuchKey"]) => Ok(Newer::Other(None)),
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn get_in_pieces(&self, key: &str, take: &mut (dyn FnMut(&[u8]) -> bool + Send)) -> Result<bool, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let mut answer = match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => answer,
            Err(error) if error.is(&["NoSuchKey"]) => return Ok(false),
            Err(error) => return Err(self.error(key, error)),
        };
        while let Some(piece) = answer.body.try_next().await.map_err(|error| self.cut_off(key, &error))? {
            if !take(&piece) {
                break;
            }
        }
        Ok(true)
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).version_id(version).send().await;
        match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => Ok(Some(self.read(key, answer).await?)),
            // The last two: what is no version at all, and a delete marker.
            Err(error) if error.is(&["NoSuchKey", "NoSuchVersion", "InvalidArgument", "MethodNotAllowed"]) => Ok(None),
            Err(error) => Err(self.error(key, error)),
        }
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
            Ok(answer) => {
                let (etag, version) = (or_empty(answer.e_tag()), or_unversioned(answer.version_id()));
                Ok(Put::Stored(Revision { etag, version }))
            }
            // 409 means that another conditional write is under way: it may win, so we have not won.
            Err(error) if error.is(&["PreconditionFailed", "ConditionalRequestConflict"]) => Ok(Put::Refused),
            // If-Match on an object that is gone.
            Err(error) if error.is(&["NoSuchKey"]) => Ok(Put::Refused),
            Err(error) => Err(self.error(key, error)),
        }
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, Error> {
        let (mut versions, mut deletions, mut exists) = (Vec::new(), Vec::new(), false);
        let mut after: Option<(String, Option<String>)> = None;
        // Other keys that begin with this one come after it.
        while versions.len() + deletions.len() < limit {
            let page = i32::try_from((limit - versions.len() - deletions.len()).min(VERSIONS_PER_PAGE));
            let request = self.client.list_object_versions().bucket(&self.name).prefix(key).set_max_keys(page.ok());
            let (key_marker, version_marker) = after.unzip();
            let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker.flatten());
            let page = request.send().await;
            let page = page.map_err(|error| self.error(key, futuswarm_aws::Error::new("ListObjectVersions", error)))?;
            for row in page.versions().iter().filter(|row| row.key() == Some(key)) {
                exists |= row.is_latest() == Some(true);
                versions.push(Version {
                    version: or_unversioned(row.version_id()),
                    etag: or_empty(row.e_tag()),
                    modified: millis(row.last_modified()),
                    deleted: false,
                });
            }
            for row in page.delete_markers().iter().filter(|row| row.key() == Some(key)) {
                deletions.push(Version {
                    version: or_unversioned(row.version_id()),
                    etag: String::new(),
                    modified: millis(row.last_modified()),
                    deleted: true,
                });
            }
            after = match (page.is_truncated(), page.next_key_marker()) {
                (Some(true), Some(next)) if next == key => {
                    Some((next.to_owned(), page.next_version_id_marker().map(str::to_owned)))
                }
                _ => break,
            };
        }
        Ok(newest_first(versions, deletions, exists, limit))
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let mut pages = self.listing(prefix).into_paginator().send();
        let mut entries = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(prefix, futuswarm_aws::Error::new("ListObjectsV2", error)))?;
            let entry = |object: &aws_sdk_s3::types::Object| {
                Some(Entry {
                    key: object.key()?.to_owned(),
                    etag: or_empty(object.e_tag()),
                    bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                    modified: millis(object.last_modified()),
                })
            };
            entries.extend(page.contents().iter().filter_map(entry));
        }
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(entries)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut pages = self.listing(prefix).delimiter("/").into_paginator().send();
        let mut folders = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(prefix, futuswarm_aws::Error::new("ListObjectsV2", error)))?;
            let common = page.common_prefixes().iter().filter_map(|common| common.prefix()?.strip_prefix(prefix));
            folders.extend(common.map(|folder| folder.trim_end_matches('/').to_owned()));
        }
        folders.sort();
        Ok(folders)
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

impl ForeignBucket for S3Bucket {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, Error> {
        let page = self.listing(prefix).set_continuation_token(after.map(str::to_owned)).send().await;
        let page = page.map_err(|error| self.error(prefix, futuswarm_aws::Error::new("ListObjectsV2", error)))?;
        let listed = |object: &aws_sdk_s3::types::Object| {
            let length = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            Some(Listed { key: object.key()?.to_owned(), length })
        };
        let objects = page.contents().iter().filter_map(listed).collect();
        Ok(Page { objects, next: page.next_continuation_token().map(str::to_owned) })
    }

    async fn read_at_most(&self, key: &str, most: u64) -> Result<Reading, Error> {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        match answer.map_err(|error| futuswarm_aws::Error::new("GetObject", error)) {
            Ok(answer) => {
                let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
                match length.filter(|length| *length > most) {
                    Some(length) => Ok(Reading::TooLong(length)),
                    None => Ok(Reading::Whole(self.read(key, answer).await?.body)),
                }
            }
            Err(error) if error.is(&["NoSuchKey"]) => Ok(Reading::Absent),
            Err(error) => Err(self.error(key, error)),
        }
    }
}
