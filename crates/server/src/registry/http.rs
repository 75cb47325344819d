//! The registry's HTTP API (OCI distribution specification 1.1), as Debian's docker-registry 2.8 answers it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Digest, Error, LONGEST_MANIFEST, Manifest, Registry, Upload};

/// A call without a blob in it.
const DEADLINE: Duration = Duration::from_secs(30);
/// A piece of a blob: the registry sends it to S3 before it answers.
const APPEND_DEADLINE: Duration = Duration::from_secs(120);
/// The registry's S3 driver copies a blob to its place at the end: so long for the largest.
const FINISH_DEADLINE: Duration = Duration::from_secs(600);
/// What a refusal says is shown up to here, in characters.
const LONGEST_REASON: usize = 300;
/// Media types of manifests that are asked for: the registry would turn others into something else.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";

type Body = Full<Bytes>;

/// A registry behind HTTP on loopback.
#[derive(Debug, Clone)]
pub struct HttpRegistry {
    base: String,
    client: Client<HttpConnector, Body>,
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpRegistry {
    /// The registry at `base`, as in `http://127.0.0.1:5000`; nothing is sent yet.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build_http();
        Self { base: base.trim_end_matches('/').to_owned(), client }
    }

    async fn call(
        &self,
        operation: &'static str,
        request: Request<Body>,
        deadline: Duration,
    ) -> Result<Response, Error> {
        let unreachable = |reason: String| Error::Unreachable { operation, reason };
        let call = async {
            let answer = self.client.request(request).await.map_err(|error| unreachable(chain(&error)))?;
            let (head, body): (_, Incoming) = answer.into_parts();
            let body = Limited::new(body, LONGEST_MANIFEST).collect().await;
            let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
            Ok(Response { status: head.status, headers: head.headers, body })
        };
        let late = || unreachable(format!("not within {} s", deadline.as_secs()));
        tokio::time::timeout(deadline, call).await.map_err(|_| late())?
    }

    fn request(&self, operation: &'static str, method: Method, path: &str, body: Body) -> Result<Request<Body>, Error> {
        let unusable = |_| Error::Incomplete { operation, what: "a usable address" };
        Request::builder().method(method).uri(format!("{}{path}", self.base)).body(body).map_err(unusable)
    }

    async fn get(&self, operation: &'static str, path: &str) -> Result<Option<Response>, Error> {
        let mut request = self.request(operation, Method::GET, path, empty())?;
        request.headers_mut().insert("accept", http::HeaderValue::from_static(MANIFESTS));
        let response = self.call(operation, request, DEADLINE).await?;
        match response.status {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(operation, &response)),
        }
    }
}

impl Registry for HttpRegistry {
    async fn blob_length(&self, app: &str, digest: &Digest) -> Result<Option<u64>, Error> {
        let operation = "HEAD blob";
        let request = self.request(operation, Method::HEAD, &format!("/v2/{app}/blobs/{digest}"), empty())?;
        let response = self.call(operation, request, DEADLINE).await?;
        match response.status {
            StatusCode::OK => {
                let length = response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
                let length = length.and_then(|length| length.parse::<u64>().ok());
                length.map(Some).ok_or(Error::Incomplete { operation, what: "a length" })
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn begin(&self, app: &str) -> Result<Upload, Error> {
        let operation = "POST upload";
        let request = self.request(operation, Method::POST, &format!("/v2/{app}/blobs/uploads/"), empty())?;
        let response = self.call(operation, request, DEADLINE).await?;
        match response.status {
            StatusCode::ACCEPTED => upload(operation, &response, 0),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn resume(&self, upload: &Upload) -> Result<Option<Upload>, Error> {
        let operation = "GET upload";
        let request = self.request(operation, Method::GET, &upload.location, empty())?;
        let response = self.call(operation, request, DEADLINE).await?;
        match response.status {
            StatusCode::NO_CONTENT => self::upload(operation, &response, received(&response)).map(Some),
            // Forgotten, begun with another registry, or its bytes are not as many as the place says: a piece has come whose answer has not,
            // or a piece was confirmed and has not come.
            status if status.is_client_error() => Ok(None),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn append(&self, upload: &Upload, piece: Bytes) -> Result<Upload, Error> {
        let operation = "PATCH upload";
        let length = piece.len() as u64;
        let mut request = self.request(operation, Method::PATCH, &upload.location, full(piece))?;
        let headers = request.headers_mut();
        let range = format!("{}-{}", upload.offset, (upload.offset + length).saturating_sub(1));
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, http::HeaderValue::from(length));
        if let Ok(range) = range.parse() {
            headers.insert(CONTENT_RANGE, range);
        }
        let response = self.call(operation, request, APPEND_DEADLINE).await?;
        match response.status {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => self::upload(operation, &response, upload.offset + length),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn finish(&self, upload: &Upload, digest: &Digest) -> Result<(), Error> {
        let operation = "PUT upload";
        let separator = if upload.location.contains('?') { '&' } else { '?' };
        let path = format!("{}{separator}digest={digest}", upload.location);
        let request = self.request(operation, Method::PUT, &path, empty())?;
        let response = self.call(operation, request, FINISH_DEADLINE).await?;
        match response.status {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn put_manifest(&self, app: &str, reference: &str, media_type: &str, body: Bytes) -> Result<Digest, Error> {
        let operation = "PUT manifest";
        let unusable = |_| Error::Incomplete { operation, what: "a usable media type" };
        let path = format!("/v2/{app}/manifests/{reference}");
        let mut request = self.request(operation, Method::PUT, &path, full(body))?;
        request.headers_mut().insert(CONTENT_TYPE, media_type.parse().map_err(unusable)?);
        let response = self.call(operation, request, DEADLINE).await?;
        match response.status {
            StatusCode::CREATED | StatusCode::OK => digest(operation, &response),
            _ => Err(refused(operation, &response)),
        }
    }

    async fn manifest(&self, app: &str, reference: &str) -> Result<Option<Manifest>, Error> {
        let operation = "GET manifest";
        let Some(response) = self.get(operation, &format!("/v2/{app}/manifests/{reference}")).await? else {
            return Ok(None);
        };
        let media_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.ok_or(Error::Incomplete { operation, what: "a media type" })?.to_owned();
        Ok(Some(Manifest { digest: digest(operation, &response)?, media_type, body: response.body }))
    }

    async fn blob(&self, app: &str, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let response = self.get("GET blob", &format!("/v2/{app}/blobs/{digest}")).await?;
        Ok(response.map(|response| response.body))
    }

    async fn tags(&self, app: &str) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let operation = "GET tags";
        let Some(response) = self.get(operation, &format!("/v2/{app}/tags/list")).await? else {
            return Ok(Vec::new());
        };
        let tags: Tags =
            serde_json::from_slice(&response.body).map_err(|_| Error::Incomplete { operation, what: "a list" })?;
        Ok(tags.tags.unwrap_or_default())
    }
}

fn empty() -> Body {
    full(Bytes::new())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
}

/// Where the registry wants the rest. It may say a path or a whole address; only the path counts.
fn upload(operation: &'static str, response: &Response, offset: u64) -> Result<Upload, Error> {
    let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
    let path = location.as_ref().and_then(Uri::path_and_query);
    let path = path.ok_or(Error::Incomplete { operation, what: "a place for the rest" })?;
    Ok(Upload { location: path.as_str().to_owned(), offset })
}

/// How many bytes an upload has, from `Range: 0-N`, where N is the last of them; an upload without any says `0-0`, too.
fn received(response: &Response) -> u64 {
    let range = response.headers.get(RANGE).and_then(|value| value.to_str().ok());
    let last = range.and_then(|range| range.split_once('-')?.1.parse::<u64>().ok());
    last.filter(|last| *last > 0).map_or(0, |last| last + 1)
}

fn digest(operation: &'static str, response: &Response) -> Result<Digest, Error> {
    let digest = response.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
    digest.and_then(Digest::parse).ok_or(Error::Incomplete { operation, what: "a digest" })
}

fn refused(operation: &'static str, response: &Response) -> Error {
    let reason: String = String::from_utf8_lossy(&response.body).trim().chars().take(LONGEST_REASON).collect();
    Error::Refused { operation, status: response.status.as_u16(), reason }
}

/// An error with what caused it: hyper's own says only at which stage it was.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
