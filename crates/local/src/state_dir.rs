//! Where the local cloud keeps its files: one folder per cluster, everything in it disposable.

use std::fs::File;
use std::path::{Path, PathBuf};

use futuswarm_local_api::{Client, place};
use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::error::{Error, Result, file};

/// Unix socket paths end at 107 bytes (`sun_path`); the longest socket below the folder needs 46 of them.
const LONGEST_STATE_DIR: usize = 60;

/// The files of one cluster.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// `<state>/local/<cluster>`.
    pub dir: PathBuf,
    /// The cluster's name.
    pub cluster: String,
}

impl StateDir {
    /// The folder of a cluster; nothing is created.
    ///
    /// # Errors
    /// When there is no state folder, or its path is too long for unix sockets.
    pub fn of(cluster: &str) -> Result<Self> {
        let dir = place::cluster_dir(&futuswarm_paths::state_dir()?, cluster);
        if dir.as_os_str().len() > LONGEST_STATE_DIR {
            return Err(Error::Config(format!(
                "the state folder {} is too long for unix sockets ({} bytes, at most {LONGEST_STATE_DIR}): set FUTUSWARM_STATE to a shorter one",
                dir.display(),
                dir.as_os_str().len()
            )));
        }
        Ok(Self { dir, cluster: cluster.to_owned() })
    }

    /// What the daemon was started with.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }
    /// What `up` prints; there once everything answers.
    pub fn cloud(&self) -> PathBuf {
        place::cloud_info(&self.dir)
    }
    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }
    /// The daemon's control socket.
    pub fn control(&self) -> PathBuf {
        place::control_socket(&self.dir)
    }
    /// The daemon's process id.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("daemon.pid")
    }
    /// The operator's SSH key for the nodes; the public part is beside it with the ending `.pub`.
    pub fn ssh_key(&self) -> PathBuf {
        self.dir.join("ssh_key")
    }
    /// The folder of snapshots, one sparse file each.
    pub fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }
    /// The folder with the folders of the virtual machines.
    pub fn vms(&self) -> PathBuf {
        place::machines(&self.dir)
    }
    /// The folder of the databases.
    pub fn databases(&self) -> PathBuf {
        self.dir.join("databases")
    }
    /// The folder of the local certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("authority")
    }
    /// The folder of a virtual machine.
    pub fn vm(&self, instance: &str) -> PathBuf {
        self.vms().join(instance)
    }
    /// The name of the network namespace.
    pub fn netns(&self) -> String {
        place::network_namespace(&self.dir, &self.cluster)
    }
    /// A client of the daemon.
    pub fn client(&self) -> Client {
        Client::of(&self.dir)
    }
    /// What a failure of the client means for whoever asked.
    pub fn failed(&self) -> impl FnOnce(futuswarm_local_api::Error) -> Error {
        let cluster = self.cluster.clone();
        |error| match error {
            futuswarm_local_api::Error::NotRunning { .. } => Error::NotRunning { cluster },
            error => Error::Control(error),
        }
    }
    /// Locks live beside the folder, so that removing the folder does not remove a lock somebody holds.
    fn lock_path(&self, which: &str) -> PathBuf {
        self.dir.with_file_name(format!(".{}.{which}.lock", self.cluster))
    }

    /// Takes the lock that serialises commands which start or stop the cloud; waits for it.
    pub fn command_lock(&self) -> Result<File> {
        self.lock("command", FlockOperation::LockExclusive)?
            .ok_or_else(|| Error::NotRunning { cluster: self.cluster.clone() })
    }

    /// Takes the lock that the daemon holds as long as it lives; `None` when a daemon lives.
    pub fn daemon_lock(&self) -> Result<Option<File>> {
        self.lock("daemon", FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(&self, which: &str, operation: FlockOperation) -> Result<Option<File>> {
        let path = self.lock_path(which);
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).map_err(file("cannot create", parent))?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(file("cannot open", &path))?;
        match rustix::fs::flock(&lock, operation) {
            Ok(()) => Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(file("cannot lock", &path)(errno.into())),
        }
    }
}

/// Writes a whole file or nothing: temporary name, then rename. Readable by the owner only.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension(format!("new.{}", std::process::id()));
    let mut out = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(file("cannot create", &temporary))?;
    out.write_all(content).map_err(file("cannot write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(file("cannot rename to", path))
}

/// [`write_atomically`] for JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    write_atomically(path, &text)
}

/// Reads a JSON file; `None` when it does not exist.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Config(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file("cannot read", path)(error)),
    }
}
