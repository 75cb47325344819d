//! Calls that are answered here instead of being passed on as they came: each family is one file beside this one.

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, response};

use super::super::{Body, Caller, Front, full, resign};
use super::{Call, Operations, balancer_again, balancer_tags, records};

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

    /// The emulator's answer to a question at this path, in the owner's name.
    pub async fn ask(&self, path: &str) -> Outcome<(response::Parts, Bytes)> {
        let mut parts = self.parts.clone();
        parts.method = http::Method::GET;
        parts.uri = path.parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{path}: {error}")))?;
        self.front.pass_on(parts, self.scope, Bytes::new(), true).await
    }

    /// The emulator's answer to the call as it came.
    pub async fn forward_unchanged(&self) -> Outcome<(response::Parts, Bytes)> {
        self.forward(self.body.clone()).await
    }
}

impl Asked<'_> {
    /// Whether a node may make this call, which the emulator does not know, on a resource.
    ///
    /// # Errors
    /// With the refusal.
    pub async fn authorise(&self, resource: &str) -> Result<(), Response<Body>> {
        let action = format!("{}:{}", self.call.service, self.call.action);
        let permitted = self.front.guard.permits(self.parts, &action, resource).await;
        permitted.map_err(|denied| denied.answer(&self.call.service, &self.parts.method))
    }
}

/// The answer of the query protocol to an operation that has nothing to say.
pub fn ok(action: &str, service: &str) -> Response<Body> {
    result(action, service, "")
}

/// The answer of the query protocol to an operation whose result is this.
pub fn result(action: &str, service: &str, result: &str) -> Response<Body> {
    let xml = format!(
        "<{action}Response xmlns=\"http://{service}.amazonaws.com/doc/2011-01-01/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>local-cloud</RequestId></ResponseMetadata></{action}Response>\n"
    );
    let mut response = Response::new(full(xml));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/xml"));
    response
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
            "ec2" => self.ec2(asked).await,
            "servicequotas" => self.quotas.answer(asked),
            "autoscaling" => match self.zones.lifecycle.answer(asked).await? {
                Some(answer) => Ok(Some(answer)),
                None => self.zones.answer(asked).await,
            },
            "acm" => self.certificates.answer(asked).await,
            "route53" => Self::records(asked).await,
            "rds" => self.databases.answer(asked).await,
            "secretsmanager" => self.databases.secret(asked).await,
            "elasticloadbalancing" => self.balancing(asked).await,
            _ => Ok(None),
        }
    }

    async fn balancing(&self, asked: &Asked<'_>) -> Outcome<Option<Response<Body>>> {
        if let Some(refusal) = balancer_tags::refusal(asked.call) {
            return Ok(Some(refusal));
        }
        if let Some(answer) = balancer_again::answer(asked).await? {
            return Ok(Some(answer));
        }
        match self.certificates.answer(asked).await? {
            Some(answer) => Ok(Some(answer)),
            None => self.classic.answer(asked).await,
        }
    }

    async fn ec2(&self, asked: &Asked<'_>) -> Outcome<Option<Response<Body>>> {
        if let Some(answer) = self.images.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.templates.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.reboots.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.endpoint_routes.answer(asked).await? {
            return Ok(Some(answer));
        }
        match self.ebs_keys.answer(asked)? {
            Some(answer) => Ok(Some(answer)),
            None => self.zones.answer(asked).await,
        }
    }

    async fn records(asked: &Asked<'_>) -> Outcome<Option<Response<Body>>> {
        let request = String::from_utf8_lossy(asked.body).into_owned();
        let (head, body) = match asked.call.action.as_str() {
            "ChangeResourceRecordSets" if asked.trusted => {
                if let Some(refusal) = records::refusal(asked, &request).await? {
                    return Ok(Some(refusal));
                }
                asked.forward(records::plain(&request)).await?
            }
            _ => asked.forward_unchanged().await?,
        };
        Ok(Some(whole(head, records::complete(&String::from_utf8_lossy(&body)))))
    }
}
