//! The command line that the node's agent has laid into the folder that is mounted here: `release`, which names one program by its
//! version, SHA-256 and length, and that program under its SHA-256 (`futuswarm_node_files`).

use std::fs::File;
use std::path::Path;

/// What the agent says is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// As `futuswarm --version` says it.
    pub(crate) version: String,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

impl Release {
    /// Reads what is offered now; `None` where nothing is, or not yet. It is asked for with each request: the agent may replace it at any
    /// time.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(folder.join("release")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (version, sha256, bytes) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        // It becomes the name of a file.
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && words.next().is_none()).then(|| Self {
            version: version.to_owned(),
            sha256: sha256.to_owned(),
            bytes,
        })
    }

    /// The program, if it is there as a whole. A file that is open stays what it is when the agent replaces it.
    pub(crate) fn open(&self, folder: &Path) -> Option<File> {
        let file = File::open(folder.join(&self.sha256)).ok()?;
        (file.metadata().ok()?.len() == self.bytes).then_some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_three_words_of_which_one_is_a_digest() {
        let digest = "a1".repeat(32);
        let release = Release::parse(&format!("0.1.0 {digest} 77\n")).unwrap();
        assert_eq!((release.version.as_str(), release.sha256.as_str(), release.bytes), ("0.1.0", &*digest, 77));
        for text in [
            String::new(),
            "0.1.0".to_owned(),
            format!("0.1.0 {digest}"),
            format!("0.1.0 {digest} many"),
            format!("0.1.0 {digest} 77 more"),
            format!("0.1.0 ../{} 77", "a".repeat(61)),
            format!("0.1.0 {} 77", "a".repeat(63)),
        ] {
            assert_eq!(Release::parse(&text), None, "{text}");
        }
    }
}
