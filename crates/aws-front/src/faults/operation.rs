//! The names of operations that have none in their request: S3's and those of the EBS direct APIs are told by method, path and
//! query.

use http::Method;
use http::request::Parts;

use crate::service::Service;

/// Settings of a bucket: the word of the query, and what follows `Get`, `Put` or `Delete`.
const SETTINGS: [(&str, &str); 17] = [
    ("acl", "BucketAcl"),
    ("accelerate", "BucketAccelerateConfiguration"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("replication", "BucketReplication"),
    ("requestPayment", "BucketRequestPayment"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
];

/// The operation of a call whose service does not name it in the request; `None` when it is not known.
pub fn of(service: &Service, parts: &Parts) -> Option<String> {
    let path = parts.uri.path().trim_start_matches('/');
    match service {
        Service::S3 => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            let query = parts.uri.query().unwrap_or_default();
            match (bucket, key) {
                ("", _) => Some("ListBuckets".to_owned()),
                (_, "") => of_bucket(&parts.method, query),
                _ => of_object(parts, query).map(str::to_owned),
            }
        }
        Service::Ebs => of_snapshot(&parts.method, path).map(str::to_owned),
        _ => None,
    }
}

fn has(query: &str, word: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(word))
}

fn of_bucket(method: &Method, query: &str) -> Option<String> {
    let verb = match *method {
        Method::HEAD => return Some("HeadBucket".to_owned()),
        Method::POST => return has(query, "delete").then(|| "DeleteObjects".to_owned()),
        Method::GET => "Get",
        Method::PUT => "Put",
        Method::DELETE => "Delete",
        _ => return None,
    };
    if let Some((_, setting)) = SETTINGS.iter().find(|(word, _)| has(query, word)) {
        // The one whose removal has another name.
        let setting = if verb == "Delete" { setting.trim_end_matches("LifecycleConfiguration") } else { setting };
        let setting = if setting == "Bucket" { "BucketLifecycle" } else { setting };
        return Some(format!("{verb}{setting}"));
    }
    let plain = match verb {
        "Put" => "CreateBucket",
        "Delete" => "DeleteBucket",
        _ if has(query, "versions") => "ListObjectVersions",
        _ if has(query, "uploads") => "ListMultipartUploads",
        _ if has(query, "list-type") => "ListObjectsV2",
        _ => "ListObjects",
    };
    Some(plain.to_owned())
}

fn of_object(parts: &Parts, query: &str) -> Option<&'static str> {
    let copies = parts.headers.contains_key("x-amz-copy-source");
    let (tagging, upload) = (has(query, "tagging"), has(query, "uploadId"));
    Some(match parts.method {
        Method::HEAD => "HeadObject",
        Method::GET if tagging => "GetObjectTagging",
        Method::GET if upload => "ListParts",
        Method::GET if has(query, "attributes") => "GetObjectAttributes",
        Method::GET if has(query, "acl") => "GetObjectAcl",
        Method::GET => "GetObject",
        Method::PUT if tagging => "PutObjectTagging",
        Method::PUT if has(query, "acl") => "PutObjectAcl",
        Method::PUT if upload && copies => "UploadPartCopy",
        Method::PUT if upload => "UploadPart",
        Method::PUT if copies => "CopyObject",
        Method::PUT => "PutObject",
        Method::DELETE if tagging => "DeleteObjectTagging",
        Method::DELETE if upload => "AbortMultipartUpload",
        Method::DELETE => "DeleteObject",
        Method::POST if has(query, "uploads") => "CreateMultipartUpload",
        Method::POST if upload => "CompleteMultipartUpload",
        _ => return None,
    })
}

fn of_snapshot(method: &Method, path: &str) -> Option<&'static str> {
    let path: Vec<&str> = path.split('/').collect();
    Some(match (method.as_str(), path.as_slice()) {
        ("POST", ["snapshots"]) => "StartSnapshot",
        ("PUT", ["snapshots", _, "blocks", _]) => "PutSnapshotBlock",
        ("POST", ["snapshots", "completion", _]) => "CompleteSnapshot",
        ("GET", ["snapshots", _, "blocks"]) => "ListSnapshotBlocks",
        ("GET", ["snapshots", _, "blocks", _]) => "GetSnapshotBlock",
        ("GET", ["snapshots", _, "changedblocks"]) => "ListChangedBlocks",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_names_of_the_documentation() {
        for (service, method, uri, expected) in [
            ("s3", "GET", "/", "ListBuckets"),
            ("s3", "PUT", "/bucket", "CreateBucket"),
            ("s3", "PUT", "/bucket/", "CreateBucket"),
            ("s3", "HEAD", "/bucket", "HeadBucket"),
            ("s3", "DELETE", "/bucket", "DeleteBucket"),
            ("s3", "GET", "/bucket?list-type=2&prefix=cluster%2F", "ListObjectsV2"),
            ("s3", "GET", "/bucket?prefix=tagging", "ListObjects"),
            ("s3", "GET", "/bucket?versions", "ListObjectVersions"),
            ("s3", "POST", "/bucket/?delete=", "DeleteObjects"),
            ("s3", "GET", "/bucket/?versioning", "GetBucketVersioning"),
            ("s3", "PUT", "/bucket/?versioning", "PutBucketVersioning"),
            ("s3", "PUT", "/bucket?publicAccessBlock=", "PutPublicAccessBlock"),
            ("s3", "PUT", "/bucket?lifecycle", "PutBucketLifecycleConfiguration"),
            ("s3", "DELETE", "/bucket?lifecycle", "DeleteBucketLifecycle"),
            ("s3", "DELETE", "/bucket?tagging", "DeleteBucketTagging"),
            ("s3", "GET", "/bucket/cluster/genesis?x-id=GetObject", "GetObject"),
            ("s3", "HEAD", "/bucket/cluster/genesis", "HeadObject"),
            ("s3", "PUT", "/bucket/cluster/genesis?x-id=PutObject", "PutObject"),
            ("s3", "PUT", "/bucket/tagging", "PutObject"),
            ("s3", "PUT", "/bucket/key?partNumber=1&uploadId=x", "UploadPart"),
            ("s3", "DELETE", "/bucket/key", "DeleteObject"),
            ("ebs", "POST", "/snapshots", "StartSnapshot"),
            ("ebs", "PUT", "/snapshots/snap-1/blocks/7", "PutSnapshotBlock"),
            ("ebs", "POST", "/snapshots/completion/snap-1", "CompleteSnapshot"),
            ("ebs", "GET", "/snapshots/snap-1/blocks?maxResults=100", "ListSnapshotBlocks"),
            ("ebs", "GET", "/snapshots/snap-1/blocks/7?blockToken=x", "GetSnapshotBlock"),
            ("ebs", "GET", "/snapshots/snap-2/changedblocks", "ListChangedBlocks"),
        ] {
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            assert_eq!(of(&Service::of(service), &request.into_parts().0).as_deref(), Some(expected), "{method} {uri}");
        }
        let copy = http::Request::builder().method("PUT").uri("/b/k").header("x-amz-copy-source", "b/o").body(());
        assert_eq!(of(&Service::S3, &copy.unwrap().into_parts().0).as_deref(), Some("CopyObject"));
        let unknown = http::Request::builder().method("PATCH").uri("/snapshots").body(()).unwrap().into_parts().0;
        assert_eq!((of(&Service::Ebs, &unknown), of(&Service::S3, &unknown)), (None, None));
    }
}
