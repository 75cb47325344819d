//! HAProxy of the tools tree, with the tree as its root folder: its master starts itself again when it reloads, and finds its program there.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futuswarm_edge::{ADMIN_SOCKET, CONFIG_FILE, MAP_FILE, MASTER_SOCKET, Rendered, STATE_FILE};
use futuswarm_tools::ToolsTree;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::traffic;

/// The configuration's folder as HAProxy sees it.
pub(super) const INSIDE: &str = "/mnt";
/// Its standard output, and its standard error, in the same folder.
const LOG: &str = "log";
const ERRORS: &str = "errors";
/// A thousand services are asked for by name, one by one.
const PATIENCE: Duration = Duration::from_secs(120);
/// A master that has just started itself again refuses connections for a moment.
const PAUSE: Duration = Duration::from_millis(50);
/// Processor time in /proc is told in hundredths of a second (`USER_HZ`).
pub(super) const TICKS: f64 = 100.0;

pub(super) struct Haproxy {
    folder: TempDir,
    master: Child,
}

impl Haproxy {
    /// Starts it on these processors, as `taskset -c` names them; it has a thread for each.
    pub(super) fn start(rendered: &Rendered, processors: &str) -> anyhow::Result<Self> {
        const SCRIPT: &str = "mount --bind \"$1\" \"$2/mnt\" && \
                              exec taskset -c \"$3\" chroot \"$2\" /usr/sbin/haproxy -W -db -S \"$5\" -f \"$4\"";
        let tools = ToolsTree::locate()?;
        let folder = tempfile::tempdir()?;
        write(folder.path(), rendered)?;
        let open = |name: &str| File::options().create(true).append(true).open(folder.path().join(name));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(folder.path()).arg(tools.root()).arg(processors);
        command.arg(format!("{INSIDE}/{CONFIG_FILE}")).arg(format!("{INSIDE}/{MASTER_SOCKET}"));
        command.stdin(Stdio::null()).stdout(open(LOG)?).stderr(open(ERRORS)?);
        let master = command.spawn().context("unshare, which starts HAProxy")?;
        Ok(Self { folder, master })
    }

    /// Waits until it answers requests for this host.
    pub(super) async fn wait(&mut self, port: u16, host: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(error) = traffic::once(port, host).await {
            if let Some(status) = self.master.try_wait()? {
                bail!("HAProxy ended with {status} (it needs root): {}", self.errors());
            }
            ensure!(began.elapsed() < PATIENCE, "HAProxy does not serve {host}: {error:#}: {}", self.errors());
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until it reaches so many tasks.
    pub(super) async fn wait_for_tasks(&self, count: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            // Only servers: its manual, section 9.3.
            let table = self.ask(ADMIN_SOCKET, "show stat -1 4 -1").await.unwrap_or_default();
            let is_up = |line: &&str| {
                let mut fields = line.split(',');
                fields.nth(1).is_some_and(|name| name.starts_with("task")) && fields.nth(15) == Some("UP")
            };
            let up = table.lines().filter(is_up).count();
            if up == count {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "HAProxy reaches {up} tasks of {count}: {}", self.errors());
            sleep(10 * PAUSE).await;
        }
    }

    /// Loads what is in its folder, the way the agent does: what it knows of tasks is kept for the next process. Returns how long that took.
    pub(super) async fn reload(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let state = self.ask(ADMIN_SOCKET, "show servers state").await?;
        std::fs::write(self.folder.path().join(STATE_FILE), state)?;
        loop {
            let answer = self.ask(MASTER_SOCKET, "reload").await.unwrap_or_default();
            if answer.starts_with("Success=1") {
                return Ok(began.elapsed());
            }
            let is_starting = answer.is_empty() && began.elapsed() < PATIENCE;
            ensure!(is_starting, "HAProxy does not reload: {answer}: {}", self.errors());
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, socket: &str, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.folder.path().join(socket)).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Seconds of processor time that its processes have used.
    pub(super) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let ticks: u64 = self.processes()?.iter().map(|process| process.ticks).sum();
        Ok(ticks as f64 / TICKS)
    }

    /// MiB of memory of its processes, as the kernel divides what is shared (PSS).
    pub(super) fn memory_mib(&self) -> anyhow::Result<f64> {
        let mut kib = 0;
        for Process { id, .. } in self.processes()? {
            let path = format!("/proc/{id}/smaps_rollup");
            let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
            let line =
                text.lines().find_map(|line| line.strip_prefix("Pss:")).with_context(|| format!("{path}: Pss"))?;
            kib += line.trim().trim_end_matches(" kB").parse::<u64>().with_context(|| format!("{path}: {line}"))?;
        }
        Ok(kib as f64 / 1024.0)
    }

    /// The master and its workers.
    fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // It may have ended meanwhile.
            let Some((parent, ticks)) =
                std::fs::read_to_string(format!("/proc/{id}/stat")).ok().and_then(|text| stat(&text))
            else {
                continue;
            };
            if [id, parent].contains(&self.master.id()) {
                all.push(Process { id, ticks });
            }
        }
        ensure!(all.len() > 1, "HAProxy has no workers: {}", self.errors());
        Ok(all)
    }

    /// Forgets its log, which may grow by megabytes a second.
    pub(super) fn forget_log(&self) -> anyhow::Result<()> {
        Ok(File::options().write(true).open(self.folder.path().join(LOG))?.set_len(0)?)
    }

    fn errors(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join(ERRORS)).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        last.join(" | ")
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Its workers end with their master.
        let _gone = Command::new("kill").args(["-TERM", &self.master.id().to_string()]).status();
        let _ended = self.master.wait();
    }
}

struct Process {
    id: u32,
    /// Hundredths of a second.
    ticks: u64,
}

/// The parent and the processor time of a process, from its line in /proc (proc_pid_stat(5)): a name in parentheses, which may have
/// anything in it, comes before them.
fn stat(text: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((u32::try_from(number(1)?).ok()?, number(11)? + number(12)?))
}

fn write(folder: &Path, rendered: &Rendered) -> anyhow::Result<()> {
    std::fs::write(folder.join(CONFIG_FILE), &rendered.config)?;
    Ok(std::fs::write(folder.join(MAP_FILE), &rendered.map)?)
}

/// How long HAProxy takes to check a configuration.
pub(super) async fn check(rendered: &Rendered) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    write(folder.path(), rendered)?;
    let mut command = ToolsTree::locate()?.command("haproxy")?;
    command.args(["-c", "-f"]).arg(folder.path().join(CONFIG_FILE));
    let began = Instant::now();
    let output = tokio::process::Command::from(command).stdin(Stdio::null()).output().await?;
    let took = began.elapsed();
    ensure!(output.status.success(), "HAProxy refuses it: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
