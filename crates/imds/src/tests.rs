//! The metadata service on its bad days, against a real HTTP server on loopback.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DOCUMENT: &str = r#"{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"eu-west-1b",
"imageId":"ami-0123456789abcdef0","instanceId":"i-0123456789abcdef0","instanceType":"t3.small","privateIp":"10.42.16.7",
"region":"eu-west-1","version":"2017-09-30"}"#;

/// Status, body and how late.
type Answer = (u16, &'static str, Duration);

/// Answers for each path: taken from the front until one is left, which then stays.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<HashMap<&'static str, Vec<Answer>>>>,
    tokens: Arc<AtomicUsize>,
}

impl Fake {
    fn on(self, path: &'static str, answers: &[(u16, &'static str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, *body, Duration::ZERO)).collect();
        self.answers.lock().unwrap().insert(path, answers);
        self
    }

    fn late(self, path: &'static str, delay: Duration) -> Self {
        self.answers.lock().unwrap().insert(path, vec![(200, DOCUMENT, delay)]);
        self
    }

    async fn start(&self) -> Imds {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(fake.clone().serve(stream));
            }
        });
        Imds::at(&format!("http://{address}")).unwrap()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut buffer = [0; 2048];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => request.extend_from_slice(&buffer[..count]),
            }
        }
        let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, body, delay) = if request.starts_with("put /latest/api/token") {
            self.tokens.fetch_add(1, Ordering::SeqCst);
            (200, "a-token", Duration::ZERO)
        } else if !request.contains("x-aws-ec2-metadata-token: a-token") {
            (401, "version 2 only", Duration::ZERO)
        } else {
            let mut answers = self.answers.lock().unwrap();
            match answers.get_mut(path.as_str()) {
                Some(list) if list.len() > 1 => list.remove(0),
                Some(list) => list[0],
                None => (404, "not found", Duration::ZERO),
            }
        };
        tokio::time::sleep(delay).await;
        let answer = format!(
            "HTTP/1.1 {status} X\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // The client may have given up; that is its right.
        let _closed = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn the_identity_is_read_with_one_token_and_cached() {
    let fake = Fake::default().on(IDENTITY_DOCUMENT, &[(200, DOCUMENT)]).on(USER_DATA, &[(200, "#cloud-config\n")]);
    let imds = fake.start().await;
    let identity = imds.identity().await.unwrap();
    assert_eq!(identity.instance, "i-0123456789abcdef0");
    assert_eq!(identity.zone, "eu-west-1b");
    assert_eq!(identity.address, Ipv4Addr::new(10, 42, 16, 7));
    assert_eq!(imds.user_data().await.unwrap().as_deref(), Some("#cloud-config\n"));
    assert_eq!(fake.tokens.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn absent_user_data_is_not_an_error_but_an_absent_identity_is() {
    let imds = Fake::default().start().await;
    assert_eq!(imds.user_data().await.unwrap(), None);
    let message = imds.identity().await.unwrap_err().to_string();
    assert_eq!(message, format!("instance metadata {IDENTITY_DOCUMENT}: not found (404)"));
}

#[tokio::test]
async fn a_service_that_fails_twice_is_asked_again() {
    let imds = Fake::default().on(IDENTITY_DOCUMENT, &[(500, "oops"), (503, "later"), (200, DOCUMENT)]).start().await;
    assert_eq!(imds.identity().await.unwrap().image, "ami-0123456789abcdef0");
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_reported_in_one_line() {
    let imds = Fake::default().on(IDENTITY_DOCUMENT, &[(500, "oops")]).start().await;
    let message = imds.identity().await.unwrap_err().to_string();
    assert!(message.starts_with(&format!("instance metadata {IDENTITY_DOCUMENT}: ")), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[tokio::test]
async fn a_late_answer_within_the_read_timeout_is_taken() {
    let imds = Fake::default().late(IDENTITY_DOCUMENT, Duration::from_millis(900)).start().await;
    assert_eq!(imds.identity().await.unwrap().account, "123456789012");
}

#[tokio::test]
async fn garbage_is_never_believed() {
    for (document, reason) in [
        ("<html>captive portal</html>".to_owned(), "expected value at line 1 column 1"),
        (String::new(), "EOF while parsing"),
        (DOCUMENT.replace("i-0123456789abcdef0", "i-../../etc"), "the instance id is not one"),
        (DOCUMENT.replace("eu-west-1b", "us-east-1a"), "the availability zone is not in the region"),
        (DOCUMENT.replace("123456789012", "12"), "the account id is not twelve digits"),
        (DOCUMENT.replace("10.42.16.7", "0.0.0.0"), "the private address is not one"),
        (DOCUMENT.replace("10.42.16.7", "10.42.16"), "invalid IPv4 address"),
    ] {
        let document: &'static str = document.leak();
        let imds = Fake::default().on(IDENTITY_DOCUMENT, &[(200, document)]).start().await;
        let message = imds.identity().await.unwrap_err().to_string();
        assert!(message.contains("cannot be trusted") && message.contains(reason), "{document}: {message}");
    }
}
