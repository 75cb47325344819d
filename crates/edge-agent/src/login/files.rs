//! Apache's configuration on disk: checked by Apache, put into place as a whole, and its lists replaced while it serves.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futuswarm_node_files::{self as files, Files, replace};
use futuswarm_sso::{
    ALLOW_FILE, CONFIG_FILE, LOCKED_FILE, Login, Places, SECRETS_FILE, arguments, environment, render,
};
use futuswarm_vault::Secret;
use tokio::time::Instant;

use crate::Error;
use crate::turns::{self, CURRENT};

/// Name of HAProxy's socket in its folder.
const SOCKET: &str = "haproxy.sock";
/// The authorities of the system, and of a rehearsal beside them.
const AUTHORITIES: &str = "authorities.pem";
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Files that are written within one tick of the kernel's clock have the same time, and Apache reads the second not at all.
const TICK: Duration = Duration::from_millis(20);
/// What Apache has looked up stays in its memory until a list's time changes, and anybody can have any name looked up.
const REWRITTEN_AFTER: Duration = Duration::from_secs(5 * 60);
/// Apache checks a configuration in a tenth of a second; in an emulated machine in some.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);
/// Only Apache's group reads the secrets, and whoever has written them.
const SECRET_MODE: u32 = 0o640;

/// Where the login's files are, and what is served of them.
pub(super) struct LoginFiles {
    dir: PathBuf,
    run_dir: PathBuf,
    socket: PathBuf,
    /// Of a rehearsal.
    authority: Option<PathBuf>,
    /// Apache, as it checks a configuration.
    pub(super) program: PathBuf,
    /// The login that was put into place last.
    served: Option<Login>,
    /// When the lists were written, in which folder, and what they are.
    lists: Option<(Instant, &'static str, [String; 2])>,
}

impl LoginFiles {
    pub(super) fn new(files: &Files) -> Self {
        Self {
            dir: files.login_dir(),
            run_dir: files.login_run_dir(),
            socket: socket(files),
            authority: files.rehearsal_authority(),
            program: futuswarm_sso::PROGRAM.into(),
            served: None,
            lists: None,
        }
    }

    /// Whether there is a configuration that a container could start with.
    pub(super) fn exist(&self) -> bool {
        self.dir.join(CURRENT).join(CONFIG_FILE).exists()
    }

    /// Where Apache finds everything in one of the folders that take turns.
    pub(super) fn places(&self, turn: &str) -> Places {
        let folder = self.dir.join(turn);
        let authorities = self.authority.as_ref().map(|_| self.dir.join(AUTHORITIES).display().to_string());
        Places {
            secrets_file: folder.join(SECRETS_FILE).display().to_string(),
            config_dir: folder.display().to_string(),
            run_dir: self.run_dir.display().to_string(),
            upstream: self.socket.display().to_string(),
            authorities,
        }
    }

    /// What Apache is started with.
    pub(super) fn command(&self) -> Vec<String> {
        let mut command = vec![futuswarm_sso::PROGRAM.to_owned()];
        command.extend(arguments(&self.places(CURRENT)));
        command
    }

    /// What it finds in its environment.
    pub(super) fn environment(&self) -> Vec<String> {
        environment(&self.places(CURRENT)).map(|(name, value)| format!("{name}={value}")).to_vec()
    }

    /// Puts a login into place; `true` when Apache has to read it again. What Apache refuses leaves the one before, whose lists follow
    /// nevertheless.
    pub(super) async fn put(&mut self, mut login: Login, secrets: &Secret) -> Result<bool, Error> {
        if let Some(turn) = turns::current(&self.dir) {
            login.places = self.places(turn);
            let files = render(&login)?;
            let folder = self.dir.join(turn);
            if is(&folder.join(CONFIG_FILE), &files.config) && is(&folder.join(SECRETS_FILE), secrets.expose()) {
                self.write_lists(turn, files.allow, files.locked).await?;
                self.served = Some(login);
                return Ok(false);
            }
        }
        self.write_authorities()?;
        let turn = turns::next(&self.dir);
        let folder = self.dir.join(turn);
        std::fs::create_dir_all(&folder).map_err(files::Error::of(&folder))?;
        login.places = self.places(turn);
        let files = render(&login)?;
        replace(&folder.join(CONFIG_FILE), files.config.as_bytes())?;
        replace(&folder.join(ALLOW_FILE), files.allow.as_bytes())?;
        replace(&folder.join(LOCKED_FILE), files.locked.as_bytes())?;
        write_secret(&folder.join(SECRETS_FILE), secrets)?;
        if let Some(reason) = self.complaint(&login.places).await? {
            self.put_lists(login).await?;
            return Err(Error::Refused(reason));
        }
        turns::link(&self.dir, turn)?;
        tracing::info!(apps = login.apps.len(), "a new configuration of the login");
        self.lists = Some((Instant::now(), turn, [files.allow, files.locked]));
        self.served = Some(login);
        Ok(true)
    }

    /// Has the lists of what is served say what this login says, without a word to Apache.
    pub(super) async fn put_lists(&mut self, login: Login) -> Result<(), Error> {
        let (Some(served), Some(turn)) = (&mut self.served, turns::current(&self.dir)) else { return Ok(()) };
        (served.apps, served.locked) = (login.apps, login.locked);
        let files = render(served)?;
        self.write_lists(turn, files.allow, files.locked).await
    }

    async fn write_lists(&mut self, turn: &'static str, allow: String, locked: String) -> Result<(), Error> {
        let lists = [allow, locked];
        let is_written = self.lists.as_ref().is_some_and(|(at, folder, written)| {
            at.elapsed() < REWRITTEN_AFTER && *folder == turn && *written == lists
        });
        if is_written {
            return Ok(());
        }
        tokio::time::sleep(TICK).await;
        let folder = self.dir.join(turn);
        let [allow, locked] = &lists;
        // Who is locked out first: of both, that is the one that must not be late.
        replace(&folder.join(LOCKED_FILE), locked.as_bytes())?;
        replace(&folder.join(ALLOW_FILE), allow.as_bytes())?;
        self.lists = Some((Instant::now(), turn, lists));
        Ok(())
    }

    fn write_authorities(&self) -> Result<(), Error> {
        let Some(rehearsal) = &self.authority else { return Ok(()) };
        let mut all = Vec::new();
        for path in [Path::new(SYSTEM_AUTHORITIES), rehearsal.as_path()] {
            all.extend(std::fs::read(path).map_err(files::Error::of(path))?);
            all.push(b'\n');
        }
        Ok(replace(&self.dir.join(AUTHORITIES), &all)?)
    }

    /// Takes everything away.
    pub(super) fn remove(&mut self) -> Result<(), Error> {
        (self.served, self.lists) = (None, None);
        turns::remove(&self.dir)
    }

    /// Why Apache refuses a configuration; `None` when it does not.
    async fn complaint(&self, places: &Places) -> Result<Option<String>, Error> {
        let failed = |reason: String| files::Error::new(&self.program, reason);
        let run = tokio::process::Command::new(&self.program)
            .args(arguments(places))
            .arg("-t")
            .env_clear()
            .envs(environment(places))
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
        // It may repeat what it does not understand.
        if text.contains(SECRETS_FILE) {
            return Ok(Some(format!("something in {SECRETS_FILE}, which is not shown here")));
        }
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("it gives no reason");
        Ok(Some(lines.next().map_or_else(|| first.to_owned(), |second| format!("{first} {second}"))))
    }
}

/// HAProxy's socket for the login.
pub(super) fn socket(files: &Files) -> PathBuf {
    files.login_socket_dir().join(SOCKET)
}

/// Whether a file has this content.
fn is(path: &Path, content: &str) -> bool {
    std::fs::read(path).is_ok_and(|bytes| {
        let same = bytes == content.as_bytes();
        // It may be the file of the secrets.
        drop(String::from_utf8(bytes).map(Secret::new));
        same
    })
}

fn write_secret(path: &Path, secret: &Secret) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let _left_by_a_killed_agent = std::fs::remove_file(&temporary);
    let file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(&temporary);
    let written = file.and_then(|mut file| file.write_all(secret.expose().as_bytes()));
    written.map_err(files::Error::of(&temporary))?;
    Ok(std::fs::rename(&temporary, path).map_err(files::Error::of(path))?)
}
