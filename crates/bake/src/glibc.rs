//! The node binary is built on the host and runs in the image: it must not want a newer C library than the image has.

use std::path::Path;

use crate::Error;
use crate::lock::Lock;

/// Version symbols look like this in a program's dynamic section.
const SYMBOL: &[u8] = b"GLIBC_2.";

/// Checks the binary against the locked C library.
///
/// # Errors
/// When the binary cannot be read, or wants a newer library than the image has.
pub fn check(binary: &Path, lock: &Lock) -> Result<(), Error> {
    let bytes = std::fs::read(binary).map_err(Error::file(binary))?;
    let has = lock
        .package
        .iter()
        .find(|package| package.name == "libc6")
        .and_then(|package| minor(package.version.strip_prefix("2.")?.as_bytes()));
    match (required(&bytes), has) {
        (Some(required), Some(has)) if required > has => Err(Error::Assertions(vec![format!(
            "{} wants glibc 2.{required} and the image has 2.{has}: build on an older system, for example in a Debian 13 container",
            binary.display()
        )])),
        _ => Ok(()),
    }
}

/// The newest minor version that the program names; `None` for a static one.
fn required(program: &[u8]) -> Option<u32> {
    let mut newest = None;
    let mut rest = program;
    while let Some(at) = rest.windows(SYMBOL.len()).position(|window| window == SYMBOL) {
        rest = &rest[at + SYMBOL.len()..];
        newest = newest.max(minor(rest));
    }
    newest
}

/// The number at the beginning.
fn minor(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits.min(3)]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use futuswarm_image_format::Package;

    use super::*;

    fn lock(version: &str) -> Lock {
        let (name, version) = ("libc6".to_owned(), version.to_owned());
        let package = Package { name, version, sha256: String::new(), size: 0, path: String::new() };
        Lock { snapshot: String::new(), package: vec![package] }
    }

    #[test]
    fn the_newest_symbol_counts() {
        assert_eq!(required(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0"), Some(34));
        assert_eq!(required(b"static"), None);
    }

    #[test]
    fn a_binary_from_a_newer_system_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("node");
        std::fs::write(&binary, b"\0GLIBC_2.43\0").unwrap();
        let message = check(&binary, &lock("2.41-12")).unwrap_err().to_string();
        assert!(message.contains("wants glibc 2.43 and the image has 2.41"), "{message}");
        assert!(check(&binary, &lock("2.43-1")).is_ok());
    }
}
