//! Who speaks: the first frame on the control service's socket, before the greetings. The session's relay writes it, never a client.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whom sshd has let in, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Whose key it was.
    #[serde(flatten)]
    pub identity: Identity,
    /// SHA-256 of the public key's blob (RFC 4253, 6.6) in hexadecimal digits: the key that sshd has checked, which has to be the owner's
    /// still when something is asked for. None for who is on the node already and came without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The client's address as sshd saw it; none when sshd said nothing that is an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<core::net::IpAddr>,
}

/// The owner of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// A person, by the name of their record.
    User(String),
    /// CI, with a key that opens one app.
    Token {
        /// Which it may act on, and nothing else.
        app: String,
        /// What the token's maker called it.
        name: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => formatter.write_str(name),
            Self::Token { app, name } => write!(formatter, "the token {name} of {app}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_one_flat_document() {
        let from = Some("203.0.113.7".parse().unwrap());
        let jane = Caller { identity: Identity::User("jane".to_owned()), key: Some("00ff".to_owned()), from };
        let identity = Identity::Token { app: "hello".to_owned(), name: "ci".to_owned() };
        let ci = Caller { identity, key: None, from: None };
        for (caller, text) in [
            (&jane, r#"{"user":"jane","key":"00ff","from":"203.0.113.7"}"#),
            (&ci, r#"{"token":{"app":"hello","name":"ci"}}"#),
        ] {
            assert_eq!(serde_json::to_string(caller).unwrap(), text);
            assert_eq!(serde_json::from_str::<Caller>(text).unwrap(), *caller);
        }
        assert_eq!(
            (jane.identity.to_string(), ci.identity.to_string()),
            ("jane".into(), "the token ci of hello".into())
        );
        for text in [
            r#"{}"#,
            r#"{"from":"203.0.113.7"}"#,
            r#"{"user":7}"#,
            r#"{"user":"a","key":7}"#,
            r#"{"user":"a","from":"somewhere"}"#,
        ] {
            assert!(serde_json::from_str::<Caller>(text).is_err(), "{text}");
        }
    }
}
