//! A web server of one folder, on loopback, with the snapshot archive's redirections and with faults.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Answers with this status so many times.
    Status(u16, u32),
    /// Says how long the file is, and closes in the middle.
    Truncated,
}

#[derive(Default)]
struct Shared {
    /// By the end of the path.
    faults: Mutex<BTreeMap<String, Fault>>,
    requests: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// The server; it ends with the value.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start(root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (root, shared) = (root.clone(), Arc::clone(&ours));
                std::thread::spawn(move || serve(&stream, &root, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nobody listens.
    pub fn stop(&self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            // Wakes the listener, which then closes.
            let _closed = TcpStream::connect(self.address);
            while TcpStream::connect(self.address).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    /// Injects a fault for paths that end so.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().insert(path.to_owned(), fault);
    }

    /// What was asked for so far, in order, and forgets it.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: &TcpStream, root: &Path, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {}
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        shared.requests.lock().unwrap().push(path.clone());
        if answer(stream, root, shared, &path).is_none() {
            return;
        }
    }
}

/// Answers one request; `None` when the connection is to be closed.
fn answer(mut stream: &TcpStream, root: &Path, shared: &Shared, path: &str) -> Option<()> {
    let mut send = |status: &str, header: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{header}\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).ok()
    };
    let mut truncated = false;
    {
        let mut faults = shared.faults.lock().unwrap();
        match faults.iter_mut().find(|(end, _)| path.ends_with(end.as_str())).map(|(_, fault)| fault) {
            Some(Fault::Status(status, times)) if *times > 0 => {
                *times -= 1;
                return send(&format!("{status} Injected"), "", b"");
            }
            Some(Fault::Truncated) => truncated = true,
            _ => {}
        }
    }
    if let Some(nearest) = redirect(root, path) {
        return send("302 Found", &format!("Location: /{}\r\n", nearest.replace('+', "%2b")), b"");
    }
    let Ok(bytes) = std::fs::read(root.join(path)) else {
        return send("404 Not Found", "", b"");
    };
    if truncated {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let _sent = stream.write_all(&[head.as_bytes(), &bytes[..bytes.len() / 2]].concat());
        return None;
    }
    send("200 OK", "", &bytes)
}

/// As snapshot.debian.org does: a timestamp means its last copy of the mirror until then.
fn redirect(root: &Path, path: &str) -> Option<String> {
    let rest = path.strip_prefix("archive/")?;
    let mut parts = rest.splitn(3, '/');
    let (archive, timestamp, file) = (parts.next()?, parts.next()?, parts.next()?);
    let copies = std::fs::read_dir(root.join("archive").join(archive)).ok()?;
    let names = copies.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let nearest = names.filter(|name| name.as_str() <= timestamp).max()?;
    (nearest != timestamp).then(|| format!("archive/{archive}/{nearest}/{file}"))
}
