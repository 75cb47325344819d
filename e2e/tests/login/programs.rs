//! Programs in JavaScript that run beside a cluster: where they and what they need are.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use futuswarm_tools::browser;

/// Bake's variable for a mirror of Debian.
const MIRROR: &str = "FUTUSWARM_MIRROR";
/// A browser closes its windows in less.
const GRACE: Duration = Duration::from_secs(5);
const SCRIPTS: [&str; 3] = ["provider.mjs", "browser.mjs", "chromium.sh"];

/// The scripts of `e2e/provider` with their packages, in a folder that is gone with this.
pub struct Programs {
    folder: tempfile::TempDir,
    /// Root folder of the tree with Chromium.
    pub tree: PathBuf,
}

impl Programs {
    /// The first time this fetches some 150 MB.
    pub fn ready(root: &Path) -> Self {
        let sources = root.join("e2e/provider");
        let mirror = std::env::var(MIRROR).ok();
        let tree = browser::tree(mirror.as_deref(), &mut || ()).expect("the browser's tree");
        let cache = futuswarm_paths::cache_dir().expect("the cache");
        let packages = browser::npm_packages(&cache, &sources).expect("packages of npm");
        // Chromium has a root folder of its own, and /tmp with us in common.
        let folder = tempfile::Builder::new().prefix("fsw-login-").tempdir_in("/tmp").unwrap();
        for name in SCRIPTS {
            std::fs::copy(sources.join(name), folder.path().join(name)).unwrap();
        }
        // Node looks for packages beside a script.
        std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).unwrap();
        Self { folder, tree: tree.root().to_owned() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A program that says something in lines, and ends with its standard input.
pub struct Program {
    process: Child,
    pub input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node runs");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { input: process.stdin.take(), lines, process }
    }

    /// Its next line. What it has to say of an end is in standard error.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("a program of e2e/provider has ended").unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        let told = Instant::now();
        while told.elapsed() < GRACE && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // It has ended, by itself or with its namespace, unless it hangs.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
