//! The emulator behind the front: sends calls on to it, of those who are trusted in the owner's name.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::addressing;
use crate::clients::Keys;
use crate::resign::{self, Scope};
use crate::server::{Body, full};

/// From the end of a request to the head of its answer; RunInstances of a whole group takes a second or two.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// The emulator listens on the loopback.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// What is behind the front.
pub struct Emulator {
    /// Where it listens.
    pub address: SocketAddr,
    /// The account owner's keys.
    pub keys: Keys,
    /// The pretended region.
    pub region: String,
}

/// What kept the front from giving an answer.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Failure {
    /// What the caller is told.
    pub status: StatusCode,
    /// Why, for the caller and the log.
    pub detail: String,
}

impl Failure {
    /// A failure with this status and reason.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

/// What the emulator has refused to the local cloud itself.
impl From<futuswarm_aws::Error> for Failure {
    fn from(error: futuswarm_aws::Error) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error.to_string())
    }
}

/// The way to the emulator.
pub struct Upstream {
    emulator: Emulator,
    client: Client<HttpConnector, Body>,
}

impl Upstream {
    /// The way to this emulator; connections are kept.
    pub fn new(emulator: Emulator) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_DEADLINE));
        connector.set_nodelay(true);
        Self { emulator, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// The pretended region.
    pub fn region(&self) -> &str {
        &self.emulator.region
    }

    /// Sends a call on to the emulator; of those who are trusted, in the owner's name.
    ///
    /// # Errors
    /// When it cannot be signed, or the emulator does not answer.
    pub async fn send(
        &self,
        mut parts: Parts,
        scope: &Scope,
        body: Body,
        trusted: bool,
    ) -> Result<Response<Body>, Failure> {
        if trusted {
            // The emulator would look for a bucket in the name of the host; whoever decided has looked in the path.
            let host = self.emulator.address.to_string();
            let host = HeaderValue::from_str(&host)
                .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{host}: {error}")))?;
            parts.headers.insert(HOST, host);
            resign::resign(&mut parts, scope, &self.emulator.keys).map_err(|error| {
                Failure::new(StatusCode::BAD_REQUEST, format!("the request cannot be signed again: {error}"))
            })?;
        } else if let Some(addressing::Signed(uri)) = parts.extensions.remove() {
            // Who signed it is for the emulator to say, which finds the bucket in the name of the host by itself.
            parts.uri = uri;
        }
        parts.uri = self.target(&parts.uri)?;
        self.forward(Request::from_parts(parts, body)).await
    }

    /// [`Self::send`] for a call whose body and answer are small.
    ///
    /// # Errors
    /// As [`Self::send`], and when the answer breaks off.
    pub async fn pass_on(
        &self,
        mut parts: Parts,
        scope: &Scope,
        body: Bytes,
        trusted: bool,
    ) -> Result<(response::Parts, Bytes), Failure> {
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        collected(self.send(parts, scope, full(body), trusted).await?).await
    }

    fn target(&self, uri: &Uri) -> Result<Uri, Failure> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        format!("http://{}{path}", self.emulator.address)
            .parse()
            .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("the request's path is not valid: {error}")))
    }

    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        match tokio::time::timeout(ANSWER_DEADLINE, self.client.request(request)).await {
            Ok(Ok(answer)) => {
                let (mut parts, body) = answer.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                Ok(Response::from_parts(parts, body.map_err(Into::into).boxed()))
            }
            Ok(Err(error)) => {
                Err(Failure::new(StatusCode::BAD_GATEWAY, format!("the AWS emulator does not answer: {error}")))
            }
            Err(_) => {
                let detail = format!("the AWS emulator gave no answer within {} s", ANSWER_DEADLINE.as_secs());
                Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, detail))
            }
        }
    }
}

/// A whole answer of the emulator.
///
/// # Errors
/// When it breaks off.
pub async fn collected(answer: Response<Body>) -> Result<(response::Parts, Bytes), Failure> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| {
        Failure::new(StatusCode::BAD_GATEWAY, format!("the AWS emulator's answer broke off: {error}"))
    })?;
    Ok((head, body.to_bytes()))
}

/// Removes the headers that belong to one connection (RFC 9110, 7.6.1). hyper answers `Expect: 100-continue` itself.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, EXPECT, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}
