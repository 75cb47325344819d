//! The API endpoint: one server in front of the AWS emulator.
//!
//! It forwards everything with streaming bodies, answers what the emulator lacks (`operations`), and tells the rest of the
//! daemon when something was changed. On the host's loopback the caller owns the account, so requests are signed again with
//! the owner's keys (`resign`); inside the network namespace they pass untouched, so that IAM decides.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futuswarm_local_api::faults::{ApiFault, Caller};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{Notify, RwLock};

use crate::call::Call;
use crate::ebs::{self, Ebs};
use crate::error_body::{self, REQUEST_ID};
use crate::faults::{self, FaultSubject, Injected};
use crate::form::Form;
use crate::guard::{self, Guard, Verdict};
use crate::operations::Operations;
use crate::operations::request::{OperationRequest, whole};
use crate::record::{self, Recorder};
use crate::resign::Scope;
use crate::server::{Body, full};
use crate::service::Service;
use crate::upstream::{Failure, Upstream, collected, strip_hop_by_hop};
use crate::{addressing, classify};

/// A query-protocol request that is larger is not one.
const QUERY_LIMIT: usize = 4 << 20;

/// The body of a request, as far as it is read before anybody decides.
enum RequestBody {
    /// All of it, and the operation that it names.
    Whole(Bytes, Option<Call>),
    /// A body as long as it likes.
    Stream(Body),
}

impl RequestBody {
    fn action(&self) -> Option<&str> {
        match self {
            Self::Whole(_, call) => call.as_ref().map(|call| call.action.as_str()),
            Self::Stream(_) => None,
        }
    }

    fn form(&self) -> Option<&Form> {
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

/// The parts that all connections share.
pub struct Front {
    upstream: Upstream,
    operations: Operations,
    ebs: Ebs,
    changed: Arc<Notify>,
    guard: Guard,
    faults: Arc<Injected>,
    recorder: Arc<Recorder>,
    /// Held by whoever writes to S3; alone by those who write on a condition, because the emulator looks and writes in two steps.
    writes: RwLock<()>,
}

impl Front {
    /// A front for what is at the end of `upstream`; `changed` is notified after each call that may have changed something.
    pub fn new(
        upstream: Upstream,
        operations: Operations,
        ebs: Ebs,
        changed: Arc<Notify>,
        guard: Guard,
        faults: Arc<Injected>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self { upstream, operations, ebs, changed, guard, faults, recorder, writes: RwLock::default() }
    }

    /// The answer to a call; none where the connection is to end instead.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request<Incoming>, caller: Caller) -> Option<Response<Body>> {
        let started = std::time::Instant::now();
        let line = format!("{} {}", request.method(), request.uri().path());
        let answer = self.route(request, caller).await.unwrap_or_else(|Failure { status, detail }| {
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
    ) -> Result<Option<Response<Body>>, Failure> {
        refuse_switches(request.uri())?;
        let scope = Scope::of(&request);
        let (mut parts, body) = request.into_parts();
        let body: Body = body.map_err(Into::into).boxed();
        strip_hop_by_hop(&mut parts.headers);
        if caller == Caller::Node && scope.is_none() {
            let detail = "the request is not signed; nodes sign with the credentials of their instance role".to_owned();
            return Err(Failure::new(StatusCode::FORBIDDEN, detail));
        }
        let scope = scope.unwrap_or_else(|| Scope { region: self.upstream.region().to_owned(), service: Service::S3 });
        if scope.service == Service::S3 {
            addressing::by_path(&mut parts).map_err(|reason| Failure::new(StatusCode::BAD_REQUEST, reason))?;
            // A bucket may be called like the switches.
            refuse_switches(&parts.uri)?;
        }
        let body = self.read_ahead(&parts, body, caller, &scope).await?;
        let verdict = self.verdict(&scope, &body, &parts, caller);
        // A sleep of nothing still waits for the next tick of the timer.
        if !verdict.late.is_zero() {
            tokio::time::sleep(verdict.late).await;
        }
        if let Some(fault) = verdict.fault.as_ref().filter(|fault| faults::replaces_the_call(fault)) {
            self.faults.done(&verdict);
            return Ok(Some(faults::answer::instead(fault, &scope.service, &parts.method, body.form())));
        }
        let (lost, cut) = (verdict.fault == Some(ApiFault::Lost), verdict.fault == Some(ApiFault::Cut));
        // A task of its own: what has arrived is done to its end, also when whoever asked is killed meanwhile.
        let front = Arc::clone(self);
        let called = tokio::spawn(async move {
            let answer = front.call(parts, body, caller, scope).await;
            front.faults.done(&verdict);
            answer
        });
        let answer =
            called.await.map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        if lost {
            tokio::time::sleep(faults::LOST).await;
        }
        if cut { Ok(None) } else { answer.map(Some) }
    }

    /// What the faults in force do to a call.
    fn verdict(&self, scope: &Scope, body: &RequestBody, parts: &Parts, caller: Caller) -> faults::Verdict {
        // What completes an answer is no call of anybody: a fault that it met would be one too many.
        if caller == Caller::Daemon {
            return faults::Verdict::default();
        }
        let (service, region) = (scope.service.name(), scope.region.as_str());
        let named_by_path = faults::operation::of(&scope.service, parts);
        let action = body.action().or(named_by_path.as_deref());
        let (path, headers) = (parts.uri.path(), &parts.headers);
        self.faults.next(&FaultSubject { service, region, action, path, caller, headers })
    }

    /// Reads what must be known of a request before it is made, and notes it where requests are recorded.
    async fn read_ahead(
        &self,
        parts: &Parts,
        body: Body,
        caller: Caller,
        scope: &Scope,
    ) -> Result<RequestBody, Failure> {
        let recorded = caller != Caller::Daemon && self.recorder.is_on();
        let request_body = if scope.service.has_small_bodies() {
            let bytes = read(body, QUERY_LIMIT).await?;
            let call = Call::parse(&scope.service, parts, &bytes);
            RequestBody::Whole(bytes, call)
        } else if recorded && record::is_short(&parts.headers) {
            let bytes = read(body, record::BODY_LIMIT).await?;
            self.recorder.note(parts, Some(&bytes), caller, scope);
            return Ok(RequestBody::Stream(full(bytes)));
        } else {
            RequestBody::Stream(body)
        };
        if recorded {
            self.recorder.note(parts, request_body.bytes(), caller, scope);
        }
        Ok(request_body)
    }

    /// Makes a call that no fault has stopped.
    async fn call(
        &self,
        parts: Parts,
        body: RequestBody,
        caller: Caller,
        scope: Scope,
    ) -> Result<Response<Body>, Failure> {
        let mut trusted = caller != Caller::Node;
        if let Err(denied) = self.admit(&parts, body.bytes(), caller, &scope) {
            return Ok(denied.answer(&scope.service, &parts.method));
        }
        let (bytes, call) = match body {
            RequestBody::Stream(body) if scope.service == Service::Ebs => {
                let body = read(body, ebs::LIMIT).await?;
                return Ok(self.ebs.answer(&parts, body, caller, &scope.region).await);
            }
            RequestBody::Stream(body) => return self.stream(parts, body, caller, &scope).await,
            RequestBody::Whole(bytes, call) => (bytes, call),
        };
        if scope.service == Service::Kms && caller == Caller::Node {
            match self.guard.kms(&parts, &bytes).await {
                Ok(verdict) => trusted = verdict == Verdict::Allowed,
                Err(denied) => return Ok(denied.answer(&scope.service, &parts.method)),
            }
        }
        if scope.service == Service::Route53 && caller == Caller::Node {
            match self.guard.route53(&parts, &bytes).await {
                Ok(verdict) => trusted = verdict == Verdict::Allowed,
                Err(denied) => return Ok(denied.answer(&scope.service, &parts.method)),
            }
        }
        let Some(call) = call else {
            return self.upstream.send(parts, &scope, full(bytes), trusted).await;
        };
        if caller == Caller::Daemon {
            return self.upstream.send(parts, &scope, full(bytes), trusted).await;
        }
        // For a moment of each issue of credentials a role trusts another than its owner has said.
        let _trust = match call.service {
            Service::Iam => Some(self.guard.trust().await),
            _ => None,
        };
        let request = OperationRequest {
            call: &call,
            caller,
            scope: &scope,
            parts: &parts,
            body: &bytes,
            upstream: &self.upstream,
            guard: &self.guard,
            trusted,
        };
        let answered = match self.operations.answer(&request).await {
            Ok(None) => request.forward_unchanged().await.map(|(head, answer)| whole(head, answer)),
            Ok(Some(answer)) => Ok(answer),
            Err(failed) => Err(failed),
        };
        if call.may_change() {
            self.changed.notify_one();
        }
        // Aliases are not among what changes the world, but a bucket's key may be named by one.
        if (call.service == Service::Iam && call.may_change()) || call.action.ends_with("Alias") {
            self.guard.invalidate();
        }
        answered
    }

    /// Whether a node's call is one that can be decided on.
    fn admit(&self, parts: &Parts, body: Option<&Bytes>, caller: Caller, scope: &Scope) -> Result<(), guard::Denied> {
        if caller != Caller::Node {
            return Ok(());
        }
        classify::check(parts, scope, body.map(|body| &body[..])).map_err(|reason| {
            tracing::warn!(
                service = scope.service.name(),
                path = parts.uri.path(),
                reason,
                "a node's call is refused unread"
            );
            guard::denied(reason)
        })?;
        self.guard.in_time(parts)
    }

    /// Makes a call whose bodies are as long as they like.
    async fn stream(&self, parts: Parts, body: Body, caller: Caller, scope: &Scope) -> Result<Response<Body>, Failure> {
        let mut trusted = caller != Caller::Node;
        let mut keys = Bytes::new();
        let guarded = scope.service == Service::S3 && caller == Caller::Node;
        let body: Body = if guarded && guard::names_keys_in_body(&parts) {
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
        let completed = Operations::completes_s3(&scope.service, &parts);
        // Anything but a question that names no object may change a bucket's policy or encryption.
        let question = parts.method == http::Method::GET || parts.method == http::Method::HEAD;
        let about_bucket = scope.service == Service::S3 && !parts.uri.path().trim_matches('/').contains('/');
        let writes = scope.service == Service::S3 && !question;
        let on_condition = [IF_MATCH, IF_NONE_MATCH].iter().any(|name| parts.headers.contains_key(name));
        let alone = if writes && on_condition { Some(self.writes.write().await) } else { None };
        let beside = if writes && !on_condition { Some(self.writes.read().await) } else { None };
        let answer = self.upstream.send(parts, scope, body, trusted).await;
        drop((alone, beside));
        if about_bucket && !question {
            self.guard.invalidate();
        }
        let answer = answer?;
        if !completed {
            return Ok(answer);
        }
        let (head, bytes) = collected(answer).await?;
        Ok(self.operations.complete(head, bytes))
    }
}

/// The emulator's own switches (reset, IAM off) are not part of the cloud.
fn refuse_switches(uri: &Uri) -> Result<(), Failure> {
    match classify::is_a_switch(uri.path()) {
        true => Err(Failure::new(StatusCode::NOT_FOUND, "no such path in the local cloud".to_owned())),
        false => Ok(()),
    }
}

/// The whole body of a request that has a limit.
async fn read(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let refused =
        |detail: String| Failure::new(StatusCode::BAD_REQUEST, format!("the request's body did not arrive: {detail}"));
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

/// An error that SDKs of every protocol can show: they all look for a code and a message.
fn failure(status: StatusCode, detail: &str) -> Response<Body> {
    let code = if status == StatusCode::FORBIDDEN { "MissingAuthenticationToken" } else { "LocalCloudFailure" };
    error_body::error(&Service::Ec2, status, code, detail, REQUEST_ID)
}
