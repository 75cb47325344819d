//! The dm-verity superblock and the device-mapper table made from it.
//!
//! Source: <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity> and the kernel's
//! `Documentation/admin-guide/device-mapper/verity.rst`.

/// Length of the superblock in bytes.
pub const SUPERBLOCK_LEN: usize = 512;

/// What the superblock says.
#[derive(Debug, PartialEq, Eq)]
pub struct Superblock {
    algorithm: String,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    salt: String,
}

impl Superblock {
    /// Reads a superblock. None of it is trusted: a wrong value only makes the root hash not match.
    pub fn parse(bytes: &[u8; SUPERBLOCK_LEN]) -> Result<Self, String> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..8] != b"verity\0\0" {
            return Err("the hash partition has no verity superblock".to_owned());
        }
        let (version, hash_type) = (u32_at(8), u32_at(12));
        if (version, hash_type) != (1, 1) {
            return Err(format!("verity superblock version {version}, hash type {hash_type}: only 1 and 1 are known"));
        }
        let algorithm = bytes[32..64].split(|byte| *byte == 0).next().unwrap_or_default();
        let algorithm = std::str::from_utf8(algorithm).ok().filter(|name| *name == "sha256");
        let algorithm = algorithm.ok_or("the verity superblock names a hash that is not sha256")?.to_owned();
        let (data_block_size, hash_block_size) = (u32_at(64), u32_at(68));
        if (data_block_size, hash_block_size) != (4096, 4096) {
            return Err(format!("verity blocks of {data_block_size} and {hash_block_size} bytes: only 4096 is known"));
        }
        let data_blocks = u64::from(u32_at(72)) | (u64::from(u32_at(76)) << 32);
        let salt_len = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        let salt = bytes.get(88..88 + salt_len).filter(|_| salt_len <= 256);
        let salt = salt.ok_or_else(|| format!("a verity salt of {salt_len} bytes does not fit"))?;
        let salt = salt.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { algorithm, data_block_size, hash_block_size, data_blocks, salt })
    }

    /// Length of the verified device in 512-byte sectors.
    pub fn sectors(&self) -> u64 {
        self.data_blocks * u64::from(self.data_block_size) / 512
    }

    /// The table line for the two devices, each as `major:minor`.
    pub fn table(&self, data_device: &str, hash_device: &str, root_hash: &str) -> String {
        let salt = if self.salt.is_empty() { "-" } else { &self.salt };
        // The superblock takes the first hash block. A block that does not match must stop the node, not give an I/O error
        // that some program may ignore.
        format!(
            "1 {data_device} {hash_device} {} {} {} 1 {} {root_hash} {salt} 1 panic_on_corruption",
            self.data_block_size, self.hash_block_size, self.data_blocks, self.algorithm
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> [u8; SUPERBLOCK_LEN] {
        let mut bytes = [0; SUPERBLOCK_LEN];
        bytes[..8].copy_from_slice(b"verity\0\0");
        bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&1_u32.to_le_bytes());
        bytes[32..38].copy_from_slice(b"sha256");
        bytes[64..68].copy_from_slice(&4096_u32.to_le_bytes());
        bytes[68..72].copy_from_slice(&4096_u32.to_le_bytes());
        bytes[72..80].copy_from_slice(&1000_u64.to_le_bytes());
        bytes[80..82].copy_from_slice(&2_u16.to_le_bytes());
        bytes[88..90].copy_from_slice(&[0xab, 0xcd]);
        bytes
    }

    #[test]
    fn a_superblock_becomes_a_table() {
        let superblock = Superblock::parse(&superblock()).unwrap();
        assert_eq!(superblock.sectors(), 8000);
        assert_eq!(
            superblock.table("259:2", "259:3", "feed"),
            "1 259:2 259:3 4096 4096 1000 1 sha256 feed abcd 1 panic_on_corruption"
        );
    }

    #[test]
    fn every_damaged_field_is_named() {
        let cases: [(usize, u8, &str); 5] = [
            (0, b'x', "no verity superblock"),
            (8, 9, "only 1 and 1 are known"),
            (32, b'm', "not sha256"),
            (65, 1, "only 4096 is known"),
            (81, 0xff, "does not fit"),
        ];
        for (at, value, reason) in cases {
            let mut bytes = superblock();
            bytes[at] = value;
            let message = Superblock::parse(&bytes).unwrap_err();
            assert!(message.contains(reason), "byte {at}: {message}");
        }
    }
}
