//! GetBucketVersioning: the emulator names the answer's root element after the operation, where S3 names it after the
//! document, and SDKs check the name.

use http::Method;
use http::request::Parts;

const WRONG: &str = "GetBucketVersioningResponse";
const RIGHT: &str = "VersioningConfiguration";

/// Whether this is a question for a bucket's versioning, which S3 names by a word in the query.
pub fn is_asked(parts: &Parts) -> bool {
    let mut words = parts.uri.query().unwrap_or_default().split('&');
    parts.method == Method::GET && words.any(|pair| pair.trim_end_matches('=') == "versioning")
}

/// Renames the root element.
pub fn complete(answer: &str) -> String {
    answer.replace(&format!("<{WRONG}"), &format!("<{RIGHT}")).replace(&format!("</{WRONG}>"), &format!("</{RIGHT}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_element_gets_its_name() {
        assert_eq!(
            complete("<GetBucketVersioningResponse xmlns=\"x\"><Status>Enabled</Status></GetBucketVersioningResponse>"),
            "<VersioningConfiguration xmlns=\"x\"><Status>Enabled</Status></VersioningConfiguration>"
        );
        assert_eq!(complete("<GetBucketVersioningResponse/>"), "<VersioningConfiguration/>");
        let asked = |method: &str, uri: &str| {
            is_asked(&http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0)
        };
        assert!(asked("GET", "/b?versioning") && asked("GET", "/b/?versioning="));
        assert!(!asked("GET", "/b?versions") && !asked("PUT", "/b?versioning"));
    }
}
