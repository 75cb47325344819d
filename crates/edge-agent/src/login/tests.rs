//! A node's login over a bucket, a vault and an engine in memory, and a program in the place of Apache that only checks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futuswarm_faults::{Fault, Faults};
use futuswarm_model::{Admission, LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LOGIN_PASSPHRASE_NAME, PassphraseStep};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_swarm::fake::{ContainerView, FakeEngine, FakeSwarm};
use futuswarm_vault::{Context, MemoryVault, Secret};

use super::admitted::tests::{only, provider, record, route, visitors};
use super::*;

const CLIENT_SECRET: &str = "client-secret-of-the-tests";
const PASSPHRASE: &str = "0123456789abcdef0123456789abcdef";
const NEXT: &str = "fedcba9876543210fedcba9876543210";
/// Says what the file beside it says, and fails when there is one.
const APACHE: &str = "#!/bin/sh\nif [ -e \"$0.refuses\" ]; then cat \"$0.refuses\" >&2; exit 1; fi\n";

struct Node {
    dir: tempfile::TempDir,
    engine: FakeEngine,
    bucket: MemoryBucket,
    store: Store<MemoryBucket>,
    vault: MemoryVault,
    cluster: Cluster,
    gate: Gate,
    front: watch::Sender<Front>,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        for folder in [files.login_dir(), files.login_run_dir(), files.login_socket_dir(), files.containers.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(files.containers.join("index.json"), r#"{"edge":"edge"}"#).unwrap();
        std::fs::write(dir.path().join("apache2"), APACHE).unwrap();
        std::fs::set_permissions(dir.path().join("apache2"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let bucket = MemoryBucket::default();
        Self {
            gate: gate(dir.path()),
            engine: FakeSwarm::new(1).machine("node", "10.0.0.1"),
            store: Store::new(bucket.clone()),
            bucket,
            vault: MemoryVault::new(Faults::none()),
            cluster: Cluster { name: "test".to_owned(), key: "key".to_owned() },
            front: watch::channel(Front::default()).0,
            dir,
        }
    }

    async fn seal(&self, name: &str, secret: &str) -> String {
        let context = Context { cluster: "test".to_owned(), kind: LOGIN_KIND.to_owned(), name: name.to_owned() };
        self.vault.seal("key", &context, &Secret::new(secret.to_owned())).await.unwrap()
    }

    /// Everything that a login needs, and an app.
    async fn with_login() -> Self {
        let node = Self::new();
        node.put(keys::LOGIN, &record()).await;
        node.put(keys::LOGIN_PROVIDER, &provider()).await;
        let ciphertext = node.seal(LOGIN_CLIENT_SECRET_NAME, CLIENT_SECRET).await;
        node.put(keys::LOGIN_CLIENT_SECRET, &LoginClientSecret { ciphertext }).await;
        node.put_passphrases(PASSPHRASE, None, PassphraseStep::Done).await;
        node.put(keys::ADMISSIONS, &Admissions::default()).await;
        let routes = vec![route("shop", &["shop.apps.test.example"])];
        node.put(keys::ROUTES, &Routes { routes, refused: Vec::new() }).await;
        node
    }

    async fn put_passphrases(&self, current: &str, previous: Option<&str>, step: PassphraseStep) {
        let current = self.seal(LOGIN_PASSPHRASE_NAME, current).await;
        let previous = match previous {
            Some(previous) => Some(self.seal(LOGIN_PASSPHRASE_NAME, previous).await),
            None => None,
        };
        self.put(keys::LOGIN_PASSPHRASES, &LoginPassphrases { current, previous, step, since: 0, asked: None }).await;
    }

    async fn put<T: serde::Serialize>(&self, key: &str, value: &T) {
        self.store.put(key, value).await.unwrap();
    }

    async fn round(&mut self) -> Result<Option<String>, Error> {
        let Self { engine, store, vault, cluster, gate, front, .. } = self;
        let clients = Clients { engine: &*engine, store: &*store, vault: &*vault, cluster: &*cluster };
        gate.round(&clients, front).await
    }

    /// A round in which nothing is amiss.
    async fn well(&mut self) {
        assert_eq!(self.round().await.unwrap(), None);
    }

    fn container(&self) -> Option<ContainerView> {
        self.engine.container(NAME)
    }

    fn signals(&self) -> usize {
        self.container().unwrap().signals.len()
    }

    /// What is served of a file.
    fn served(&self, name: &str) -> String {
        std::fs::read_to_string(self.served_path(name)).unwrap()
    }

    fn served_path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("run/login/current").join(name)
    }
}

fn files(dir: &Path) -> Files {
    Files { run: dir.join("run"), containers: dir.join("containers"), credentials: None, ..Files::default() }
}

fn gate(dir: &Path) -> Gate {
    let mut gate = Gate::new(files(dir));
    gate.files.program = dir.join("apache2");
    gate
}

#[tokio::test]
async fn a_login_runs_with_what_the_bucket_says() {
    let mut node = Node::with_login().await;
    node.well().await;
    let container = node.container().unwrap();
    let config = container.config;
    assert!(container.running && container.signals.is_empty(), "it has just read what is there");
    assert_eq!((config.user.as_deref(), config.ports), (Some("65533:65533"), vec![(81, 8081)]));
    assert!(
        config.command[0].ends_with("apache2") && config.command.iter().any(|one| one.ends_with("current/httpd.conf"))
    );
    assert!(config.environment[0].starts_with("TMPDIR=") && config.environment.len() == 1);
    assert!(!format!("{:?}{:?}", config.command, config.environment).contains(CLIENT_SECRET));
    assert_eq!(config.writable, [node.dir.path().join("run/login-run").display().to_string()]);
    let of_haproxy = |path: &String| path.ends_with("/edge") || path.ends_with("/edge-run");
    assert!(!config.mounts.iter().any(|(path, _)| of_haproxy(path)), "nothing of HAProxy's but the socket");

    assert_eq!(node.served("allow.txt"), "shop.apps.test.example anybody\n");
    assert!(node.served("httpd.conf").contains("run/login/a/secrets.conf"));
    assert!(node.served("secrets.conf").contains(CLIENT_SECRET) && node.served("secrets.conf").contains(PASSPHRASE));
    let mode = std::fs::metadata(node.served_path("secrets.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    for _ in 0..3 {
        node.well().await;
    }
    assert_eq!(node.signals(), 0, "nothing has changed");

    let front = node.front.borrow().clone();
    let domains = front.domains.unwrap();
    assert!(
        front.known && domains.private.named_by_email && domains.private.socket.ends_with("login-socket/haproxy.sock")
    );
    assert_eq!((domains.private.domain.as_str(), domains.open.as_deref()), ("apps.test.example", Some("open.example")));
}

#[tokio::test]
async fn a_cluster_without_a_login_has_nothing_of_it() {
    let mut node = Node::new();
    node.well().await;
    let expected = Front { known: true, ..Front::default() };
    assert_eq!((node.container(), node.front.borrow().clone()), (None, expected));
}

#[tokio::test]
async fn without_its_secrets_or_its_provider_the_login_does_not_run_and_says_why() {
    for (key, word) in [
        (keys::LOGIN_PROVIDER, "provider"),
        (keys::LOGIN_CLIENT_SECRET, "client's secret"),
        (keys::LOGIN_PASSPHRASES, "passphrase"),
    ] {
        let mut node = Node::with_login().await;
        node.store.delete(key).await.unwrap();
        let reason = node.round().await.unwrap().unwrap();
        assert!(reason.contains("does not run") && reason.contains(word), "{reason}");
        assert_eq!(node.container(), None);
        assert!(node.front.borrow().domains.is_some(), "HAProxy knows that the domain is closed");
    }
    let mut node = Node::with_login().await;
    let other = LoginProvider { issuer: "https://other.example".to_owned(), ..provider() };
    node.put(keys::LOGIN_PROVIDER, &other).await;
    assert!(node.round().await.unwrap().unwrap().contains("another issuer"));
    assert_eq!(node.container(), None);
}

#[tokio::test]
async fn lists_change_without_a_reload_and_everything_else_with_one() {
    let mut node = Node::with_login().await;
    node.well().await;
    let apps = [("shop".to_owned(), only(&["user:ada"]))].into();
    node.put(keys::ADMISSIONS, &Admissions { apps }).await;
    node.put(keys::LOGIN_LOCKED, &Locked { visitors: visitors(&["user:bob"]) }).await;
    node.well().await;
    assert_eq!((node.served("allow.txt").as_str(), node.signals()), ("shop.apps.test.example email:ada\n", 0));
    assert!(node.served("locked.txt").contains("bob"), "{}", node.served("locked.txt"));
    node.put(keys::LOGIN, &LoginRecord { contact: "the help desk".to_owned(), ..record() }).await;
    node.well().await;
    assert!(node.served("httpd.conf").contains("the help desk") && node.served("httpd.conf").contains("run/login/b/"));
    assert_eq!(node.container().unwrap().signals, ["USR1"]);
    node.put_passphrases(NEXT, Some(PASSPHRASE), PassphraseStep::Switched).await;
    node.well().await;
    let secrets = node.served("secrets.conf");
    assert!(secrets.contains(&format!("\"{NEXT}\" \"{PASSPHRASE}\"")), "in this order");
    assert_eq!(node.signals(), 2);
    assert_eq!(node.served("allow.txt"), "shop.apps.test.example email:ada\n");
}

#[tokio::test]
async fn what_changes_between_two_rounds_counts_within_a_second() {
    let mut node = Node::with_login().await;
    node.well().await;
    let apps = [("shop".to_owned(), Admission { open: true, only: None })].into();
    node.put(keys::ADMISSIONS, &Admissions { apps }).await;
    tokio::time::pause();
    let begin = Instant::now();
    node.gate.watch(&node.store, &node.front, Duration::from_millis(2500)).await;
    assert!(begin.elapsed() >= Duration::from_millis(2500) && begin.elapsed() < Duration::from_secs(3));
    assert_eq!(node.served("allow.txt"), "shop.apps.test.example public\n");
    let routes = node.front.borrow().with_open_hosts(vec![route("shop", &["shop.apps.test.example"])]);
    let hosts: Vec<&str> = routes[0].prefixes.iter().map(|prefix| prefix.host.as_str()).collect();
    assert_eq!(hosts, ["shop.apps.test.example", "shop.open.example"]);
    assert_eq!(node.signals(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_counts_as_it_was_and_nobody_gets_in_before_anything_was_read() {
    let mut node = Node::with_login().await;
    node.store.delete(keys::ADMISSIONS).await.unwrap();
    node.well().await;
    assert_eq!(node.served("allow.txt"), "", "nobody knows whom an app admits");
    let apps = [("shop".to_owned(), only(&["user:ada"]))].into();
    node.put(keys::ADMISSIONS, &Admissions { apps }).await;
    node.well().await;
    let before = node.served("allow.txt");
    node.put(keys::ADMISSIONS, &"of a newer program").await;
    node.put(keys::LOGIN_LOCKED, &Locked { visitors: visitors(&["user:bob"]) }).await;
    let error = node.round().await.unwrap_err().to_string();
    assert!(error.contains(keys::ADMISSIONS), "{error}");
    assert_eq!(node.served("allow.txt"), before);
    assert!(node.served("locked.txt").contains("bob"), "the other list goes on");
    // A bucket that does not answer at all.
    node.bucket.fail_next((0..50).map(|_| MemoryBucket::slow_down("GetObject")).collect());
    node.round().await.unwrap_err();
    assert!(node.container().unwrap().running && node.served("allow.txt") == before);

    let mut node = Node::with_login().await;
    node.put(keys::LOGIN_LOCKED, &"garbled").await;
    node.round().await.unwrap_err();
    assert_eq!(node.container(), None, "nobody knows who is locked out");
}

#[tokio::test]
async fn a_configuration_that_apache_refuses_leaves_the_one_before() {
    let mut node = Node::with_login().await;
    node.well().await;
    let refuses = node.dir.path().join("apache2.refuses");
    std::fs::write(&refuses, "AH00526: Syntax error on line 7 of httpd.conf:\nInvalid command\nmore\n").unwrap();
    node.put(keys::LOGIN, &LoginRecord { contact: "the help desk".to_owned(), ..record() }).await;
    node.put(keys::LOGIN_LOCKED, &Locked { visitors: visitors(&["user:bob"]) }).await;
    let error = node.round().await.unwrap_err().to_string();
    assert!(error.contains("line 7 of httpd.conf: Invalid command"), "{error}");
    assert!(!node.served("httpd.conf").contains("the help desk"), "{}", node.served("httpd.conf"));
    assert_eq!(node.signals(), 0);
    assert!(node.served("locked.txt").contains("bob"), "whoever is locked out is so at once");
    std::fs::write(&refuses, format!("Syntax error on line 1 of secrets.conf: {CLIENT_SECRET}")).unwrap();
    let error = node.round().await.unwrap_err().to_string();
    assert!(error.contains("secrets.conf") && !error.contains(CLIENT_SECRET), "{error}");
    std::fs::remove_file(&refuses).unwrap();
    node.well().await;
    assert!(node.served("httpd.conf").contains("the help desk") && node.signals() == 1);
}

#[tokio::test]
async fn an_agent_that_starts_again_has_apache_read_what_is_there_once() {
    let mut node = Node::with_login().await;
    node.well().await;
    node.gate = gate(node.dir.path());
    node.well().await;
    node.well().await;
    assert_eq!(node.signals(), 1, "the one before may have died before it said so");
    assert!(node.served("httpd.conf").contains("run/login/a/"), "nothing was made again");
}

#[tokio::test]
async fn lists_are_written_again_every_five_minutes() {
    let mut node = Node::with_login().await;
    node.well().await;
    std::fs::write(node.served_path("allow.txt"), "").unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(299)).await;
    node.well().await;
    assert_eq!(node.served("allow.txt"), "");
    tokio::time::advance(Duration::from_secs(2)).await;
    node.well().await;
    assert_eq!(node.served("allow.txt"), "shop.apps.test.example anybody\n");
}

#[tokio::test]
async fn a_login_that_goes_away_takes_everything_with_it_but_not_at_the_first_word() {
    let mut node = Node::with_login().await;
    node.well().await;
    node.store.delete(keys::LOGIN).await.unwrap();
    let error = node.round().await.unwrap_err().to_string();
    assert!(error.contains("cluster/login is said not to exist"), "{error}");
    assert!(node.container().unwrap().running && node.front.borrow().domains.is_some());
    // Nor does an agent that has just started believe it.
    node.gate = gate(node.dir.path());
    node.round().await.unwrap_err();
    assert!(node.container().is_some());
    tokio::time::pause();
    tokio::time::advance(GONE_AFTER).await;
    node.well().await;
    assert_eq!((node.container(), node.front.borrow().domains.clone()), (None, None));
    assert!(!node.dir.path().join("run/login/a").exists() && !node.served_path("httpd.conf").exists());
}

#[tokio::test]
async fn an_engine_that_fails_is_told_and_asked_again() {
    let mut node = Node::with_login().await;
    node.well().await;
    node.put(keys::LOGIN, &LoginRecord { contact: "the help desk".to_owned(), ..record() }).await;
    let engine = futuswarm_swarm::faults::FaultyEngine::new(
        node.engine.clone(),
        Faults::script([Fault::None, Fault::None, Fault::Fail]),
    );
    let clients = Clients { engine: &engine, store: &node.store, vault: &node.vault, cluster: &node.cluster };
    node.gate.round(&clients, &node.front).await.unwrap_err();
    assert_eq!(node.signals(), 0);
    node.well().await;
    assert_eq!(node.signals(), 1, "what it has not read yet it reads now");
}

/// Any call of the bucket or the vault fails: the login is there in the end, and nothing of a secret is in an error.
#[tokio::test]
async fn whatever_fails_is_tried_again() {
    for failing in 0..9 {
        let mut node = Node::with_login().await;
        let script = (0..failing).map(|_| Fault::None).chain([Fault::Fail]);
        let store = Store::new(FaultyBucket::new(node.bucket.clone(), Faults::script(script)));
        let clients = Clients { engine: &node.engine, store: &store, vault: &node.vault, cluster: &node.cluster };
        for _ in 0..3 {
            if let Err(error) = node.gate.round(&clients, &node.front).await {
                assert!(!error.to_string().contains(CLIENT_SECRET), "{error}");
            }
        }
        assert!(node.container().is_some_and(|container| container.running), "the call {failing} failed");
    }
    let mut node = Node::with_login().await;
    node.vault = MemoryVault::new(Faults::script([Fault::None, Fault::Fail]));
    let error = node.round().await.unwrap_err().to_string();
    assert!(error.contains("the login's secrets") && !error.contains(PASSPHRASE), "{error}");
    node.well().await;
}
