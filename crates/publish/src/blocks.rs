//! The blocks of a disk: their digests, which of them a snapshot must have, and which differ from another disk's.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use futuswarm_image_format::{BLOCK_SIZE, BlockIndex, Checksum, ZERO_BLOCK};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, file};
use crate::gpt;

/// Blocks that a hashing thread takes at a time.
const STRIDE: u32 = 16;

/// Reads a whole disk, with one thread per processor.
///
/// # Errors
/// When the disk cannot be read.
pub fn index_of_disk(path: &Path) -> Result<BlockIndex> {
    let disk = File::open(path).map_err(file(path))?;
    let bytes = disk.metadata().map_err(file(path))?.len();
    let count = u32::try_from(bytes.div_ceil(BLOCK_SIZE as u64))
        .map_err(|_| Error::Refused(format!("{} is larger than any volume", path.display())))?;
    let next = AtomicU32::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    let parts: std::io::Result<Vec<Vec<(u32, Checksum)>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_some(&disk, count, &next))).collect();
        let failed = |_| Err(std::io::Error::other("a hashing thread ended early"));
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(failed)).collect()
    });
    let mut digests = vec![*ZERO_BLOCK; count as usize];
    for (index, digest) in parts.map_err(file(path))?.into_iter().flatten() {
        digests[index as usize] = digest;
    }
    Ok(digests.into())
}

/// Writes an index file, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn save(index: &BlockIndex, path: &Path) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(file(dir))?;
    let mut new = tempfile::NamedTempFile::new_in(dir).map_err(file(dir))?;
    std::io::Write::write_all(&mut new, index.as_bytes()).map_err(file(path))?;
    new.persist(path).map(|_| ()).map_err(|error| file(path)(error.error))
}

/// The blocks that a snapshot of a disk with these partitions must have: all but those of zeros outside of every partition.
///
/// A block that a snapshot does not have reads as random data on an encrypted volume, so zeros inside a file system are
/// content like any other.
fn inside_or_not_zero(index: &BlockIndex, partitions: &[Range<u64>]) -> Vec<u32> {
    let inside = |index: u32| {
        let (start, end) = (u64::from(index) * BLOCK_SIZE as u64, (u64::from(index) + 1) * BLOCK_SIZE as u64);
        partitions.iter().any(|partition| partition.start < end && start < partition.end)
    };
    (0..)
        .zip(index.checksums())
        .filter(|(index, digest)| **digest != *ZERO_BLOCK || inside(*index))
        .map(|(index, _)| index)
        .collect()
}

/// Of the blocks `present` of a disk, those that must be sent when a snapshot begins as `parent`, which has the blocks `allocated`.
///
/// Blocks that the parent has and this disk has not are sent, too: a gap of zeros that was content before, and what lies beyond
/// the end of a disk that has become smaller.
#[must_use]
pub fn changed(index: &BlockIndex, present: &[u32], parent: &BlockIndex, allocated: &BTreeSet<u32>) -> Vec<u32> {
    let desired: BTreeSet<u32> = present.iter().chain(allocated).copied().collect();
    let same = |block: &u32| allocated.contains(block) && parent.checksum(*block) == index.checksum(*block);
    desired.into_iter().filter(|block| !same(block)).collect()
}

/// The linear checksum of CompleteSnapshot over the blocks `sent` of a disk, which are in order.
#[must_use]
pub fn linear_checksum(index: &BlockIndex, sent: &[u32]) -> Checksum {
    let mut hash = Sha256::new();
    sent.iter().for_each(|block| hash.update(index.checksum(*block)));
    hash.finalize().into()
}

/// Hashes strides of blocks until there are no more. Holes are zeros and are not even read.
fn hash_some(disk: &File, count: u32, next: &AtomicU32) -> std::io::Result<Vec<(u32, Checksum)>> {
    let mut done = Vec::new();
    loop {
        let start = next.fetch_add(STRIDE, Ordering::Relaxed);
        if start >= count {
            return Ok(done);
        }
        for index in start..(start + STRIDE).min(count) {
            let at = u64::from(index) * BLOCK_SIZE as u64;
            match rustix::fs::seek(disk, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) if data >= at + BLOCK_SIZE as u64 => continue,
                Err(rustix::io::Errno::NXIO) => return Ok(done),
                // Where the file system does not tell, the block is read.
                Ok(_) | Err(_) => {}
            }
            done.push((index, Sha256::digest(read_block(disk, index)?).into()));
        }
    }
}

/// A block of a disk; what is beyond the disk's end is zeros.
///
/// # Errors
/// When it cannot be read.
pub fn read_block(disk: &File, index: u32) -> std::io::Result<Vec<u8>> {
    let mut block = vec![0; BLOCK_SIZE];
    let mut filled = 0;
    while filled < BLOCK_SIZE {
        match disk.read_at(&mut block[filled..], u64::from(index) * BLOCK_SIZE as u64 + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(block)
}

/// The blocks of a disk that a snapshot of it must have.
///
/// # Errors
/// When the disk cannot be read.
pub fn present(path: &Path, index: &BlockIndex) -> Result<Vec<u32>> {
    let disk = File::open(path).map_err(file(path))?;
    let bytes = disk.metadata().map_err(file(path))?.len();
    Ok(inside_or_not_zero(index, &gpt::partitions(&disk, bytes).map_err(file(path))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of one byte value each.
    fn index(values: &[u8]) -> (tempfile::NamedTempFile, BlockIndex) {
        let disk = tempfile::NamedTempFile::new().unwrap();
        for (number, value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
            disk.as_file().write_all_at(&vec![*value; BLOCK_SIZE], (number * BLOCK_SIZE) as u64).unwrap();
        }
        disk.as_file().set_len((values.len() * BLOCK_SIZE) as u64).unwrap();
        let index = index_of_disk(disk.path()).unwrap();
        (disk, index)
    }

    #[test]
    fn an_index_is_the_digests_in_order_and_survives_its_file() {
        let values: Vec<u8> = (0..40).map(|number| number % 3).collect();
        let (disk, index) = index(&values);
        for (number, value) in values.iter().enumerate() {
            assert_eq!(
                index.checksums()[number],
                <[u8; 32]>::from(Sha256::digest(vec![*value; BLOCK_SIZE])),
                "{number}"
            );
        }
        let path = disk.path().with_extension("idx");
        save(&index, &path).unwrap();
        assert_eq!(BlockIndex::load(&path).unwrap(), index);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_last_block_is_filled_up_with_zeros() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().write_all_at(b"end", BLOCK_SIZE as u64).unwrap();
        let index = index_of_disk(disk.path()).unwrap();
        let mut last = vec![0; BLOCK_SIZE];
        last[..3].copy_from_slice(b"end");
        assert_eq!(index.checksums(), [*ZERO_BLOCK, Sha256::digest(&last).into()]);
        assert_eq!(read_block(disk.as_file(), 1).unwrap(), last);
    }

    #[test]
    fn zeros_are_left_out_between_partitions_only() {
        let (_disk, index) = index(&[1, 0, 0, 0, 5, 0]);
        // One partition from the middle of block 1 to the end of block 2.
        let partition = (BLOCK_SIZE + BLOCK_SIZE / 2) as u64..(3 * BLOCK_SIZE) as u64;
        assert_eq!(inside_or_not_zero(&index, &[partition]), [0, 1, 2, 4]);
        assert_eq!(inside_or_not_zero(&index, &[]), [0, 4]);
    }

    #[test]
    fn what_the_parent_has_not_or_has_otherwise_is_sent() {
        let (_old_disk, old) = index(&[1, 2, 3, 0, 5]);
        let (_new_disk, new) = index(&[1, 9, 3, 0, 0]);
        // The parent was never given block 2, and has block 4, which is a gap now.
        let allocated = BTreeSet::from([0, 1, 4]);
        assert_eq!(changed(&new, &[0, 1, 2], &old, &allocated), [1, 2, 4]);
        assert_eq!(changed(&old, &[0, 1, 2, 4], &old, &BTreeSet::from([0, 1, 2, 4])), Vec::<u32>::new());
        let linear = linear_checksum(&new, &[1, 2]);
        assert_eq!(linear, <[u8; 32]>::from(Sha256::digest([*new.checksum(1), *new.checksum(2)].concat())));
    }

    #[test]
    fn a_smaller_disk_leaves_nothing_of_its_parent_behind_its_end() {
        let (_old_disk, old) = index(&[1, 2, 3, 0, 5]);
        let (new_disk, new) = index(&[1, 2]);
        let sent = changed(&new, &[0, 1], &old, &BTreeSet::from([0, 1, 2, 3, 4]));
        assert_eq!(sent, [2, 4], "block 3 has zeros already");
        assert_eq!(linear_checksum(&new, &sent), <[u8; 32]>::from(Sha256::digest([*ZERO_BLOCK, *ZERO_BLOCK].concat())));
        assert_eq!(read_block(new_disk.as_file(), 4).unwrap(), vec![0; BLOCK_SIZE]);
        // Its own index says nothing of those blocks, and they are the same for the next disk of its size.
        assert_eq!(changed(&new, &[0, 1], &new, &BTreeSet::from([0, 1, 2, 3, 4])), Vec::<u32>::new());
    }
}
