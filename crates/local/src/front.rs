//! The API endpoint: one server in front of the AWS emulator.
//!
//! It forwards everything with streaming bodies, answers what the emulator lacks (`operations`), and tells the rest of the
//! daemon when something was changed. On the host's loopback the caller owns the account, so requests are signed anew with
//! the owner's keys (`resign`); inside the network namespace they pass untouched, so that IAM decides.

pub mod addressing;
pub mod ebs;
mod entry;
pub mod faults;
pub mod form;
pub mod iam;
pub mod listener;
pub mod operations;
pub mod record;
mod resign;
mod wording;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT, HeaderName, IF_MATCH, IF_NONE_MATCH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, RwLock};

use crate::aws::Keys;
use ebs::Ebs;
use faults::{ApiFault, Injected};
use iam::{Guard, Verdict};
use operations::answer::Asked;
use operations::{Call, Operations};
use record::Recorder;

/// From the end of a request to the head of its answer; RunInstances of a whole group takes a second or two.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// The emulator listens on the loopback.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A query-protocol request that is larger is not one.
const QUERY_LIMIT: usize = 4 << 20;

/// Any body, in or out.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Who is on the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A program of the operator, on the host's loopback.
    Owner,
    /// A node, inside the network namespace.
    Node,
    /// The local cloud itself, completing an answer: its calls go straight on.
    Daemon,
}

/// What is behind the front.
pub struct Emulator {
    /// Where it listens.
    pub address: SocketAddr,
    /// The account owner's keys.
    pub keys: Keys,
    /// The pretended region.
    pub region: String,
}

/// What has arrived of a request beside its head.
enum Arrived {
    /// All of it, and the operation that it names.
    Whole(Bytes, Option<Call>),
    /// A body as long as it likes.
    Stream(Body),
}

impl Arrived {
    fn action(&self) -> Option<&str> {
        match self {
            Self::Whole(_, call) => call.as_ref().map(|call| call.action.as_str()),
            Self::Stream(_) => None,
        }
    }

    fn form(&self) -> Option<&form::Form> {
        match self {
            Self::Whole(_, call) => call.as_ref().map(|call| &call.form),
            Self::Stream(_) => None,
        }
    }

    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes, _) => Some(bytes),
            Self::Stream(_) => None,
        }
    }
}

/// The server's shared parts.
pub struct Front {
    emulator: Emulator,
    client: Client<HttpConnector, Body>,
    operations: Operations,
    ebs: Ebs,
    changed: Arc<Notify>,
    guard: Guard,
    faults: Arc<Injected>,
    recorder: Arc<Recorder>,
    /// Held by whoever writes to S3; alone by those who write on a condition, because the emulator looks and writes in two steps.
    writes: RwLock<()>,
}

/// A body of bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

impl Front {
    /// A front for `emulator`; `changed` is notified after each call that may have changed something.
    pub fn new(
        emulator: Emulator,
        operations: Operations,
        ebs: Ebs,
        changed: Arc<Notify>,
        guard: Guard,
        faults: Arc<Injected>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_DEADLINE));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { emulator, client, operations, ebs, changed, guard, faults, recorder, writes: RwLock::default() }
    }

    /// The answer to a call; none where the connection is to end instead.
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, caller: Caller) -> Option<Response<Body>> {
        let started = std::time::Instant::now();
        let line = format!("{} {}", request.method(), request.uri().path());
        let answer = self.route(request, caller).await.unwrap_or_else(|(status, detail)| {
            tracing::warn!(request = line, %status, detail, "the API endpoint could not answer");
            Some(failure(status, &detail))
        })?;
        tracing::debug!(request = line, status = %answer.status(), milliseconds = started.elapsed().as_millis(), "API");
        Some(answer)
    }

    async fn route(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: Caller,
    ) -> Result<Option<Response<Body>>, (StatusCode, String)> {
        refuse_switches(request.uri())?;
        let scope = resign::Scope::of(&request);
        let (mut parts, body) = request.into_parts();
        let body: Body = body.map_err(Into::into).boxed();
        strip_hop_by_hop(&mut parts.headers);
        if caller == Caller::Node && scope.is_none() {
            let detail = "the request is not signed; nodes sign with the credentials of their instance role".to_owned();
            return Err((StatusCode::FORBIDDEN, detail));
        }
        let scope =
            scope.unwrap_or_else(|| resign::Scope { region: self.emulator.region.clone(), service: "s3".to_owned() });
        if scope.service == "s3" {
            addressing::by_path(&mut parts).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
            // A bucket may be called like the switches.
            refuse_switches(&parts.uri)?;
        }
        let arrived = self.arrive(&parts, body, caller, &scope).await?;
        let verdict = self.verdict(&scope, &arrived, &parts, caller);
        // A sleep of nothing still waits for the next tick of the timer.
        if !verdict.late.is_zero() {
            tokio::time::sleep(verdict.late).await;
        }
        if let Some(fault) = verdict.fault.as_ref().filter(|fault| fault.replaces_the_call()) {
            self.faults.done(&verdict);
            return Ok(Some(faults::answer::instead(fault, &scope.service, &parts.method, arrived.form())));
        }
        let (lost, cut) = (verdict.fault == Some(ApiFault::Lost), verdict.fault == Some(ApiFault::Cut));
        // A task of its own: what has arrived is done to its end, also when whoever asked is killed meanwhile.
        let front = Arc::clone(self);
        let called = tokio::spawn(async move {
            let answer = front.call(parts, arrived, caller, scope).await;
            front.faults.done(&verdict);
            answer
        });
        let answer = called.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        if lost {
            tokio::time::sleep(faults::LOST).await;
        }
        if cut { Ok(None) } else { answer.map(Some) }
    }

    /// What the faults in force do to a call.
    fn verdict(
        &self,
        scope: &resign::Scope,
        arrived: &Arrived,
        parts: &http::request::Parts,
        caller: Caller,
    ) -> faults::Verdict {
        // What completes an answer is no call of anybody: a fault that it met would be one too many.
        if caller == Caller::Daemon {
            return faults::Verdict::default();
        }
        let (service, region) = (scope.service.as_str(), scope.region.as_str());
        let told = faults::operation::of(service, parts);
        let action = arrived.action().or(told.as_deref());
        let (path, headers) = (parts.uri.path(), &parts.headers);
        self.faults.next(&faults::Asked { service, region, action, path, caller, headers })
    }

    /// Reads what must be known of a request before it is made, and notes it where requests are recorded.
    async fn arrive(
        &self,
        parts: &http::request::Parts,
        body: Body,
        caller: Caller,
        scope: &resign::Scope,
    ) -> Result<Arrived, (StatusCode, String)> {
        let recorded = caller != Caller::Daemon && self.recorder.is_on();
        let arrived = if operations::is_small(&scope.service) {
            let bytes = read(body, QUERY_LIMIT).await?;
            let call = Call::parse(&scope.service, parts, &bytes);
            Arrived::Whole(bytes, call)
        } else if recorded && record::is_short(&parts.headers) {
            let bytes = read(body, record::BODY_LIMIT).await?;
            self.recorder.note(parts, Some(&bytes), caller, scope);
            return Ok(Arrived::Stream(full(bytes)));
        } else {
            Arrived::Stream(body)
        };
        if recorded {
            self.recorder.note(parts, arrived.bytes(), caller, scope);
        }
        Ok(arrived)
    }

    /// Makes a call that no fault has stopped.
    async fn call(
        &self,
        parts: http::request::Parts,
        arrived: Arrived,
        caller: Caller,
        scope: resign::Scope,
    ) -> Result<Response<Body>, (StatusCode, String)> {
        let mut trusted = caller != Caller::Node;
        if let Err(denied) = self.admit(&parts, arrived.bytes(), caller, &scope) {
            return Ok(denied.answer(&scope.service, &parts.method));
        }
        let (bytes, call) = match arrived {
            Arrived::Stream(body) if scope.service == "ebs" => {
                let body = read(body, ebs::LIMIT).await?;
                return Ok(self.ebs.answer(&parts, body, caller, &scope.region).await);
            }
            Arrived::Stream(body) => return self.stream(parts, body, caller, &scope).await,
            Arrived::Whole(bytes, call) => (bytes, call),
        };
        if scope.service == "kms" && caller == Caller::Node {
            match self.guard.kms(&parts, &bytes).await {
                Ok(verdict) => trusted = verdict == Verdict::Allowed,
                Err(denied) => return Ok(denied.answer(&scope.service, &parts.method)),
            }
        }
        let Some(call) = call else {
            return self.send(parts, &scope, full(bytes), trusted).await;
        };
        if caller == Caller::Daemon {
            return self.send(parts, &scope, full(bytes), trusted).await;
        }
        // For a moment of each issue of credentials a role trusts another than its owner has said.
        let _trust = match call.service.as_str() {
            "iam" => Some(self.guard.trust().await),
            _ => None,
        };
        let asked = Asked { call: &call, caller, scope: &scope, parts: &parts, body: &bytes, front: self, trusted };
        let answered = match self.operations.answer(&asked).await {
            Ok(None) => asked.forward_unchanged().await.map(|(head, answer)| operations::answer::whole(head, answer)),
            Ok(Some(answer)) => Ok(answer),
            Err(failed) => Err(failed),
        };
        if call.may_change() {
            self.changed.notify_one();
        }
        // Aliases are not among what changes the world, but a bucket's key may be named by one.
        if (call.service == "iam" && call.may_change()) || call.action.ends_with("Alias") {
            self.guard.forget();
        }
        answered
    }

    /// Whether a node's call is one that can be decided on.
    fn admit(
        &self,
        parts: &http::request::Parts,
        body: Option<&Bytes>,
        caller: Caller,
        scope: &resign::Scope,
    ) -> Result<(), iam::Denied> {
        if caller != Caller::Node {
            return Ok(());
        }
        entry::check(parts, scope, body.map(|body| &body[..])).map_err(|reason| {
            tracing::warn!(service = scope.service, path = parts.uri.path(), reason, "a node's call is refused unread");
            iam::denied(reason)
        })?;
        self.guard.in_time(parts)
    }

    /// Makes a call whose bodies are as long as they like.
    async fn stream(
        &self,
        parts: http::request::Parts,
        body: Body,
        caller: Caller,
        scope: &resign::Scope,
    ) -> Result<Response<Body>, (StatusCode, String)> {
        let mut trusted = caller != Caller::Node;
        let mut keys = Bytes::new();
        let guarded = scope.service == "s3" && caller == Caller::Node;
        let body: Body = if guarded && iam::names_keys_in_body(&parts) {
            keys = read(body, QUERY_LIMIT).await?;
            full(keys.clone())
        } else {
            body
        };
        if guarded {
            match self.guard.s3(&parts, &keys).await {
                Ok(verdict) => trusted = verdict == Verdict::Allowed,
                Err(denied) => return Ok(denied.answer(&scope.service, &parts.method)),
            }
        }
        let call = Some(&parts).filter(|_| scope.service == "s3").and_then(Call::about_bucket);
        // Anything but a question that names no object may change a bucket's policy or encryption.
        let question = parts.method == http::Method::GET || parts.method == http::Method::HEAD;
        let about_bucket = scope.service == "s3" && !parts.uri.path().trim_matches('/').contains('/');
        let writes = scope.service == "s3" && !question;
        let on_condition = [IF_MATCH, IF_NONE_MATCH].iter().any(|name| parts.headers.contains_key(name));
        let alone = if writes && on_condition { Some(self.writes.write().await) } else { None };
        let beside = if writes && !on_condition { Some(self.writes.read().await) } else { None };
        let answer = self.send(parts, scope, body, trusted).await;
        drop((alone, beside));
        if about_bucket && !question {
            self.guard.forget();
        }
        let answer = answer?;
        match call {
            Some(_) => {
                let (head, bytes) = collected(answer).await?;
                Ok(self.operations.complete(head, &bytes))
            }
            None => Ok(answer),
        }
    }

    /// Sends a call on to the emulator; of those who are trusted, in the owner's name.
    async fn send(
        &self,
        mut parts: http::request::Parts,
        scope: &resign::Scope,
        body: Body,
        trusted: bool,
    ) -> Result<Response<Body>, (StatusCode, String)> {
        if trusted {
            // The emulator would look for a bucket in the name of the host; whoever decided has looked in the path.
            let host = self.emulator.address.to_string();
            let host = http::HeaderValue::from_str(&host)
                .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{host}: {error}")))?;
            parts.headers.insert(http::header::HOST, host);
            resign::resign(&mut parts, scope, &self.emulator.keys)
                .map_err(|error| (StatusCode::BAD_REQUEST, format!("the request cannot be signed anew: {error}")))?;
        } else if let Some(addressing::Signed(uri)) = parts.extensions.remove() {
            // Who signed it is for the emulator to say, which finds the bucket in the name of the host by itself.
            parts.uri = uri;
        }
        parts.uri = self.target(&parts.uri)?;
        self.forward(Request::from_parts(parts, body)).await
    }

    /// [`Self::send`] for a call whose body and answer are small.
    async fn pass_on(
        &self,
        mut parts: http::request::Parts,
        scope: &resign::Scope,
        body: Bytes,
        trusted: bool,
    ) -> Result<(http::response::Parts, Bytes), (StatusCode, String)> {
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(body.len()));
        collected(self.send(parts, scope, full(body), trusted).await?).await
    }

    fn target(&self, uri: &Uri) -> Result<Uri, (StatusCode, String)> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        format!("http://{}{path}", self.emulator.address)
            .parse()
            .map_err(|error| (StatusCode::BAD_REQUEST, format!("the request's path is not valid: {error}")))
    }

    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, (StatusCode, String)> {
        match tokio::time::timeout(ANSWER_DEADLINE, self.client.request(request)).await {
            Ok(Ok(answer)) => {
                let (mut parts, body) = answer.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                Ok(Response::from_parts(parts, body.map_err(Into::into).boxed()))
            }
            Ok(Err(error)) => Err((StatusCode::BAD_GATEWAY, format!("the AWS emulator does not answer: {error}"))),
            Err(_) => {
                let detail = format!("the AWS emulator gave no answer within {} s", ANSWER_DEADLINE.as_secs());
                Err((StatusCode::GATEWAY_TIMEOUT, detail))
            }
        }
    }
}

/// Ends a connection without an answer.
fn cut_off() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted)
}

/// The emulator's own switches (reset, IAM off) are not part of the cloud.
fn refuse_switches(uri: &Uri) -> Result<(), (StatusCode, String)> {
    match entry::is_a_switch(uri.path()) {
        true => Err((StatusCode::NOT_FOUND, "no such path in the local cloud".to_owned())),
        false => Ok(()),
    }
}

/// A whole answer of the emulator.
async fn collected(answer: Response<Body>) -> Result<(http::response::Parts, Bytes), (StatusCode, String)> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await;
    let body =
        body.map_err(|error| (StatusCode::BAD_GATEWAY, format!("the AWS emulator's answer broke off: {error}")))?;
    Ok((head, body.to_bytes()))
}

/// The whole body of a request that has a limit.
async fn read(mut body: Body, limit: usize) -> Result<Bytes, (StatusCode, String)> {
    let refused = |detail: String| (StatusCode::BAD_REQUEST, format!("the request's body did not arrive: {detail}"));
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| refused(error.to_string()))?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(refused(format!("it is longer than {limit} bytes")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Headers that belong to one connection (RFC 9110, 7.6.1). hyper answers `Expect: 100-continue` itself.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, EXPECT, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}

/// An error that SDKs of every protocol can show: they all look for a code and a message.
fn failure(status: StatusCode, detail: &str) -> Response<Body> {
    let escaped = detail.replace('&', "&amp;").replace('<', "&lt;");
    let code = if status == StatusCode::FORBIDDEN { "MissingAuthenticationToken" } else { "LocalCloudFailure" };
    let xml = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{escaped}</Message></Error></Errors></Response>\n"
    );
    let mut response = Response::new(full(xml));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/xml"));
    response
}
