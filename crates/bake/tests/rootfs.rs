//! The overlay of the node image, read by the programs that will read it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use futuswarm_tools::ToolsTree;

/// Programs that our units start and packages bring; the pipeline itself asserts that they are in the image.
const PROGRAMS: [&str; 12] = [
    "usr/sbin/nft",
    "usr/vendor/futuswarm-node",
    "usr/sbin/dockerd",
    "usr/bin/containerd",
    "usr/bin/cloud-init",
    "usr/bin/kill",
    "bin/kill",
    "usr/bin/ssh-keygen",
    "usr/bin/systemctl",
    "usr/bin/docker-registry",
    "usr/bin/systemd-repart",
    "usr/bin/udevadm",
];
const UNITS: [&str; 13] = [
    "futuswarm-firewall.service",
    "futuswarm-agent.service",
    "docker.service",
    "containerd.service",
    "futuswarm-cloud-init.service",
    "futuswarm-cloud-init.path",
    "futuswarm-cloud-init.timer",
    "futuswarm-host-certificate.path",
    "futuswarm-host-certificate.service",
    "futuswarm-registry.path",
    "futuswarm-registry.service",
    "futuswarm-server.path",
    "futuswarm-server.service",
];

fn overlay() -> PathBuf {
    futuswarm_paths::workspace_root().unwrap().join("images/node/rootfs")
}

/// A root with the overlay, the tools tree's own units and stand-ins for the programs.
fn root(tools: &ToolsTree) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let copy = |from: PathBuf, to: &Path| {
        let copied = Command::new("cp").args(["-a", "--no-clobber"]).arg(from).arg(to).status().unwrap();
        assert!(copied.success());
    };
    copy(overlay().join("."), root.path());
    copy(tools.root().join("usr/lib/systemd/system"), &root.path().join("usr/lib/systemd"));
    for program in PROGRAMS {
        let path = root.path().join(program);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    root
}

fn verify(tools: &ToolsTree, root: &Path) -> (bool, String) {
    let mut command = tools.command("systemd-analyze").unwrap();
    let output =
        command.arg(format!("--root={}", root.display())).args(["--man=no", "verify"]).args(UNITS).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn systemd_accepts_our_units() {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let root = root(&tools);
    let (accepted, said) = verify(&tools, root.path());
    assert!(accepted && said.is_empty(), "{said}");

    let unit = root.path().join("usr/lib/systemd/system/futuswarm-agent.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    std::fs::write(
        &unit,
        text.replace("Type=notify", "Type=notfy").replace("/usr/bin/futuswarm-node", "/usr/bin/gone"),
    )
    .unwrap();
    let (accepted, said) = verify(&tools, root.path());
    assert!(
        !accepted && said.contains("notfy") && said.contains("/usr/bin/gone"),
        "the check must be able to fail: {said}"
    );
}

#[test]
fn our_units_as_they_are() {
    for unit in [
        "futuswarm-agent.service",
        "futuswarm-firewall.service",
        "futuswarm-cloud-init.service",
        "futuswarm-cloud-init.path",
        "futuswarm-cloud-init.timer",
        "futuswarm-host-certificate.path",
        "futuswarm-host-certificate.service",
        "futuswarm-registry.path",
        "futuswarm-registry.service",
        "futuswarm-server.path",
        "futuswarm-server.service",
    ] {
        let text = std::fs::read_to_string(overlay().join("usr/lib/systemd/system").join(unit)).unwrap();
        insta::assert_snapshot!(unit, text);
    }
}

#[test]
fn dockers_configuration() {
    let text = std::fs::read_to_string(overlay().join("etc/docker/daemon.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["live-restore"], false, "a Swarm node cannot have it");
    insta::assert_snapshot!("daemon.json", serde_json::to_string_pretty(&parsed).unwrap());
}

#[test]
fn units_sshd_and_agent_agree_on_paths() {
    let path = std::fs::read_to_string(overlay().join("usr/lib/systemd/system/futuswarm-cloud-init.path")).unwrap();
    assert!(path.contains("PathExists=/run/futuswarm/ready"));
    let sshd = std::fs::read_to_string(overlay().join("etc/ssh/sshd_config.d/10-futuswarm.conf")).unwrap();
    assert!(sshd.contains("AuthorizedKeysFile /run/futuswarm/ssh/authorized_keys"));
    let files = futuswarm_node_files::Files::default();
    assert!(sshd.contains(&format!("HostCertificate {}", files.host_certificate().display())));
    assert!(sshd.contains(&format!("HostKey {}", futuswarm_node_files::HOST_KEY.trim_end_matches(".pub"))));
    let unit = |name: &str| std::fs::read_to_string(overlay().join("usr/lib/systemd/system").join(name)).unwrap();
    let changed = format!("PathChanged={}", files.host_certificate().display());
    assert!(unit("futuswarm-host-certificate.path").contains(&changed));
    assert!(unit("futuswarm-server.path").contains(&format!("PathExists={}", files.manager_mark().display())));
    let server = unit("futuswarm-server.service");
    let (account, id) = futuswarm_node_files::ACCOUNT;
    assert!(server.contains(&format!("Group={account}\n")) && server.contains("StateDirectory=futuswarm\n"));
    assert_eq!(futuswarm_node_files::LOGINS, "/var/lib/futuswarm/logins.json");
    let bake =
        std::fs::read_to_string(futuswarm_paths::workspace_root().unwrap().join("crates/bake/src/base.rs")).unwrap();
    assert!(bake.contains(&format!("useradd --uid {id} ")) && bake.contains(&format!("--shell /bin/sh {account}\"")));
}

#[test]
fn who_is_let_in_by_the_cluster_gets_a_session_and_nothing_else() {
    let sshd = std::fs::read_to_string(overlay().join("etc/ssh/sshd_config.d/10-futuswarm.conf")).unwrap();
    let (all, theirs) = sshd.split_once("\nMatch User futuswarm\n").unwrap();
    assert!(all.contains("\nAllowUsers admin futuswarm\n"));
    let theirs: Vec<&str> = theirs.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    for line in [
        "AuthorizedKeysFile none",
        "AuthorizedKeysCommand /usr/bin/futuswarm-node authorized-keys %t %k",
        "AuthorizedKeysCommandUser futuswarm-keys",
        "DisableForwarding yes",
        "PermitTTY no",
        "PermitUserRC no",
    ] {
        assert!(theirs.contains(&line), "{line}");
    }
    // It would take the place of what the helper says, and everybody would be nobody.
    assert!(!theirs.iter().any(|line| line.starts_with("ForceCommand")));
    assert_eq!(theirs.last(), Some(&"Match all"), "what is read after this file is for everybody");
}
