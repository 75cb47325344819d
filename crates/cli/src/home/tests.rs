//! Clusters in a folder.

use super::*;

fn config() -> Config {
    Config {
        user: "jane".to_owned(),
        host: "ssh.apps.example.com".to_owned(),
        port: 22,
        identity: Some("/home/jane \"the first\" ä/.ssh/id \\ key".into()),
        ssh_config: None,
    }
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home { folder: folder.path().join("a b/home") };
    (folder, home)
}

#[test]
fn what_is_saved_is_found_and_nobody_else_reads_it() {
    let (_folder, home) = home();
    assert_eq!(home.cluster(None).unwrap_err().code, Code::Usage);
    home.save("first", &config(), "line\n").unwrap();
    let cluster = home.cluster(None).unwrap();
    assert_eq!((cluster.name.as_str(), &cluster.config), ("first", &config()));
    assert_eq!(std::fs::read_to_string(cluster.folder.join(KNOWN_HOSTS)).unwrap(), "line\n");
    assert!(is_private(&cluster.folder) && is_private(&home.folder));
    let mode = std::fs::metadata(cluster.folder.join(CONFIG)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_of_several_is_chosen_by_name_or_by_what_is_current() {
    let (_folder, home) = home();
    home.save("first", &config(), "").unwrap();
    home.save("second", &config(), "").unwrap();
    let refused = home.cluster(None).unwrap_err();
    assert!(refused.message.contains("first, second"), "{refused}");
    home.set_current("second").unwrap();
    assert_eq!(home.cluster(None).unwrap().name, "second");
    assert_eq!(home.cluster(Some("first")).unwrap().name, "first");
    assert_eq!(home.cluster(Some("third")).unwrap_err().code, Code::NotFound);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (_folder, home) = home();
    for name in ["", "..", ".hidden", "a/b", "a b", "a\n", "current", "ä"] {
        assert_eq!(home.save(name, &config(), "").unwrap_err().code, Code::Usage, "{name:?}");
    }
    let bad = Config { host: "a\nb".to_owned(), ..config() };
    assert_eq!(home.save("first", &bad, "").unwrap_err().code, Code::Usage);
}

#[test]
fn a_config_that_cannot_be_read_says_which() {
    let (_folder, home) = home();
    home.save("first", &config(), "").unwrap();
    std::fs::write(home.folder.join("first/config.toml"), "host = 1").unwrap();
    let refused = home.cluster(None).unwrap_err();
    assert!(refused.message.contains("config.toml") && refused.message.contains("log in again"), "{refused}");
}
