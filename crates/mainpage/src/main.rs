//! The page at a cluster's bare domain, and the command line for download. A static program of its own, so that the container image is a
//! few hundred kilobytes and needs no registry.
//!
//! HTTP/1.1 over the standard library is enough: HAProxy in front speaks to browsers, limits sizes and closes slow
//! connections.
#![expect(clippy::print_stderr, reason = "a container's standard error is its log")]

mod download;
mod http;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Site;

const PORT: u16 = 8080;
/// Where the node's agent lays the command line, as the container sees it (`PlatformMount::downloads`).
const DOWNLOADS: &str = "/cli";
/// So many connections at once, each in a thread: a download may take minutes. HAProxy queues what is more.
const CONNECTIONS: usize = 64;
/// A thread keeps a few kilobytes and a buffer.
const STACK: usize = 256 << 10;
/// The pause after a connection for which there is no place.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> std::io::Result<()> {
    let domain = std::env::var("DOMAIN").unwrap_or_else(|_| "localhost".to_owned());
    let task = std::env::var("HOSTNAME").unwrap_or_default();
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    eprintln!("mainpage for {domain} listens on port {PORT}");
    accept(&listener, &Arc::new(Site::new(&domain, &task, DOWNLOADS.into())));
    Ok(())
}

/// Serves connections for as long as the process lives.
fn accept(listener: &TcpListener, site: &Arc<Site>) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("a connection could not be accepted: {error}");
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        // This thread alone counts up.
        while busy.load(Ordering::Acquire) >= CONNECTIONS {
            std::thread::sleep(PAUSE);
        }
        let place = Place::take(&busy);
        let site = Arc::clone(site);
        let serve = move || {
            if let Err(error) = site.serve(&stream) {
                eprintln!("request failed: {error}");
            }
            drop(place);
        };
        if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(serve) {
            eprintln!("no thread for a request: {error}");
            std::thread::sleep(PAUSE);
        }
    }
}

/// One of a number of places, which is free again when this is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(busy))
    }

    /// `None` when so many are taken already.
    fn take_one_of(busy: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self::take(busy);
        (busy.load(Ordering::Acquire) <= most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
