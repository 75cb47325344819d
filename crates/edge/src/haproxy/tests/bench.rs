//! A real HAProxy on loopback with what was rendered, tasks that answer with their service's name, and a name server that knows
//! them as Docker's does.

mod names;
mod tasks;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::haproxy::{
    ADMIN_SOCKET, CONFIG_FILE, Expressions, LISTEN_PORT, MAP_FILE, MASTER_SOCKET, METRICS_SOCKET, PrivateDomain,
    STATE_FILE, TOKEN_KEYS_FILE, render, render_with_login, token_keys,
};
use crate::routes::Routes;
use futuswarm_secret::Secret;

/// The configuration's folder as HAProxy sees it.
const INSIDE: &str = "/mnt";
/// What HAProxy prints, in the same folder.
const LOG: &str = "log";
/// 32 times `k` in base64.
pub(super) const TOKEN_KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
/// The socket of the login, in the same folder.
const LOGIN_SOCKET: &str = "login.sock";
/// Everything on this machine is slow at times.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Edge {
    dir: tempfile::TempDir,
    haproxy: Child,
    port: u16,
    task_port: u16,
    dns_port: u16,
    private: Option<PrivateDomain>,
    /// Whether the name server gives no answers.
    silent: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What came back for a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// `none` when nothing did.
    pub(super) status: String,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).unwrap_or("none");
        Self { status: status.to_owned(), head: head.to_owned(), body: body.to_owned() }
    }

    /// The values of all headers of this name.
    pub(super) fn header(&self, name: &str) -> Vec<&str> {
        tasks::values(&self.head, name).collect()
    }

    /// The service whose task answered.
    pub(super) fn service(&self) -> &str {
        self.body.split(' ').next().unwrap_or_default()
    }

    /// The address of the task that answered.
    pub(super) fn task(&self) -> &str {
        self.body.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
    }

    /// The first line of the request as the task saw it.
    pub(super) fn asked(&self) -> &str {
        self.body.lines().nth(1).unwrap_or_default()
    }

    /// The values of all headers of this name that the task saw.
    pub(super) fn got(&self, name: &str) -> Vec<&str> {
        tasks::values(&self.body, name).collect()
    }
}

impl Edge {
    /// Starts HAProxy and so many tasks of each service, and waits until it answers.
    pub(super) fn start(routes: &Routes, complete: bool, tasks: &[(&str, u8)]) -> Self {
        Self::with(routes, complete, tasks, None)
    }

    /// The same with a login for this domain, whose users are named by their e-mail addresses. The app `app` gets tokens.
    pub(super) fn start_with_login(routes: &Routes, tasks: &[(&str, u8)], domain: &str) -> Self {
        let (domain, socket) = (domain.to_owned(), format!("{INSIDE}/{LOGIN_SOCKET}"));
        let private = PrivateDomain { domain, socket, named_by_email: true, tokens: true };
        Self::with(routes, true, tasks, Some(private))
    }

    fn with(routes: &Routes, complete: bool, tasks: &[(&str, u8)], private: Option<PrivateDomain>) -> Self {
        let started = tasks::start(tasks);
        let (task_port, addresses) = (started.port, started.addresses);
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns_port = dns.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let says_nothing = Arc::clone(&silent);
        std::thread::spawn(move || names::answer(&dns, &addresses, &says_nothing));
        let port = futuswarm_tools::free_port().unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), routes, complete, private.as_ref(), [port, task_port, dns_port]);
        let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
        // The master starts itself again when it reloads, which needs the tree as its root.
        let script =
            "mount --bind \"$1\" \"$2/mnt\" && exec chroot \"$2\" /usr/sbin/haproxy -W -db -S \"$4\" -f \"$3\"";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(dir.path()).arg(tools.root());
        command.arg(format!("{INSIDE}/{CONFIG_FILE}")).arg(format!("{INSIDE}/{MASTER_SOCKET}"));
        let log = std::fs::File::options().create(true).append(true).open(dir.path().join(LOG)).unwrap();
        command.stdout(log).stderr(Stdio::null());
        let haproxy = command.spawn().unwrap();
        let edge = Self { haproxy, dir, port, task_port, dns_port, private, silent, seen: started.seen };
        // It listens at its ports a moment before it makes its sockets.
        let admin = edge.dir.path().join(ADMIN_SOCKET);
        edge.wait("HAProxy", || TcpStream::connect(("127.0.0.1", port)).is_ok() && UnixStream::connect(&admin).is_ok());
        for (service, count) in tasks {
            for route in routes.routes.iter().filter(|route| route.service == *service) {
                edge.wait("its tasks", || edge.tasks_of(&route.name()) == usize::from(*count));
            }
        }
        edge
    }

    /// How many tasks HAProxy sends requests to.
    fn tasks_of(&self, route: &str) -> usize {
        let line = format!("service-{route},task");
        let is_up = |server: &&str| server.starts_with(&line) && server.split(',').nth(17) == Some("UP");
        self.admin("show stat").lines().filter(is_up).count()
    }

    /// What HAProxy answers on the agent's socket.
    fn admin(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.dir.path().join(ADMIN_SOCKET)).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The lines of the access log as they are.
    pub(super) fn log(&self) -> Vec<String> {
        let text = String::from_utf8(std::fs::read(self.dir.path().join(LOG)).unwrap()).unwrap();
        text.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
    }

    /// What is answered on the socket for metrics; nothing while it changes hands.
    pub(super) fn metrics(&self, path: &str) -> String {
        let mut answer = String::new();
        let _changes_hands = UnixStream::connect(self.dir.path().join(METRICS_SOCKET)).and_then(|mut socket| {
            socket.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
            socket.read_to_string(&mut answer)
        });
        answer
    }

    /// Puts other routes into place, the way the agent does.
    pub(super) fn reload(&self, routes: &Routes, complete: bool) {
        std::fs::write(self.dir.path().join(STATE_FILE), self.admin("show servers state")).unwrap();
        let ports = [self.port, self.task_port, self.dns_port];
        write(self.dir.path(), routes, complete, self.private.as_ref(), ports);
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
        let answer = self.ask("GET", host, path, "");
        if answer.status == "200" && path != "/status" { answer.service().to_owned() } else { answer.status }
    }

    /// The address of the task that answered.
    pub(super) fn task(&self, host: &str) -> String {
        self.ask("GET", host, "/", "").task().to_owned()
    }

    /// Sends a request with these headers, each with its line break.
    pub(super) fn ask(&self, method: &str, host: &str, path: &str, headers: &str) -> Answer {
        Answer::of(&ask(self.port, method, host, path, headers).unwrap_or_default())
    }

    /// Sends a request the way the login does, with these headers.
    pub(super) fn by_login(&self, method: &str, host: &str, path: &str, headers: &str) -> Answer {
        let mut stream = UnixStream::connect(self.dir.path().join(LOGIN_SOCKET)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        let _refused = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _hung_up = stream.read_to_end(&mut answer);
        Answer::of(&String::from_utf8_lossy(&answer))
    }

    /// Sends bytes as they are and no more after them, and returns everything that comes back.
    pub(super) fn send(&self, bytes: &[u8]) -> String {
        let (mut stream, mut answer) = (self.connect(), Vec::new());
        // Who is refused in mid-sentence is hung up on.
        let _refused = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let _hung_up = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A connection to the edge on which nobody waits for long.
    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A WebSocket to a task, which sends back whatever it gets.
    pub(super) fn websocket(&self, host: &str) -> TcpStream {
        let mut stream = self.connect();
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        assert!(read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&read));
        stream
    }

    /// The heads of all requests that reached a task since somebody asked.
    pub(super) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
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
                match ask(port, "GET", host, "/", "") {
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
fn write(
    dir: &std::path::Path,
    routes: &Routes,
    complete: bool,
    private: Option<&PrivateDomain>,
    [port, task_port, dns_port]: [u16; 3],
) {
    let mut routes = routes.clone();
    routes.routes.iter_mut().for_each(|route| route.port = task_port);
    let rendered = match private {
        Some(private) => render_with_login(&routes, complete, INSIDE, Expressions::Compiled, private),
        None => render(&routes, complete, INSIDE, Expressions::Compiled),
    };
    let rendered = rendered.unwrap();
    let config = rendered
        .config
        .replace(&format!("bind :{LISTEN_PORT}"), &format!("bind 127.0.0.1:{port}"))
        .replace("127.0.0.11:53", &format!("127.0.0.1:{dns_port}"));
    assert_ne!(config, rendered.config);
    let key = [("app".to_owned(), Secret::new(TOKEN_KEY.to_owned()))];
    std::fs::write(dir.join(TOKEN_KEYS_FILE), token_keys(&routes.routes, &key.into()).expose()).unwrap();
    std::fs::write(dir.join(MAP_FILE), rendered.map).unwrap();
    std::fs::write(dir.join(CONFIG_FILE), config).unwrap();
}

fn ask(port: u16, method: &str, host: &str, path: &str, headers: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("no answer: {error}");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.is_empty() { Err("an empty answer".to_owned()) } else { Ok(answer) }
}
