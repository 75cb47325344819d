//! HTTP servers of the local cloud: bodies, and one loop that accepts connections, over TCP or a Unix socket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// From a connection to its first request head, and from one request to the next one's.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// What keeps a listener from accepting, such as too many open files, does not go at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Any body, in or out.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A body of bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// What connections come from.
pub trait Listener {
    /// The stream of one connection.
    type Stream: Send + 'static;
    /// Who is on the other end.
    type Peer: Send + 'static;

    /// Waits for the next connection.
    fn next(&self) -> impl Future<Output = std::io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn next(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Peer = ();

    async fn next(&self) -> std::io::Result<(UnixStream, ())> {
        self.accept().await.map(|(stream, _)| (stream, ()))
    }
}

/// Serves each connection in a task of its own, until the caller ends. `what` names the server in the log.
pub async fn accept<L: Listener, F>(listener: L, what: &'static str, serve: impl Fn(L::Stream, L::Peer) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.next().await {
            Ok((stream, peer)) => drop(tokio::spawn(serve(stream, peer))),
            Err(error) => {
                tracing::warn!(%error, what, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection. An error of `answer` ends the connection without an answer.
pub async fn connection<S, F, E>(stream: S, what: &'static str, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<Body>, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, what, "a connection ended early");
    }
}
