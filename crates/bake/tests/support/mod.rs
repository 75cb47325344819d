//! A small Debian archive on loopback: mirrors with signed indexes, a snapshot archive, and their faults.

pub mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futuswarm_bake::Error;
use futuswarm_bake::archive::Archives;
use futuswarm_bake::base::{Choice, LockPolicy, choose, stand_in_again};
use futuswarm_bake::debs::Debs;
use futuswarm_bake::lock::{Lock, PackageList};
use futuswarm_tools::ToolsTree;
use sha2::{Digest as _, Sha256};

use server::Server;

/// When the locks of these tests were made.
pub const SNAPSHOT: &str = "20261101T120000Z";
/// The last time before that at which the snapshot archive copied the mirrors.
pub const COPIED: &str = "20261101T060000Z";
/// The first time after that.
pub const COPIED_LATER: &str = "20261101T180000Z";

/// One version of a package.
#[derive(Debug, Clone)]
pub struct Deb {
    name: String,
    version: String,
    fields: String,
    content: String,
}

/// A package, for all architectures, with nothing in it but its own version.
pub fn deb(name: &str, version: &str) -> Deb {
    let (name, version) = (name.to_owned(), version.to_owned());
    Deb { content: version.clone(), name, version, fields: String::new() }
}

impl Deb {
    /// One that apt installs without being asked.
    pub fn essential(mut self) -> Self {
        self.fields.push_str("Essential: yes\n");
        self
    }

    /// One that needs others.
    pub fn depends(mut self, on: &str) -> Self {
        let _infallible = writeln!(self.fields, "Depends: {on}");
        self
    }

    /// Another file under the same version.
    pub fn content(mut self, content: &str) -> Self {
        content.clone_into(&mut self.content);
        self
    }

    fn file(&self) -> String {
        // As Debian does, without the epoch.
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_epoch, version)| version);
        format!("{}_{version}_all.deb", self.name)
    }

    fn build(&self, path: &Path) {
        let tree = tempfile::tempdir().unwrap();
        let control = tree.path().join("DEBIAN/control");
        std::fs::create_dir(control.parent().unwrap()).unwrap();
        std::fs::create_dir_all(tree.path().join("usr/share/tests")).unwrap();
        std::fs::write(tree.path().join("usr/share/tests").join(&self.name), &self.content).unwrap();
        let text = format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Tests <tests@example.org>\n{}Description: test\n",
            self.name, self.version, self.fields
        );
        std::fs::write(control, text).unwrap();
        // The same package is the same file whenever it is made.
        let mut build = Command::new("dpkg-deb");
        build.env("SOURCE_DATE_EPOCH", "1760000000");
        build.args(["--build", "--root-owner-group", "-Zgzip", "-z1"]).arg(tree.path()).arg(path);
        assert!(build.stdout(Stdio::null()).status().unwrap().success());
    }
}

/// A key that signs.
pub struct Key {
    secret: Vec<u8>,
}

impl Key {
    pub fn new() -> Self {
        Self { secret: sqop(&["generate-key", "Tests <tests@example.org>"], b"") }
    }

    fn public(&self) -> Vec<u8> {
        sqop(&["extract-cert", "--no-armor"], &self.secret)
    }

    fn sign(&self, text: &str, dir: &Path) -> Vec<u8> {
        let key = dir.join("secret.key");
        std::fs::write(&key, &self.secret).unwrap();
        sqop(&["inline-sign", "--as=clearsigned", key.to_str().unwrap()], text.as_bytes())
    }
}

fn sqop(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let mut command = tools.command("sqop").unwrap();
    let deadline = Duration::from_secs(60);
    let output = futuswarm_tools::child::output(command.args(arguments), input, deadline, &mut || ()).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Mirrors, snapshot archive, and the cache of somebody who bakes.
pub struct World {
    dir: tempfile::TempDir,
    pub key: Key,
    pub server: Server,
    pub archives: Archives,
    /// What packages.toml names.
    pub asked: Vec<String>,
}

impl World {
    /// Mirrors that have `debs`; `asked` is what packages.toml names.
    pub fn new(debs: &[Deb], asked: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::new();
        let keyring = dir.path().join("keyring.gpg");
        std::fs::write(&keyring, key.public()).unwrap();
        let server = Server::start(dir.path().join("www"));
        let url = server.url();
        let archives = Archives {
            mirror: format!("{url}/debian"),
            security: format!("{url}/debian-security"),
            snapshot: url,
            keyring,
        };
        let asked = asked.iter().map(|name| (*name).to_owned()).collect();
        let world = Self { dir, key, server, archives, asked };
        world.publish("debian-security", "trixie-security", &[]);
        world.publish("debian", "trixie-updates", &[]);
        world.release(debs);
        world
    }

    /// The mirror has moved on: it has `debs` and nothing else.
    pub fn release(&self, debs: &[Deb]) {
        let pool = self.www("debian/pool");
        let _none = std::fs::remove_dir_all(pool);
        self.publish("debian", "trixie", debs);
    }

    /// A path below the server's root.
    pub fn www(&self, path: &str) -> PathBuf {
        self.dir.path().join("www").join(path)
    }

    /// Makes one suite and signs it.
    pub fn publish(&self, archive: &str, suite: &str, debs: &[Deb]) {
        self.publish_signed(archive, suite, debs, &self.key, "Mon, 01 Jan 2096 00:00:00 UTC");
    }

    /// The same with another key, or an index that is valid until another time.
    pub fn publish_signed(&self, archive: &str, suite: &str, debs: &[Deb], key: &Key, valid_until: &str) {
        let root = self.www(archive);
        let mut index = String::new();
        for deb in debs {
            let path = format!("pool/main/{}/{}", deb.name, deb.file());
            let file = root.join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            deb.build(&file);
            let control = Command::new("dpkg-deb").arg("--field").arg(&file).output().unwrap().stdout;
            let bytes = std::fs::read(&file).unwrap();
            let _infallible = write!(
                index,
                "{}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
                String::from_utf8(control).unwrap(),
                bytes.len(),
                hex::encode(Sha256::digest(&bytes))
            );
        }
        let dists = root.join("dists").join(suite);
        std::fs::create_dir_all(dists.join("main/binary-amd64")).unwrap();
        std::fs::write(dists.join("main/binary-amd64/Packages"), &index).unwrap();
        let release = format!(
            "Origin: Tests\nSuite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nValid-Until: {valid_until}\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            hex::encode(Sha256::digest(&index)),
            index.len()
        );
        std::fs::write(dists.join("InRelease"), key.sign(&release, self.dir.path())).unwrap();
    }

    /// The snapshot archive copies the mirrors as they are.
    pub fn copy_to_snapshot(&self, timestamp: &str) {
        for archive in ["debian", "debian-security"] {
            let to = self.www(&format!("archive/{archive}/{timestamp}"));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            let copied = Command::new("cp").arg("-a").arg(self.www(archive)).arg(to).status().unwrap();
            assert!(copied.success());
        }
    }

    /// The lock of today's packages, as of [`SNAPSHOT`]. It is made with a cache of its own, so that nothing is in ours.
    pub fn lock(&self) -> Lock {
        let cache = tempfile::tempdir().unwrap();
        let chosen = self.choose_in(cache.path(), None, LockPolicy::Update).unwrap();
        assert_eq!(chosen.drift, [""; 0]);
        Lock { snapshot: SNAPSHOT.to_owned(), ..chosen.lock }
    }

    /// What a bake would install.
    pub fn choose(&self, lock: &Lock, policy: LockPolicy) -> Result<Choice, Error> {
        let choice = self.choose_in(&self.cache(), Some(lock), policy)?;
        // Whatever was chosen is there, and is what it should be.
        for package in &choice.lock.package {
            let path = Debs::new(self.cache()).path(package);
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(
                (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64),
                (package.sha256.clone(), package.size)
            );
        }
        let left = std::fs::read_dir(self.cache())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("unfinished"));
        assert_eq!(left.count(), 0);
        Ok(choice)
    }

    /// What stands in once more without anybody being asked, if `choice` can.
    pub fn again(&self, choice: &Choice, lock: &Lock) -> Option<Choice> {
        let choice = Choice { lock: choice.lock.clone(), drift: choice.drift.clone() };
        stand_in_again(Some(choice), Some(lock), &Debs::new(self.cache())).unwrap()
    }

    /// The cache of packages.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn choose_in(&self, cache: &Path, lock: Option<&Lock>, policy: LockPolicy) -> Result<Choice, Error> {
        let packages = BTreeMap::from([("tests".to_owned(), self.asked.clone())]);
        let list = PackageList { suite: "trixie".to_owned(), source_date_epoch: 1_760_000_000, packages };
        let work = tempfile::tempdir().unwrap();
        let mut debs = Debs::new(cache.to_owned());
        debs.pause = Duration::from_millis(10);
        choose(work.path(), &list, lock, policy, &self.archives, &debs, &mut |_| ())
    }
}
