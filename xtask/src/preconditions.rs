//! What must hold before any work is begun: rights and folders. What does not is refused in one line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::host;

/// Refuses to begin what only root can do; the message has the one command to get on. Asked before anything else.
///
/// # Errors
/// When we are not root.
pub fn root() -> anyhow::Result<()> {
    if host::is_root() {
        return Ok(());
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    bail!(
        "the local cloud makes network namespaces and virtual machines, which takes root; run `{}`",
        as_root(&words, std::env::var_os("RUSTUP_HOME").as_deref())
    )
}

/// The command line that does the same as root. sudo has a PATH and a HOME of its own, so that cargo would not be found and
/// rustup would know no toolchain; and a target folder of its own, or the next build of the clone's owner would fail.
fn as_root(words: &[OsString], rustup: Option<&OsStr>) -> String {
    let mut line = "sudo env \"PATH=$PATH\"".to_owned();
    if let Some(rustup) = rustup {
        line.push_str(&format!(" RUSTUP_HOME={}", quoted(rustup)));
    }
    line.push_str(" CARGO_TARGET_DIR=/root/.cache/futuswarm/target cargo xtask");
    for word in words {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    line
}

/// A word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Refuses to begin when caches or state could not be kept.
///
/// # Errors
/// When a folder is not known or cannot be written; the variable that chooses another one is named.
pub fn folders() -> anyhow::Result<()> {
    let folders = [
        ("cache", futuswarm_paths::cache_dir()?, futuswarm_paths::CACHE_VARIABLE),
        ("state", futuswarm_paths::state_dir()?, futuswarm_paths::STATE_VARIABLE),
    ];
    for (what, dir, variable) in folders {
        if let Some(character) = misread(&dir) {
            bail!(
                "the {what} folder {} has the character {character:?} in its path, which HAProxy, QEMU or a search path would misread: set {variable} to a folder without",
                dir.display()
            );
        }
        writable(&dir).with_context(|| {
            format!(
                "the {what} folder {} cannot be written: make it writable, or set {variable} to a folder that is",
                dir.display()
            )
        })?;
    }
    Ok(())
}

/// The first character of a path that one of our programs would misread: HAProxy's configuration ends words at spaces and knows
/// quotes and comments, QEMU's options end at commas, lists of libraries at colons.
fn misread(path: &Path) -> Option<char> {
    let text = path.to_string_lossy();
    text.chars()
        .find(|character| character.is_whitespace() || character.is_control() || ",:;#$'\"\\".contains(*character))
}

/// Makes a folder and a file in it, and removes the file.
fn writable(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(format!(".writable.{}", std::process::id()));
    std::fs::write(&probe, "")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_as_root_can_be_pasted() {
        let words = ["ssh", "i-1", "--local", "--", "echo it's"].map(OsString::from);
        assert_eq!(
            as_root(&words, Some(OsStr::new("/home/a b/.rustup"))),
            r#"sudo env "PATH=$PATH" RUSTUP_HOME='/home/a b/.rustup' CARGO_TARGET_DIR=/root/.cache/futuswarm/target cargo xtask ssh i-1 --local -- 'echo it'\''s'"#
        );
        assert_eq!(
            as_root(&["test".into(), "".into()], None),
            r#"sudo env "PATH=$PATH" CARGO_TARGET_DIR=/root/.cache/futuswarm/target cargo xtask test ''"#
        );
    }

    #[test]
    fn characters_that_would_be_misread_are_named() {
        for (path, character) in [
            ("/root/.cache/futuswarm", None),
            ("/home/bücher/a_b-c.d+e@f", None),
            ("/home/ada/my files", Some(' ')),
            ("/srv/a,b", Some(',')),
            ("/srv/a:b", Some(':')),
            ("/srv/it's", Some('\'')),
            ("/srv/tab\there", Some('\t')),
        ] {
            assert_eq!(misread(Path::new(path)), character, "{path}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let dir = std::env::temp_dir().join(format!("futuswarm-writable.{}", std::process::id()));
        writable(&dir.join("below")).unwrap();
        assert_eq!(std::fs::read_dir(dir.join("below")).unwrap().count(), 0);
        std::fs::write(dir.join("file"), "").unwrap();
        assert!(writable(&dir.join("file")).is_err());
        // Nobody makes folders there, not even root.
        assert!(writable(Path::new("/proc/futuswarm")).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
