//! The credentials that the metadata service has issued, and who is behind a request that is signed with some.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use http::request::Parts;

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

/// What was issued with an access key id.
struct Session {
    token: String,
    until: SystemTime,
    principal: Principal,
}

/// What the metadata service has issued, by access key id.
#[derive(Clone, Default)]
pub struct Sessions {
    sessions: Arc<RwLock<BTreeMap<String, Session>>>,
    trust: Arc<tokio::sync::RwLock<()>>,
}

/// Who a request comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nobody to whom we have given credentials.
    Unknown,
    /// Somebody who knows an access key id, but not what belongs to it.
    TokenMismatch,
    /// An instance whose credentials were not renewed in time.
    Expired,
    /// An instance, whose credentials are good.
    Node(Principal),
}

impl Sessions {
    /// Notes credentials. They stay known when their time is over: the emulator would take them for ever.
    pub fn note(&self, access_key: &str, token: &str, until: SystemTime, principal: Principal) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(access_key.to_owned(), Session { token: token.to_owned(), until, principal });
    }

    /// As long as this is held, every role's trust is what its owner has made it: see `imds/assume.rs`.
    pub async fn trust(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.trust.read().await
    }

    /// As long as this is held, nobody sees a role's trust, so that it may be another for a moment.
    pub async fn borrow_trust(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.trust.write().await
    }

    /// Who has signed a request, in its header or (presigned) in its query. The session token tells: only the instance
    /// has got it.
    pub(crate) fn principal(&self, parts: &Parts) -> Known {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let query = |name: &str| {
            let mut pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
            Some(pairs.find(|(known, _)| known == name)?.1.into_owned())
        };
        let credential = header("authorization")
            .and_then(|value| value.split("Credential=").nth(1).map(str::to_owned))
            .or_else(|| query("X-Amz-Credential"));
        let token = header("x-amz-security-token").or_else(|| query("X-Amz-Security-Token"));
        let access_key = credential.as_deref().and_then(|credential| credential.split('/').next()).unwrap_or_default();
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        match sessions.get(access_key) {
            None => Known::Unknown,
            Some(session) if token.as_ref() != Some(&session.token) => Known::TokenMismatch,
            Some(session) if session.until <= SystemTime::now() => Known::Expired,
            Some(session) => Known::Node(session.principal.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let issued = Sessions::default();
        issued.note("ASIA1", "to/ken", SystemTime::now() + Duration::from_secs(60), node());
        assert_eq!(issued.principal(&parts("ASIA1", Some("to/ken"), "/")), Known::Node(node()));
        assert_eq!(issued.principal(&parts("ASIA1", Some("guess"), "/")), Known::TokenMismatch);
        assert_eq!(issued.principal(&parts("ASIA1", None, "/")), Known::TokenMismatch);
        assert_eq!(issued.principal(&parts("ASIA2", Some("to/ken"), "/")), Known::Unknown);
        let presigned =
            "/b/k?X-Amz-Credential=ASIA1%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Security-Token=to%2Fken";
        assert_eq!(issued.principal(&parts("", None, presigned)), Known::Node(node()));
    }

    #[test]
    fn credentials_end() {
        let issued = Sessions::default();
        issued.note("ASIA1", "token", SystemTime::now() - Duration::from_secs(1), node());
        assert_eq!(issued.principal(&parts("ASIA1", Some("token"), "/")), Known::Expired);
        assert_eq!(issued.principal(&parts("ASIA1", Some("guess"), "/")), Known::TokenMismatch);
    }
}
