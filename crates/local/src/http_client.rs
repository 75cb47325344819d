//! Small HTTP exchanges with our own servers, over TCP or a unix socket, always with a deadline.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Result};

/// For one exchange that does no work worth waiting for.
const DEADLINE: Duration = Duration::from_secs(10);

/// GET over TCP.
pub async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes)> {
    tcp(address, "GET", path, "").await
}

/// POST over TCP.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Result<(StatusCode, Bytes)> {
    tcp(address, "POST", path, body).await
}

async fn tcp(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(StatusCode, Bytes)> {
    let what = format!("{method} http://{address}{path}");
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        exchange(stream, method, path, body).await
    };
    finish(what, DEADLINE, exchange).await
}

/// An exchange over a unix socket.
pub async fn unix(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
    deadline: Duration,
) -> Result<(StatusCode, Bytes)> {
    let what = format!("{method} {path} on {}", socket.display());
    let exchange = async {
        let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
        exchange(stream, method, path, body).await
    };
    finish(what, deadline, exchange).await
}

async fn finish(
    what: String,
    deadline: Duration,
    exchange: impl Future<Output = Result<(StatusCode, Bytes), String>>,
) -> Result<(StatusCode, Bytes)> {
    match tokio::time::timeout(deadline, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(detail)) => Err(Error::Http { what, detail }),
        Err(_) => Err(Error::Http { what, detail: format!("no answer within {} s", deadline.as_secs()) }),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(StatusCode, Bytes), String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a small exchange ended early");
        }
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body.to_owned())))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(text)?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.map_err(text)?.to_bytes();
    Ok((status, bytes))
}
