//! The loop against a program that behaves like `nft`: a table in a file, replaced as a whole, that others change.

use std::os::unix::fs::PermissionsExt as _;

use futuswarm_store::MemoryBucket;

use super::*;

/// Keeps its table in a file beside it; counts its loads; does what the file `fault` says.
const NFT: &str = r#"#!/bin/sh
here="${0%/*}"
if [ -e "$here/fault" ]; then echo "netlink: Error: cache initialization failed" >&2; exit 1; fi
case "$1" in
    --file) /bin/cat "$2" "$here/run/firewall.nft" > "$here/table"; echo >> "$here/loads" ;;
    --stateless) /bin/cat "$here/table" ;;
esac
"#;

struct Node {
    dir: tempfile::TempDir,
    firewall: Firewall,
    store: Store<MemoryBucket>,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("nft"), NFT).unwrap();
        std::fs::set_permissions(path("nft"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(path("rules"), "rules of the image\n").unwrap();
        let files = Files { run: path("run"), ..Files::default() };
        let first = Networks { vpc: vec!["10.42.0.0/16".parse().unwrap()], ..Networks::default() };
        let firewall = Firewall::new(first, files, Nft { program: path("nft"), rules: path("rules") });
        Self { dir, firewall, store: Store::new(MemoryBucket::default()) }
    }

    async fn round(&mut self) -> Result<(), Error> {
        self.firewall.round(&self.store).await
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn table(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("table")).unwrap_or_default()
    }

    fn loads(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("loads")).unwrap_or_default().lines().count()
    }

    async fn deploy(&self, ssh: &str) {
        let specification = serde_json::json!({
            "network": { "cidr": "10.42.0.0/16", "public_subnets": ["10.42.0.0/20"], "private_subnets": ["10.42.128.0/20"] },
            "ssh": { "allowed_cidrs": [ssh] },
            "load_balancer": { "internal": false },
        });
        self.store.put(keys::SPEC, &specification).await.unwrap();
    }
}

#[tokio::test]
async fn the_table_is_what_the_specification_says_and_is_loaded_once() {
    let mut node = Node::new();
    node.round().await.unwrap();
    assert!(node.table().starts_with("rules of the image\n") && node.table().contains("vpc_networks { 10.42.0.0/16 }"));
    assert!(!node.table().contains("ssh_networks"), "nobody logs in before the specification was read");
    node.deploy("203.0.113.7/32").await;
    node.round().await.unwrap();
    assert!(node.table().contains("ssh_networks { 203.0.113.7/32 }"), "{}", node.table());
    assert!(node.table().contains("flush set inet futuswarm closed_networks"), "{}", node.table());
    let loads = node.loads();
    for _ in 0..5 {
        node.round().await.unwrap();
    }
    assert_eq!(node.loads(), loads, "what is right is left alone");
}

#[tokio::test]
async fn a_table_that_somebody_changed_or_took_away_comes_back() {
    let mut node = Node::new();
    node.deploy("203.0.113.7/32").await;
    node.round().await.unwrap();
    let right = node.table();
    for change in [&format!("{right}accept\n"), "", "rules of the image\n"] {
        node.write("table", change);
        node.round().await.unwrap();
        assert_eq!(node.table(), right);
    }
    std::fs::remove_file(node.dir.path().join("table")).unwrap();
    node.round().await.unwrap();
    assert_eq!(node.table(), right);
}

#[tokio::test(start_paused = true)]
async fn a_later_deployment_is_followed_and_an_unreadable_one_is_not() {
    let mut node = Node::new();
    node.deploy("203.0.113.7/32").await;
    // Real processes and paused time do not mix: the rounds themselves run in real time.
    tokio::time::resume();
    node.round().await.unwrap();
    node.deploy("198.51.100.0/24").await;
    node.round().await.unwrap();
    assert!(node.table().contains("203.0.113.7"), "read again later");
    node.firewall.read = node.firewall.read.map(|read| read - SPECIFICATION_INTERVAL);
    node.round().await.unwrap();
    assert!(node.table().contains("{ 198.51.100.0/24 }") && !node.table().contains("203.0.113.7"), "{}", node.table());

    let right = node.table();
    node.store.put(keys::SPEC, &serde_json::json!({ "network": 7 })).await.unwrap();
    node.firewall.read = node.firewall.read.map(|read| read - SPECIFICATION_INTERVAL);
    node.write("table", "");
    let said = node.round().await.unwrap_err().to_string();
    assert!(said.contains("does not name its networks"), "{said}");
    assert_eq!(node.table(), right, "what was known is kept, and kept in force");
}

#[tokio::test]
async fn a_load_that_fails_is_tried_again_and_said() {
    let mut node = Node::new();
    node.deploy("203.0.113.7/32").await;
    node.write("fault", "");
    let said = node.round().await.unwrap_err().to_string();
    assert!(said.contains("cannot load the firewall") && said.contains("cache initialization failed"), "{said}");
    std::fs::remove_file(node.dir.path().join("fault")).unwrap();
    node.round().await.unwrap();
    assert!(node.table().contains("203.0.113.7"), "{}", node.table());
    node.firewall.nft.program = node.dir.path().join("gone");
    let said = node.round().await.unwrap_err().to_string();
    assert!(said.contains("nft cannot be started"), "{said}");
}
