//! A cluster that says what a test wants: an `ssh` that stands first in PATH and pipes bytes between the program and a thread of the test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futuswarm_rpc::message::{Answer, Event, Refusal, RefusalClass, Request};
use futuswarm_rpc::{Channel, Decoder, Frame, Hello};

/// Copies both ways through named pipes, so that it needs nothing but a POSIX shell.
const SSH: &str = r#"#!/bin/sh
here=$(dirname "$0")
if [ "$1" = -V ]; then echo OpenSSH_0 >&2; exit 0; fi
printf '%s\n' "$@" >"$here/argv.$$"
if [ -f "$here/says" ]; then cat "$here/says" >&2; exit 255; fi
mkfifo "$here/$$.in" "$here/$$.out"
echo $$ >"$here/connections"
exec 3<&0
cat <&3 >"$here/$$.in" 2>/dev/null &
cat "$here/$$.out"
kill $! 2>/dev/null
exit "$(cat "$here/$$.code" 2>/dev/null || echo 0)"
"#;

/// Writes a script that can be run, by another process: a file that this one has open for writing is so, too, in whatever another test
/// starts at that moment, and cannot be run meanwhile ("Text file busy").
pub fn executable(path: &Path, script: &str) {
    let mut install = Command::new("install");
    let mut install = install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

/// One connection, from the cluster's side.
pub struct Peer {
    folder: PathBuf,
    id: String,
    input: File,
    output: Option<File>,
    decoder: Decoder,
}

impl Peer {
    /// The next frame; `None` when the program has gone.
    pub fn next(&mut self) -> Option<Frame> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.input.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.decoder.feed(&buffer[..length]),
            }
        }
    }

    /// Writes bytes; `false` when nobody takes them.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.output.as_mut().is_some_and(|output| output.write_all(bytes).is_ok())
    }

    pub fn send(&mut self, message: &impl serde::Serialize) -> bool {
        self.raw(&Frame::message(message).unwrap().encode().unwrap())
    }

    pub fn chunk(&mut self, channel: Channel, bytes: &[u8]) {
        self.raw(&Frame::Chunk(channel, bytes.to_vec()).encode().unwrap());
    }

    pub fn done(&mut self, answer: Answer) {
        self.send(&Event::Done { answer: Box::new(answer) });
    }

    pub fn refuse(&mut self, class: RefusalClass, message: &str) {
        self.send(&Event::Failed(Refusal { class, message: message.to_owned() }));
    }

    /// Greets, and reads the request.
    pub fn request(&mut self) -> Option<Request> {
        self.send(&Hello::of("0.1.0"));
        self.next_message::<Hello>()?;
        self.next_message()
    }

    pub fn next_message<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        match self.next()? {
            Frame::Message(body) => Some(serde_json::from_slice(&body).unwrap()),
            other => panic!("a message is wanted: {other:?}"),
        }
    }

    /// Cuts the connection, as if `ssh` had ended with this code.
    pub fn end(&mut self, code: i32) {
        std::fs::write(self.folder.join(format!("{}.code", self.id)), code.to_string()).unwrap();
        self.output = None;
    }
}

/// A folder with the program's home, a cluster that it knows, and the `ssh`.
pub struct Fake {
    folder: tempfile::TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// A cluster that nobody has logged in to yet; `serve` is called for each connection.
    pub fn without_login(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let folder = tempfile::Builder::new().prefix("it's a \"folder\" ").tempdir().unwrap();
        let path = folder.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        executable(&path.join("ssh"), SSH);
        let connections = path.join("connections");
        assert!(Command::new("mkfifo").arg(&connections).status().unwrap().success());
        // Both directions, so that it opens at once and never ends.
        let mut control = File::options().read(true).write(true).open(&connections).unwrap();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            let (mut text, mut buffer) = (String::new(), [0; 256]);
            while let Ok(length) = control.read(&mut buffer) {
                text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
                while let Some((id, rest)) = text.split_once('\n').map(|(id, rest)| (id.to_owned(), rest.to_owned())) {
                    text = rest;
                    let (folder, serve) = (path.clone(), Arc::clone(&serve));
                    std::thread::spawn(move || {
                        let output = File::options().write(true).open(folder.join(format!("{id}.out"))).unwrap();
                        let input = File::open(folder.join(format!("{id}.in"))).unwrap();
                        let output = Some(output);
                        serve(Peer { folder, id, input, output, decoder: Decoder::default() });
                    });
                }
            }
        });
        Self { folder, requests: Arc::default() }
    }

    /// A cluster that `jane` has logged in to.
    pub fn new(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let fake = Self::without_login(serve);
        let cluster = fake.home().join("apps");
        std::fs::create_dir_all(&cluster).unwrap();
        std::fs::write(cluster.join("config.toml"), "user = \"jane\"\nhost = \"ssh.example.com\"\nport = 22\n")
            .unwrap();
        std::fs::write(cluster.join("known_hosts"), "").unwrap();
        fake
    }

    /// A cluster that answers every request with what `answer` says.
    pub fn answering(
        answer: impl Fn(&Request) -> Result<Answer, (RefusalClass, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let seen = Arc::clone(&requests);
        let mut fake = Self::new(move |mut peer| {
            let Some(request) = peer.request() else { return };
            let answer = answer(&request);
            seen.lock().unwrap().push(request);
            match answer {
                Ok(answer) => peer.done(answer),
                Err((class, message)) => peer.refuse(class, message),
            }
        });
        fake.requests = requests;
        fake
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder that the program runs in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Makes `ssh` end with 255, saying this.
    pub fn unreachable(&self, words: &str) {
        std::fs::write(self.bin().join("says"), words).unwrap();
    }

    /// What `ssh` was called with, for each call.
    pub fn argvs(&self) -> Vec<Vec<String>> {
        let entries = std::fs::read_dir(self.bin()).unwrap().map(|entry| entry.unwrap().path());
        let argvs = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("argv."));
        argvs.map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()).collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_futuswarm")));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", format!("{}:{path}", self.bin().display()))
            .env("HOME", self.folder.path())
            .env("TMPDIR", std::env::temp_dir())
            .env("FUTUSWARM_HOME", self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments), b"")
    }

    /// Runs the program with something on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        finish(self.command(arguments), input)
    }
}

/// What the program has said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Said {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the program ended like this.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        self
    }
}

/// Runs a program to its end, which comes within a minute.
pub fn finish(mut command: Command, input: &[u8]) -> Said {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // It may end without reading all of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let id = child.id();
    let begin = Instant::now();
    let output = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !output.is_finished() {
        assert!(begin.elapsed() < Duration::from_secs(60), "process {id} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = output.join().unwrap();
    Said { code: status.code().unwrap_or(-1), stdout, stderr: String::from_utf8(stderr).unwrap() }
}
