//! Developers of apps: keys, the command line, images and settings, in folders of an account that may do nothing else on this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use futuswarm_testkit::{Cluster, texts};

const PATIENCE: Duration = Duration::from_secs(600);
/// The account that the commands run as.
const NOBODY: u32 = 65_534;

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {:?}", texts(&output));
    texts(&output).0
}

/// A folder of somebody who is nobody on this machine, with a key pair.
fn home(dir: &Path, name: &str, key: bool) {
    let home = dir.join(name);
    std::fs::create_dir(&home).unwrap();
    if key {
        must(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(home.join("key")),
        );
        std::os::unix::fs::chown(home.join("key"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// What the tests under `bats/apps` need beside a cluster: the command line, keys, images and settings, where others can read them.
pub struct Developers<'cluster> {
    cluster: &'cluster Cluster,
    folder: tempfile::TempDir,
    cli: String,
}

impl<'cluster> Developers<'cluster> {
    pub fn of(cluster: &'cluster Cluster) -> Self {
        // Others must be able to read it, and /root and its cache are root's.
        let folder = tempfile::Builder::new().prefix("fsw-apps-").tempdir_in("/var/tmp").unwrap();
        let dir = folder.path();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        for (name, key) in [("jane", true), ("joe", true), ("ci", false), ("stranger", false)] {
            home(dir, name, key);
        }
        std::fs::copy(dir.join("jane/key.pub"), dir.join("other.pub")).unwrap();
        images(&cluster.root().join("e2e/apps"), dir);
        settings(dir);
        let cli = must(Command::new(std::env::var_os("FUTUSWARM_XTASK").unwrap()).args(["cli", "--output"]).arg(dir));
        Self { cluster, folder, cli: cli.trim().to_owned() }
    }

    /// Makes the users and waits until both can log in.
    pub fn come(&self) {
        let (cluster, dir) = (self.cluster, self.folder.path());
        cluster.wait("the cluster's SSH authority", PATIENCE, || cluster.status()["ssh_host_ca"].is_string());
        let authority = cluster.status()["ssh_host_ca"].as_str().unwrap().to_owned();
        std::fs::write(dir.join("authority.pub"), authority + "\n").unwrap();
        for user in ["jane", "joe"] {
            let key = dir.join(user).join("key.pub");
            cluster.must(&["user", "add", user, "--key", key.to_str().unwrap()]);
        }
        // A key is known to a manager within 30 seconds.
        let ssh = self.ssh();
        cluster.wait("the users' keys", PATIENCE, || {
            ["jane", "joe"].iter().all(|user| self.login(user, &ssh).status.success())
        });
    }

    fn ssh(&self) -> String {
        self.cluster.status()["ssh"].as_str().unwrap().to_owned()
    }

    /// Keys, archives of images, settings, and a folder for each of the people, where others can read them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command line as somebody who may do nothing else on this machine.
    pub fn futuswarm(&self, user: &str) -> Command {
        let dir = self.folder();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]);
        command.arg(format!("HOME={}", dir.join(user).display()));
        command.arg(format!("FUTUSWARM_HOME={}/{user}/futuswarm", dir.display())).arg(&self.cli);
        command
    }

    fn login(&self, user: &str, ssh: &str) -> Output {
        let dir = self.folder();
        let mut command = self.futuswarm(user);
        command.args(["login", &format!("{user}@{ssh}"), "--host-ca"]).arg(dir.join("authority.pub"));
        command.args(["--cluster", "local", "--identity"]).arg(dir.join(user).join("key"));
        command.output().unwrap()
    }

    /// Runs one of the files under `bats/apps`, or only its steps with all of these tags (`short,!end`; `!` for those without one).
    pub fn bats(&self, file: &str, tags: Option<&str>, managers: &[String]) {
        let cluster = self.cluster;
        let mut tools = Command::new(cluster.program("futuswarm-bake"));
        let tools = must(tools.arg("--tools-only").env("FUTUSWARM_WORKSPACE", cluster.root()));
        let mut bats = Command::new("bash");
        bats.arg(Path::new(tools.trim()).join("usr/bin/bats")).arg("--timing").current_dir(cluster.root());
        if let Some(tags) = tags {
            bats.args(["--filter-tags", tags]);
        }
        bats.arg(format!("bats/apps/{file}"));
        bats.env("APPS_CLI", &self.cli).env("APPS_DIR", self.folder.path()).env("APPS_SSH", self.ssh());
        bats.env("APPS_URL", cluster.status()["url"].as_str().unwrap()).env("APPS_MANAGERS", managers.join(" "));
        bats.env("APPS_SPEC", cluster.spec()).env(futuswarm_paths::STATE_VARIABLE, cluster.state());
        bats.env("FUTUSWARM_WORKSPACE", cluster.root());
        let ended = bats.status().unwrap();
        assert!(ended.success(), "bats/apps/{file}: {ended}");
    }
}

fn images(sources: &Path, dir: &Path) {
    let app = dir.join("test-app");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "--target", "x86_64-unknown-linux-gnu"]);
    must(rustc.arg("-o").arg(&app).arg(sources.join("test_app.rs")));
    for (version, architecture, file) in
        [("1", "amd64", "hello-1.tar"), ("2", "amd64", "hello-2.tar"), ("3", "arm64", "hello-arm.tar")]
    {
        let mut image = Command::new("python3");
        image.arg(sources.join("image.py")).arg(&app).args([version, "hello:x"]).arg(dir.join(file)).arg(architecture);
        must(&mut image);
    }
}

/// Each question is a process in the task, which takes an emulated processor four seconds and more: with one every ten seconds the steps
/// would wait for these.
fn settings(dir: &Path) {
    let settings = "app = \"hello\"\nreplicas = 1\nmemory = \"32 MiB\"\nstop_grace = 2\n\
        [health]\npath = \"/health\"\ninterval = 30\nstart = 20\n";
    std::fs::write(dir.join("app.toml"), settings).unwrap();
    std::fs::write(dir.join("dies.toml"), format!("command = [\"/app\", \"dies\"]\n{settings}")).unwrap();
    // The program listens where it is told to, which is not where the app says that it does.
    let elsewhere = settings
        .replace("path = \"/health\"", "port = true")
        .replace("interval = 30\nstart = 20", "interval = 2\nstart = 10");
    std::fs::write(dir.join("elsewhere.toml"), elsewhere + "[env]\nPORT = \"3000\"\n").unwrap();
    // Healthy only after a while, so that its deployment has a middle.
    let slow = settings.replace("start = 20", "start = 60") + "[env]\nSLOW = \"30\"\n";
    std::fs::write(dir.join("slow.toml"), slow).unwrap();
}
