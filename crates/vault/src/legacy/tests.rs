//! Objects that another implementation has made (`golden.py`), and what is refused.

use eax::aead::AeadInPlace as _;
use futuswarm_faults::Faults;
use serde_json::{Value, json};

use super::*;
use crate::MemoryVault;

const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef";

#[derive(Deserialize)]
struct Golden {
    name: String,
    body: String,
    value: String,
    is_file: bool,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

async fn open(body: &[u8]) -> Result<Vec<u8>, LegacyError> {
    let object = LegacyObject::parse(body)?;
    let key = MemoryVault::new(Faults::none()).open_legacy_key(ARN, object.wrapped_key()).await.unwrap();
    object.open(&key).map(|value| value.to_vec())
}

/// The first object with one of its fields changed.
fn with(field: &str, change: impl FnOnce(&str) -> Value) -> Vec<u8> {
    let mut body: Value = serde_json::from_str(&golden()[0].body).unwrap();
    body[field] = change(body[field].as_str().unwrap_or_default());
    serde_json::to_vec(&body).unwrap()
}

/// The same bytes in base64 with one bit of the first turned over.
fn flipped(text: &str) -> Value {
    let mut bytes = STANDARD.decode(text).unwrap();
    bytes[0] ^= 1;
    STANDARD.encode(bytes).into()
}

#[tokio::test]
async fn what_another_implementation_has_written_is_read() {
    let all = golden();
    assert_eq!(all.len(), 6);
    for one in all {
        let object = LegacyObject::parse(one.body.as_bytes()).unwrap();
        assert_eq!(object.is_file(), one.is_file, "{}", one.name);
        assert_eq!(open(one.body.as_bytes()).await.unwrap(), STANDARD.decode(&one.value).unwrap(), "{}", one.name);
    }
}

/// Written by us in the old form, for lengths about that of a block.
#[tokio::test]
async fn what_is_written_in_the_old_form_comes_back() {
    let data_key = LegacyKey([7; LegacyKey::BYTES]);
    for length in [0, 1, 15, 16, 17, 31, 32, 33, 5000] {
        let value: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let (nonce, mut ciphertext) = ([3_u8; BLOCK], value.clone());
        let tag = data_key.cipher().encrypt_in_place_detached(&nonce.into(), b"", &mut ciphertext).unwrap();
        let body = json!({
            "key": STANDARD.encode([ARN.as_bytes(), b"\n", &data_key.0].concat()),
            "contents": STANDARD.encode(&ciphertext),
            "nonce": STANDARD.encode(nonce),
            "tag": STANDARD.encode(tag),
            "hmac": hex::encode(hmac::sign(&data_key.mac(), &ciphertext)),
        });
        assert_eq!(open(body.to_string().as_bytes()).await.unwrap(), value, "{length}");
    }
}

#[tokio::test]
async fn what_was_damaged_or_changed_is_refused_and_says_where() {
    use LegacyError::{Field, Hmac, Tag, Unknown};
    let short = |text: &str| -> Value { STANDARD.encode(&STANDARD.decode(text).unwrap()[1..]).into() };
    for (body, expected) in [
        (with("contents", flipped), Hmac),
        (with("hmac", |_| "00".repeat(32).into()), Hmac),
        (with("hmac", |text| text[2..].into()), Hmac),
        (with("hmac", |_| "".into()), Hmac),
        (with("tag", flipped), Tag),
        (with("nonce", flipped), Tag),
        (with("hmac", |_| "no hex".into()), Field("hmac")),
        (with("tag", short), Field("tag")),
        (with("nonce", short), Field("nonce")),
        (with("contents", |_| "%".into()), Field("contents")),
        (with("key", |_| "%".into()), Field("key")),
        (with("nonce", |_| 7.into()), Unknown),
        (b"".to_vec(), Unknown),
        (b"{}".to_vec(), Unknown),
        (b"[{\"ID\":\"x\"}]".to_vec(), Unknown),
        (b"\xff\xfe".to_vec(), Unknown),
    ] {
        assert_eq!(open(&body).await.unwrap_err(), expected, "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn an_object_is_opened_with_its_own_key_only() {
    let all = golden();
    let [first, second] = [&all[0], &all[1]].map(|one| LegacyObject::parse(one.body.as_bytes()).unwrap());
    let vault = MemoryVault::new(Faults::none());
    let other = vault.open_legacy_key(ARN, second.wrapped_key()).await.unwrap();
    assert_eq!(first.open(&other).unwrap_err(), LegacyError::Hmac);
    let error = vault.open_legacy_key("arn:aws:kms:eu-west-1:123456789012:key/x", first.wrapped_key()).await;
    let error = error.err().unwrap();
    assert!(!error.is_transient() && error.to_string().contains("key/x"), "{error}");
    assert!(vault.open_legacy_key(ARN, b"").await.is_err());
    assert_eq!(format!("{first:?}"), "LegacyObject(5 bytes)");
    for bytes in [&[][..], &[0; 63], &[0; 65], &[0; 32]] {
        assert!(LegacyKey::from_bytes(bytes).is_none());
    }
}
