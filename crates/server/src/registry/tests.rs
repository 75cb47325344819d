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
    assert!(registry.has_blob("hello", &digest()).await.unwrap());
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
    let (sender, receiver) = mpsc::channel(2);
    sender.send(Bytes::from_static(b"123")).await.unwrap();
    sender.send(Bytes::from_static(b"END")).await.unwrap();
    let upload = registry.append(&upload, 6, receiver).await.unwrap();
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

#[tokio::test]
async fn a_sender_that_stops_cuts_the_upload_and_what_arrived_can_be_asked_for() {
    let (registry, _) = answering("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await;
    let (sender, receiver) = mpsc::channel(2);
    sender.send(Bytes::from_static(b"123")).await.unwrap();
    drop(sender);
    let upload = Upload { location: "/v2/hello/blobs/uploads/u1".to_owned(), offset: 10 };
    assert_eq!(registry.append(&upload, 6, receiver).await, Err(Error::Cut(10)));

    let status = "HTTP/1.1 204 No Content\r\nLocation: /v2/hello/blobs/uploads/u1?_state=c\r\nRange: 0-12\r\n\r\n";
    let (registry, _) = answering(status).await;
    let resumed = registry.resume(&upload).await.unwrap().unwrap();
    assert_eq!((resumed.location.as_str(), resumed.offset), ("/v2/hello/blobs/uploads/u1?_state=c", 13));
    let (registry, _) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(registry.resume(&upload).await, Ok(None));
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
