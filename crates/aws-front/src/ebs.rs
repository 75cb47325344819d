//! The EBS direct APIs, answered here: the emulator keeps blocks in memory, knows another block size and no parents.
//!
//! The snapshot itself is made in the emulator's EC2, so that it is described, tagged, shared and deleted there; its blocks go
//! to a sparse file (`snapshots`), from which machines boot.

mod refusal;
pub mod snapshots;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futuswarm_aws::Error as AwsError;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use futuswarm_local_api::faults::Caller;

use crate::clients::Clients;
use crate::server::{Body, full};
use refusal::Refusal;
use snapshots::{BLOCK, SnapshotSpec, Snapshots, State, make_file};

/// The largest request: one block.
pub const LIMIT: usize = BLOCK;
/// The most and the usual number of blocks of one page.
const PAGE: usize = 10_000;

/// The snapshots, shared between the EBS direct APIs and EC2's operations on snapshots.
#[derive(Clone)]
pub struct Ebs {
    snapshots: Arc<Mutex<Snapshots>>,
    clients: Clients,
    account: String,
    /// One snapshot begins at a time, so that two calls with one token cannot make two.
    beginning: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Start {
    volume_size: u64,
    parent_snapshot_id: Option<String>,
    #[serde(default)]
    description: String,
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

impl Ebs {
    /// The APIs of `account` over these snapshots.
    pub fn new(snapshots: Snapshots, clients: Clients, account: String) -> Self {
        Self { snapshots: Arc::new(Mutex::new(snapshots)), clients, account, beginning: Arc::default() }
    }

    /// All snapshots, locked.
    pub fn snapshots(&self) -> MutexGuard<'_, Snapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// EC2 of a region, by the bypass.
    pub fn ec2(&self, region: &str) -> aws_sdk_ec2::Client {
        let config = self.clients.ec2.config().to_builder().region(aws_sdk_ec2::config::Region::new(region.to_owned()));
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    /// Copies a completed snapshot from region to region; returns the copy's id.
    ///
    /// # Errors
    /// When the emulator does not make it.
    pub async fn copy(&self, source: &str, from: &str, to: &str) -> Result<String, AwsError> {
        let copy = self.ec2(to).copy_snapshot().source_region(from).source_snapshot_id(source).send().await;
        let copy = copy.map_err(|error| AwsError::new("CopySnapshot", error))?.snapshot_id.unwrap_or_default();
        if let Err(refusal) = self.snapshots().copied(source, &copy) {
            tracing::warn!(source, copy, ?refusal, "the copy has no content");
        }
        Ok(copy)
    }

    /// Answers a call.
    pub async fn answer(&self, parts: &Parts, body: Bytes, caller: Caller, region: &str) -> Response<Body> {
        if caller == Caller::Node {
            return Refusal::denied("nodes have no business with the EBS direct APIs").response();
        }
        self.route(parts, body, region).await.unwrap_or_else(|refusal| {
            tracing::debug!(?refusal, path = parts.uri.path(), "EBS");
            refusal.response()
        })
    }

    async fn route(&self, parts: &Parts, body: Bytes, region: &str) -> Result<Response<Body>, Refusal> {
        let path: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
        let query = parts.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match (&parts.method, path.as_slice()) {
            (&Method::POST, ["snapshots"]) => self.start(&body, region).await,
            (&Method::PUT, ["snapshots", id, "blocks", index]) => self.put(parts, id, index, &body),
            (&Method::POST, ["snapshots", "completion", id]) => self.complete(parts, id),
            (&Method::GET, ["snapshots", id, "blocks"]) => self.list(id, &query),
            (&Method::GET, ["snapshots", id, "blocks", index]) => self.get(id, index, &query),
            (&Method::GET, ["snapshots", id, "changedblocks"]) => self.changed(id, &query),
            (method, _) => Err(Refusal::invalid("INVALID_PARAMETER_VALUE", format!("{method} {}", parts.uri.path()))),
        }
    }

    async fn start(&self, body: &[u8], region: &str) -> Result<Response<Body>, Refusal> {
        let start: Start = serde_json::from_slice(body)
            .map_err(|error| Refusal::invalid("INVALID_PARAMETER_VALUE", error.to_string()))?;
        let token = start.client_token.clone().unwrap_or_default();
        let spec = SnapshotSpec { gib: start.volume_size, parent: start.parent_snapshot_id.clone(), token };
        let _one_at_a_time = self.beginning.lock().await;
        let earlier = if spec.token.is_empty() { None } else { self.snapshots().by_token(&spec)?.map(str::to_owned) };
        let id = match earlier {
            Some(id) => id,
            None => self.begin(&start, spec, region).await?,
        };
        let tags: Vec<Value> = start.tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect();
        let started = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut answer = json!({
            "SnapshotId": id, "OwnerId": self.account, "Status": "pending", "StartTime": started,
            "VolumeSize": start.volume_size, "BlockSize": BLOCK, "Description": start.description, "Tags": tags,
        });
        if let Some(parent) = start.parent_snapshot_id {
            answer["ParentSnapshotId"] = parent.into();
        }
        Ok(respond(StatusCode::CREATED, &answer))
    }

    /// Makes the snapshot in EC2 and its file here.
    async fn begin(&self, start: &Start, spec: SnapshotSpec, region: &str) -> Result<String, Refusal> {
        let parent = {
            let snapshots = self.snapshots();
            snapshots.check(&spec)?;
            spec.parent.as_ref().map(|parent| snapshots.file_of(parent))
        };
        let id = self.in_ec2(start, region).await.map_err(|error| Refusal::internal(error.to_string()))?;
        let (path, gib) = (self.snapshots().file_of(&id), spec.gib);
        let made = tokio::task::spawn_blocking(move || make_file(&path, gib, parent.as_deref())).await;
        let file = made
            .map_err(|error| Refusal::internal(error.to_string()))?
            .map_err(|error| Refusal::internal(format!("the file of {id}: {error}")))?;
        self.snapshots().begin(&id, spec, file);
        Ok(id)
    }

    /// EC2 makes snapshots of volumes only, so there is one for a moment.
    async fn in_ec2(&self, start: &Start, region: &str) -> Result<String, AwsError> {
        let ec2 = self.ec2(region);
        let gib = i32::try_from(start.volume_size).unwrap_or(i32::MAX);
        let volume = ec2.create_volume().size(gib).availability_zone(format!("{region}a")).send().await;
        let volume = volume.map_err(|error| AwsError::new("CreateVolume", error))?.volume_id.unwrap_or_default();
        let tags =
            start.tags.iter().map(|tag| aws_sdk_ec2::types::Tag::builder().key(&tag.key).value(&tag.value).build());
        let tags = aws_sdk_ec2::types::TagSpecification::builder()
            .resource_type(aws_sdk_ec2::types::ResourceType::Snapshot)
            .set_tags(Some(tags.collect()))
            .build();
        let create = ec2.create_snapshot().volume_id(&volume).description(&start.description);
        // A specification without tags is refused.
        let create = create.set_tag_specifications((!start.tags.is_empty()).then(|| vec![tags]));
        let made = create.send().await.map_err(|error| AwsError::new("CreateSnapshot", error));
        let deleted = ec2.delete_volume().volume_id(&volume).send().await;
        let made = made?.snapshot_id.unwrap_or_default();
        deleted.map_err(|error| AwsError::new("DeleteVolume", error))?;
        Ok(made)
    }

    fn put(&self, parts: &Parts, id: &str, index: &str, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let index = block_index(index)?;
        let length: Option<usize> = header(parts, "x-amz-data-length").and_then(|text| text.parse().ok());
        if length != Some(body.len()) {
            let message = format!("{} bytes arrived instead of {}", body.len(), length.unwrap_or_default());
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        let checksum = checksum(parts)?.ok_or_else(|| missing("x-amz-Checksum"))?;
        self.snapshots().put(id, index, body, &checksum)?;
        let mut response = respond(StatusCode::CREATED, &json!({}));
        for name in ["x-amz-checksum", "x-amz-checksum-algorithm"] {
            if let Some(value) = parts.headers.get(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    fn complete(&self, parts: &Parts, id: &str) -> Result<Response<Body>, Refusal> {
        let changed = header(parts, "x-amz-changedblockscount").and_then(|text| text.parse().ok());
        let changed = changed.ok_or_else(|| missing("x-amz-ChangedBlocksCount"))?;
        let checksum = checksum(parts)?;
        if checksum.is_some() && header(parts, "x-amz-checksum-aggregation-method") != Some("LINEAR") {
            return Err(missing("x-amz-Checksum-Aggregation-Method"));
        }
        let state = self.snapshots().complete(id, changed, checksum.as_deref())?;
        let status = if state == State::Completed { "completed" } else { "pending" };
        Ok(respond(StatusCode::ACCEPTED, &json!({ "Status": status })))
    }

    fn list(&self, id: &str, query: &BTreeMap<String, String>) -> Result<Response<Body>, Refusal> {
        let snapshots = self.snapshots();
        let (page, next) = snapshots.list(id, first_block(query)?, page_size(query))?;
        let blocks: Vec<Value> = page
            .into_iter()
            .map(|(index, version)| json!({ "BlockIndex": index, "BlockToken": token(index, version) }))
            .collect();
        Ok(respond(StatusCode::OK, &paged(json!({ "Blocks": blocks }), snapshots.get(id)?.spec.gib, next)))
    }

    fn changed(&self, id: &str, query: &BTreeMap<String, String>) -> Result<Response<Body>, Refusal> {
        let snapshots = self.snapshots();
        let first = query.get("firstSnapshotId").map(String::as_str);
        let (page, next) = snapshots.changed(first, id, first_block(query)?, page_size(query))?;
        let blocks: Vec<Value> = page
            .into_iter()
            .map(|(index, (old, new))| {
                let mut block = json!({ "BlockIndex": index, "SecondBlockToken": token(index, new) });
                if let Some(old) = old {
                    block["FirstBlockToken"] = token(index, old).into();
                }
                block
            })
            .collect();
        Ok(respond(StatusCode::OK, &paged(json!({ "ChangedBlocks": blocks }), snapshots.get(id)?.spec.gib, next)))
    }

    fn get(&self, id: &str, index: &str, query: &BTreeMap<String, String>) -> Result<Response<Body>, Refusal> {
        let index = block_index(index)?;
        let version = query.get("blockToken").and_then(|token| version(index, token));
        let version = version.ok_or_else(|| {
            Refusal::invalid("INVALID_BLOCK_TOKEN", format!("the token is not that of block {index} of {id}"))
        })?;
        let block = self.snapshots().read(id, index, version)?;
        let digest = STANDARD.encode(Sha256::digest(&block));
        let mut response = Response::new(full(block));
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("x-amz-data-length", "524288"),
            ("x-amz-checksum", digest.as_str()),
            ("x-amz-checksum-algorithm", "SHA256"),
        ] {
            let value = HeaderValue::from_str(value).map_err(|error| Refusal::internal(error.to_string()))?;
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn paged(mut answer: Value, gib: u64, next: Option<u32>) -> Value {
    answer["VolumeSize"] = gib.into();
    answer["BlockSize"] = BLOCK.into();
    // Tokens of AWS are good for a week.
    answer["ExpiryTime"] = (time::OffsetDateTime::now_utc() + time::Duration::WEEK).unix_timestamp().into();
    if let Some(next) = next {
        answer["NextToken"] = STANDARD.encode(next.to_string()).into();
    }
    answer
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

fn missing(what: &str) -> Refusal {
    Refusal::invalid("INVALID_PARAMETER_VALUE", format!("{what} is missing or not valid"))
}

/// The checksum that a call carries.
fn checksum(parts: &Parts) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = header(parts, "x-amz-checksum") else { return Ok(None) };
    if header(parts, "x-amz-checksum-algorithm") != Some("SHA256") {
        return Err(missing("x-amz-Checksum-Algorithm"));
    }
    STANDARD.decode(text).map(Some).map_err(|_| missing("x-amz-Checksum"))
}

fn block_index(text: &str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| Refusal::invalid("INVALID_BLOCK", format!("{text} is no index of a block")))
}

fn first_block(query: &BTreeMap<String, String>) -> Result<u32, Refusal> {
    if let Some(token) = query.get("pageToken") {
        let text = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let next = text.and_then(|text| text.parse().ok());
        return next.ok_or_else(|| Refusal::invalid("INVALID_PAGE_TOKEN", "the page token is not one of ours"));
    }
    query.get("startingBlockIndex").map_or(Ok(0), |index| block_index(index))
}

fn page_size(query: &BTreeMap<String, String>) -> usize {
    query.get("maxResults").and_then(|text| text.parse().ok()).unwrap_or(PAGE).clamp(100, PAGE)
}

/// Opaque to callers, as with AWS.
fn token(index: u32, version: u64) -> String {
    STANDARD.encode(format!("{index}.{version}"))
}

fn version(index: u32, token: &str) -> Option<u64> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    let (of, version) = text.split_once('.')?;
    (of.parse() == Ok(index)).then(|| version.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_block_only() {
        assert_eq!(version(7, &token(7, 42)), Some(42));
        assert_eq!(version(8, &token(7, 42)), None);
        assert_eq!(version(7, "guess"), None);
    }

    #[test]
    fn pages_go_on_where_the_last_ended() {
        let next = paged(json!({}), 1, Some(512));
        let query = BTreeMap::from([("pageToken".to_owned(), next["NextToken"].as_str().unwrap().to_owned())]);
        assert_eq!(first_block(&query), Ok(512));
        let forged = BTreeMap::from([("pageToken".to_owned(), "x".to_owned())]);
        assert_eq!(first_block(&forged).unwrap_err().reason(), "INVALID_PAGE_TOKEN");
        assert_eq!(page_size(&BTreeMap::new()), PAGE);
    }
}
