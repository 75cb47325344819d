//! One question over HTTPS, to a server that nobody here knows: with a deadline, a limit, and no redirect followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::document::{LONGEST, too_long};
use super::{Answer, Discovery};
use crate::Error;

/// From the name's address to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Trusts the authorities of the image, and that of a rehearsal. They are read for each question: there is one in a day.
#[derive(Debug, Clone)]
pub(crate) struct Https {
    authority: Option<Arc<[u8]>>,
}

impl Https {
    /// `authority` is one more than those of the image, in PEM.
    pub(crate) fn new(authority: Option<Vec<u8>>) -> Self {
        Self { authority: authority.map(Arc::from) }
    }

    fn client(&self) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, Error> {
        let failed = |reason: String| Error::Login(format!("nobody can be asked over HTTPS: {reason}"));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in CertificateDer::pem_slice_iter(self.authority.as_deref().unwrap_or_default()) {
            let certificate = certificate.map_err(|error| failed(format!("{error:?}")))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("this machine has no root certificates".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| failed(error.to_string()))?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

impl Discovery for Https {
    async fn get(&self, url: &str) -> Result<Answer, Error> {
        ask(&self.client()?, url).await
    }
}

async fn ask<C>(client: &Client<C, Empty<Bytes>>, url: &str) -> Result<Answer, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let failed = |reason: String| Error::Login(format!("{url}: {reason}"));
    let request = http::Request::get(url).header(ACCEPT, "application/json").header(USER_AGENT, "futuswarm");
    let request = request.body(Empty::new()).map_err(|error| failed(error.to_string()))?;
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => too_long(),
            false => chain(error.as_ref()),
        })?;
        Ok::<_, String>(Answer { status, body: body.to_bytes().to_vec() })
    };
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed(format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one connection with this, and then closes it or falls silent; returns where it is, and what it was asked.
    async fn server(answer: String, closes: bool) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 2048];
            let length = stream.read(&mut request).await.unwrap();
            // Who has had enough does not read the rest.
            let _gone = stream.write_all(answer.as_bytes()).await;
            if !closes {
                std::future::pending::<()>().await;
            }
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (url, asked)
    }

    fn client() -> Client<HttpConnector, Empty<Bytes>> {
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new())
    }

    fn response(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_no_redirect_is_followed() {
        for (status, code) in [("200 OK", 200), ("302 Found", 302), ("500 Internal Server Error", 500)] {
            let (url, asked) = server(response(status, "{}"), true).await;
            let answer = ask(&client(), &url).await.unwrap();
            assert_eq!(answer, Answer { status: code, body: b"{}".to_vec() });
            let asked = asked.await.unwrap();
            assert!(asked.starts_with("GET /x HTTP/1.1\r\n") && asked.contains("accept: application/json"), "{asked}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_cut_off_is_an_error() {
        let whole = "a".repeat(LONGEST);
        let (url, _asked) = server(response("200 OK", &whole), true).await;
        assert_eq!(ask(&client(), &url).await.unwrap().body.len(), LONGEST);
        for (answer, part) in [
            (response("200 OK", &"a".repeat(1 << 20)), "longer than 256 KiB"),
            // Without a length, for ever.
            (format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{whole}{whole}"), "longer than 256 KiB"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), "/x: "),
            ("SSH-2.0-OpenSSH_9\r\n".to_owned(), "/x: "),
            (String::new(), "/x: "),
        ] {
            let (url, _asked) = server(answer, true).await;
            let reason = ask(&client(), &url).await.unwrap_err().to_string();
            assert!(reason.contains(part) && reason.starts_with(&url), "{part}: {reason}");
        }
        let reason = ask(&client(), "no url").await.unwrap_err().to_string();
        assert!(reason.starts_with("no url: "), "{reason}");
    }

    /// Time goes on by itself where nothing else does.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_waited_for_ten_seconds() {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
            let (url, _asked) = server(answer.to_owned(), false).await;
            let reason = ask(&client(), &url).await.unwrap_err().to_string();
            assert!(reason.ends_with("no answer within 10 s"), "{reason}");
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_in_the_clear() {
        let authority = include_str!("../../../aws/src/trust/authority.pem");
        let https = Https::new(Some(authority.into()));
        let reason = https.get("http://127.0.0.1:1/x").await.unwrap_err().to_string();
        assert!(reason.starts_with("http://127.0.0.1:1/x: ") && !reason.contains("refused"), "{reason}");
        let broken = Https::new(Some(authority.replace('M', "!").into()));
        assert!(broken.get("https://127.0.0.1:1/x").await.unwrap_err().to_string().contains("over HTTPS"));
    }
}
