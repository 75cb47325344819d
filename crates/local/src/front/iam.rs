//! Whether a node may make a call to S3 or KMS. The emulator never matches a statement with a condition, knows no policy
//! variables and checks KMS against the resource `*` only; so for nodes these two services are decided here, by the policies
//! of the node's role, and what is allowed goes on in the owner's name. Everything else is decided by the emulator.

mod condition;
mod kms;
mod pattern;
mod policy;
mod s3;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futuswarm_aws::Error as AwsError;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::Value;

use super::{Body, full};
use crate::aws::Clients;
use policy::{Context, Decision, Request};
pub use s3::names_keys_in_body;

/// Who is behind credentials that the metadata service has issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Role name.
    pub role: String,
    /// `<role id>:<instance id>`: what `aws:userid` says.
    pub user_id: String,
    /// Instance id.
    pub instance: String,
}

/// What the metadata service has issued: access key id → session token and principal.
#[derive(Clone, Default)]
pub struct Issued(Arc<RwLock<BTreeMap<String, (String, Principal)>>>);

/// Who a request comes from.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nobody to whom we have given credentials.
    Stranger,
    /// Somebody who knows an access key id, but not what belongs to it.
    Impostor,
    /// An instance.
    Node(Principal),
}

impl Issued {
    /// Notes credentials.
    pub fn note(&self, access_key: &str, token: &str, principal: Principal) {
        let mut issued = self.0.write().unwrap_or_else(PoisonError::into_inner);
        issued.insert(access_key.to_owned(), (token.to_owned(), principal));
    }

    /// Who has signed a request, in its header or (presigned) in its query. The session token tells: only the instance
    /// has got it.
    fn principal(&self, parts: &Parts) -> Known {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let query = |name: &str| {
            let mut pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(known, _)| *known == name)?;
            Some(percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned())
        };
        let credential = header("authorization")
            .and_then(|value| value.split("Credential=").nth(1).map(str::to_owned))
            .or_else(|| query("X-Amz-Credential"));
        let token = header("x-amz-security-token").or_else(|| query("X-Amz-Security-Token"));
        let access_key = credential.as_deref().and_then(|credential| credential.split('/').next()).unwrap_or_default();
        let issued = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match issued.get(access_key) {
            None => Known::Stranger,
            Some((expected, principal)) if token.as_ref() == Some(expected) => Known::Node(principal.clone()),
            Some(_) => Known::Impostor,
        }
    }
}

/// Why a call is not allowed; shown to the caller as AWS would.
#[derive(Debug)]
pub struct Denied {
    code: &'static str,
    reason: String,
}

fn denied(reason: impl ToString) -> Denied {
    Denied { code: "AccessDeniedException", reason: reason.to_string() }
}

/// What a decision means for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on in the owner's name.
    Allowed,
    /// The emulator decides.
    NotOurs,
}

/// The guard of the two services.
pub struct Guard {
    issued: Issued,
    /// Straight to the emulator.
    inner: Clients,
    account: String,
    region: String,
    /// Role → its policies, until something is changed in IAM.
    policies: Mutex<BTreeMap<String, Arc<Vec<Value>>>>,
}

impl Guard {
    /// A guard that knows what was issued.
    pub fn new(issued: Issued, inner: Clients, account: String, region: String) -> Self {
        Self { issued, inner, account, region, policies: Mutex::default() }
    }

    /// Forgets what it has read of policies: they may have been changed.
    pub fn forget(&self) {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a call to KMS is allowed.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn kms(&self, parts: &Parts, body: &[u8]) -> Result<Verdict, Denied> {
        let Known::Node(node) = self.issued.principal(parts) else {
            return Err(denied("the credentials are not those of an instance role"));
        };
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let action = target.rsplit('.').next().unwrap_or_default();
        let request: Value = serde_json::from_slice(body).map_err(denied)?;
        let mut arns = Vec::new();
        let needs = kms::needs(action, &request);
        for need in &needs {
            arns.push(match &need.key {
                Some(key) => self.key_arn(key).await.map_err(denied)?,
                None => "*".to_owned(),
            });
        }
        if action == "Decrypt"
            && let [named, sealed] = arns.as_slice()
            && named != sealed
        {
            let reason = format!("the ciphertext was not sealed with {named}");
            return Err(Denied { code: "IncorrectKeyException", reason });
        }
        let mut requests = Vec::new();
        for (need, resource) in needs.into_iter().zip(arns) {
            requests.push(Request { action: need.action, resource, context: self.context(&node, need.context) });
        }
        self.decide(&node, &requests).await
    }

    /// Whether a call to S3 is allowed. `body` is needed only where it names keys.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn s3(&self, parts: &Parts, body: &[u8]) -> Result<Verdict, Denied> {
        let node = match self.issued.principal(parts) {
            Known::Node(node) => node,
            Known::Stranger => return Ok(Verdict::NotOurs),
            Known::Impostor => return Err(denied("the session token does not belong to the access key")),
        };
        let needs = s3::needs(parts, body).ok_or_else(|| denied("the local cloud does not know this call of S3"))?;
        let requests: Vec<Request> = needs
            .into_iter()
            .map(|need| {
                let mut context = self.context(&node, Context::default());
                s3::common(&mut context);
                need.context.iter().for_each(|(key, value)| context.set(key, value));
                Request { action: need.action, resource: need.resource, context }
            })
            .collect();
        self.decide(&node, &requests).await
    }

    /// Whether a node may do something that the emulator does not know.
    ///
    /// # Errors
    /// With the reason when it may not.
    pub async fn permits(&self, parts: &Parts, action: &str, resource: &str) -> Result<(), Denied> {
        let Known::Node(node) = self.issued.principal(parts) else {
            return Err(denied("the credentials are not those of an instance role"));
        };
        let context = self.context(&node, Context::default());
        let request = Request { action: action.to_owned(), resource: resource.to_owned(), context };
        self.decide(&node, &[request]).await.map(|_| ())
    }

    async fn decide(&self, node: &Principal, requests: &[Request]) -> Result<Verdict, Denied> {
        let policies = self.policies(&node.role).await.map_err(denied)?;
        for request in requests {
            let why = match policy::decide(&policies, request) {
                Decision::Allowed => continue,
                Decision::NotAllowed => "because no identity-based policy allows the action",
                Decision::Denied => "with an explicit deny in an identity-based policy",
            };
            return Err(denied(format!(
                "User: arn:aws:sts::{}:assumed-role/{}/{} is not authorized to perform: {} on resource: {} {why}",
                self.account, node.role, node.instance, request.action, request.resource
            )));
        }
        Ok(Verdict::Allowed)
    }

    /// What every request of a node has in its context.
    fn context(&self, node: &Principal, mut context: Context) -> Context {
        for (key, value) in [
            ("aws:userid", node.user_id.clone()),
            ("aws:PrincipalType", "AssumedRole".to_owned()),
            ("aws:PrincipalArn", format!("arn:aws:iam::{}:role/{}", self.account, node.role)),
            ("aws:PrincipalAccount", self.account.clone()),
            ("aws:RequestedRegion", self.region.clone()),
            ("aws:SecureTransport", "true".to_owned()),
            (
                "ec2:SourceInstanceARN",
                format!("arn:aws:ec2:{}:{}:instance/{}", self.region, self.account, node.instance),
            ),
        ] {
            context.set(key, value);
        }
        context
    }

    async fn key_arn(&self, key: &str) -> Result<String, AwsError> {
        let found = self.inner.kms.describe_key().key_id(key).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeKey", error))?;
        Ok(found.key_metadata.and_then(|key| key.arn).unwrap_or_default())
    }

    /// The policies of a role, inline and attached.
    async fn policies(&self, role: &str) -> Result<Arc<Vec<Value>>, AwsError> {
        if let Some(known) = self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(role) {
            return Ok(Arc::clone(known));
        }
        let iam = &self.inner.iam;
        let mut texts = Vec::new();
        let names = iam.list_role_policies().role_name(role).send().await;
        let names = names.map_err(|error| AwsError::new("ListRolePolicies", error))?;
        for name in names.policy_names() {
            let found = iam.get_role_policy().role_name(role).policy_name(name).send().await;
            texts.push(found.map_err(|error| AwsError::new("GetRolePolicy", error))?.policy_document);
        }
        let attached = iam.list_attached_role_policies().role_name(role).send().await;
        let attached = attached.map_err(|error| AwsError::new("ListAttachedRolePolicies", error))?;
        for policy in attached.attached_policies() {
            let Some(arn) = policy.policy_arn() else { continue };
            let found = iam.get_policy().policy_arn(arn).send().await;
            let found = found.map_err(|error| AwsError::new("GetPolicy", error))?;
            let version = found.policy.and_then(|policy| policy.default_version_id).unwrap_or_default();
            let found = iam.get_policy_version().policy_arn(arn).version_id(version).send().await;
            let found = found.map_err(|error| AwsError::new("GetPolicyVersion", error))?;
            texts.extend(found.policy_version.and_then(|version| version.document));
        }
        let policies = Arc::new(texts.iter().map(|text| read(text)).collect::<Vec<_>>());
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).insert(role.to_owned(), Arc::clone(&policies));
        Ok(policies)
    }
}

/// A policy's document, which IAM answers percent-encoded. One that cannot be read denies everything: what it forbids is not
/// known.
fn read(text: &str) -> Value {
    let plain = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&plain).unwrap_or_else(|error| {
        tracing::warn!(%error, "a policy cannot be read; it denies everything");
        serde_json::json!({ "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } })
    })
}

impl Denied {
    /// The refusal in the words of S3, which has no body for HEAD.
    pub fn for_s3(&self, method: &Method) -> Response<Body> {
        let reason = self.reason.replace('&', "&amp;").replace('<', "&lt;");
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>{reason}</Message>\
             <RequestId>local-cloud</RequestId></Error>\n"
        );
        let body = if method == Method::HEAD { String::new() } else { xml };
        answer(StatusCode::FORBIDDEN, "application/xml", body)
    }

    /// The refusal in the words of a service of the query protocol.
    pub fn for_query(&self) -> Response<Body> {
        let mut response = super::operations::answer::refused("AccessDenied", &self.reason);
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    }

    /// The refusal in the words of KMS.
    pub fn for_kms(&self) -> Response<Body> {
        let body = serde_json::json!({ "__type": self.code, "Message": self.reason });
        answer(StatusCode::BAD_REQUEST, "application/x-amz-json-1.1", body.to_string())
    }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Principal {
        Principal { role: "node".to_owned(), user_id: "AROA1:i-1".to_owned(), instance: "i-1".to_owned() }
    }

    fn parts(key: &str, token: Option<&str>, uri: &str) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        if !key.is_empty() {
            let scope = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/s3/aws4_request, Signature=1");
            request = request.header("authorization", scope);
        }
        if let Some(token) = token {
            request = request.header("x-amz-security-token", token);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_stolen_access_key_id_without_its_token_is_nobody() {
        let issued = Issued::default();
        issued.note("ASIA1", "to/ken", node());
        assert_eq!(issued.principal(&parts("ASIA1", Some("to/ken"), "/")), Known::Node(node()));
        assert_eq!(issued.principal(&parts("ASIA1", Some("guess"), "/")), Known::Impostor);
        assert_eq!(issued.principal(&parts("ASIA1", None, "/")), Known::Impostor);
        assert_eq!(issued.principal(&parts("ASIA2", Some("to/ken"), "/")), Known::Stranger);
        let presigned =
            "/b/k?X-Amz-Credential=ASIA1%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Security-Token=to%2Fken";
        assert_eq!(issued.principal(&parts("", None, presigned)), Known::Node(node()));
    }

    #[test]
    fn a_policy_that_cannot_be_read_denies() {
        let request =
            Request { action: "s3:GetObject".to_owned(), resource: "*".to_owned(), context: Context::default() };
        let all = read(
            "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%7D",
        );
        assert_eq!(policy::decide(std::slice::from_ref(&all), &request), Decision::Allowed);
        assert_eq!(policy::decide(&[all, read("{")], &request), Decision::Denied);
    }
}
