//! The command line that a cluster offers for download.

use serde::{Deserialize, Serialize};

/// Which program it is, under [`crate::keys::CLI_RELEASE`]. The program itself is at [`crate::keys::cli_program`]; whoever deploys the
/// cluster writes it first, and then this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CliRelease {
    /// As `futuswarm --version` says it.
    pub version: String,
    /// Of the program, in small hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// No program of ours is nearly as long, in bytes.
const LONGEST: u64 = 64 << 20;
/// Of a version, in characters.
const LONGEST_VERSION: usize = 64;

impl CliRelease {
    /// Whether version and digest can be parts of names of objects and files, and the program can be taken.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        let of_version = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let Self { version, sha256, bytes } = self;
        let begins_well = version.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || version.len() > LONGEST_VERSION || !version.chars().all(of_version) {
            return Err("its version is none: letters, digits, '.', '+' and '-', at most 64");
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if sha256.len() != 64 || !sha256.bytes().all(is_digit) {
            return Err("its SHA-256 is none: 64 small hexadecimal digits");
        }
        match (1..=LONGEST).contains(bytes) {
            true => Ok(()),
            false => Err("its length is none of a program: 1 byte to 64 MiB"),
        }
    }

    /// In one line, as the node's agent leaves it beside the program: version, SHA-256 and length.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}", self.version, self.sha256, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lead_out_of_a_folder_or_a_line_is_no_release() {
        let good = CliRelease { version: "0.1.0-rc.1+abc".to_owned(), sha256: "0a".repeat(32), bytes: 6 << 20 };
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.line(), format!("0.1.0-rc.1+abc {} 6291456", "0a".repeat(32)));
        for version in ["", "../x", "a/b", "0.1 0", "0.1\n", ".1", "ä", &"1".repeat(65)] {
            assert!(CliRelease { version: version.to_owned(), ..good.clone() }.check().is_err(), "{version:?}");
        }
        for sha256 in ["", "0a", &"0A".repeat(32), &"..".repeat(32), &"0a".repeat(33)] {
            assert!(CliRelease { sha256: sha256.to_owned(), ..good.clone() }.check().is_err(), "{sha256}");
        }
        for bytes in [0, (64 << 20) + 1, u64::MAX] {
            assert!(CliRelease { bytes, ..good.clone() }.check().is_err(), "{bytes}");
        }
    }
}
