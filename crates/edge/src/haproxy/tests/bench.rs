//! A real HAProxy on loopback with what was rendered, tasks that answer with their service's name, and a name server that knows
//! them as Docker's does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::haproxy::{ADMIN_SOCKET, CONFIG_FILE, LISTEN_PORT, MAP_FILE, MASTER_SOCKET, STATE_FILE, render};
use crate::routes::Routes;

/// The configuration's folder as HAProxy sees it.
const INSIDE: &str = "/mnt";
/// Everything on this machine is slow at times.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Edge {
    dir: tempfile::TempDir,
    haproxy: Child,
    port: u16,
    task_port: u16,
    dns_port: u16,
    /// Whether the name server gives no answers.
    silent: Arc<AtomicBool>,
}

impl Edge {
    /// Starts HAProxy and so many tasks of each service, and waits until it answers.
    pub(super) fn start(routes: &Routes, complete: bool, tasks: &[(&str, u8)]) -> Self {
        let (task_port, addresses) = start_tasks(tasks);
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns_port = dns.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let says_nothing = Arc::clone(&silent);
        std::thread::spawn(move || answer_names(&dns, &addresses, &says_nothing));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), routes, complete, port, task_port, dns_port);
        let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
        // The master starts itself again when it reloads, which needs the tree as its root.
        let script =
            "mount --bind \"$1\" \"$2/mnt\" && exec chroot \"$2\" /usr/sbin/haproxy -W -db -S \"$4\" -f \"$3\"";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(dir.path()).arg(tools.root());
        command.arg(format!("{INSIDE}/{CONFIG_FILE}")).arg(format!("{INSIDE}/{MASTER_SOCKET}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let edge = Self { haproxy: command.spawn().unwrap(), dir, port, task_port, dns_port, silent };
        edge.wait("HAProxy", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        for (service, _) in tasks {
            let prefix = &routes.routes.iter().find(|route| route.service == *service).unwrap().prefixes[0];
            edge.wait("the first task", || edge.get(&prefix.host, &prefix.path) == *service);
        }
        edge
    }

    /// Puts other routes into place, the way the agent does.
    pub(super) fn reload(&self, routes: &Routes, complete: bool) {
        let mut socket = UnixStream::connect(self.dir.path().join(ADMIN_SOCKET)).unwrap();
        socket.write_all(b"show servers state\n").unwrap();
        let mut state = String::new();
        socket.read_to_string(&mut state).unwrap();
        std::fs::write(self.dir.path().join(STATE_FILE), state).unwrap();
        write(self.dir.path(), routes, complete, self.port, self.task_port, self.dns_port);
        self.wait("a reload", || {
            let mut answer = String::new();
            let asked = UnixStream::connect(self.dir.path().join(MASTER_SOCKET)).and_then(|mut master| {
                master.write_all(b"reload\n")?;
                master.read_to_string(&mut answer)
            });
            asked.is_ok() && answer.starts_with("Success=1")
        });
    }

    /// Lets the name server give no answers, as that of a dockerd that is busy, or answer again.
    pub(super) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// The service that answered, or the status when none did.
    pub(super) fn get(&self, host: &str, path: &str) -> String {
        let answer = ask(self.port, host, path).unwrap_or_else(|error| error);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") if path != "/status" => body.split(' ').next().unwrap_or_default().to_owned(),
            Some(status) => status.to_owned(),
            None => answer,
        }
    }

    /// The address of the task that answered.
    pub(super) fn task(&self, host: &str) -> String {
        ask(self.port, host, "/").unwrap().rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Waits for something that will be so in a moment.
    pub(super) fn wait(&self, what: &str, mut so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < PATIENCE, "waited for {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends requests one after the other until it is told to end.
    pub(super) fn traffic(&self, host: &'static str) -> Traffic {
        let (stop, port) = (Arc::new(AtomicBool::new(false)), self.port);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut served, mut lost) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                match ask(port, host, "/") {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => served += 1,
                    Ok(answer) => lost.push(answer),
                    Err(error) => lost.push(error),
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            (served, lost)
        });
        Traffic { stop, thread }
    }
}

pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, Vec<String>)>,
}

impl Traffic {
    /// How many requests were served, and what became of the others.
    pub(super) fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Its workers end with their master.
        let _gone = std::process::Command::new("kill").args(["-TERM", &self.haproxy.id().to_string()]).status();
        let _ended = self.haproxy.wait();
    }
}

/// What the agent writes, with addresses of this machine instead of the container's.
fn write(dir: &std::path::Path, routes: &Routes, complete: bool, port: u16, task_port: u16, dns_port: u16) {
    let mut routes = routes.clone();
    routes.routes.iter_mut().for_each(|route| route.port = task_port);
    let rendered = render(&routes, complete, INSIDE).unwrap();
    let config = rendered
        .config
        .replace(&format!("bind :{LISTEN_PORT}"), &format!("bind 127.0.0.1:{port}"))
        .replace("127.0.0.11:53", &format!("127.0.0.1:{dns_port}"));
    assert_ne!(config, rendered.config);
    std::fs::write(dir.join(MAP_FILE), rendered.map).unwrap();
    std::fs::write(dir.join(CONFIG_FILE), config).unwrap();
}

/// Tasks that answer with their service and address, all on one port, each at an address of its own.
fn start_tasks(tasks: &[(&str, u8)]) -> (u16, BTreeMap<String, Vec<Ipv4Addr>>) {
    // Of this process alone: tests run beside each other.
    let second = fastrand::u8(1..250);
    let first = TcpListener::bind((Ipv4Addr::new(127, second, 0, 1), 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let (mut first, mut last, mut addresses) = (Some(first), 0, BTreeMap::<String, Vec<Ipv4Addr>>::new());
    for (service, count) in tasks {
        for _ in 0..*count {
            last += 1;
            let address = Ipv4Addr::new(127, second, 0, last);
            let listener = first.take().unwrap_or_else(|| TcpListener::bind((address, port)).unwrap());
            addresses.entry((*service).to_owned()).or_default().push(address);
            let name = (*service).to_owned();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (Ok(mut stream), name) = (stream, name.clone()) else { continue };
                    std::thread::spawn(move || {
                        let mut request = [0; 2048];
                        if stream.read(&mut request).is_ok_and(|length| length > 0) {
                            let body = format!("{name} {address}");
                            let head =
                                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
                            let _closed = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
                        }
                    });
                }
            });
        }
    }
    (port, addresses)
}

/// A name server for `tasks.SERVICE`, RFC 1035: one question, all addresses.
fn answer_names(socket: &UdpSocket, addresses: &BTreeMap<String, Vec<Ipv4Addr>>, silent: &AtomicBool) {
    let mut packet = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        if silent.load(Ordering::Relaxed) {
            continue;
        }
        let Some((question, name)) = question(&packet[..length]) else { continue };
        let found = name.strip_prefix("tasks.").and_then(|service| addresses.get(service));
        let is_a = question.ends_with(&[0, 1, 0, 1]);
        let list = found.filter(|_| is_a).map_or(&[][..], Vec::as_slice);
        let code = if found.is_some() { 0 } else { 3 };
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(list.len()).unwrap(), 0, 0, 0, 0]);
        answer.extend(question);
        for address in list {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend(address.octets());
        }
        let _late = socket.send_to(&answer, from);
    }
}

fn question(packet: &[u8]) -> Option<(&[u8], String)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).into_owned());
        at += length;
    }
    Some((packet.get(12..at + 4)?, labels.join(".")))
}

fn ask(port: u16, host: &str, path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("no answer: {error}");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    if answer.is_empty() { Err("an empty answer".to_owned()) } else { Ok(answer) }
}
