//! The actions of S3: which permissions a request needs, by its method, path, query and headers.

use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// An action on a resource, with what only this action has in its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// For example `s3:GetObject`.
    pub action: String,
    pub resource: String,
    /// For example `s3:prefix`.
    pub context: Vec<(String, String)>,
}

impl Need {
    /// The bucket that it is about.
    pub fn bucket(&self) -> Option<&str> {
        self.resource.strip_prefix(ARN)?.split('/').next()
    }
}

/// What the ARNs of buckets begin with.
pub const ARN: &str = "arn:aws:s3:::";
/// Headers that conditions may ask about, each as `s3:HEADER`.
const HEADERS: [&str; 7] = [
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "if-match",
    "if-none-match",
];

/// Parameters of the query that say how, and name no subresource.
const NON_SUBRESOURCE_PARAMS: [&str; 17] = [
    "x-id",
    "list-type",
    "prefix",
    "delimiter",
    "max-keys",
    "marker",
    "continuation-token",
    "start-after",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "version-id-marker",
    "upload-id-marker",
    "max-uploads",
    "max-parts",
    "part-number-marker",
    "partNumber",
];
/// Settings of a bucket: word of the query, action to read, action to write, action to remove.
const SETTINGS: [(&str, &str, &str, &str); 17] = [
    ("acl", "GetBucketAcl", "PutBucketAcl", ""),
    ("accelerate", "GetAccelerateConfiguration", "PutAccelerateConfiguration", ""),
    ("cors", "GetBucketCORS", "PutBucketCORS", "PutBucketCORS"),
    ("encryption", "GetEncryptionConfiguration", "PutEncryptionConfiguration", "PutEncryptionConfiguration"),
    ("lifecycle", "GetLifecycleConfiguration", "PutLifecycleConfiguration", "PutLifecycleConfiguration"),
    ("location", "GetBucketLocation", "", ""),
    ("logging", "GetBucketLogging", "PutBucketLogging", ""),
    ("notification", "GetBucketNotification", "PutBucketNotification", ""),
    ("object-lock", "GetBucketObjectLockConfiguration", "PutBucketObjectLockConfiguration", ""),
    ("ownershipControls", "GetBucketOwnershipControls", "PutBucketOwnershipControls", "PutBucketOwnershipControls"),
    ("policy", "GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"),
    ("policyStatus", "GetBucketPolicyStatus", "", ""),
    ("publicAccessBlock", "GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock", "PutBucketPublicAccessBlock"),
    ("replication", "GetReplicationConfiguration", "PutReplicationConfiguration", "PutReplicationConfiguration"),
    ("requestPayment", "GetBucketRequestPayment", "PutBucketRequestPayment", ""),
    ("tagging", "GetBucketTagging", "PutBucketTagging", "PutBucketTagging"),
    ("versioning", "GetBucketVersioning", "PutBucketVersioning", ""),
];

/// A request, taken apart.
struct Call<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    query: Vec<(String, String)>,
    bucket: String,
    key: String,
}

/// Whether the keys of a request are in its body.
pub fn names_keys_in_body(parts: &Parts) -> bool {
    parts.method == Method::POST
        && parts.uri.query().is_some_and(|query| query.split('&').any(|word| word.trim_end_matches('=') == "delete"))
}

/// What a request needs; `None` when it is not known, so that it must be refused.
pub fn needs(parts: &Parts, body: &[u8]) -> Option<Vec<Need>> {
    let decoded = |word: &str| Some(percent_decode_str(word).decode_utf8().ok()?.into_owned());
    let path = parts.uri.path().strip_prefix('/')?;
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let mut query = Vec::new();
    for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.push((decoded(name)?, decoded(&value.replace('+', " "))?));
    }
    query.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("x-amz-") && !name.starts_with("response-"));
    // The emulator decodes a path before it takes it apart, so an encoded slash must not hide the key in the bucket's name.
    if !is_bucket(bucket) {
        return None;
    }
    let call =
        Call { method: &parts.method, headers: &parts.headers, query, bucket: bucket.to_owned(), key: decoded(key)? };
    match (call.bucket.is_empty(), call.key.is_empty()) {
        (true, true) if parts.method == Method::GET && call.words().is_empty() => {
            Some(vec![Need { action: "s3:ListAllMyBuckets".to_owned(), resource: "*".to_owned(), context: Vec::new() }])
        }
        (true, _) => None,
        (false, true) => call.bucket_needs(body),
        (false, false) => call.object_needs(),
    }
}

impl Call<'_> {
    /// The words of the query that say what is asked for.
    fn words(&self) -> Vec<&str> {
        self.query.iter().map(|(name, _)| name.as_str()).filter(|name| !NON_SUBRESOURCE_PARAMS.contains(name)).collect()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the headers say to conditions.
    fn header_context(&self) -> Vec<(String, String)> {
        HEADERS.iter().filter_map(|name| Some((format!("s3:{name}"), self.header(name)?.to_owned()))).collect()
    }

    fn on_bucket(&self, action: &str) -> Vec<Need> {
        let mut context = self.header_context();
        let words = ["prefix", "delimiter", "max-keys"].iter();
        context.extend(words.filter_map(|name| Some((format!("s3:{name}"), self.value(name)?.to_owned()))));
        vec![Need { action: format!("s3:{action}"), resource: format!("{ARN}{}", self.bucket), context }]
    }

    fn on_object(&self, action: &str) -> Need {
        let mut context = self.header_context();
        context.extend(self.value("versionId").map(|version| ("s3:VersionId".to_owned(), version.to_owned())));
        Need { action: format!("s3:{action}"), resource: format!("{ARN}{}/{}", self.bucket, self.key), context }
    }

    fn bucket_needs(&self, body: &[u8]) -> Option<Vec<Need>> {
        let words = self.words();
        let action = match (self.method.as_str(), words.as_slice()) {
            ("GET" | "HEAD", []) => "ListBucket",
            ("PUT", []) => "CreateBucket",
            ("DELETE", []) => "DeleteBucket",
            ("GET", ["versions"]) => "ListBucketVersions",
            ("GET", ["uploads"]) => "ListBucketMultipartUploads",
            ("POST", ["delete"]) => return self.deletions(body),
            (method, [word]) => {
                let (_, read, write, remove) = SETTINGS.iter().find(|(known, ..)| known == word)?;
                let action = match method {
                    "GET" => read,
                    "PUT" => write,
                    "DELETE" => remove,
                    _ => return None,
                };
                Some(*action).filter(|action| !action.is_empty())?
            }
            _ => return None,
        };
        Some(self.on_bucket(action))
    }

    /// DeleteObjects: each key in the body for itself. Only the one way in which SDKs write it is understood, since the emulator
    /// reads any XML: no attributes, comments, entities of one's own or elements within a key.
    fn deletions(&self, body: &[u8]) -> Option<Vec<Need>> {
        let text = std::str::from_utf8(body).ok()?;
        let plain = |element: &str| text.matches(&format!("<{element}")).count() == count(text, element);
        if text.contains("<!") || !["Object", "Key", "VersionId"].into_iter().all(plain) {
            return None;
        }
        let mut needs = Vec::new();
        for object in text.split("<Object>").skip(1) {
            let object = object.split_once("</Object>")?.0;
            let inside = |element: &str| object.split_once(&format!("<{element}>"))?.1.split_once('<');
            let key = unescaped(inside("Key").filter(|(_, end)| end.starts_with("/Key>"))?.0)?;
            let (action, context) = match (count(object, "Key"), count(object, "VersionId")) {
                (1, 0) => ("DeleteObject", self.header_context()),
                (1, 1) => (
                    "DeleteObjectVersion",
                    [self.header_context(), vec![("s3:VersionId".to_owned(), unescaped(inside("VersionId")?.0)?)]]
                        .concat(),
                ),
                _ => return None,
            };
            let resource = format!("{ARN}{}/{key}", self.bucket);
            needs.push(Need { action: format!("s3:{action}"), resource, context });
        }
        // A key outside of every object would be one that nobody has asked about.
        Some(needs).filter(|needs| !needs.is_empty() && needs.len() == count(text, "Key"))
    }

    fn object_needs(&self) -> Option<Vec<Need>> {
        let version = if self.value("versionId").is_some() { "Version" } else { "" };
        let words: Vec<&str> = self.words().into_iter().filter(|word| *word != "versionId").collect();
        let named = |action: &str| Some(vec![self.on_object(action)]);
        match (self.method.as_str(), words.as_slice()) {
            ("GET" | "HEAD", []) => named(&format!("GetObject{version}")),
            ("GET", ["acl"]) => named(&format!("GetObject{version}Acl")),
            ("GET", ["tagging"]) => named(&format!("GetObject{version}Tagging")),
            ("GET", ["torrent"]) => named(&format!("GetObject{version}Torrent")),
            ("GET", ["attributes"]) => Some(vec![
                self.on_object(&format!("GetObject{version}")),
                self.on_object(&format!("GetObject{version}Attributes")),
            ]),
            ("GET", ["retention"]) => named("GetObjectRetention"),
            ("GET", ["legal-hold"]) => named("GetObjectLegalHold"),
            ("GET", ["uploadId"]) => named("ListMultipartUploadParts"),
            ("PUT", [] | ["uploadId"]) | ("POST", ["uploads"]) => self.writing(),
            ("POST", ["uploadId"]) => named("PutObject"),
            ("PUT", ["acl"]) => named(&format!("PutObject{version}Acl")),
            ("PUT", ["tagging"]) => named(&format!("PutObject{version}Tagging")),
            ("PUT", ["retention"]) => named("PutObjectRetention"),
            ("PUT", ["legal-hold"]) => named("PutObjectLegalHold"),
            ("POST", ["restore"]) => named("RestoreObject"),
            ("DELETE", []) => {
                let mut needs = vec![self.on_object(&format!("DeleteObject{version}"))];
                if self.header("x-amz-bypass-governance-retention").is_some() {
                    needs.push(self.on_object("BypassGovernanceRetention"));
                }
                Some(needs)
            }
            ("DELETE", ["tagging"]) => named(&format!("DeleteObject{version}Tagging")),
            ("DELETE", ["uploadId"]) => named("AbortMultipartUpload"),
            _ => None,
        }
    }

    /// A new object, or a part of one: what its headers ask for besides needs permissions of its own.
    fn writing(&self) -> Option<Vec<Need>> {
        let mut needs = vec![self.on_object("PutObject")];
        let acl = self.header("x-amz-acl").is_some()
            || self.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
        for (asked, action) in [
            (acl, "PutObjectAcl"),
            (self.header("x-amz-tagging").is_some(), "PutObjectTagging"),
            (self.header("x-amz-object-lock-mode").is_some(), "PutObjectRetention"),
            (self.header("x-amz-object-lock-legal-hold").is_some(), "PutObjectLegalHold"),
        ] {
            needs.extend(asked.then(|| self.on_object(action)));
        }
        if let Some(source) = self.header("x-amz-copy-source") {
            needs.push(copied(source)?);
        }
        Some(needs)
    }
}

/// What reading the source of a copy needs. The emulator reads it as a URL, so there must be nothing in it that only a URL has.
fn copied(source: &str) -> Option<Need> {
    let (path, version) = match source.split_once('?') {
        Some((path, query)) => (path, Some(query.strip_prefix("versionId=")?)),
        None => (source, None),
    };
    let (bucket, key) = path.strip_prefix('/').unwrap_or(path).split_once('/')?;
    let plain = source.bytes().all(|byte| byte.is_ascii_graphic() && !b";#&".contains(&byte));
    if !plain || bucket.is_empty() || !is_bucket(bucket) {
        return None;
    }
    let key = percent_decode_str(key).decode_utf8().ok()?;
    let context: Vec<_> = version.map(|version| ("s3:VersionId".to_owned(), version.to_owned())).into_iter().collect();
    let action = if context.is_empty() { "s3:GetObject" } else { "s3:GetObjectVersion" };
    Some(Need { action: action.to_owned(), resource: format!("{ARN}{bucket}/{key}"), context })
}

/// Whether this may be the name of a bucket as it stands, without any encoding.
fn is_bucket(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// How often an element begins.
fn count(text: &str, element: &str) -> usize {
    text.matches(&format!("<{element}>")).count()
}

/// Text of an XML document; `None` when it has an entity that is not one of the five.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (name, after) = after.split_once(';')?;
        out.push_str(before);
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn names(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Option<Vec<String>> {
        let needs = needs(&parts(method, uri, headers), body.as_bytes())?;
        Some(
            needs
                .into_iter()
                .map(|need| format!("{} {}", need.action, need.resource.trim_start_matches("arn:aws:s3:::")))
                .collect(),
        )
    }

    #[test]
    fn each_request_has_its_actions() {
        for (method, uri, expected) in [
            ("GET", "/", "s3:ListAllMyBuckets *"),
            ("GET", "/?x-id=ListBuckets", "s3:ListAllMyBuckets *"),
            ("GET", "/b", "s3:ListBucket b"),
            ("GET", "/b/", "s3:ListBucket b"),
            ("HEAD", "/b/", "s3:ListBucket b"),
            ("GET", "/b?list-type=2&prefix=apps%2F&delimiter=/", "s3:ListBucket b"),
            ("GET", "/b?versions&prefix=x", "s3:ListBucketVersions b"),
            ("GET", "/b?uploads", "s3:ListBucketMultipartUploads b"),
            ("GET", "/b?versioning", "s3:GetBucketVersioning b"),
            ("PUT", "/b?versioning=", "s3:PutBucketVersioning b"),
            ("DELETE", "/b?versioning", ""),
            ("GET", "/b?location", "s3:GetBucketLocation b"),
            ("PUT", "/b?policy", "s3:PutBucketPolicy b"),
            ("DELETE", "/b?policy", "s3:DeleteBucketPolicy b"),
            ("DELETE", "/b?lifecycle", "s3:PutLifecycleConfiguration b"),
            ("PUT", "/b", "s3:CreateBucket b"),
            ("DELETE", "/b", "s3:DeleteBucket b"),
            ("POST", "/b", ""),
            ("GET", "/b?policy&acl", ""),
            ("GET", "/b?something-new", ""),
            ("GET", "/b/k", "s3:GetObject b/k"),
            ("HEAD", "/b/a/b%20c", "s3:GetObject b/a/b c"),
            ("GET", "/b/k?versionId=1", "s3:GetObjectVersion b/k"),
            ("GET", "/b/k?response-content-type=x&X-Amz-Signature=1&x-id=GetObject", "s3:GetObject b/k"),
            ("GET", "/b/k?acl", "s3:GetObjectAcl b/k"),
            ("GET", "/b/k?tagging&versionId=1", "s3:GetObjectVersionTagging b/k"),
            ("GET", "/b/k?attributes", "s3:GetObject b/k,s3:GetObjectAttributes b/k"),
            ("GET", "/b/k?uploadId=1", "s3:ListMultipartUploadParts b/k"),
            ("PUT", "/b/k?x-id=PutObject", "s3:PutObject b/k"),
            ("PUT", "/b/k?partNumber=1&uploadId=1", "s3:PutObject b/k"),
            ("POST", "/b/k?uploads", "s3:PutObject b/k"),
            ("POST", "/b/k?uploadId=1", "s3:PutObject b/k"),
            ("PUT", "/b/k?acl", "s3:PutObjectAcl b/k"),
            ("PUT", "/b/k?retention", "s3:PutObjectRetention b/k"),
            ("POST", "/b/k?restore", "s3:RestoreObject b/k"),
            ("POST", "/b/k?select&select-type=2", ""),
            ("POST", "/b/k", ""),
            ("DELETE", "/b/k", "s3:DeleteObject b/k"),
            ("DELETE", "/b/k?versionId=1", "s3:DeleteObjectVersion b/k"),
            ("DELETE", "/b/k?uploadId=1", "s3:AbortMultipartUpload b/k"),
            ("DELETE", "/b/k?tagging", "s3:DeleteObjectTagging b/k"),
            ("PATCH", "/b/k", ""),
            ("GET", "/b/%ff", ""),
            ("GET", "//b/k", ""),
            ("GET", "/b%2Fk", ""),
            ("PUT", "/%62/k", ""),
            ("GET", "/b//k", "s3:GetObject b//k"),
        ] {
            let expected = Some(expected).filter(|expected| !expected.is_empty());
            assert_eq!(names(method, uri, &[], "").map(|names| names.join(",")).as_deref(), expected, "{method} {uri}");
        }
    }

    #[test]
    fn what_headers_ask_for_needs_its_own_permission() {
        let copy = names("PUT", "/b/k", &[("x-amz-copy-source", "/other/a%20b"), ("x-amz-tagging", "a=b")], "");
        assert_eq!(copy.unwrap(), ["s3:PutObject b/k", "s3:PutObjectTagging b/k", "s3:GetObject other/a b"]);
        let old = names("PUT", "/b/k?partNumber=1&uploadId=1", &[("x-amz-copy-source", "other/k?versionId=7")], "");
        assert_eq!(old.unwrap(), ["s3:PutObject b/k", "s3:GetObjectVersion other/k"]);
        for source in
            ["//b/other/k", "http://x/other/k", "other/k;x", "other/k#x", "%6fther/k", "other/k?x&versionId=7", "k"]
        {
            assert_eq!(names("PUT", "/b/k", &[("x-amz-copy-source", source)], ""), None, "{source}");
        }
        let public = names("PUT", "/b/k", &[("x-amz-grant-read", "everybody")], "");
        assert_eq!(public.unwrap(), ["s3:PutObject b/k", "s3:PutObjectAcl b/k"]);
        let unlocked = names("DELETE", "/b/k", &[("x-amz-bypass-governance-retention", "true")], "");
        assert_eq!(unlocked.unwrap(), ["s3:DeleteObject b/k", "s3:BypassGovernanceRetention b/k"]);
    }

    #[test]
    fn each_deleted_key_is_asked_about() {
        let body =
            "<Delete><Object><Key>a&amp;b</Key></Object><Object><Key>c</Key><VersionId>1</VersionId></Object></Delete>";
        assert!(names_keys_in_body(&parts("POST", "/b?delete=", &[])));
        assert!(!names_keys_in_body(&parts("POST", "/b/k?uploads", &[])));
        assert_eq!(
            names("POST", "/b?delete", &[], body).unwrap(),
            ["s3:DeleteObject b/a&b", "s3:DeleteObjectVersion b/c"]
        );
        assert_eq!(names("POST", "/b?delete", &[], "<Delete><Object><Key>&bad;</Key></Object></Delete>"), None);
        assert_eq!(names("POST", "/b?delete", &[], "<Delete/>"), None);
        for object in [
            "<Object ><Key>other</Key></Object>",
            "<Object x=\"1\"><Key>other</Key></Object>",
            "<Object><Key x=\"1\">other</Key></Object>",
            "<Object><!-- <Key>a</Key> --><Key>other</Key></Object>",
            "<Object><Key>a</Key><Key>other</Key></Object>",
            "<Object><Key>a<?x?>b</Key></Object>",
            "<Object><Key>a</Key ><Key>b</Key></Object>",
            "<Object><Key>a</Key><VersionId >1</VersionId></Object>",
            "<Object/>",
            "<Key>outside</Key>",
        ] {
            let body = format!("<Delete><Object><Key>a</Key></Object>{object}</Delete>");
            assert_eq!(names("POST", "/b?delete", &[], &body), None, "{object}");
        }
    }

    #[test]
    fn listings_carry_their_prefix() {
        let need = &needs(&parts("GET", "/b?list-type=2&prefix=apps%2Fa+b%2F&max-keys=5", &[]), b"").unwrap()[0];
        let expected = [("s3:prefix", "apps/a b/"), ("s3:max-keys", "5")];
        assert_eq!(need.context, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let put = &needs(&parts("PUT", "/b/k", &[("x-amz-server-side-encryption", "aws:kms")]), b"").unwrap()[0];
        assert_eq!(put.context, [("s3:x-amz-server-side-encryption".to_owned(), "aws:kms".to_owned())]);
    }
}
