//! Where the partitions of a disk are: what lies between them may be left out of a snapshot, what lies inside may not.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// UEFI Specification 2.10, section 5.3.2.
const SECTOR: u64 = 512;
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// More entries than any disk of ours has; a larger number is not a partition table.
const MOST_ENTRIES: u32 = 1024;

/// The byte ranges of the partitions; a disk without a partition table is one file system from end to end.
///
/// # Errors
/// When the disk cannot be read.
pub fn partitions(disk: &File, bytes: u64) -> std::io::Result<Vec<Range<u64>>> {
    Ok(read(disk, bytes)?.unwrap_or_else(|| std::iter::once(0..bytes).collect()))
}

fn read(disk: &File, bytes: u64) -> std::io::Result<Option<Vec<Range<u64>>>> {
    let mut header = [0; 92];
    if bytes < 3 * SECTOR {
        return Ok(None);
    }
    disk.read_exact_at(&mut header, SECTOR)?;
    let (start, count, size) = (u64_at(&header, 72), u32_at(&header, 80), u32_at(&header, 84));
    let Some(start) = start.checked_mul(SECTOR) else { return Ok(None) };
    let table = u64::from(count) * u64::from(size);
    if &header[..8] != SIGNATURE || count > MOST_ENTRIES || !(128..=4096).contains(&size) {
        return Ok(None);
    }
    if start.checked_add(table).is_none_or(|end| end > bytes) {
        return Ok(None);
    }
    let mut partitions = Vec::new();
    let mut entry = vec![0; size as usize];
    for number in 0..u64::from(count) {
        disk.read_exact_at(&mut entry, start + number * u64::from(size))?;
        if entry[..16].iter().all(|byte| *byte == 0) {
            continue;
        }
        let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
        match (first.checked_mul(SECTOR), last.checked_add(1).and_then(|end| end.checked_mul(SECTOR))) {
            (Some(first), Some(end)) if first < end && end <= bytes => partitions.push(first..end),
            _ => return Ok(None),
        }
    }
    Ok(Some(partitions))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn with_partitions(parts: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes[512..520].copy_from_slice(SIGNATURE);
        bytes[512 + 72..512 + 80].copy_from_slice(&2_u64.to_le_bytes());
        bytes[512 + 80..512 + 84].copy_from_slice(&128_u32.to_le_bytes());
        bytes[512 + 84..512 + 88].copy_from_slice(&128_u32.to_le_bytes());
        for (number, (first, last)) in parts.iter().enumerate() {
            let at = 1024 + number * 128;
            bytes[at] = 1;
            bytes[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
            bytes[at + 40..at + 48].copy_from_slice(&last.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn partitions_are_ranges_of_bytes() {
        let bytes = with_partitions(&[(40, 99), (200, 201)]);
        assert_eq!(partitions(&disk(&bytes), 1 << 20).unwrap(), [20_480..51_200, 102_400..103_424]);
    }

    #[test]
    fn what_is_no_partition_table_is_one_file_system() {
        let whole = |bytes: u64| Vec::from_iter(std::iter::once(0..bytes));
        assert_eq!(partitions(&disk(&vec![0; 1 << 20]), 1 << 20).unwrap(), whole(1 << 20));
        // A partition that ends beyond the disk: the table is not to be trusted.
        assert_eq!(partitions(&disk(&with_partitions(&[(40, 1 << 40)])), 1 << 20).unwrap(), whole(1 << 20));
        assert_eq!(partitions(&disk(&[1; 100]), 100).unwrap(), whole(100));
    }
}
