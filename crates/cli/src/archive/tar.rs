//! The table of contents of a tar archive: POSIX ustar and pax, and GNU's long names. Own code, since every length in it is somebody
//! else's, and only names and places are wanted.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::{ArchiveError, Entry, MOST_FILES, Place};

const BLOCK: u64 = 512;
/// The longest name, and the longest pax header, in bytes.
const LONGEST_NAME: u64 = 64 << 10;

/// What earlier headers say of the next file.
#[derive(Debug, Default)]
struct Said {
    name: Option<String>,
    link: Option<String>,
    length: Option<u64>,
}

/// All files and links, by their names without `./`. Of two of one name the later counts, as for tar.
pub fn entries<R: Read + Seek>(reader: &mut R) -> Result<BTreeMap<String, Entry>, ArchiveError> {
    let end = reader.seek(SeekFrom::End(0))?;
    let (mut at, mut said, mut entries) = (0_u64, Said::default(), BTreeMap::new());
    let mut headers = 0;
    loop {
        let Some(header) = block(reader, at, end)? else {
            return match at {
                0 => Err(ArchiveError::Tar("it is empty".to_owned())),
                // Some writers leave the two blocks of zeros at the end out. What is missing is then missed by its name.
                _ => Ok(entries),
            };
        };
        if header.iter().all(|byte| *byte == 0) {
            return match at {
                0 => Err(ArchiveError::Tar("it has nothing in it".to_owned())),
                _ => Ok(entries),
            };
        }
        headers += 1;
        if headers > MOST_FILES {
            return Err(ArchiveError::Tar(format!("it has more than {MOST_FILES} files, which no image has")));
        }
        check(&header, at)?;
        let length = match said.length.take() {
            Some(length) => length,
            None => number(&header[124..136]).ok_or_else(|| broken(at, "a length that is no number"))?,
        };
        let begin = at + BLOCK;
        let after = length.checked_next_multiple_of(BLOCK).and_then(|length| begin.checked_add(length));
        // The padding of the last file may be missing.
        let (Some(after), true) = (after, begin.checked_add(length).is_some_and(|last| last <= end)) else {
            return Err(ArchiveError::Tar(format!(
                "the archive is cut: a file in it should have {length} bytes, and {} are there",
                end.saturating_sub(begin)
            )));
        };
        match header[156] {
            b'L' => said.name = Some(long(reader, begin, length)?),
            b'K' => said.link = Some(long(reader, begin, length)?),
            b'x' => pax(&bytes(reader, begin, length)?, &mut said, at)?,
            // For all files: nothing of it is about names.
            b'g' => {}
            kind => {
                let name = said.name.take().unwrap_or_else(|| full_name(&header));
                let link = said.link.take().unwrap_or_else(|| text(&header[157..257]));
                said = Said::default();
                let name = tidy(&name, "");
                match kind {
                    b'0' | 0 | b'7' => {
                        entries.insert(name, Entry::File(Place { offset: begin, length }));
                    }
                    // A hard link names a file of the archive, a symbolic one is seen from its own folder.
                    b'1' => {
                        entries.insert(name, Entry::Link(tidy(&link, "")));
                    }
                    b'2' => {
                        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                        entries.insert(name, Entry::Link(tidy(&link, &folder)));
                    }
                    _ => {}
                }
            }
        }
        at = after;
    }
}

fn broken(at: u64, what: &str) -> ArchiveError {
    ArchiveError::Tar(format!("it is no tar archive, or damaged: at byte {at} there is {what}"))
}

/// A block; `None` at the end of the archive.
fn block<R: Read + Seek>(reader: &mut R, at: u64, end: u64) -> Result<Option<[u8; 512]>, ArchiveError> {
    if at >= end {
        return Ok(None);
    }
    if end - at < BLOCK {
        return Err(ArchiveError::Tar("the archive is cut: it ends within a header".to_owned()));
    }
    reader.seek(SeekFrom::Start(at))?;
    let mut block = [0; 512];
    reader.read_exact(&mut block)?;
    Ok(Some(block))
}

/// Whether a header is one: its bytes, with spaces in the place of the sum, add up to the sum.
fn check(header: &[u8; 512], at: u64) -> Result<(), ArchiveError> {
    let sum: u64 =
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    match number(&header[148..156]) {
        Some(said) if said == sum => Ok(()),
        _ => Err(broken(at, "no header")),
    }
}

/// Octal digits, or GNU's binary form for what is longer.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let mut value = u64::from(first & 0x7f);
            for byte in rest {
                value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
            }
            Some(value)
        }
        _ => {
            let digits = text(field);
            let digits = digits.trim();
            match digits.is_empty() {
                true => Some(0),
                false => u64::from_str_radix(digits, 8).ok(),
            }
        }
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn full_name(header: &[u8; 512]) -> String {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    match &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        true => format!("{prefix}/{name}"),
        false => name,
    }
}

fn bytes<R: Read + Seek>(reader: &mut R, at: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
    if length > LONGEST_NAME {
        return Err(broken(at, "a name that is too long"));
    }
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn long<R: Read + Seek>(reader: &mut R, at: u64, length: u64) -> Result<String, ArchiveError> {
    Ok(text(&bytes(reader, at, length)?))
}

/// Records of `LENGTH KEY=VALUE\n`, the length being that of the whole record.
fn pax(mut records: &[u8], said: &mut Said, at: u64) -> Result<(), ArchiveError> {
    let wrong = || broken(at, "a pax header that cannot be read");
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length: usize = text(&records[..space]).parse().map_err(|_| wrong())?;
        let record = records.get(space + 1..length).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let value = String::from_utf8_lossy(&record[equals + 1..]).into_owned();
        match &record[..equals] {
            b"path" => said.name = Some(value),
            b"linkpath" => said.link = Some(value),
            b"size" => said.length = Some(value.parse().map_err(|_| wrong())?),
            _ => {}
        }
        records = &records[length..];
    }
    Ok(())
}

/// A name without `.` and `..`, from a folder of the archive.
fn tidy(name: &str, folder: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
