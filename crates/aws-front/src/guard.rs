//! Whether a node may make a call to S3, KMS or Route 53. The emulator never matches a statement with a condition, knows no policy
//! variables and checks all services but S3 against the resource `*` only; so for nodes these three services are decided here, by the
//! policies of the node's role, and what is allowed goes on in the owner's name. So are single calls of others, by whoever completes
//! them: an instance of RDS and the secret of its master user. Everything else is decided by the emulator.

mod kms;
mod lookup;
mod route53;
mod s3;
mod sse_kms;

use std::net::SocketAddr;

use futuswarm_iam::{Context, Decision, Request};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use crate::clients::Clients;
use crate::error_body::{self, REQUEST_ID};
use crate::server::{Body, full};
use crate::service::{Protocol, Service};
use crate::sessions::{Known, Principal, Sessions};
use lookup::Lookup;
pub use s3::names_keys_in_body;

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotAllowed,
    OldCredentials,
    WrongKey,
}

/// Why a call is not allowed; shown to the caller as AWS would.
#[derive(Debug)]
pub struct Denied {
    kind: Kind,
    reason: String,
}

/// A refusal because the caller may not.
pub fn denied(reason: impl ToString) -> Denied {
    Denied { kind: Kind::NotAllowed, reason: reason.to_string() }
}

/// What a decision means for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on in the owner's name.
    Allowed,
    /// The emulator decides.
    NotOurs,
}

/// The guard of these services.
pub struct Guard {
    sessions: Sessions,
    lookup: Lookup,
    account: String,
    region: String,
}

impl Guard {
    /// A guard that knows what was issued. `inner` and `bypass` lead to the emulator past everything that the front does.
    pub fn new(sessions: Sessions, inner: Clients, bypass: SocketAddr, account: String, region: String) -> Self {
        Self { sessions, lookup: Lookup::new(inner, bypass), account, region }
    }

    /// The ARN of something in the account and the region.
    #[must_use]
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// Invalidates what it has read of policies and buckets: they may have been changed.
    pub fn invalidate(&self) {
        self.lookup.invalidate();
    }

    /// As long as this is held, every role's trust is what its owner has made it.
    pub async fn trust(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.sessions.trust().await
    }

    /// Whether the credentials of a request are still good; the emulator would take old ones.
    ///
    /// # Errors
    /// When their time is over.
    pub fn in_time(&self, parts: &Parts) -> Result<(), Denied> {
        match self.sessions.principal(parts) {
            Known::Expired => Err(Denied {
                kind: Kind::OldCredentials,
                reason: "The security token included in the request is expired".to_owned(),
            }),
            Known::Unknown | Known::TokenMismatch | Known::Node(_) => Ok(()),
        }
    }

    /// The node behind a request.
    fn node(&self, parts: &Parts) -> Result<Principal, Denied> {
        self.in_time(parts)?;
        match self.sessions.principal(parts) {
            Known::Node(node) => Ok(node),
            _ => Err(denied("the credentials are not those of an instance role")),
        }
    }

    /// Whether a call to KMS is allowed.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn kms(&self, parts: &Parts, body: &[u8]) -> Result<Verdict, Denied> {
        let node = self.node(parts)?;
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let action = target.rsplit('.').next().unwrap_or_default();
        let request: Value = serde_json::from_slice(body).map_err(denied)?;
        let mut arns = Vec::new();
        let needs = kms::needs(action, &request);
        for need in &needs {
            arns.push(match &need.key {
                Some(key) => self.lookup.key_arn(key).await.map_err(denied)?,
                None => "*".to_owned(),
            });
        }
        if action == "Decrypt"
            && let [named, sealed] = arns.as_slice()
            && named != sealed
        {
            let reason = format!("the ciphertext was not sealed with {named}");
            return Err(Denied { kind: Kind::WrongKey, reason });
        }
        let mut requests = Vec::new();
        for (need, resource) in needs.into_iter().zip(arns) {
            requests.push(Request { action: need.action, resource, context: self.context(&node, need.context) });
        }
        self.decide(&node, &requests).await
    }

    /// Whether a call to Route 53 is allowed.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn route53(&self, parts: &Parts, body: &[u8]) -> Result<Verdict, Denied> {
        let node = self.node(parts)?;
        let unknown = || denied("the local cloud does not know this call of Route 53");
        let route53::Need { action, resource, context } = route53::need(parts, body).ok_or_else(unknown)?;
        let request = Request { action: action.to_owned(), resource, context: self.context(&node, context) };
        self.decide(&node, &[request]).await
    }

    /// Whether a call to S3 is allowed. `body` is needed only where it names keys.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn s3(&self, parts: &Parts, body: &[u8]) -> Result<Verdict, Denied> {
        let node = match self.sessions.principal(parts) {
            Known::Unknown => return Ok(Verdict::NotOurs),
            Known::TokenMismatch => return Err(denied("the session token does not belong to the access key")),
            Known::Expired | Known::Node(_) => self.node(parts)?,
        };
        let needs = s3::needs(parts, body).ok_or_else(|| denied("the local cloud does not know this call of S3"))?;
        let names = self.names(&node);
        let names = names.each_ref().map(String::as_str);
        let mut requests = Vec::new();
        for need in needs {
            let mut context = self.context(&node, Context::default());
            need.context.iter().for_each(|(key, value)| context.set(key, value));
            let request = Request { action: need.action.clone(), resource: need.resource.clone(), context };
            if let Some(name) = need.bucket() {
                let bucket = self.lookup.bucket(name).await.map_err(denied)?;
                if bucket.policy.as_ref().is_some_and(|policy| futuswarm_iam::forbids(policy, &request, &names)) {
                    return Err(self.refused(&node, &request, "with an explicit deny in a resource-based policy"));
                }
                if let Some(used) = sse_kms::used(&need, parts, &bucket) {
                    let resource = self.lookup.key_arn(&used.key).await.map_err(denied)?;
                    let context = used.context(self.context(&node, Context::default()), &self.region);
                    requests.extend(used.actions.iter().map(|action| Request {
                        action: (*action).to_owned(),
                        resource: resource.clone(),
                        context: context.clone(),
                    }));
                }
            }
            requests.push(request);
        }
        self.decide(&node, &requests).await
    }

    /// Whether a node may do something that the emulator cannot decide on, with what is known of the resource.
    ///
    /// # Errors
    /// With the reason when it may not.
    pub async fn permits(&self, parts: &Parts, action: &str, resource: &str, known: Context) -> Result<(), Denied> {
        let node = self.node(parts)?;
        let context = self.context(&node, known);
        let request = Request { action: action.to_owned(), resource: resource.to_owned(), context };
        self.decide(&node, &[request]).await.map(|_| ())
    }

    async fn decide(&self, node: &Principal, requests: &[Request]) -> Result<Verdict, Denied> {
        let policies = self.lookup.policies(&node.role).await.map_err(denied)?;
        for request in requests {
            let why = match futuswarm_iam::decide(&policies, request) {
                Decision::Allowed => continue,
                Decision::NotAllowed => "because no identity-based policy allows the action",
                Decision::Denied => "with an explicit deny in an identity-based policy",
            };
            return Err(self.refused(node, request, why));
        }
        Ok(Verdict::Allowed)
    }

    fn refused(&self, node: &Principal, request: &Request, why: &str) -> Denied {
        let [_, session, ..] = self.names(node);
        denied(format!(
            "User: {session} is not authorized to perform: {} on resource: {} {why}",
            request.action, request.resource
        ))
    }

    /// The names by which a policy may mean a node: its role, its session, its account.
    fn names(&self, node: &Principal) -> [String; 4] {
        let account = &self.account;
        [
            format!("arn:aws:iam::{account}:role/{}", node.role),
            format!("arn:aws:sts::{account}:assumed-role/{}/{}", node.role, node.instance),
            format!("arn:aws:iam::{account}:root"),
            account.clone(),
        ]
    }

    /// What every request of a node has in its context.
    fn context(&self, node: &Principal, mut context: Context) -> Context {
        for (key, value) in [
            ("aws:userid", node.user_id.clone()),
            ("aws:PrincipalType", "AssumedRole".to_owned()),
            ("aws:PrincipalArn", format!("arn:aws:iam::{}:role/{}", self.account, node.role)),
            ("aws:PrincipalAccount", self.account.clone()),
            ("aws:RequestedRegion", self.region.clone()),
            // Nodes ask over TLS; what their tools ask without stands for the same.
            ("aws:SecureTransport", "true".to_owned()),
            ("kms:CallerAccount", self.account.clone()),
            (
                "ec2:SourceInstanceARN",
                format!("arn:aws:ec2:{}:{}:instance/{}", self.region, self.account, node.instance),
            ),
        ] {
            context.set(key, value);
        }
        context
    }
}

impl Denied {
    /// The refusal in the words of a service. S3 has no body for HEAD.
    pub fn answer(&self, service: &Service, method: &Method) -> Response<Body> {
        let (status, code) = match (self.kind, service.protocol()) {
            (Kind::WrongKey, _) => (StatusCode::BAD_REQUEST, "IncorrectKeyException"),
            (Kind::OldCredentials, Protocol::Json | Protocol::RestJson) => {
                (StatusCode::BAD_REQUEST, "ExpiredTokenException")
            }
            (Kind::OldCredentials, Protocol::S3) => (StatusCode::BAD_REQUEST, "ExpiredToken"),
            (Kind::OldCredentials, Protocol::Ec2) => (StatusCode::BAD_REQUEST, "RequestExpired"),
            (Kind::OldCredentials, Protocol::Query) => (StatusCode::FORBIDDEN, "ExpiredToken"),
            (Kind::NotAllowed, Protocol::Json | Protocol::RestJson) => {
                (StatusCode::BAD_REQUEST, "AccessDeniedException")
            }
            (Kind::NotAllowed, Protocol::Ec2) => (StatusCode::FORBIDDEN, "UnauthorizedOperation"),
            (Kind::NotAllowed, Protocol::S3 | Protocol::Query) => (StatusCode::FORBIDDEN, "AccessDenied"),
        };
        let mut response = error_body::error(service, status, code, &self.reason, REQUEST_ID);
        if method == Method::HEAD {
            *response.body_mut() = full("");
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_says_in_its_own_words_that_credentials_are_old() {
        let old = Denied { kind: Kind::OldCredentials, reason: "old".to_owned() };
        for (service, status) in [("s3", 400), ("kms", 400), ("ec2", 400), ("iam", 403)] {
            assert_eq!(old.answer(&Service::of(service), &Method::POST).status(), status, "{service}");
        }
        assert_eq!(denied("no").answer(&Service::S3, &Method::HEAD).status(), 403);
    }
}
