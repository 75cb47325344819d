//! Requests and their answers.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Error, Read, Result, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crate::Place;
use crate::download::Release;

const PAGE: &str = include_str!("page.html");
/// The page's part about the command line, where there is one to download.
const DOWNLOAD: &str = include_str!("download.html");
/// A request line and headers longer than this are nobody's browser.
const MAX_HEAD: u64 = 16 * 1024;
/// For a request to come, and for each piece of an answer to go.
const DEADLINE: Duration = Duration::from_secs(5);
/// So many downloads at once: the page must have places left.
pub(crate) const MOST_DOWNLOADS: usize = 16;
/// Between two pieces of a download: HAProxy waits for a visitor's connection for a minute (`timeout client` of the edge).
const STALLED: Duration = Duration::from_secs(60);
/// For a whole download, which is 10 KiB a second.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(15 * 60);
/// So much is sent at a time, in bytes.
const PIECE: usize = 64 << 10;

/// What is said of the cluster, and what is there to download.
pub(crate) struct Site {
    domain: String,
    task: String,
    folder: PathBuf,
    downloads: Arc<AtomicUsize>,
}

/// The answer to a request, without what every answer has.
struct Answer {
    status: &'static str,
    kind: &'static str,
    headers: String,
    body: Body,
}

enum Body {
    Text(String),
    /// So many bytes of a file, from a place among the downloads.
    Program(File, u64, Place),
}

impl Answer {
    fn text(status: &'static str, kind: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind, headers: String::new(), body: Body::Text(body.into()) }
    }

    fn plain(status: &'static str, body: &str) -> Self {
        Self::text(status, "text/plain", body)
    }
}

impl Site {
    pub(crate) fn new(domain: &str, task: &str, folder: PathBuf) -> Self {
        Self { domain: escape(domain), task: escape(task), folder, downloads: Arc::default() }
    }

    /// Answers the one request of a connection.
    pub(crate) fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut reader = BufReader::new(stream.take(MAX_HEAD));
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        send(stream, self.answer(method, path), method == "HEAD")
    }

    fn answer(&self, method: &str, path: &str) -> Answer {
        match (method, path) {
            ("GET" | "HEAD", "/status") => Answer::plain("200 OK", "ok\n"),
            ("GET" | "HEAD", "/") => Answer::text("200 OK", "text/html; charset=utf-8", self.page()),
            ("GET" | "HEAD", "/cli/futuswarm") => self.program(),
            ("GET" | "HEAD", "/cli/futuswarm.sha256") => match Release::read(&self.folder) {
                Some(release) => Answer::plain("200 OK", &format!("{}  futuswarm\n", release.sha256)),
                None => nothing_to_download(),
            },
            ("GET" | "HEAD", _) => Answer::plain("404 Not Found", "not found\n"),
            _ => Answer::plain("405 Method Not Allowed", "only GET and HEAD\n"),
        }
    }

    fn page(&self) -> String {
        let download = Release::read(&self.folder).map(|release| {
            DOWNLOAD
                .replace("{version}", &escape(&release.version))
                .replace("{sha256}", &escape(&release.sha256))
                .replace("{mib}", &format!("{:.1}", release.bytes as f64 / f64::from(1 << 20)))
        });
        PAGE.replace("{domain}", &self.domain)
            .replace("{task}", &self.task)
            .replace("{download}", &download.unwrap_or_default())
    }

    fn program(&self) -> Answer {
        let Some(release) = Release::read(&self.folder) else { return nothing_to_download() };
        let later = |reason: &str| Answer {
            headers: "retry-after: 10\r\n".to_owned(),
            ..Answer::plain("503 Service Unavailable", reason)
        };
        let Some(file) = release.open(&self.folder) else {
            return later("the program is being replaced: try again in a moment\n");
        };
        let Some(place) = Place::take_one_of(&self.downloads, MOST_DOWNLOADS) else {
            return later("too many downloads at once: try again in a moment\n");
        };
        let Release { sha256, bytes, .. } = release;
        Answer {
            status: "200 OK",
            kind: "application/octet-stream",
            // Who has this one already need not fetch it, and nobody keeps it for longer than it counts.
            headers: format!(
                "content-disposition: attachment; filename=\"futuswarm\"\r\netag: \"{sha256}\"\r\ncache-control: no-cache\r\n"
            ),
            body: Body::Program(file, bytes, place),
        }
    }
}

fn nothing_to_download() -> Answer {
    Answer::plain(
        "404 Not Found",
        "this cluster offers no command line; whoever runs it can add it: cargo xtask deploy-cluster SPEC --cli\n",
    )
}

fn send(mut stream: &TcpStream, answer: Answer, head_only: bool) -> Result<()> {
    let Answer { status, kind, headers, body } = answer;
    let length = match &body {
        Body::Text(text) => text.len() as u64,
        Body::Program(_, bytes, _) => *bytes,
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\
         x-content-type-options: nosniff\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    match body {
        _ if head_only => Ok(()),
        Body::Text(text) => stream.write_all(text.as_bytes()),
        Body::Program(file, bytes, place) => {
            stream.set_write_timeout(Some(STALLED))?;
            let sent = copy(file, stream, bytes);
            drop(place);
            sent
        }
    }
}

/// Sends so many bytes of a file.
fn copy(mut file: impl Read, mut to: impl Write, bytes: u64) -> Result<()> {
    let (began, mut left, mut piece) = (Instant::now(), bytes, vec![0; PIECE]);
    while left > 0 {
        if began.elapsed() > LONGEST_DOWNLOAD {
            return Err(Error::other(format!("a download of {bytes} bytes took too long, {left} are left")));
        }
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Err(Error::other(format!("the program ends {left} bytes too early")));
        }
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&piece[..length])?;
        left -= length as u64;
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
