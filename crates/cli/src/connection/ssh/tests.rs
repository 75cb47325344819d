//! What `ssh` is called with, read back by `ssh` itself where there is one.

use super::*;
use crate::home::Config;

fn cluster(folder: &str) -> Cluster {
    Cluster {
        name: "first".to_owned(),
        folder: folder.into(),
        config: Config {
            user: "jane".to_owned(),
            host: "ssh.apps.example.com".to_owned(),
            port: 2222,
            identity: Some("/home/o'hara \"x\" 100%/id \\key".into()),
            ssh_config: None,
        },
    }
}

fn texts(arguments: &[OsString]) -> Vec<&str> {
    arguments.iter().map(|argument| argument.to_str().unwrap()).collect()
}

#[test]
fn the_clusters_own_files_decide_and_the_host_is_no_option() {
    let cluster = cluster("/h");
    let all = arguments(&cluster, Trust::Authority, true).unwrap();
    let all = texts(&all);
    for wanted in [
        "HostKeyAlias=futuswarm",
        "UserKnownHostsFile=\"/h/known_hosts\"",
        "StrictHostKeyChecking=yes",
        "ForwardAgent=no",
        "ControlMaster=auto",
        "BatchMode=yes",
        "IdentityFile=\"/home/o'hara \\\"x\\\" 100%%/id \\\\key\"",
    ] {
        assert!(all.contains(&wanted), "{wanted} is not among {all:?}");
    }
    assert_eq!(
        all[all.len() - 6..],
        ["-l", "futuswarm", "--", "ssh.apps.example.com", "futuswarm"][..].iter().fold(vec!["2222"], |mut all, one| {
            all.push(one);
            all
        })[..]
    );
    let first = arguments(&cluster, Trust::First, false).unwrap();
    let first = texts(&first);
    assert!(first.contains(&"StrictHostKeyChecking=accept-new") && first.contains(&"ControlPath=none"));
    assert!(!first.contains(&"BatchMode=yes"));
}

#[test]
fn long_folders_get_a_short_socket_and_each_identity_its_own() {
    let mut near = cluster("/h");
    let path = control_path(&near).unwrap();
    assert!(path.starts_with("/h"));
    near.config.identity = None;
    assert_ne!(control_path(&near).unwrap(), path);
    let far = cluster(&format!("/{}", "x".repeat(120)));
    if let Some(path) = control_path(&far) {
        assert!(path.as_os_str().len() <= LONGEST_SOCKET, "{}", path.display());
        assert!(home::is_private(path.parent().unwrap()));
    }
}

#[test]
fn paths_that_ssh_would_read_otherwise_are_refused() {
    for path in ["/a\nb", "/a/${HOME}/b"] {
        assert!(quoted(Path::new(path)).is_err(), "{path:?}");
    }
}

/// The real program reads our values as we mean them. It is on every machine that this program is for.
#[test]
fn ssh_itself_reads_the_paths_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = cluster("");
    cluster.folder = folder.path().join("it's a \"folder\"");
    cluster.config.ssh_config = Some("none".into());
    let mut all = arguments(&cluster, Trust::Authority, true).unwrap();
    all.insert(0, "-G".into());
    let Ok(output) = std::process::Command::new("ssh").args(&all).output() else { return };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned();
    assert_eq!(value("userknownhostsfile"), cluster.folder.join(KNOWN_HOSTS).to_str().unwrap());
    assert_eq!(value("user"), "futuswarm");
    assert_eq!(value("port"), "2222");
    assert_eq!(value("hostkeyalias"), "futuswarm");
    assert_eq!(value("forwardagent"), "no");
    assert!(value("identityfile").contains("o'hara \"x\""), "{}", value("identityfile"));
}

#[test]
fn each_kind_of_failure_has_one_remedy() {
    let cluster = cluster("/h");
    for (words, part) in [
        ("futuswarm@h: Permission denied (publickey).", "admin:user:add jane"),
        ("Host key verification failed.", "--host-ca"),
        ("ssh: Could not resolve hostname h: Name or service not known", "network up"),
        ("ssh: connect to host h port 22: Connection refused", "allowed_cidrs"),
        ("something else", "ssh -v"),
    ] {
        assert!(remedy(words, &cluster).contains(part), "{words}");
    }
}
