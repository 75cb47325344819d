//! A real Apache on loopback, without rights and with nothing to write to but its own folder, and what stands before and behind it.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::provider::{self, Provider};
use super::*;

/// Everything on this machine is slow at times.
const PATIENCE: Duration = Duration::from_secs(30);
/// Debian's www-data, which has no rights.
const USER: u32 = 33;
/// Files that are written within one tick of the kernel's clock have the same time, and Apache reads only one of them.
const TICK: Duration = Duration::from_millis(20);

/// `$1` is the root, read-only; `$2` the configuration, read-only but for its folder `run`.
const SCRIPT: &str = r#"set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
mount --bind "$2" "$1/mnt"
mount -o remount,bind,ro "$1/mnt"
mount --bind "$2/run" "$1/mnt/run"
root=$1
shift 2
exec chroot --userspec=33:33 "$root" /usr/bin/env -i "$@""#;

pub(super) struct Apache {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
    pub(super) provider: Arc<Provider>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What came back for a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// `none` when nothing did.
    pub(super) status: String,
    head: String,
    /// Of an app: the head of the request as it saw it.
    pub(super) body: String,
}

impl Answer {
    fn of(head: String, body: &[u8]) -> Self {
        let status = head.split(' ').nth(1).unwrap_or("none").to_owned();
        Self { status, head, body: String::from_utf8_lossy(body).into_owned() }
    }

    /// The values of all headers of this name.
    pub(super) fn header(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }

    /// The values of all headers of this name that the app saw.
    pub(super) fn got(&self, name: &str) -> Vec<&str> {
        values(&self.body, name)
    }

    pub(super) fn location(&self) -> &str {
        self.header("location").first().copied().unwrap_or_default()
    }
}

fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

impl Apache {
    /// Starts Apache with this login, an app behind it that answers for all hosts, and a provider.
    pub(super) fn start(login: &Login) -> Self {
        Self::with(login, &one_passphrase())
    }

    /// The same with these secrets.
    pub(super) fn with(login: &Login, secrets: &str) -> Self {
        let root = tree();
        let dir = folder();
        let (provider, provider_port) = provider::start();
        let port = futuswarm_tools::free_port().unwrap();
        write(dir.path(), login, secrets, port, provider_port);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let socket = dir.path().join("run/edge.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        let heads = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = Arc::clone(&heads);
                std::thread::spawn(move || {
                    let _closed = app(stream, &heads);
                });
            }
        });
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = command(&root, dir.path(), login, &[]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut apache = Self { child: command.spawn().unwrap(), dir, port, provider, seen };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = apache.child.try_wait().unwrap();
            let is_well = ended.is_none() && begin.elapsed() < PATIENCE;
            assert!(is_well, "Apache does not start ({ended:?}): {}", apache.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        apache
    }

    /// What Apache and its children have said.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until a line of the log has this.
    pub(super) fn logged(&self, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "{text} is not in the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Puts other lists into place, the way the agent does, without a word to Apache.
    pub(super) fn change(&self, login: &Login) {
        std::thread::sleep(TICK);
        let files = render(login).unwrap();
        for (name, text) in [(ALLOW_FILE, files.allow), (LOCKED_FILE, files.locked)] {
            let new = self.dir.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, self.dir.path().join(name)).unwrap();
        }
    }

    /// Puts something else into the place of a list, or takes the list away.
    pub(super) fn spoil(&self, name: &str, text: Option<&str>) {
        std::thread::sleep(TICK);
        let path = self.dir.path().join(name);
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }

    /// The heads of all requests that reached an app since somebody asked.
    pub(super) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// A request as the load balancer hands it on, with these headers, each with its line break.
    pub(super) fn ask(&self, method: &str, host: &str, path: &str, headers: &str) -> Answer {
        let from = "X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n";
        let connection = if headers.contains("Connection:") { "" } else { "Connection: close\r\n" };
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{from}{headers}{connection}\r\n"))
    }

    /// Sends text as it is, and returns the first answer to it.
    pub(super) fn send(&self, text: &str) -> Answer {
        let mut stream = self.connect();
        // Who is refused in mid-sentence is hung up on.
        let _refused = stream.write_all(text.as_bytes());
        let (head, body) = provider::read(&mut stream).ok().flatten().unwrap_or_default();
        Answer::of(head, &body)
    }

    /// A connection on which nobody waits for long.
    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Its children end with it.
        let _gone = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ended = self.child.wait();
    }
}

/// What Apache says of a configuration that is not good; `None` of one that is.
pub(super) fn complaint(login: &Login) -> Option<String> {
    let dir = folder();
    write(dir.path(), login, &one_passphrase(), 1, 1);
    let output = command(&tree(), dir.path(), login, &["-t"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (!output.status.success() || text.trim() != "Syntax OK").then(|| text.into_owned())
}

/// The tools tree, which has to have Apache: a test that cannot run fails.
fn tree() -> PathBuf {
    let tools = futuswarm_tools::ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let root = tools.root();
    for file in [PROGRAM, "/usr/lib/apache2/modules/mod_auth_openidc.so"] {
        let there = root.join(file.trim_start_matches('/')).exists();
        assert!(
            there,
            "the tools tree {} has no {file}: delete the tree, `cargo xtask test` makes it again",
            root.display()
        );
    }
    root.to_owned()
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    for (path, mode) in [(dir.path().to_owned(), 0o755), (dir.path().join("run"), 0o777)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    dir
}

fn command(root: &Path, dir: &Path, login: &Login, more: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(root).arg(dir);
    command.args(environment(&login.places).map(|(name, value)| format!("{name}={value}")));
    command.arg(PROGRAM).args(arguments(&login.places)).args(more);
    command
}

/// What the agent writes, with addresses of this machine instead of the container's and the provider's.
fn write(dir: &Path, login: &Login, secrets: &str, port: u16, provider: u16) {
    let Files { config, allow, locked } = render(login).unwrap();
    let local = format!("\"http://127.0.0.1:{provider}/");
    let local = config
        .replace(&format!("Listen {LISTEN_PORT}\n"), &format!("Listen 127.0.0.1:{port}\n"))
        .replace(&format!("*:{LISTEN_PORT}>"), &format!("*:{port}>"))
        .replace("\"https://idp.example.com/token", &format!("{local}token"))
        .replace("\"https://idp.example.com/jwks", &format!("{local}jwks"))
        .replace("RemoteIPInternalProxy 10.0.0.0/24", "RemoteIPInternalProxy 127.0.0.0/8");
    assert_ne!(local, config);
    for (name, text) in [(CONFIG_FILE, local), (ALLOW_FILE, allow), (LOCKED_FILE, locked)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let path = dir.join(SECRETS_FILE);
    std::fs::write(&path, secrets).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    chown(&path, Some(USER), Some(USER)).unwrap();
}

/// Answers with what it was asked, and takes part in a WebSocket by saying everything again.
fn app(mut stream: UnixStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let Some((head, mut rest)) = provider::read(&mut stream)? else { return Ok(()) };
    seen.lock().unwrap().push(head.clone());
    if values(&head, "upgrade") == ["websocket"] {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        loop {
            stream.write_all(&rest)?;
            rest.resize(4096, 0);
            let length = stream.read(&mut rest)?;
            if length == 0 {
                return Ok(());
            }
            rest.truncate(length);
        }
    }
    let length = head.len();
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{head}").as_bytes())
}
