//! One PostgreSQL server: made, started, told its master user and password, stopped.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futuswarm_secret::Secret;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::ca::Authority;
use crate::child::args;
use crate::error::{Error, Result, file};
use crate::sandbox::{FOLDER, Sandbox};
use crate::state_dir::write_atomically;

/// Where Debian has PostgreSQL's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/17/bin";
/// The owner of everything, as on RDS: clients cannot be it.
const ADMIN: &str = "rdsadmin";
/// initdb takes under a second; ten times that on a machine busy with virtual machines.
const INIT_DEADLINE: Duration = Duration::from_secs(120);
/// Statements take milliseconds.
const SQL_DEADLINE: Duration = Duration::from_secs(30);
/// From its start until it accepts connections: well under a second, except on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// A fast shutdown writes a checkpoint.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// What a server is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Identifier.
    pub id: String,
    /// Its name in DNS.
    pub name: String,
    /// Its address in the VPC.
    pub address: Ipv4Addr,
    /// TCP, at its address.
    pub port: u16,
    /// Master user.
    pub master: String,
    /// A database that is made with it.
    pub database: Option<String>,
    /// The snapshot's file that it begins with.
    pub origin: Option<PathBuf>,
}

/// The mark of a data folder that was made to its end.
const COMPLETE: &str = "complete";

/// Whether a database was made to its end, so that its data can be packed.
pub fn is_complete(sandbox: &Sandbox) -> bool {
    sandbox.folder.join(COMPLETE).exists()
}

/// A server that runs.
pub struct Server {
    sandbox: Sandbox,
    process: Child,
    password: Arc<Secret>,
    master: String,
}

impl Server {
    /// Makes the data folder if there is none, starts the server and waits until it accepts connections.
    ///
    /// # Errors
    /// When it cannot be made or does not start; its log says why.
    pub async fn start(
        instance: &Instance,
        sandbox: Sandbox,
        authority: &Authority,
        password: Arc<Secret>,
        log: &Path,
    ) -> Result<Self> {
        prepare(instance, &sandbox, authority)?;
        let (data, mark) = (sandbox.folder.join("data"), sandbox.folder.join(COMPLETE));
        let new = !mark.exists();
        if new {
            if data.exists() {
                // An attempt that did not get to its end.
                std::fs::remove_dir_all(&data).map_err(file("cannot remove", &data))?;
            }
            match &instance.origin {
                Some(snapshot) => unpack(snapshot.clone(), sandbox.folder.clone()).await?,
                None => initialise(&sandbox).await?,
            }
        }
        let output = std::fs::File::options().create(true).append(true).open(log).map_err(file("cannot open", log))?;
        let mut argv = program("postgres");
        argv.extend(args(["-D", "data"]));
        for setting in settings(instance) {
            argv.extend(args(["-c".to_owned(), setting]));
        }
        let process = sandbox.command(&argv).stdout(Stdio::null()).stderr(Stdio::from(output)).spawn();
        let process = process.map_err(|error| failed(instance, log, &error.to_string()))?;
        let mut server = Self { sandbox, process, password, master: instance.master.clone() };
        server.wait(instance, log).await?;
        if new && instance.origin.is_none() {
            server.sql(&first_statements(instance)).await?;
        }
        server.sql(&password_statement(&server.master, &server.password)).await?;
        write_atomically(&mark, b"")?;
        Ok(server)
    }

    async fn wait(&mut self, instance: &Instance, log: &Path) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(failed(instance, log, &status));
            }
            match self.sql("SELECT 1;").await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > START_DEADLINE => {
                    return Err(failed(instance, log, &error.to_string()));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Its exit status, if it ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        self.process.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Gives the master user another password, if it is another.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn set_password(&mut self, password: Arc<Secret>) -> Result<()> {
        if self.password.expose() != password.expose() {
            self.sql(&password_statement(&self.master, &password)).await?;
            self.password = password;
        }
        Ok(())
    }

    /// Statements as the owner of everything, over the socket that only the server's user can open. They go through the
    /// standard input: an argument could be read by everybody.
    async fn sql(&self, statements: &str) -> Result<String> {
        let mut argv = program("psql");
        argv.extend(args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", FOLDER, "-U", ADMIN, "-d", "postgres"]));
        self.sandbox.run(&argv, statements, SQL_DEADLINE).await
    }

    /// Stops it in order; kills it when it takes too long.
    ///
    /// # Errors
    /// When it cannot even be killed.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _gone = kill_process(pid, Signal::INT);
        }
        if tokio::time::timeout(STOP_DEADLINE, self.process.wait()).await.is_err() {
            tracing::warn!("a database takes too long to stop; killing it");
            let killed = self.process.kill().await;
            killed.map_err(|error| Error::Command { command: "postgres".to_owned(), detail: error.to_string() })?;
        }
        Ok(())
    }
}

async fn initialise(sandbox: &Sandbox) -> Result<()> {
    let mut argv = program("initdb");
    argv.extend(args(["-D", "data", "-U", ADMIN, "--encoding=UTF8", "--no-locale", "--locale-provider=builtin"]));
    argv.extend(args(["--builtin-locale=C.UTF-8", "--auth=reject", "--no-sync", "--no-instructions"]));
    sandbox.run(&argv, "", INIT_DEADLINE).await.map(|_| ())
}

/// Puts the data of a stopped server into a snapshot's file.
///
/// # Errors
/// When it cannot be read or written.
pub async fn pack(folder: PathBuf, snapshot: PathBuf) -> Result<()> {
    blocking(move || {
        let temporary = snapshot.with_extension("tmp");
        let out = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary);
        let mut archive = tar::Builder::new(out.map_err(file("cannot create", &temporary))?);
        archive.follow_symlinks(false);
        archive.append_dir_all("data", folder.join("data")).map_err(file("cannot write", &temporary))?;
        archive.finish().map_err(file("cannot write", &temporary))?;
        std::fs::rename(&temporary, &snapshot).map_err(file("cannot rename to", &snapshot))
    })
    .await
}

async fn unpack(snapshot: PathBuf, folder: PathBuf) -> Result<()> {
    blocking(move || {
        let input = std::fs::File::open(&snapshot).map_err(file("cannot read", &snapshot))?;
        let mut archive = tar::Archive::new(input);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(true);
        archive.unpack(&folder).map_err(file("cannot unpack into", &folder))
    })
    .await
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work).await?
}

fn program(name: &str) -> Vec<OsString> {
    args([format!("{PROGRAMS}/{name}")])
}

fn failed(instance: &Instance, log: &Path, detail: &str) -> Error {
    Error::Config(format!("the database {} did not start ({detail}); its log is {}", instance.id, log.display()))
}

/// The folder with certificate and rules; all of it belongs to the server's user, and nobody else may look.
fn prepare(instance: &Instance, sandbox: &Sandbox, authority: &Authority) -> Result<()> {
    let dir = &sandbox.folder;
    if !dir.exists() {
        std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(file("cannot create", dir))?;
    }
    let (user, group) = (Some(sandbox.ids.0), Some(sandbox.ids.1));
    let (certificate, key) = authority.issue(&[instance.name.clone(), instance.address.to_string()])?;
    // Whoever has the socket is the server's user or root; everybody else needs TLS and a password, as on RDS.
    let rules = format!("local all {ADMIN} trust\nhostssl all {ADMIN} all reject\nhostssl all all all scram-sha-256\n");
    for (name, content) in [("server.pem", certificate), ("server.key", key), ("hba.conf", rules)] {
        let path = dir.join(name);
        write_atomically(&path, content.as_bytes())?;
        chown(&path, user, group).map_err(file("cannot give away", &path))?;
    }
    chown(dir, user, group).map_err(file("cannot give away", dir))
}

fn settings(instance: &Instance) -> Vec<String> {
    let fixed = [
        format!("unix_socket_directories={FOLDER}"),
        format!("ssl_cert_file={FOLDER}/server.pem"),
        format!("ssl_key_file={FOLDER}/server.key"),
        format!("hba_file={FOLDER}/hba.conf"),
        format!("listen_addresses={}", instance.address),
        format!("port={}", instance.port),
    ];
    let rest = [
        "ssl=on",
        "password_encryption=scram-sha-256",
        "unix_socket_permissions=0700",
        "max_connections=100",
        "shared_buffers=32MB",
        // The machine that it could lose its data with is the one that the whole cloud is lost with.
        "fsync=off",
        // A statement that fails would be in the log, with the password in it.
        "log_min_error_statement=panic",
        "log_timezone=UTC",
        "timezone=UTC",
    ];
    fixed.into_iter().chain(rest.map(str::to_owned)).collect()
}

/// A name in SQL.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As on RDS: the master user is no superuser, but may make databases and roles.
fn first_statements(instance: &Instance) -> String {
    let master = identifier(&instance.master);
    let mut text = format!(
        "SET standard_conforming_strings = on;\n\
         CREATE ROLE rds_superuser NOLOGIN;\n\
         GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;\n\
         CREATE ROLE {master} LOGIN CREATEDB CREATEROLE IN ROLE rds_superuser;\n\
         ALTER DATABASE postgres OWNER TO {master};\n"
    );
    if let Some(database) = instance.database.as_deref().filter(|database| *database != "postgres") {
        text.push_str(&format!("CREATE DATABASE {} OWNER {master};\n", identifier(database)));
    }
    text
}

fn password_statement(master: &str, password: &Secret) -> String {
    let (master, password) = (identifier(master), literal(password.expose()));
    format!("SET standard_conforming_strings = on;\nALTER ROLE {master} PASSWORD {password};\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        let instance = Instance {
            id: "db".to_owned(),
            name: "db.example".to_owned(),
            address: Ipv4Addr::new(10, 0, 0, 9),
            port: 5432,
            master: "o\"wner".to_owned(),
            database: Some("apps".to_owned()),
            origin: None,
        };
        let text = first_statements(&instance);
        assert!(text.contains("CREATE ROLE \"o\"\"wner\" LOGIN CREATEDB CREATEROLE IN ROLE rds_superuser;"), "{text}");
        assert!(text.ends_with("CREATE DATABASE \"apps\" OWNER \"o\"\"wner\";\n"), "{text}");
        let text = password_statement("a", &Secret::new("it's".to_owned()));
        assert!(text.ends_with("ALTER ROLE \"a\" PASSWORD 'it''s';\n"), "{text}");
    }
}
