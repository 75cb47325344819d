//! Apps in a cluster of virtual machines, by the command line, as somebody who has neither AWS nor Docker: `bats/apps/first_hour.bats`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
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

#[test]
#[ignore = "boots virtual machines: `cargo xtask test` runs it"]
fn the_first_hour_of_an_app() {
    let cluster = Cluster::of("local-apps");
    cluster.must(&["destroy-cluster"]);
    cluster.must(&["deploy-cluster"]);
    // Others must be able to read it, and /root and its cache are root's.
    let folder = tempfile::Builder::new().prefix("fsw-apps-").tempdir_in("/var/tmp").unwrap();
    let dir = folder.path();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, key) in [("jane", true), ("joe", true), ("ci", false), ("stranger", false)] {
        home(dir, name, key);
    }
    let built = must(Command::new(std::env::var_os("FUTUSWARM_XTASK").unwrap()).args(["cli", "--output"]).arg(dir));
    let sources = cluster.root().join("e2e/apps");
    let app = dir.join("test-app");
    must(
        Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
                "--target",
                "x86_64-unknown-linux-gnu",
            ])
            .arg("-o")
            .arg(&app)
            .arg(sources.join("test_app.rs")),
    );
    for (version, architecture, file) in
        [("1", "amd64", "hello-1.tar"), ("2", "amd64", "hello-2.tar"), ("3", "arm64", "hello-arm.tar")]
    {
        let image = Command::new("python3");
        let mut image = image;
        image.arg(sources.join("image.py")).arg(&app).args([version, "hello:x"]).arg(dir.join(file)).arg(architecture);
        must(&mut image);
    }
    let settings = "app = \"hello\"\nreplicas = 1\nmemory = \"32 MiB\"\nstop_grace = 2\n\
        [health]\npath = \"/health\"\ninterval = 2\nstart = 20\n";
    std::fs::write(dir.join("app.toml"), settings).unwrap();
    std::fs::write(dir.join("dies.toml"), format!("command = [\"/app\", \"dies\"]\n{settings}")).unwrap();

    let status = cluster.status();
    let ssh = status["ssh"].as_str().unwrap().to_owned();
    cluster.wait("the cluster's SSH authority", PATIENCE, || cluster.status()["ssh_host_ca"].is_string());
    let authority = cluster.status()["ssh_host_ca"].as_str().unwrap().to_owned();
    std::fs::write(dir.join("authority.pub"), authority + "\n").unwrap();
    std::fs::copy(dir.join("jane/key.pub"), dir.join("other.pub")).unwrap();
    for user in ["jane", "joe"] {
        let key = dir.join(user).join("key.pub");
        cluster.must(&["user", "add", user, "--key", key.to_str().unwrap()]);
    }
    let login = |user: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]);
        command.arg(format!("HOME={}", dir.join(user).display()));
        command.arg(format!("FUTUSWARM_HOME={}/{user}/futuswarm", dir.display())).arg(built.trim());
        command.args(["login", &format!("{user}@{ssh}"), "--host-ca"]).arg(dir.join("authority.pub"));
        command.args(["--cluster", "local", "--identity"]).arg(dir.join(user).join("key"));
        command.output().unwrap()
    };
    // A key is known to a manager within 30 seconds.
    cluster.wait("the users' keys", PATIENCE, || ["jane", "joe"].iter().all(|user| login(user).status.success()));

    let tools = must(
        Command::new(cluster.program("futuswarm-bake")).arg("--tools-only").env("FUTUSWARM_WORKSPACE", cluster.root()),
    );
    let mut bats = Command::new("bash");
    bats.arg(Path::new(tools.trim()).join("usr/bin/bats")).arg("bats/apps").current_dir(cluster.root());
    bats.env("APPS_CLI", built.trim()).env("APPS_DIR", dir).env("APPS_SSH", &ssh);
    bats.env("APPS_URL", status["url"].as_str().unwrap());
    let ended = bats.status().unwrap();
    assert!(ended.success(), "bats/apps: {ended}");
    cluster.must(&["destroy-cluster"]);
}
