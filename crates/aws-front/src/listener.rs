//! The front's connections: plain ones, and those with TLS under AWS's own names.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_local_api::faults::Caller;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
pub use tokio_rustls::TlsAcceptor;

use crate::proxy::Front;
use crate::server;

/// An emulated guest that boots beside others takes a second for its part.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no TLS for the AWS API of nodes.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or its key is not PEM.
    #[error("{0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not go together.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// What proves to nodes that they ask AWS: a certificate chain for [`crate::addressing::certified`] and its key, both as PEM.
///
/// # Errors
/// When they are not that.
pub fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves a listener until the daemon ends; with TLS when there is something to prove who answers.
pub async fn serve(front: Arc<Front>, listener: TcpListener, tls: Option<TlsAcceptor>, caller: Caller) {
    const WHAT: &str = "the API endpoint";
    let serve = move |stream, _peer| {
        let (front, tls) = (Arc::clone(&front), tls.clone());
        async move {
            let answer = move |request| {
                let front = Arc::clone(&front);
                async move { front.answer(request, caller).await.ok_or_else(cut_off) }
            };
            let Some(tls) = tls else { return server::connection(stream, WHAT, answer).await };
            match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
                Ok(Ok(stream)) => server::connection(stream, WHAT, answer).await,
                // Also whoever does not trust the authority, as it should be.
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake was not finished in time"),
            }
        }
    };
    server::accept(listener, WHAT, serve).await;
}

/// Ends a connection without an answer.
fn cut_off() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted)
}
