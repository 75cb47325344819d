//! A way to the server that breaks once: after so many bytes of its answers on the first connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futuswarm_database::Endpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Proxy {
    port: u16,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(to: Endpoint, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicBool::new(false));
        let has_cut = Arc::clone(&cut);
        let task = tokio::spawn(async move {
            let mut left = Some(bytes);
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((to.host.as_str(), to.port)).await.unwrap();
                tokio::spawn(pass(client, server, left.take(), Arc::clone(&has_cut)));
            }
        });
        Self { port, cut, task }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: "127.0.0.1".to_owned(), port: self.port }
    }

    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes both ways. What the client has said by then is done, and its answer is lost.
async fn pass(client: TcpStream, server: TcpStream, left: Option<usize>, cut: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut left, mut buffer) = (left.unwrap_or(usize::MAX), vec![0; 4096]);
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if read >= left {
            cut.store(true, Ordering::Relaxed);
            break;
        }
        left -= read;
        if to_client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    up.abort();
}
