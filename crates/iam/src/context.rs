//! What is known of a request, and how sure it is that a statement is about it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Keys that requests have only sometimes, in small letters: whenever one has it, it is set.
const MAY_BE_ABSENT: [&str; 19] = [
    "aws:calledvia",
    // Instances sign with no second factor, have no user's name, and reach AWS through no endpoint of their VPC.
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:username",
    "kms:encryptioncontextkeys",
    "kms:viaservice",
    "s3:delimiter",
    "s3:max-keys",
    "s3:prefix",
    "s3:versionid",
    "s3:x-amz-acl",
    "s3:x-amz-copy-source",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-storage-class",
    "s3:if-match",
    "s3:if-none-match",
];

/// What is known of a request: condition key → values. Keys are the same in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// Gives a key its one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_lowercase(), vec![value.into()]);
    }

    /// Gives a key one value more.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.entry(key.to_lowercase()).or_default().push(value.into());
    }

    /// A key's values.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_lowercase()).map(Vec::as_slice)
    }

    /// Whether a key without values has none on AWS either. Of any other key nothing is known here, which is not the same as
    /// that it is absent.
    pub fn is_absent(&self, key: &str) -> bool {
        let key = key.to_lowercase();
        !self.0.contains_key(&key)
            && (MAY_BE_ABSENT.contains(&key.as_str()) || key.starts_with("kms:encryptioncontext:"))
    }
}

/// Whether a statement is about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// It is not.
    No,
    /// Part of it is not understood.
    Unknown,
    /// Surely.
    Yes,
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

impl Match {
    /// The other way round; what is unknown stays so.
    pub(crate) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// One value or a list of them.
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}
