//! How services word their errors: each protocol has its own place for a code and a message.

use http::{HeaderValue, Response, StatusCode};

use crate::server::{Body, full};
use crate::service::{Protocol, Service};
use crate::xml::escape;

/// An error in a service's own protocol.
pub fn error(
    service: &Service,
    status: StatusCode,
    code: &str,
    message: &str,
    request: &'static str,
) -> Response<Body> {
    let protocol = service.protocol();
    let plain = escape(message);
    let (kind, body) = match protocol {
        Protocol::RestJson => ("application/json", serde_json::json!({ "Message": message }).to_string()),
        Protocol::Json => {
            ("application/x-amz-json-1.1", serde_json::json!({ "__type": code, "message": message }).to_string())
        }
        Protocol::S3 => (
            "application/xml",
            format!("<Error><Code>{code}</Code><Message>{plain}</Message><RequestId>{request}</RequestId></Error>"),
        ),
        Protocol::Ec2 => (
            "text/xml",
            format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>{plain}</Message></Error></Errors><RequestID>{request}</RequestID></Response>"
            ),
        ),
        Protocol::Query => (
            "text/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{plain}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
            ),
        ),
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    if let (Protocol::RestJson, Ok(code)) = (protocol, HeaderValue::from_str(code)) {
        headers.insert("x-amzn-errortype", code);
    }
    headers.insert("x-amzn-requestid", HeaderValue::from_static(request));
    response
}
