//! A record of the API's requests, for whoever holds them against AWS's own descriptions of its services.
//!
//! One line of JSON per request, without credentials: whatever signs a request stays out of the file.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use serde_json::{Map, Value, json};

use futuswarm_local_api::faults::Caller;

use crate::resign::Scope;

/// A body that is longer is content of an object or of a disk, and no parameter.
pub const BODY_LIMIT: usize = 256 << 10;
/// Headers that say who signs, or with what.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization", "x-amz-security-token"];
/// The same in a presigned request's query, in lower case.
const SECRET_PARAMETERS: &[&str] = &["x-amz-credential", "x-amz-security-token", "x-amz-signature"];

/// The record; requests are noted while there is a file.
#[derive(Default)]
pub struct Recorder(Mutex<Option<File>>);

impl Recorder {
    /// Begins to note requests at the end of a file that only its owner can read, or ceases to.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn write_to(&self, path: Option<&Path>) -> std::io::Result<()> {
        let open = |path| File::options().create(true).append(true).mode(0o600).open(path);
        let opened = path.map(open).transpose()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }

    /// Whether requests are noted.
    pub fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes a request; `body` when it is known and small.
    pub fn note(&self, parts: &Parts, body: Option<&Bytes>, caller: Caller, scope: &Scope) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = file.as_mut() else { return };
        let line = format!("{}\n", line(parts, body, caller, scope));
        // One write, so that a reader never sees half a line.
        if let Err(error) = open.write_all(line.as_bytes()) {
            tracing::warn!(%error, "requests are no longer recorded");
            *file = None;
        }
    }
}

/// Whether a body is known to be short enough to be parameters.
pub fn is_short(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    length.map_or(!headers.contains_key(TRANSFER_ENCODING), |length| length <= BODY_LIMIT)
}

fn line(parts: &Parts, body: Option<&Bytes>, caller: Caller, scope: &Scope) -> Value {
    let mut headers = Map::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| !SECRET_HEADERS.contains(&name.as_str())) {
        headers.insert(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into());
    }
    let is_open = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        !SECRET_PARAMETERS.contains(&name.as_str())
    };
    let query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').filter(is_open).collect();
    json!({
        "caller": caller,
        "service": scope.service.name(),
        "region": scope.region,
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": query.join("&"),
        "headers": headers,
        "body": body.map(|body| base64::engine::general_purpose::STANDARD.encode(body)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;

    fn parts() -> Parts {
        let request =
            http::Request::post("/bucket/a%20key?partNumber=1&X-Amz-Signature=s3cret&X-Amz-Credential=s3cret")
                .header("Authorization", "AWS4-HMAC-SHA256 Credential=s3cret")
                .header("X-Amz-Security-Token", "s3cret")
                .header("Cookie", "s3cret")
                .header("X-Amz-Target", "TrentService.Decrypt");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_line_has_what_a_request_says_and_not_who_signs_it() {
        let scope = Scope { region: "eu-west-1".to_owned(), service: Service::Kms };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests.jsonl");
        let recorder = Recorder::default();
        recorder.note(&parts(), None, Caller::Owner, &scope);
        recorder.write_to(Some(&path)).unwrap();
        assert!(recorder.is_on());
        recorder.note(&parts(), Some(&Bytes::from_static(b"{}")), Caller::Node, &scope);
        recorder.note(&parts(), None, Caller::Owner, &scope);
        recorder.write_to(None).unwrap();
        recorder.note(&parts(), None, Caller::Owner, &scope);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "noted while there is a file: {text}");
        assert_eq!(
            lines[0],
            json!({
                "caller": "node",
                "service": "kms",
                "region": "eu-west-1",
                "method": "POST",
                "path": "/bucket/a%20key",
                "query": "partNumber=1",
                "headers": { "x-amz-target": "TrentService.Decrypt" },
                "body": "e30=",
            })
        );
        assert_eq!((&lines[1]["caller"], &lines[1]["body"]), (&json!("owner"), &Value::Null));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert!(recorder.write_to(Some(dir.path())).is_err(), "a folder is no file");
    }
}
