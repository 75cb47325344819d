//! The front's connections: plain ones, and those with TLS under AWS's own names.

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Caller, Front, addressing};
use crate::authority::Authority;
use crate::error::{Error, Result};

/// From a connection to its first request head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// An emulated guest that boots beside others takes a second for its part.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);

/// What proves to nodes of a region that they ask AWS: a certificate of the local authority for the names that they ask.
///
/// # Errors
/// When it cannot be made.
pub fn acceptor(authority: &Authority, region: &str) -> Result<TlsAcceptor> {
    let failed = |detail: String| Error::Config(format!("no TLS for the AWS API of nodes: {detail}"));
    let (certificate, key) = authority.issue(&addressing::certified(region))?;
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| failed(format!("{error:?}")))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| failed(format!("{error:?}")))?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| failed(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Front {
    /// Serves a listener until the daemon ends; with TLS when there is something to prove who answers.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>, caller: Caller) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the API endpoint cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (front, tls) = (Arc::clone(&self), tls.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else { return front.connection(stream, caller).await };
                match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => front.connection(stream, caller).await,
                    // Also whoever does not trust the authority, as it should be.
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake was not finished in time"),
                }
            });
        }
    }

    async fn connection<S>(self: Arc<Self>, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let front = Arc::clone(&self);
            async move { front.answer(request, caller).await.ok_or_else(super::cut_off) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an API connection ended early");
        }
    }
}
