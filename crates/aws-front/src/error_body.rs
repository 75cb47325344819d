//! How services word their errors: each protocol has its own place for a code and a message.

use http::{HeaderValue, Response, StatusCode};

use crate::server::{Body, full};
use crate::service::{Protocol, Service};
use crate::xml::{leaf, node, write};

/// The request id of an answer of our own.
pub const REQUEST_ID: &str = "local-cloud";

/// An error in a service's own protocol.
pub fn error(
    service: &Service,
    status: StatusCode,
    code: &str,
    message: &str,
    request: &'static str,
) -> Response<Body> {
    let protocol = service.protocol();
    let words = || [leaf("Code", code), leaf("Message", message)];
    let (kind, body) = match protocol {
        Protocol::RestJson => ("application/json", serde_json::json!({ "Message": message }).to_string()),
        Protocol::Json => {
            ("application/x-amz-json-1.1", serde_json::json!({ "__type": code, "message": message }).to_string())
        }
        Protocol::S3 => {
            let [code, message] = words();
            ("application/xml", write(&node("Error", [code, message, leaf("RequestId", request)])))
        }
        Protocol::Ec2 => {
            let errors = node("Errors", [node("Error", words())]);
            ("text/xml", write(&node("Response", [errors, leaf("RequestID", request)])))
        }
        Protocol::Query => {
            let [code, message] = words();
            let error = node("Error", [leaf("Type", "Sender"), code, message]);
            ("text/xml", write(&node("ErrorResponse", [error, leaf("RequestId", request)])))
        }
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
