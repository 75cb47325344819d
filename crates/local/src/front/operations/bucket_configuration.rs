//! GetBucketVersioning: the emulator names the answer's root element after the operation, where S3 names it after the
//! document, and SDKs check the name.

const WRONG: &str = "GetBucketVersioningResponse";
const RIGHT: &str = "VersioningConfiguration";

/// The operation behind a word of the query, if its answer needs completing.
pub fn action(word: &str) -> Option<&'static str> {
    (word == "versioning").then_some("GetBucketVersioning")
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
        assert_eq!(action("versioning"), Some("GetBucketVersioning"));
        assert_eq!(action("versions"), None);
    }
}
