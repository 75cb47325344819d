//! What decisions are made from: the policies of roles, and policies and encryption of buckets. Read from the emulator and
//! remembered until something of the kind is changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futuswarm_aws::Error as AwsError;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::clients::Clients;
use crate::xml;

/// For one question that does no work worth waiting for.
const DEADLINE: Duration = Duration::from_secs(10);

/// A bucket's settings that decisions depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How objects are sealed that say nothing of it.
    pub sealing: Option<Sealing>,
    pub policy: Option<Value>,
}

/// Encryption with a key of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// The key's id or ARN.
    pub key: String,
    /// Whether one key of the bucket is made from it, for all objects.
    pub for_bucket: bool,
}

/// Answers of the emulator, as long as they may be believed.
#[derive(Default)]
struct Known {
    /// How often something was changed.
    generation: u64,
    roles: BTreeMap<String, Arc<Vec<Value>>>,
    buckets: BTreeMap<String, Arc<Bucket>>,
}

pub struct Lookup {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    /// The same, for requests without a client.
    bypass: SocketAddr,
    http: Client<HttpConnector, Empty<Bytes>>,
    known: Mutex<Known>,
}

/// Why something cannot be looked up.
pub type Reason = String;

impl Lookup {
    /// Nothing is known yet.
    pub fn new(inner: Clients, bypass: SocketAddr) -> Self {
        // A connection per question: a kept one may be closed by the other side just when it is used.
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { inner, bypass, http, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Invalidates everything: it may have been changed.
    pub fn invalidate(&self) {
        self.known().invalidate();
    }

    /// The policies of a role, inline and attached.
    pub async fn policies(&self, role: &str) -> Result<Arc<Vec<Value>>, Reason> {
        let began = {
            let known = self.known();
            if let Some(found) = known.roles.get(role) {
                return Ok(Arc::clone(found));
            }
            known.generation
        };
        let read = self.read_policies(role).await.map_err(|error| error.to_string())?;
        let policies = Arc::new(read);
        self.known().remember(began, |known| known.roles.insert(role.to_owned(), Arc::clone(&policies)));
        Ok(policies)
    }

    async fn read_policies(&self, role: &str) -> Result<Vec<Value>, AwsError> {
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
        Ok(texts.iter().map(|text| read(text)).collect())
    }

    /// The ARN of a key, by its id, ARN or alias.
    pub async fn key_arn(&self, key: &str) -> Result<String, Reason> {
        let found = self.inner.kms.describe_key().key_id(key).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeKey", error).to_string())?;
        Ok(found.key_metadata.and_then(|key| key.arn).unwrap_or_default())
    }

    /// A bucket's settings; those of one that is not there are empty.
    pub async fn bucket(&self, name: &str) -> Result<Arc<Bucket>, Reason> {
        let began = {
            let known = self.known();
            if let Some(found) = known.buckets.get(name) {
                return Ok(Arc::clone(found));
            }
            known.generation
        };
        let mut bucket = Bucket::default();
        if let Some(answer) = self.setting(name, "encryption").await? {
            bucket.sealing = sealing(&answer)?;
        }
        bucket.policy = self.setting(name, "policy").await?.map(|answer| read(&answer));
        let bucket = Arc::new(bucket);
        self.known().remember(began, |known| known.buckets.insert(name.to_owned(), Arc::clone(&bucket)));
        Ok(bucket)
    }

    /// A setting of a bucket, if there is one.
    async fn setting(&self, bucket: &str, word: &str) -> Result<Option<String>, Reason> {
        let path = format!("/{bucket}?{word}");
        let uri = format!("http://{}{path}", self.bypass);
        let uri = uri.parse().map_err(|error| format!("GET {uri}: {error}"))?;
        let exchange = async {
            let answer = self.http.get(uri).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(DEADLINE, exchange).await;
        let late = |_| Err(format!("no answer within {} s", DEADLINE.as_secs()));
        let (status, body) = answered.unwrap_or_else(late).map_err(|detail: Reason| format!("GET {path}: {detail}"))?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(String::from_utf8_lossy(&body).into_owned())),
            status => Err(format!("the emulator answers {status} to {path}")),
        }
    }
}

impl Known {
    fn invalidate(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }

    /// Remembers what was read, unless something was changed since the reading `began`.
    fn remember<T>(&mut self, began: u64, insert: impl FnOnce(&mut Self) -> T) {
        if self.generation == began {
            insert(self);
        }
    }
}

/// A policy's document, which IAM answers percent-encoded. One that cannot be read denies everything: what it forbids is not
/// known.
fn read(text: &str) -> Value {
    let plain = match text.trim_start().starts_with('{') {
        true => text.into(),
        false => percent_encoding::percent_decode_str(text).decode_utf8_lossy(),
    };
    serde_json::from_str(&plain).unwrap_or_else(|error| {
        tracing::warn!(%error, "a policy cannot be read; it denies everything");
        serde_json::json!({ "Statement": { "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" } })
    })
}

/// The encryption of a bucket, if it is with a key of the account: AWS's own keys are open to everybody who may use S3.
///
/// # Errors
/// When the answer cannot be read: then nobody knows who may open what is in the bucket.
fn sealing(answer: &str) -> Result<Option<Sealing>, Reason> {
    let answer = xml::parse(answer.as_bytes()).map_err(|error| format!("the encryption of a bucket: {error}"))?;
    let by_kms = xml::find_text(&answer, "SSEAlgorithm").is_some_and(|algorithm| algorithm.starts_with("aws:kms"));
    let key = xml::find_text(&answer, "KMSMasterKeyID").filter(|key| by_kms && !key.ends_with("alias/aws/s3"));
    let for_bucket = xml::find_text(&answer, "BucketKeyEnabled").as_deref() == Some("true");
    Ok(key.map(|key| Sealing { key, for_bucket }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futuswarm_iam::{Context, Decision, Request};

    #[test]
    fn a_policy_that_cannot_be_read_denies() {
        let request =
            Request { action: "s3:GetObject".to_owned(), resource: "*".to_owned(), context: Context::default() };
        let all = read(
            "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%7D",
        );
        assert_eq!(futuswarm_iam::decide(std::slice::from_ref(&all), &request), Decision::Allowed);
        assert_eq!(futuswarm_iam::decide(&[all, read("{")], &request), Decision::Denied);
        assert!(futuswarm_iam::forbids(&read("{"), &request, &[]));
        assert_eq!(read(r#"{"a":"%41"}"#), serde_json::json!({ "a": "%41" }), "what is not encoded stays");
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let mut known = Known::default();
        let began = known.generation;
        known.remember(began, |known| known.roles.insert("a".to_owned(), Arc::default()));
        assert!(known.roles.contains_key("a"));
        known.invalidate();
        assert!(known.roles.is_empty());
        known.remember(began, |known| known.roles.insert("a".to_owned(), Arc::default()));
        assert!(known.roles.is_empty(), "the reading began before the change");
    }

    #[test]
    fn only_keys_of_the_account_seal() {
        let rule = |algorithm: &str, key: &str, rest: &str| {
            format!(
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault>{rest}</Rule></ServerSideEncryptionConfiguration>"
            )
        };
        let key = "<KMSMasterKeyID>k</KMSMasterKeyID>";
        let sealed = |for_bucket| Some(Sealing { key: "k".to_owned(), for_bucket });
        assert_eq!(sealing(&rule("aws:kms", key, "<BucketKeyEnabled>true</BucketKeyEnabled>")).unwrap(), sealed(true));
        assert_eq!(sealing(&rule("aws:kms:dsse", key, "")).unwrap(), sealed(false));
        assert_eq!(sealing(&rule("aws:kms", "", "")).unwrap(), None);
        assert_eq!(sealing(&rule("aws:kms", "<KMSMasterKeyID>alias/aws/s3</KMSMasterKeyID>", "")).unwrap(), None);
        assert_eq!(sealing(&rule("AES256", "", "")).unwrap(), None);
        assert!(sealing("<Rule><SSEAlgorithm>aws:kms").is_err(), "what cannot be read opens nothing");
    }
}
