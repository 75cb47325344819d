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
    #[serde(default)]
    pub count: Option<u32>,
}

/// Reads the JSON form of one fault or of a list, which are met one after the other.
///
/// # Errors
/// When it is not JSON of this form.
pub fn parse(json: &[u8]) -> Result<Vec<MetadataFaultRule>, serde_json::Error> {
    match serde_json::from_slice(json)? {
        list @ serde_json::Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|rule| vec![rule]),
    }
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
    }
}
