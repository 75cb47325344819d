//! The command line that a cluster offers for download: the program, as it was built, and what names it.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futuswarm_model::CliRelease;
use sha2::{Digest as _, Sha256};

/// How programs of Linux begin (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// More than a program may have ([`CliRelease::check`]), so that a longer file is read far enough to be refused.
const ENOUGH: u64 = 65 << 20;

/// A program and its release.
#[derive(Clone, PartialEq, Eq)]
pub struct CliProgram {
    pub(crate) release: CliRelease,
    pub(crate) content: Bytes,
}

// Its content is megabytes.
impl fmt::Debug for CliProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.release.fmt(formatter)
    }
}

impl CliProgram {
    /// Reads a program that was built from this version of the source.
    ///
    /// # Errors
    /// When the file cannot be read, or is no program.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut content = Vec::new();
        std::fs::File::open(path).with_context(cannot)?.take(ENOUGH).read_to_end(&mut content).with_context(cannot)?;
        if !content.starts_with(ELF) {
            bail!("{} is no program for Linux: `cargo xtask cli` builds the command line", path.display());
        }
        let release = CliRelease {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: hex::encode(Sha256::digest(&content)),
            bytes: content.len() as u64,
        };
        if let Err(reason) = release.check() {
            bail!("{} cannot be offered: {reason}", path.display());
        }
        Ok(Self { release, content: content.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_what_it_is() {
        let path = std::env::temp_dir().join(format!("futuswarm-cli-program.{}", std::process::id()));
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            CliProgram::read(&path)
        };
        let program = read(b"\x7fELF").unwrap();
        assert_eq!(program.release.bytes, 4);
        // By `printf '\177ELF' | sha256sum`.
        assert_eq!(program.release.sha256, "3bdbb4fe8397cd2b842430b39ccff01a8663c751945ef5e9a09e267fb8b1d359");
        assert!(!format!("{program:?}").contains("content"), "{program:?}");
        for content in [&b""[..], b"#!/bin/sh\n"] {
            assert!(read(content).unwrap_err().to_string().contains("is no program"));
        }
        let file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut &file, ELF).unwrap();
        file.set_len(70 << 20).unwrap();
        assert!(CliProgram::read(&path).unwrap_err().to_string().contains("64 MiB"));
        std::fs::remove_file(&path).unwrap();
        assert!(CliProgram::read(&path).unwrap_err().to_string().contains("cannot read"));
    }
}
