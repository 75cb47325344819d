//! Finding a partition by its unique id, straight from the partition tables.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// All our disks have 512-byte logical sectors; EBS has no others.
const SECTOR: u64 = 512;
/// More entries than any table of ours has; a larger number is a damaged table.
const MAX_ENTRIES: usize = 256;

/// The device node of the partition with this unique id, if it is there yet.
pub fn find(id: &str) -> Option<PathBuf> {
    let disks = fs::read_dir("/sys/block").ok()?;
    disks.flatten().find_map(|disk| {
        let name = disk.file_name().into_string().ok()?;
        let number = number_on(&PathBuf::from("/dev").join(&name), id)?;
        // nvme0n1 → nvme0n1p2, but sda → sda2.
        let separator = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        let node = PathBuf::from(format!("/dev/{name}{separator}{number}"));
        node.exists().then_some(node)
    })
}

fn number_on(disk: &PathBuf, id: &str) -> Option<usize> {
    let file = File::open(disk).ok()?;
    let mut header = [0; 512];
    file.read_exact_at(&mut header, SECTOR).ok()?;
    let (first, count, size) = table_location(&header)?;
    let mut entries = vec![0; count * size];
    file.read_exact_at(&mut entries, first * SECTOR).ok()?;
    number_in_table(&entries, size, id)
}

/// Where the entries are: first sector, number, size of one in bytes.
fn table_location(header: &[u8; 512]) -> Option<(u64, usize, usize)> {
    if &header[..8] != b"EFI PART" {
        return None;
    }
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let first = u64::from(u32_at(72)) | (u64::from(u32_at(76)) << 32);
    let count = usize::try_from(u32_at(80)).ok()?;
    let size = usize::try_from(u32_at(84)).ok()?;
    (count <= MAX_ENTRIES && (128..=512).contains(&size)).then_some((first, count, size))
}

/// The number, from one, of the entry whose unique id is `id`.
fn number_in_table(entries: &[u8], size: usize, id: &str) -> Option<usize> {
    entries.chunks_exact(size).position(|entry| guid(&entry[16..32]) == id).map(|index| index + 1)
}

/// A GUID as text: the first three groups are little-endian on disk.
fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (position, index) in order.into_iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", bytes[index]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(count: u32, size: u32) -> [u8; 512] {
        let mut header = [0; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&count.to_le_bytes());
        header[84..88].copy_from_slice(&size.to_le_bytes());
        header
    }

    #[test]
    fn a_table_is_located_and_a_damaged_one_is_not_believed() {
        assert_eq!(table_location(&header(128, 128)), Some((2, 128, 128)));
        assert_eq!(table_location(&header(u32::MAX, 128)), None);
        assert_eq!(table_location(&header(128, 0)), None);
        assert_eq!(table_location(&[0; 512]), None);
    }

    #[test]
    fn a_partition_is_found_by_its_mixed_endian_id() {
        let mut entries = vec![0; 4 * 128];
        entries[128 * 2 + 16..128 * 2 + 32].copy_from_slice(&[
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ]);
        assert_eq!(number_in_table(&entries, 128, "00112233-4455-6677-8899-aabbccddeeff"), Some(3));
        assert_eq!(number_in_table(&entries, 128, "10112233-4455-6677-8899-aabbccddeeff"), None);
    }
}
