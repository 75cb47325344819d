//! GetConsoleOutput: the emulator answers with a sample of 2007; the machine's own console is in its folder.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use base64::Engine as _;

use crate::xml::{self, Element};

/// EC2 keeps the last 64 KiB.
const KEPT: u64 = 64 * 1024;

/// Puts the console's last words in. An instance without a machine has said nothing.
pub fn complete(answer: &mut Element, console: &Path) {
    let text = tail(console).unwrap_or_default();
    xml::set(answer, xml::leaf("output", base64::engine::general_purpose::STANDARD.encode(text)));
}

fn tail(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_replace_the_sample() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, [vec![b'x'; 70_000], b"the end".to_vec()].concat()).unwrap();
        let output = |console: &Path| {
            let mut answer = xml::parse(b"<R><instanceId>i-1</instanceId><output>AAAA</output></R>").unwrap();
            complete(&mut answer, console);
            xml::text(&answer, "output").unwrap()
        };
        let decoded = base64::engine::general_purpose::STANDARD.decode(output(&log)).unwrap();
        assert_eq!(decoded.len() as u64, KEPT);
        assert!(decoded.ends_with(b"the end"));
        assert_eq!(output(&dir.path().join("none")), "");
    }
}
