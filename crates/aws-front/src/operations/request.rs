//! One call on its way through the operations, and the answers that they give.

use bytes::Bytes;
use futuswarm_iam::Context;
use futuswarm_local_api::faults::Caller;
use http::request::Parts;
use http::{Response, StatusCode, response};

use crate::call::Call;
use crate::error_body::{self, REQUEST_ID};
use crate::guard::Guard;
use crate::resign::Scope;
use crate::server::{Body, full};
use crate::service::Service;
use crate::upstream::{Failure, Upstream};
use crate::xml::{self, Element, in_namespace, leaf, node, write};

/// An answer, or what kept the front from giving one.
pub type Outcome<T> = Result<T, Failure>;

/// What AWS says to a call that it does not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For example `InvalidAMIName.Duplicate`.
    pub code: &'static str,
    /// What the service says beside the code.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// One call with everything that is needed to pass it on, as it came or changed.
pub struct OperationRequest<'a> {
    /// The operation that it names, and its fields.
    pub call: &'a Call,
    /// Who asks.
    pub caller: Caller,
    /// What it is signed for.
    pub scope: &'a Scope,
    /// Method, URI and headers, as they were signed.
    pub parts: &'a Parts,
    /// The body, as it was signed.
    pub body: &'a Bytes,
    /// Where it goes on to.
    pub upstream: &'a Upstream,
    /// Who decides whether a node may make it.
    pub guard: &'a Guard,
    /// Whether it goes on in the owner's name, so that its body may be changed.
    pub trusted: bool,
}

impl OperationRequest<'_> {
    /// The emulator's answer to the call with this body. A body that the caller did not sign is only passed on for those who
    /// are trusted.
    pub async fn forward(&self, body: impl Into<Bytes>) -> Outcome<(response::Parts, Bytes)> {
        self.upstream.pass_on(self.parts.clone(), self.scope, body.into(), self.trusted).await
    }

    /// The emulator's answer to a question at this path, in the owner's name.
    pub async fn ask(&self, path: &str) -> Outcome<(response::Parts, Bytes)> {
        let mut parts = self.parts.clone();
        parts.method = http::Method::GET;
        parts.uri = path.parse().map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("{path}: {error}")))?;
        self.upstream.pass_on(parts, self.scope, Bytes::new(), true).await
    }

    /// The emulator's answer to the call as it came.
    pub async fn forward_unchanged(&self) -> Outcome<(response::Parts, Bytes)> {
        self.forward(self.body.clone()).await
    }

    /// The emulator's answer to the call as it came, in the owner's name: for who was allowed here what the emulator cannot decide on.
    pub async fn forward_as_owner(&self) -> Outcome<(response::Parts, Bytes)> {
        self.upstream.pass_on(self.parts.clone(), self.scope, self.body.clone(), true).await
    }

    /// The emulator's answer to the call as it came, with a change if it is a success.
    pub async fn completed(&self, change: impl FnOnce(&mut Element)) -> Outcome<Response<Body>> {
        let (head, body) = self.forward_unchanged().await?;
        let body = if head.status.is_success() { xml::change(body, change) } else { body };
        Ok(whole(head, body))
    }

    /// A refusal of the call in the words of its service.
    pub fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        error_body::error(&self.call.service, StatusCode::BAD_REQUEST, refusal.code, &refusal.message, REQUEST_ID)
    }

    /// Whether a node may make this call, which the emulator does not know, on a resource.
    ///
    /// # Errors
    /// With the refusal.
    pub async fn authorise(&self, resource: &str) -> Result<(), Response<Body>> {
        self.authorise_in(resource, Context::default()).await
    }

    /// [`Self::authorise`] with what is known of the resource.
    ///
    /// # Errors
    /// With the refusal.
    pub async fn authorise_in(&self, resource: &str, known: Context) -> Result<(), Response<Body>> {
        let action = format!("{}:{}", self.call.service.name(), self.call.action);
        let permitted = self.guard.permits(self.parts, &action, resource, known).await;
        permitted.map_err(|denied| denied.answer(&self.call.service, &self.parts.method))
    }
}

/// The answer of the query protocol to an operation whose result has these elements.
pub fn result(action: &str, service: &Service, result: impl IntoIterator<Item = Element>) -> Response<Body> {
    let metadata = node("ResponseMetadata", [leaf("RequestId", REQUEST_ID)]);
    let answer = node(&format!("{action}Response"), [node(&format!("{action}Result"), result), metadata]);
    document(&in_namespace(answer, &format!("http://{}.amazonaws.com/doc/2011-01-01/", service.name())))
}

/// An answer that is an XML document.
pub fn document(root: &Element) -> Response<Body> {
    let mut response = Response::new(full(write(root)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/xml"));
    response
}

/// An answer from a head and a body whose length may have changed.
pub fn whole(mut head: response::Parts, body: impl Into<Bytes>) -> Response<Body> {
    head.headers.remove("content-length");
    Response::from_parts(head, full(body))
}
