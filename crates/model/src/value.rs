//! A value of a config or a secret: bytes that no log shows.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Values by their keys.
pub type Values = BTreeMap<String, Value>;

/// Any bytes. In JSON they are a text where they are UTF-8, and otherwise an object with `base64`. Their memory is overwritten when they
/// are dropped; what prints them for debugging prints their length.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Zeroizing<Vec<u8>>);

impl Value {
    /// What a task gets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Value({} bytes)", self.0.len())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    base64: String,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => serializer.serialize_str(text),
            None => Encoded { base64: STANDARD.encode(self.bytes()) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Text(String),
            Encoded(Encoded),
        }
        // The reasons of these errors would quote the value.
        match Wire::deserialize(deserializer).map_err(|_| D::Error::custom("a value is neither a text nor base64"))? {
            Wire::Text(text) => Ok(text.into()),
            Wire::Encoded(Encoded { base64 }) => {
                STANDARD.decode(base64).map(Self::from).map_err(|_| D::Error::custom("a value is not base64"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_as_they_were() {
        for bytes in
            [&b""[..], b"a", "quote \" newline \n emoji 🦀 = @/etc/passwd".as_bytes(), b"nul \0", b"\xff\0\xfe"]
        {
            let value = Value::from(bytes.to_vec());
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
        assert_eq!(serde_json::to_string(&Value::from("x")).unwrap(), r#""x""#);
        assert_eq!(serde_json::to_string(&Value::from(vec![0xff, 0, 0xfe])).unwrap(), r#"{"base64":"/wD+"}"#);
        // A text that looks like the other form stays a text.
        let looks = Value::from(r#"{"base64":"/wD+"}"#);
        assert_eq!(serde_json::from_str::<Value>(&serde_json::to_string(&looks).unwrap()).unwrap(), looks);
    }

    #[test]
    fn what_is_no_value_is_refused_without_being_quoted() {
        for wrong in [r#"{"base64":"hunter2!"}"#, r#"{"base64":"","x":"hunter2"}"#, "17", "[\"hunter2\"]", "null"] {
            let error = serde_json::from_str::<Value>(wrong).unwrap_err().to_string();
            assert!(error.contains("a value is") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(format!("{:?}", Value::from("hunter2")), "Value(7 bytes)");
    }
}
