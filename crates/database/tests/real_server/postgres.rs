//! A server of the tools tree: PostgreSQL refuses to be root and starts programs of its own, so it runs with the tree as its root folder,
//! as the tree's own unprivileged user. That takes root, as the local cloud does.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futuswarm_database::{Command as Program, Endpoint, Error, Locate, Located};
use futuswarm_secret::Secret;
use futuswarm_tools::ToolsTree;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAMS: &str = "/usr/lib/postgresql/17/bin";
const PATIENCE: Duration = Duration::from_secs(60);
/// The owner of everything, whom only the server's own socket lets in.
const ADMIN: &str = "rdsadmin";
const MASTER: &str = "futuswarm";
const PASSWORD: &str = "the-masters-password";

/// A server that is where it is said to be.
#[derive(Clone)]
pub struct Fixed {
    pub endpoint: Endpoint,
    pub user: String,
    pub password: String,
}

impl Locate for Fixed {
    async fn endpoint(&self) -> Result<Endpoint, Error> {
        Ok(self.endpoint.clone())
    }

    async fn locate(&self) -> Result<Located, Error> {
        let (endpoint, user) = (self.endpoint.clone(), self.user.clone());
        Ok(Located { endpoint, user, password: Secret::new(self.password.clone()) })
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub bytes: Vec<u8>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn good(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }

    pub fn good_text(&self) -> String {
        self.good();
        self.stdout.lines().last().unwrap_or_default().to_owned()
    }
}

pub struct Postgres {
    tree: PathBuf,
    ids: (u32, u32),
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Postgres {
    pub fn start() -> Self {
        let tree = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree").root().to_owned();
        assert!(rustix::process::geteuid().is_root(), "a root folder of its own takes root, as the local cloud does");
        let users = std::fs::read_to_string(tree.join("etc/passwd")).unwrap();
        let user = users.lines().find(|line| line.starts_with("postgres:")).unwrap();
        let fields: Vec<&str> = user.split(':').collect();
        let ids = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
        let folder = tempfile::Builder::new().prefix("fsw-database-").tempdir_in(tree.join("tmp")).unwrap();
        let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let rules = format!("local all {ADMIN} trust\nhostssl all all all scram-sha-256\n");
        for (name, content) in [
            ("server.pem", certificate.cert.pem()),
            ("server.key", certificate.signing_key.serialize_pem()),
            ("hba.conf", rules),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(ids.0), Some(ids.1)).unwrap();
        }
        chown(folder.path(), Some(ids.0), Some(ids.1)).unwrap();
        let inside = Path::new("/tmp").join(folder.path().file_name().unwrap()).display().to_string();
        let data = format!("{inside}/data");
        let mut initdb = command(&tree, ids, &format!("{PROGRAMS}/initdb"));
        initdb.args(["-D", &data, "-U", ADMIN, "--encoding=UTF8", "--no-locale", "--auth=reject", "--no-sync"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Free now; whoever takes it meanwhile lets the server fail with a word about it.
        let port = futuswarm_tools::free_port().unwrap();
        // It ends with the thread of the test, however that ends.
        let mut server = command(&tree, ids, "/usr/bin/setpriv");
        server.args(["--pdeathsig", "KILL", &format!("{PROGRAMS}/postgres"), "-D", &data]);
        for setting in [
            format!("unix_socket_directories={inside}"),
            format!("ssl_cert_file={inside}/server.pem"),
            format!("ssl_key_file={inside}/server.key"),
            format!("hba_file={inside}/hba.conf"),
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "ssl=on".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
        ] {
            server.args(["-c", &setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let postgres = Self { tree, ids, folder, port, process };
        postgres.until("select true");
        // As on RDS: the master user is no superuser, but may make databases and roles.
        for statement in [
            "create role rds_superuser nologin",
            "grant pg_monitor, pg_signal_backend, pg_checkpoint to rds_superuser with admin option",
            &format!("create role {MASTER} login createdb createrole in role rds_superuser password '{PASSWORD}'"),
            &format!("alter database postgres owner to {MASTER}"),
        ] {
            postgres.admin(statement);
        }
        postgres
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: "127.0.0.1".to_owned(), port: self.port }
    }

    pub fn locator(&self) -> Fixed {
        Fixed { endpoint: self.endpoint(), user: MASTER.to_owned(), password: PASSWORD.to_owned() }
    }

    /// Runs a program with its own environment and input, from the tree as on a node.
    pub fn run(&self, program: &Program, input: &[u8]) -> Ended {
        let mut child = self.start_program(program);
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        // A program that ends without reading says why itself.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Starts one that goes on.
    pub fn spawn(&self, program: &Program, input: &[u8]) -> Child {
        let mut child = self.start_program(program);
        child.stdin.take().unwrap().write_all(input).unwrap();
        child
    }

    fn start_program(&self, program: &Program) -> Child {
        let mut command = command(&self.tree, self.ids, &program.argv[0]);
        command.args(&program.argv[1..]).envs(program.environment.iter().map(|(key, value)| (*key, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What the owner of everything is answered.
    pub fn admin(&self, sql: &str) -> String {
        let output = self.ask(sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn ask(&self, sql: &str) -> std::process::Output {
        let socket = Path::new("/tmp").join(self.folder.path().file_name().unwrap());
        let mut psql = command(&self.tree, self.ids, &format!("{PROGRAMS}/psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", ADMIN, "-d", "postgres", "-h"]).arg(socket);
        psql.args(["-p", &self.port.to_string(), "-c", sql]).output().unwrap()
    }

    /// Waits until a question is answered with yes.
    pub fn until(&self, question: &str) {
        let began = Instant::now();
        loop {
            let output = self.ask(question);
            if output.status.success() && output.stdout.trim_ascii() == b"t" {
                return;
            }
            if began.elapsed() > PATIENCE {
                let mut log = String::new();
                std::fs::File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
                panic!("{question}: {}\n{log}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ended = kill_process(pid, Signal::QUIT);
        }
        let _waited = self.process.wait();
    }
}

fn command(tree: &Path, ids: (u32, u32), program: &str) -> Command {
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={}:{}", ids.0, ids.1)).arg("--groups=").arg(tree).arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C.UTF-8").env("HOME", "/tmp");
    command.current_dir("/");
    command
}
