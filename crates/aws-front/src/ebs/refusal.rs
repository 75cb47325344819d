//! Refusals of the EBS direct APIs, with the names and reasons that AWS gives them.

use http::{HeaderValue, Response, StatusCode};

use crate::server::{Body, full};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    reason: &'static str,
    message: String,
}

impl Refusal {
    /// There is no such thing.
    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", reason, message)
    }

    /// The request cannot be right.
    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", reason, message)
    }

    /// The request contradicts an earlier one.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ConflictException", "", message)
    }

    /// The caller may not.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", message)
    }

    /// Something on this side is broken.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException", "", message)
    }

    fn new(status: StatusCode, kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, reason, message: message.into() }
    }

    /// AWS's machine-readable reason.
    #[cfg(test)]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The answer on the wire.
    pub fn response(&self) -> Response<Body> {
        let mut body = serde_json::json!({ "Message": self.message });
        if !self.reason.is_empty() {
            body["Reason"] = self.reason.into();
        }
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.kind));
        response
    }
}
