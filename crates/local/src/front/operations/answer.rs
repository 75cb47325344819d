//! Calls that are answered here instead of being passed on as they came: each family is one file beside this one.

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, response};

use super::super::{Body, Caller, Front, full, resign};
use super::{Call, Operations};

/// An answer, or what kept the front from giving one.
pub type Outcome<T> = Result<T, (StatusCode, String)>;

/// One call with everything that is needed to pass it on, as it came or changed.
pub struct Asked<'a> {
    /// The call.
    pub call: &'a Call,
    /// Who asks.
    pub caller: Caller,
    /// What it is signed for.
    pub scope: &'a resign::Scope,
    /// Its head.
    pub parts: &'a Parts,
    /// Its body.
    pub body: &'a Bytes,
    pub(in crate::front) front: &'a Front,
    /// Whether it goes on in the owner's name, so that its body may be changed.
    pub trusted: bool,
}

impl Asked<'_> {
    /// The emulator's answer to the call with this body. A body that the caller did not sign is only passed on for those who
    /// are trusted.
    pub async fn forward(&self, body: impl Into<Bytes>) -> Outcome<(response::Parts, Bytes)> {
        self.front.pass_on(self.parts.clone(), self.scope, body.into(), self.trusted).await
    }

    /// The emulator's answer to the call as it came.
    pub async fn forward_unchanged(&self) -> Outcome<(response::Parts, Bytes)> {
        self.forward(self.body.clone()).await
    }
}

/// An answer from a head and a body whose length may have changed.
pub fn whole(mut head: response::Parts, body: impl Into<Bytes>) -> Response<Body> {
    head.headers.remove("content-length");
    Response::from_parts(head, full(body))
}

/// What the emulator has refused to the local cloud itself.
pub fn failed(error: futuswarm_aws::Error) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, error.to_string())
}

/// A refusal of the query protocol, in the words of its service.
pub fn refused(code: &str, message: &str) -> Response<Body> {
    let escaped = message.replace('&', "&amp;").replace('<', "&lt;");
    let xml = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escaped}</Message></Error>\
         <RequestId>local-cloud</RequestId></ErrorResponse>\n"
    );
    let mut response = Response::new(full(xml));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/xml"));
    response
}

impl Operations {
    /// The answer to a call that is not simply passed on.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &Asked<'_>) -> Outcome<Option<Response<Body>>> {
        match asked.call.service.as_str() {
            "ec2" => match self.images.answer(asked).await? {
                Some(answer) => Ok(Some(answer)),
                None => self.zones.answer(asked).await,
            },
            "autoscaling" => self.zones.answer(asked).await,
            "acm" => self.certificates.answer(asked).await,
            "rds" => self.databases.answer(asked).await,
            "secretsmanager" => self.databases.secret(asked).await,
            "elasticloadbalancing" => match self.certificates.answer(asked).await? {
                Some(answer) => Ok(Some(answer)),
                None => self.classic.answer(asked).await,
            },
            _ => Ok(None),
        }
    }
}
