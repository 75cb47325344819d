//! Requests as the load balancer passes them on, over connections that stay.
//!
//! What asks and what answers share one processor and one thread, and HAProxy has another processor for itself. Nothing is looked for in what
//! is read, the length of an answer is found out once, and many connections wait together, so that a request costs little more than the calls
//! of the kernel. Whether that was little enough is measured: see `load::Figures::saturated`.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tasks::BODY;

/// What every answer begins with.
const GOOD: &[u8] = b"HTTP/1.1 200 ";
/// A single request, with everything around it.
const DEADLINE: Duration = Duration::from_secs(10);

/// When requests are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) first: Instant,
    /// From one to the next.
    pub(super) gap: Duration,
}

pub(super) fn request(host: &str) -> Vec<u8> {
    format!(
        "GET /news/today?page=2 HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Port: 443\r\nX-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: theme=dark; session=0123456789abcdef\r\n\r\n"
    )
    .into_bytes()
}

/// Asks over one connection until that time: each request when it is due, or as soon as the one before it is answered. Returns how many
/// microseconds each took, counted from when it was due, so that one that has to wait for another is not taken for a short one.
pub(super) async fn ask(port: u16, request: Vec<u8>, until: Instant, pace: Option<Pace>) -> anyhow::Result<Vec<u32>> {
    let mut connection = Connection::open(port).await?;
    let mut took = Vec::new();
    let mut due = pace.map(|pace| pace.first);
    loop {
        let began = due.unwrap_or_else(Instant::now);
        if began >= until {
            return Ok(took);
        }
        // Timers of the runtime are whole milliseconds.
        while Instant::now() < began {
            tokio::task::yield_now().await;
        }
        connection.exchange(&request).await?;
        took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        due = due.zip(pace).map(|(due, pace)| due + pace.gap);
    }
}

/// Asks once over a connection of its own.
pub(super) async fn once(port: u16, host: &str) -> anyhow::Result<()> {
    let exchange = async { Connection::open(port).await?.exchange(&request(host)).await };
    tokio::time::timeout(DEADLINE, exchange).await.context("no answer within 10 s")?
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    /// Bytes of an answer, which the first one says; all others are as long.
    length: Option<usize>,
}

impl Connection {
    async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self { stream, answer: Vec::with_capacity(8 << 10), length: None })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let Self { stream, answer, length } = self;
        stream.write_all(request).await?;
        answer.clear();
        loop {
            ensure!(stream.read_buf(answer).await? > 0, "the connection ended before an answer did");
            let beginning = answer.get(..GOOD.len()).unwrap_or(GOOD);
            ensure!(beginning == GOOD, "another answer: {}", String::from_utf8_lossy(answer));
            if length.is_none() {
                let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                *length = head.map(|head| head + 4 + BODY);
            }
            if let Some(whole) = *length
                && answer.len() >= whole
            {
                ensure!(answer.len() == whole, "an answer of {} bytes, and not {whole}", answer.len());
                return Ok(());
            }
        }
    }
}
