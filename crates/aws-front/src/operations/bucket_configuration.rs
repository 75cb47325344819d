//! GetBucketVersioning: the emulator names the answer's root element after the operation, where S3 names it after the
//! document, and SDKs check the name.

use http::Method;
use http::request::Parts;

use crate::xml::Element;

const WRONG: &str = "GetBucketVersioningResponse";
const RIGHT: &str = "VersioningConfiguration";

/// Whether this is a question for a bucket's versioning, which S3 names by a word in the query.
pub fn is_asked(parts: &Parts) -> bool {
    let mut words = parts.uri.query().unwrap_or_default().split('&');
    parts.method == Method::GET && words.any(|pair| pair.trim_end_matches('=') == "versioning")
}

/// Renames the root element.
pub fn complete(answer: &mut Element) {
    if answer.name == WRONG {
        RIGHT.clone_into(&mut answer.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml;

    #[test]
    fn the_root_element_gets_its_name() {
        let wrong = "<GetBucketVersioningResponse xmlns=\"x\"><Status>Enabled</Status></GetBucketVersioningResponse>";
        let mut answer = xml::parse(wrong.as_bytes()).unwrap();
        complete(&mut answer);
        assert_eq!(xml::write(&answer), wrong.replace(WRONG, RIGHT));
        let asked = |method: &str, uri: &str| {
            is_asked(&http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0)
        };
        assert!(asked("GET", "/b?versioning") && asked("GET", "/b/?versioning="));
        assert!(!asked("GET", "/b?versions") && !asked("PUT", "/b?versioning"));
    }
}
