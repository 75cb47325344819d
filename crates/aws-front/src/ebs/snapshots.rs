//! Snapshots: their states, which blocks they have, and one sparse file each, from which machines boot.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;

/// The only size of a block that EBS knows.
pub const BLOCK: usize = 512 * 1024;

/// Where a snapshot is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Blocks may be put.
    Pending,
    /// All blocks are there, and nobody has looked since. EBS takes a while, too: whoever does not wait is found out.
    Completing,
    /// Immutable.
    Completed,
}

/// What a snapshot is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Size in GiB.
    pub gib: u64,
    /// The snapshot whose blocks it begins with.
    pub parent: Option<String>,
    /// Makes a call that is repeated give the same snapshot.
    pub token: String,
}

/// The blocks that one snapshot has, and how far it is.
#[derive(Debug)]
pub struct Snapshot {
    /// What was asked for.
    pub spec: SnapshotSpec,
    /// Where it is in its life.
    pub state: State,
    /// Its content; absent blocks are holes.
    pub file: PathBuf,
    /// Which version of each block it has. A block that was not put since the parent has the parent's version.
    blocks: BTreeMap<u32, u64>,
    /// Digests of the blocks that were put into it.
    put: BTreeMap<u32, [u8; 32]>,
    open: Option<File>,
}

impl Snapshot {
    /// How many blocks fit into it.
    pub fn capacity(&self) -> u64 {
        (self.spec.gib << 30) / BLOCK as u64
    }
}

/// The snapshots of all regions, by id, and the folder of their files.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    all: BTreeMap<String, Snapshot>,
    versions: u64,
}

/// A page of blocks: index and versions.
pub type Page<T> = (Vec<(u32, T)>, Option<u32>);

impl Snapshots {
    /// No snapshots yet; files go below `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, all: BTreeMap::new(), versions: 0 }
    }

    /// The file of a snapshot, whether or not there is one.
    pub fn file_of(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.raw"))
    }

    /// The snapshot with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, id: &str) -> Result<&Snapshot, Refusal> {
        self.all.get(id).ok_or_else(|| no_snapshot(id))
    }

    /// The snapshot of an earlier call with the same token.
    ///
    /// # Errors
    /// When that call asked for something else.
    pub fn by_token(&self, spec: &SnapshotSpec) -> Result<Option<&str>, Refusal> {
        match self.all.iter().find(|(_, snapshot)| snapshot.spec.token == spec.token) {
            Some((id, snapshot)) if snapshot.spec == *spec => Ok(Some(id)),
            Some(_) => Err(Refusal::conflict("the client token was used for another snapshot")),
            None => Ok(None),
        }
    }

    /// Whether a snapshot can be begun like this.
    ///
    /// # Errors
    /// When the size or the parent cannot be.
    pub fn check(&self, spec: &SnapshotSpec) -> Result<(), Refusal> {
        if spec.gib == 0 || spec.gib > 65_536 {
            return Err(Refusal::invalid("INVALID_VOLUME_SIZE", format!("{} GiB is no size of a volume", spec.gib)));
        }
        let Some(parent) = &spec.parent else { return Ok(()) };
        let found = self.get(parent)?;
        if found.state == State::Pending {
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("the parent {parent} is not completed")));
        }
        if found.spec.gib > spec.gib {
            let message = format!("{} GiB is less than the parent's {} GiB", spec.gib, found.spec.gib);
            return Err(Refusal::invalid("INVALID_VOLUME_SIZE", message));
        }
        Ok(())
    }

    /// Takes a snapshot whose file is there: empty, or a copy of the parent's.
    pub fn begin(&mut self, id: &str, spec: SnapshotSpec, file: File) {
        let parent = spec.parent.as_ref().and_then(|parent| self.all.get(parent));
        let blocks = parent.map(|parent| parent.blocks.clone()).unwrap_or_default();
        let path = self.file_of(id);
        let (put, open) = (BTreeMap::new(), Some(file));
        self.all.insert(id.to_owned(), Snapshot { spec, state: State::Pending, file: path, blocks, put, open });
    }

    /// Takes a block; `checksum` is what the caller says its SHA-256 is.
    ///
    /// # Errors
    /// When the snapshot takes no blocks, or the block is not what it is said to be.
    pub fn put(&mut self, id: &str, index: u32, data: &[u8], checksum: &[u8]) -> Result<(), Refusal> {
        let snapshot = self.all.get_mut(id).ok_or_else(|| no_snapshot(id))?;
        if u64::from(index) >= snapshot.capacity() {
            return Err(Refusal::invalid("INVALID_BLOCK", format!("block {index} is beyond the end of {id}")));
        }
        if data.len() != BLOCK {
            let message = format!("the block has {} bytes instead of {BLOCK}", data.len());
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        let digest: [u8; 32] = Sha256::digest(data).into();
        if checksum != digest {
            let message = format!("block {index} does not have the checksum that it was sent with");
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        let Some(file) = snapshot.open.as_ref().filter(|_| snapshot.state == State::Pending) else {
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("{id} is not pending any more")));
        };
        file.write_all_at(data, u64::from(index) * BLOCK as u64)
            .map_err(|error| Refusal::internal(format!("{}: {error}", snapshot.file.display())))?;
        self.versions += 1;
        snapshot.blocks.insert(index, self.versions);
        snapshot.put.insert(index, digest);
        Ok(())
    }

    /// Ends the upload. `changed` is how many blocks the caller put; `checksum` is the SHA-256 of their SHA-256s in order.
    ///
    /// # Errors
    /// When blocks are missing or others than the caller means.
    pub fn complete(&mut self, id: &str, changed: u32, checksum: Option<&[u8]>) -> Result<State, Refusal> {
        let snapshot = self.all.get_mut(id).ok_or_else(|| no_snapshot(id))?;
        let count = u32::try_from(snapshot.put.len()).unwrap_or(u32::MAX);
        if count != changed {
            let message = format!("{count} blocks were put into {id}, not {changed}");
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        let mut linear = Sha256::new();
        snapshot.put.values().for_each(|digest| linear.update(digest));
        if checksum.is_some_and(|checksum| checksum != linear.finalize().as_slice()) {
            let message = format!("the blocks of {id} do not have the checksum that it is completed with");
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        // A call that is repeated because its answer was lost finds everything done.
        if snapshot.state == State::Pending {
            snapshot.state = State::Completing;
            snapshot.open = None;
        }
        Ok(snapshot.state)
    }

    /// Its state as somebody who asks EC2 sees it; the first who asks after the completion sees it pending.
    pub fn poll(&mut self, id: &str) -> Option<State> {
        let snapshot = self.all.get_mut(id)?;
        let seen = snapshot.state;
        if seen == State::Completing {
            snapshot.state = State::Completed;
        }
        Some(seen)
    }

    /// Takes a copy of a completed snapshot; both share one immutable file.
    ///
    /// # Errors
    /// When there is no such snapshot or the file cannot be shared.
    pub fn copied(&mut self, source: &str, copy: &str) -> Result<(), Refusal> {
        let found = self.get(source)?;
        let (spec, blocks) = (SnapshotSpec { token: String::new(), ..found.spec.clone() }, found.blocks.clone());
        let file = self.file_of(copy);
        std::fs::hard_link(&found.file, &file)
            .map_err(|error| Refusal::internal(format!("{}: {error}", file.display())))?;
        let snapshot = Snapshot { spec, state: State::Completed, file, blocks, put: BTreeMap::new(), open: None };
        self.all.insert(copy.to_owned(), snapshot);
        Ok(())
    }

    /// Forgets a snapshot and removes its file.
    pub fn remove(&mut self, id: &str) {
        if let Some(snapshot) = self.all.remove(id)
            && let Err(error) = std::fs::remove_file(&snapshot.file)
        {
            tracing::warn!(snapshot = id, %error, "the snapshot's file stays behind");
        }
    }

    fn whole(&self, id: &str) -> Result<&Snapshot, Refusal> {
        let snapshot = self.get(id)?;
        if snapshot.state == State::Pending {
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("{id} is not completed")));
        }
        Ok(snapshot)
    }

    /// Blocks of a snapshot from `start` on, and where the next page begins.
    ///
    /// # Errors
    /// When there is no such snapshot or it is not completed.
    pub fn list(&self, id: &str, start: u32, most: usize) -> Result<Page<u64>, Refusal> {
        let mut rest = self.whole(id)?.blocks.range(start..).map(|(index, version)| (*index, *version));
        let page: Vec<_> = rest.by_ref().take(most).collect();
        Ok((page, rest.next().map(|(index, _)| index)))
    }

    /// Blocks that `second` has in another version than `first`, or all of its blocks.
    ///
    /// # Errors
    /// When one is not there or not completed, or the two have nothing to do with each other.
    pub fn changed(
        &self,
        first: Option<&str>,
        second: &str,
        start: u32,
        most: usize,
    ) -> Result<Page<(Option<u64>, u64)>, Refusal> {
        let after = self.whole(second)?;
        let before = first.map(|first| self.whole(first)).transpose()?;
        if let Some(first) = first
            && !self.descends(second, first)
        {
            return Err(Refusal::invalid("UNRELATED_SNAPSHOTS", format!("{second} does not descend from {first}")));
        }
        let old = |index: &u32| before.and_then(|before| before.blocks.get(index).copied());
        let mut rest = after
            .blocks
            .range(start..)
            .filter(|(index, version)| old(index) != Some(**version))
            .map(|(index, version)| (*index, (old(index), *version)));
        let page: Vec<_> = rest.by_ref().take(most).collect();
        Ok((page, rest.next().map(|(index, _)| index)))
    }

    fn descends(&self, id: &str, ancestor: &str) -> bool {
        let mut current = Some(id);
        while let Some(id) = current {
            if id == ancestor {
                return true;
            }
            current = self.all.get(id).and_then(|snapshot| snapshot.spec.parent.as_deref());
        }
        false
    }

    /// Reads a block of which the caller has the version.
    ///
    /// # Errors
    /// When there is no such block, or it has another version.
    pub fn read(&self, id: &str, index: u32, version: u64) -> Result<Vec<u8>, Refusal> {
        let snapshot = self.whole(id)?;
        match snapshot.blocks.get(&index) {
            None => Err(Refusal::not_found("BLOCK_NOT_FOUND", format!("{id} has no block {index}"))),
            Some(known) if *known != version => {
                Err(Refusal::invalid("INVALID_BLOCK_TOKEN", format!("the token is not that of block {index} of {id}")))
            }
            Some(_) => {
                let mut block = vec![0; BLOCK];
                File::open(&snapshot.file)
                    .and_then(|file| file.read_exact_at(&mut block, u64::from(index) * BLOCK as u64))
                    .map_err(|error| Refusal::internal(format!("{}: {error}", snapshot.file.display())))?;
                Ok(block)
            }
        }
    }
}

fn no_snapshot(id: &str) -> Refusal {
    Refusal::not_found("SNAPSHOT_NOT_FOUND", format!("The snapshot '{id}' does not exist."))
}

/// Makes the file of a snapshot: empty, or with its parent's content. Holes stay holes.
///
/// # Errors
/// When it cannot be made.
pub fn make_file(path: &Path, gib: u64, parent: Option<&Path>) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = File::options().create_new(true).read(true).write(true).open(path)?;
    file.set_len(gib << 30)?;
    if let Some(parent) = parent {
        copy_data(&File::open(parent)?, &file)?;
    }
    Ok(file)
}

/// Copies what is not a hole: by reference where the file system can, inside the kernel otherwise.
fn copy_data(from: &File, to: &File) -> std::io::Result<()> {
    if from.metadata()?.len() == to.metadata()?.len() && rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut at = 0;
    loop {
        let start = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            // There is no data any more.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start))?;
        let (mut source, mut target) = (start, start);
        while source < end {
            let left = usize::try_from(end - source).unwrap_or(usize::MAX);
            if rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), left)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(parent: Option<&str>, token: &str) -> SnapshotSpec {
        SnapshotSpec { gib: 1, parent: parent.map(str::to_owned), token: token.to_owned() }
    }

    fn begin(snapshots: &mut Snapshots, id: &str, parent: Option<&str>) {
        let spec = spec(parent, id);
        snapshots.check(&spec).unwrap();
        let parent = parent.map(|parent| snapshots.file_of(parent));
        let file = make_file(&snapshots.file_of(id), 1, parent.as_deref()).unwrap();
        snapshots.begin(id, spec, file);
    }

    fn put(snapshots: &mut Snapshots, id: &str, index: u32, byte: u8) -> [u8; 32] {
        let data = vec![byte; BLOCK];
        let digest: [u8; 32] = Sha256::digest(&data).into();
        snapshots.put(id, index, &data, &digest).unwrap();
        digest
    }

    #[test]
    fn a_child_has_its_parents_blocks_and_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = Snapshots::new(dir.path().join("snapshots"));
        begin(&mut snapshots, "snap-1", None);
        let (first, second) = (put(&mut snapshots, "snap-1", 3, 1), put(&mut snapshots, "snap-1", 7, 2));
        let linear = Sha256::digest([first, second].concat());
        snapshots.complete("snap-1", 2, Some(&linear)).unwrap();

        begin(&mut snapshots, "snap-2", Some("snap-1"));
        put(&mut snapshots, "snap-2", 7, 9);
        snapshots.complete("snap-2", 1, None).unwrap();
        let (page, next) = snapshots.changed(Some("snap-1"), "snap-2", 0, 100).unwrap();
        assert_eq!(page.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [7]);
        assert_eq!(next, None);
        let (page, next) = snapshots.list("snap-2", 0, 1).unwrap();
        assert_eq!((page[0].0, next), (3, Some(7)));
        assert_eq!(snapshots.read("snap-2", 3, page[0].1).unwrap(), vec![1; BLOCK]);
        let (page, _) = snapshots.list("snap-2", 7, 1).unwrap();
        assert_eq!(snapshots.read("snap-2", 7, page[0].1).unwrap(), vec![9; BLOCK]);
        assert_eq!(snapshots.read("snap-2", 7, 1).unwrap_err().reason(), "INVALID_BLOCK_TOKEN");
        assert_eq!(snapshots.changed(Some("snap-2"), "snap-1", 0, 9).unwrap_err().reason(), "UNRELATED_SNAPSHOTS");
    }

    #[test]
    fn what_is_not_what_it_is_said_to_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = Snapshots::new(dir.path().join("snapshots"));
        begin(&mut snapshots, "snap-1", None);
        let data = vec![5; BLOCK];
        let digest = Sha256::digest(&data);
        assert_eq!(snapshots.put("snap-1", 0, &data, &[0; 32]).unwrap_err().reason(), "INVALID_PARAMETER_VALUE");
        assert_eq!(snapshots.put("snap-1", 2048, &data, &digest).unwrap_err().reason(), "INVALID_BLOCK");
        assert_eq!(snapshots.put("snap-1", 0, &data[1..], &digest).unwrap_err().reason(), "INVALID_PARAMETER_VALUE");
        assert_eq!(snapshots.put("snap-9", 0, &data, &digest).unwrap_err().reason(), "SNAPSHOT_NOT_FOUND");
        assert!(snapshots.list("snap-1", 0, 9).is_err(), "it is not completed");
        snapshots.put("snap-1", 0, &data, &digest).unwrap();
        assert!(snapshots.complete("snap-1", 2, None).is_err(), "one block was put");
        assert!(snapshots.complete("snap-1", 1, Some(&[0; 32])).is_err(), "another checksum");
        snapshots.complete("snap-1", 1, None).unwrap();
        assert_eq!(snapshots.put("snap-1", 1, &data, &digest).unwrap_err().reason(), "INVALID_SNAPSHOT_ID");
    }

    #[test]
    fn it_is_seen_pending_once_more_and_a_repeated_start_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = Snapshots::new(dir.path().join("snapshots"));
        begin(&mut snapshots, "snap-1", None);
        assert_eq!(snapshots.by_token(&spec(None, "snap-1")), Ok(Some("snap-1")));
        assert_eq!(snapshots.by_token(&spec(None, "other")), Ok(None));
        assert!(snapshots.by_token(&SnapshotSpec { gib: 2, ..spec(None, "snap-1") }).is_err());
        snapshots.complete("snap-1", 0, None).unwrap();
        assert_eq!(snapshots.poll("snap-1"), Some(State::Completing));
        assert_eq!(snapshots.poll("snap-1"), Some(State::Completed));
        snapshots.copied("snap-1", "snap-2").unwrap();
        snapshots.remove("snap-1");
        assert!(!snapshots.file_of("snap-1").exists() && snapshots.file_of("snap-2").exists());
    }
}
