//! The kernel command line.

/// The value of `name=` in a kernel command line; the last one counts, as it does for the kernel.
pub fn value<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    cmdline.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The root hash: 64 hexadecimal digits of a SHA-256.
pub fn root_hash(cmdline: &str) -> Result<&str, String> {
    let hash = value(cmdline, "roothash").ok_or("the kernel command line has no roothash=")?;
    if hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("roothash={hash} is not a SHA-256 in lower case"));
    }
    Ok(hash)
}

/// Unique ids of the root and the hash partition: the two halves of the root hash, as the Discoverable Partitions
/// Specification says.
pub fn partition_ids(root_hash: &str) -> (String, String) {
    let id = |hex: &str| format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]);
    (id(&root_hash[..32]), id(&root_hash[32..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

    #[test]
    fn the_last_value_counts_and_names_match_whole() {
        let cmdline = "quiet roothash=a xroothash=b roothash=c panic=10\n";
        assert_eq!(value(cmdline, "roothash"), Some("c"));
        assert_eq!(value(cmdline, "root"), None);
        assert_eq!(value(cmdline, "quiet"), None);
    }

    #[test]
    fn a_root_hash_is_checked() {
        assert_eq!(root_hash(&format!("ro roothash={HASH}")), Ok(HASH));
        assert_eq!(root_hash("ro quiet").unwrap_err(), "the kernel command line has no roothash=");
        assert!(root_hash("roothash=abc").unwrap_err().contains("is not a SHA-256"));
        assert!(root_hash(&format!("roothash={}", HASH.to_uppercase())).is_err());
    }

    #[test]
    fn partition_ids_are_the_halves_of_the_hash() {
        let (root, verity) = partition_ids(HASH);
        assert_eq!(root, "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(verity, "01234567-89ab-cdef-0123-456789abcdef");
    }
}
