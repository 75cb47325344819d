//! The tools tree: a cached Debian 13 tree with every program that makes or runs an image.
//!
//! The host's own tools are too old for reproducible images, and on some machines QEMU cannot be installed beside what is
//! there. Programs are run *from* the tree but *on* the host: the tree's own dynamic loader is called with the tree's
//! libraries, so host paths, namespaces and pipes mean what they mean everywhere else, and no chroot, mount or privilege
//! is needed.

pub mod browser;
pub mod child;
pub mod emulator;
mod port;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use port::free_port;
use sha2::{Digest as _, Sha256};

/// The tree's Debian release.
const SUITE: &str = "trixie";

/// Longest time to make the tree. It takes one to two minutes where the mirror is near.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// What the tree holds, and what for.
const PACKAGES: &[&str] = &[
    // Making an image.
    "erofs-utils",
    "cryptsetup-bin",
    "systemd-ukify",
    "systemd-boot-efi",
    "dosfstools",
    "mtools",
    "fdisk",
    "xz-utils",
    // Checking what goes into it.
    "systemd",
    "cloud-init",
    "nftables",
    // The local cloud.
    "qemu-system-x86",
    "qemu-utils",
    "ovmf",
    "haproxy",
    "apache2-bin",
    "libapache2-mod-auth-openidc",
    "dnsmasq-base",
    "openssh-client",
    "postgresql-17",
    // What an operator types, and the flake, under test.
    "bats",
    "nix-bin",
    // Signs the small package archives that tests make.
    "sqop",
];

/// Failures to make or use the tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No tree was made yet.
    #[error("there is no tools tree under {0}: run `cargo xtask bake` or `cargo xtask doctor --local` once")]
    Missing(PathBuf),
    /// The tree lacks a program.
    #[error("the tools tree {tree} has no program {program}: delete the tree, it will be made again")]
    NoProgram {
        /// Root folder of the tree.
        tree: PathBuf,
        /// Name or path.
        program: String,
    },
    /// mmdebstrap cannot be started.
    #[error("cannot run mmdebstrap: {0}; install it with `apt-get install mmdebstrap`")]
    NoMmdebstrap(#[source] std::io::Error),
    /// mmdebstrap did not come to its end.
    #[error("mmdebstrap, which makes the tools tree, was {0}; look at the way to Debian's mirror and try again")]
    Stuck(#[source] child::Failure),
    /// mmdebstrap ended without success.
    #[error("mmdebstrap could not make the tools tree ({status}); its last words: {tail}")]
    Bootstrap {
        /// Exit status or signal, in words.
        status: String,
        /// The end of what it printed.
        tail: String,
    },
    /// A program that makes the emulator's environment failed.
    #[error("`{}` failed: {detail}", program.display())]
    Program {
        /// Name or path.
        program: PathBuf,
        /// Its exit status and last words.
        detail: String,
    },
    /// Somebody else makes the emulator's environment, and does not come to an end.
    #[error(
        "somebody else has made the Python environment of the AWS emulator for {seconds} s ({}): end it, or wait for it, and run the command again",
        lock.display()
    )]
    Turn {
        /// The file that whoever makes it has locked.
        lock: PathBuf,
        /// How long we have waited.
        seconds: u64,
    },
    /// npm cannot be started.
    #[error("cannot run npm: {0}; install it with Node.js 20 or newer (`apt-get install nodejs npm`)")]
    NoNpm(#[source] std::io::Error),
    /// No Python makes environments.
    #[error("no Python can make environments: {0}; install one with `apt-get install python3-venv`")]
    NoPython(String),
    /// A file operation failed.
    #[error("{path}: {source}")]
    File {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no cache directory.
    #[error(transparent)]
    Paths(#[from] futuswarm_paths::Error),
}

/// A tools tree on disk.
#[derive(Debug, Clone)]
pub struct ToolsTree {
    root: PathBuf,
}

impl ToolsTree {
    /// The tree in the cache.
    ///
    /// # Errors
    /// When none was made yet.
    pub fn locate() -> Result<Self, Error> {
        Self::located(tree_dir(PACKAGES)?)
    }

    fn located(dir: PathBuf) -> Result<Self, Error> {
        let root = dir.join("root");
        if !root.join("usr").is_dir() {
            return Err(Error::Missing(dir));
        }
        Ok(Self { root })
    }

    /// The tree in the cache, made first if there is none. Takes one to two minutes the first time.
    ///
    /// A tree is made under another name and renamed when it is whole, so that an interrupted run leaves nothing that looks
    /// like a tree.
    ///
    /// `tick` is called a few times a second while it is made.
    ///
    /// # Errors
    /// When mmdebstrap is not installed, fails, or takes longer than half an hour.
    pub fn ensure(mirror: Option<&str>, tick: &mut dyn FnMut()) -> Result<Self, Error> {
        Self::ensure_with(PACKAGES, mirror, tick)
    }

    /// The same for a tree of these packages.
    fn ensure_with(packages: &[&str], mirror: Option<&str>, tick: &mut dyn FnMut()) -> Result<Self, Error> {
        let dir = tree_dir(packages)?;
        if let Ok(tree) = Self::located(dir.clone()) {
            return Ok(tree);
        }
        let parent = dir.parent().unwrap_or(&dir);
        std::fs::create_dir_all(parent).map_err(file(parent))?;
        let unfinished = parent.join(format!("unfinished.{}", std::process::id()));
        let target = unfinished.join("root");
        std::fs::create_dir_all(&target).map_err(file(&target))?;
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""])
            .args(["doc", "man", "locale", "info"].map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")))
            .arg(format!("--include={}", packages.join(",")))
            .arg(SUITE)
            .arg(&target)
            .args(mirror);
        let output = child::output(&mut command, b"", DEADLINE, tick).map_err(|failure| {
            // The failure is reported; what is left over is only disk space.
            let _left = std::fs::remove_dir_all(&unfinished);
            match failure {
                child::Failure::NotStarted(error) => Error::NoMmdebstrap(error),
                other => Error::Stuck(other),
            }
        })?;
        if !output.status.success() {
            let _left = std::fs::remove_dir_all(&unfinished);
            let tail = last_words(&output.stderr);
            return Err(Error::Bootstrap { status: output.status.to_string(), tail });
        }
        match std::fs::rename(&unfinished, &dir) {
            Ok(()) => {}
            // Somebody else was faster with the same tree.
            Err(_) if dir.join("root/usr").is_dir() => {
                let _left = std::fs::remove_dir_all(&unfinished);
            }
            Err(source) => return Err(Error::File { path: dir, source }),
        }
        Self::located(dir)
    }

    /// The root of the tree, for data files such as firmware.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A program of the tree, run on the host.
    ///
    /// # Errors
    /// When the tree does not have it.
    pub fn command(&self, program: &str) -> Result<Command, Error> {
        let path = self.find(program)?;
        let mut command = self.loader();
        command.arg(path);
        // A host's own settings must not reach into the tree's programs.
        command.env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD");
        Ok(command)
    }

    /// A Python program of the tree, run on the host.
    ///
    /// # Errors
    /// When the tree does not have it.
    pub fn python(&self, program: &str) -> Result<Command, Error> {
        let script = self.find(program)?;
        let mut command = self.command("python3")?;
        command
            .arg(script)
            .env("PYTHONHOME", self.root.join("usr"))
            .env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    fn loader(&self) -> Command {
        let lib = |dir: &str| self.root.join(dir).into_os_string();
        let mut library_path = lib("usr/lib/x86_64-linux-gnu");
        for dir in ["usr/lib/x86_64-linux-gnu/systemd", "usr/lib"] {
            library_path.push(OsStr::new(":"));
            library_path.push(lib(dir));
        }
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(library_path);
        command
    }

    /// The path as named, not what it links to: some programs are told by their name what to do.
    fn find(&self, program: &str) -> Result<PathBuf, Error> {
        ["usr/bin", "usr/sbin"]
            .iter()
            .map(|dir| self.root.join(dir).join(program))
            .find(|path| path.exists())
            .ok_or_else(|| Error::NoProgram { tree: self.root.clone(), program: program.to_owned() })
    }
}

/// What a failure of a file operation says.
fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// The last five lines of what a program has said.
fn last_words(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let tail: Vec<&str> = text.trim_end().lines().rev().take(5).collect();
    tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Where the tree of exactly this package list belongs.
fn tree_dir(packages: &[&str]) -> Result<PathBuf, Error> {
    let mut hash = Sha256::new();
    hash.update(SUITE);
    for package in packages {
        hash.update("\n");
        hash.update(package);
    }
    let name = &hex::encode(hash.finalize())[..16];
    Ok(futuswarm_paths::cache_dir()?.join("tools").join(name))
}
