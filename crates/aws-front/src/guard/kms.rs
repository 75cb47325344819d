//! The actions of KMS: which key a call is about, and what its encryption context says.

use base64::Engine as _;
use serde_json::Value;

use futuswarm_iam::Context;

/// An action on a key as the call names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// For example `kms:Decrypt`.
    pub action: String,
    /// Id, ARN or alias; `None` for what is about no key.
    pub key: Option<String>,
    /// `kms:EncryptionContext…`.
    pub context: Context,
}

/// What a call needs. The emulator opens with the key that a text was sealed with, whichever the caller names, so that key
/// is the last.
pub fn needs(action: &str, request: &Value) -> Vec<Need> {
    let text = |field: &str| request[field].as_str().map(str::to_owned);
    let sealed = sealed_with(request);
    let need = |action: &str, key: Option<String>, context: &Value| Need {
        action: format!("kms:{action}"),
        key,
        context: encryption_context(context),
    };
    if action == "ReEncrypt" {
        return vec![
            need("ReEncryptFrom", sealed, &request["SourceEncryptionContext"]),
            need("ReEncryptTo", text("DestinationKeyId"), &request["DestinationEncryptionContext"]),
        ];
    }
    let mut keys: Vec<String> = [text("KeyId"), text("TargetKeyId"), sealed].into_iter().flatten().collect();
    keys.dedup();
    if keys.is_empty() {
        return vec![need(action, None, &request["EncryptionContext"])];
    }
    keys.into_iter().map(|key| need(action, Some(key), &request["EncryptionContext"])).collect()
}

/// The key that a ciphertext was sealed with: the emulator's ciphertexts begin with its id, a UUID of 36 characters.
fn sealed_with(request: &Value) -> Option<String> {
    let sealed = base64::engine::general_purpose::STANDARD.decode(request["CiphertextBlob"].as_str()?).ok()?;
    String::from_utf8(sealed.get(..36)?.to_vec()).ok()
}

fn encryption_context(pairs: &Value) -> Context {
    let mut context = Context::default();
    for (key, value) in pairs.as_object().into_iter().flatten() {
        context.set(&format!("kms:EncryptionContext:{key}"), value.as_str().unwrap_or_default());
        context.add("kms:EncryptionContextKeys", key);
    }
    context
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_name_their_keys_and_context() {
        let mut sealed = b"01234567-89ab-cdef-0123-456789abcdef".to_vec();
        sealed.extend(b"rest");
        let sealed = base64::engine::general_purpose::STANDARD.encode(sealed);
        let context = json!({ "futuswarm:cluster": "local", "name": "worker" });
        let of = |action: &str, request: Value| {
            let needs = needs(action, &request);
            needs.into_iter().map(|need| (need.action, need.key.unwrap_or_default())).collect::<Vec<_>>()
        };
        let pair = |action: &str, key: &str| (action.to_owned(), key.to_owned());
        let inside = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(of("Encrypt", json!({ "KeyId": "k" })), [pair("kms:Encrypt", "k")]);
        assert_eq!(of("Decrypt", json!({ "CiphertextBlob": sealed })), [pair("kms:Decrypt", inside)]);
        assert_eq!(
            of("Decrypt", json!({ "CiphertextBlob": sealed, "KeyId": "k" })),
            [pair("kms:Decrypt", "k"), pair("kms:Decrypt", inside)]
        );
        assert_eq!(
            of("ReEncrypt", json!({ "CiphertextBlob": sealed, "DestinationKeyId": "k" })),
            [pair("kms:ReEncryptFrom", inside), pair("kms:ReEncryptTo", "k")]
        );
        assert_eq!(of("ListKeys", json!({})), [pair("kms:ListKeys", "")]);
        let need = &needs("Encrypt", &json!({ "KeyId": "k", "EncryptionContext": context }))[0];
        assert_eq!(need.context.get("kms:encryptioncontext:futuswarm:cluster"), Some(&["local".to_owned()][..]));
        assert_eq!(need.context.get("kms:EncryptionContextKeys").unwrap(), ["futuswarm:cluster", "name"]);
    }
}
