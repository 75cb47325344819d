//! HAProxy's configuration on disk: checked by HAProxy, put into place as a whole, and loaded without losing a request.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futuswarm_edge::{
    ADMIN_SOCKET, CONFIG_FILE, Expressions, MAP_FILE, MASTER_SOCKET, PrivateDomain, Refusal, Rendered, Route, Routes,
    STATE_FILE,
};
use futuswarm_node_files::{self as files, Files, replace};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::turns::{self, CURRENT};
use crate::{Error, HAPROXY};

/// HAProxy checks a configuration in milliseconds; in an emulated machine in a second.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);
/// HAProxy tells the addresses of a thousand tasks in milliseconds.
const STATE_DEADLINE: Duration = Duration::from_secs(5);
/// HAProxy answers when it has read the configuration; in an emulated machine that takes seconds.
const RELOAD_DEADLINE: Duration = Duration::from_secs(30);
/// A master that starts, or starts itself again after a reload, refuses connections for a fraction of a second.
const RELOAD_ATTEMPTS: u32 = 20;
/// Pause between two attempts, with jitter up to twice as long.
const RELOAD_PAUSE_MILLIS: u64 = 150;

/// What is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) routes: Vec<Route>,
    /// Whether these are all that this edge can have.
    pub(crate) complete: bool,
    /// The domain behind the login, in a cluster that has one.
    pub(crate) private: Option<PrivateDomain>,
}

/// What the running HAProxy serves.
pub(crate) struct Config {
    dir: PathBuf,
    run_dir: PathBuf,
    /// What was asked for last, and what HAProxy refused of it.
    last: Option<(Asked, Vec<Refusal>)>,
    /// Whether what is on disk is newer than what HAProxy has read.
    stale: bool,
}

impl Config {
    pub(crate) fn new(files: &Files) -> Self {
        Self { dir: files.edge_dir(), run_dir: files.edge_run_dir(), last: None, stale: false }
    }

    /// Whether there is a configuration that a container could start with.
    pub(crate) fn exists(&self) -> bool {
        self.dir.join(CURRENT).join(CONFIG_FILE).exists()
    }

    /// Renders, checks and puts into place, for [`Self::load`]. Routes that HAProxy refuses are left out and returned with its reason; all others are served.
    pub(crate) async fn put(&mut self, asked: Asked) -> Result<Vec<Refusal>, Error> {
        if let Some((last, refused)) = &self.last
            && *last == asked
        {
            return Ok(refused.clone());
        }
        let turn = turns::next(&self.dir);
        let candidate = self.dir.join(turn);
        std::fs::create_dir_all(&candidate).map_err(files::Error::of(&candidate))?;
        let run_dir = self.run_dir.display().to_string();
        let (good, refused) = futuswarm_edge::without_culprits(asked.routes.clone(), |some| {
            let (candidate, run_dir, asked) = (&candidate, &run_dir, &asked);
            async move {
                let rendered = render(&some, asked, run_dir, Expressions::Interpreted)?;
                write(candidate, &rendered)?;
                check(&candidate.join(CONFIG_FILE)).await
            }
        })
        .await?;
        if good.is_empty() && !asked.routes.is_empty() && self.exists() {
            // Not one of them can be the reason: what is served stays.
            tracing::warn!(reason = refused.first().map(|first| first.reason.as_str()), "HAProxy refuses everything");
            self.last = Some((asked, refused.clone()));
            return Ok(refused);
        }
        // The last check may have been that of a part, and was of expressions that nobody compiles.
        let rendered = render(&good, &asked, &run_dir, Expressions::Compiled)?;
        write(&candidate, &rendered)?;
        turns::link(&self.dir, turn)?;
        self.stale = true;
        let (complete, login) = (asked.complete, asked.private.is_some());
        tracing::info!(services = good.len(), complete, login, "a new configuration of the edge");
        self.last = Some((asked, refused.clone()));
        Ok(refused)
    }

    /// A process that has just started has read what is on disk.
    pub(crate) fn started(&mut self) {
        self.stale = false;
    }

    /// Makes HAProxy load what is on disk, if it has not yet, without losing a request. The master says whether it did: the signal
    /// that asks for the same, USR2, is lost without a word while the master starts itself again, as it does after every reload.
    pub(crate) async fn load(&mut self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        self.remember_tasks().await;
        reload(&self.run_dir.join(MASTER_SOCKET)).await.map_err(Error::Reload)?;
        self.stale = false;
        Ok(())
    }

    /// Writes the addresses of all tasks for the next process. Without them it asks the name server first, and refuses requests for
    /// that moment, so this failing is worth a word and no more.
    async fn remember_tasks(&self) {
        let socket = self.run_dir.join(ADMIN_SOCKET);
        if !socket.exists() {
            return;
        }
        let ask = ask(&socket, b"show servers state\n");
        let outcome = match tokio::time::timeout(STATE_DEADLINE, ask).await {
            Ok(Ok(state)) => replace(&self.run_dir.join(STATE_FILE), &state).map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", STATE_DEADLINE.as_secs())),
        };
        if let Err(reason) = outcome {
            tracing::warn!(reason, "HAProxy does not say where its tasks are; it will ask for them again");
        }
    }
}

/// What HAProxy answers to a command on one of its sockets.
async fn ask(socket: &Path, command: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(command).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Asks the master to load its configuration until it says that it has, or that it cannot.
async fn reload(socket: &Path) -> Result<(), String> {
    let mut reason = String::new();
    for attempt in 0..RELOAD_ATTEMPTS {
        if attempt > 0 {
            let pause = RELOAD_PAUSE_MILLIS + fastrand::u64(..RELOAD_PAUSE_MILLIS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        match tokio::time::timeout(RELOAD_DEADLINE, ask(socket, b"reload\n")).await {
            Ok(Ok(answer)) => {
                let text = String::from_utf8_lossy(&answer);
                match text.lines().next() {
                    Some("Success=1") => return Ok(()),
                    Some("Success=0") => {
                        let alert = text.lines().find(|line| line.contains("ALERT")).unwrap_or("it gives no reason");
                        return Err(alert.trim().to_owned());
                    }
                    // The master has ended the connection by starting itself again: whether it has read it is not known.
                    _ => "the master did not say whether it has".clone_into(&mut reason),
                }
            }
            Ok(Err(error)) => reason = format!("{}: {error}", socket.display()),
            Err(_) => return Err(format!("no answer within {} s", RELOAD_DEADLINE.as_secs())),
        }
    }
    Err(reason)
}

/// Some of the routes that were asked for.
fn render(some: &[Route], asked: &Asked, run_dir: &str, expressions: Expressions) -> Result<Rendered, Error> {
    let routes = Routes { routes: some.to_vec(), refused: Vec::new() };
    Ok(match &asked.private {
        Some(private) => futuswarm_edge::render_with_login(&routes, asked.complete, run_dir, expressions, private)?,
        None => futuswarm_edge::render(&routes, asked.complete, run_dir, expressions)?,
    })
}

fn write(dir: &Path, rendered: &Rendered) -> Result<(), Error> {
    replace(&dir.join(MAP_FILE), rendered.map.as_bytes())?;
    Ok(replace(&dir.join(CONFIG_FILE), rendered.config.as_bytes())?)
}

/// Why HAProxy refuses a configuration; `None` when it does not.
async fn check(config: &Path) -> Result<Option<String>, Error> {
    let failed = |reason: String| files::Error::new(Path::new(HAPROXY), reason);
    let run = tokio::process::Command::new(HAPROXY)
        .arg("-c")
        .arg("-f")
        .arg(config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CHECK_DEADLINE, run)
        .await
        .map_err(|_| failed(format!("no answer within {} s", CHECK_DEADLINE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let alert = text.lines().find(|line| line.contains("ALERT")).unwrap_or("HAProxy gives no reason");
    Ok(Some(alert.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A master that is not there at first, hangs up once, and then answers.
    #[tokio::test]
    async fn a_reload_is_asked_for_until_the_master_says_that_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(MASTER_SOCKET);
        let path = socket.clone();
        let master = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let listener = UnixListener::bind(path).unwrap();
            drop(listener.accept().await.unwrap());
            for answer in ["Success=1\n--\n", "Success=0\n--\n[ALERT] no such file\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut command = [0; 7];
                stream.read_exact(&mut command).await.unwrap();
                assert_eq!(&command, b"reload\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(reload(&socket).await, Ok(()));
        assert_eq!(reload(&socket).await, Err("[ALERT] no such file".to_owned()));
        master.await.unwrap();
        let gone = reload(&dir.path().join("nobody")).await.unwrap_err();
        assert!(gone.contains("nobody: No such file"), "{gone}");
    }

    #[tokio::test]
    async fn what_was_not_loaded_is_loaded_later() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { run: dir.path().to_owned(), ..Files::default() };
        std::fs::create_dir_all(files.edge_run_dir()).unwrap();
        let mut config = Config::new(&files);
        config.load().await.unwrap();
        config.stale = true;
        assert!(config.load().await.is_err(), "there is no master");
        let listener = UnixListener::bind(files.edge_run_dir().join(MASTER_SOCKET)).unwrap();
        let master = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut command = [0; 7];
            stream.read_exact(&mut command).await.unwrap();
            stream.write_all(b"Success=1\n--\n").await.unwrap();
        });
        config.load().await.unwrap();
        master.await.unwrap();
        assert!(!config.stale);
    }
}
