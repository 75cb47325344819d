//! The command line that the mainpage offers: fetched from the bucket, checked, and laid where the mainpage's tasks see it.
//!
//! The tasks have no rights of their own and read one folder of their node. A node may read what is below `cli/` in the bucket and write
//! nothing there: a program that is not the one which whoever deployed the cluster has named never gets a name that is served.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use futuswarm_model::{CliRelease, keys};
use futuswarm_node_files::{Error as FileError, Files};
use futuswarm_retry::Backoff;
use futuswarm_store::{Bucket, Store};
use sha2::{Digest as _, Sha256};

use crate::Error;

#[cfg(test)]
mod tests;

/// Between two looks at what is offered, which changes when somebody deploys; and before the first one, since a node that starts has more
/// to do.
const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// For one look and what comes of it.
const DEADLINE: Duration = Duration::from_secs(300);

/// Keeps what this node offers what the cluster offers, for as long as the agent lives.
pub(crate) async fn keep<B: Bucket + 'static>(store: Store<B>, files: Files) {
    let (mut backoff, mut pause) = (Backoff::default(), POLL_INTERVAL);
    loop {
        tokio::time::sleep(pause).await;
        let late = |_| Err(Error::Waiting(format!("no end within {} s", DEADLINE.as_secs())));
        pause = match tokio::time::timeout(DEADLINE, round(&store, &files)).await.unwrap_or_else(late) {
            Ok(()) => {
                backoff.reset();
                POLL_INTERVAL
            }
            Err(error) => backoff.failed("this node offers no new command line", &error.to_string()).max(POLL_INTERVAL),
        };
    }
}

/// Brings the program that is offered, unless it is here.
async fn round<B: Bucket>(store: &Store<B>, files: &Files) -> Result<(), Error> {
    // Nothing is offered, or S3 does not show it yet: what is here stays, it was the cluster's own.
    let Some(release) = store.peek::<CliRelease>(keys::CLI_RELEASE).await? else { return Ok(()) };
    let release = release.value;
    release.check().map_err(|reason| Error::Refused(format!("{} in the bucket: {reason}", keys::CLI_RELEASE)))?;
    if files.offered().as_deref() == Some(&release.line()) {
        return Ok(());
    }
    let fetched = fetch(store, files, &release).await;
    if fetched.is_err() {
        files.give_up_arriving();
    }
    fetched?;
    tracing::info!(version = release.version, sha256 = release.sha256, "the mainpage offers another command line");
    Ok(())
}

async fn fetch<B: Bucket>(store: &Store<B>, files: &Files, release: &CliRelease) -> Result<(), Error> {
    let key = keys::cli_program(&release.version, &release.sha256);
    let (file, path) = files.arriving()?;
    let mut arriving = Arriving { file, path, hash: Sha256::new(), length: 0, most: release.bytes, failed: None };
    if !store.bucket().get_in_pieces(&key, &mut |piece: &[u8]| arriving.take(piece)).await? {
        return Err(Error::Waiting(format!("{key} is not in the bucket yet, or not any more")));
    }
    let Arriving { file, path, hash, length, failed, .. } = arriving;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let found = hex(&hash.finalize());
    if length != release.bytes || found != release.sha256 {
        return Err(Error::Refused(format!(
            "{key} in the bucket is not what it should be: it has {length} bytes and the SHA-256 {found}, and {} says {} bytes; deploy the cluster again with --cli",
            keys::CLI_RELEASE,
            release.bytes
        )));
    }
    // A power cut must not leave its name without its content. The disk may take its time; this thread has more to do.
    let synced = tokio::task::spawn_blocking(move || file.sync_all().map_err(FileError::of(&path))).await;
    synced.map_err(|error| Error::Waiting(error.to_string()))??;
    Ok(files.offer(&release.line(), &release.sha256)?)
}

/// A program on its way to the disk.
struct Arriving {
    file: File,
    path: PathBuf,
    hash: Sha256,
    /// What came so far, in bytes.
    length: u64,
    /// What it should be, in bytes.
    most: u64,
    failed: Option<FileError>,
}

impl Arriving {
    /// Takes a piece; `false` when no more is wanted.
    fn take(&mut self, piece: &[u8]) -> bool {
        self.length = self.length.saturating_add(piece.len() as u64);
        if self.length > self.most {
            return false;
        }
        self.hash.update(piece);
        if let Err(error) = self.file.write_all(piece) {
            self.failed = Some(FileError::of(&self.path)(error));
        }
        self.failed.is_none()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
