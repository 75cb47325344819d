//! Tasks behind HAProxy: each answers every request with the same page, and does nothing else that takes time.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the page.
pub(super) const BODY: usize = 1024;

static PAGE: LazyLock<Vec<u8>> = LazyLock::new(|| page(""));
static LAST_PAGE: LazyLock<Vec<u8>> = LazyLock::new(|| page("Connection: close\r\n"));

pub(super) struct Tasks {
    pub(super) addresses: Vec<Ipv4Addr>,
    /// All listen on it, each at its own address.
    pub(super) port: u16,
}

/// Starts so many in this runtime.
pub(super) async fn start(count: u8) -> anyhow::Result<Tasks> {
    // Of this process alone, if others measure or are tested beside it.
    let second = fastrand::u8(1..250);
    let addresses: Vec<Ipv4Addr> = (1..=count).map(|last| Ipv4Addr::new(127, second, 0, last)).collect();
    let mut port = 0;
    for address in &addresses {
        let listener = TcpListener::bind((*address, port)).await?;
        port = listener.local_addr()?.port();
        tokio::spawn(accept(listener));
    }
    Ok(Tasks { addresses, port })
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream));
    }
}

/// Whoever hangs up is of no interest here: a request that is lost is counted where it was made.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(4 << 10);
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        // HAProxy adds it as the last one.
        if request.ends_with(b"\r\nconnection: close\r\n\r\n") {
            return stream.write_all(&LAST_PAGE).await;
        }
        stream.write_all(&PAGE).await?;
    }
}

fn page(header: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {BODY}\r\n{header}\r\n");
    let mut page = head.into_bytes();
    page.resize(page.len() + BODY, b'x');
    page
}
