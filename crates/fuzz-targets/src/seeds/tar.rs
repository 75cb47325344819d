//! Tar archives as lists of their entries, for seeds and for inputs whose headers add up. What reads them here believes everything, which
//! nothing but this crate should.

const BLOCK: usize = 512;

/// A header of 512 bytes and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// At most 100 bytes count.
    pub name: String,
    /// As in POSIX ustar: `0` for a file.
    pub kind: u8,
    /// What a link leads to.
    pub link: String,
    /// Its content.
    pub body: Vec<u8>,
}

impl Entry {
    /// One with a regular content.
    #[must_use]
    pub fn file(name: &str, body: &[u8]) -> Self {
        Self { name: name.to_owned(), kind: b'0', link: String::new(), body: body.to_vec() }
    }
}

/// The entries of an archive, as far as it can be read.
#[must_use]
pub fn split(mut rest: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if header[0] == 0 {
            break;
        }
        let text = |field: &[u8]| {
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let length = usize::from_str_radix(text(&header[124..136]).trim(), 8).unwrap_or(0).min(after.len());
        let body = after[..length].to_vec();
        entries.push(Entry { name: text(&header[..100]), kind: header[156], link: text(&header[157..257]), body });
        rest = after.get(length.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    entries
}

/// An archive of these entries.
#[must_use]
pub fn join(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Entry { name, kind, link, body } in entries {
        let mut header = [0; BLOCK];
        put(&mut header[..100], name.as_bytes());
        put(&mut header[100..108], b"0000644");
        put(&mut header[124..136], format!("{:011o}", body.len()).as_bytes());
        put(&mut header[136..148], b"00000000000");
        header[148..156].fill(b' ');
        header[156] = *kind;
        put(&mut header[157..257], link.as_bytes());
        put(&mut header[257..263], b"ustar");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header[148..155], format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// As much of it as fits.
fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let link = Entry { name: "l".to_owned(), kind: b'1', link: "a/b".to_owned(), body: Vec::new() };
        let entries = vec![Entry::file("a/b", &[7; 700]), link, Entry::file("empty", b"")];
        assert_eq!(split(&join(&entries)), entries);
        assert_eq!(split(&join(&entries)[..600]), [Entry::file("a/b", &[7; 88])], "a body that is cut");
        assert!(split(b"short").is_empty());
    }
}
