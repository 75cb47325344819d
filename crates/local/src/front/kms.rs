//! KMS calls of nodes. The emulator checks their policies against the resource `*` only, so that a policy which names its
//! keys, as a good one does, never allows anything. Here the key that a call names is resolved and checked against the
//! role's policy; what is allowed goes on in the owner's name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futuswarm_aws::Error as AwsError;
use http::request::Parts;
use serde_json::Value;

use crate::aws::Clients;

/// What the metadata service has issued: access key id → role and session token.
#[derive(Clone, Default)]
pub struct Issued(Arc<RwLock<BTreeMap<String, (String, String)>>>);

impl Issued {
    /// Notes credentials.
    pub fn note(&self, access_key: &str, role: &str, token: &str) {
        let mut issued = self.0.write().unwrap_or_else(PoisonError::into_inner);
        issued.insert(access_key.to_owned(), (role.to_owned(), token.to_owned()));
    }

    /// The role behind a signed request whose session token is the one that was issued.
    fn role(&self, parts: &Parts) -> Option<String> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let access_key = header("authorization")?.split("Credential=").nth(1)?.split('/').next()?;
        let issued = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (role, token) = issued.get(access_key)?;
        (header("x-amz-security-token") == Some(token)).then(|| role.clone())
    }
}

/// Why a call is not allowed; shown to the caller as AWS would.
#[derive(Debug)]
pub struct Denied {
    /// KMS's name for it.
    pub code: &'static str,
    /// In words.
    pub reason: String,
}

fn denied(reason: impl ToString) -> Denied {
    Denied { code: "AccessDeniedException", reason: reason.to_string() }
}

/// Whether a node's call is allowed.
///
/// # Errors
/// With the reason when it is not.
pub async fn check(clients: &Clients, issued: &Issued, parts: &Parts, body: &[u8]) -> Result<(), Denied> {
    let role = issued.role(parts).ok_or_else(|| denied("the credentials are not those of an instance role"))?;
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let action = format!("kms:{}", target.rsplit('.').next().unwrap_or_default());
    let request: Value = serde_json::from_slice(body).map_err(denied)?;
    let mut arns = Vec::new();
    for key in [request["KeyId"].as_str().map(str::to_owned), sealed_with(&request)].into_iter().flatten() {
        arns.push(key_arn(clients, &key).await.map_err(denied)?);
    }
    // The emulator opens with the key that a text was sealed with, whichever the caller names.
    if let [named, sealed] = arns.as_slice()
        && named != sealed
    {
        let reason = format!("the ciphertext was not sealed with {named}");
        return Err(Denied { code: "IncorrectKeyException", reason });
    }
    let arn = arns.pop().ok_or_else(|| denied(format!("{action} names no key")))?;
    for policy in policies(clients, &role).await.map_err(denied)? {
        if allows(&policy, &action, &arn) {
            return Ok(());
        }
    }
    Err(denied(format!("the role {role} is not authorized to perform {action} on resource {arn}")))
}

/// The key that a ciphertext was sealed with: the emulator's ciphertexts begin with its id, a UUID of 36 characters.
fn sealed_with(request: &Value) -> Option<String> {
    use base64::Engine as _;
    let sealed = base64::engine::general_purpose::STANDARD.decode(request["CiphertextBlob"].as_str()?).ok()?;
    String::from_utf8(sealed.get(..36)?.to_vec()).ok()
}

async fn key_arn(clients: &Clients, key: &str) -> Result<String, AwsError> {
    let found =
        clients.kms.describe_key().key_id(key).send().await.map_err(|error| AwsError::new("DescribeKey", error))?;
    Ok(found.key_metadata.and_then(|key| key.arn).unwrap_or_default())
}

async fn policies(clients: &Clients, role: &str) -> Result<Vec<Value>, AwsError> {
    let names = clients.iam.list_role_policies().role_name(role).send().await;
    let names = names.map_err(|error| AwsError::new("ListRolePolicies", error))?;
    let mut policies = Vec::new();
    for name in names.policy_names() {
        let policy = clients.iam.get_role_policy().role_name(role).policy_name(name).send().await;
        let policy = policy.map_err(|error| AwsError::new("GetRolePolicy", error))?;
        let text = percent_encoding::percent_decode_str(policy.policy_document()).decode_utf8_lossy();
        policies.extend(serde_json::from_str::<Value>(&text));
    }
    Ok(policies)
}

/// Default deny; an explicit deny wins. Statements with conditions never allow, as in the emulator.
fn allows(policy: &Value, action: &str, resource: &str) -> bool {
    let matches = |statement: &Value, field: &str, value: &str| match &statement[field] {
        Value::String(pattern) => pattern == "*" || pattern == value,
        Value::Array(patterns) => patterns.iter().any(|pattern| pattern == "*" || pattern == value),
        _ => false,
    };
    let statements = policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    let concerned = |effect: &str| {
        statements.iter().any(|statement| {
            statement["Effect"] == effect
                && statement.get("Condition").is_none()
                && matches(statement, "Action", action)
                && matches(statement, "Resource", resource)
        })
    };
    concerned("Allow") && !concerned("Deny")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_a_policy_names_is_allowed() {
        let policy = json!({ "Statement": [
            { "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "key-1" },
            { "Effect": "Allow", "Action": "kms:Encrypt", "Resource": ["key-1", "key-2"] },
            { "Effect": "Deny", "Action": "kms:Encrypt", "Resource": "key-2" },
            { "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "Bool": {} } }
        ]});
        for (action, key, allowed) in [
            ("kms:Decrypt", "key-1", true),
            ("kms:Decrypt", "key-2", false),
            ("kms:Encrypt", "key-1", true),
            ("kms:Encrypt", "key-2", false),
            ("kms:ScheduleKeyDeletion", "key-1", false),
        ] {
            assert_eq!(allows(&policy, action, key), allowed, "{action} {key}");
        }
    }

    #[test]
    fn a_stolen_access_key_id_without_its_token_is_nobody() {
        let issued = Issued::default();
        issued.note("ASIA1", "node", "token");
        let parts = |token: &str| {
            let request = http::Request::builder()
                .header(
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=ASIA1/20260101/eu-west-1/kms/aws4_request, Signature=1",
                )
                .header("x-amz-security-token", token);
            request.body(()).unwrap().into_parts().0
        };
        assert_eq!(issued.role(&parts("token")).as_deref(), Some("node"));
        assert_eq!(issued.role(&parts("guess")), None);
    }
}
