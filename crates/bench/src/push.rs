//! A push by the real command line: its `ssh` is a relay that passes bytes on to a control service in this process, as a session's does,
//! and counts them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futuswarm_rpc::{Caller, Identity};
use futuswarm_store::{MemoryBucket, Store};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{self, USER};
use crate::image;
use crate::simulated::SimulatedS3;

/// Packing and sending half a hundred MiB takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks whether the program has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What came of two pushes, of which the second had one other layer.
#[derive(Debug, Serialize)]
pub(crate) struct Pushed {
    /// Of the archive: what `docker save` through `ssh` would send.
    archive_bytes: u64,
    /// Of the changed layer, before it is packed; it is noise, which packing makes no shorter.
    layer_bytes: u64,
    /// Over the connections of the second push, to the cluster.
    sent_bytes: u64,
    /// Of the first push.
    first_sent_bytes: u64,
}

/// Pushes an image with layers of so many bytes, changes the upper one, and pushes it again.
pub(crate) fn push(cli: &Path, base: usize, layer: usize) -> anyhow::Result<Pushed> {
    let folder = tempfile::tempdir()?;
    let bucket = MemoryBucket::default();
    let (ready, started) = std::sync::mpsc::channel();
    let path = folder.path().to_owned();
    std::thread::spawn(move || {
        let _nobody_waits = ready.send(serve(bucket, &path, &ready));
    });
    started.recv_timeout(PATIENCE).context("the control service does not start")??;
    let developer = Developer::new(folder.path(), cli)?;
    let noise = |seed: u64, length: usize| {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        bytes
    };
    let archive = folder.path().join("image.tar");
    let below = noise(1, base);
    let mut sent = Vec::new();
    for seed in [2, 3] {
        image::write(&archive, &[&below, &noise(seed, layer)], &serde_json::json!({ "Cmd": ["/app"] }))?;
        sent.push(developer.push(&archive)?);
    }
    let [first_sent_bytes, sent_bytes] = sent[..] else { anyhow::bail!("two pushes are two figures") };
    let archive_bytes = std::fs::metadata(&archive)?.len();
    Ok(Pushed { archive_bytes, layer_bytes: layer as u64, sent_bytes, first_sent_bytes })
}

type Ready = std::sync::mpsc::Sender<anyhow::Result<()>>;

/// The control service, until the process ends.
fn serve(bucket: MemoryBucket, folder: &Path, ready: &Ready) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        cluster::make_user(&Store::new(bucket.clone())).await?;
        cluster::start(&SimulatedS3::new(bucket, Duration::ZERO), folder).await?;
        let _nobody_waits = ready.send(Ok(()));
        std::future::pending().await
    })
}

/// Somebody with the command line and an `ssh`.
struct Developer<'a> {
    folder: &'a Path,
    cli: &'a Path,
}

impl<'a> Developer<'a> {
    fn new(folder: &'a Path, cli: &'a Path) -> anyhow::Result<Self> {
        let (home, bin) = (folder.join("home/bench"), folder.join("bin"));
        for dir in [&home, &bin, &folder.join("counts")] {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(
            home.join("config.toml"),
            format!("user = \"{USER}\"\nhost = \"ssh.example.com\"\nport = 22\n"),
        )?;
        std::fs::write(home.join("known_hosts"), "")?;
        let ssh = bin.join("ssh");
        let relay = std::env::current_exe()?;
        let quoted = |path: &Path| path.display().to_string().replace('\'', "'\\''");
        let script = format!(
            "#!/bin/sh\nexec '{}' relay --socket '{}' --counts '{}' -- \"$@\"\n",
            quoted(&relay),
            quoted(&folder.join("control.sock")),
            quoted(&folder.join("counts"))
        );
        std::fs::write(&ssh, script)?;
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder, cli })
    }

    /// Pushes; returns the bytes that went to the cluster.
    fn push(&self, archive: &Path) -> anyhow::Result<u64> {
        let before = self.counted()?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.cli);
        command.args(["image:push", "hello:1", "--json", "--archive"]).arg(archive).env_clear();
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        command.env("HOME", self.folder).env("FUTUSWARM_HOME", self.folder.join("home"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the command line")?;
        let mut output = child.stdout.take().context("the command line has no output")?;
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let _ended_already = child.kill();
                anyhow::bail!("the push took longer than {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        anyhow::ensure!(status.success(), "the push ended with {status}");
        let text = read.join().map_err(|_| anyhow::anyhow!("the reader of its output panicked"))??;
        let said: Value = serde_json::from_str(&text).context("what the push says")?;
        let sent = self.counted()?.saturating_sub(before);
        let told = said["sent_bytes"].as_u64().context("sent_bytes")?;
        // Frames, questions and the manifest come on top.
        anyhow::ensure!(sent >= told, "the push says that it sent {told} bytes, and {sent} went over the line");
        Ok(sent)
    }

    /// Bytes of all connections so far.
    fn counted(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(self.folder.join("counts"))? {
            let text = std::fs::read_to_string(entry?.path())?;
            // One that has just begun has written nothing yet.
            let count = if text.is_empty() { Ok(0) } else { text.parse::<u64>() };
            sum += count.with_context(|| format!("a count: {text:?}"))?;
        }
        Ok(sum)
    }
}

/// A connection: bytes both ways, as a session passes them on, and the number of those that came in a file.
pub(crate) fn relay(socket: &Path, counts: &Path) -> anyhow::Result<()> {
    let caller = Caller { identity: Identity::User(USER.to_owned()), key: None, from: None };
    let file = File::create(counts.join(std::process::id().to_string()))?;
    let input = Counted { inner: std::io::stdin(), count: 0, file };
    Ok(futuswarm_session::relay(&caller, socket, input, Unbuffered(std::io::stdout()))?)
}

/// Writes down what it has read, each time: the command line may end it at any moment.
struct Counted<R> {
    inner: R,
    count: u64,
    file: File,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        // Always as long, so that none is read while it is half written.
        self.file.write_all_at(format!("{:020}", self.count).as_bytes(), 0)?;
        Ok(length)
    }
}

/// Standard output, of which nothing waits for the end of a line.
struct Unbuffered<W>(W);

impl<W: Write> Write for Unbuffered<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(bytes)?;
        self.0.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
