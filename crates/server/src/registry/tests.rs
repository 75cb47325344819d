//! Against answers as Debian's docker-registry 2.8.2 gives them, one connection each.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Answers one request, and gives back what was asked.
async fn answering(answer: impl Into<String>) -> (HttpRegistry, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = HttpRegistry::new(&format!("http://{}/", listener.local_addr().unwrap()));
    let answer = answer.into();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        // Requests of these tests end with their head, or with this word.
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
            let has_body = request.windows(7).any(|window| window.eq_ignore_ascii_case(b"content"));
            let is_whole = request.ends_with(b"\r\n\r\n") && !has_body || request.ends_with(b"END");
            if count == 0 || is_whole {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (registry, asked)
}

fn digest() -> Digest {
    Digest::parse(DIGEST).unwrap()
}

#[test]
fn digests_are_lower_case_sha_256_and_nothing_else() {
    assert_eq!(digest().to_string(), DIGEST);
    let upper = DIGEST.to_uppercase();
    for text in ["", "sha256:", "sha256:abc", "sha512:abc", &DIGEST[7..], upper.as_str(), &format!("{DIGEST}0")] {
        assert_eq!(Digest::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_blob_is_there_or_not() {
    let (registry, asked) = answering("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
    assert_eq!(registry.blob_length("hello", &digest()).await, Ok(Some(7)));
    assert!(asked.await.unwrap().starts_with(&format!("HEAD /v2/hello/blobs/{DIGEST} HTTP/1.1\r\n")));
    let (registry, _) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert!(!registry.has_blob("hello", &digest()).await.unwrap());
    let (registry, _) = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let error = registry.has_blob("hello", &digest()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 503, .. }), "{error}");
}

#[tokio::test]
async fn an_upload_goes_where_the_registry_says() {
    let accepted = "HTTP/1.1 202 Accepted\r\nLocation: http://registry/v2/hello/blobs/uploads/u1?_state=a%3D\r\nRange: 0-0\r\nContent-Length: 0\r\n\r\n";
    let (registry, asked) = answering(accepted).await;
    let upload = registry.begin("hello").await.unwrap();
    assert_eq!(upload, Upload { location: "/v2/hello/blobs/uploads/u1?_state=a%3D".to_owned(), offset: 0 });
    assert!(asked.await.unwrap().starts_with("POST /v2/hello/blobs/uploads/ "));

    let later = "HTTP/1.1 202 Accepted\r\nLocation: /v2/hello/blobs/uploads/u1?_state=b\r\nRange: 0-5\r\nContent-Length: 0\r\n\r\n";
    let (registry, asked) = answering(later).await;
    let upload = registry.append(&upload, Bytes::from_static(b"123END")).await.unwrap();
    assert_eq!(upload, Upload { location: "/v2/hello/blobs/uploads/u1?_state=b".to_owned(), offset: 6 });
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("PATCH /v2/hello/blobs/uploads/u1?_state=a%3D "), "{asked}");
    assert!(asked.contains("content-length: 6\r\n") && asked.contains("content-range: 0-5\r\n"), "{asked}");

    let created = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    let (registry, asked) = answering(created).await;
    registry.finish(&upload, &digest()).await.unwrap();
    assert!(
        asked.await.unwrap().starts_with(&format!("PUT /v2/hello/blobs/uploads/u1?_state=b&digest={DIGEST} HTTP/1.1"))
    );
}

#[test]
fn a_place_is_a_path_on_the_registry_and_nowhere_else() {
    let place = |location: &str| UploadPlace { location: location.to_owned(), offset: 7 };
    let path = place("/v2/hello/blobs/uploads/u1?_state=a%3D");
    assert_eq!(Upload::at(&path).map(|upload| upload.place()), Some(path));
    for location in ["", "@elsewhere.example/v2/", "http://registry/v2/hello/blobs/uploads/u1", ".example"] {
        assert_eq!(Upload::at(&place(location)), None, "{location}");
    }
}

#[tokio::test]
async fn a_piece_without_an_answer_leaves_the_upload_where_the_registry_says_and_nowhere_else() {
    let (registry, _) = answering("").await;
    let upload = Upload { location: "/v2/hello/blobs/uploads/u1?_state=a".to_owned(), offset: 10 };
    let error = registry.append(&upload, Bytes::from_static(b"123END")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { operation: "PATCH upload", .. }), "{error}");

    // The piece has not come.
    let status = "HTTP/1.1 204 No Content\r\nLocation: /v2/hello/blobs/uploads/u1?_state=c\r\nRange: 0-9\r\n\r\n";
    let (registry, asked) = answering(status).await;
    let resumed = registry.resume(&upload).await.unwrap().unwrap();
    assert_eq!((resumed.location.as_str(), resumed.offset), ("/v2/hello/blobs/uploads/u1?_state=c", 10));
    assert!(asked.await.unwrap().starts_with("GET /v2/hello/blobs/uploads/u1?_state=a "));
    // It has: 2.8 says this of the place where the upload was.
    let elsewhere = r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid"}]}"#;
    let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{elsewhere}", elsewhere.len());
    let (registry, _) = answering(answer).await;
    assert_eq!(registry.resume(&upload).await, Ok(None));
    let (registry, _) = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    assert!(registry.resume(&upload).await.is_err(), "nobody knows");
}

#[tokio::test]
async fn the_registry_in_memory_refuses_an_upload_where_it_is_not_and_after_an_end_that_failed() {
    let registry = memory::MemoryRegistry::default();
    let begun = registry.begin("hello").await.unwrap();
    let first = registry.append(&begun, Bytes::from_static(b"12")).await.unwrap();
    assert_eq!((first.offset, registry.resume(&first).await), (2, Ok(Some(first.clone()))));
    let second = registry.append(&first, Bytes::from_static(b"34")).await.unwrap();
    assert_eq!(registry.resume(&first).await, Ok(None));
    let refused = registry.append(&first, Bytes::from_static(b"5")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { status: 404, .. }), "{refused}");
    assert_eq!(registry.resume(&second).await, Ok(Some(second.clone())), "it stays");
    // A piece that is confirmed and not kept: it goes on where it was.
    registry.lose_pieces(&[true]);
    let third = registry.append(&second, Bytes::from_static(b"5")).await.unwrap();
    assert_eq!((third.offset, registry.resume(&third).await), (5, Ok(None)));
    assert_eq!(registry.resume(&second).await, Ok(Some(second.clone())));
    registry.fail_ends(&[true]);
    let ended = registry.finish(&second, &memory::digest_of(b"1234")).await.unwrap_err();
    assert!(matches!(ended, Error::Refused { status: 500, .. }), "{ended}");
    let refused = registry.resume(&second).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { status: 500, .. }), "{refused}");
}

#[tokio::test]
async fn manifests_come_with_their_type_and_digest() {
    let body = "{}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nDocker-Content-Digest: {DIGEST}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (registry, asked) = answering(answer).await;
    let manifest = registry.manifest("hello", "latest").await.unwrap().unwrap();
    assert_eq!((manifest.digest, manifest.body), (digest(), Bytes::from_static(b"{}")));
    assert!(asked.await.unwrap().contains("accept: application/vnd.oci.image.manifest.v1+json, "));
    let (registry, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    let error = registry.manifest("hello", "latest").await.unwrap_err();
    assert_eq!(error, Error::Incomplete { operation: "GET manifest", what: "a media type" });
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 5 << 20, "x".repeat(5 << 20));
    let (registry, _asked) = answering(answer).await;
    let error = registry.blob("hello", &digest()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn who_does_not_listen_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = HttpRegistry::new(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = registry.tags("hello").await.unwrap_err().to_string();
    assert!(error.contains("does not answer GET tags") && error.contains("refused"), "{error}");
}
