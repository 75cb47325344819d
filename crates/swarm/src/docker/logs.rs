//! `docker service logs` on the engine.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::raw::{self, Request};
use super::{DockerEngine, raw::frame};
use crate::logs::Lines;
use crate::{Error, LogApi, LogItem, LogOptions, LogSource, LogStream, SILENCE};

const OPERATION: &str = "service logs";

impl LogApi for DockerEngine {
    async fn logs(&self, source: LogSource<'_>, options: LogOptions) -> Result<LogStream, Error> {
        let path = path(source, options);
        let request = Request { operation: OPERATION, method: "GET", path: &path, body: &[], upgrade: false };
        let body = self.send(request).await?.body;
        Ok(stream(Reading {
            body,
            lines: Lines::default(),
            ready: VecDeque::new(),
            follow: options.follow,
            over: false,
        }))
    }
}

fn path(source: LogSource<'_>, options: LogOptions) -> String {
    let (kind, name) = match source {
        LogSource::Service(name) => ("services", name),
        LogSource::Task(id) => ("tasks", id),
    };
    let tail = options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let since = options.since.map(|at| format!("&since={}.{:03}000000", at / 1000, at % 1000)).unwrap_or_default();
    let follow = options.follow;
    format!(
        "/{kind}/{}/logs?stdout=1&stderr=1&timestamps=1&details=1&follow={follow}&tail={tail}{since}",
        raw::encode(name)
    )
}

struct Reading {
    body: BufReader<UnixStream>,
    lines: Lines,
    ready: VecDeque<LogItem>,
    follow: bool,
    over: bool,
}

fn stream(reading: Reading) -> LogStream {
    let next = |mut reading: Reading| async move {
        loop {
            if let Some(item) = reading.ready.pop_front() {
                return Ok(Some((item, reading)));
            }
            if reading.over {
                return Ok(None);
            }
            reading.read().await?;
        }
    };
    try_unfold(reading, next).boxed()
}

impl Reading {
    /// Adds to what is ready, or is over.
    async fn read(&mut self) -> Result<(), Error> {
        let read = frame(&mut self.body);
        // The future is dropped in the middle of a frame only where nothing more is read.
        let read = if self.follow { Ok(read.await) } else { timeout(SILENCE, read).await };
        match read {
            Ok(Ok(Some((kind, payload)))) => self.ready.extend(self.lines.frame(kind, &payload)),
            Ok(Ok(None)) => self.end(None),
            Ok(Err(error)) => return Err(raw::lost(OPERATION, &error)),
            Err(_) => self.end(Some(LogItem::Silence)),
        }
        Ok(())
    }

    fn end(&mut self, last: Option<LogItem>) {
        self.over = true;
        self.ready.extend(self.lines.rest());
        self.ready.extend(last);
    }
}

#[cfg(test)]
mod tests;
