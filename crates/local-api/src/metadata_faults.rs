//! Faults of the metadata service, for tests of the node's patience.

use serde::{Deserialize, Serialize};

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MetadataFault {
    /// The answer comes late.
    Late {
        /// By how many milliseconds.
        milliseconds: u64,
    },
    /// 404.
    NotFound,
    /// 500.
    Internal,
    /// Bytes that make no sense.
    Garbage,
}

/// A fault and how many requests it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataFaultRule {
    /// What happens.
    #[serde(flatten)]
    pub fault: MetadataFault,
    /// How many requests are hit; all until the faults are replaced when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// Reads the JSON form of one fault or of a list, which are met one after the other.
///
/// # Errors
/// When it is not JSON of this form.
pub fn parse(json: &[u8]) -> Result<Vec<MetadataFaultRule>, serde_json::Error> {
    let rules = match serde_json::from_slice(json)? {
        serde_json::Value::Array(rules) => rules,
        one => vec![one],
    };
    rules.into_iter().map(rule).collect()
}

/// One rule. Serde takes unknown fields beside a flattened enumeration, and a misspelt `count` would mean "for ever".
fn rule(value: serde_json::Value) -> Result<MetadataFaultRule, serde_json::Error> {
    const FIELDS: [&str; 3] = ["kind", "milliseconds", "count"];
    let fields = value.as_object().into_iter().flat_map(serde_json::Map::keys);
    if let Some(unknown) = fields.into_iter().find(|field| !FIELDS.contains(&field.as_str())) {
        let text = format!(
            "unknown field `{unknown}`, expected one of {}",
            FIELDS.map(|field| format!("`{field}`")).join(", ")
        );
        return Err(serde::de::Error::custom(text));
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_or_a_list() {
        let internal = MetadataFaultRule { fault: MetadataFault::Internal, count: Some(20) };
        assert_eq!(parse(br#"{"kind":"internal","count":20}"#).unwrap(), [internal]);
        let late = MetadataFaultRule { fault: MetadataFault::Late { milliseconds: 5 }, count: None };
        let both = br#"[{"kind":"internal","count":20},{"kind":"late","milliseconds":5}]"#;
        assert_eq!(parse(both).unwrap(), [internal, late]);
        assert_eq!(parse(b"[]").unwrap(), []);
        assert!(parse(br#"{"kind":"gone","count":1}"#).is_err());
        let misspelt = parse(br#"{"kind":"internal","coutn":20}"#).unwrap_err().to_string();
        assert!(misspelt.contains("unknown field `coutn`"), "{misspelt}");
        let written = serde_json::to_string(&internal).unwrap();
        assert_eq!(written, r#"{"kind":"internal","count":20}"#);
    }
}
